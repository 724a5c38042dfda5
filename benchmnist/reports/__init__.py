"""Reports for people: tables, plots and pages of a RunResult."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.runs.files import write_file
from benchmnist.runs.store import PLOTS, refuse_links

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.runs.results import RunResult

REPORT, PAGE = "report.md", "report.html"


def write_report(run: RunResult | Analysis) -> Path:
    """Writes report.md, report.html and the plots of a run into its folder; returns the path of report.md.

    Raises:
        StoreError: if a file cannot be written, or the folder has a link, which may lead elsewhere.
    """
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.reports.html import report_page
    from benchmnist.reports.markdown import report
    from benchmnist.reports.pictures import pictures
    from benchmnist.reports.plots import draw_plots

    analysis = run if isinstance(run, Analysis) else Analysis(run)
    run = analysis.run
    refuse_links(run.path)
    drawn = [(picture, picture.draw()) for picture in pictures(analysis)]
    for picture, content in drawn:
        write_file(run.path / PLOTS / picture.file, content)
    others = {picture.alt: f"{PLOTS}/{picture.file}" for picture, _ in drawn}
    plots = draw_plots(run)._replace(others=others)
    path = run.path / REPORT
    write_file(path, report(analysis, plots))
    write_file(run.path / PAGE, report_page(analysis, {picture.title: content for picture, content in drawn}))
    return path
