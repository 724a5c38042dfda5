"""One score per method over groups: the area under its performance profile, with an interval."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import lost_seeds, seed_figures
from benchmnist.analysis.profiles import unit_of_efforts
from benchmnist.analysis.statistics import LEVEL, student
from benchmnist.metrics import TARGET_SECONDS, TARGET_STEPS
from benchmnist.suites.budgets import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.grid import Grid
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

HORIZON = 2.0
"""End of the profile, in units of the reference: what takes or leaves twice as much as it scores 0."""


@dataclass(frozen=True)
class Score:
    """The score of a method: 1 is the best possible, 0 the worst.

    Attributes:
        method: The method.
        mean: Mean over the groups of the mean over their seeds.
        interval: Interval of that mean over groups like these, with a confidence of 0.95 if scores of groups are
            normally distributed; None if all seeds of all groups score the same, since nothing then tells the
            spread.
    """

    method: str
    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Scores:
    """The scores of the methods of a grid.

    Attributes:
        methods: A score for each method, in the order of the grid.
        effort: TARGET_SECONDS or TARGET_STEPS, if they are about that; None if about the primary metric.
    """

    methods: tuple[Score, ...]
    effort: Metric | None


def scores(grid: Grid) -> Scores | None:
    """Scores the methods of a grid; None if their groups have no common measure.

    The effort of a seed is its time to the target, in units of the whole training of the baseline
    (`profiles.unit_of_efforts`). If a case was trained in a stack, and trials end by what they reach, it is the
    steps to the target, likewise. If not all groups have one target, or a case of others was trained in a
    stack, the effort is what the primary metric leaves to be gained after the training (the error for a share, the
    loss for a metric of which less is better), in units of the mean of the baseline, or of the first case that
    completed a seed. A lost seed, and one that never reaches the target, has an infinite effort.

    The score is the area under the profile of these efforts from 0 to HORIZON, divided by HORIZON. So a seed
    scores 1 - effort / HORIZON, or 0 beyond HORIZON, and a group scores the mean of its seeds.
    """
    effort = None
    if all({target_of(r.case) for r in row} == {target_of(row[0].case)} != {None} for row in grid.rows):
        every = [result for row in grid.rows for result in row]
        if not any(result.shares_times for result in every):
            effort = TARGET_SECONDS
        elif all(result.case.ends_early for result in every):
            effort = TARGET_STEPS
    groups = [_group_scores(row, effort) for row in grid.rows]
    if any(group is None for group in groups):
        return None
    of_methods = zip(*(group for group in groups if group is not None), strict=True)
    return Scores(
        tuple(_score(method, found) for method, found in zip(grid.methods, of_methods, strict=True)), effort
    )


def _group_scores(row: Sequence[CaseResult], effort: Metric | None) -> list[list[float]] | None:
    """Returns the scores of the seeds of each case of a group; None if its effort cannot be measured."""
    efforts = [_to_target(result, effort) if effort else _shortfalls(result) for result in row]
    unit = unit_of_efforts(row, effort) if effort else _mean_shortfall(row)
    if not unit or any(found is None for found in efforts):
        return None
    return [[max(0.0, 1 - each / unit / HORIZON) for each in found or ()] for found in efforts]


def _to_target(result: CaseResult, effort: Metric) -> list[float]:
    """Returns the effort to the target of each seed that ended; infinite if it did not get there."""
    return [*seed_figures(result, effort).values()] + [math.inf] * len(lost_seeds(result, effort))


def _mean_shortfall(row: Sequence[CaseResult]) -> float | None:
    """Returns the mean shortfall of the baseline, or of the first case that completed a seed; None without one."""
    for result in sorted(row, key=lambda result: not result.case.is_baseline):
        if found := [each for each in _shortfalls(result) or () if math.isfinite(each)]:
            return statistics.fmean(found)
    return None


def _shortfalls(result: CaseResult) -> list[float] | None:
    """Returns what the primary metric leaves to be gained for each seed that ended; None if it has no such end."""
    metric = result.case.primary
    values = [value for value in seed_figures(result, metric).values() if math.isfinite(value)]
    best = 100.0 if metric.is_share else 0.0 if metric.better == "lower" else None
    if best is None or any((best - value) * (1 if metric.is_share else -1) < 0 for value in values):
        return None
    return [abs(best - value) for value in values] + [math.inf] * len(lost_seeds(result, metric))


def _score(method: str, groups: Sequence[Sequence[float]]) -> Score:
    """Returns the mean over the groups, with an interval from the bootstrap of groups, and of seeds within each.

    The variance of that bootstrap is known without drawing: that of the group means, plus the mean variance of a
    group mean, divided by the number of groups. Percentiles of the bootstrap cover far less than they state with
    few groups (as little as 0.66 with three), so the interval uses Student's quantile, and the variance is
    corrected by n / (n - 1).
    """
    n = len(groups)
    means = [statistics.fmean(seeds) for seeds in groups]
    within = statistics.fmean(statistics.pvariance(seeds) / len(seeds) for seeds in groups)
    error = math.sqrt((statistics.pvariance(means) + within) / (n - 1))
    mean, half = statistics.fmean(means), student(LEVEL, n - 1) * error
    return Score(method, mean, (max(0.0, mean - half), min(1.0, mean + half)) if error > 1e-12 else None)  # noqa: PLR2004 - rounding
