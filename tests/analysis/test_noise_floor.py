from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_up import seeds_result
from scipy import stats

from benchmnist.analysis.noise_floor import noise_floors

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult


def baseline_and_control(accuracies: list[float], again: list[float]) -> list[CaseResult]:
    return [
        seeds_result("fc", "sgd", [*accuracies], baseline="sgd", seconds=[1.0, 1.1, 0.9, 1.0]),
        seeds_result(
            "fc", "sgd", [*again], baseline="sgd", seconds=[1.2, 1.3, 1.1, 1.2], first_seed=4, control=True,
            axes=("control",),
        ),
        seeds_result("fc", "adam", [95.0] * 4, baseline="sgd"),
    ]  # fmt: skip


def test_the_floor_is_what_the_interval_leaves_room_for() -> None:
    one, again = [90.0, 90.2, 89.8, 90.1], [90.1, 89.9, 90.0, 90.2]
    (floor,) = noise_floors(baseline_and_control(one, again)).values()
    interval = stats.ttest_ind(one, again, equal_var=False).confidence_interval()
    assert floor.primary == pytest.approx((interval.high - interval.low) / 2)


def test_or_what_they_differ_by_where_that_is_more() -> None:
    one, again = [90.0, 90.2, 89.8, 90.1], [93.1, 92.9, 93.0, 93.2]
    (floor,) = noise_floors(baseline_and_control(one, again)).values()
    assert floor.primary == pytest.approx(np.mean(again) - np.mean(one))
    assert floor.ratio is not None
    times = np.log([1.2, 1.3, 1.1, 1.2]).mean() - np.log([1.0, 1.1, 0.9, 1.0]).mean()
    assert math.log(floor.ratio) >= times


def test_a_group_without_a_control_has_none() -> None:
    cases = baseline_and_control([90.0] * 4, [90.0] * 4)
    assert noise_floors([cases[0], cases[2]]) == {}
    one_seed = [seeds_result("fc", "sgd", [90.0], baseline="sgd", control=c, first_seed=c) for c in (False, True)]
    (floor,) = noise_floors(one_seed).values()
    assert (floor.primary, floor.ratio) == (None, None)


def test_most_differences_of_nothing_are_under_it() -> None:
    """Where nothing differs, a third case is as far from the baseline as the control is."""
    rng, under = np.random.default_rng(0), 0
    for _ in range(400):
        one, again, third = rng.normal(90, 0.2, (3, 4)).tolist()
        (floor,) = noise_floors(baseline_and_control(one, again)).values()
        assert floor.primary is not None
        under += abs(np.mean(third) - np.mean(one)) <= floor.primary
    assert under / 400 >= 0.93
