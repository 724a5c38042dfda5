"""Held against scipy and statsmodels on the same samples, and against what is true of simulated ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from benchmnist.analysis.statistics import (
    LEVEL,
    MANY_PAIRS,
    POWER,
    Paired,
    Sample,
    holm,
    pairs_needed,
    welch,
)

FIGURES = st.floats(-100, 100).map(lambda x: round(x, 3))
FEW = st.lists(FIGURES, min_size=3, max_size=MANY_PAIRS - 1).map(tuple).filter(lambda v: np.std(v) > 1e-2)


@settings(max_examples=30)
@given(FEW, st.floats(0.01, 50))
def test_a_paired_difference_is_scipys_and_statsmodels(values: tuple[float, ...], margin: float) -> None:
    paired = Paired(values)
    theirs = stats.ttest_1samp(values, 0.0)
    assert paired.p == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(1 - LEVEL)
    assert paired.interval == pytest.approx((interval.low, interval.high))
    tost, *_ = DescrStatsW(np.array(values)).ttost_mean(-margin, margin)
    assert paired.equivalence_p(margin) == pytest.approx(tost, abs=1e-9)


def test_many_pairs_are_bootstrapped_the_same_every_time() -> None:
    values = tuple(np.random.default_rng(1).exponential(size=MANY_PAIRS).tolist())
    low, high = Paired(values).interval or (0.0, 0.0)
    assert Paired(values).interval == (low, high)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=2).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.05)
    assert high - sum(values) / len(values) > sum(values) / len(values) - low  # as skewed as the sample


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1])


@settings(max_examples=20)
@given(st.floats(0.15, 2.0), st.sampled_from([0.05, 0.05 / 26]))
def test_the_pairs_that_are_needed_are_statsmodels(effect: float, level: float) -> None:
    ours = pairs_needed(effect, level)
    assert ours is not None
    theirs = [TTestPower().power(effect, n, level) for n in (ours - 1, ours)]
    assume(not np.isnan(theirs).any())  # which statsmodels' lower tail is at times
    assert theirs[1] >= POWER - 1e-3
    assert theirs[0] < POWER + 1e-3


def test_what_nobody_can_find_wants_no_number_of_pairs() -> None:
    assert pairs_needed(1e-4) is None
    assert Paired((0.0, 0.0, 0.0)).pairs_needed() is None


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
    assert (paired.interval, paired.p, paired.equivalence_p(1.0), paired.pairs_needed()) == (
        None,
        None,
        None,
        None,
    )


def test_differences_that_are_all_the_same_are_counted_by_their_sign() -> None:
    """A t test would be sure of them, whatever they are: on a small test set three seeds agree by chance."""
    assert Paired((0.5,) * 3).p == 0.25
    assert Paired((0.1 + 0.2, 0.3, 0.3)).p == 0.25  # but for rounding
    assert Paired((0.5,) * 6).p == pytest.approx(2 / 64)
    assert Paired((0.0,) * 6).p == 1.0
    assert Paired((0.5,) * 3).pairs_needed() == 6  # 2 / 2^6 is the first at or under 0.05
    assert Paired((0.0,) * 6).equivalence_p(0.1) == pytest.approx(1 / 64)
    assert Paired((0.5,) * 6).equivalence_p(0.1) == 1.0


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_of_few_pairs_cover(n: int) -> None:
    """2,000 samples of a normal distribution: the standard error of a coverage of 0.95 is 0.005."""
    rng = np.random.default_rng(n)
    inside = 0
    for _ in range(2000):
        low, high = Paired(tuple(rng.normal(0.3, 1.0, n))).interval or (0.0, 0.0)
        inside += low <= 0.3 <= high
    assert inside / 2000 == pytest.approx(1 - LEVEL, abs=0.015)


def test_intervals_of_many_pairs_cover_what_is_skewed() -> None:
    """400 samples of an exponential distribution: the standard error is 0.011; the bootstrap is a little short."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        low, high = Paired(tuple(rng.exponential(1.0, 30))).interval or (0.0, 0.0)
        inside += low <= 1.0 <= high
    assert 0.90 <= inside / 400 <= 0.98


def test_equivalence_is_claimed_no_more_often_than_stated_where_it_is_not_so() -> None:
    rng = np.random.default_rng(5)
    claims = sum((Paired(tuple(rng.normal(0.5, 0.3, 5))).equivalence_p(0.5) or 1.0) <= LEVEL for _ in range(1000))
    assert claims / 1000 <= LEVEL + 2.5 * 0.007


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
    assert min(holm(ps)) > LEVEL
    assert math.isclose(max(ps), welch(published["adam"], published["sgd"]).p)
