"""report.html and the page of `compare`, in a real browser without a network."""

from __future__ import annotations

import base64
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from made_up import course_result, made_up_result, made_up_run, seeds_result
from processes import HANGS
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.comparison import compare_runs
from benchmnist.reports import write_report
from benchmnist.reports.comparison import comparison_page
from benchmnist.reports.html import report_page
from benchmnist.runs.results import CaseResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmnist.runs.results import RunResult

    Open = Callable[[str], webdriver.Chrome]

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
in_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver (.ci/run installs them)"
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)
PAGES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.set_script_timeout(HANGS)
    yield driver
    driver.quit()


def resize(driver: webdriver.Chrome, size: str) -> None:
    width, height = PAGES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def logged(driver: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """What has been logged since the last time."""
    entries: list[dict[str, Any]] = driver.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


@pytest.fixture
def show(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Open]:
    """Opens a page from disk; at the end looks that nothing was complained of, and nothing asked for elsewhere."""

    def opened(text: str) -> webdriver.Chrome:
        file = tmp_path / "page.html"
        file.write_text(text, "utf-8")
        browser.get(file.as_uri())
        return browser

    resize(browser, "desktop")
    for log in ("browser", "performance"):
        logged(browser, log)
    yield opened
    assert [entry["message"] for entry in logged(browser, "browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    asked = {
        event["params"]["request"]["url"].partition(":")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert asked <= {"file", "data", "blob"}


def wait(driver: webdriver.Chrome, condition: str) -> Any:
    """Until a condition in JavaScript holds; its value."""
    return WebDriverWait(driver, HANGS, 0.05).until(lambda d: d.execute_script(f"return {condition}"))


def wait_for_curves(driver: webdriver.Chrome) -> None:
    """Those that somebody who has scrolled to them sees."""
    driver.execute_script("document.getElementById('curves').scrollIntoView()")
    wait(driver, "document.querySelector('.chart .main-svg') !== null")


LONG = 260


@pytest.fixture(scope="module")
def long_page() -> str:
    """A page of more cases than curves are told apart, in a table that is longer than what is shown of it."""
    results = [
        seeds_result(
            "fc", f"sgd/lr-{n}", [90 + n / 100 + seed / 10 for seed in range(3)], epochs=2, baseline="sgd/lr-0"
        )
        for n in range(LONG)
    ]
    return report_page(Analysis(made_up_run(results)))


ROWS = "#comparison tbody tr:not([hidden])"
IN_VIEW = (
    "(id => {const box = document.querySelector('#comparison .wide').getBoundingClientRect(),"
    " head = document.querySelector('#comparison thead').getBoundingClientRect(),"
    " row = document.getElementById(id).getBoundingClientRect();"
    " return row.top >= head.bottom - 1 && row.bottom <= Math.min(box.bottom, innerHeight) + 1})"
)


@in_chromium
@pytest.mark.parametrize("size", PAGES)
def test_of_a_long_table_only_the_rows_near_the_window_are_laid_out(
    show: Open, long_page: str, size: str, browser: webdriver.Chrome
) -> None:
    resize(browser, size)
    driver = show(long_page)
    laid_out = "checkVisibility({contentVisibilityAuto: true})"
    wait(driver, f"!document.getElementById('row-{LONG - 1}').{laid_out}")
    assert len(texts(driver, ROWS)) == LONG
    assert texts(driver, "#shown") == [f"{LONG} of {LONG} shown"]
    height = "return document.querySelector('#comparison table').offsetHeight"
    before = driver.execute_script(height)
    scroll = "const box = document.querySelector('#comparison .wide'); box.scrollIntoView(); box.scrollTop = 1e6"
    driver.execute_script(scroll)
    wait(driver, f"document.getElementById('row-{LONG - 1}').{laid_out}")
    # Rows take the room that was kept for them.
    assert driver.execute_script(height) == pytest.approx(before, abs=1)
    driver.find_elements(By.CSS_SELECTOR, "#comparison thead button")[2].click()  # the accuracy, best first
    assert texts(driver, f"{ROWS} th") == [f"sgd/lr-{n}" for n in reversed(range(LONG))]
    driver.find_element(By.ID, "filter").send_keys("lr-25")
    assert texts(driver, f"{ROWS} th") == [f"sgd/lr-{n}" for n in (*reversed(range(250, LONG)), 25)]
    table, box = driver.execute_script(
        "return ['table', '.wide'].map(e => document.querySelector(`#comparison ${e}`).clientHeight)"
    )
    assert table <= box + 20  # no room is kept for rows that are not shown
    driver.find_element(By.ID, "filter").send_keys(Keys.BACKSPACE, Keys.BACKSPACE)
    wide = "const [head, cells] = [0, 100].map(i => [...document.querySelectorAll('#comparison tr')[i].cells]"
    wide += ".map(cell => cell.getBoundingClientRect().left)); return head.map((left, i) => left - cells[i])"
    assert driver.execute_script(wide) == pytest.approx([0] * len(driver.execute_script(wide)), abs=0.5)


@in_chromium
def test_every_row_of_a_long_table_can_be_reached_and_copied(show: Open, long_page: str) -> None:
    driver = show(long_page)
    for _ in range(2):  # the same link again
        driver.execute_script("document.querySelector('#comparison .wide').scrollTop = 0; window.scrollTo(0, 0)")
        wait(driver, f"!{IN_VIEW}('row-200')")
        driver.execute_script(
            "const made = () => document.body.appendChild(document.createElement('a'));"
            "Object.assign(document.querySelector('#link') ?? made(), {id: 'link', href: '#row-200'}).click()"
        )
        wait(driver, f"{IN_VIEW}('row-200')")
    driver.execute_script("document.querySelector('#row-100 a').focus({preventScroll: true})")
    reached = []
    for _ in range(3):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(driver.execute_script("return document.activeElement.textContent"))
    assert reached == [f"sgd/lr-{n}" for n in (101, 102, 103)]
    driver.execute_script("getSelection().selectAllChildren(document.body)")
    copied = driver.execute_script("return String(getSelection())")
    assert all(f"sgd/lr-{n}\t" in copied for n in range(LONG))


@in_chromium
def test_a_long_table_is_a_table_to_a_screen_reader(show: Open, long_page: str) -> None:
    driver = show(long_page)
    driver.execute_script("document.getElementById('comparison').scrollIntoView()")
    wait(driver, "document.getElementById('row-0').checkVisibility({contentVisibilityAuto: true})")
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [node["role"]["value"] for node in nodes]
    columns = len(texts(driver, "#comparison thead th"))
    shown = roles.count("rowheader")
    assert shown >= 10
    assert roles.count("row") > shown
    assert roles.count("columnheader") >= columns
    assert roles.count("cell") >= shown * (columns - 1)
    rows = "return [...document.querySelectorAll('#comparison tbody tr')].map(row => Number(row.ariaRowIndex))"
    driver.find_elements(By.CSS_SELECTOR, "#comparison thead button")[2].click()
    assert driver.execute_script(rows) == [n + 2 for n in range(LONG)]  # also once it is sorted
    count = driver.find_element(By.CSS_SELECTOR, "#comparison table").get_attribute("aria-rowcount")
    assert count == str(LONG + 1)


@in_chromium
def test_of_many_curves_the_best_are_drawn_and_others_by_choice(show: Open, long_page: str) -> None:
    driver = show(long_page)
    wait_for_curves(driver)
    best = [f"sgd/lr-{n}" for n in range(LONG - 1, LONG - 8, -1)]
    assert {each["name"] for each in curves(driver)} == {"sgd/lr-0", *best}
    driver.find_element(By.ID, "none").click()
    driver.find_element(By.ID, "find").send_keys("lr-25")
    driver.find_element(By.ID, "all").click()
    wait(driver, "document.querySelector('.chart').data.filter(t => !t.fill).length === 11")
    driver.find_element(By.ID, "find").clear()
    driver.find_element(By.ID, "find").send_keys("sgd")
    driver.find_element(By.ID, "all").click()
    wait(driver, "document.querySelector('.chart').data.filter(t => !t.fill).length === 60")
    assert texts(driver, "#drawn")[0].startswith(f"Only the first 60 of {LONG} chosen curves are drawn. Chosen: ")


def test_without_a_script_the_page_has_every_row(long_page: str) -> None:
    assert all(f'id="row-{number}"' in long_page for number in range(LONG))


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    found: list[str] = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())", selector
    )
    return found


def curves(driver: webdriver.Chrome, chart: int = 0) -> list[dict[str, Any]]:
    """What plotly draws, without the bands."""
    script = (
        "return document.querySelectorAll('.chart')[arguments[0]].data.filter(t => !t.fill)"
        ".map(t => ({name: t.meta, x: t.x, y: t.y, dash: t.line.dash}))"
    )
    wait(driver, f"document.querySelectorAll('.chart')[{chart}].data !== undefined")
    found: list[dict[str, Any]] = driver.execute_script(script, chart)
    return found


def choose(driver: webdriver.Chrome, name: str, value: str) -> None:
    """A control, by the keyboard."""
    driver.find_element(By.CSS_SELECTOR, f"input[name={name}][value='{value}']").send_keys(Keys.SPACE)
    # Drawn with the next frame, and that after it has been.
    frame = "requestAnimationFrame"
    driver.execute_async_script(f"{frame}(() => {frame}(() => setTimeout(arguments[0])))")


@pytest.fixture(scope="module")
def run() -> RunResult:
    """Two models, three optimizers, of which one diverged and one failed."""
    results = [
        made_up_result(model, optimizer, accuracy, epochs=5, seeds=3, baseline="sgd")
        for model, first in (("fc", 78.0), ("cnn", 95.0))
        for optimizer, accuracy in (("sgd", first), ("adam", first + 2), ("wild", first - 40))
    ]
    failed = CaseResult(case=results[-1].case, status="failed", error="Traceback\nValueError: <b>boom</b>")
    diverged = made_up_result("fc", "wild", 10.0, epochs=2, seeds=3, diverged=True)
    return made_up_run([*results[:2], diverged, *results[3:-1], failed])


@in_chromium
@pytest.mark.parametrize("size", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_drawn(show: Open, run: RunResult, size: str, scheme: str, tmp_path: Path) -> None:
    driver = show(report_page(Analysis(run)))
    resize(driver, size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    wait_for_curves(driver)
    assert driver.title == "Made up"
    inner, scroll = driver.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
    assert scroll <= inner == PAGES[size][0]  # nothing but what says so scrolls sideways
    back, front = driver.execute_script(
        "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (back, front)]
    assert (brightness[0] > brightness[1]) == (scheme == "light")
    driver.save_screenshot(str(tmp_path / f"{size}-{scheme}.png"))  # to be looked at


@in_chromium
def test_the_table_sorts_and_filters(show: Open, run: RunResult) -> None:
    driver = show(report_page(Analysis(run)))
    column = texts(driver, "table.sortable thead th").index("accuracy, %") + 1

    def order() -> list[str]:
        return texts(driver, f"table.sortable tbody tr td:nth-child({column})")

    unsorted = order()
    assert unsorted[-1] == "–"
    button = driver.find_element(By.CSS_SELECTOR, f"table.sortable th:nth-child({column}) button")
    button.send_keys(Keys.ENTER)
    figures = [float(text.partition(" ")[0]) for text in order() if text != "–"]
    assert figures == sorted(figures, reverse=True)  # the best first
    assert order()[len(figures) :] == ["–"] * (len(unsorted) - len(figures))
    head = driver.find_element(By.CSS_SELECTOR, f"table.sortable th:nth-child({column})")
    assert head.get_attribute("aria-sort") == "descending"
    button.send_keys(Keys.ENTER)
    assert [float(text.partition(" ")[0]) for text in order() if text != "–"] == figures[::-1]
    assert order()[len(figures) :] == ["–"] * (len(unsorted) - len(figures))  # what has none is last either way
    driver.find_element(By.ID, "filter").send_keys("cnn ADAM")
    rows = driver.find_elements(By.CSS_SELECTOR, "table.sortable tbody tr")
    assert [row.text.split()[:2] for row in rows if row.text] == [["adam", "cnn"]]
    assert texts(driver, "#shown") == ["1 of 6 shown"]


@in_chromium
def test_curves_are_switched(show: Open, run: RunResult) -> None:
    driver = show(report_page(Analysis(run)))
    wait_for_curves(driver)
    assert [curve["name"] for curve in curves(driver)] == ["sgd", "adam", "wild"]
    adam = run["mnist/fc/adam"].trials
    means = [sum(t.epochs[e].train_loss for t in adam) / 3 for e in range(5)]
    assert curves(driver, 1)[1]["x"] == [1, 2, 3, 4, 5]
    assert curves(driver, 1)[1]["y"] == pytest.approx(means, rel=1e-5)
    errors = [100 - sum(t.epochs[e].test_accuracy or 0 for t in adam) / 3 for e in range(5)]
    assert curves(driver)[1]["y"] == pytest.approx(errors, rel=1e-4)  # a logarithmic axis of what is missing
    choose(driver, "y", "linear")
    assert curves(driver)[1]["y"] == pytest.approx([100 - error for error in errors], rel=1e-5)
    choose(driver, "method", "1")
    assert [curve["name"] for curve in curves(driver)] == ["sgd", "wild"]
    choose(driver, "x", "seconds")
    seconds = [sum(e.seconds for e in run["mnist/fc/sgd"].trials[0].epochs[: n + 1]) for n in range(5)]
    assert curves(driver)[0]["x"] == pytest.approx(seconds, rel=1e-5)
    choose(driver, "seeds", "lines")
    lines = [f"{name}, seed {seed}" for name in ("sgd", "wild") for seed in range(3)]
    assert [curve["name"] for curve in curves(driver)] == lines
    driver.find_element(By.ID, "none").click()
    wait(driver, "document.querySelector('.chart').data.length === 0")
    driver.find_element(By.ID, "all").click()
    wait(driver, "document.querySelector('.chart').data.length === 9")


@in_chromium
def test_evaluations_within_an_epoch_are_curves_over_each_axis(show: Open) -> None:
    losses = [[3.0, 2.0, 1.0, 0.5], [3.2, 2.2, 1.2, 0.7]]
    fine = course_result("adam", losses, every=100, batch_size=150)
    coarse = seeds_result("fc", "sgd", [80.0, 81.0], epochs=2, steps=400, batch_size=150)
    driver = show(report_page(Analysis(made_up_run([fine, coarse]))))
    wait_for_curves(driver)
    places = {
        "steps": ([100, 200, 300, 400], [400, 800]),
        "examples": ([15_000, 30_000, 40_000, 40_000], [1000, 2000]),
        "seconds": ([10, 20, 30, 40], [1, 2]),
        "epochs": ([0.25, 0.5, 0.75, 1], [1, 2]),
    }
    assert driver.execute_script("return document.querySelector('[name=x]:checked').value") == "steps"
    for axis, (within, after) in places.items():
        choose(driver, "x", axis)
        drawn = {curve["name"]: curve for curve in curves(driver, 1)}
        assert (drawn["adam"]["x"], drawn["sgd"]["x"]) == (pytest.approx(within), pytest.approx(after))
    assert drawn["adam"]["y"] == pytest.approx([3.1, 2.1, 1.1, 0.6])
    choose(driver, "seeds", "lines")
    assert curves(driver, 1)[0]["y"] == losses[0]
    assert texts(driver, "article details tbody th")[:5] == ["100", "200", "300", "400", "800"]


@in_chromium
def test_a_curve_says_what_it_is_under_the_pointer(show: Open, run: RunResult) -> None:
    driver = show(report_page(Analysis(run)))
    wait_for_curves(driver)
    driver.execute_script("Plotly.Fx.hover(document.querySelector('.chart'), [{curveNumber: 3, pointNumber: 1}])")
    assert re.match(r"adamepoch 2: \d+\.\d+", "".join(texts(driver, ".chart .hovertext")))


@in_chromium
def test_a_case_shows_its_history_when_it_is_opened(show: Open, run: RunResult) -> None:
    driver = show(report_page(Analysis(run)))
    assert texts(driver, "#case-1 .history td") == []
    driver.find_element(By.CSS_SELECTOR, "a[href='#case-1']").send_keys(Keys.ENTER)
    wait(driver, "document.querySelectorAll('#case-1 .history tbody tr').length === 15")
    first = texts(driver, "#case-1 .history tbody tr:first-child td")
    epoch = run["mnist/fc/adam"].trials[0].epochs[0]
    assert first[:2] == ["0", "1"]
    assert float(first[2]) == pytest.approx(epoch.test_accuracy, rel=1e-5)
    assert float(first[3]) == pytest.approx(epoch.train_loss, rel=1e-5)
    assert "ValueError: <b>boom</b>" in texts(driver, "pre.wrong")[0]


@in_chromium
def test_the_theme_is_chosen_and_everything_can_be_reached_by_the_keyboard(show: Open, run: RunResult) -> None:
    driver = show(report_page(Analysis(run)))
    wait_for_curves(driver)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    reached = set()
    for _ in range(60):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(driver.execute_script("const e = document.activeElement; return e.id || e.name || e.tagName"))
    assert {"theme", "filter", "method", "x", "y", "seeds", "all", "none", "BUTTON", "SUMMARY", "A"} <= reached
    before = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    driver.find_element(By.ID, "theme").send_keys(Keys.ENTER)
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    assert texts(driver, "#theme") == ["Theme: dark"]


@in_chromium
def test_the_page_is_printed_with_all_its_curves(show: Open, run: RunResult, tmp_path: Path) -> None:
    driver = show(report_page(Analysis(run)))
    wait_for_curves(driver)
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    (tmp_path / "page.pdf").write_bytes(printed)
    assert printed.startswith(b"%PDF")
    assert len(texts(driver, ".chart .main-svg")) == 3 * 4  # drawn, though nobody has scrolled to the last
    assert texts(driver, "article details[open]") == []
    assert driver.execute_script("return document.documentElement.dataset.theme") is None


EVIL = "<script>alert(1)</script><b>x</b>%{y}"


@in_chromium
def test_names_are_shown_as_they_are(show: Open) -> None:
    result = made_up_result(EVIL, EVIL, 90.0, epochs=2, seeds=2)
    evil = made_up_run([result], title=f"</title>{EVIL}", suite_text=f"</pre></script>{EVIL}")
    driver = show(report_page(Analysis(evil)))
    wait_for_curves(driver)
    assert EVIL in driver.title
    assert EVIL in texts(driver, "pre")[-1]
    assert EVIL in texts(driver, "table.sortable tbody th")
    assert EVIL in texts(driver, "#controls label")[0]
    driver.execute_script("Plotly.Fx.hover(document.querySelector('.chart'), [{curveNumber: 1, pointNumber: 1}])")
    assert EVIL in "".join(texts(driver, ".chart .hovertext"))
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 4
    show(comparison_page(compare_runs([evil, evil])))
    wait_for_curves(driver)
    assert EVIL in "".join(texts(driver, "table.sortable tbody th"))


@in_chromium
def test_the_policy_lets_nothing_in(browser: webdriver.Chrome, run: RunResult, tmp_path: Path) -> None:
    smuggled = "<script>document.title = 'smuggled'</script><img src='https://example.org/x.png'></main>"
    page = tmp_path / "page.html"
    page.write_text(report_page(Analysis(run)).replace("</main>", smuggled), "utf-8")
    logged(browser, "browser")
    browser.get(page.as_uri())
    wait_for_curves(browser)
    assert browser.title == "Made up"
    said = [entry["message"] for entry in logged(browser, "browser")]
    assert len(said) == 2
    assert all("Content Security Policy" in message for message in said)


@in_chromium
def test_two_hundred_cases_of_fifty_epochs(show: Open) -> None:
    results = [
        made_up_result(f"model-{i // 20}", f"optimizer-{i % 20}", 50 + i / 5, epochs=50, seeds=3)
        for i in range(200)
    ]
    text = report_page(Analysis(made_up_run(results)))
    assert len(text.encode()) < 10_000_000
    driver = show(text)
    wait_for_curves(driver)
    choose(driver, "method", "3")
    assert len(curves(driver)) == 19
    assert len(texts(driver, ".chart .main-svg")) < 3 * 20  # not those that nobody has scrolled to
    driver.execute_script("document.getElementById('cases').scrollIntoView()")
    wait(driver, "document.querySelectorAll('.chart')[19].data?.length === 38")


@in_chromium
def test_runs_are_laid_over_each_other(show: Open, run: RunResult) -> None:
    other = made_up_run([seeds_result("fc", "adam", [90.0, 90.2, 90.1], epochs=5)])
    driver = show(comparison_page(compare_runs([run, other])))
    wait_for_curves(driver)
    names = [curve["name"] for curve in curves(driver)]
    assert names == ["sgd · A", "adam · A", "wild · A", "adam · B"]
    assert [curve["dash"] for curve in curves(driver)] == ["solid", "solid", "solid", "dash"]
    assert len(texts(driver, "table.sortable")) == 3
    assert any("only in A" in note for note in texts(driver, ".note"))
    assert texts(driver, "td.better")


def test_the_page_holds_the_figures_of_its_curves_as_text(run: RunResult) -> None:
    page = report_page(Analysis(run))
    trials = run["mnist/fc/adam"].trials
    finals = [trial.epochs[-1].test_accuracy or 0 for trial in trials]
    assert f"<td>{sum(finals) / 3:.2f} ± " in page
    assert page.count("<caption>") >= 4
    assert "default-src &#39;none&#39;" in page


def test_a_report_is_a_page_too(small_run: RunResult) -> None:
    write_report(small_run)
    text = (small_run.path / "report.html").read_text("utf-8")
    assert "A small suite" in text
    assert len(text) < 3_000_000


def test_a_run_of_which_nothing_ended(run: RunResult) -> None:
    nothing = run.model_copy(update={"cases": ()})
    page = report_page(Analysis(nothing))
    assert "No case has finished." in page
    assert "Not finished, so not shown: <code>mnist/fc/sgd</code>" in page
