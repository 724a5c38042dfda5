"""Seeds whose result is far from those of the others, which no test of means with few seeds survives."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import has_metric, is_compared, seed_figures
from benchmnist.analysis.statistics import LEVEL, sample_std, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

TRIMMED = 0.25
"""Share of the values that the interquartile mean leaves out at each end."""


def seeds_apart(results: Sequence[CaseResult], metric: Metric | None = None) -> dict[str, tuple[int, ...]]:
    """Returns the seeds of each case that are far from its others, by case id, by its primary metric by default.

    If every case is normally distributed, a run has any with a chance of LEVEL at most.
    """
    found = {}
    for result in results:
        judged = metric or result.case.primary
        there = has_metric(result, judged) and is_compared(result, judged)
        values = seed_figures(result, judged) if there else {}
        finite = {seed: value for seed, value in values.items() if math.isfinite(value)}
        positions = apart([*finite.values()], of=len(results), least=10.0 ** (1 - judged.digits))
        if positions:
            found[result.id] = tuple([*finite][position] for position in positions)
    return found


def apart(values: Sequence[float], *, of: int = 1, least: float = 0.0) -> tuple[int, ...]:
    """Returns the positions of the values that are far from the rest: fewer than half; of three, one.

    The k values farthest from the median are apart if the nearest of them is outside the interval that the rest
    predicts for one more (Student's). Its confidence is corrected for all choices of k values, so the largest such
    k may be taken.

    Args:
        values: The values.
        of: Number of samples that are looked at: the chance of a false alarm in any is LEVEL at most.
        least: Standard deviation that the rest has at least, since rounded values may all be the same.
    """
    n = len(values)
    middle = statistics.median(values) if values else math.nan
    order = sorted(range(n), key=lambda i: abs(values[i] - middle))
    most = (n - 1) // 2
    for k in range(most, 0, -1):
        rest = [values[i] for i in order[: n - k]]
        spread = max(sample_std(rest), least) * math.sqrt(1 + 1 / len(rest))
        level = LEVEL / of / most / math.comb(n, k)
        nearest = min(abs(values[i] - statistics.fmean(rest)) for i in order[n - k :])
        if spread > 0 and nearest / spread > student(level, len(rest) - 1):
            return tuple(sorted(order[n - k :]))
    return ()


def interquartile_mean(values: Sequence[float]) -> float:
    """Returns the mean of the middle half, whatever happens at the ends; of fewer than four values, the mean."""
    import numpy as np

    if any(map(math.isnan, values)):
        return math.nan
    # As scipy.stats.trim_mean, which takes ten times as long to look at its arguments.
    cut = int(TRIMMED * len(values))
    last = len(values) - cut
    return float(np.mean(np.partition(np.asarray(values), (cut, last - 1))[cut:last]))
