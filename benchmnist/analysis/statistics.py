"""What samples allow one to say: paired differences, their intervals and tests. scipy does the statistics.

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
"""With two the interval of a difference is 13 times as wide as what it stands on: nothing can be said."""
MANY_PAIRS = 20
"""From here on intervals are bootstrapped; of fewer pairs the bootstrap's cover less than they say."""
RESAMPLES = 1999
MOST_PAIRS = 100_000


@dataclass(frozen=True)
class Paired:
    """Differences of pairs: of each seed, the one's figure less the other's.

    Attributes:
        values: One a pair, in any unit.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many pairs."""
        return len(self.values)

    @property
    def says_something(self) -> bool:
        """Whether there are enough pairs to say anything."""
        return self.n >= LEAST_PAIRS

    @cached_property
    def mean(self) -> float:
        """The mean difference; NaN of no pairs."""
        return math.fsum(self.values) / self.n if self.values else math.nan

    @cached_property
    def std(self) -> float:
        """The sample standard deviation of the differences; NaN of fewer than two."""
        if self.n < 2:  # noqa: PLR2004 - one value has none
            return math.nan
        return math.sqrt(math.fsum((value - self.mean) ** 2 for value in self.values) / (self.n - 1))

    @property
    def varies(self) -> bool:
        """Whether the differences are not all the same (but for rounding)."""
        return self.n > 1 and self.std > 1e-9 * max(map(abs, self.values))

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Of the mean difference: Student's, from MANY_PAIRS on bootstrapped (BCa, Efron 1987); None of too few.

        The bootstrap starts from the same random numbers every time: the same figures have the same interval.
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
        """Of the paired t test, two-sided: how likely a mean this far from 0 is where there is no difference.

        Where all differences are the same there is no spread to hold them against, and only their sign counts:
        then it is that of the sign test. None of too few pairs.
        """
        if not self.says_something:
            return None
        if not self.varies:
            return 1.0 if self.mean == 0 else 2.0 ** (1 - self.n)
        return 2 * self._below(-abs(self.mean))

    def equivalence_p(self, margin: float) -> float | None:
        """Of two one-sided t tests (TOST, Schuirmann 1987): how likely this is if the mean is `margin` or more."""
        if not self.says_something:
            return None
        if not self.varies:
            return 2.0**-self.n if abs(self.mean) < margin else 1.0
        return self._below(abs(self.mean) - margin)

    def _below(self, mean: float) -> float:
        """How likely a mean below this one is where there is no difference (Student's t distribution)."""
        from scipy import special

        return float(special.stdtr(self.n - 1, mean / (self.std / math.sqrt(self.n))))

    def pairs_needed(self, level: float = LEVEL, most: int = MOST_PAIRS) -> int | None:
        """How many pairs would find this mean difference, if it and the spread are true; None of more than `most`.

        The power of the paired t test is that of the noncentral t distribution.
        """
        if not self.says_something or self.mean == 0:
            return None
        if not self.varies:  # the sign test's
            return math.ceil(1 - math.log2(level))
        return pairs_needed(abs(self.mean) / self.std, level, most)


def pairs_needed(effect: float, level: float = LEVEL, most: int = MOST_PAIRS) -> int | None:
    """How many pairs a two-sided paired t test wants, to find a mean of `effect` standard deviations with POWER.

    None where it would want more than `most`.
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
    """A quantile of Student's t distribution; scipy's function by itself: a sweep has thousands of pairs."""
    from scipy import special

    return float(special.stdtrit(freedom, q))


def holm(ps: Sequence[float]) -> list[float]:
    """The p values of a family, each corrected for how many there are (Holm 1979), in the same order.

    Whatever is true, the chance that any of those which are not above LEVEL is a mistake is at most LEVEL.
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[place] * (len(ps) - rank)))
        adjusted[place] = highest
    return adjusted


class Sample(NamedTuple):
    """What is known of figures that do not come in pairs: mean, sample standard deviation, how many."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Of two or more values."""
        return cls(statistics.fmean(values), statistics.stdev(values), len(values))


class Unpaired(NamedTuple):
    """A difference of two means: the one's less the other's, half its interval, and its p."""

    difference: float
    half: float
    p: float


def welch(one: Sample, other: Sample) -> Unpaired:
    """Welch's t test of two samples, which need not spread alike."""
    from scipy import special

    errors = one.std**2 / one.n, other.std**2 / other.n
    difference = one.mean - other.mean
    if sum(errors) == 0:
        return Unpaired(difference, 0.0, 1.0 if difference == 0 else 0.0)
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (one.n - 1) + errors[1] ** 2 / (other.n - 1))
    error = math.sqrt(sum(errors))
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return Unpaired(difference, _student(1 - LEVEL / 2, freedom) * error, p)
