"""Finds when a trial reaches its target. One that does not is censored: it takes longer than was seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.analysis.courses import points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import TrialResult
    from benchmnist.suites.budgets import Target


class Reached(NamedTuple):
    """Effort of a trial up to the first evaluation that reaches the target.

    Attributes:
        seconds: Seconds of training, by its clock; infinite if it does not reach the target.
        steps: Number of steps.
        epochs: Number of epochs, the one under way included.
    """

    seconds: float
    steps: float
    epochs: float


NEVER = Reached(math.inf, math.inf, math.inf)


def reached(trial: TrialResult, target: Target, steps: int) -> Reached:
    """Returns the effort of a trial up to a target; NEVER for a trial that did not complete.

    Args:
        trial: The trial.
        target: The target.
        steps: Steps of a whole epoch.
    """
    if trial.status == "completed":
        for point in points(trial, steps):
            if target.is_met_by(point.figure(target.metric)):
                return Reached(point.seconds, point.step, point.epoch)
    return NEVER


def censored_median(values: Sequence[float]) -> float | None:
    """Returns the least value that at least half of all values do not exceed; None if it is infinite.

    If nothing is censored before the longest time, this is the median of the Kaplan-Meier estimate.
    """
    found = sorted(values)[(len(values) - 1) // 2] if values else math.inf
    return found if math.isfinite(found) else None
