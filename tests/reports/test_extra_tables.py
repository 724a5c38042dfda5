from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from made_up import made_up_run, seeds_result
from rich.console import Console
from training_support import component

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.summary import summarise_all
from benchmnist.reports.columns import Columns
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.extra_tables import EXTRA_TABLES, RichTable, model_tables, verdict_tables
from benchmnist.reports.html import report_page
from benchmnist.reports.markdown import part_of_report, report
from benchmnist.reports.pictures import pictures
from benchmnist.reports.plots import Plots
from benchmnist.reports.records import records
from benchmnist.reports.tables import ComparisonTable, cells, legend
from benchmnist.runs.models import Layer, ModelDescription
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

if TYPE_CHECKING:
    from benchmnist.runs.results import RunResult

SPREAD = (0.0, 0.1, -0.1, 0.05, -0.05)
LINEAR = Layer(
    name="1", kind="Linear", settings="784, 10", output_shape=(10,), parameters=7850, multiply_adds=7840
)


def around(mean: float, spread: tuple[float, ...] = SPREAD) -> list[float | None]:
    return [mean + each for each in spread]


@pytest.fixture(scope="module")
def run() -> RunResult:
    options = {"baseline": "sgd", "target_accuracy": 60.0, "margin": 0.5}
    cases = [
        seeds_result("fc", "sgd", around(90, SPREAD[::-1]), epochs=3, **options),  # type: ignore[arg-type]
        seeds_result("fc", "adam", around(97), epochs=3, seconds=2.0, **options),  # type: ignore[arg-type]
        seeds_result("fc", "wild", [None] * 5, epochs=3, **options),  # type: ignore[arg-type]
        seeds_result("fc-bn", "sgd", around(90.1), epochs=3, **options),  # type: ignore[arg-type]
    ]
    attempts = (Attempt(params={"lr": 0.1}, value=97.0), Attempt(params={"lr": 0.9}, value=96.5))
    search = Search(
        dataset="mnist",
        model="fc",
        method="adam",
        sampler="random",
        space={"lr": Space(low=0.01, high=1.0, log=True)},
        attempts=(*attempts, Attempt(params={"lr": 0.5})),
    )
    described = ModelDescription(dataset="mnist", model="fc", layers=(LINEAR,))
    return made_up_run(cases, models=[described], searches=[search])


def rows(run: RunResult, name: str) -> dict[str, list[str]]:
    tables = [table for table in EXTRA_TABLES[name](Analysis(run)) if not table.title.startswith("Chances")]
    return {" ".join(row[:2]): [*row[2:]] for table in tables for row in table.rows}


def test_verdicts(run: RunResult) -> None:
    found = rows(run, "verdicts")
    assert found["fc/adam fc/sgd"] == ["better", "+7.00", "+6.92 to +7.08", "<0.001", "5"]
    assert found["fc/wild fc/sgd"] == ["wild lost 5 seeds", "–", "–", "–", "0"]
    assert found["fc-bn/sgd fc/sgd"][:2] == ["equivalent within 0.5 points", "+0.100"]
    named, chances, others = EXTRA_TABLES["verdicts"](Analysis(run))
    assert [len(table.rows) for table in (named, chances, others)] == [2, 1, 1]
    assert "those of all 2 comparisons named beforehand" in named.about
    assert "those of all 4 comparisons of the run" in others.about


def test_times_to_the_target(run: RunResult) -> None:
    found = {key.split()[0]: [key.split()[1], *rest] for key, rest in rows(run, "targets").items()}
    assert found["fc/sgd"] == ["5/5", "20", "2.00", "100", "5", "1.00×", "1.00×", "1.00×"]
    # Two seeds of sgd need a third epoch, by which they are slower; the row of sgd has its median seed.
    assert found["fc/adam"] == ["5/5", "20", "4.00", "200", "5", "(1.18×)", "0.50×", "0.59×"]
    assert found["fc/wild"] == ["0/5", "–", "–", "100", "–", "–", "–", "–"]


def test_a_target_that_was_missed_is_not_given_a_time() -> None:
    options = {"target_accuracy": 95.0, "epochs": 3}
    run = made_up_run([seeds_result("fc", "sgd", around(90), **options)])  # type: ignore[arg-type]
    (row,) = EXTRA_TABLES["targets"](Analysis(run))[0].rows
    assert row[1:4] == ("0/5", "–", "> 3.00")


def test_profiles_tuning_and_models(run: RunResult) -> None:
    assert rows(run, "profiles")["adam 5"][4:] == ["0 %", "100 %", "100 %"]
    assert rows(run, "tuning") == {"mnist · fc adam": ["lr=0.1", "97.00", "3 random", "1", "67%"]}
    (table,) = model_tables(run)
    assert table.rows[0] == ("1", "Linear(784, 10)", "10", "7,850", "7,840")
    assert table.rows[-1] == ("", "total", "", "7,850", "7,840")


def test_a_run_that_says_none_of_it_has_no_such_tables() -> None:
    run = made_up_run([seeds_result("fc", "sgd", around(90))])
    assert not any(make(Analysis(run)) for make in EXTRA_TABLES.values())
    assert model_tables(run) == []
    assert [*pictures(Analysis(run))] == []
    assert [part_of_report(Analysis(run), part) for part in ("findings", "models", *EXTRA_TABLES)] == [""] * (
        2 + len(EXTRA_TABLES)
    )


def test_every_table_fits_80_columns(run: RunResult) -> None:
    for table in [*(t for make in EXTRA_TABLES.values() for t in make(Analysis(run))), *model_tables(run)]:
        console = Console(width=80)
        with console.capture() as captured:
            console.print(RichTable(table))
        assert max(map(len, captured.get().splitlines())) <= 80
        for row in table.rows:
            for figure in row[table.words :]:
                assert figure in captured.get()  # none is cut, nor folded


def test_the_report_opens_with_what_can_be_said(run: RunResult) -> None:
    text = report(
        Analysis(run), Plots({}, {"mnist/fc/sgd": "plots/x.png"}, {"Performance profiles": "plots/profiles.png"})
    )
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles[:7] == [
        "Findings",
        "Comparison",
        "Verdicts",
        "Time to target",
        "Performance profiles",
        "Tuning",
        "Plots",
    ]
    assert "![Performance profiles](plots/profiles.png)" in text
    assert "**fc on mnist**" in text


def test_every_finding_of_the_page_links_to_its_rows(run: RunResult) -> None:
    page = report_page(Analysis(run))
    assert page.index("Findings") < page.index('id="comparison"')
    linked = re.findall(r'<a href="#(row-\d+)">', page)
    assert linked
    assert {*linked} <= {*re.findall(r'<tr id="(row-\d+)"', page)}
    assert page.count("data:image/png;base64,") == len([*pictures(Analysis(run))]) == 3


def test_pictures_say_what_they_show(run: RunResult) -> None:
    assert [picture.title for picture in pictures(Analysis(run))] == [
        "Performance profiles",
        "Accuracy against learning rate: mnist · fc",
        "Best accuracy against number of attempts: mnist · fc",
    ]


def test_a_difference_that_is_not_shown_stands_in_brackets() -> None:
    sgd = seeds_result("fc", "sgd", around(90), baseline="sgd", seconds=[1.0, 1.1, 0.9, 1.0, 1.0])
    control = seeds_result(
        "fc", "sgd", around(90.05), baseline="sgd", seconds=[1.0, 1.1, 0.9, 1.0, 1.05], first_seed=5
    )
    control = control.model_copy(
        update={"case": control.case.model_copy(update={"control": True, "id": "c", "axes": ("control",)})}
    )
    near = seeds_result("fc", "near", around(90.06, SPREAD[::-1]), baseline="sgd", seconds=1.02)
    sure = seeds_result("fc", "sure", around(90.06, (0.0, 0.11, -0.1, 0.04, -0.05)), baseline="sgd")
    far = seeds_result("fc", "far", around(97, SPREAD[::-1]), baseline="sgd", seconds=[3.0, 3.1, 2.9, 3.2, 3.0])
    results = [sgd, control, near, sure, far]
    analysis = Analysis(made_up_run(results))
    found = cells(
        summarise_all(results),
        [Columns().column("accuracy_gain"), Columns().column("speedup")],
        analysis,
    )
    assert [cell.text for cell in found["mnist/fc/near"]] == ["(+0.06)", "(0.98× ±0.13)"]
    assert [cell.text for cell in found["mnist/fc/sure"]] == [
        "+0.06",
        "(1.00× ±0.13)",
    ]  # less than the noise floor
    assert [cell.text for cell in found["mnist/fc/far"]] == ["+7.00", "0.33× ±0.03"]
    assert "in brackets if no difference is shown" in legend(results)
    console = Console(width=80, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(ComparisonTable(summarise_all(results), analysis=analysis))
    assert re.search(r"\x1b\[2m *\(\+0.06\)", captured.get())  # dim
    assert 'class="number noise"' in report_page(Analysis(made_up_run(results)))
    assert "(+0.06)" in report(Analysis(made_up_run(results)), Plots({}, {}))


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("name", ["verdicts", "targets", "profiles", "tuning"])
def test_no_figure_is_cut_and_no_row_without_its_name(run: RunResult, name: str, width: int) -> None:
    for table in EXTRA_TABLES[name](Analysis(run)):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(RichTable(table), crop=False)
        text, printed = captured.get(), captured.get().split()
        for row in table.rows:
            assert all(word in printed for figure in row[table.words :] for word in figure.split()), row
            assert all(words[:8] in text for words in row[: table.words]), row


def test_a_family_without_any_line_says_how_many_it_leaves_out() -> None:
    """Next to each other in the ranking are points of one sweep, which are not compared, and the baseline."""
    results = []
    for optimizer, number, mean in (("adam", 101, 95.0), ("sgd", 101, 90.0)):
        for variant in range(number):
            is_baseline = (optimizer, variant) == ("sgd", 0)
            values = [(92.0 if is_baseline else mean) + seed / 10 for seed in range(3)]
            swept = component(optimizer).model_copy(update={"variant": f"lr-{variant}"})
            method = f"{optimizer}/lr-{variant}"
            results.append(seeds_result("fc", method, values, optimizer=swept, baseline="sgd/lr-0"))
    analysis = Analysis(made_up_run(results))
    named, exploratory = verdict_tables(analysis)
    assert (len(named.rows), len(exploratory.rows)) == (201, 0)
    assert exploratory.about.startswith("10,100 comparisons of this family have no line")
    for about, left_out in (("adam", 0), ("adam/lr-1$|sgd/lr-[12]$", 2)):
        found = json.loads(json_report(analysis, records(analysis), about=re.compile(about)))
        assert found.get("verdicts_left_out", 0) == left_out
