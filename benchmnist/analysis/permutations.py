"""An exact permutation test of two samples of whole numbers."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def permutation_p(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """Returns the share of all divisions of the values into two samples whose means differ by at least as much.

    This is the two-sided p value of "both are drawn from the same distribution" (Fisher 1935, The Design of
    Experiments). The divisions are counted by their sums, not made. Where the values come in pairs that share
    some luck, as searches with the same seeds do, the true one is smaller: it takes them as independent.

    Raises:
        ValueError: if a sample is empty.
    """
    if not ours or not theirs:
        raise ValueError("each sample must have a value")
    number, values = len(ours), (*ours, *theirs)
    ways: list[Counter[int]] = [Counter({0: 1}), *(Counter[int]() for _ in range(number))]
    for value in values:
        for size in range(number, 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + value] += count
    # Differences in the mean, in units that are whole numbers.
    expected = number * sum(values)
    observed = abs(len(values) * sum(ours) - expected)
    extreme = sum(n for total, n in ways[number].items() if abs(len(values) * total - expected) >= observed)
    return extreme / math.comb(len(values), number)
