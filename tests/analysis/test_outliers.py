from __future__ import annotations

import numpy as np
import pytest
from made_up import seeds_result

from benchmnist.analysis.outliers import apart, interquartile_mean, seeds_apart
from benchmnist.analysis.statistics import LEVEL


def test_a_stuck_seed_is_found_and_what_is_only_rounded_is_not() -> None:
    assert apart([98.0, 98.0, 98.0, 9.8], least=0.1) == (3,)
    assert apart([9.8, 98.1, 97.9, 98.0, 9.8], least=0.1) == (0, 4)  # two do not hide each other
    assert apart([98.0, 98.0, 98.0, 97.9], least=0.1) == ()
    assert apart([98.0, 9.8, 98.0]) == ()  # two remain: too few to say which is odd
    assert apart([], least=0.1) == ()


@pytest.mark.parametrize("n", [4, 5, 10, 20])
def test_normal_seeds_hardly_ever_raise_an_alarm(n: int) -> None:
    """1,000 runs of one case: the standard error of 0.05 is 0.007."""
    alarms = sum(bool(apart(values)) for values in np.random.default_rng(n).normal(97, 0.1, (1000, n)).tolist())
    assert alarms / 1000 <= LEVEL + 5 * 0.007


def test_of_three_seeds_a_stuck_one_is_found() -> None:
    assert apart([98.0, 9.8, 98.1], least=0.1) == (1,)
    assert apart([98.0, 96.0, 98.1], least=0.1) == ()
    assert apart([98.0, 9.8], least=0.1) == ()


def test_seeds_are_named_by_number() -> None:
    stuck = seeds_result("fc", "adam", [98.0, 98.1, 9.8, 98.0, 97.9], first_seed=7)
    assert seeds_apart([stuck, seeds_result("fc", "sgd", [90.0, 90.1, 90.2, 90.0, 89.9])]) == {stuck.id: (9,)}


def test_the_interquartile_mean_does_not_see_one_bad_seed() -> None:
    assert interquartile_mean([98.0, 98.1, 97.9, 98.0, 9.8]) == pytest.approx((98.0 + 97.9 + 98.0) / 3)
    assert interquartile_mean([90.0, 91.0]) == 90.5
