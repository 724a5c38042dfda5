"""Ladders: how far up the levels of each problem a method gets, with scores and mean ranks over problems.

A level is solved if at least half of its seeds reach the target of the problem, those that diverged or failed
counting as not: that is, if the median of the steps to the target exists.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from benchmnist.analysis.grid import LEAST_GROUPS, LEAST_METHODS
from benchmnist.analysis.ranks import Ranks, ranks_of
from benchmnist.analysis.rungs import Rung, order_of, places_of, rungs_of
from benchmnist.analysis.statistics import LEVEL, sample_std, student
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.analysis.rungs import Place
    from benchmnist.runs.results import CaseResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Group


@dataclass(frozen=True)
class Ladder:
    """The levels of a problem, as one method was tried on them.

    Attributes:
        problem: The problem, with the point of its sweep and the label of its block, if any.
        method: The method.
        rungs: The levels, the easiest first.
    """

    problem: str
    method: str
    rungs: tuple[Rung, ...]

    @cached_property
    def solved(self) -> tuple[Rung, ...]:
        """The levels solved together with all easier ones."""
        missed = [index for index, rung in enumerate(self.rungs) if not rung.is_solved]
        return self.rungs[: missed[0]] if missed else self.rungs

    @property
    def highest(self) -> Rung | None:
        """The highest level solved together with all easier ones; None if the easiest is not solved."""
        return self.solved[-1] if self.solved else None

    @property
    def next(self) -> Rung | None:
        """The easiest level that is not solved; None if all are."""
        return None if len(self.solved) == len(self.rungs) else self.rungs[len(self.solved)]

    @property
    def gaps(self) -> tuple[Rung, ...]:
        """Harder levels that are solved although an easier one is not."""
        return tuple(rung for rung in self.rungs[len(self.solved) :] if rung.is_solved)

    @property
    def share(self) -> float:
        """Share of the levels that are solved together with all easier ones."""
        return len(self.solved) / len(self.rungs)

    @property
    def recorded(self) -> bool:
        """Tells whether it is of an earlier run that others made."""
        return any(rung.recorded for rung in self.rungs)


@dataclass(frozen=True)
class LadderScore:
    """The score of a method: 1 if it solves all levels of all problems, 0 if none.

    Attributes:
        method: The method.
        mean: Mean over the problems of the share of their levels that it solves.
        interval: Interval of that mean over problems like these, with a confidence of 0.95 if shares are normally
            distributed (Student's); None with one problem, and if all have the same share.
        recorded: Whether its results are of an earlier run that others made.
    """

    method: str
    mean: float
    interval: tuple[float, float] | None
    recorded: bool = False


@dataclass(frozen=True)
class Ladders:
    """The ladders of a run.

    Attributes:
        ladders: Those of each problem, problem by problem; in each, a method after another.
        scores: Of the methods that were tried on every level of every problem, the best first.
        ranks: Their mean ranks over the problems by the number of levels that they solve; None if there are too
            few of either.
        left_out: The methods that were not tried on every level of every problem.
        levels: The level of each group of cases, where its problem has several here.
    """

    ladders: tuple[Ladder, ...]
    scores: tuple[LadderScore, ...]
    ranks: Ranks | None
    left_out: tuple[str, ...] = ()
    levels: Mapping[Group, Place] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The problems in words: `15 problems`."""
        return counted(len(self.problems), "problem")

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """The problems, in the order of the suite."""
        return tuple(dict.fromkeys(ladder.problem for ladder in self.ladders))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of the suite; recorded ones last."""
        ordered = sorted(self.ladders, key=lambda ladder: ladder.recorded)
        return tuple(dict.fromkeys(ladder.method for ladder in ordered))

    @cached_property
    def by_method(self) -> Mapping[str, Mapping[str, Ladder]]:
        """The ladder of each method on each problem that it was tried on."""
        found: dict[str, dict[str, Ladder]] = {method: {} for method in self.methods}
        for ladder in self.ladders:
            found[ladder.method][ladder.problem] = ladder
        return found


def ladders(
    results: Sequence[CaseResult],
    searches: Sequence[Search] = (),
    recorded: Sequence[CaseResult] = (),
    recorded_searches: Sequence[Search] = (),
) -> Ladders | None:
    """Finds how far up the levels of each problem each method gets; None if no case is of a problem with a target.

    Args:
        results: The results of a run; those of several searches for one method may be one (`units.by_search`).
        searches: The searches of the run. One that found nothing is a level that is not solved.
        recorded: Results of an earlier run. Those of methods that the run itself has are left out, and so are
            those of problems and levels that it has not; if it has none, all of them count.
        recorded_searches: The searches of the earlier run.
    """
    every, searched = [*results, *recorded], [*searches, *recorded_searches]
    places = places_of(every, searched)
    own = rungs_of(results, searches, places)
    earlier = {
        key: replace(rung, recorded=True) for key, rung in rungs_of(recorded, recorded_searches, places).items()
    }
    if own:
        mine, there = {key.method for key in own}, {(key.problem, key.level) for key in own}
        earlier = {
            key: rung
            for key, rung in earlier.items()
            if key.method not in mine and (key.problem, key.level) in there
        }
    found = own | earlier
    if not found:
        return None
    by_ladder: dict[tuple[str, str], list[Rung]] = defaultdict(list)
    order = order_of(places.values())
    for key in sorted(found, key=lambda key: order[key.problem, key.level]):
        by_ladder[key.problem, key.method].append(found[key])
    methods = dict.fromkeys(key.method for key in found)
    built = tuple(
        Ladder(problem, method, tuple(by_ladder[problem, method]))
        for problem in dict.fromkeys(problem for problem, _ in order)
        for method in methods
        if (problem, method) in by_ladder
    )
    several = {ladder.problem for ladder in built if len(ladder.rungs) > 1}
    levels = {
        group: place._replace(rung=order[place.problem, place.level])
        for group, place in places.items()
        if place.problem in several
    }
    return _compared(built, levels)


def _compared(built: tuple[Ladder, ...], places: Mapping[Group, Place]) -> Ladders:
    """Scores and ranks the methods that were tried on every level of every problem."""
    levels: dict[str, int] = {}
    by_method: dict[str, list[Ladder]] = defaultdict(list)
    for ladder in built:
        levels[ladder.problem] = max(levels.get(ladder.problem, 0), len(ladder.rungs))
        by_method[ladder.method].append(ladder)
    whole = {
        method: found
        for method, found in by_method.items()
        if {ladder.problem: len(ladder.rungs) for ladder in found} == levels
    }
    scores = sorted((_score(method, found) for method, found in whole.items()), key=lambda score: -score.mean)
    ranks = None
    if len(whole) >= LEAST_METHODS and len(levels) >= LEAST_GROUPS:
        rows = zip(*([-len(ladder.solved) for ladder in found] for found in whole.values()), strict=True)
        ranks = ranks_of([*whole], [*rows])
    left_out = tuple(method for method in by_method if method not in whole)
    return Ladders(built, tuple(scores), ranks, left_out, places)


def _score(method: str, found: Sequence[Ladder]) -> LadderScore:
    shares, n = [ladder.share for ladder in found], len(found)
    mean, spread = statistics.fmean(shares), sample_std(shares) if n > 1 else 0.0
    half = student(LEVEL, n - 1) * spread / math.sqrt(n) if spread else 0.0
    interval = (max(0.0, mean - half), min(1.0, mean + half)) if half else None
    return LadderScore(method, mean, interval, recorded=any(ladder.recorded for ladder in found))
