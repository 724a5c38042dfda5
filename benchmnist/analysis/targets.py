"""Times to a target accuracy, in epochs, steps and seconds of training, and their causes."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import median_seconds
from benchmnist.analysis.statistics import Paired
from benchmnist.metrics import PRIMARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmnist.runs.results import CaseResult, TrialResult


@dataclass(frozen=True)
class Reached:
    """Effort of a trial up to the first epoch after which its test reaches the target.

    Attributes:
        epochs: Number of epochs; infinite if it never reaches the target.
        seconds: Seconds of training, by its clock.
    """

    epochs: float
    seconds: float


NEVER = Reached(math.inf, math.inf)


@dataclass(frozen=True)
class TimeToTarget:
    """Time of a case to its target.

    A seed that misses the target does not count with the time for which it was watched: it takes longer, by an
    unknown amount (censored). So the median is that of Kaplan and Meier: the earliest time by which half of the
    seeds have reached the target; None if fewer do.

    Attributes:
        result: Result of the case.
        target: Test accuracy, %.
        reached: Effort of each seed.
        step_seconds: Seconds per step: the median epoch time divided by the steps of an epoch.
    """

    result: CaseResult
    target: float
    reached: tuple[Reached, ...]
    step_seconds: float | None

    @property
    def hits(self) -> int:
        """Number of seeds that reach the target."""
        return sum(math.isfinite(each.epochs) for each in self.reached)

    @property
    def epochs(self) -> int | None:
        """Median of the epochs; None if fewer than half of the seeds reach the target."""
        median = censored_median([each.epochs for each in self.reached])
        return None if median is None else round(median)

    @property
    def steps(self) -> int | None:
        """Median of the steps: a multiple of the steps of an epoch, since tests follow epochs."""
        return None if self.epochs is None else self.epochs * self.result.steps

    @property
    def seconds(self) -> float | None:
        """Median of the seconds of training."""
        return censored_median([each.seconds for each in self.reached])

    @property
    def watched(self) -> float:
        """Shortest training, in seconds, of a completed seed that misses the target; 0 without one."""
        missed = [
            sum(epoch.seconds for epoch in trial.epochs)
            for trial, each in zip(_counted(self.result), self.reached, strict=True)
            if trial.status == "completed" and each is NEVER
        ]
        return min(missed, default=0.0)


@dataclass(frozen=True)
class Split:
    """Causes of a shorter time: fewer steps or cheaper steps; the time is the product of the two.

    Attributes:
        steps: Steps of the other to the target, divided by those of the one; above 1, the one takes fewer.
        cost: Seconds per step of the other, divided by those of the one; above 1, the one's are cheaper.
    """

    steps: float
    cost: float

    @property
    def time(self) -> float:
        """Ratio of the times: the other's divided by the one's."""
        return self.steps * self.cost


def times_to_target(results: Sequence[CaseResult]) -> list[TimeToTarget]:
    """Returns the time to target of each trained case with a target, without controls."""
    return [
        TimeToTarget(
            result,
            target,
            tuple(reached(trial, target) for trial in _counted(result)),
            _step_seconds(result),
        )
        for result in results
        if (target := result.case.target_accuracy) is not None and result.has_epochs and not result.case.control
    ]


def _counted(result: CaseResult) -> list[TrialResult]:
    """Returns the trials with a known end."""
    return [trial for trial in result.trials if trial.status in ("completed", "diverged")]


def reached(trial: TrialResult, target: float) -> Reached:
    """Returns the effort of a trial up to a test accuracy, in %."""
    seconds = 0.0
    for epoch in trial.epochs:
        seconds += epoch.seconds
        figure = epoch.figure(PRIMARY)
        if figure is not None and figure >= target:
            return Reached(epoch.epoch, seconds)
    return NEVER


def censored_median(values: Sequence[float]) -> float | None:
    """Returns the least value that at least half of all values do not exceed; None if it is infinite.

    If nothing is censored before the longest time, this is the median of the Kaplan-Meier estimate.
    """
    found = sorted(values)[(len(values) - 1) // 2] if values else math.inf
    return found if math.isfinite(found) else None


def split(one: TimeToTarget, other: TimeToTarget) -> Split | None:
    """Splits the ratio of two times into its causes; None if either time has no median."""
    if not (one.steps and other.steps and one.step_seconds and other.step_seconds):
        return None
    return Split(other.steps / one.steps, other.step_seconds / one.step_seconds)


def log_ratio(one: TimeToTarget, other: TimeToTarget) -> Paired:
    """Returns the logarithm of one time divided by the other, for each seed that reaches the target in both."""
    ours, theirs = (
        {
            trial.seed: each.seconds
            for trial, each in zip(_counted(t.result), t.reached, strict=True)
            if 0 < each.seconds < math.inf
        }
        for t in (one, other)
    )
    return Paired(tuple(math.log(ours[seed] / theirs[seed]) for seed in ours if seed in theirs))


def _step_seconds(result: CaseResult) -> float | None:
    seconds = median_seconds(result)
    return seconds / result.steps if seconds is not None and result.steps else None


@dataclass(frozen=True)
class Profile:
    """Performance profile of a method: the share of problems solved within a given time (Dolan, Moré 2002).

    A problem is a seed of a group (dataset, model and label); it is solved when the target is reached. Times are
    in units of a fixed reference: the whole training of the group's baseline, or of its first case if it has no
    baseline. Dolan and Moré use the best of all solvers, which changes for all of them when one is added.

    Attributes:
        method: The method.
        problems: Number of problems.
        points: (time, share of the problems solved by then), whenever the share rises.
    """

    method: str
    problems: int
    points: tuple[tuple[float, float], ...]

    def share(self, time: float) -> float:
        """Returns the share of the problems solved by a time."""
        return max((share for point, share in self.points if point <= time), default=0.0)


def profiles(every: Sequence[TimeToTarget]) -> list[Profile]:
    """Returns the profile of each method that has a target, in the order of the suite."""
    groups: dict[object, list[TimeToTarget]] = {}
    for each in every:
        groups.setdefault(each.result.case.group, []).append(each)
    times: dict[str, list[float]] = {}
    for members in groups.values():
        unit = _reference_seconds([each.result for each in members])
        for each in members:
            found = (r.seconds / unit if unit else math.inf for r in each.reached)
            times.setdefault(each.result.case.method, []).extend(found)
    return [Profile(method, len(found), tuple(_steps(found))) for method, found in times.items()]


def _reference_seconds(results: Sequence[CaseResult]) -> float:
    """Returns the seconds of a whole training of the reference, as a median over the seeds."""
    reference = next((r for r in results if r.case.method == r.case.baseline), results[0])
    whole = [sum(e.seconds for e in trial.epochs) for trial in reference.trials if trial.status == "completed"]
    return statistics.median(whole) if whole else 0.0


def _steps(times: Sequence[float]) -> Iterable[tuple[float, float]]:
    """Yields each time at which the share of elapsed times rises, with the new share."""
    over = 0
    for time, same in itertools.groupby(sorted(filter(math.isfinite, times))):
        over += len([*same])
        yield time, over / len(times)
