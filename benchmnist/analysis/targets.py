"""Times to a target, in epochs, steps and seconds of training, and their causes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import efforts, lost_seeds, median_seconds
from benchmnist.analysis.reached import NEVER, Reached, censored_median
from benchmnist.metrics import TARGET_SECONDS
from benchmnist.suites.budgets import Target, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Group


@dataclass(frozen=True)
class TimeToTarget:
    """Time of a case to its target.

    A seed that misses the target does not count with the time for which it was watched: it takes longer, by an
    unknown amount (censored). So the median is that of Kaplan and Meier: the earliest time by which half of the
    seeds have reached the target; None if fewer do. It is the time of one seed: `median`.

    Attributes:
        result: Result of the case.
        target: The target.
        reached: Effort of each seed with a known end; NEVER for one that missed the target, diverged or failed.
    """

    result: CaseResult
    target: Target
    reached: Mapping[int, Reached]

    @property
    def hits(self) -> int:
        """Number of seeds that reach the target."""
        return sum(each != NEVER for each in self.reached.values())

    @cached_property
    def median(self) -> Reached | None:
        """Effort of the seed with the median time; None if fewer than half of the seeds reach the target."""
        efforts = sorted(self.reached.values())
        found = efforts[(len(efforts) - 1) // 2] if efforts else NEVER
        return None if found == NEVER else found

    @property
    def seconds(self) -> float | None:
        """Median of the seconds of training."""
        return self.median and self.median.seconds

    @property
    def epochs(self) -> int | None:
        """Number of epochs of the seed with the median time, the one under way included."""
        return None if self.median is None else round(self.median.epochs)

    @property
    def steps(self) -> int | None:
        """Number of steps of that seed; 0 if the result does not say how many an epoch has."""
        return None if self.median is None else round(self.median.steps)

    @cached_property
    def median_steps(self) -> int | None:
        """Median of the number of steps, which need not be those of the seed with the median time."""
        found = censored_median([each.steps for each in self.reached.values()])
        return None if found is None else round(found)

    @property
    def gave_up(self) -> int:
        """Number of seeds that ended because the target seemed out of reach."""
        return sum(trial.ended == "patience" for trial in self.result.trials)

    @property
    def step_seconds(self) -> float | None:
        """Seconds per step of that seed, up to the target; without one, of the median epoch of all seeds."""
        if self.seconds is not None and self.steps:
            return self.seconds / self.steps
        seconds = median_seconds(self.result)
        return seconds / self.result.steps if seconds is not None and self.result.steps else None

    @property
    def watched(self) -> float:
        """Shortest training, in seconds, of a completed seed that misses the target; 0 without one."""
        missed = [
            sum(epoch.seconds for epoch in trial.epochs)
            for trial in self.result.trials
            if trial.status == "completed" and self.reached.get(trial.seed) == NEVER
        ]
        return min(missed, default=0.0)


@dataclass(frozen=True)
class Split:
    """Causes of a shorter time, in the seeds in which both cases reach the target: fewer steps or cheaper steps.

    Both are geometric means of the ratios of these seeds, from the same steps and seconds up to the target, so the
    ratio of the times is exactly their product.

    Attributes:
        seeds: Number of seeds in which both reach the target.
        steps: Steps of the other to the target, divided by those of the one; above 1, the one takes fewer.
        cost: Seconds per step of the other, divided by those of the one; above 1, the one's are cheaper.
    """

    seeds: int
    steps: float
    cost: float

    @property
    def time(self) -> float:
        """Ratio of the times: the other's divided by the one's; above 1, the one is sooner."""
        return self.steps * self.cost


def times_to_target(results: Sequence[CaseResult]) -> list[TimeToTarget]:
    """Returns the time to target of each trained case with a target, without controls and untuned ones."""
    return [
        TimeToTarget(result, target, _reached(result))
        for result in results
        if (target := target_of(result.case)) is not None and result.has_epochs and not result.case.aside
    ]


def by_target(every: Sequence[TimeToTarget]) -> dict[tuple[Group, Target], list[TimeToTarget]]:
    """Groups the times of cases that are compared with each other and have the same target, in order."""
    groups: dict[tuple[Group, Target], list[TimeToTarget]] = {}
    for each in every:
        groups.setdefault((each.result.case.group, each.target), []).append(each)
    return groups


def _reached(result: CaseResult) -> dict[int, Reached]:
    lost, found = lost_seeds(result, TARGET_SECONDS), efforts(result)
    return {seed: found.get(seed, NEVER) for seed in result.case.seeds if seed in found or seed in lost}


def split(one: TimeToTarget, other: TimeToTarget) -> Split | None:
    """Splits the ratio of two times into its causes; None if no seed reaches the target in both cases."""
    both = [
        (ours, theirs)
        for seed, ours in one.reached.items()
        if (theirs := other.reached.get(seed, NEVER)) != NEVER and ours != NEVER
        if ours.seconds > 0 and theirs.seconds > 0
    ]
    if not both or not (one.result.steps and other.result.steps):
        return None
    steps = math.fsum(math.log(theirs.steps / ours.steps) for ours, theirs in both)
    time = math.fsum(math.log(theirs.seconds / ours.seconds) for ours, theirs in both)
    return Split(len(both), math.exp(steps / len(both)), math.exp((time - steps) / len(both)))
