"""The comparison table, for a terminal, for people's documents and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from benchmnist.analysis.noise_floor import noise_floors
from benchmnist.reports.columns import IDENTITY, Columns, View, leading
from benchmnist.text import plain_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.noise_floor import Floor
    from benchmnist.analysis.summary import Summary
    from benchmnist.reports.columns import Column
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Group

MARK = "*"
LEAST_WIDTH = 8  # of a column of words


def _meanings(columns: Columns) -> str:
    """Explains the default columns of a table."""
    said = []
    for metric in columns.metrics:
        if metric.main and metric.level != "step":
            over = ", mean ± sample std over seeds" if metric.spread and metric.level != "case" else ""
            said.append(f"{metric.name}: {metric.says}{over}")
        if metric in columns.primary:
            said.append("best: best value of any epoch and seed")
    return "; ".join(
        (*said, "speed and gain: relative to the suite's baseline on the same model", "* best in its column")
    )


def legend(results: Sequence[CaseResult]) -> str:
    """Explains the columns, and how times were measured if trials ran side by side."""
    words = _meanings(Columns(results))
    if any(result.case.control for result in results):
        words += "; in brackets: below the noise floor (the baseline vs itself with other seeds)"
    together = sorted({result.side_by_side for result in results} - {1})
    if not together:
        return words
    many = " or ".join(map(str, together))
    threads = " or ".join(map(str, sorted({r.environment.get("threads", 0) for r in results if r.environment})))
    each = f" (threads each: {threads})" if threads else ""
    return f"{words}; times were taken with {many} trials side by side{each}: each trial alone would be faster"


@dataclass(frozen=True)
class Cell:
    """Value of a column for a case: as text, whether it is the best of its column, and whether it is noise."""

    value: Any
    text: str
    best: bool = False
    noise: bool = False


def cells(
    summaries: Sequence[Summary], columns: Sequence[Column], floors: Mapping[Group, Floor]
) -> dict[str, list[Cell]]:
    """Returns a row of cells per case id; the best of a column is the best among the cases of the same dataset.

    A difference from the baseline below the noise floor, if known, is in brackets.
    """
    best: dict[tuple[str, str], str] = {}  # by column and dataset, as shown
    for column in columns:
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
                best[column.key, dataset] = column.figure(first(values, key=leading))
    rows = {}
    for s in summaries:
        row = rows[s.result.id] = list[Cell]()
        for column in columns:
            value = column.value(s)
            wanted = best.get((column.key, s.result.case.dataset.label))
            if value is None:
                row.append(Cell(None, "–"))
            else:
                is_best = wanted is not None and column.figure(value) == wanted
                noise = _is_noise(column, value, floors.get(s.result.case.group))
                text = column.show(value)
                row.append(Cell(value, f"({text})" if noise else text, is_best, noise))
    return rows


def _is_noise(column: Column, value: Any, floor: Floor | None) -> bool:
    """Tells whether a difference from the baseline is below the noise floor."""
    if floor is not None and column.beside == "difference" and floor.primary is not None:
        return bool(abs(value) <= floor.primary)
    if floor is not None and column.beside == "ratio" and floor.ratio is not None:
        return bool(1 / floor.ratio <= value <= floor.ratio)
    return False


class ComparisonTable:
    """The table for a terminal, in groups; with the default columns it fits 80 columns, with long names folded."""

    def __init__(
        self, summaries: Sequence[Summary], view: View | None = None, floors: Mapping[Group, Floor] | None = None
    ) -> None:
        chosen = view or View(group_by=IDENTITY[:2])
        self.columns = chosen.shown(summaries)
        self.groups = chosen.groups(summaries)
        self.rows = cells(
            summaries, self.columns, noise_floors([s.result for s in summaries]) if floors is None else floors
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the table, for rich."""
        from rich.text import Text

        widths = [
            max([len(column.title), *(len(row[i].text) for row in self.rows.values())]) + (not column.words)
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
                yield Text(group, style="bold cyan")
            table = self._table(widths, header=False)
            for s in members:
                texts = []
                for column, cell in zip(self.columns, self.rows[s.result.id], strict=True):
                    mark = "" if column.words else MARK if cell.best else " "
                    style = "dim" if cell.noise else "bold green" if cell.best else ""
                    texts.append(Text(cell.text + mark, style=style))
                    if column.key == "status" and not s.is_fine:
                        texts[-1].stylize("red")
                table.add_row(*texts)
            yield from console.render(table, options.update(width=wide))

    def _table(self, widths: Sequence[int], *, header: bool) -> Table:
        table = plain_table(show_header=header)
        for column, width in zip(self.columns, widths, strict=True):
            if column.words:
                table.add_column(column.title, width=width, overflow="fold")
            else:
                table.add_column(f"{column.title} ", width=width, justify="right", no_wrap=True)
        return table


def render(analysis: Analysis, form: str, view: View | None = None) -> str:
    """Renders the comparison table of a run as `markdown` or `latex`, with a titled table per group.

    Raises:
        BenchmnistError: if the view names an unknown column.
    """
    chosen = view or View()
    summaries = analysis.summaries
    groups = chosen.groups(summaries)
    columns = chosen.shown(summaries)
    rows = cells(summaries, columns, analysis.floors)
    parts = []
    for title, members in groups.items() or {"": []}.items():
        escaped = _latex(title) if form == "latex" else escape_markdown(title)
        if title:
            parts.append({"markdown": f"**{escaped}**\n", "latex": f"\\paragraph{{{escaped}}}"}[form])
        parts.append(_table(form, columns, [rows[s.result.id] for s in members]))
    return "\n".join(parts) + "\n"


def _table(form: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    bold = {"markdown": "**{}**", "latex": "\\textbf{{{}}}"}[form]
    escape = _latex if form == "latex" else escape_markdown
    return tabulate(
        [[bold.format(escape(cell.text)) if cell.best else escape(cell.text) for cell in row] for row in rows],
        [escape(column.title) for column in columns],
        tablefmt="latex_raw" if form == "latex" else "github",
        disable_numparse=True,
        colalign=["left" if column.words else "right" for column in columns] if rows else None,
    )


def escape_markdown(text: str) -> str:
    """Escapes text for markdown."""
    for character in "\\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text


def _latex(text: str) -> str:
    """Escapes text for LaTeX."""
    known = {"\\": r"\textbackslash{}", "±": r"$\pm$", "×": r"$\times$", "–": "--", "·": r"$\cdot$"}
    known |= {character: f"\\{character}" for character in "%&_#$"}
    return "".join(known.get(character, character) for character in text)
