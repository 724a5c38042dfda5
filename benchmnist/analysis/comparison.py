"""Compares runs case by case and seed by seed."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from benchmnist.analysis.courses import spacing
from benchmnist.analysis.figures import (
    has_metric,
    in_reference_work,
    is_compared,
    lost_seeds,
    measured,
    metrics_of,
    seed_figures,
)
from benchmnist.analysis.statistics import Paired, sample_std
from benchmnist.analysis.surroundings import altered, surroundings
from benchmnist.analysis.verdicts import Verdict, judge_pair
from benchmnist.metrics import EPOCH_SECONDS, TO_TARGET, comparable, find_metric
from benchmnist.suites.budgets import target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis import verdicts
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult

    Word = verdicts.Word | Literal["no common seeds", "not judged", "not compared"]

SOFTWARE = frozenset({"benchmnist", "fingerprint"})
"""Properties of an environment that may differ between two runs whose times are compared."""


@dataclass(frozen=True)
class Figure:
    """A metric of a case: a value for each seed that completed.

    Attributes:
        values: One per seed, in order; for times, the median over the seed's epochs.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None if no seed completed."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the seeds; None if fewer than two completed."""
        return sample_std(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Change:
    """A change of one figure from the first run to another.

    Attributes:
        difference: Mean over the common seeds of the other figure minus the first; of a `ratio` metric, the
            geometric mean of the ratios. Of times that are not judged and of runs with other seeds, that of the
            means of the runs. NaN if no seed completed in both.
        verdict: The verdict on the other run vs the first; None for times that cannot be judged.
        left_out: Whether no difference is told: of times of a stack, of which each trial has an equal share, of
            figures at the end of trials that end by what they reach, and of efforts that `reach_alike` rules out.
        lost: Seeds that only the other run lost, and those that only the first lost.
    """

    difference: float
    verdict: Verdict | None = None
    lost: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
    left_out: bool = False

    @property
    def word(self) -> Word:
        """The word of the verdict. `no common seeds` if the runs have other seeds, and nothing can be paired."""
        if self.left_out:
            return "not compared"
        if self.verdict is None:
            return "lost seeds" if any(self.lost) else "not judged"
        if {*self.verdict.one.case.seeds}.isdisjoint(self.verdict.other.case.seeds):
            return "no common seeds"
        return self.verdict.word

    @property
    def has_fewer_seeds(self) -> bool:
        """Tells whether one of the runs has seeds that the other was not asked for."""
        seeds = [{*result.case.seeds} for result in (self.verdict.one, self.verdict.other)] if self.verdict else []
        return any(one != other and not one.isdisjoint(other) for one, other in itertools.pairwise(seeds))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the difference, in the same unit: all of a comparison hold at once. None without verdict."""
        if self.verdict is None or self.verdict.interval is None:
            return None
        low, high = self.verdict.interval
        return (math.exp(low), math.exp(high)) if self.verdict.metric.ratio else (low, high)


@dataclass(frozen=True)
class Row:
    """A case in all runs.

    Attributes:
        id: Id of the case.
        results: Its result in each run; None for a run without it.
        altered: Differences of the case itself from the first run that has it, in words.
        figures_of: Figure in each run, by compared metric.
        changes_of: Change from the first run to each other run, likewise.
    """

    id: str
    results: tuple[CaseResult | None, ...]
    altered: tuple[str, ...] = ()
    figures_of: Mapping[Metric, tuple[Figure | None, ...]] = field(default_factory=dict)
    changes_of: Mapping[Metric, tuple[Change | None, ...]] = field(default_factory=dict)

    def figures(self, wanted: Metric | str) -> tuple[Figure | None, ...]:
        """Returns the figure of each run.

        Raises:
            BenchmnistError: if the metric was not compared.
        """
        return self.figures_of[find_metric(wanted, [*self.figures_of])]

    def changes(self, wanted: Metric | str) -> tuple[Change | None, ...]:
        """Returns the change from the first run to each other run; None if one of them does not have the case.

        Raises:
            BenchmnistError: if the metric was not compared.
        """
        return self.changes_of[find_metric(wanted, [*self.changes_of])]


@dataclass(frozen=True)
class Comparison:
    """The first run, compared with the others.

    Attributes:
        runs: The runs, as given.
        rows: Every case of any run, in the order of the runs.
        metrics: The compared metrics.
        of: Number of intervals: those of all cases, metrics and other runs share the chance of a mistake.
            Identical figures have none.
        in_reference_work: Whether times of epochs are in units of the reference work beside them.
        surroundings: Differing properties of machines, versions and settings: by name, the value in each run.
    """

    runs: tuple[RunResult, ...]
    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]
    of: int = 0
    in_reference_work: bool = False
    surroundings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def changes(self) -> Iterator[Change]:
        """Every change of every case and metric."""
        for row, metric in itertools.product(self.rows, self.metrics):
            yield from filter(None, row.changes(metric))

    def only_in(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields each case that some run lacks, and the indices of the runs that have it."""
        for row in self.rows:
            there = tuple(i for i, result in enumerate(row.results) if result is not None)
            if len(there) < len(self.runs):
                yield row.id, there


def compare_runs(runs: Sequence[RunResult], metrics: Sequence[str] = ()) -> Comparison:
    """Compares every run with the first, case by case; cases are matched by id.

    Each case is judged against the same case of the first run, seed by seed. All cases, metrics and other runs are
    one family: with a chance of 0.95 all its intervals hold, and so all its words are true. Figures that are
    identical for every seed are a fact and no inference, and do not count.

    The state of the machine changes all times of a run together, and the seeds do not show by how much. So times
    are not judged, but for one: the time of an epoch is, in units of the reference work, if all runs measured it
    beside every epoch, on the same machine.

    Args:
        runs: Two or more runs.
        metrics: Keys of the metrics to compare; the main metrics by default.

    Raises:
        BenchmnistError: if one of the metrics is unknown, or has no value for each seed.
    """
    everything = [result for run in runs for result in run.cases]
    known = comparable(metrics_of(everything))
    chosen = [find_metric(key, known) for key in metrics] or measured(
        everything, [each for each in known if each.main]
    )
    by_id = [{result.id: result for result in run.cases} for run in runs]
    matched = {
        case_id: tuple(there.get(case_id) for there in by_id)
        for case_id in dict.fromkeys(result.id for result in everything)
    }
    relative = _can_judge_times(everything)
    changes = {
        case_id: {each: _changes(results, each, relative=relative) for each in chosen}
        for case_id, results in matched.items()
    }
    verdicts = [c.verdict for found in changes.values() for cs in found.values() for c in cs if c and c.verdict]
    of = sum(verdict.paired.says_something and not verdict.paired.identical for verdict in verdicts)
    rows = tuple(
        Row(
            case_id,
            results,
            tuple(altered(results)),
            {each: _figures(results, each, relative=relative) for each in chosen},
            {each: tuple(_in_family(change, of) for change in found) for each, found in changes[case_id].items()},
        )
        for case_id, results in matched.items()
    )
    return Comparison(tuple(runs), rows, tuple(chosen), of, relative, surroundings(runs))


def is_time(metric: Metric) -> bool:
    """Tells whether a metric is a time, which depends on the state of the machine."""
    return metric.unit == "s"


def reach_alike(one: CaseResult, other: CaseResult) -> bool:
    """Tells whether the efforts of two results to a target are comparable: one target, looked for as often.

    A target is noticed by an evaluation, so the same training reaches it later where evaluations are rarer.
    """
    return target_of(one.case) == target_of(other.case) and spacing(one) == spacing(other)


def _can_judge_times(results: Sequence[CaseResult]) -> bool:
    """Tells whether all results have the time of the reference work beside every epoch, and are of one machine."""
    trained = [result for result in results if result.has_epochs]
    machines = {(*_machine(result), result.side_by_side) for result in trained}
    return len(machines) == 1 and all(in_reference_work(result) is not None for result in trained)


def _machine(result: CaseResult) -> list[tuple[str, str]]:
    return sorted((key, str(value)) for key, value in result.environment.items() if key not in SOFTWARE)


def _values(result: CaseResult | None, metric: Metric, *, relative: bool) -> Mapping[int, float] | None:
    """Returns the value of each completed seed; times of epochs in units of the reference work if `relative`."""
    if result is None or not has_metric(result, metric):
        return None
    if relative and metric == EPOCH_SECONDS:
        return in_reference_work(result) or {}
    return seed_figures(result, metric)


def _figures(results: Sequence[CaseResult | None], metric: Metric, *, relative: bool) -> tuple[Figure | None, ...]:
    each = [_values(result, metric, relative=relative) for result in results]
    return tuple(None if values is None else Figure(tuple(values.values())) for values in each)


def _changes(results: Sequence[CaseResult | None], metric: Metric, *, relative: bool) -> tuple[Change | None, ...]:
    first, *others = results
    return tuple(_change(first, other, metric, relative=relative) for other in others)


def _change(
    first: CaseResult | None, other: CaseResult | None, metric: Metric, *, relative: bool
) -> Change | None:
    before = _values(first, metric, relative=relative)
    after = _values(other, metric, relative=relative)
    if first is None or other is None or before is None or after is None or not (before or after):
        return None
    if metric in TO_TARGET and not reach_alike(first, other):
        return Change(math.nan, left_out=True)
    if not (is_compared(first, metric) and is_compared(other, metric)):
        return Change(math.nan, left_out=True)
    verdict = None
    lost = lost_seeds(other, metric) & before.keys(), lost_seeds(first, metric) & after.keys()
    if not is_time(metric):
        verdict = judge_pair(other, first, metric)
    elif relative and metric == EPOCH_SECONDS:
        paired = Paired(tuple(math.log(after[seed] / before[seed]) for seed in after if seed in before))
        verdict = Verdict(other, first, metric, paired, lost=lost)
    if verdict is not None and verdict.paired.n:
        mean = verdict.paired.mean
        return Change(math.exp(mean) if metric.ratio else mean, verdict, verdict.lost)
    of_survivors = verdict is not None and any(verdict.lost)  # no seed completed in both
    difference = math.nan if of_survivors else _of_means(before, after, metric)
    return Change(difference, verdict, verdict.lost if verdict else lost)


def _of_means(before: Mapping[int, float], after: Mapping[int, float], metric: Metric) -> float:
    """Returns the difference of the means of two runs, or their ratio; NaN if one has no value."""
    if not before or not after:
        return math.nan
    one, other = statistics.fmean(before.values()), statistics.fmean(after.values())
    return other - one if not metric.ratio else other / one if one else math.nan


def _in_family(change: Change | None, of: int) -> Change | None:
    if change is None or change.verdict is None:
        return change
    return replace(change, verdict=replace(change.verdict, of=max(of, 1)))
