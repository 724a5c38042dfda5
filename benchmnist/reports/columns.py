"""Columns of the tables: one definition each, for the terminal and for every file format."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.analysis.figures import metrics_of, seed_figures
from benchmnist.analysis.outliers import interquartile_mean
from benchmnist.errors import BenchmnistError, unknown
from benchmnist.extensions.kinds import DATASET, SETTINGS, Kind
from benchmnist.metrics import EPOCH_SECONDS, PRIMARY, TARGET_STEPS, comparable
from benchmnist.text import LARGE, decimals, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchmnist.analysis.summary import Summary
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: Name in `--columns` and in files for programs.
        title: Name in tables for people.
        value: Function from a summary to the value; None for no value.
        show: Function from a value to its text in tables for people.
        best: Best value; None for a column of words, or if no value is better than another.
        words: Whether it holds words: they are left-aligned, and may wrap.
        over_seeds: Whether a value is a MeanStd, which files for programs have in two columns.
        beside: Comparison of a value with the baseline, by `difference` or `ratio`; None without one.
        metric: The metric whose verdicts tell what of the column is shown; None if it has none.
    """

    key: str
    title: str
    value: Callable[[Summary], Any]
    show: Callable[[Any], str] = str
    best: Literal["max", "min"] | None = None
    words: bool = False
    over_seeds: bool = False
    beside: Literal["difference", "ratio"] | None = None
    metric: Metric | None = None

    def __post_init__(self) -> None:
        """Shows control characters, before anything measures the width of the title."""
        object.__setattr__(self, "title", visible(self.title))

    def figure(self, value: Any) -> str:
        """Returns the text of a value without its deviation: values that look equal are equally good."""
        return self.show((value[0], None)) if isinstance(value, tuple) else self.show(value)


def leading(value: Any) -> Any:
    """Returns the part of a value that is compared: a mean, not its deviation."""
    return value[0] if isinstance(value, tuple) else value


def mean_and_std(digits: int) -> Callable[[tuple[float, float | None]], str]:
    """Returns a function that shows `97.84 ± 0.17`, or without a deviation `97.84`."""

    def show(value: tuple[float, float | None]) -> str:
        mean, std = value
        return decimals(mean, digits) if std is None else f"{decimals(mean, digits)} ± {decimals(std, digits)}"

    return show


SMALL = 1e-6


def three_figures(value: float) -> str:
    """Formats three significant figures: 1.57, 0.907, 42.0, 123."""
    if value >= LARGE or 0 < value < SMALL:
        return f"{value:.2e}"
    rounded = float(f"{value:.3g}")  # 0.9996 is 1.00
    digits = 2 - math.floor(math.log10(rounded)) if rounded > 0 else 0
    return f"{value:.{max(0, digits)}f}"


def compact(value: float) -> str:
    """Formats a large number in short: 8,825, 66.2k, 1.25M."""
    if value >= 999_500:  # noqa: PLR2004 - what would be shown as 1000k
        return f"{three_figures(value / 1e6)}M"
    return f"{three_figures(value / 1e3)}k" if value >= 10_000 else f"{value:,.0f}"  # noqa: PLR2004


def size(value: float) -> str:
    """Formats a number of bytes: `1.57 GB`."""
    if value < 1000:  # noqa: PLR2004
        return f"{value:.0f} B"
    rounded = float(f"{value:.3g}")  # 999,500 is 1.00 MB
    power = max(power for power in range(5) if power <= 1 or rounded >= 1000**power)
    return f"{three_figures(rounded / 1000**power)} {'BkMGT'[power]}B"


FORMS: dict[str, Callable[[float], str]] = {"figures": three_figures, "count": compact, "bytes": size}
BEST: dict[str | None, Literal["max", "min"] | None] = {"higher": "max", "lower": "min", None: None}


def _columns(metric: Metric, title_of_best: str) -> Iterator[Column]:
    """Yields the column of a metric, and that of its best value if it has a title for it."""
    plain = FORMS.get(metric.form) or functools.partial(decimals, digits=metric.digits)
    best = BEST[metric.better]
    if metric.level == "case":
        yield Column(metric.key, metric.head, lambda s: s.mean(metric.key), plain, best)
        return

    def mean_only(value: tuple[float, float | None]) -> str:
        return plain(value[0])

    show = mean_and_std(metric.digits) if metric.spread else mean_only
    judged = metric if comparable([metric]) else None
    yield Column(
        metric.key,
        metric.head,
        lambda s: s.figures.get(metric.key),
        show,
        best,
        over_seeds=True,
        metric=judged,
    )
    if title_of_best:

        def reached(s: Summary) -> float | None:
            return s.best if s.result.case.primary == metric else None

        def middle(s: Summary) -> float | None:
            values = [*seed_figures(s.result, metric).values()] if s.result.case.primary == metric else []
            return interquartile_mean(values) if values else None

        yield Column(f"best_{metric.key}", title_of_best, reached, plain, best)
        yield Column(f"{metric.key}_iqm", f"middle {metric.head}", middle, plain, best)


def _gain(metric: Metric, title: str) -> Column:
    """The column of what a case gains over its baseline, by a primary metric."""

    def gained(s: Summary) -> float | None:
        return s.gain if s.result.case.primary == metric else None

    return Column(
        f"{metric.key}_gain", title, gained, metric.change, BEST[metric.better], beside="difference", metric=metric
    )


SPEEDUP_KEY = "speedup"


def _params(s: Summary) -> str | None:
    parts = {kind: part for kind, part in s.result.case.parts.items() if kind != DATASET.name}
    said = [f"{key}={value}" for part in parts.values() for key, value in part.settings.items()]
    return ", ".join(said) or None


def _setting(kind: Kind) -> Column:
    """The column of a kind of plugin that a case has one or none of."""

    def label(s: Summary) -> str | None:
        part = s.result.case.parts.get(kind.name)
        return part.label if part else None

    return Column(kind.name, kind.name, label, words=True)


TIMES_OF_STACKS = "times of cases that were trained in a stack, each trial with an equal share of the time of all"
ENDS_OF_TRIALS = (
    "accuracy and loss at the end of trials that stop at their target or give up, after other steps each"
)
IDENTITY = ("dataset", "model", "optimizer")
"""Columns that identify a row."""
OF_PROBLEMS = ("problem", "level")
"""Columns that identify a row of a case of a problem, instead of its dataset and model."""


def identity_of(summaries: Iterable[Summary]) -> tuple[str, ...]:
    """Returns the keys of the columns that identify the rows of a table, the optimizer's last."""
    cases = [s.result.case for s in summaries]
    posed = [case for case in cases if case.problem]
    if not posed:
        return IDENTITY
    named = OF_PROBLEMS if any(map(_level, posed)) else OF_PROBLEMS[:1]
    return (*named, *(IDENTITY if len(posed) < len(cases) else IDENTITY[-1:]))


def _level(case: Case) -> str | None:
    """The level of a problem, with its point of a sweep and its label."""
    return " · ".join(filter(None, (case.dataset.variant, case.label))) or None if case.problem else None


def _model(case: Case) -> str:
    """The model of a case, with the label of its block if that is not beside its level."""
    return " · ".join(filter(None, (case.learned[1], "" if case.problem else case.label)))


FIRST = (
    Column("case", "case", lambda s: s.result.id, words=True),
    Column("problem", "problem", lambda s: s.result.case.problem, words=True),
    Column("level", "level", lambda s: _level(s.result.case), words=True),
    Column("dataset", "dataset", lambda s: s.result.case.learned[0], words=True),
    Column("model", "model", lambda s: _model(s.result.case), words=True),
    Column("optimizer", "optimizer", lambda s: s.result.case.method, words=True),
    *map(_setting, SETTINGS),
    Column("params", "parameters", _params, words=True),
)
LAST = (
    Column("weights", "weights", lambda s: s.result.parameters or None, "{:,}".format),
    Column("epochs", "epochs", lambda s: s.result.case.epochs),
    Column("batch_size", "batch", lambda s: s.result.case.batch_size),
    Column("seeds", "seeds", lambda s: len(s.result.case.seeds)),
    Column("side_by_side", "side by side", lambda s: s.result.side_by_side),
    Column("engine", "engine", lambda s: s.result.engine or None, words=True),
    Column("stack", "stack", lambda s: ", ".join(map(str, s.result.stacks)) or None, words=True),
    Column("precision", "precision", lambda s: s.result.precision or None, words=True),
    Column("device", "device", lambda s: s.result.environment.get("device"), words=True),
    Column(
        "source",
        "optimizer from",
        lambda s: f"{s.result.case.optimizer.distribution} {s.result.case.optimizer.version}",
        words=True,
    ),
    Column("status", "status", lambda s: s.status, words=True),
)


class Columns:
    """Available columns of the tables of some results.

    Attributes:
        metrics: Every metric of the results; most have a column.
        primary: Metrics by which cases are ranked.
        main: Metrics that a table shows by default.
        figures: Keys of the columns of figures that a table has by default.
    """

    def __init__(self, results: Iterable[CaseResult] = ()) -> None:
        shown = [*results]
        self.metrics = metrics_of(shown)
        self.primary = tuple(dict.fromkeys(result.case.primary for result in shown)) or (PRIMARY,)
        speed = Column(
            SPEEDUP_KEY,
            "speed",
            lambda s: s.speedup,
            "{:.2f}×".format,
            "max",
            beside="ratio",
            metric=EPOCH_SECONDS,
        )
        several = len(self.primary) > 1
        beside = (
            speed,
            *(_gain(metric, f"gain, {metric.name}" if several else "gain") for metric in self.primary),
        )
        best = {metric: f"best {metric.name}" if several else "best" for metric in self.primary}
        by_metric = {
            metric: tuple(_columns(metric, best.get(metric, "")))
            for metric in self.metrics
            if metric.level != "step"
        }
        everything = (*FIRST, *(c for columns in by_metric.values() for c in columns), *beside, *LAST)
        self._by_key = {column.key: column for column in everything}
        # Where trials end by what they reach, they are judged by their steps, and gain nothing at the end.
        early = [result for result in shown if result.case.ends_early]
        self.main = tuple(metric for metric in by_metric if metric.main or (early and metric == TARGET_STEPS))
        gains = beside if len(early) < len(shown) or not shown else beside[:1]
        self.figures = (*(by_metric[metric][0].key for metric in self.main), *(c.key for c in gains), "status")

    def __iter__(self) -> Iterator[Column]:
        return iter(self._by_key.values())

    def column(self, key: str) -> Column:
        """Finds a column by its key.

        Raises:
            BenchmnistError: if the key is unknown; lists the known keys.
        """
        if key not in self._by_key:
            raise BenchmnistError(unknown("column", key, self._by_key))
        return self._by_key[key]


@dataclass(frozen=True)
class View:
    """Selection and order of the rows and columns of a run.

    Attributes:
        columns: Keys of columns, by default `figures` of Columns; if none of them identifies a row, those of
            `identity_of` are added in front.
        sort: Key of the column to sort by, best first, words from A to Z; a leading `-` reverses the order; empty
            keeps the order of the suite. Rows without a value come last.
        group_by: Keys of columns; rows with the same values in them share a title.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    group_by: tuple[str, ...] = ()

    def refuse_unknown(self, results: Iterable[CaseResult]) -> None:
        """Looks up each column of the view among those of some results.

        Raises:
            BenchmnistError: if a column is unknown.
        """
        columns = Columns(results)
        for key in filter(None, (*self.columns, *self.group_by, self.sort.removeprefix("-"))):
            columns.column(key)

    def shown(self, summaries: Sequence[Summary]) -> list[Column]:
        """Returns the columns of a table of these cases, without those in the titles.

        Raises:
            BenchmnistError: if a column is unknown.
        """
        columns = Columns(s.result for s in summaries)
        chosen = self.columns or columns.figures
        identity = identity_of(summaries)
        telling = () if {*chosen} & {"case", *OF_PROBLEMS, *IDENTITY} else identity
        return [columns.column(key) for key in (*telling, *chosen) if key not in self.group_by]

    def groups(self, summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
        """Returns the rows in their order, by title.

        Raises:
            BenchmnistError: if a column is unknown.
        """
        groups: dict[str, list[Summary]] = {}
        columns = Columns(s.result for s in summaries)
        by = [columns.column(key) for key in self.group_by]
        for s in self._sorted(summaries):
            values = [(c, c.value(s)) for c in by]
            there = [c.show(value) for c, value in values if value is not None]
            title = " · ".join(there or ["–"] * len(by))
            groups.setdefault(title, []).append(s)
        return groups

    def _sorted(self, summaries: Sequence[Summary]) -> list[Summary]:
        if not self.sort:
            return [*summaries]
        by = Columns(s.result for s in summaries).column(self.sort.removeprefix("-"))
        descending = (by.best == "max") != self.sort.startswith("-")
        values = [(leading(by.value(s)), s) for s in summaries]
        there = [(value, s) for value, s in values if value is not None]
        there.sort(key=lambda pair: pair[0], reverse=descending)
        return [s for _, s in there] + [s for value, s in values if value is None]
