"""How soon a case reaches its target accuracy, in epochs, steps and seconds of training; and why."""

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
    """What a trial took to its target: the first epoch after which it was tested to be there.

    Attributes:
        epochs: How many; not finite where it never got there.
        seconds: Of training, by its clock.
    """

    epochs: float
    seconds: float


NEVER = Reached(math.inf, math.inf)


@dataclass(frozen=True)
class TimeToTarget:
    """How soon a case gets to its target.

    A seed that did not get there is not given the time that it was watched for: it is known only that it takes
    longer (censored). So the median is that of Kaplan and Meier: the earliest time by which half of the seeds
    are there; None where fewer are.

    Attributes:
        result: The case.
        target: Test accuracy, %.
        reached: What each seed took.
        step_seconds: What a step costs: the median epoch time by the steps of an epoch.
    """

    result: CaseResult
    target: float
    reached: tuple[Reached, ...]
    step_seconds: float | None

    @property
    def hits(self) -> int:
        """How many seeds got there."""
        return sum(math.isfinite(each.epochs) for each in self.reached)

    @property
    def epochs(self) -> int | None:
        """The median; None where fewer than half of the seeds got there."""
        median = censored_median([each.epochs for each in self.reached])
        return None if median is None else round(median)

    @property
    def steps(self) -> int | None:
        """The median; testing is done after every epoch, so that it is a multiple of an epoch's steps."""
        return None if self.epochs is None else self.epochs * self.result.steps

    @property
    def seconds(self) -> float | None:
        """The median, of training."""
        return censored_median([each.seconds for each in self.reached])

    @property
    def watched(self) -> float:
        """For how many seconds of training a seed was watched that did not get there; 0 where none completed."""
        missed = [
            sum(epoch.seconds for epoch in trial.epochs)
            for trial, each in zip(_counted(self.result), self.reached, strict=True)
            if trial.status == "completed" and each is NEVER
        ]
        return min(missed, default=0.0)


@dataclass(frozen=True)
class Split:
    """Why one gets there sooner than another: fewer steps, or cheaper ones; time is the product of the two.

    Attributes:
        steps: The other's steps to the target by the one's; above 1 the one takes fewer.
        cost: The other's seconds a step by the one's; above 1 the one's are cheaper.
    """

    steps: float
    cost: float

    @property
    def time(self) -> float:
        """By how much it is sooner there."""
        return self.steps * self.cost


def times_to_target(results: Sequence[CaseResult]) -> list[TimeToTarget]:
    """How soon each case gets there that has a target and has trained; controls are left out."""
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
    """The trials of which it is known how they ended."""
    return [trial for trial in result.trials if trial.status in ("completed", "diverged")]


def reached(trial: TrialResult, target: float) -> Reached:
    """What a trial took to a test accuracy, in %."""
    seconds = 0.0
    for epoch in trial.epochs:
        seconds += epoch.seconds
        figure = epoch.figure(PRIMARY)
        if figure is not None and figure >= target:
            return Reached(epoch.epoch, seconds)
    return NEVER


def censored_median(values: Sequence[float]) -> float | None:
    """The least value that half of all are not above, those that are infinite among them; None if it is infinite.

    Where nothing is censored before the longest time, that is the median of Kaplan's and Meier's estimate.
    """
    found = sorted(values)[(len(values) - 1) // 2] if values else math.inf
    return found if math.isfinite(found) else None


def split(one: TimeToTarget, other: TimeToTarget) -> Split | None:
    """Why the one is sooner there than the other; None where either is not there in half of its seeds."""
    if not (one.steps and other.steps and one.step_seconds and other.step_seconds):
        return None
    return Split(other.steps / one.steps, other.step_seconds / one.step_seconds)


def log_ratio(one: TimeToTarget, other: TimeToTarget) -> Paired:
    """The logarithm of the one's time by the other's, of each seed that got there with both."""
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
    """Which share of what it was tried on a method has solved, by the time that it may take (Dolan, Moré 2002).

    A problem is a seed of a group (dataset, model and label); it is solved when the target is reached. Times are
    in units of a fixed reference: what the group's baseline takes for the whole of its training (the first case
    of the group, where it has no baseline). Theirs is the best of all solvers, which changes for all of them when
    one is added.

    Attributes:
        method: The method.
        problems: How many it was tried on.
        points: (time, share of the problems solved by then), whenever the share rises.
    """

    method: str
    problems: int
    points: tuple[tuple[float, float], ...]

    def share(self, time: float) -> float:
        """What was solved by then."""
        return max((share for point, share in self.points if point <= time), default=0.0)


def profiles(results: Sequence[CaseResult]) -> list[Profile]:
    """The profile of each method that has a target, in the order of the suite."""
    groups: dict[object, list[TimeToTarget]] = {}
    for each in times_to_target(results):
        groups.setdefault(each.result.case.group, []).append(each)
    times: dict[str, list[float]] = {}
    for members in groups.values():
        unit = _reference_seconds([each.result for each in members])
        for each in members:
            found = (r.seconds / unit if unit else math.inf for r in each.reached)
            times.setdefault(each.result.case.method, []).extend(found)
    return [Profile(method, len(found), tuple(_steps(found))) for method, found in times.items()]


def _reference_seconds(results: Sequence[CaseResult]) -> float:
    """The median over the seeds of a whole training."""
    reference = next((r for r in results if r.case.method == r.case.baseline), results[0])
    whole = [sum(e.seconds for e in trial.epochs) for trial in reference.trials if trial.status == "completed"]
    return statistics.median(whole) if whole else 0.0


def _steps(times: Sequence[float]) -> Iterable[tuple[float, float]]:
    """Where the share of times that are over rises, and what it rises to."""
    over = 0
    for time, same in itertools.groupby(sorted(filter(math.isfinite, times))):
        over += len([*same])
        yield time, over / len(times)
