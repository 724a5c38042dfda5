"""Held against areas by hand, a bootstrap by drawing, and what is true of simulated groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_up import seeds_result
from scipy import stats

from benchmnist.analysis.grid import Grid
from benchmnist.analysis.scores import scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.analysis.scores import Score
    from benchmnist.runs.results import CaseResult

MODELS = ("fc", "fc-bn", "cnn")


def grid(rows: Sequence[Sequence[CaseResult]]) -> Grid:
    methods = tuple(result.case.method for result in rows[0])
    return Grid(methods, tuple(row[0].case.group for row in rows), tuple(map(tuple, rows)))


def scored(rows: Sequence[Sequence[CaseResult]]) -> Mapping[str, Score]:
    found = scores(grid(rows))
    assert found is not None
    return {score.method: score for score in found.methods}


def timed(model: str, method: str, seconds: Sequence[float | None]) -> CaseResult:
    """A case of one epoch, whose seeds reach the target after so many seconds; None diverges."""
    return seeds_result(
        model,
        method,
        [None if each is None else 100.0 for each in seconds],
        seconds=[each or 1.0 for each in seconds],
        target_accuracy=60.0,
        baseline="sgd",
    )


def test_a_seed_scores_what_is_left_of_twice_the_training_of_the_baseline() -> None:
    rows = [
        [timed(m, "sgd", [1.0] * 2), timed(m, "adam", [0.5, 0.7]), timed(m, "slow", [1.5, 2.5])] for m in MODELS
    ]
    found = scored(rows)
    assert found["sgd"].mean == pytest.approx(0.5)
    assert found["adam"].mean == pytest.approx((0.75 + 0.65) / 2)
    assert found["slow"].mean == pytest.approx((0.25 + 0) / 2)


def test_a_seed_that_misses_the_target_or_is_lost_scores_nothing() -> None:
    def row(model: str) -> list[CaseResult]:
        missed = seeds_result(model, "missed", [50.0, 100.0], target_accuracy=60.0, baseline="sgd")
        failed = timed(model, "failed", [0.5, 0.5])
        failed = failed.model_copy(update={"trials": failed.trials[:1], "status": "failed"})
        return [timed(model, "sgd", [1.0] * 2), missed, timed(model, "wild", [0.2, None]), failed]

    found = scored([row(model) for model in MODELS])
    assert found["missed"].mean == pytest.approx(0.25)
    assert found["wild"].mean == pytest.approx(0.45)
    assert found["failed"].mean == pytest.approx(0.375)


def test_every_group_counts_the_same_whatever_its_seeds_and_its_seconds() -> None:
    rows = [
        [timed("fc", "sgd", [1.0]), timed("fc", "adam", [1.0])],
        [timed("fc-bn", "sgd", [10.0]), timed("fc-bn", "adam", [10.0])],
        [timed("cnn", "sgd", [100.0] * 5), timed("cnn", "adam", [40.0] * 5)],
    ]
    assert scored(rows)["adam"].mean == pytest.approx((0.5 + 0.5 + 0.8) / 3)


def test_where_every_seed_is_lost_every_method_scores_nothing() -> None:
    rows = [[timed(m, method, [None, None]) for method in ("sgd", "adam", "lion")] for m in MODELS]
    assert {(score.mean, score.interval) for score in scored(rows).values()} == {(0.0, None)}
    untimed = [[seeds_result(m, method, [None]) for method in ("sgd", "adam", "lion")] for m in MODELS]
    assert scores(grid(untimed)) is None  # there is no error to measure by


def test_a_baseline_without_a_completed_seed_is_no_reference() -> None:
    rows = [
        [timed(m, "sgd", [None, None]), timed(m, "adam", [2.0, 2.0]), timed(m, "lion", [1.0, 1.0])] for m in MODELS
    ]
    found = scored(rows)
    assert [found[method].mean for method in ("sgd", "adam", "lion")] == pytest.approx([0.0, 0.5, 0.75])


def test_without_a_target_the_error_is_measured_by_that_of_the_baseline() -> None:
    rows = [
        [
            seeds_result(m, method, accuracies, baseline="sgd")
            for method, accuracies in (("sgd", [97.0, 99.0]), ("adam", [99.0, 98.0]), ("wild", [99.5, None]))
        ]
        for m in MODELS
    ]
    found = scores(grid(rows))
    assert found is not None
    assert found.effort is None
    assert [score.mean for score in found.methods] == pytest.approx(
        [(0.25 + 0.75) / 2, (0.75 + 0.5) / 2, (0.875 + 0) / 2]
    )


def test_targets_of_some_groups_only_are_not_mixed_with_errors() -> None:
    rows = [[timed(m, "sgd", [1.0] * 2), timed(m, "adam", [0.5] * 2)] for m in MODELS[:2]]
    rows.append([seeds_result("cnn", method, [97.0, 99.0], baseline="sgd") for method in ("sgd", "adam")])
    assert scores(grid(rows)) is None  # the error of the timed ones is 0, which measures nothing


def test_the_interval_is_that_of_a_bootstrap_over_groups_and_seeds() -> None:
    """20,000 draws: the relative standard deviation of their spread is 0.5 %; the bound is five of them."""
    rng = np.random.default_rng(4)
    efforts = rng.uniform(0.2, 1.8, (5, 1)) * rng.uniform(0.8, 1.1, (5, 3))
    rows = [
        [timed(f"model-{i}", "sgd", [1.0] * 3), timed(f"model-{i}", "adam", row)]
        for i, row in enumerate(efforts.tolist())
    ]
    score = scored(rows)["adam"]
    drawn = rng.integers(0, 5, (20_000, 5))
    seeds = rng.integers(0, 3, (20_000, 5, 3))
    spread = np.std((1 - efforts / 2)[drawn[..., None], seeds].mean((1, 2)))
    assert score.interval is not None
    half = stats.t.ppf(0.975, 4) * spread * math.sqrt(5 / 4)
    assert (score.interval[1] - score.interval[0]) / 2 == pytest.approx(half, rel=0.025)
    assert sum(score.interval) / 2 == pytest.approx(score.mean)


def test_scores_that_are_all_the_same_have_no_interval() -> None:
    rows = [[timed(m, "sgd", [1.0] * 2), timed(m, "never", [None, None])] for m in MODELS]
    assert [scored(rows)[method].interval for method in ("sgd", "never")] == [None, None]


def coverage(efforts: np.ndarray[Any, Any]) -> float:
    """How often the interval of `adam` covers the truth; `efforts` are those of its runs, groups and seeds."""
    truth = float(np.mean(np.maximum(0, 1 - efforts / 2)))
    inside = 0
    for run in efforts.tolist():
        rows = [[timed(f"model-{i}", "sgd", [1.0]), timed(f"model-{i}", "adam", row)] for i, row in enumerate(run)]
        low, high = scored(rows)["adam"].interval or (math.nan, math.nan)
        inside += low <= truth <= high
    return inside / len(efforts)


@pytest.mark.parametrize("groups", [3, 8])
def test_the_interval_covers_what_it_states_where_groups_are_normally_distributed(groups: int) -> None:
    """400 runs: the standard deviation of a share of 0.95 is 0.011; the bound is five of them."""
    rng = np.random.default_rng(groups)
    efforts = 0.8 + rng.normal(0, 0.2, (400, groups, 1)) + rng.normal(0, 0.05, (400, groups, 3))
    assert coverage(np.clip(efforts, 0.01, None)) >= 0.95 - 5 * 0.011


@pytest.mark.parametrize("groups", [3, 8])
def test_the_interval_covers_somewhat_less_where_one_group_in_five_is_never_solved(groups: int) -> None:
    """The docs say 0.86 to 0.90. 400 runs: the standard deviation of a share of 0.86 is 0.017."""
    rng = np.random.default_rng(groups)
    solved = 2 - 2 * rng.beta(5, 2, (400, groups, 1)) + rng.normal(0, 0.05, (400, groups, 3))
    efforts = np.where(rng.random((400, groups, 1)) < 0.2, 5.0, np.clip(solved, 0.01, None))
    assert coverage(efforts) >= 0.86 - 5 * 0.017
