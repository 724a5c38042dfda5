"""Measures a large report.html in Chromium, as no part of the tests: `python tests/benchmarks/bench_page.py`.

PAGE_CASES (2,000) sets its size. With the paths of pages as arguments, those are measured in turn instead. Prints
milliseconds (wall) of each round: ROUNDS (5) of each page.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from made_up import made_up_run, seeds_result
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.html import report_page

CASES, ROUNDS = int(os.environ.get("PAGE_CASES", "2000")), int(os.environ.get("PAGE_ROUNDS", "5"))
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)
SCRIPT = """
const done = arguments[0];
const frame = () => new Promise(go => requestAnimationFrame(() => setTimeout(go)));
const timed = async act => {
  const from = performance.now();
  act();
  await frame();
  return performance.now() - from;
};
const middle = all => all.sort((a, b) => a - b)[all.length >> 1];
(async () => {
  const found = {};
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  found["first paint"] = paint.startTime;
  found.loaded = performance.getEntriesByType("navigation")[0].loadEventEnd;
  await frame();
  const heads = [...document.querySelectorAll("#comparison thead button")];
  const sorts = [];
  for (const i of [2, 2, 0, 3, 3]) sorts.push(await timed(() => heads[i].click()));
  [found["sorting, least"], found["sorting, most"]] = [Math.min(...sorts), Math.max(...sorts)];
  const filter = document.getElementById("filter"), words = [];
  for (const word of ["adam", "adam 9", "", "99", ""]) {
    words.push(await timed(() => { filter.value = word; filter.dispatchEvent(new Event("input")); }));
  }
  [found["filtering, least"], found["filtering, most"]] = [Math.min(...words), Math.max(...words)];
  const box = document.querySelector("#comparison .wide"), steps = [];
  box.scrollIntoView();
  await frame();
  for (let i = 0; i < 60; i++) steps.push(await timed(() => (box.scrollTop += 300)));
  const jump = i => (box.scrollTop = (box.scrollHeight * ((i * 7) % 20)) / 20);
  for (let i = 0; i < 20; i++) steps.push(await timed(() => jump(i)));
  [found["table step, median"], found["table step, most"]] = [middle(steps), Math.max(...steps)];
  const down = [];
  for (let i = 0; i < 60; i++) down.push(await timed(() => scrollBy(0, 500)));
  [found["page step, median"], found["page step, most"]] = [middle(down), Math.max(...down)];
  done(found);
})();
"""


def page() -> str:
    """A page of so many cases of one model, half with Adam and half with SGD."""
    results = [
        seeds_result("fc", f"{name}/lr-{n}", [60 + n / 50 + seed / 10 for seed in range(3)], epochs=5)
        for n in range(CASES // 2)
        for name in ("adam", "sgd")
    ]
    return report_page(Analysis(made_up_run(results)))


def measured(file: Path) -> dict[str, float]:
    """Opens a page in a browser of its own, and uses it."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, "--window-size=1280,900"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.set_script_timeout(600)
        driver.get(file.as_uri())
        found: dict[str, Any] = driver.execute_async_script(SCRIPT)
        return found
    finally:
        driver.quit()


def main() -> None:
    """Measures the pages in turn."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(name).absolute() for name in sys.argv[1:]]
        if not files:
            files = [Path(folder, "page.html")]
            files[0].write_text(page(), "utf-8")
        rounds = [[measured(file) for file in files] for _ in range(ROUNDS)]
    for number, file in enumerate(files):
        sys.stdout.write(f"{file.name} ({file.stat().st_size / 1e6:.1f} MB)\n")
        for what in rounds[0][number]:
            sys.stdout.write(f"  {what:20} {' '.join(f'{each[number][what]:7.0f}' for each in rounds)}\n")


if __name__ == "__main__":
    main()
