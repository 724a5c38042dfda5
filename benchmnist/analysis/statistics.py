"""Paired differences, their simultaneous intervals and tests. scipy does the statistics.

One level holds everywhere: LEVEL is the chance that any interval of a family of comparisons misses. Verdicts are
read off these intervals, so it is also the chance that any verdict of the family is wrong.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
POWER = 0.8
LEAST_PAIRS = 3
"""Fewest pairs for a verdict: with two, the interval of a difference is 13 times as wide as its basis."""
MORE_THAN_A_FLOAT = 56
"""Binary digits: a float has 53."""
ROUNDING = 1e-12
"""Share by which two equal figures may differ after some arithmetic; of ours, fewer than ten digits count."""


def sample_std(values: Sequence[float]) -> float:
    """Returns the sample standard deviation of two or more values; NaN if one of them is not finite.

    It is correctly rounded, as that of `statistics.stdev`, which takes four times as long: floats are whole
    numbers over powers of two, so a common denominator is all that exact arithmetic needs.

    Raises:
        OverflowError: if it is larger than any float.
    """
    if not all(map(math.isfinite, values)):
        return math.nan
    n, fractions = len(values), [value.as_integer_ratio() for value in values]
    common = max(denominator for _, denominator in fractions)
    whole = [numerator * (common // denominator) for numerator, denominator in fractions]
    squares = n * sum(value * value for value in whole) - sum(whole) ** 2
    # So many more binary digits give the whole part of the root three more than a float has. What decides how the
    # root is rounded is then whether it is whole: half of one stands for any rest, and the division rounds once.
    digits = max(0, MORE_THAN_A_FLOAT + n.bit_length() - squares.bit_length() // 2)
    variance, rest = divmod(squares << 2 * digits, n * (n - 1))
    root = math.isqrt(variance)
    is_whole = not rest and root * root == variance
    return (2 * root + (not is_whole)) / (common << (digits + 1))


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
        """Tells whether the pairs are enough for a verdict."""
        return self.n >= LEAST_PAIRS

    @cached_property
    def mean(self) -> float:
        """Mean difference; NaN without pairs."""
        return robust_mean(self.values)

    @cached_property
    def std(self) -> float:
        """Sample standard deviation of the differences; NaN with fewer than two pairs."""
        if self.n < 2:  # noqa: PLR2004 - one value has none
            return math.nan
        largest = max(abs(value - self.mean) for value in self.values)
        if largest == 0 or not math.isfinite(largest):
            return largest
        # In units of the largest: squares of very large and very small numbers are no numbers.
        squares = math.fsum(((value - self.mean) / largest) ** 2 for value in self.values)
        return largest * math.sqrt(squares / (self.n - 1))

    @property
    def varies(self) -> bool:
        """Tells whether the differences are not all the same (but for rounding)."""
        return self.n > 1 and self.std > 1e-9 * max(map(abs, self.values))

    @property
    def identical(self) -> bool:
        """Tells whether there are pairs, and no pair differs."""
        return bool(self.values) and not any(self.values)

    def interval(self, of: int = 1) -> tuple[float, float] | None:
        """Returns the interval of the mean difference in a family of so many comparisons: Student's.

        Its confidence is 1 - LEVEL / of, so all intervals of the family hold at once with a chance of 1 - LEVEL or
        more, whatever their dependence (Bonferroni's inequality).

        None with too few pairs, and of differences that are all the same: they have no spread to make one of. On
        few test examples that happens by chance, and an interval without a width misses in one family of ten.
        """
        if not self.says_something or not self.varies:
            return None
        half = student(LEVEL / of, self.n - 1) * self.std / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def p(self, of: int = 1) -> float | None:
        """Returns the p value of the two-sided paired t test, corrected for a family of so many comparisons.

        It is at most LEVEL where the interval of the same family excludes 0. None where there is no interval.
        """
        if not self.says_something or not self.varies:
            return None
        from scipy import special

        p = 2 * float(special.stdtr(self.n - 1, -abs(self.mean) / (self.std / math.sqrt(self.n))))
        return min(1.0, p * of)


def difference(one: float, other: float) -> float:
    """Returns one figure minus the other; 0 if they differ by rounding only."""
    return 0.0 if math.isclose(one, other, rel_tol=ROUNDING) else one - other


def robust_mean(values: Sequence[float]) -> float:
    """Returns the mean of any finite numbers, also of such whose sum is none; NaN without any."""
    if not values:
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def detectable(n: int, of: int = 1, spread: float = 1.0, power: float = POWER) -> float:
    """Returns the smallest true mean difference that n pairs show with that probability.

    Shown: the interval of a family of `of` comparisons excludes 0. The power of the paired t test is that of the
    noncentral t distribution.

    Args:
        n: Number of pairs; 2 or more.
        of: Number of comparisons of the family.
        spread: Standard deviation of the paired differences. The result is in the same unit.
        power: The probability.
    """
    from scipy import special

    # The other tail is next to nothing.
    return float(special.nctdtrinc(n - 1, 1 - power, student(LEVEL / of, n - 1))) / math.sqrt(n) * spread


@lru_cache(maxsize=4096)
def student(level: float, freedom: float) -> float:
    """Returns the value that Student's t exceeds, on either side, with the probability `level` (two-sided)."""
    from scipy import special  # its bare function is fast; scipy.stats takes half a second to import

    return float(special.stdtrit(freedom, 1 - level / 2))


class Sample(NamedTuple):
    """Mean, sample standard deviation and number of unpaired figures."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Summarises two or more values."""
        return cls(statistics.fmean(values), sample_std(values), len(values))


class Unpaired(NamedTuple):
    """A difference of two means, one minus the other, with half its interval and its p value."""

    difference: float
    half: float
    p: float


def share_interval(hits: int, of: int) -> tuple[float, float]:
    """Returns the interval of a share of which `hits` of so many were seen, with a confidence of 1 - LEVEL.

    C. J. Clopper, E. S. Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial.
    Biometrika 26 (1934), pages 404-413. It holds for any number, and is wider than needed.
    """
    from scipy import special

    low = float(special.betaincinv(hits, of - hits + 1, LEVEL / 2)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, of - hits, 1 - LEVEL / 2)) if hits < of else 1.0
    return low, high


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
    return Unpaired(difference, student(LEVEL, freedom) * error, p)
