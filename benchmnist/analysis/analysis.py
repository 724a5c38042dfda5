"""The conclusions from a run, each computed once, when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from benchmnist.analysis.findings import Finding, findings
from benchmnist.analysis.grid import Grid, full_grid
from benchmnist.analysis.ladders import Ladders, ladders
from benchmnist.analysis.marks import against_baseline, unbeaten
from benchmnist.analysis.noise_floor import Floor, noise_floors
from benchmnist.analysis.others import Others, others_of
from benchmnist.analysis.profiles import Profiles, profiles
from benchmnist.analysis.ranks import Ranks, mean_ranks
from benchmnist.analysis.scores import Scores, scores
from benchmnist.analysis.steps_saved import StepsSaved, steps_saved
from benchmnist.analysis.summary import Summary, summarise_all
from benchmnist.analysis.targets import TimeToTarget, times_to_target
from benchmnist.analysis.telling_levels import untold_levels
from benchmnist.analysis.units import by_search, members
from benchmnist.analysis.verdicts import Verdict, Verdicts, judge
from benchmnist.metrics import TARGET_SECONDS, TARGET_STEPS, comparable, find_metric, metrics_with

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Group


class Analysis:
    """The conclusions from a run, which tables, pages, plots and sentences share.

    Args:
        run: The run. Its results must not change: nothing is computed twice.
        shown: The ids of the cases that tables show; by default all, but of many levels of problems only one or
            none of each, see `untold_levels`. What is said of them is concluded from all cases of the run: a
            family of comparisons that was chosen by its results would be too small.
    """

    def __init__(self, run: RunResult, shown: Container[str] | None = None) -> None:
        self.run, self._shown = run, shown
        self._verdicts: dict[Metric | str | None, Verdicts] = {}
        self._unbeaten: dict[Metric, frozenset[str]] = {}
        self._against_baseline: dict[Metric, dict[str, Verdict]] = {}

    @cached_property
    def cases(self) -> list[CaseResult]:
        """The results that tables show."""
        if self._shown is None:
            return [result for result in self.run.cases if self.tells(result.case.group)]
        return [result for result in self.run.cases if result.id in self._shown]

    @cached_property
    def summaries(self) -> list[Summary]:
        """The figures of each case that is shown, in order, compared with its baseline."""
        here = {result.id for result in self.cases}
        return [each for each in summarise_all(self.run.cases) if each.result.id in here]

    @cached_property
    def units(self) -> list[CaseResult]:
        """The results as verdicts judge them: those of several searches for one method are one."""
        return by_search(self.run.cases)

    def verdicts(self, metric: Metric | str | None = None) -> Verdicts:
        """The verdicts on all pairs of cases that differ in one thing, by default by what judges each.

        The comparisons that were named beforehand come first; see `verdicts.judge`.

        Raises:
            BenchmnistError: if the metric is unknown, or has no value for each seed.
        """
        if metric is not None and not self.units:  # no case has ended: the plan says what they would have
            find_metric(metric, comparable(metrics_with(tuple(case.evaluates for case in self.run.record.plan))))
        if metric is not None and all((by := r.case.judged_by) and metric in (by, by.key) for r in self.units):
            metric = None  # which is judged already
        if metric not in self._verdicts:
            self._verdicts[metric] = judge(self.units, metric, looks=self.run.record.number_of_looks)
        return self._verdicts[metric]

    def unbeaten(self, metric: Metric) -> frozenset[str]:
        """The ids of the cases that are not shown to be worse than any other of their group, by a metric.

        No verdict is about one of several searches: such a case is not among them.
        """
        if metric not in self._unbeaten:
            found = unbeaten(self.units, self.verdicts(metric))
            self._unbeaten[metric] = frozenset(case_id for case_id in found if self._is_row(case_id))
        return self._unbeaten[metric]

    def against_baseline(self, metric: Metric) -> dict[str, Verdict]:
        """The verdict on each case vs its baseline, by case id; none on one of several searches."""
        if metric not in self._against_baseline:
            found = against_baseline(self.verdicts(metric))
            self._against_baseline[metric] = {each: v for each, v in found.items() if self._is_row(each)}
        return self._against_baseline[metric]

    def rows(self, ids: Iterable[str]) -> Iterator[str]:
        """Yields the ids of the cases that those with these ids were joined from; see `units`."""
        for case_id in ids:
            yield from self._members.get(case_id, [case_id])

    def _is_row(self, case_id: str) -> bool:
        """Tells whether a unit is a case of the run, and not several."""
        return self._members.get(case_id, [case_id]) == [case_id]

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        return {each.id: [member.id for member in members(each)] for each in self.units}

    @cached_property
    def findings(self) -> list[Finding]:
        """The sentences that the results allow, the most important first."""
        return findings(self)

    @cached_property
    def methods(self) -> dict[str, None]:
        """The methods of the plan, in its order; of several searches, without their numbers."""
        return dict.fromkeys(case.searched_method for case in self.run.record.plan)

    @cached_property
    def grid(self) -> Grid | None:
        """The methods that were tried in the same groups; None if they are too few.

        The levels of a problem are no groups of their own: over these, `ladders` has ranks and scores.
        """
        levels = self.ladders.levels if self.ladders else {}
        return full_grid([result for result in self.units if result.case.group not in levels])

    @cached_property
    def ranks(self) -> Ranks | None:
        """The mean ranks of the methods over the groups of the grid; None without a grid."""
        return None if self.grid is None else mean_ranks(self.grid)

    @cached_property
    def scores(self) -> Scores | None:
        """The scores of the methods over the groups of the grid; None without a grid or a common measure."""
        return None if self.grid is None else scores(self.grid)

    @cached_property
    def ladders(self) -> Ladders | None:
        """The levels of each problem that each method solves; None without a problem that has a target."""
        others = self.others
        return ladders(self.units, self.run.record.searches, others.results, others.searches)

    @cached_property
    def untold_levels(self) -> frozenset[Group]:
        """The levels of problems that tables, curves and pages leave out, as `ladders` sums them up."""
        return frozenset() if self._shown is not None else untold_levels(self.ladders)

    def tells(self, group: Group) -> bool:
        """Tells whether tables, curves and pages have the cases of a group."""
        return group not in self.untold_levels

    @cached_property
    def others(self) -> Others:
        """The results of others that ladders show beside the run's own."""
        return others_of(self.run)

    @cached_property
    def floors(self) -> dict[Group, Floor]:
        """The noise floor of each group that has a control."""
        return noise_floors(self.run.cases)

    @cached_property
    def times_to_target(self) -> list[TimeToTarget]:
        """The time of each case with a target to reach it."""
        return times_to_target(self.units)

    @property
    def step_verdicts(self) -> Verdicts:
        """The verdicts on the steps to the target; none where the suite has no target."""
        return self.verdicts(TARGET_STEPS) if self.times_to_target else Verdicts(())

    @property
    def time_verdicts(self) -> Verdicts:
        """The verdicts on the times to the target; none where the suite has no target."""
        return self.verdicts(TARGET_SECONDS) if self.times_to_target else Verdicts(())

    @cached_property
    def steps_saved(self) -> list[StepsSaved]:
        """The steps that methods save at equal loss; none without evaluations within epochs, or all of these."""
        return [] if not self.run.record.curves else steps_saved(self.units, looks=self.run.record.number_of_looks)

    @cached_property
    def profiles(self) -> Profiles:
        """The performance profiles of the methods; none where the suite has no target."""
        return profiles(self.times_to_target)
