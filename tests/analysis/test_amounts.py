"""What is printed of an interval agrees with the word that was read off it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from made_up import seeds_result

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.statistics import Paired
from benchmnist.analysis.verdicts import Verdict, judge_pair
from benchmnist.metrics import EPOCH_SECONDS, PRIMARY, Metric

ADAM, SGD = (seeds_result("fc", name, [90.0] * 3) for name in ("adam", "sgd"))


@given(
    st.lists(st.integers(-1000, 1000).map(lambda n: n / 1000), min_size=3, max_size=6),
    st.sampled_from([None, 0.5, 0.125, 0.2]),
    st.sampled_from([PRIMARY, EPOCH_SECONDS]),
)
def test_no_end_is_rounded_to_a_bound_that_it_is_not(
    values: list[float], margin: float | None, metric: Metric
) -> None:
    v = Verdict(ADAM, SGD, metric, Paired(tuple(values)), margin)
    found = amount_of(v)
    assert (found.interval is None) == (v.interval is None)
    if found.interval is None or found.digits >= 8:
        return
    low, high = (float(f"{end:.{found.digits}f}") for end in found.interval)
    none = 1.0 if metric.ratio else 0.0
    assert v.excludes_zero == (not low <= none <= high)
    if v.word == "equivalent" and not metric.ratio:
        assert margin is not None
        assert -margin < low <= high < margin


def test_a_case_has_what_the_other_lacks() -> None:
    v = judge_pair(seeds_result("fc", "adam", [97.0, 97.2, 97.1]), SGD)
    ours, theirs = amount_of(v), amount_of(v, v.other)
    assert ours.interval is not None
    assert (theirs.mean, theirs.interval) == (-ours.mean, (-ours.interval[1], -ours.interval[0]))


def test_what_is_beyond_all_numbers_is_the_largest() -> None:
    v = Verdict(ADAM, SGD, EPOCH_SECONDS, Paired((900.0, -900.0, 0.0)))
    assert amount_of(v).interval is not None
