"""The permutation test is exact."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmnist.analysis.permutations import permutation_p

SAMPLES = st.lists(st.integers(-3, 9), min_size=1, max_size=5)


@given(SAMPLES, SAMPLES)
def test_it_counts_the_divisions_that_differ_as_much(ours: list[int], theirs: list[int]) -> None:
    def apart(chosen: set[int]) -> int:
        one = sum(values[i] for i in chosen)
        return abs(one * len(theirs) - (sum(values) - one) * len(ours))

    values = [*ours, *theirs]
    observed = apart({*range(len(ours))})
    divisions = [{*chosen} for chosen in itertools.combinations(range(len(values)), len(ours))]
    share = sum(apart(division) >= observed for division in divisions) / len(divisions)
    assert permutation_p(ours, theirs) == pytest.approx(share)
    assert permutation_p(theirs, ours) == pytest.approx(share)


def test_all_of_one_and_none_of_the_other() -> None:
    assert permutation_p([1] * 6, [0] * 6) == pytest.approx(2 / 924)
    assert permutation_p([1] * 6, [1] * 6) == 1
    with pytest.raises(ValueError, match="each sample"):
        permutation_p([], [1])
