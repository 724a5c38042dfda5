from __future__ import annotations

import itertools
import math
import statistics
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmnist.analysis.searches import (
    at_the_edge,
    best_so_far,
    expected_best,
    scores_of,
    share_near_best,
    values_of,
)
from benchmnist.metrics import Metric
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

if TYPE_CHECKING:
    from collections.abc import Sequence


@settings(max_examples=40)
@given(st.lists(st.integers(0, 100).map(float), min_size=1, max_size=6))
def test_the_expected_best_is_that_of_all_draws(values: list[float]) -> None:
    """Every way to draw k of them without replacement, each as likely: by counting."""
    for expected in expected_best(values):
        draws = [max(draw) for draw in itertools.combinations(values, expected.attempts)]
        assert expected.mean == pytest.approx(statistics.fmean(draws))
        for quantile, found in ((0.25, expected.low), (0.75, expected.high)):
            assert sum(draw <= found for draw in draws) >= quantile * len(draws)
            assert sum(draw < found for draw in draws) < quantile * len(draws)


def test_the_expected_best_is_unbiased_for_each_number_of_attempts() -> None:
    """Over 4,000 searches of 8 attempts, uniform from 0 to 1: the true mean of the best of k is k / (k + 1)."""
    repetitions, attempts = 4000, 8
    drawn = np.random.default_rng(11).random((repetitions, attempts))
    means = np.array([[each.mean for each in expected_best(values)] for values in drawn.tolist()])
    for k in range(1, attempts + 1):
        error = means[:, k - 1].std(ddof=1) / math.sqrt(repetitions)
        assert abs(means[:, k - 1].mean() - k / (k + 1)) < 5 * error
    ordered = np.sort(drawn)  # and what is drawn with replacement is not: at k = n it is too low
    shares = np.diff((np.arange(attempts + 1) / attempts) ** attempts)
    assert (ordered @ shares).mean() < attempts / (attempts + 1) - 5 * error


def test_more_attempts_are_never_expected_to_be_worse() -> None:
    means = [each.mean for each in expected_best([10.0, 97.0, 96.5, 40.0, 97.5])]
    assert means == sorted(means)
    assert means[0] == pytest.approx(statistics.fmean([10.0, 97.0, 96.5, 40.0, 97.5]))


ATTEMPTS = st.builds(
    lambda reached, steps, value: Attempt(
        params={}, value=value, reached=reached, steps=steps / 2 if reached else None
    ),
    st.integers(0, 3),
    st.integers(2, 1000),
    st.one_of(st.none(), st.integers(-20, 20).map(float)),
)


@settings(max_examples=60)
@given(st.lists(ATTEMPTS, min_size=1, max_size=6), st.sampled_from(["higher", "lower"]))
def test_samplers_get_a_number_that_orders_attempts_as_the_choice_of_the_best_does(
    attempts: list[Attempt], better: Literal["higher", "lower"]
) -> None:
    found = Search(
        dataset="mnist",
        model="fc",
        method="sgd",
        sampler="tpe",
        metric=Metric("test_loss", "test loss", "", better),
        space={},
        attempts=tuple(attempts),
        target="a test loss of 1",
        seeds=3,
        budget=500,
    )
    scores = scores_of(found)
    lost = [each.value is None and not each.reached for each in attempts]
    if all(lost):
        assert found.best is None
    else:
        assert found.best is attempts[scores.index(max(scores))]
    sign = 1 if better == "higher" else -1
    ranks = [
        (each.reached, -(each.steps or 0), -math.inf if each.value is None else sign * each.value)
        for each in attempts
    ]
    assert sorted(range(len(ranks)), key=ranks.__getitem__) == sorted(range(len(ranks)), key=scores.__getitem__)


def search(space: Space, values: Sequence[object], accuracies: Sequence[float | None]) -> Search:
    attempts = tuple(
        Attempt(params={"lr": value}, value=accuracy) for value, accuracy in zip(values, accuracies, strict=True)
    )
    return Search(
        dataset="mnist", model="fc", method="sgd", sampler="random", space={"lr": space}, attempts=attempts
    )


LOG = Space(low=1e-4, high=1.0, log=True)
LINEAR = Space(low=0.0, high=0.5)


def test_where_lower_is_better_all_is_the_other_way_round() -> None:
    values = [0.5, 0.1, 0.9, 0.3]
    for expected, mirrored in zip(
        expected_best(values, "lower"), expected_best([-v for v in values]), strict=True
    ):
        assert (expected.mean, expected.low, expected.high) == pytest.approx(
            (-mirrored.mean, -mirrored.high, -mirrored.low)
        )
    assert best_so_far(values, "lower") == [0.5, 0.1, 0.1, 0.1]
    error = Metric("mse", "mean squared error", better="lower")
    found = search(LOG, [0.1, 0.2, 0.3], [0.5, None, 0.9]).model_copy(update={"metric": error})
    assert found.best == found.attempts[0]
    assert values_of(found) == [0.5, 0.9, 0.9]  # what diverged counts as the worst
    assert share_near_best(found) is None


def test_the_best_so_far_goes_by_the_order() -> None:
    assert best_so_far([90.0, 80.0, 95.0]) == [90.0, 90.0, 95.0]


def test_the_share_of_what_would_have_done() -> None:
    assert share_near_best(search(LOG, [0.1, 0.2, 0.3, 0.4, 0.5], [97.0, 96.0, 95.9, 10.0, None])) == 0.4
    assert share_near_best(search(LOG, [], [])) is None
    assert share_near_best(search(LOG, [0.1, 0.2], [None, None])) is None


def test_a_search_of_an_earlier_version_is_read() -> None:
    found = search(LOG, [0.1, 0.2], [97.0, None])
    earlier = found.model_dump(exclude={"metric"})
    for attempt in earlier["attempts"]:
        attempt["accuracy"] = attempt.pop("value")
    assert Search.model_validate(earlier) == found


BOTH = Space(values=(True, False))


def listed(*values: object) -> Space:
    return Space(values=values)


@pytest.mark.parametrize(
    ("space", "values", "accuracies", "edge"),
    [
        (LOG, [1e-3, 0.01, 1.0], [50, 60, 97], "lr = 1, tried 0.001 to 1, range 0.0001 to 1; the end"),
        (LOG, [1e-4, 0.01, 0.4], [97, 60, 50], "lr = 0.0001, tried 0.0001 to 0.4, range 0.0001 to 1; the end"),
        (LINEAR, [0.0, 0.2, 0.4], [97, 60, 50], ""),  # 0 turns it off
        (LINEAR, [0.003, 0.2, 0.4], [97, 60, 50], ""),
        (LINEAR, [0.1, 0.2, 0.4], [97, 60, 50], "lr = 0.1, tried 0.1 to 0.4, range 0 to 0.5"),
        (LINEAR, [0.1, 0.2, 0.5], [60, 60, 97], "lr = 0.5, tried 0.1 to 0.5, range 0 to 0.5; the end"),
        (listed(0.01, 0.1, 1.0), [0.01, 0.1], [50, 97], "lr = 0.1, tried 0.01 to 0.1, list 0.01 to 1"),
        (LOG, [1e-3, 0.01, 0.4], [50, 60, 97], "lr = 0.4, tried 0.001 to 0.4, range 0.0001 to 1"),
        (LOG, [1e-3, 0.01, 0.4], [97, 60, 50], "lr = 0.001, tried 0.001 to 0.4, range 0.0001 to 1"),
        (LOG, [1e-3, 0.01, 0.4], [50, 97, 60], ""),
        (LOG, [1e-3, 0.9, 0.99], [50, 97, None], ""),  # further out it diverged
        (LOG, [0.5], [97], ""),  # the only one
        (listed(0.01, 0.1, 1.0), [0.1, 1.0, 0.01], [50, 97, 60], "lr = 1, tried 0.01 to 1; the end"),
        (listed(0.01, 0.1, 1.0), [0.1, 1.0, 0.01], [97, 50, 60], ""),
        (listed(1, 2), [2, 1], [97, 50], ""),  # each of two is an end
        (listed(0.0, 0.5, 0.9), [0.0, 0.5, 0.9], [97, 60, 50], ""),  # 0 turns it off
        (BOTH, [True, False], [97, 60], ""),
        (listed("a", "b", "c"), ["a", "b", "c"], [97, 60, 50], ""),
    ],
)
def test_the_best_at_the_outermost_value_that_was_tried(
    space: Space, values: list[object], accuracies: list[float | None], edge: str
) -> None:
    found = [f"{each.text}{'; the end' * each.at_end}" for each in at_the_edge(search(space, values, accuracies))]
    assert ", ".join(found) == edge


@pytest.mark.parametrize("tries", [4, 8, 16])
def test_how_often_an_optimum_outside_the_space_is_told(tries: int) -> None:
    """In 2,000 searches: the best learning rate is half a range beyond the space, or in its middle.

    A warning in the first case is right. Accuracy falls by 20 points over one range away from the best; the spread
    of an attempt is 0.1 points.
    """
    repetitions = 2000
    random = np.random.default_rng(tries)
    told = {}
    for best in (1.5, 0.5):
        shares = random.random((repetitions, tries))
        accuracies = 97 - 20 * (shares - best) ** 2 + 0.1 * random.standard_normal((repetitions, tries))
        rates = (1e-4 * 1e4**shares).tolist()
        told[best] = statistics.fmean(
            bool([*at_the_edge(search(LOG, *each))]) for each in zip(rates, accuracies.tolist(), strict=True)
        )
    assert told[1.5] > 0.95 - 5 * math.sqrt(0.95 * 0.05 / repetitions)
    if tries > 4:  # of four, the best of which is in the middle, it often is an outer one
        assert told[0.5] < 0.05
