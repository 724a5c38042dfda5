"""Reports for people: tables, plots and pages of a RunResult."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.errors import StoreError, first_line
from benchmnist.runs.files import write_file
from benchmnist.runs.store import PLOTS, refuse_links

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.reports.plots import Plots
    from benchmnist.runs.results import RunResult

REPORT, PAGE = "report.md", "report.html"


def write_report(run: RunResult | Analysis) -> Path:
    """Writes report.md, report.html and the plots of a run into its folder; returns the path of report.md.

    Raises:
        StoreError: if a file cannot be written, or the folder has a link, which may lead elsewhere; or, once
            everything else is written, if the pictures cannot be drawn.
    """
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.reports.html import plotly, report_page
    from benchmnist.reports.markdown import report

    analysis = run if isinstance(run, Analysis) else Analysis(run)
    run = analysis.run
    refuse_links(run.path)
    plotly()  # in a thread of its own, while this one draws
    path, plots, drawn, lost = run.path / REPORT, None, dict[str, bytes](), None
    try:
        plots, drawn = _pictures(analysis)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - a broken matplotlib or font may raise anything, and costs no report
        lost = error
    write_file(path, report(analysis, plots))
    write_file(run.path / PAGE, report_page(analysis, drawn))
    if lost is not None:
        raise StoreError(f"{path} has no plots, which cannot be drawn: {first_line(lost)}") from lost
    return path


def _pictures(analysis: Analysis) -> tuple[Plots, dict[str, bytes]]:
    """Draws everything into the run folder; returns the files, and the contents of the pictures by title."""
    from benchmnist.reports.pictures import pictures
    from benchmnist.reports.plots import draw_plots

    drawn = [(picture, picture.draw()) for picture in pictures(analysis)]
    for picture, content in drawn:
        write_file(analysis.run.path / PLOTS / picture.file, content)
    others = {picture.alt: f"{PLOTS}/{picture.file}" for picture, _ in drawn}
    plots = draw_plots(analysis.run, without=analysis.untold_levels)._replace(others=others)
    return plots, {picture.title: content for picture, content in drawn}
