"""Problems in reports: rows are told apart by problem and level, and say which plugins they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from made_up import made_up_run, seeds_result
from training_support import component

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.columns import identity_of
from benchmnist.reports.records import records
from benchmnist.reports.tables import ComparisonTable, render

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult


def posed(level: str, method: str, accuracies: list[float], problem: str = "ravine") -> CaseResult:
    parts = {
        kind: component(use).model_copy(update={"name": problem, "variant": level})
        for kind, use in (("dataset", "noise"), ("model", "valley"))
    }
    at = {"problem": problem, "level": level or None, "id": "/".join(filter(None, (problem, level, method)))}
    made = seeds_result("valley", method, accuracies, baseline="sgd")
    return made.model_copy(update={"case": made.case.model_copy(update={**parts, **at})})


RAVINES = [
    *(posed("1", "sgd", [90.0, 90.1, 90.2]), posed("1", "adam", [95.0, 95.1, 95.2])),
    *(posed("2", "sgd", [80.0, 80.1, 80.2]), posed("2", "adam", [70.0, 70.1, 70.2])),
]


def test_a_table_has_a_title_for_each_problem_and_level() -> None:
    analysis = Analysis(made_up_run(RAVINES))
    assert identity_of(analysis.summaries) == ("problem", "level", "optimizer")
    table = ComparisonTable(analysis.summaries)
    assert {title: [s.result.id for s in rows] for title, rows in table.groups.items()} == {
        "ravine · 1": ["ravine/1/sgd", "ravine/1/adam"],
        "ravine · 2": ["ravine/2/sgd", "ravine/2/adam"],
    }
    assert render(analysis, "markdown").startswith("| problem   | level   | optimizer")


def test_beside_models_a_table_says_what_the_problems_are_of() -> None:
    mixed = [
        RAVINES[0],
        posed("", "sgd", [50.0, 51.0, 52.0], "hole"),
        seeds_result("fc", "sgd", [90.0, 91.0, 92.0]),
    ]
    analysis = Analysis(made_up_run(mixed))
    assert [*ComparisonTable(analysis.summaries).groups] == [
        "ravine · 1 · noise · valley",
        "hole · noise · valley",
        "mnist · fc",
    ]
    alone = Analysis(made_up_run(mixed[1:2]))
    assert identity_of(alone.summaries) == ("problem", "optimizer")


def test_rows_for_programs_have_problem_and_level_beside_dataset_and_model() -> None:
    rows = records(Analysis(made_up_run([*RAVINES, seeds_result("fc", "sgd", [90.0])]))).rows
    assert [tuple(row[key] for key in ("problem", "level", "dataset", "model")) for row in rows[1::2]] == [
        ("ravine", "1", "noise", "valley"),
        ("ravine", "2", "noise", "valley"),
    ]
    assert [rows[-1][key] for key in ("problem", "level", "dataset", "model")] == [None, None, "mnist", "fc"]


def test_methods_are_compared_within_a_level() -> None:
    analysis = Analysis(made_up_run(RAVINES))
    found = {(v.one.id, v.other.id) for v in analysis.verdicts()}
    assert found == {("ravine/1/adam", "ravine/1/sgd"), ("ravine/2/adam", "ravine/2/sgd")}
    said = " ".join(finding.text for finding in analysis.findings)
    assert "On ravine/1, " in said
    assert "ravine/2 · " in said or "On ravine/2, " in said
