"""Held against scipy and statsmodels on the same samples, and against what is true of simulated ones."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from benchmnist.analysis.statistics import (
    LEVEL,
    POWER,
    Paired,
    Sample,
    detectable,
    difference,
    sample_std,
    welch,
)

FIGURES = st.floats(-100, 100).map(lambda x: round(x, 3))
FEW = st.lists(FIGURES, min_size=3, max_size=40).map(tuple).filter(lambda v: np.std(v) > 1e-2)


MOST = 1e307
"""No deviation of figures up to it is larger than any float."""
SIZES = (
    st.floats(-MOST, MOST),  # of any sizes
    st.floats(90, 100),
    st.integers(-3, 3).map(float),  # the root is often whole
    st.integers(-4, 4).map(lambda n: n * 5e-324),  # the least there are: many roots are halfway between two floats
)


@settings(max_examples=300)
@given(st.sampled_from(SIZES).flatmap(lambda each: st.lists(each, min_size=2, max_size=9)))
def test_a_deviation_has_the_bits_of_pythons(values: list[float]) -> None:
    assert sample_std(values) == statistics.stdev(values)
    assert math.isnan(sample_std([*values, math.inf]))


@settings(max_examples=30)
@given(FEW, st.integers(1, 400))
def test_a_paired_difference_is_scipys(values: tuple[float, ...], of: int) -> None:
    paired = Paired(values)
    theirs = stats.ttest_1samp(values, 0.0)
    assert paired.p() == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(1 - LEVEL / of)
    assert paired.interval(of) == pytest.approx((interval.low, interval.high))


@settings(max_examples=60)
@given(st.lists(st.sampled_from([-0.2, -0.1, 0.0, 0.1, 0.3]), min_size=3, max_size=9), st.integers(1, 99))
def test_an_interval_excludes_nothing_just_where_p_says_so(values: list[float], of: int) -> None:
    paired = Paired(tuple(values))
    level, interval = paired.p(of), paired.interval(of)
    assert (level is None) == (interval is None) == (not paired.varies)
    if level is not None and interval is not None:
        assume(abs(level - LEVEL) > 1e-9)
        assert (not interval[0] <= 0 <= interval[1]) == (level <= LEVEL)


@settings(max_examples=20)
@given(st.integers(3, 40), st.sampled_from([1, 9, 26]))
def test_what_can_be_found_is_statsmodels(n: int, of: int) -> None:
    effect = detectable(n, of)
    theirs = TTestPower().power(effect, n, LEVEL / of)
    assume(not np.isnan(theirs))  # which statsmodels' lower tail is at times
    assert theirs == pytest.approx(POWER, abs=2e-3)
    assert detectable(n, of, spread=0.1) == pytest.approx(effect / 10)
    assert detectable(n, of, power=0.9) > effect


@settings(max_examples=30)
@given(
    st.tuples(FIGURES, st.floats(0.1, 10), st.integers(2, 30)),
    st.tuples(FIGURES, st.floats(0.1, 10), st.integers(2, 30)),
)
def test_unpaired_samples_are_scipys(one: tuple[float, float, int], other: tuple[float, float, int]) -> None:
    ours = welch(Sample(*one), Sample(*other))
    theirs = stats.ttest_ind_from_stats(*one, *other, equal_var=False)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_interval_of_unpaired_samples_is_statsmodels() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(97, 0.2, 5), rng.normal(96.5, 0.5, 8)
    ours = welch(Sample.of(one.tolist()), Sample.of(other.tolist()))
    theirs = CompareMeans(DescrStatsW(one), DescrStatsW(other)).tconfint_diff(alpha=LEVEL, usevar="unequal")
    assert (ours.difference - ours.half, ours.difference + ours.half) == pytest.approx(theirs)


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 2.0)])
def test_of_one_or_two_pairs_nothing_is_said(values: tuple[float, ...]) -> None:
    paired = Paired(values)
    assert not paired.says_something
    assert (paired.interval(), paired.p()) == (None, None)


def test_differences_that_are_all_the_same_have_no_interval() -> None:
    """A t test would be sure of them, whatever they are: on a small test set three seeds agree by chance."""
    for same in ((0.5,) * 3, (0.1 + 0.2, 0.3, 0.3), (0.5,) * 30, (0.0,) * 6):
        assert (Paired(same).interval(), Paired(same).p()) == (None, None)
    assert Paired((0.0,) * 6).identical


def test_figures_of_any_size_have_a_difference() -> None:
    """Only rounding is none: a metric may have values of 1e-13 or 1e160."""
    assert difference(0.1 + 0.2, 0.3) == 0.0
    assert difference(5e-13, 1e-14) == pytest.approx(4.9e-13)
    small, large = (Paired((5 * size, 6 * size, 7 * size)) for size in (1e-200, 1e200))
    assert small.std == pytest.approx(1e-200)
    assert large.std == pytest.approx(1e200)
    assert small.p() == pytest.approx(large.p())
    assert Paired((1.7e308, 1.7e308, 1.7e308)).mean == pytest.approx(1.7e308)
    assert not math.isfinite(Paired((1.7e308, -1.7e308, 1.7e308)).std)


DRAWN = {
    "normal": lambda rng, size: rng.normal(0.0, 1.0, size),
    "heavy tails": lambda rng, size: rng.standard_t(3, size),
    "uniform": lambda rng, size: rng.uniform(-1, 1, size),
}


@pytest.mark.parametrize("n", [3, 5, 10, 30])
@pytest.mark.parametrize("kind", DRAWN)
def test_intervals_of_a_family_hold_at_once(kind: str, n: int) -> None:
    """1,000 families of 9 differences of two arms of a kind: the standard error of 0.05 is 0.007."""
    rng = np.random.default_rng(n)
    missed = 0
    for family in DRAWN[kind](rng, (1000, 9, n)) - DRAWN[kind](rng, (1000, 9, n)):
        intervals = [Paired(tuple(values)).interval(9) for values in family.tolist()]
        missed += any(low > 0 or high < 0 for low, high in filter(None, intervals))
    assert missed / 1000 <= LEVEL + 5 * 0.007


def test_skewed_differences_break_the_rate_and_we_say_so() -> None:
    """1,000 samples of an exponential distribution, 5 pairs each: docs/how-to-judge.md says that no test helps."""
    rng = np.random.default_rng(0)
    missed = 0
    for values in rng.exponential(1.0, (1000, 5)).tolist():
        low, high = Paired(tuple(values)).interval() or (0.0, 0.0)
        missed += not low <= 1.0 <= high
    assert missed / 1000 > LEVEL + 5 * 0.007


def test_deepobs_published_figures_show_no_difference() -> None:
    """fmnist_2c2d, tuned, 10 seeds each: mean and deviation of the test accuracy in % (DeepOBS_Baselines).

    Welch's test has p from 0.10 to 0.54 for the three pairs.
    """
    published = {
        "adam": Sample(92.34, 0.29, 10),
        "sgd": Sample(92.27, 0.18, 10),
        "momentum": Sample(92.14, 0.21, 10),
    }
    ps = [welch(published[a], published[b]).p for a, b in itertools.combinations(published, 2)]
    assert min(ps) == pytest.approx(0.10, abs=0.01)
    assert max(ps) == pytest.approx(0.54, abs=0.015)
    assert min(ps) * len(ps) > LEVEL
    assert math.isclose(max(ps), welch(published["adam"], published["sgd"]).p)
