"""OptimizerSearch: the points that one optimizer tries on one model, and what comes of them."""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.figures import seed_figures
from benchmnist.analysis.searches import scores_of, values_of
from benchmnist.metrics import PRIMARY, TARGET_STEPS
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.budgets import total_steps
from benchmnist.suites.components import variant_of
from benchmnist.suites.points import point_of
from benchmnist.suites.samplers import GuidedSearch
from benchmnist.suites.sampling import grid, random_points
from benchmnist.suites.suite import Point, SearchScope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case, Space
    from benchmnist.suites.schema import Tune

UNGUIDED = ("random", "grid")
"""Samplers whose points do not depend on results: they are all asked for at once."""


class OptimizerSearch:
    """One search for one optimizer on one model.

    Attributes:
        scope: The dataset, model, label and method that it tunes for.
        number: Which search for them it is, from 1; each has a seed of its own.
        target: The target at which its cases stop, in words: attempts are judged by the way to it. Empty without.
        asked: The points that were asked for, in order.
    """

    def __init__(
        self,
        scope: SearchScope,
        space: Mapping[str, Space],
        how: Tune,
        metric: Metric = PRIMARY,
        number: int = 1,
        *,
        target: str = "",
    ) -> None:
        self.scope, self.space, self.how, self.metric, self.number = scope, space, how, metric, number
        self.target = target
        self.seed = how.seed + number - 1
        self.asked: list[dict[str, Any]] = []
        self._asking = self._points()
        self._told: dict[str, float] = {}

    @property
    def guided(self) -> bool:
        """Tells whether the results of its points decide which it asks for next."""
        return self.how.sampler not in UNGUIDED

    @property
    def points(self) -> tuple[Point, ...]:
        """The points asked for."""
        return tuple(Point(params, variant_of(params), self.number) for params in self.asked)

    def ask(self, found: RunResult | None) -> bool:
        """Asks for more points, by what came of those before; returns whether there are more."""
        if found is not None:
            outcome = self.outcome(found)
            numbers = scores_of(outcome) if self.target else values_of(outcome)
            values = zip(outcome.attempts, numbers, strict=True)
            self._told.update({variant_of(attempt.params): value for attempt, value in values})
        before = len(self.asked)
        self.asked += next(self._asking, [])
        return len(self.asked) > before

    def planned(self, cases: Sequence[Case]) -> tuple[Point, ...]:
        """Returns the points of this search among the cases of a run, without those of another space."""
        there = [(case.optimizer.variant, point_of(case, self.space)) for case in cases if self._has(case)]
        return tuple(
            Point(params, variant, self.number) for variant, params in there if variant_of(params) == variant
        )

    def ended(self, run: RunResult) -> bool:
        """Tells whether a run has the result of each point that was asked for."""
        ended = {variant for variant, result in self._results(run).items() if result.status != "interrupted"}
        return {variant_of(params) for params in self.asked} <= ended

    def outcome(self, run: RunResult) -> Search:
        """Returns the search with the value of each attempt."""
        results = self._results(run)
        return Search(
            **self.scope._asdict(),
            metric=self.metric,
            sampler=self.how.sampler,
            space=dict(self.space),
            attempts=tuple(self._attempt(params, results.get(variant_of(params))) for params in self.asked),
            run=f"{run.path.parent.name}/{run.path.name}",
            number=self.number if self.how.searches > 1 else None,
            target=self.target,
            seeds=self.how.seeds if self.target else 0,
            budget=max((total_steps(r.case, r.steps) for r in results.values()), default=0) if self.target else 0,
        )

    def _attempt(self, params: dict[str, Any], result: CaseResult | None) -> Attempt:
        """Returns an attempt with what came of it."""
        if result is None:
            return Attempt(params=params, reached=0 if self.target else None)
        values = [*seed_figures(result, self.metric).values()]
        whole = len(values) == len(result.case.seeds)  # one seed that diverged is one too many
        value = statistics.fmean(values) if whole else None
        if not self.target:
            return Attempt(params=params, value=value)
        steps = [*seed_figures(result, TARGET_STEPS).values()]
        return Attempt(
            params=params, value=value, reached=len(steps), steps=statistics.median(steps) if steps else None
        )

    def _results(self, run: RunResult) -> dict[str, CaseResult]:
        """Returns the results of its cases, by the variants of their points."""
        return {result.case.optimizer.variant: result for result in run.cases if self._has(result.case)}

    def _has(self, case: Case) -> bool:
        """Tells whether a case is at a point of this search."""
        tuned_for = SearchScope(*case.group, _without_point(case))
        return tuned_for == self.scope and (case.search or 1) == self.number

    def _points(self) -> Iterator[list[dict[str, Any]]]:
        how = self.how
        if how.sampler == "grid":
            yield grid(self.space, how.trials, self.seed)
        elif how.sampler == "random":
            yield [*itertools.islice(random_points(self.space, self.seed), how.trials)]
        else:
            higher = bool(self.target) or self.metric.better == "higher"
            guided = GuidedSearch(self.space, how.sampler, self.seed, maximize=higher)
            yield from guided.batches(how.trials, self._told.get)


def _without_point(case: Case) -> str:
    """Returns the method of a case of a search, without its point and its number."""
    return "/".join((case.optimizer.name, *(case.axes if case.search is None else case.axes[:-1])))
