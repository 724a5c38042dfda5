"""What people look at: tables, plots and pages made of a RunResult."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.store import write_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.results import RunResult

REPORT = "report.md"


def write_report(run: RunResult) -> Path:
    """Draws the plots of a run and writes report.md, both into its folder; returns the path of the report.

    Raises:
        StoreError: if a file cannot be written.
    """
    from benchmnist.reports.markdown import report
    from benchmnist.reports.plots import draw_plots

    plots = draw_plots(run)
    path = run.path / REPORT
    write_file(path, report(run, plots))
    return path
