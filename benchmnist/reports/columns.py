"""What a table can say of a case: one definition of each column, for the terminal and for every file format."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.errors import BenchmnistError, nearest
from benchmnist.extensions.kinds import DATASET, SETTINGS, Kind
from benchmnist.metrics import METRICS, PRIMARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmnist.analysis.summary import Summary
    from benchmnist.metrics import Metric


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: What `--columns` and the files for programs call it.
        title: What tables for people call it.
        value: What it says of a case; None where there is nothing to say.
        show: A value, as a table for people shows it.
        best: Which value is best; None of a column of words, and where none is better than another.
        words: Whether it holds words: they stand on the left, and may take a second line.
        over_seeds: Whether a value is a MeanStd, which files for programs have in two columns.
    """

    key: str
    title: str
    value: Callable[[Summary], Any]
    show: Callable[[Any], str] = str
    best: Literal["max", "min"] | None = None
    words: bool = False
    over_seeds: bool = False

    def figure(self, value: Any) -> str:
        """A value as it is shown, without its deviation: what is equal to the eye is equally good."""
        return self.show((value[0], None)) if isinstance(value, tuple) else self.show(value)


def leading(value: Any) -> Any:
    """What a value is compared by: a mean, not its deviation."""
    return value[0] if isinstance(value, tuple) else value


def mean_and_std(figures: str) -> Callable[[tuple[float, float | None]], str]:
    """Shows `97.84 ± 0.17`, or without a deviation `97.84`."""

    def show(value: tuple[float, float | None]) -> str:
        mean, std = value
        return format(mean, figures) if std is None else f"{mean:{figures}} ± {std:{figures}}"

    return show


def three_figures(value: float) -> str:
    """1.57 and 0.907 and 42.0 and 123."""
    rounded = float(f"{value:.3g}")  # 0.9996 is 1.00
    decimals = 2 - math.floor(math.log10(rounded)) if rounded > 0 else 0
    return f"{value:.{max(0, decimals)}f}"


def compact(value: float) -> str:
    """8,825 and 66.2k and 1.25M."""
    if value >= 999_500:  # noqa: PLR2004 - what would be shown as 1000k
        return f"{three_figures(value / 1e6)}M"
    return f"{three_figures(value / 1e3)}k" if value >= 10_000 else f"{value:,.0f}"  # noqa: PLR2004


def size(value: float) -> str:
    """Bytes: `1.57 GB`."""
    if value < 1000:  # noqa: PLR2004
        return f"{value:.0f} B"
    rounded = float(f"{value:.3g}")  # 999,500 is 1.00 MB
    power = max(power for power in range(5) if power <= 1 or rounded >= 1000**power)
    return f"{three_figures(rounded / 1000**power)} {'BkMGT'[power]}B"


FORMS: dict[str, Callable[[float], str]] = {"figures": three_figures, "count": compact, "bytes": size}
BEST: dict[str | None, Literal["max", "min"] | None] = {"higher": "max", "lower": "min", None: None}


def _columns(metric: Metric) -> Iterator[Column]:
    """The column of a metric; of the primary one also that of its best value."""
    plain = FORMS.get(metric.form) or f"{{:.{metric.digits}f}}".format
    best = BEST[metric.better]
    if metric.level == "case":
        yield Column(metric.key, metric.head, lambda s: s.mean(metric.key), plain, best)
        return

    def mean_only(value: tuple[float, float | None]) -> str:
        return plain(value[0])

    show = mean_and_std(f".{metric.digits}f") if metric.spread else mean_only
    yield Column(metric.key, metric.head, lambda s: s.figures.get(metric.key), show, best, over_seeds=True)
    if metric == PRIMARY:
        yield Column(BEST_KEY, "best", lambda s: s.best, plain, best)


BEST_KEY, GAIN_KEY, SPEEDUP_KEY = f"best_{PRIMARY.key}", f"{PRIMARY.key}_gain", "speedup"


def _params(s: Summary) -> str | None:
    parts = {kind: part for kind, part in s.result.case.parts.items() if kind != DATASET.name}
    said = [f"{key}={value}" for part in parts.values() for key, value in part.params.items()]
    return ", ".join(said) or None


def _setting(kind: Kind) -> Column:
    """The column of a kind of plugin that a case has one or none of."""

    def label(s: Summary) -> str | None:
        part = s.result.case.parts.get(kind.name)
        return part.label if part else None

    return Column(kind.name, kind.name, label, words=True)


COLUMNS = (
    Column("case", "case", lambda s: s.result.id, words=True),
    Column("dataset", "dataset", lambda s: s.result.case.dataset.label, words=True),
    Column("model", "model", lambda s: " · ".join(filter(None, s.result.case.group[1:])), words=True),
    Column("optimizer", "optimizer", lambda s: s.result.case.method, words=True),
    *map(_setting, SETTINGS),
    Column("params", "parameters", _params, words=True),
    *(column for metric in METRICS if metric.level != "step" for column in _columns(metric)),
    Column(SPEEDUP_KEY, "speed", lambda s: s.speedup, "{:.2f}×".format, "max"),
    Column(GAIN_KEY, "gain", lambda s: s.gain, PRIMARY.change, BEST[PRIMARY.better]),
    Column("weights", "weights", lambda s: s.result.parameters or None, "{:,}".format),
    Column("epochs", "epochs", lambda s: s.result.case.epochs),
    Column("batch_size", "batch", lambda s: s.result.case.batch_size),
    Column("seeds", "seeds", lambda s: len(s.result.case.seeds)),
    Column("side_by_side", "side by side", lambda s: s.result.side_by_side),
    Column("engine", "engine", lambda s: s.result.engine or None, words=True),
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
IDENTITY = ("dataset", "model", "optimizer")
"""What tells the rows apart."""
FIGURES = (
    *(c.key for metric in METRICS if metric.main and metric.level != "step" for c in _columns(metric)),
    SPEEDUP_KEY,
    GAIN_KEY,
    "status",
)
"""What a table says of each, unless it is asked for something else."""
_BY_KEY = {column.key: column for column in COLUMNS}


def column(key: str) -> Column:
    """The column of that key.

    Raises:
        BenchmnistError: if there is none; names those that there are.
    """
    if key not in _BY_KEY:
        raise BenchmnistError(
            f"no column is called {key!r}.{nearest(key, _BY_KEY)} There are: {', '.join(_BY_KEY)}"
        )
    return _BY_KEY[key]


@dataclass(frozen=True)
class View:
    """Which rows and columns of a run to show, and how.

    Attributes:
        columns: Keys of columns, by default FIGURES; where none of them tells the rows apart, those that do stand
            before them.
        sort: The key of the column to sort by, best first, words from A to Z; with a `-` before it the other way
            round; empty leaves the order of the suite. Rows that have no such value come last.
        group_by: Keys of columns: rows in which these are the same stand under one title.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    group_by: tuple[str, ...] = ()

    def shown(self) -> list[Column]:
        """The columns, without those that the titles say.

        Raises:
            BenchmnistError: if there is no such column.
        """
        chosen = self.columns or FIGURES
        telling = () if {*chosen} & {"case", *IDENTITY} else IDENTITY
        return [column(key) for key in (*telling, *chosen) if key not in self.group_by]

    def groups(self, summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
        """The rows in their order, by the title that they stand under.

        Raises:
            BenchmnistError: if there is no such column.
        """
        groups: dict[str, list[Summary]] = {}
        by = [column(key) for key in self.group_by]
        for s in self._sorted(summaries):
            title = " · ".join("–" if (value := c.value(s)) is None else c.show(value) for c in by)
            groups.setdefault(title, []).append(s)
        return groups

    def _sorted(self, summaries: Sequence[Summary]) -> list[Summary]:
        if not self.sort:
            return [*summaries]
        by = column(self.sort.removeprefix("-"))
        descending = (by.best == "max") != self.sort.startswith("-")
        values = [(leading(by.value(s)), s) for s in summaries]
        there = [(value, s) for value, s in values if value is not None]
        there.sort(key=lambda pair: pair[0], reverse=descending)
        return [s for _, s in there] + [s for value, s in values if value is None]
