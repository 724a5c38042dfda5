"""The chances that a mean difference is above the margin, within it, or below it, given the seeds of one pair."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmnist.analysis.statistics import Paired
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.metrics import Metric


class Chances(NamedTuple):
    """Probabilities of the mean difference over all seeds; their sum is 1.

    Attributes:
        better: Probability that the first case is better by more than the margin.
        within: Probability that the cases differ by no more than the margin.
        worse: Probability that the first case is worse by more than the margin.
    """

    better: float
    within: float
    worse: float


def chances(paired: Paired, margin: float | None, metric: Metric) -> Chances | None:
    """Returns the posterior probabilities of a mean difference; None if the data allow none.

    The differences are taken as independent draws of a normal distribution, with the prior p(mean, std) ~ 1 / std.
    Then the posterior of the mean is Student's t with n - 1 degrees of freedom, located at the sample mean, with
    the scale std / sqrt(n) (Gelman et al., Bayesian Data Analysis, 3rd edition, section 3.2). It is that of the
    correlated t test (Corani, Benavoli 2015, doi:10.1007/s10994-015-5486-z) with a correlation of 0: the folds of
    a cross-validation share training examples, our seeds are independent. The margin is the region of practical
    equivalence.

    None without a positive margin, since better and worse alone would only repeat the p value; for a metric of
    ratio, whose differences are logarithms, to which a margin in units does not apply; with fewer than LEAST_PAIRS
    pairs; and if all differences are the same, since they say nothing about the spread.

    Args:
        paired: One figure minus the other for each seed.
        margin: Largest difference that counts as none, in the unit of the differences.
        metric: The compared metric.
    """
    if not margin or metric.ratio or not paired.says_something or not paired.varies:
        return None
    from scipy import special

    scale = paired.std / math.sqrt(paired.n)
    below = float(special.stdtr(paired.n - 1, (-margin - paired.mean) / scale))
    above = float(special.stdtr(paired.n - 1, (paired.mean - margin) / scale))
    within = max(0.0, 1.0 - below - above)  # never below 0 by rounding
    return Chances(above, within, below) if metric.better == "higher" else Chances(below, within, above)


def chances_of(verdict: Verdict) -> Chances | None:
    """Returns the chances of a verdict's pair; None also if one of the two lost seeds that the other completed.

    Those seeds count against the case that lost them, and the chances know only the seeds that both completed.
    """
    if any(verdict.lost):
        return None
    return chances(verdict.paired, verdict.margin, verdict.metric)


def percent(chance: float) -> str:
    """Formats a probability in percent: `97`, `<1` or `>99`; never 0 or 100, since no seeds can show that."""
    if chance < 0.01:  # noqa: PLR2004 - one percent
        return "<1"
    return ">99" if chance > 0.99 else f"{100 * chance:.0f}"  # noqa: PLR2004 - 99 percent
