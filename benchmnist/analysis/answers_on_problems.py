"""The answer to "is lion better than adamw?" on a problem: who reaches its target, at which levels, how soon."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import factor, telling_digits
from benchmnist.analysis.answers import CONFIDENCE, Answer, edges, effort
from benchmnist.analysis.figures import efforts
from benchmnist.analysis.permutations import permutation_p
from benchmnist.analysis.reached import NEVER
from benchmnist.analysis.statistics import LEVEL, Paired, difference
from benchmnist.analysis.units import by_search
from benchmnist.suites.budgets import target_of
from benchmnist.text import alternatives, cause_of, counted, decimals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case

QUESTIONS = 2
"""Statements that share the chance of a mistake: on the levels that are solved, and on the steps."""


@dataclass(frozen=True)
class Climb:
    """Steps that one optimizer needs on the levels of a problem, easiest first.

    Attributes:
        called: Its name in sentences.
        steps: Steps to the target at each level by each search, or seed where nothing is tuned; infinite where one
            of the seeds of the search misses the target.
        any: Whether any training of it completed.
    """

    called: str
    steps: tuple[tuple[float, ...], ...]
    any: bool

    @property
    def solved(self) -> tuple[tuple[bool, ...], ...]:
        """Tells of each level which searches solve it."""
        return tuple(tuple(steps < NEVER.steps for steps in level) for level in self.steps)

    @property
    def heights(self) -> list[int]:
        """Number of levels that each search solves together with all easier ones."""
        each_search = zip(*self.solved, strict=True)
        return [
            next((number for number, solves in enumerate(each) if not solves), len(each)) for each in each_search
        ]

    @property
    def height(self) -> int:
        """Number of levels that at least half of the searches solve together with all easier ones."""
        return sorted(self.heights, reverse=True)[(len(self.heights) + 1) // 2 - 1]

    @property
    def everywhere(self) -> set[int]:
        """The levels that every search solves."""
        return {number for number, level in enumerate(self.solved) if all(level)}


def answers_on(
    place: str,
    rungs: Sequence[Case],
    run: RunResult,
    *,
    asked: Sequence[str],
    baseline: str,
    called: Mapping[str, str],
) -> list[Answer]:
    """Returns an answer for each optimizer that is asked about, on a problem whose trials stop at its target.

    How many levels two optimizers solve is compared by a permutation test over searches; how many steps they need,
    by the interval of the mean ratio over searches, at the levels that each search of both solves. Both are
    corrected for each other, for the number of comparisons and for the looks.

    Args:
        place: The name of the problem in sentences.
        rungs: A case of each level, easiest first.
        run: The run of the last look that was made.
        asked: Names of the optimizers that are asked about, as in the suite.
        baseline: Name of the optimizer that they are compared with.
        called: What the sentences call each of them.
    """
    results = {(r.case.optimizer.name, r.case.dataset.label): r for r in by_search(run.cases)}
    numbers = [search.number or 1 for search in run.record.searches]
    seeds = {seed for result in run.cases for seed in result.case.seeds}
    units, noun = ([*range(1, max(numbers) + 1)], "search") if numbers else (sorted(seeds), "seed")
    climbs = {name: _climb(results, rungs, name, called[name], units) for name in (*asked, baseline)}
    family = QUESTIONS * len(asked) * run.record.number_of_looks
    found = []
    for name in asked:
        pair = _Pair(climbs[name], climbs[baseline], rungs, place, family, noun)
        failed = [each for each in (name, baseline) if not climbs[each].any]
        doubts = tuple(edges(run.record.searches, {each: called[each] for each in (name, baseline)}))
        if failed:
            why = [_completed_nothing(run.cases, each, called[each]) for each in failed]
            said = f"On {place}, {alternatives(why, 'and')}: that counts against what failed, with no comparison."
            found.append(Answer(said, doubts, told=False, failed=True))
            continue
        said, told = pair.judged()
        found.append(Answer(f"{said}{effort(run, len(units), noun)}.", doubts, told=told))
    return found


def _climb(
    results: Mapping[tuple[str, str], CaseResult],
    rungs: Sequence[Case],
    name: str,
    called: str,
    units: Sequence[int],
) -> Climb:
    there = [results.get((name, rung.dataset.label)) for rung in rungs]
    reached = [{} if result is None else efforts(result) for result in there]
    steps = tuple(tuple(level.get(unit, NEVER).steps for unit in units) for level in reached)
    completed = any(trial.status == "completed" for result in there if result for trial in result.trials)
    return Climb(called, steps, completed)


def _completed_nothing(results: Sequence[CaseResult], name: str, called: str) -> str:
    errors = [result.error for result in results if result.case.optimizer.name == name and result.error]
    return f"{called} completed nothing{f' ({cause_of(errors[0])})' if errors else ''}"


@dataclass(frozen=True)
class _Pair:
    """Two optimizers on a problem.

    Attributes:
        one, other: What they reach.
        rungs: A case of each level.
        place: The name of the problem.
        family: Number of statements that share the chance of a mistake.
        noun: `search` or `seed`.
    """

    one: Climb
    other: Climb
    rungs: Sequence[Case]
    place: str
    family: int
    noun: str

    def judged(self) -> tuple[str, bool]:
        """Returns what is said, and whether it is decided."""
        levels, told = self._levels()
        steps, sooner = ("", False) if told else self._steps()
        said = f"{self._reached()}: {levels}" if levels else self._reached()
        if not levels and not steps:
            return f"{said}: no difference is shown", False
        return f"{said}; {steps}" if steps else said, told or sooner

    def _reached(self) -> str:
        if len(self.rungs) == 1:
            counts = [f"{each.called} in {self._of(sum(each.solved[0]))}" for each in (self.one, self.other)]
            return f"{self.place} ({self._task()}) is solved by {counts[0]} and by {counts[1]}"
        found = [f"{each.called} {self._up_to(each)}" for each in self._two]
        return f"On {self.place} ({self._task()}), {found[0]}, and {found[1]}"

    def _up_to(self, climb: Climb) -> str:
        if climb.height == len(self.rungs):
            return f"solves all {climb.height} levels"
        if not climb.height:
            return f"does not solve the easiest of {len(self.rungs)} levels ({self._level(0)})"
        return f"solves {climb.height} of {len(self.rungs)} levels (up to {self._level(climb.height - 1)})"

    def _levels(self) -> tuple[str, bool]:
        """Compares the levels that are solved."""
        ours, theirs = self.one.heights, self.other.heights
        p = min(1.0, self.family * permutation_p(ours, theirs))
        if p <= LEVEL:
            better = self.one if sum(ours) > sum(theirs) else self.other
            means = ""
            if len(self.rungs) > 1:
                means = f" ({statistics.fmean(ours):.1f} and {statistics.fmean(theirs):.1f} on average)"
            return f"{better.called} solves more{means}, p {_p(p)}", True
        if not any((*ours, *theirs)):
            return "there is nothing to compare", False
        if ours == theirs:
            return "", False
        return f"the difference in what they solve is not told from chance (p {_p(p)})", False

    def _steps(self) -> tuple[str, bool]:
        """Compares the steps at the levels that every search of both solves."""
        both = sorted(self.one.everywhere & self.other.everywhere)
        if not both:
            return "", False
        ours, theirs = ([_log_mean(each.steps, both, unit) for unit in range(self._number)] for each in self._two)
        paired = Paired(tuple(difference(a, b) for a, b in zip(ours, theirs, strict=True)))
        where = "" if len(self.rungs) == 1 else f" on {counted(len(both), 'level')} that every {self.noun} solves"
        took = [self._median_steps(each, both) for each in self._two]
        if paired.identical:
            return f"both take {took[0]}{where}, as many in every {self.noun}", paired.says_something
        counts = f"{self.one.called} takes {took[0]} and {self.other.called} {took[1]}{where}"
        slower, faster = self._two if paired.mean > 0 else self._two[::-1]
        interval, times = paired.interval(self.family), factor(abs(paired.mean))
        if interval is None:
            p = permutation_p(*([round(factor(value)) for value in values] for values in (ours, theirs)))
            each = f"{slower.called} takes {times:.2f} times as many as {faster.called} in every {self.noun}"
            return f"{counts}: {each}", self.family * p <= LEVEL
        low, high = sorted(factor(end if slower is self.one else -end) for end in interval)
        digits = telling_digits((low, high), (1.0,), 2)
        amount = f"{decimals(times, digits)} times as many"
        of = f"({decimals(low, digits)} to {decimals(high, digits)}, {CONFIDENCE})"
        if low > 1:
            return f"{counts}: {slower.called} takes {amount} as {faster.called} {of}", True
        return f"{counts}, which are not told apart: {amount} {of}", False

    @property
    def _two(self) -> tuple[Climb, Climb]:
        """Both of them."""
        return self.one, self.other

    @property
    def _number(self) -> int:
        return len(self.one.steps[0])

    def _median_steps(self, climb: Climb, levels: Sequence[int]) -> str:
        middle = [statistics.median(climb.steps[level]) for level in levels]
        return counted(round(statistics.geometric_mean(middle)), "step")

    def _of(self, number: int) -> str:
        return f"{number} of {counted(self._number, self.noun)}"

    def _level(self, number: int) -> str:
        case = self.rungs[number]
        return case.level or case.dataset.variant or case.dataset.label

    def _task(self) -> str:
        """The target and the budget, where all levels have the same."""
        targets = {str(target_of(case)) for case in self.rungs}
        budgets = {
            counted(case.steps, "step") if case.steps else counted(case.epochs, "epoch") for case in self.rungs
        }
        every = {case.evaluate_every for case in self.rungs}
        if len(targets) > 1 or len(budgets) > 1:
            return "the target of each level, within its budget"
        often = f", tested every {every.pop()}" if len(every) == 1 and None not in every else ""
        return f"{targets.pop()} within {budgets.pop()}{often}"


def _log_mean(steps: Sequence[Sequence[float]], levels: Sequence[int], unit: int) -> float:
    return statistics.fmean(math.log(steps[level][unit]) for level in levels)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"  # noqa: PLR2004
