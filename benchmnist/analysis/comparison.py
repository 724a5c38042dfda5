"""Compares runs case by case, and each change with the spread of the seeds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.analysis.figures import has_metric, measured, metrics_of, seed_figures
from benchmnist.metrics import comparable, find_metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case


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
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Change:
    """A change of one figure from the first run to another.

    Attributes:
        difference: The other mean minus the first; for a `ratio` metric, the other mean divided by the first.
        word: `better` or `worse` if the two ranges, mean ± standard deviation, do not overlap; `within the
            spread` if they do; `same` if every seed has the same figure; `one seed` if a run has no spread.
    """

    difference: float
    word: Literal["better", "worse", "within the spread", "same", "one seed"]


@dataclass(frozen=True)
class Row:
    """A case in all runs.

    Attributes:
        id: Id of the case.
        results: Its result in each run; None for a run without it.
        altered: Differences of the case itself from the first run that has it, in words.
        known: The metrics that the runs may be compared by.
    """

    id: str
    results: tuple[CaseResult | None, ...]
    altered: tuple[str, ...] = ()
    known: tuple[Metric, ...] = comparable()

    def _metric(self, wanted: Metric | str) -> Metric:
        return find_metric(wanted, self.known)

    def figures(self, wanted: Metric | str) -> list[Figure | None]:
        """Returns the figure of each run.

        Raises:
            BenchmnistError: if the metric is unknown, or has no value for each seed.
        """
        metric = self._metric(wanted)
        return [
            None
            if result is None or not has_metric(result, metric)
            else Figure(tuple(seed_figures(result, metric).values()))
            for result in self.results
        ]

    def changes(self, wanted: Metric | str) -> list[Change | None]:
        """Returns the change from the first run to each other run; None if one of them has no such figure.

        Raises:
            BenchmnistError: if the metric is unknown, or has no value for each seed.
        """
        metric = self._metric(wanted)
        first, *others = self.figures(metric)
        return [_change(metric, first, other) for other in others]


@dataclass(frozen=True)
class Comparison:
    """The first run, compared with the others.

    Attributes:
        runs: The runs, as given.
        rows: Every case of any run, in the order of the runs.
        metrics: The compared metrics.
        surroundings: Differing properties of machines, versions and settings: by name, the value in each run.
    """

    runs: tuple[RunResult, ...]
    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]
    surroundings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def only_in(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields each case that some run lacks, and the indices of the runs that have it."""
        for row in self.rows:
            there = tuple(i for i, result in enumerate(row.results) if result is not None)
            if len(there) < len(self.runs):
                yield row.id, there


def compare_runs(runs: Sequence[RunResult], metrics: Sequence[str] = ()) -> Comparison:
    """Compares every run with the first, case by case; cases are matched by id.

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
    ids = dict.fromkeys(result.id for run in runs for result in run.cases)
    by_id = [{result.id: result for result in run.cases} for run in runs]
    rows = []
    for case_id in ids:
        results = tuple(known.get(case_id) for known in by_id)
        rows.append(Row(case_id, results, tuple(_altered(results)), known))
    return Comparison(tuple(runs), tuple(rows), tuple(chosen), _surroundings(runs))


def _change(metric: Metric, first: Figure | None, other: Figure | None) -> Change | None:
    if first is None or other is None or first.mean is None or other.mean is None:
        return None
    difference = other.mean - first.mean
    said = difference if not metric.ratio else other.mean / first.mean if first.mean else 1.0
    if first.values == other.values:
        return Change(said, "same")
    if first.std is None or other.std is None:
        return Change(said, "one seed")
    if abs(difference) <= first.std + other.std:
        return Change(said, "within the spread")
    return Change(said, "better" if (difference > 0) == (metric.better == "higher") else "worse")


def _altered(results: Sequence[CaseResult | None]) -> Iterator[str]:
    """Yields differences of the case itself: `optimizer lr: 0.1, then 0.2`."""
    there = [result.case for result in results if result is not None]
    seen: dict[str, None] = {}
    for case in there[1:]:
        before, after = _flat(there[0]), _flat(case)
        for name in dict.fromkeys([*before, *after]):
            one, two = before.get(name, "–"), after.get(name, "–")
            if one != two:
                seen[f"{name}: {one}, then {two}"] = None
    yield from seen


def _flat(case: Case) -> dict[str, Any]:
    """Returns everything that decides the result of a case, with one entry per component parameter."""
    flat: dict[str, Any] = {}
    for name, value in case.deciding().items():
        if isinstance(value, dict):
            flat[name] = value["use"]
            flat[f"{name} from"] = f"{value['distribution']} {value['version']}"
            flat |= {f"{name} {key}": given for key, given in value["params"].items()}
        else:
            flat[name] = value
    return flat


def _surroundings(runs: Sequence[RunResult]) -> dict[str, tuple[str, ...]]:
    """Returns the differing machines, versions and settings of the runs, with every value that a run has."""
    seen: list[dict[str, dict[str, None]]] = []
    for run in runs:
        values: dict[str, dict[str, None]] = {"BenchMNIST": {run.record.benchmnist: None}}
        for result in run.cases:
            for name, value in {**result.environment, "side by side": result.side_by_side}.items():
                values.setdefault(name, {})[str(value)] = None
        seen.append(values)
    names = dict.fromkeys(name for values in seen for name in values)
    told = {name: tuple(", ".join(values.get(name, {"–": None})) for values in seen) for name in names}
    return {
        name: values
        for name, values in told.items()
        if len({*values}) > 1 and name not in ("fingerprint", "benchmnist")
    }
