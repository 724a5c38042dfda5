"""Performance profiles: the share of problems that a method has solved by a given time (Dolan, Moré 2002)."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.courses import points
from benchmnist.analysis.figures import median_seconds
from benchmnist.analysis.targets import by_target
from benchmnist.metrics import TARGET_SECONDS, TARGET_STEPS
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmnist.analysis.targets import TimeToTarget
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.budgets import Target
    from benchmnist.suites.cases import Group

Problem = tuple["Group", "Target", int]
"""A group (dataset, model and label) with a target and a seed."""


@dataclass(frozen=True)
class Profile:
    """Performance profile of a method.

    A problem is a seed of a group (dataset, model and label); it is solved when the target is reached. Times are
    in units of a fixed reference: see `unit_of_efforts`. Dolan and Moré use the best of all solvers, which changes
    for all of them when one is added.

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


@dataclass(frozen=True)
class Profiles:
    """The profiles of a run.

    Attributes:
        compared: Profiles of the methods that were tried on the same problems, over these problems.
        left_out: Names of the other methods, each with the number of the problems that it was tried on.
        stacked: Names of the methods with cases that were trained in a stack, which have no times of their own.
    """

    compared: tuple[Profile, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    stacked: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """Names the methods and cases that are left out; empty without any."""
        each = [f"{method} ({counted(problems, 'problem')})" for method, problems in self.left_out]
        said = [f"left out, since not tried on the same problems: {', '.join(each)}"] if each else []
        if self.stacked:
            said.append(f"without the cases that were trained in a stack: {', '.join(self.stacked)}")
        return "; ".join(said)


def profiles(every: Sequence[TimeToTarget]) -> Profiles:
    """Returns the profiles of the methods that were tried on the same problems, in the order of the suite.

    Of the sets of problems that several methods share, it is the one with the most trials: methods times
    problems. Without such a set, it is that of one method.
    """
    stacked = tuple(dict.fromkeys(t.result.case.method for t in every if t.result.shares_times))
    every = [t for t in every if not t.result.shares_times]
    times: dict[str, dict[Problem, float]] = {}
    for (group, target), members in by_target(every).items():
        unit = unit_of_efforts([each.result for each in members])
        for each in members:
            solved = times.setdefault(each.result.case.method, {})
            solved |= {(group, target, seed): effort.seconds / unit for seed, effort in each.reached.items()}
    shared = _shared({method: frozenset(solved) for method, solved in times.items()})
    inside = {method: solved for method, solved in times.items() if shared and shared <= solved.keys()}
    return Profiles(
        tuple(
            Profile(method, len(shared), tuple(_steps([solved[problem] for problem in shared])))
            for method, solved in inside.items()
        ),
        tuple((method, len(solved)) for method, solved in times.items() if method not in inside and solved),
        stacked,
    )


def _shared(tried: Mapping[str, frozenset[Problem]]) -> frozenset[Problem]:
    """Returns the problems to compare methods on, given those that each was tried on."""
    sets = [*dict.fromkeys(tried.values())]
    candidates = dict.fromkeys([*sets, *(one & other for one, other in itertools.combinations(sets, 2))])

    def worth(problems: frozenset[Problem]) -> tuple[bool, int, int]:
        methods = sum(problems <= each for each in tried.values())
        return methods > 1 and bool(problems), methods * len(problems), methods

    return max(candidates, key=worth, default=frozenset())


def unit_of_efforts(results: Sequence[CaseResult], effort: Metric = TARGET_SECONDS) -> float:
    """Returns the unit of a group: the seconds, or steps, of a whole training, as a median over the seeds.

    It is that of the baseline, or of the first case without one. If no seed of it was trained to its end, such as
    when all diverged, it is that of the first case with such a seed; if there is none, the time of the planned
    epochs at the median time of an epoch, or their steps.
    """
    first, in_steps = sorted(results, key=lambda result: not result.case.is_baseline), effort == TARGET_STEPS
    for result in first:
        ended = [trial for trial in result.trials if trial.status == "completed" and trial.epochs]
        last = [[*points(trial, result.steps)][-1] for trial in ended]
        whole = [point.step if in_steps else point.seconds for point in last]
        if whole and (found := statistics.median(whole)) > 0:
            return found
    if in_steps:
        return next((r.steps * r.case.epochs for r in first if r.steps), 1.0)
    return next((s * r.case.epochs for r in first if (s := median_seconds(r))), 1.0)


def _steps(times: Sequence[float]) -> Iterable[tuple[float, float]]:
    """Yields each time at which the share of elapsed times rises, with the new share."""
    over = 0
    for time, same in itertools.groupby(sorted(filter(math.isfinite, times))):
        over += len([*same])
        yield time, over / len(times)
