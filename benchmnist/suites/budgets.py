"""Budgets: how many steps a trial makes, after which of them it is evaluated, and when it ends before the last."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchmnist.metrics import PRIMARY, Metric, find_metric
from benchmnist.text import with_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.suites.cases import Case

TEST_LOSS = find_metric("test_loss")

Ended = Literal["budget", "target", "patience"]
"""`budget` made all of its steps, `target` stopped at its target, `patience` gave up."""


def total_steps(case: Case, per_epoch: int) -> int:
    """Returns the number of steps of a trial, at most, of which an epoch has `per_epoch`."""
    return case.epochs * per_epoch if case.steps is None else case.steps


def passes(case: Case, per_epoch: int) -> int:
    """Returns the number of epochs of a trial, at most, of which a budget of steps may cut the last one short."""
    return -(-total_steps(case, per_epoch) // per_epoch)


def evaluation_steps(case: Case, epoch: int, per_epoch: int) -> tuple[int, ...]:
    """Returns the steps of the trial after which it is evaluated in an epoch, the last of them its end.

    Args:
        case: The case.
        epoch: Number of the epoch, counted from 1.
        per_epoch: Steps of a whole epoch.
    """
    start, end = (epoch - 1) * per_epoch, min(epoch * per_epoch, total_steps(case, per_epoch))
    every = case.evaluate_every or per_epoch
    first = start - start % every + every
    return (*range(first, end, every), end) if case.evaluate_every else (end,)


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
        """Returns `97 %`, or `a test loss of 1 nat`."""
        value = with_unit(f"{self.value:g}", self.metric.unit)
        return value if self.metric == PRIMARY else f"a {self.metric.title} of {value}"


def target_of(case: Case) -> Target | None:
    """Returns the target of a case; None without one."""
    for metric, value in ((TEST_LOSS, case.target_loss), (PRIMARY, case.target_accuracy)):
        if value is not None:
            return Target(next((each for each in case.evaluates if each.key == metric.key), metric), value)
    return None


class Ending:
    """Decides when a trial ends, evaluation by evaluation.

    Args:
        case: The case.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.target = case, target_of(case)
        self.metric = self.target.metric if self.target else case.primary
        self.best, self.without = math.nan, 0

    def after(self, seconds: float, metrics: Mapping[str, float]) -> Ended | None:
        """Returns why the trial ends after its next evaluation; None if it goes on, as far as its steps allow.

        Args:
            seconds: Seconds of training of the trial so far.
            metrics: Figures of the evaluation, by the field of their metric.
        """
        case, value = self.case, metrics.get(self.metric.field, math.nan)
        if self.metric.better == "lower":
            value = -value
        better = not value <= self.best if not math.isnan(value) else False
        self.best, self.without = (value, 0) if better else (self.best, self.without + 1)
        if case.stop_at_target and self.target and self.target.is_met_by(metrics.get(self.metric.field)):
            return "target"
        if case.patience is not None and self.without >= case.patience:
            return "patience"
        return "budget" if case.seconds is not None and seconds >= case.seconds else None
