"""What changed between runs: case by case, with whether it is more than the seeds' spread."""

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
        values: In the order of the seeds; of the time, the median over a seed's epochs.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Over the seeds; None where none completed."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation over the seeds; None where fewer than two completed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Change:
    """From the first run to another.

    Attributes:
        difference: The other's mean less the first's; of a `ratio` metric, the other's by the first's.
        word: `better` or `worse` where the two ranges, mean ± standard deviation, do not touch, `within the
            spread` where they do, `same` where every seed has the same figure; `one seed` where there is no
            spread to hold a difference against.
    """

    difference: float
    word: Literal["better", "worse", "within the spread", "same", "one seed"]


@dataclass(frozen=True)
class Row:
    """A case in all runs.

    Attributes:
        id: The id of the case.
        results: What came of it, by run; None in a run that does not have it.
        altered: What of the case itself is not the same as in the first run that has it, in words.
    """

    id: str
    results: tuple[CaseResult | None, ...]
    altered: tuple[str, ...] = ()

    def _metric(self, wanted: Metric | str) -> Metric:
        return find_metric(wanted, comparable(metrics_of(result for result in self.results if result is not None)))

    def figures(self, wanted: Metric | str) -> list[Figure | None]:
        """By run.

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
        """From the first run to each other; None where one of them has no such figure.

        Raises:
            BenchmnistError: if the metric is unknown, or has no value for each seed.
        """
        metric = self._metric(wanted)
        first, *others = self.figures(metric)
        return [_change(metric, first, other) for other in others]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: the first, and what the others are held against it.

    Attributes:
        runs: As they were given.
        rows: Every case that any run has, in the order in which the runs have them.
        metrics: What is compared.
        surroundings: What of the machines, versions and settings differs: its name, and by run what it was.
    """

    runs: tuple[RunResult, ...]
    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]
    surroundings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def only_in(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Cases that not all runs have, and the runs that have them."""
        for row in self.rows:
            there = tuple(i for i, result in enumerate(row.results) if result is not None)
            if len(there) < len(self.runs):
                yield row.id, there


def compare_runs(runs: Sequence[RunResult], metrics: Sequence[str] = ()) -> Comparison:
    """Holds every run against the first, case by case; a case is the same where its id is.

    Args:
        runs: Two or more.
        metrics: The keys of what is compared; the main metrics by default.

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
        rows.append(Row(case_id, results, tuple(_altered(results))))
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
    """`optimizer lr: 0.1, now 0.2`."""
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
    """What decides the result of a case, each parameter of its components by itself."""
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
    """Of each run what its cases ran with; where they ran with several, all of them."""
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
