"""The results of a run on a terminal: its table, its failures and its findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.reports.tables import LEVELS_LEFT_OUT, ComparisonTable, legend
from benchmnist.reports.terminal import Line, plain_table
from benchmnist.runs.results import CaseResult
from benchmnist.text import cause_of, counted

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from rich.console import Console

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.reports.columns import View


def show_run(analysis: Analysis, console: Console, view: View | None = None) -> None:
    """Prints the comparison table of a run, the cause of each failure, and missed expectations."""
    run = analysis.run
    if view is not None and not run.cases:
        view.refuse_unknown(CaseResult(case=case, status="interrupted") for case in run.record.plan)
    table = ComparisonTable(analysis.summaries, view, analysis) if analysis.cases else None  # may refuse the view
    console.print(Line(run.record.title, style="bold"))
    if table is not None:
        console.print(table, crop=False)
        console.print(Line(legend(analysis.cases), style="dim"))
    elif not run.cases:
        console.print("no case has a result")
    if analysis.untold_levels:
        console.print(Line(LEVELS_LEFT_OUT, style="dim"))
    for result in run.cases if analysis.untold_levels else analysis.cases:
        for line, style in _remarkable(result):
            console.print(Line(line, style=style), soft_wrap=True)
    if run.record.status == "completed" and (lost := len(run.record.plan) - len(run.cases)):
        lacks = f"lacks {lost} of its {counted(len(run.record.plan), 'result')}"
        console.print(Line(f"the run completed, but {lacks}", style="red"), soft_wrap=True)
    for note in run.record.notes:
        console.print(Line(f"note: {note}", style="yellow"), soft_wrap=True)


def _remarkable(result: CaseResult) -> Iterator[tuple[str, str]]:
    """Yields what is to be said of a case beside its figures, each line with its style."""
    if result.error:
        yield f"{result.id} {result.status}: {cause_of(result.error)}", "red"
    if result.reused_from:
        yield f"{result.id} was reused from {result.reused_from}", "dim"
    for miss in result.misses:
        yield f"{result.id} missed: {miss}", "red"
    for remark in result.remarks:
        if result.case.engine not in ("auto", result.engine) and remark.startswith("not "):
            yield f"note: {result.id} is {remark}", "yellow"


def show_findings(analysis: Analysis, console: Console, about: re.Pattern[str] | None = None) -> None:
    """Prints the findings of a run; with `about`, only those that match."""
    found = [finding for finding in analysis.findings if about is None or about.search(finding.text)]
    if not found:
        console.print("No findings for this run.")
        return
    console.print(Line("Findings (intervals have 95 % confidence as a family)", style="bold"))
    table = plain_table(show_header=False)
    for finding in found:
        table.add_row("-", Line(finding.text))
    console.print(table)
