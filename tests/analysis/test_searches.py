from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmnist.analysis.searches import at_the_edge, best_so_far, expected_best, share_near_best
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space


@settings(max_examples=40)
@given(st.lists(st.integers(0, 100).map(float), min_size=1, max_size=5))
def test_the_expected_best_is_that_of_all_draws(values: list[float]) -> None:
    """Every way to draw k of them, each as likely: by counting."""
    for expected in expected_best(values):
        draws = [max(draw) for draw in itertools.product(values, repeat=expected.attempts)]
        assert expected.mean == pytest.approx(statistics.fmean(draws))
        for quantile, found in ((0.25, expected.low), (0.75, expected.high)):
            assert sum(draw <= found for draw in draws) >= quantile * len(draws)
            assert sum(draw < found for draw in draws) < quantile * len(draws)


def test_more_attempts_are_never_expected_to_be_worse() -> None:
    means = [each.mean for each in expected_best([10.0, 97.0, 96.5, 40.0, 97.5])]
    assert means == sorted(means)
    assert means[0] == pytest.approx(statistics.fmean([10.0, 97.0, 96.5, 40.0, 97.5]))


def test_the_best_so_far_goes_by_the_order() -> None:
    assert best_so_far([90.0, 80.0, 95.0]) == [90.0, 90.0, 95.0]


def test_the_share_of_what_would_have_done() -> None:
    assert share_near_best([97.0, 96.0, 95.9, 10.0]) == 0.5
    assert share_near_best([]) is None


def search(lr: float, space: Space, *others: float) -> Search:
    attempts = [Attempt(params={"lr": lr}, accuracy=97.0)]
    attempts += [Attempt(params={"lr": each}, accuracy=50.0) for each in others]
    attempts.append(Attempt(params={"lr": 9.0}))  # diverged
    return Search(
        dataset="mnist", model="fc", method="sgd", sampler="random", space={"lr": space}, attempts=tuple(attempts)
    )


LOG = Space(low=1e-4, high=1.0, log=True)


@pytest.mark.parametrize(
    ("lr", "space", "edge"),
    [
        (0.9, LOG, True),
        (1.2e-4, LOG, True),
        (0.1, LOG, False),
        (0.04, Space(low=0.0, high=1.0), True),
        (0.1, Space(low=0.0, high=1.0), False),
        (1.0, Space(values=(0.1, 1.0)), False),  # of a list of values nothing lies beyond
    ],
)
def test_the_best_at_the_edge_of_its_range_is_told(lr: float, space: Space, edge: bool) -> None:
    assert bool([*at_the_edge(search(lr, space, 0.5))]) == edge
