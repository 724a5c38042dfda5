from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import seeds_result
from scipy import stats

from benchmnist.analysis.targets import censored_median, profiles, split, times_to_target

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult


def case(accuracies: list[float | None], seconds: float = 2.0, **options: Any) -> CaseResult:
    """Five epochs that rise evenly: a seed that ends with 100 % is at 60 % after the third."""
    return seeds_result(
        "fc",
        str(options.pop("method", "adam")),
        accuracies,
        epochs=5,
        seconds=seconds,
        target_accuracy=60.0,
        **options,
    )


def test_a_target_is_reached_after_the_epoch_that_was_tested_there() -> None:
    (found,) = times_to_target([case([100.0, 75.0, 60.0])])
    assert [each.epochs for each in found.reached] == [3, 4, 5]
    assert (found.hits, found.epochs, found.steps, found.seconds) == (3, 4, 40, 8.0)
    assert found.step_seconds == 0.2


def test_a_miss_is_not_given_the_time_that_it_was_watched_for() -> None:
    (found,) = times_to_target([case([100.0, 100.0, 50.0])])
    assert (found.hits, found.seconds) == (2, 6.0)
    (most,) = times_to_target([case([100.0, 50.0, 50.0, None])])
    assert (most.hits, most.epochs, most.steps, most.seconds) == (1, None, None, None)
    assert most.watched == 10.0  # not the time until one diverged


def test_who_diverged_was_there_never() -> None:
    (found,) = times_to_target([case([None, None, 100.0])])
    assert (found.hits, found.seconds, found.watched) == (1, None, 0.0)


def test_what_has_no_target_and_controls_are_left_out() -> None:
    assert times_to_target([seeds_result("fc", "adam", [90.0]), case([100.0], control=True)]) == []


@given(st.lists(st.integers(1, 9) | st.just(math.inf), min_size=1, max_size=12))
def test_the_median_is_that_of_kaplan_and_meier(times: list[float]) -> None:
    """Every miss is watched to the same end, 10."""
    censored = [time for time in times if math.isinf(time)]
    hit = [time for time in times if math.isfinite(time)]
    data: Any = stats.CensoredData(uncensored=hit, right=[10.0] * len(censored))
    survival = stats.ecdf(data).sf
    theirs = next(
        (q for q, p in zip(survival.quantiles, survival.probabilities, strict=True) if p <= 0.5 + 1e-9), None
    )
    assert censored_median(times) == (theirs if theirs is not None and theirs < 10 else None)


def test_sooner_is_fewer_steps_times_cheaper_ones() -> None:
    fast, slow = times_to_target([case([100.0] * 3, seconds=1.0), case([75.0] * 3, seconds=2.0, method="sgd")])
    why = split(fast, slow)
    assert why is not None
    assert (why.steps, why.cost) == pytest.approx((4 / 3, 2.0))
    assert slow.seconds is not None
    assert fast.seconds is not None
    assert why.time == pytest.approx(slow.seconds / fast.seconds)
    (never,) = times_to_target([case([10.0] * 3)])
    assert split(never, slow) is None


def test_a_profile_is_by_the_whole_training_of_the_baseline() -> None:
    sgd = case([100.0, 50.0], seconds=2.0, method="sgd", baseline="sgd")
    adam = case([100.0, 75.0], seconds=4.0, baseline="sgd")
    by_method = {profile.method: profile for profile in profiles(times_to_target([sgd, adam]))}
    assert by_method["sgd"].points == ((0.6, 0.5),)  # 6 of 10 s; the other seed never
    assert by_method["adam"].points == ((1.2, 0.5), (1.6, 1.0))
    assert [by_method["adam"].share(time) for time in (0.5, 1.2, 1.5, 1.6, 9)] == [0.0, 0.5, 0.5, 1.0, 1.0]


def test_a_profile_does_not_change_with_whom_it_stands_beside() -> None:
    sgd, adam = case([100.0], method="sgd", baseline="sgd"), case([100.0], baseline="sgd")
    faster = case([100.0], seconds=0.1, method="new", baseline="sgd")
    assert profiles(times_to_target([sgd, adam]))[1] == profiles(times_to_target([sgd, adam, faster]))[1]


def test_a_profile_gathers_the_groups_each_by_its_own_reference() -> None:
    groups = [
        seeds_result(model, method, [100.0], epochs=5, seconds=seconds, target_accuracy=60.0, baseline="sgd")
        for model, times in (("fc", (1.0, 2.0)), ("cnn", (10.0, 10.0)))
        for method, seconds in zip(("sgd", "adam"), times, strict=True)
    ]
    adam = profiles(times_to_target(groups))[1]
    assert (adam.problems, adam.points) == (2, ((0.6, 0.5), (1.2, 1.0)))
