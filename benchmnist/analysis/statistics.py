"""Paired differences, their intervals and tests. scipy does the statistics.

One level holds everywhere: intervals have a confidence of 0.95, claims a chance of 0.05 to be wrong, counted over
a family of comparisons (`holm`); sample sizes are those that find a difference four times out of five.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
POWER = 0.8
LEAST_PAIRS = 3
"""Fewest pairs for a verdict: with two, the interval of a difference is 13 times as wide as its basis."""
MANY_PAIRS = 20
"""Fewest pairs for bootstrapped intervals; with fewer, they cover less than they claim."""
RESAMPLES = 1999
MOST_PAIRS = 100_000


@dataclass(frozen=True)
class Paired:
    """Differences of pairs: for each seed, one figure minus the other.

    Attributes:
        values: One difference per pair, in any unit.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.values)

    @property
    def says_something(self) -> bool:
        """Whether the pairs are enough for a verdict."""
        return self.n >= LEAST_PAIRS

    @cached_property
    def mean(self) -> float:
        """Mean difference; NaN without pairs."""
        return math.fsum(self.values) / self.n if self.values else math.nan

    @cached_property
    def std(self) -> float:
        """Sample standard deviation of the differences; NaN with fewer than two pairs."""
        if self.n < 2:  # noqa: PLR2004 - one value has none
            return math.nan
        return math.sqrt(math.fsum((value - self.mean) ** 2 for value in self.values) / (self.n - 1))

    @property
    def varies(self) -> bool:
        """Whether the differences are not all the same (but for rounding)."""
        return self.n > 1 and self.std > 1e-9 * max(map(abs, self.values))

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the mean difference: Student's, from MANY_PAIRS on bootstrapped (BCa, Efron 1987).

        None with too few pairs. The bootstrap uses the same random numbers every time: equal figures have equal
        intervals.
        """
        if not self.says_something:
            return None
        if not self.varies:
            return self.mean, self.mean
        if self.n < MANY_PAIRS:
            half = _student(1 - LEVEL / 2, self.n - 1) * self.std / math.sqrt(self.n)
            return self.mean - half, self.mean + half
        import numpy as np
        from scipy import stats

        found = stats.bootstrap(
            (self.values,),
            np.mean,
            confidence_level=1 - LEVEL,
            n_resamples=RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return float(found.low), float(found.high)

    @cached_property
    def p(self) -> float | None:
        """The p value of the two-sided paired t test: the probability of such a mean without a difference.

        If all differences are the same, they have no spread, and only their sign counts: then it is the p value of
        the sign test. None with too few pairs.
        """
        if not self.says_something:
            return None
        if not self.varies:
            return 1.0 if self.mean == 0 else 2.0 ** (1 - self.n)
        return 2 * self._below(-abs(self.mean))

    def equivalence_p(self, margin: float) -> float | None:
        """Returns the p value of two one-sided t tests (TOST, Schuirmann 1987) for a mean within `margin`."""
        if not self.says_something:
            return None
        if not self.varies:
            return 2.0**-self.n if abs(self.mean) < margin else 1.0
        return self._below(abs(self.mean) - margin)

    def _below(self, mean: float) -> float:
        """Returns the probability of a mean below this one without a difference (Student's t distribution)."""
        from scipy import special

        return float(special.stdtr(self.n - 1, mean / (self.std / math.sqrt(self.n))))

    def pairs_needed(self, level: float = LEVEL, most: int = MOST_PAIRS) -> int | None:
        """Returns how many pairs would show this mean difference, if it and the spread are true.

        None if it is more than `most`. The power of the paired t test is that of the noncentral t distribution.
        """
        if not self.says_something or self.mean == 0:
            return None
        if not self.varies:  # the sign test's
            return math.ceil(1 - math.log2(level))
        return pairs_needed(abs(self.mean) / self.std, level, most)


def pairs_needed(effect: float, level: float = LEVEL, most: int = MOST_PAIRS) -> int | None:
    """Returns how many pairs a two-sided paired t test needs to show a mean of `effect` standard deviations.

    It then does so with probability POWER. None if it needs more than `most`.
    """

    def power(n: int) -> float:
        from scipy import special

        short = special.nctdtr(n - 1, effect * math.sqrt(n), _student(1 - level / 2, n - 1))
        return 1.0 - float(short)  # the other tail is next to nothing

    # With known variance, which is never more than it wants: the search begins there.
    normal = statistics.NormalDist().inv_cdf
    needed = ((normal(1 - level / 2) + normal(POWER)) / effect) ** 2
    if needed > most:
        return None
    n = max(2, math.floor(needed))
    while n <= most and power(n) < POWER:
        n += 1
    return n if n <= most else None


def _student(q: float, freedom: float) -> float:
    """Returns a quantile of Student's t distribution, by scipy's fast bare function."""
    from scipy import special

    return float(special.stdtrit(freedom, q))


def holm(ps: Sequence[float]) -> list[float]:
    """Corrects the p values of a family for their number (Holm 1979), in the same order.

    In any case, the probability that one of those at or below LEVEL is a mistake is at most LEVEL.
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[index] * (len(ps) - rank)))
        adjusted[index] = highest
    return adjusted


class Sample(NamedTuple):
    """Mean, sample standard deviation and number of unpaired figures."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Summarises two or more values."""
        return cls(statistics.fmean(values), statistics.stdev(values), len(values))


class Unpaired(NamedTuple):
    """A difference of two means, one minus the other, with half its interval and its p value."""

    difference: float
    half: float
    p: float


def welch(one: Sample, other: Sample) -> Unpaired:
    """Tests two samples of possibly different spread (Welch's t test)."""
    from scipy import special

    errors = one.std**2 / one.n, other.std**2 / other.n
    difference = one.mean - other.mean
    if sum(errors) == 0:
        return Unpaired(difference, 0.0, 1.0 if difference == 0 else 0.0)
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (one.n - 1) + errors[1] ** 2 / (other.n - 1))
    error = math.sqrt(sum(errors))
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return Unpaired(difference, _student(1 - LEVEL / 2, freedom) * error, p)
