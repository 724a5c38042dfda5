"""Finds when a trial reaches its target. One that does not is censored: it takes longer than was seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.analysis.courses import points
from benchmnist.metrics import PRIMARY, Metric
from benchmnist.suites.budgets import targeted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import TrialResult
    from benchmnist.suites.cases import Case


class Target(NamedTuple):
    """A value of a metric that trials are timed to.

    Attributes:
        metric: The metric.
        value: Its value.
    """

    metric: Metric
    value: float

    def is_met_by(self, value: float | None) -> bool:
        """Tells whether a value is at the target or better."""
        if value is None:
            return False
        return value >= self.value if self.metric.better == "higher" else value <= self.value

    def __str__(self) -> str:
        """Returns `97 %`, or `a test loss of 0.1 nats`."""
        value = f"{self.value:g} {self.metric.unit}".strip()
        return value if self.metric == PRIMARY else f"a {self.metric.title} of {value}"


def target_of(case: Case) -> Target | None:
    """Returns the target of a case; None without one."""
    if (found := targeted(case)) is None:
        return None
    metric, value = found
    return Target(next((each for each in case.evaluates if each.key == metric.key), metric), value)


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
