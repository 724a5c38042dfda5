"""The comparison table: one definition of its columns, for the terminal and for every file format."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tabulate import tabulate

from benchmnist.analysis.summary import by_group, summarise_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from benchmnist.analysis.summary import Summary
    from benchmnist.results import CaseResult, RunResult

MARK = "*"
LEAST_WIDTH = 8  # of a column of words
LEGEND = (
    "accuracy: test accuracy after the last epoch, mean ± sample std over seeds; best: of any epoch and "
    "seed; loss: mean training loss of the last epoch; s/epoch: median training time of an epoch; img/s: "
    "training images by that time; speed and gain: against the suite's baseline on the same model; * best of "
    "its column"
)


def legend(results: Sequence[CaseResult]) -> str:
    """What the columns say, and how the times of these results were taken, where that was not one by one."""
    together = sorted({result.side_by_side for result in results} - {1})
    if not together:
        return LEGEND
    many = " or ".join(map(str, together))
    threads = " or ".join(map(str, sorted({r.environment.get("threads", 0) for r in results if r.environment})))
    each = f", threads each: {threads}" if threads else ""
    return f"{LEGEND}; times were taken with {many} trials side by side{each}: alone each would have been faster"


@dataclass(frozen=True)
class Column:
    """One column: what it is called, what it says of a case, and which value is best."""

    key: str
    title: str
    value: Callable[[Summary], Any]
    show: Callable[[Any], str] = str
    best: Literal["max", "min"] | None = None


def _accuracy(value: tuple[float, float | None]) -> str:
    mean, std = value
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def _three_figures(value: float) -> str:
    """1.57 and 0.907 and 42.0 and 123."""
    decimals = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, decimals)}f}"


def _compact(value: float) -> str:
    """8,825 and 66.2k and 1.25M."""
    if value >= 999_500:  # noqa: PLR2004 - what would be shown as 1000k
        return f"{_three_figures(value / 1e6)}M"
    return f"{_three_figures(value / 1e3)}k" if value >= 10_000 else f"{value:,.0f}"  # noqa: PLR2004


COLUMNS = (
    Column("optimizer", "optimizer", lambda s: s.result.case.method),
    Column(
        "accuracy",
        "accuracy, %",
        lambda s: None if s.accuracy is None else (s.accuracy, s.accuracy_std),
        _accuracy,
        "max",
    ),
    Column("best_accuracy", "best", lambda s: s.best_accuracy, "{:.2f}".format, "max"),
    Column("train_loss", "loss", lambda s: s.train_loss, "{:.4f}".format, "min"),
    Column("epoch_seconds", "s/epoch", lambda s: s.epoch_seconds, _three_figures, "min"),
    Column("images_per_second", "img/s", lambda s: s.images_per_second, _compact, "max"),
    Column("speedup", "speed", lambda s: s.speedup, "{:.2f}×".format, "max"),
    Column("accuracy_gain", "gain", lambda s: s.accuracy_gain, "{:+.2f}".format, "max"),
    Column("status", "status", lambda s: s.status),
)


@dataclass(frozen=True)
class Cell:
    """A figure, as shown, and whether it is the best of its column."""

    text: str
    best: bool = False


def group_title(group: tuple[str, str, str]) -> str:
    """`mnist · fc-bn`, and the label of the block if it has one."""
    return " · ".join(filter(None, group))


def cells(summaries: Sequence[Summary]) -> list[list[Cell]]:
    """The table's cells, a row a case; the best of a column is the best among the cases of the same dataset."""
    best: dict[tuple[str, str], str] = {}  # by column and dataset, as shown: equal to the eye is equal
    for column in COLUMNS:
        if column.best is None:
            continue
        for dataset in {s.result.case.dataset.label for s in summaries}:
            values = [
                value
                for s in summaries
                if s.result.case.dataset.label == dataset and (value := column.value(s)) is not None
            ]
            if len(values) > 1:
                first = max if column.best == "max" else min
                best[column.key, dataset] = _figure(column, first(values, key=_leading))
    rows = []
    for s in summaries:
        row = []
        for column in COLUMNS:
            value = column.value(s)
            wanted = best.get((column.key, s.result.case.dataset.label))
            if value is None:
                row.append(Cell("–"))
            else:
                row.append(Cell(column.show(value), wanted is not None and _figure(column, value) == wanted))
        rows.append(row)
    return rows


def _leading(value: Any) -> Any:
    """What a value is compared by: a mean, not its deviation."""
    return value[0] if isinstance(value, tuple) else value


def _figure(column: Column, value: Any) -> str:
    """A value as it is shown, without its deviation."""
    return column.show((value[0], None)) if isinstance(value, tuple) else column.show(value)


class ComparisonTable:
    """The table for a terminal, grouped by model; it fits 80 columns, long names folded if need be."""

    def __init__(self, summaries: Sequence[Summary]) -> None:
        self.groups = by_group(summaries)
        self.rows = dict(zip((s.result.id for s in summaries), cells(summaries), strict=True))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich asks for."""
        from rich.text import Text

        widths = [
            max([len(column.title), *(len(row[i].text) for row in self.rows.values())]) + (column.best is not None)
            for i, column in enumerate(COLUMNS)
        ]
        # Only words may take a second line: the status first, as `diverged 1/3`, then the optimizer's name.
        for wordy in (-1, 0):
            surplus = sum(widths) + len(widths) - 1 - options.max_width
            widths[wordy] -= max(0, min(surplus, widths[wordy] - LEAST_WIDTH))
        yield self._table(widths, header=True)
        for group, members in self.groups.items():
            yield Text(group_title(group), style="bold cyan")
            table = self._table(widths, header=False)
            for s in members:
                texts = []
                for column, cell in zip(COLUMNS, self.rows[s.result.id], strict=True):
                    mark = "" if column.best is None else MARK if cell.best else " "
                    texts.append(Text(cell.text + mark, style="bold green" if cell.best else ""))
                if s.status != "ok":
                    texts[-1].stylize("red")
                table.add_row(*texts)
            yield table

    @staticmethod
    def _table(widths: Sequence[int], *, header: bool) -> Table:
        from rich.table import Table

        table = Table(box=None, padding=(0, 1, 0, 0), show_header=header, pad_edge=False)
        for column, width in zip(COLUMNS, widths, strict=True):
            if column.best is None:
                table.add_column(column.title, width=width, overflow="fold")
            else:
                table.add_column(f"{column.title} ", width=width, justify="right", no_wrap=True)
        return table


def render(run: RunResult, form: str) -> str:
    """The comparison table of a run as `markdown`, `csv`, `latex` or `json`."""
    summaries = summarise_all(run.cases)
    if form == "json":
        return json.dumps([_record(s) for s in summaries], indent=1, allow_nan=False) + "\n"
    if form == "csv":
        output = io.StringIO()
        records = [_record(s) for s in summaries]
        writer = csv.DictWriter(output, list(records[0]) if records else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return output.getvalue()
    bold = {"markdown": "**{}**", "latex": "\\textbf{{{}}}"}[form]
    escape = _latex if form == "latex" else escape_markdown
    rows = [
        [
            escape(s.result.case.dataset.label),
            escape(" · ".join(filter(None, s.result.case.group[1:]))),
            *(bold.format(escape(cell.text)) if cell.best else escape(cell.text) for cell in row),
        ]
        for s, row in zip(summaries, cells(summaries), strict=True)
    ]
    headers = ["dataset", "model", *(escape(column.title) for column in COLUMNS)]
    align = ["left", "left", *("left" if column.best is None else "right" for column in COLUMNS)]
    return (
        tabulate(
            rows,
            headers,
            tablefmt="latex_raw" if form == "latex" else "github",
            disable_numparse=True,
            colalign=align if rows else None,
        )
        + "\n"
    )


def _record(s: Summary) -> dict[str, Any]:
    """The figures of a case, unrounded, under names that stay."""
    case = s.result.case
    return {
        "case": case.id,
        "dataset": case.dataset.label,
        "model": case.model.label,
        "optimizer": case.optimizer.label,
        "accuracy": s.accuracy,
        "accuracy_std": s.accuracy_std,
        "best_accuracy": s.best_accuracy,
        "train_loss": s.train_loss,
        "epoch_seconds": s.epoch_seconds,
        "images_per_second": s.images_per_second,
        "speedup": s.speedup,
        "accuracy_gain": s.accuracy_gain,
        "status": s.status,
        "seeds": len(case.seeds),
        "epochs": case.epochs,
        "engine": s.result.engine,
        "device": s.result.environment.get("device"),
        "schedule": case.schedule.label if case.schedule else None,
        "side_by_side": s.result.side_by_side,
    }


def escape_markdown(text: str) -> str:
    """Text that markdown takes for text."""
    for character in "\\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text


def _latex(text: str) -> str:
    """Text that LaTeX takes for text."""
    known = {"\\": r"\textbackslash{}", "±": r"$\pm$", "×": r"$\times$", "–": "--", "·": r"$\cdot$"}
    known |= {character: f"\\{character}" for character in "%&_#$"}
    return "".join(known.get(character, character) for character in text)
