"""Held against published figures, against scipy, and against what is true of simulated methods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_up import seeds_result
from scipy import stats

from benchmnist.analysis.grid import Grid
from benchmnist.analysis.ranks import mean_ranks
from benchmnist.analysis.statistics import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS = ("sgd", "momentum", "adam", "rmsprop", "lion", "sam", "muon", "adopt", "soap", "lamb")


def grid(figures: Sequence[Sequence[float | list[float | None]]]) -> Grid:
    """A row of accuracies for each group, one for each method; or a list of them, one for each seed."""
    methods = METHODS[: len(figures[0])]
    rows = tuple(
        tuple(
            seeds_result(f"model-{i}", method, found if isinstance(found, list) else [found])
            for method, found in zip(methods, row, strict=True)
        )
        for i, row in enumerate(figures)
    )
    return Grid(methods, tuple(row[0].case.group for row in rows), rows)


def test_mean_ranks_are_scipys() -> None:
    figures = np.random.default_rng(5).integers(90, 95, (14, 4)).astype(float)
    found = mean_ranks(grid(figures.tolist()))
    theirs = stats.rankdata(-figures, axis=1).mean(axis=0)
    assert found.means == pytest.approx(sorted(theirs))
    assert found.methods == tuple(METHODS[i] for i in np.argsort(theirs))
    assert round(found.critical, 2) == 1.25  # as Demšar has it for 4 methods and 14 data sets, in his table 6


@pytest.mark.parametrize(
    ("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)]
)
def test_the_critical_difference_is_that_of_demsars_table(k: int, q: float) -> None:
    found = mean_ranks(grid([[float(i) for i in range(k)]] * 5))
    assert found.critical / math.sqrt(k * (k + 1) / 30) == pytest.approx(q, abs=0.0015)


@pytest.mark.parametrize(
    ("orders", "p"),
    [
        ([(1, 2, 3)] * 3, 0.028),  # Friedman's statistic is 6
        ([(1, 2, 3)] * 3 + [(3, 2, 1)], 0.431),  # 2
        ([(1, 2, 3)] * 2 + [(1, 3, 2), (2, 1, 3)], 0.125),  # 4.5
        ([(1, 2, 3)] * 3 + [(1, 3, 2)], 0.042),  # 6.5
        ([(1, 2, 3), (1, 2, 3), (1, 2, 3), (2, 1, 3)], 0.042),
        ([(1, 2, 3), (1, 2, 3), (1, 3, 2), (1, 3, 2)], 0.069),  # 6: the chi-squared approximation says 0.0498
    ],
)
def test_few_groups_have_the_exact_p_value(orders: list[tuple[int, ...]], p: float) -> None:
    """The distribution of Friedman's statistic for 3 methods in 3 and 4 groups, as printed in tables."""
    found = mean_ranks(grid([[-float(place) for place in order] for order in orders]))
    assert found.p == pytest.approx(p, abs=0.0006)


def test_many_groups_have_about_scipys_p_value() -> None:
    rng = np.random.default_rng(2)
    figures = rng.normal([0, 0.3, 0.4, 0.5], 1, (40, 4))
    theirs = stats.friedmanchisquare(*figures.T).pvalue
    assert mean_ranks(grid(figures.tolist())).p == pytest.approx(theirs, abs=0.02)


def test_ties_share_the_mean_of_their_ranks() -> None:
    found = mean_ranks(grid([(97.0, 97.0, 98.0), (90.0, 90.0, 90.0), (80.0, 70.0, 70.0)]))
    assert dict(zip(found.methods, found.means, strict=True)) == {
        "adam": pytest.approx((1 + 2 + 2.5) / 3),
        "sgd": pytest.approx((2.5 + 2 + 1) / 3),
        "momentum": pytest.approx((2.5 + 2 + 2.5) / 3),
    }
    assert mean_ranks(grid([(1.0, 1.0, 1.0)] * 5)).p == 1.0


def test_who_lost_a_seed_ranks_behind_who_lost_none_and_who_lost_all_last() -> None:
    row: list[float | list[float | None]] = [[90.0, 90.0], [99.0, None], [None, None], [80.0, 80.0]]
    found = mean_ranks(grid([row] * 3))
    assert found.methods == ("sgd", "rmsprop", "momentum", "adam")
    assert found.means == (1.0, 2.0, 3.0, 4.0)


def test_methods_that_are_as_far_apart_as_the_critical_difference_are_not_joined() -> None:
    found = mean_ranks(grid([[float(i) for i in range(5)]] * 8))
    assert found.differ
    assert found.critical == pytest.approx(2.157, abs=0.001)
    assert found.bars == ((0, 2), (1, 3), (2, 4))
    assert found.shown(0, 3)
    assert not found.shown(0, 2)


def test_two_methods_that_are_far_apart_are_not_shown_to_differ_unless_friedmans_test_shows_that_some_do() -> None:
    orders = (
        (1, 9, 6, 2, 3, 7, 0, 5, 4, 8),
        (2, 8, 9, 0, 6, 7, 4, 5, 3, 1),
        (5, 6, 1, 0, 4, 8, 9, 3, 7, 2),
        (8, 4, 0, 1, 3, 7, 9, 5, 2, 6),
        (5, 8, 7, 1, 0, 2, 4, 6, 9, 3),
    )
    found = mean_ranks(grid([[*map(float, order)] for order in orders]))
    assert found.means[-1] - found.means[0] > found.critical
    assert found.p > LEVEL
    assert not found.shown(0, 9)
    assert not found.differ


@pytest.mark.parametrize(("groups", "methods"), [(3, 3), (4, 3), (5, 6)])
def test_where_no_method_differs_at_most_one_run_in_twenty_says_that_some_do(groups: int, methods: int) -> None:
    """400 runs: the standard deviation of a share of 0.05 is 0.011; the bound is five of them."""
    rng = np.random.default_rng(groups)
    wrong = 0
    for _ in range(400):
        difficulty = rng.normal(0, 3, (groups, 1))
        found = mean_ranks(grid((95 + difficulty + rng.normal(0, 0.2, (groups, methods))).tolist()))
        wrong += found.differ
    assert wrong / 400 <= LEVEL + 5 * 0.011


def test_a_method_that_is_better_in_every_group_is_found() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(50):
        ranks = mean_ranks(grid((95 + rng.normal([0.0, 0.0, 0.0, 2.0], 0.2, (8, 4))).tolist()))
        found += ranks.methods[0] == "rmsprop" and ranks.shown(0, 3)
    assert found == 50
