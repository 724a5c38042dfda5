"""The comparison table, for a terminal, for people's documents and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.amounts import factor
from benchmnist.reports.columns import ENDS_OF_TRIALS, TIMES_OF_STACKS, Columns, View, identity_of
from benchmnist.reports.escaping import bold, latex, latex_table, markdown_table, rst_bold, rst_table
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.summary import Summary
    from benchmnist.reports.columns import Column
    from benchmnist.reports.escaping import Align
    from benchmnist.runs.results import CaseResult

MARK = "*"
WIDE = 10
"""Half of an interval from which on its figures would only widen the table."""
LEAST_WIDTH = 8  # of a column of words


def _meanings(columns: Columns) -> str:
    """Explains the default columns of a table."""
    said = []
    for metric in columns.main:
        over = ", mean ± sample std over seeds" if metric.spread and metric.level != "case" else ""
        said.append(f"{metric.name}: {metric.says}{over}")
    return "; ".join(
        (
            *said,
            "speed and gain: relative to the suite's baseline, in brackets if no difference is shown",
            "speed ±: its interval reaches no farther",
            "* not shown to be worse than what it is compared with, and lost no seed that another completed",
        )
    )


def legend(results: Sequence[CaseResult]) -> str:
    """Explains the columns, and how times were measured if trials ran side by side."""
    words = _meanings(Columns(results))
    if any(result.shares_times for result in results):
        words += f"; not compared: {TIMES_OF_STACKS}"
    if any(result.case.ends_early for result in results):
        words += f"; not compared: {ENDS_OF_TRIALS}"
    together = sorted({result.side_by_side for result in results} - {1})
    if not together:
        return words
    many = " or ".join(map(str, together))
    threads = " or ".join(map(str, sorted({r.environment.get("threads", 0) for r in results if r.environment})))
    each = f" (threads each: {threads})" if threads else ""
    return f"{words}; times were taken with {many} trials side by side{each}: each trial alone would be faster"


@dataclass(frozen=True, slots=True)
class Cell:
    """Value of a column for a case.

    Attributes:
        value: The value.
        text: The value as text.
        best: Whether the case is not shown to be worse than any other of its group, and others are.
        noise: Whether it is a difference from the baseline that is not shown.
    """

    value: Any
    text: str
    best: bool = False
    noise: bool = False


def cells(
    summaries: Sequence[Summary], columns: Sequence[Column], analysis: Analysis | None = None
) -> dict[str, list[Cell]]:
    """Returns a row of cells per case id.

    What is marked as best, and what is in brackets as not shown, follows from the verdicts of the analysis;
    without one, nothing is.
    """
    rows = {}
    for s in summaries:
        row = rows[s.result.id] = list[Cell]()
        for column in columns:
            value = column.value(s)
            if value is None:
                row.append(Cell(None, "–"))
                continue
            noise = analysis is not None and _is_noise(s.result, column, analysis)
            best = analysis is not None and _is_best(s.result, column, analysis)
            text = visible(column.show(value)) + _half_interval(s.result, column, analysis)
            row.append(Cell(value, f"({text})" if noise else text, best, noise))
    return rows


def _is_best(result: CaseResult, column: Column, analysis: Analysis) -> bool:
    metric = column.metric
    return metric is not None and column.beside is None and result.id in analysis.unbeaten(metric)


def _is_noise(result: CaseResult, column: Column, analysis: Analysis) -> bool:
    """Tells whether a difference from the baseline is not shown."""
    if column.beside is None or column.metric is None or _is_baseline(result):
        return False
    verdict = analysis.against_baseline(column.metric).get(result.id)
    return verdict is None or not verdict.excludes_zero


def _half_interval(result: CaseResult, column: Column, analysis: Analysis | None) -> str:
    """Returns ` ±0.04` for a ratio to the baseline: no farther does its interval reach, to either side."""
    if analysis is None or column.beside != "ratio" or column.metric is None or _is_baseline(result):
        return ""
    verdict = analysis.against_baseline(column.metric).get(result.id)
    if verdict is None or verdict.interval is None:
        return ""
    # The verdict is on the time, the column shows the speed.
    high, low = (factor(-end) for end in verdict.interval)
    mean = factor(-verdict.paired.mean)
    half = max(high - mean, mean - low)
    return f" ±{half:.2f}" if half < WIDE else f" ±>{WIDE}"


def _is_baseline(result: CaseResult) -> bool:
    return result.case.is_baseline and not result.case.control


class ComparisonTable:
    """The table for a terminal, in groups; with the default columns it fits 80 columns, with long names folded."""

    def __init__(
        self, summaries: Sequence[Summary], view: View | None = None, analysis: Analysis | None = None
    ) -> None:
        chosen = view or View(group_by=identity_of(summaries)[:-1])
        self.columns = chosen.shown(summaries)
        self.groups = chosen.groups(summaries)
        self.rows = cells(summaries, self.columns, analysis)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the table, for rich."""
        from rich.cells import cell_len

        from benchmnist.reports.terminal import Line

        widths = [
            max([cell_len(column.title), *(cell_len(row[i].text) for row in self.rows.values())])
            + (not column.words)
            for i, column in enumerate(self.columns)
        ]
        # Only words may take a second line: the status first, as `diverged 1/3`, then the optimizer's name.
        for wordy in reversed([i for i, column in enumerate(self.columns) if column.words]):
            surplus = sum(widths) + len(widths) - 1 - options.max_width
            widths[wordy] -= max(0, min(surplus, widths[wordy] - LEAST_WIDTH))
        wide = max(options.max_width, sum(widths) + len(widths))  # a line too long is better than a figure cut
        yield from console.render(self._table(widths, header=True), options.update(width=wide))
        for group, members in self.groups.items():
            if group:
                yield Line(group, style="bold cyan")
            table = self._table(widths, header=False)
            for s in members:
                texts = []
                for column, cell in zip(self.columns, self.rows[s.result.id], strict=True):
                    mark = "" if column.words else MARK if cell.best else " "
                    style = "dim" if cell.noise else "bold green" if cell.best else ""
                    texts.append(Line(cell.text + mark, style=style))
                    if column.key == "status" and not s.is_fine:
                        texts[-1].stylize("red")
                table.add_row(*texts)
            yield from console.render(table, options.update(width=wide))

    def _table(self, widths: Sequence[int], *, header: bool) -> Table:
        from benchmnist.reports.terminal import plain_table

        table = plain_table(show_header=header)
        for column, width in zip(self.columns, widths, strict=True):
            if column.words:
                table.add_column(column.title, width=width, overflow="fold")
            else:
                table.add_column(f"{column.title} ", width=width, justify="right", no_wrap=True)
        return table


LEVELS_LEFT_OUT = (
    "Other levels of problems are left out here: --show ladders sums them up; --about and CSV have all."
)


def render(analysis: Analysis, form: str, view: View | None = None) -> str:
    """Renders the comparison table of a run as `markdown`, `rst` or `latex`, with a titled table per group.

    Raises:
        BenchmnistError: if the view names an unknown column.
    """
    chosen = view or View()
    summaries = analysis.summaries
    groups = chosen.groups(summaries)
    columns = chosen.shown(summaries)
    rows = cells(summaries, columns, analysis)
    heads = [column.title for column in columns]
    align: list[Align] = ["left" if column.words else "right" for column in columns]
    parts = []
    for title, members in groups.items() or {"": []}.items():
        if title:
            parts.append(_title(title, form))
        shown = [rows[s.result.id] for s in members]
        marked_cells = [[(cell.text, cell.best) for cell in row] for row in shown]
        if form == "latex":
            parts.append(latex_table(heads, marked_cells, align))
        elif form == "rst":
            parts.append(rst_table(heads, marked_cells))
        else:
            marked = [[bold(cell.text) if cell.best else cell.text for cell in row] for row in shown]
            parts.append(markdown_table(heads, marked, align))
    return ("\n" if form == "latex" else "\n\n").join(parts) + "\n"  # else a title is a row of the table above


def _title(text: str, form: str) -> str:
    if form == "latex":
        return f"\\paragraph{{{latex(text)}}}"
    return rst_bold(text) if form == "rst" else bold(text)
