"""The verdicts on all pairs of the many cases of a group at once, as far as marks need them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmnist.analysis.statistics import LEAST_PAIRS, LEVEL, ROUNDING, student

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from benchmnist.analysis.many_pairs import Members

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

CHUNK = 100_000
"""Pairs that are judged in one piece: 0.8 MB for each figure of a pair, which the processor's cache holds."""
CANCELLED = 1e-8
"""Share of the variances of two cases below which that of their difference is not calculated from these."""


class Told(NamedTuple):
    """The conclusions from the verdicts of a group on each case, by its position.

    Attributes:
        beaten: Whether another is shown to be better.
        judged: Whether any verdict on it decides something, if only that no difference is shown.
        lost: Whether it lost a seed that another completed.
    """

    beaten: Mask
    judged: Mask
    lost: Mask


def told(
    members: Members,
    values: Sequence[Mapping[int, float]],
    lost: Sequence[frozenset[int]],
    margins: Sequence[float],
    *,
    higher: bool,
    of: int,
    primary: int | None = None,
) -> Told:
    """Judges each pair of a group that is compared, as `verdicts.Verdict` does.

    Pairs with fewer than LEAST_PAIRS seeds count as undecided, also where these are identical: this needs all that
    was measured, and `verdicts.Many.told` adds it.

    Args:
        members: The cases.
        values: The compared value for each seed of each case.
        lost: The seeds that each case lost.
        margins: Largest difference that counts as none, for each case; infinite if it gives none.
        higher: Whether a higher value is better.
        of: Number of all comparisons.
        primary: Number of the primary ones; None if the suite names them.
    """
    number = len(members.cases)
    found = Told(*(np.zeros(number, bool) for _ in range(3)))
    patterns: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
    for position, (by_seed, gone) in enumerate(zip(values, lost, strict=True)):
        patterns.setdefault((frozenset(by_seed), gone), []).append(position)
    margin = np.array(margins, float)
    each = [(*pattern, np.array(positions)) for pattern, positions in patterns.items()]
    for index, (ours, our_lost, rows) in enumerate(each):
        for theirs, their_lost, columns in each[index:]:
            seeds = sorted(ours & theirs)
            losers = bool(our_lost & theirs), bool(their_lost & ours)
            if not any(losers) and len(seeds) < LEAST_PAIRS:
                continue
            one, other = (_Sample.of([values[i] for i in which], seeds) for which in (rows, columns))
            for some, others in _pieces(len(rows), len(columns), same=rows is columns):
                here, there = rows[some], columns[others]
                compared = members.compared(here, there)
                if any(losers):
                    found.lost[here] |= compared.any(1) & losers[0]
                    found.lost[there] |= compared.any(0) & losers[1]
                    continue
                found.judged[here] |= compared.any(1)
                found.judged[there] |= compared.any(0)
                mean, half = _intervals(one.part(some), other.part(others), of)
                within = np.minimum(margin[here, None], margin[None, there])
                shown = _shown(mean, half, within)
                if primary is not None and not members.has_baseline.all():
                    later = np.maximum(here[:, None], there[None, :])
                    named = ~members.has_baseline[later]  # in a group without its baseline, all are primary
                    narrower = student(LEVEL / primary, len(seeds) - 1) / student(LEVEL / of, len(seeds) - 1)
                    shown |= named & _shown(mean, half * narrower, within)
                shown &= compared
                better = (mean > 0) == higher
                found.beaten[here] |= (shown & ~better).any(1)
                found.beaten[there] |= (shown & better).any(0)
    return found


def _pieces(rows: int, columns: int, *, same: bool) -> Iterator[tuple[slice, slice]]:
    """Yields pieces of the pairs of each of some cases with each of others; if they are the same, of each once."""
    first = 0
    while first < rows:
        start = first if same else 0
        last = first + max(1, CHUNK // (columns - start))
        yield slice(first, last), slice(start, columns)
        first = last


class Lacking(NamedTuple):
    """Comparisons of a group that lack seeds.

    Attributes:
        few: Whether a comparison of the case, by its position, lacks nothing but seeds.
        most: Most seeds that both cases of such a comparison have; 0 without one.
        apart: Whether the case and another, which have seeds enough, have too few in common.
        number: Number of the pairs of such cases.
        first: Some of these pairs, as positions, the earlier case first.
    """

    few: Mask
    most: int
    apart: Mask
    number: int
    first: list[tuple[int, int]]


def lacking(
    members: Members,
    completed: Sequence[frozenset[int]],
    planned: Sequence[frozenset[int]],
    begun: Sequence[bool],
    named: int,
) -> Lacking:
    """Finds the pairs of a group that are compared, and lack seeds.

    Args:
        members: The cases.
        completed: The seeds of each case that have a value.
        planned: The seeds that each was to be trained with.
        begun: Whether any trial of each case has a result.
        named: How many pairs to return at most.
    """
    few, apart = (np.zeros(len(members.cases), bool) for _ in range(2))
    most, number, first = 0, 0, list[tuple[int, int]]()
    patterns: dict[tuple[frozenset[int], frozenset[int], bool], list[int]] = {}
    for position, pattern in enumerate(zip(completed, planned, begun, strict=True)):
        patterns.setdefault(pattern, []).append(position)
    for ours, theirs in itertools.combinations_with_replacement(patterns, 2):
        seeds = min(len(ours[1]), len(theirs[1]))
        are_few = ours[2] and theirs[2] and seeds < LEAST_PAIRS and len(ours[0] & theirs[0]) < LEAST_PAIRS
        are_apart = len(ours[1] & theirs[1]) < LEAST_PAIRS <= seeds
        if not are_few and not are_apart:
            continue
        rows, columns = np.array(patterns[ours]), np.array(patterns[theirs])
        for some, others in _pieces(len(rows), len(columns), same=ours is theirs):
            here, there = rows[some], columns[others]
            found = members.compared(here, there)
            if ours is theirs:
                found &= here[:, None] < there[None, :]
            if not found.any():
                continue
            for which in (*((few,) if are_few else ()), *((apart,) if are_apart else ())):
                which[here] |= found.any(1)
                which[there] |= found.any(0)
            most = max(most, seeds) if are_few else most
            if are_apart:
                number += int(found.sum())
                pairs = np.argwhere(found)[: max(0, named - len(first))].tolist()
                first += [(min(pair), max(pair)) for pair in ((int(here[i]), int(there[j])) for i, j in pairs)]
    return Lacking(few, most, apart, number, first)


def _shown(mean: Floats, half: Floats, within: Floats) -> Mask:
    """Tells whether a difference is shown, and not shown to be within the margin (infinite for none)."""
    found: Mask = np.abs(mean) > half
    if np.isfinite(within).any():
        found &= ~np.isfinite(within) | (np.abs(mean) + half >= within)
    return found


class _Sample(NamedTuple):
    """Values of cases for some seeds, their means, the rest, and its squares."""

    values: Floats
    means: Floats
    rest: Floats
    squares: Floats

    @classmethod
    def of(cls, values: Sequence[Mapping[int, float]], seeds: Sequence[int]) -> _Sample:
        there = np.array([[each[seed] for seed in seeds] for each in values], float).reshape(
            len(values), len(seeds)
        )
        means = there.mean(1) if seeds else np.zeros(len(values))
        rest = there - means[:, None]
        return cls(there, means, rest, (rest**2).sum(1))

    def part(self, which: slice) -> _Sample:
        return _Sample(*(each[which] for each in self))


def _intervals(one: _Sample, other: _Sample, of: int) -> tuple[Floats, Floats]:
    """Returns the mean difference of each pair, and half its interval; infinite where there is none."""
    n = one.values.shape[1]
    mean = one.means[:, None] - other.means[None, :]
    both = one.squares[:, None] + other.squares[None, :]
    squares = both - 2 * (one.rest @ other.rest.T)
    # Where little is left of the values or of their variances, the rest is rounding: these are calculated anew.
    least = CANCELLED * both + CANCELLED**1.5 * mean**2
    least += CANCELLED**2.5 * (one.means[:, None] ** 2 + other.means[None, :] ** 2)
    rows, columns = np.nonzero(squares <= least)
    half = np.sqrt(np.maximum(squares, 0.0))
    half *= student(LEVEL / of, n - 1) / math.sqrt((n - 1) * n)
    for first in range(0, len(rows), CHUNK):
        i, j = rows[first : first + CHUNK], columns[first : first + CHUNK]
        ours, theirs = one.values[i], other.values[j]
        close = np.abs(ours - theirs) <= ROUNDING * np.maximum(np.abs(ours), np.abs(theirs))
        different = np.where(close, 0.0, ours - theirs)
        mean[i, j] = different.mean(1)
        std = different.std(1, ddof=1)
        varies = std > 1e-9 * np.abs(different).max(1)
        half[i, j] = np.where(varies, student(LEVEL / of, n - 1) * std / math.sqrt(n), math.inf)
    return mean, half
