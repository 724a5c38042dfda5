"""A difference with its interval, so rounded that both agree with the word beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.text import MANY, decimals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult


class Amount(NamedTuple):
    """An advantage or, of a `ratio` metric, a factor.

    Attributes:
        mean: The mean over the seeds.
        interval: Its interval; None if the verdict has none.
        digits: Decimals with which no end looks like a bound that it is not: 0.004 does not become 0.00, which
            would be no difference.
    """

    mean: float
    interval: tuple[float, float] | None
    digits: int

    @property
    def brackets(self) -> str:
        """The interval after a blank, ` [0.08, 0.31]`; empty without one."""
        if self.interval is None:
            return ""
        low, high = (decimals(end, self.digits, "z") for end in self.interval)
        return f" [{low}, {high}]"


def amount_of(verdict: Verdict, subject: CaseResult | None = None) -> Amount:
    """Returns what one of the two cases of a verdict has more than the other; by default, the first of them."""
    sign = -1 if subject is verdict.other else 1
    ratio, margin = verdict.metric.ratio, verdict.margin
    digits = 2 if ratio else verdict.metric.digits
    of = factor if ratio else float
    mean = of(sign * verdict.paired.mean)
    if verdict.interval is None:
        return Amount(mean, None, digits)
    low, high = sorted(of(sign * end) for end in verdict.interval)
    bounds = [0.0, 1.0] if ratio else [0.0] if margin is None else [-margin, 0.0, margin]
    return Amount(mean, (low, high), telling_digits((low, high), bounds, digits))


def telling_digits(ends: Sequence[float], bounds: Sequence[float], digits: int) -> int:
    """Returns so many decimals, at least `digits`, that no rounded end is on a bound, beyond it or the other."""
    return next(
        (
            more
            for more in range(digits, MANY)
            if not any(_looks_other(end, more, bound) for end in ends for bound in bounds)
            and len({round(end, more) for end in ends}) == len({*ends})
        ),
        MANY,
    )


def factor(logarithm: float) -> float:
    """Returns the factor of a difference of logarithms; the largest number, if it is larger still."""
    return math.exp(min(logarithm, 709.0))


def _looks_other(end: float, digits: int, bound: float) -> bool:
    rounded = round(end, digits)
    return (rounded > bound) != (end > bound) or (rounded < bound) != (end < bound)
