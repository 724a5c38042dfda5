"""Changes between runs on a terminal of any width: no figure is cut, and every case has its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from benchmnist.reports.comparison import about, heads, letters, metric_title, remarks, table_rows, titles
from benchmnist.reports.terminal import Line, Lines, plain_table
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from benchmnist.analysis.comparison import Comparison
    from benchmnist.metrics import Metric
    from benchmnist.reports.comparison import ComparisonCell

    Rows = Sequence[Sequence[ComparisonCell]]

STYLES = {"better": "green", "worse": "red"}
GAP = 2
"""Columns between two columns of a table."""
WHOLE_ID = 36
"""Columns that a table of two runs leaves to the ids of cases before it folds them."""
LEAST_ID = 24
"""The same with more runs. With less room, the runs of a case are below each other."""


class ComparisonOnTerminal(NamedTuple):
    """Prints a comparison: the first of four forms that fits into the width of the console.

    The runs are beside each other with intervals, or without them and with words folded; or the runs of a case are
    below each other, with or without them.
    """

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yields the parts."""
        comparison, room = self.comparison, options.max_width
        rows, widths, intervals = _form(comparison, room)
        yield from (Line(f"{name}  {title}") for name, title in titles(comparison).items())
        for metric in comparison.metrics:
            yield Lines(f"\n{visible(metric_title(comparison, metric))}", style="bold cyan")
            if widths:
                yield _beside_each_other(comparison, rows[metric], widths[metric])
            else:
                yield from _below_each_other(comparison, rows[metric], room)
        if comparison.surroundings:
            yield Lines("\nother differences", style="bold cyan")
            yield from _surroundings(comparison, beside=bool(widths))
        yield from (Line(remark, style="yellow") for remark in remarks(comparison))
        yield Lines(f"\n{visible(about(comparison, intervals=intervals))}", style="dim")


def _form(
    comparison: Comparison, room: int
) -> tuple[Mapping[Metric, Rows], Mapping[Metric, Sequence[int]] | None, bool]:
    """Returns the rows of each table, the widths of its columns, and whether there are intervals.

    The widths are None if the runs are below each other.
    """
    wide, narrow = (
        {metric: table_rows(comparison, metric, intervals=intervals) for metric in comparison.metrics}
        for intervals in (True, False)
    )
    for rows, intervals in ((wide, True), (narrow, False)):
        widths = {m: _widths(comparison, each, room, folds=not intervals) for m, each in rows.items()}
        if all(widths.values()):
            return rows, {metric: found for metric, found in widths.items() if found}, intervals
    intervals = all(sum(_widths_below(comparison, rows)) + 2 * GAP <= room for rows in wide.values())
    return wide if intervals else narrow, None, intervals


def _widths(comparison: Comparison, rows: Rows, room: int, *, folds: bool) -> list[int] | None:
    """Returns the widths of the columns; None if they do not fit, the words of changes folded if they may be."""
    titled = [[head, *(row[i].text for row in rows)] for i, head in enumerate(heads(comparison))]
    wanted = [max(map(cell_len, column)) for column in titled]
    left = room - GAP * (len(wanted) - 1)
    if sum(wanted) <= left or not folds:
        return wanted if sum(wanted) <= left else None
    least = [*wanted]
    least[0] = min(wanted[0], WHOLE_ID if len(comparison.runs) == 2 else LEAST_ID)  # noqa: PLR2004 - more have less room
    for i in range(1 + len(comparison.runs), len(wanted)):
        least[i] = max(cell_len(word) for text in titled[i] for word in text.split())
    spare = left - sum(least)
    if spare < 0:
        return None
    for i in (*range(1, len(wanted)), 0):
        more = min(spare, wanted[i] - least[i])
        least[i], spare = least[i] + more, spare - more
    return least


def _beside_each_other(comparison: Comparison, rows: Rows, widths: Sequence[int]) -> Table:
    table = plain_table(gap=GAP)
    for head, width in zip(heads(comparison), widths, strict=True):
        figures = head in letters(comparison)
        table.add_column(head, justify="right" if figures else "left", width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(_styled, row))
    return table


def _widths_below(comparison: Comparison, rows: Rows) -> tuple[int, int, int]:
    """Returns the widths of the indented letters, of the figures and of the changes of runs below each other."""
    runs = len(comparison.runs)
    figures = [cell_len(cell.text) for row in rows for cell in row[1 : 1 + runs]]
    changes = [cell_len(cell.text) for row in rows for cell in row[1 + runs :]]
    return GAP + max(map(len, letters(comparison))), max(figures, default=0), max(changes, default=0)


def _below_each_other(comparison: Comparison, rows: Rows, room: int) -> Iterator[RenderableType]:
    """Yields the id of each case, which may fold, and below it a line for each run."""
    names, (letter, figure, change) = letters(comparison), _widths_below(comparison, rows)
    for row in rows:
        yield Line(row[0].text, overflow="fold")
        table = plain_table(gap=GAP, show_header=False)
        table.add_column(width=letter)
        table.add_column(width=figure, justify="right")
        table.add_column(width=max(1, min(change, room - letter - figure - 2 * GAP)), overflow="fold")
        figures, changes = row[1 : 1 + len(names)], row[1 + len(names) :]
        for name, cell, found in zip(names, figures, (None, *changes), strict=True):
            table.add_row(f"{'':{GAP}}{name}", _styled(cell), _styled(found) if found else "")
        yield table


def _surroundings(comparison: Comparison, *, beside: bool) -> Iterator[RenderableType]:
    """Yields the differing properties, with a column for each run or a line for each."""
    names = letters(comparison)
    if beside:
        table = plain_table("", gap=GAP)
        for name in names:
            table.add_column(name, overflow="fold")
        for name, values in comparison.surroundings.items():
            table.add_row(*map(Line, (name, *values)))
        yield table
        return
    for name, values in comparison.surroundings.items():
        yield Line(name)
        table = plain_table(gap=GAP, show_header=False)
        for letter, value in zip(names, values, strict=True):
            table.add_row(f"{'':{GAP}}{letter}", Line(value, overflow="fold"))
        yield table


def _styled(cell: ComparisonCell) -> Line:
    return Line(cell.text, style=STYLES.get(cell.word, ""))
