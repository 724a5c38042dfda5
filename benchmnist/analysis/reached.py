"""Finds when a trial reaches its target accuracy. One that does not is censored: it takes longer than was seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.metrics import PRIMARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import TrialResult


class Reached(NamedTuple):
    """Effort of a trial up to the first epoch after which its test reaches the target.

    Attributes:
        seconds: Seconds of training, by its clock; infinite if it does not reach the target.
        epochs: Number of epochs.
    """

    seconds: float
    epochs: float


NEVER = Reached(math.inf, math.inf)


def reached(trial: TrialResult, target: float) -> Reached:
    """Returns the effort of a trial up to a test accuracy, in %; NEVER for a trial that did not complete."""
    seconds = 0.0
    for epoch in trial.epochs if trial.status == "completed" else ():
        seconds += epoch.seconds
        figure = epoch.figure(PRIMARY)
        if figure is not None and figure >= target:
            return Reached(seconds, epoch.epoch)
    return NEVER


def censored_median(values: Sequence[float]) -> float | None:
    """Returns the least value that at least half of all values do not exceed; None if it is infinite.

    If nothing is censored before the longest time, this is the median of the Kaplan-Meier estimate.
    """
    found = sorted(values)[(len(values) - 1) // 2] if values else math.inf
    return found if math.isfinite(found) else None
