"""Runs of many levels: a heat map instead of a section, a row and a picture for each level."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from made_up import course_result, made_up_run
from training_support import component

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports import write_report
from benchmnist.reports.heat_map import heat_map_of, heat_table
from benchmnist.runs.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import CaseResult, RunResult

PROBLEMS = {"ravine": 7, "delayed": 6, "small": 1}
SOLVED = {"sgd": (2, 6, 1), "adam": (4, 0, 1), "mine": (3, 3, 0)}


def rung(problem: str, place: int, of: int, method: str, *, solved: bool) -> CaseResult:
    """A case of a level, whose three seeds reach the target or none does."""
    level = f"1e{place + 1}" if of > 1 else None
    part = component(problem).model_copy(update={"variant": level or ""})
    last = 0.001 if solved else 0.5
    losses = [[1.0, 0.5, last + seed / 1e4] for seed in range(3)]
    named = "/".join(filter(None, (problem, level, method)))
    posed: dict[str, Any] = {"problem": problem, "level": level, "rung": place if level else None}
    return course_result(method, losses, id=named, dataset=part, model=part, target_loss=0.01, **posed)


def run_of(methods: Sequence[str]) -> RunResult:
    found = [
        rung(problem, place, levels, method, solved=place < SOLVED[method][number])
        for number, (problem, levels) in enumerate(PROBLEMS.items())
        for place in range(levels)
        for method in methods
    ]
    return made_up_run(found, suite_text="[suite]\n")


@pytest.fixture
def stored(tmp_path: Path) -> RunResult:
    run = run_of([*SOLVED]).model_copy(update={"path": tmp_path / "run"})
    folder = RunFolder(run.path)
    folder.make()
    folder.write_record(run.record)
    for result in run.cases:
        folder.write_case(result)
    return run


def test_the_heat_map_has_the_highest_level_of_each_problem_and_method() -> None:
    table = heat_table(Analysis(run_of([*SOLVED])))
    assert table is not None
    assert table.heads == ("problem", "sgd", "adam", "mine")  # the best first
    assert table.rows == (
        ("ravine", "1e2 (2/7)", "1e4 (4/7)", "1e3 (3/7)"),
        ("delayed", "1e6 (6/6)", "– (0/6)", "1e3 (3/6)"),
        ("small", "yes (1/1)", "yes (1/1)", "– (0/1)"),
    )
    assert heat_map_of(Analysis(run_of(["mine"]))) is None  # a line for each problem says the same


def test_a_run_of_many_levels_shows_one_of_each_problem(stored: RunResult) -> None:
    analysis = Analysis(stored)
    shown = {result.case.group[0] for result in analysis.cases}
    assert shown == {"ravine/1e4", "delayed/1e6", "small"}  # the hardest that any method solves
    assert Analysis(stored, {stored.cases[0].id}).untold_levels == frozenset()
    few = made_up_run([result for result in stored.cases if result.case.level in (None, "1e1", "1e2")])
    assert Analysis(few).untold_levels == frozenset()

    write_report(stored)
    page = (stored.path / "report.html").read_text("utf-8")
    pictures = {file.name for file in (stored.path / "plots").iterdir()}
    assert "heat-map.png" in pictures
    assert {name for name in pictures if "1e" in name} == {
        f"{problem}.{metric}.png"
        for problem in ("ravine_1e4", "delayed_1e6")
        for metric in ("train_loss", "test_accuracy")
    }
    rows = re.findall(r'<tr id="row-\d+"', page)
    assert len(rows) == 9
    linked = {*re.findall(r'href="#(row-\d+)"', page)}
    assert linked <= {*re.findall(r'id="(row-\d+)"', page)}
    assert "Not finished" not in page
    assert "ravine/1e1/" not in (stored.path / "report.md").read_text("utf-8").partition("## Cases")[0]


def test_what_is_asked_for_is_not_left_out(stored: RunResult, invoke: Callable[..., Result]) -> None:
    table = invoke("report", stored.path)
    assert table.exit_code == 0, table.output
    assert "Other levels of problems are left out here: --show ladders sums them up" in " ".join(
        table.stdout.split()
    )
    assert "ravine · 1e1" not in table.stdout
    assert "ravine · 1e1" in invoke("report", stored.path, "--about", "ravine/1e1/").stdout
    csv = invoke("report", stored.path, "--format", "csv").stdout
    assert len(csv.splitlines()) == 1 + len(stored.cases)
    assert "1e4 (4/7)" in invoke("report", stored.path, "--show", "heat-map").stdout
