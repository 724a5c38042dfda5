"""What changed between runs: made-up results, so that the right answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import made_up_run, made_up_trial
from training_support import component, make_case

from benchmnist.analysis.comparison import compare_runs
from benchmnist.metrics import find_metric
from benchmnist.runs.results import CaseResult, RunResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.comparison import Change

METRICS = [find_metric(key) for key in ("accuracy", "train_loss", "epoch_seconds")]
ACCURACY, LOSS, SECONDS = METRICS


def result(
    name: str, accuracies: Sequence[float], *, seconds: float = 1.0, lr: float = 0.1, threads: int = 1
) -> CaseResult:
    case = make_case(id=f"mnist/fc/{name}", optimizer=component("sgd", lr=lr), seeds=tuple(range(len(accuracies))))
    trials = tuple(
        made_up_trial(seed, accuracy, loss=1 - accuracy / 100, seconds=seconds * (1 + seed / 100))
        for seed, accuracy in enumerate(accuracies)
    )
    return CaseResult(case=case, status="completed", trials=trials, environment={"threads": threads})


def run(*results: CaseResult, version: str = "1") -> RunResult:
    return made_up_run(results, version=version)


def change(before: CaseResult, after: CaseResult, metric: int = 0) -> Change | None:
    (row,) = compare_runs([run(before), run(after)]).rows
    (found,) = row.changes(METRICS[metric])
    return found


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ([90.0, 91.0, 92.0], [92.0, 93.0, 94.0], "within the spread"),  # 91 ± 1 and 93 ± 1 touch
        ([90.0, 91.0, 92.0], [92.1, 93.1, 94.1], "better"),
        ([92.1, 93.1, 94.1], [90.0, 91.0, 92.0], "worse"),
        ([90.0, 91.0], [90.0, 91.0], "same"),
        ([90.0], [99.0], "one seed"),
        ([90.0, 91.0], [99.0], "one seed"),
    ],
)
def test_a_difference_is_held_against_the_spread(before: list[float], after: list[float], word: str) -> None:
    found = change(result("a", before), result("a", after))
    assert found is not None
    assert found.word == word
    assert found.difference == pytest.approx(sum(after) / len(after) - sum(before) / len(before))


def test_less_loss_and_less_time_are_better() -> None:
    slow, fast = result("a", [90.0, 91.0], seconds=2.0), result("a", [95.0, 96.0], seconds=1.0)
    assert [found and found.word for found in (change(slow, fast, metric) for metric in range(3))] == [
        "better"
    ] * 3
    assert [found and found.word for found in (change(fast, slow, metric) for metric in range(3))] == ["worse"] * 3
    ratio = change(slow, fast, 2)
    assert ratio is not None
    assert ratio.difference == pytest.approx(0.5)


FIGURES = st.lists(st.floats(0, 100), min_size=2, max_size=5)
OPPOSITE = {"better": "worse", "worse": "better"}


@given(FIGURES, FIGURES)
def test_there_and_back_is_the_opposite(one: list[float], other: list[float]) -> None:
    there, back = change(result("a", one), result("a", other)), change(result("a", other), result("a", one))
    assert there is not None
    assert back is not None
    assert back.word == OPPOSITE.get(there.word, there.word)
    assert back.difference == pytest.approx(-there.difference)


def test_cases_are_aligned_by_their_ids() -> None:
    a, b, c = (result(name, [90.0, 91.0]) for name in "abc")
    comparison = compare_runs([run(a, b), run(c, b), run(b)])
    assert [row.id for row in comparison.rows] == ["mnist/fc/a", "mnist/fc/b", "mnist/fc/c"]
    assert [*comparison.only_in()] == [("mnist/fc/a", (0,)), ("mnist/fc/c", (1,))]
    (only_first, everywhere, only_second) = comparison.rows
    assert only_first.changes(ACCURACY) == only_second.changes(ACCURACY) == [None, None]
    assert all(found is not None and found.word == "same" for found in everywhere.changes(LOSS))


def test_a_case_without_a_figure_has_no_change() -> None:
    failed = CaseResult(case=result("a", [1.0]).case, status="failed", error="boom")
    assert change(result("a", [90.0, 91.0]), failed, 2) is None


def test_what_else_differs_is_told() -> None:
    before = run(result("a", [90.0], lr=0.1, threads=1), version="1")
    after = run(result("a", [90.0], lr=0.2, threads=2), version="2")
    comparison = compare_runs([before, after])
    assert comparison.surroundings == {"BenchMNIST": ("1", "2"), "threads": ("1", "2")}
    assert comparison.rows[0].altered == ("optimizer lr: 0.1, then 0.2",)
    assert SECONDS.ratio
