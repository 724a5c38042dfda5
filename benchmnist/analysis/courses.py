"""The course of a trial: the steps, examples and seconds of training before each of its evaluations."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from benchmnist.analysis.statistics import sample_std
from benchmnist.runs.results import figure_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, EpochResult, Evaluation, TrialResult

Across = Literal["epochs", "steps", "examples", "seconds"]
"""Horizontal axes of curves."""
AXES: tuple[Across, ...] = get_args(Across)


class Point(NamedTuple):
    """An evaluation of a trial, and the training before it, counted over all epochs.

    Attributes:
        epoch: Number of the epoch, from 1.
        step: Steps; 0 if the result does not say how many an epoch has.
        seconds: Seconds of training.
        source: The evaluation; the epoch itself, where a case is evaluated after each epoch only.
    """

    epoch: int
    step: int
    seconds: float
    source: EpochResult | Evaluation

    def figure(self, metric: Metric) -> float | None:
        """Returns the value of a metric of epochs; None if it was not measured."""
        return figure_of(self.source, metric)


def points(trial: TrialResult, steps: int) -> Iterator[Point]:
    """Yields the evaluations of a trial, of which an epoch has so many steps, in their order.

    An epoch without any evaluation, such as one that diverged, is a point of its own.
    """
    step, seconds = 0, 0.0
    for epoch in trial.epochs:
        yield from (Point(epoch.epoch, each.step, each.seconds, each) for each in epoch.evaluations)
        step += steps if epoch.steps is None else epoch.steps
        seconds += epoch.seconds
        if not epoch.evaluations or epoch.evaluations[-1].step < step:
            yield Point(epoch.epoch, step, seconds, epoch)


def is_fine(result: CaseResult) -> bool:
    """Tells whether a case was evaluated within its epochs."""
    return result.case.evaluate_every is not None and any(
        epoch.evaluations for trial in result.trials for epoch in trial.epochs
    )


def spacing(result: CaseResult) -> int:
    """Returns the steps between two evaluations; 0 if the result does not say how many an epoch has."""
    return result.case.evaluate_every or result.steps


def examples(result: CaseResult, step: int) -> int:
    """Returns the examples that so many steps have seen: the last step of an epoch takes what is left."""
    if not result.steps:
        return 0
    whole, rest = divmod(step, result.steps)
    return whole * result.train_size + min(rest * result.case.batch_size, result.train_size)


def across(result: CaseResult, axis: Across, step: int, seconds: float) -> float:
    """Returns the position of an evaluation on an axis."""
    if axis == "epochs":
        return step / result.steps if result.steps else math.nan
    return seconds if axis == "seconds" else step if axis == "steps" else examples(result, step)


class Mean(NamedTuple):
    """Mean over the seeds at one step.

    Attributes:
        step: Steps of training before it.
        seconds: Seconds of training before it.
        mean, std: Mean of the seeds with a finite value, and their sample standard deviation, 0 for one seed.
    """

    step: int
    seconds: float
    mean: float
    std: float


def mean_course(result: CaseResult, metric: Metric) -> list[Mean]:
    """Returns the mean of a metric over the seeds at each step at which any of them was evaluated.

    A trial that stopped at its target or gave up keeps its last value: without it, what is left would be the mean
    of the slow ones. One that diverged, or ended by a budget of seconds, does not.
    """
    values: dict[int, list[float]] = {}
    took: dict[int, list[float]] = {}
    held: list[tuple[int, float]] = []
    for trial in result.trials:
        before, last = 0.0, math.nan
        for point in points(trial, result.steps):
            took.setdefault(point.step, []).append(point.seconds - before)
            figure = point.figure(metric)
            if figure is not None and math.isfinite(figure):
                values.setdefault(point.step, []).append(last := figure)
            before, end = point.seconds, point.step
        if trial.ended != "budget" and math.isfinite(last):
            held.append((end, last))
    steps = sorted(took)
    seconds = itertools.accumulate(math.fsum(took[step]) / len(took[step]) for step in steps)
    found = []
    for step, elapsed in zip(steps, seconds, strict=True):
        there = [*values.get(step, ()), *(value for end, value in held if end < step)]
        if there:
            found.append(Mean(step, elapsed, math.fsum(there) / len(there), _std(there)))
    return found


def _std(values: Sequence[float]) -> float:
    return sample_std(values) if len(values) > 1 else 0.0
