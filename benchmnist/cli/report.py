"""`benchmnist report RUN`."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from benchmnist.cli.documents import Document, document_options
from benchmnist.cli.options import NamedPath, debug_option, listed, option, out_option, run_names
from benchmnist.garbage import not_collecting
from benchmnist.metrics import LEVELS, PRIMARY
from benchmnist.suites.values import SHOWN
from benchmnist.text import alternatives, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.courses import Across
    from benchmnist.reports.columns import View


PARTS = (
    *("comparison", "findings", "ladders", "heat-map", "verdicts", "ranks", "targets", "steps-saved"),
    *("profiles", "costs", "tuning", "models", "plots"),
)


class _Part(NamedTuple):
    """The part of a run to show: --show, the table's view, --about, --metric, --plots and --x."""

    show: str
    view: View | None
    about: re.Pattern[str] | None
    metric: str | None
    plots: Path | None
    axis: Across | None = None


def _pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    """A regular expression."""
    try:
        return None if value is None else re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise click.BadParameter(
            f"must be a regular expression, not {one_line(repr(value), SHOWN)}: {error}", ctx, param
        ) from error


@click.command("report")
@click.argument("run", shell_complete=run_names)
@option(
    "--format",
    type=click.Choice(["rich", "markdown", "rst", "html", "csv", "latex", "json"]),
    help="Format of the output; html is the whole page.  "
    "[default: rich; with --update, markdown, or rst if FILE is an .rst]",
)
@option(
    "--level",
    type=click.Choice(LEVELS),
    help="With csv or json: one row per case, seed, epoch, evaluation, stored step or layer.  [default: case]",
)
@option("--columns", type=click.UNPROCESSED, callback=listed, metavar="NAME,...", help="Columns to show.")
@option(
    "--sort",
    default="",
    metavar="[-]NAME",
    help="Sort the rows by a column, best first; with a leading -, worst first.",
)
@option(
    "--group-by",
    type=click.UNPROCESSED,
    callback=listed,
    metavar="NAME,...",
    help="Group the rows by these columns.",
)
@option(
    "--show",
    type=click.Choice(PARTS),
    default="comparison",
    show_default=True,
    help="Part of the report to show; all but comparison and ladders need rich, markdown or rst.",
)
@option(
    "--metric",
    metavar="NAME",
    help=f"Metric that the verdicts judge, with --show verdicts.  [default: that of the task: {PRIMARY.key}]",
)
@option(
    "--plots",
    only_typed=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="With --show plots: draw the plots into this folder.",
)
@option(
    "--x",
    type=click.Choice(["epochs", "steps", "examples", "seconds"]),
    help="With --show plots or --format html: horizontal axis of the curves.  "
    "[default: steps if the suite has evaluate_every, else epochs]",
)
@option(
    "--about",
    callback=_pattern,
    metavar="REGEX",
    help="Show only the cases whose id matches; in other parts, only the sentences, rows or plots that match.",
)
@document_options
@out_option
@debug_option
def command(run: str, format: str | None, out: Path, show: str, plots: Path | None, **options: Any) -> None:  # noqa: A002
    """Print the table of RUN or another part of its report.

    With --update, the output replaces a block of a document.

    RUN is a run folder, the end of a run's name (ab12), or a folder of runs (runs, or runs/quick), which stands
    for its newest run.
    """
    from benchmnist.runs.store import find_run

    document = Document.of(options)
    in_a_document = "rst" if document.is_rst else "markdown"
    form = format or (in_a_document if options["update"] else "markdown" if show == "plots" else "rich")
    part = _Part(show, _view(options), options["about"], options["metric"], plots, options["x"])
    _refuse_what_does_not_go_together(form, part, options)
    # The results and what follows from them are needed until the end; only pictures leave garbage.
    with not_collecting() if show != "plots" else contextlib.nullcontext():
        _report(find_run(run, out), document, form, part, options)


def _report(path: Path, document: Document, form: str, part: _Part, options: Mapping[str, Any]) -> None:
    """Prints, draws or writes a part of a run."""
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.runs.store import load_run

    result, show, about = load_run(path), part.show, part.about
    matching = None
    if about is not None and show == "comparison":
        matching = {case.id for case in result.cases if about.search(case.id)}
        if result.cases and not matching:
            ids = ", ".join(case.id for case in result.cases)
            raise click.UsageError(f"no case matches {about.pattern!r}; the cases of the run: {ids}")
    # What is asked for, and what programs read, is not cut short.
    every = {case.id for case in result.cases} if form in ("csv", "json") or about is not None else None
    analysis = Analysis(result, every if matching is None else matching)
    there = _texts(analysis, part) if about is not None and matching is None else []
    if about is not None and there and not any(map(about.search, there)):
        raise click.UsageError(
            f"nothing in --show {show} matches {about.pattern!r}; remove --about to see all of it"
        )
    if show == "plots" and part.plots is not None:
        document.keep(_drawn(analysis, part, document, check=options["check"]))
    elif form == "rich" and document.file is None:
        from benchmnist.cli.console import results_console

        _print(analysis, part, results_console())
    elif form in ("csv", "json"):
        from benchmnist.reports.conclusions import json_report
        from benchmnist.reports.records import records

        if show == "ladders":
            document.keep(_ladders(analysis, form, about))
            return
        level = options["level"] or LEVELS[0]
        rows = records(analysis, level, part.view)
        document.keep(rows.csv() if form == "csv" else json_report(analysis, rows, level, about))
    else:
        document.keep(_text(analysis, form, part))


def _ladders(analysis: Analysis, form: str, about: re.Pattern[str] | None) -> str:
    """Returns the levels of problems that methods solve, as CSV or JSON."""
    from benchmnist.reports.conclusions import ladder_conclusions
    from benchmnist.reports.escaping import json_text
    from benchmnist.reports.ladder_tables import ladder_records

    if form == "csv":
        return ladder_records(analysis, about).csv()
    return json_text({"ladders": ladder_conclusions(analysis, about)})


def _refuse_what_does_not_go_together(form: str, part: _Part, options: Mapping[str, Any]) -> None:
    """Raises a UsageError for the first two options that do not go together."""
    show, view = part.show, part.view
    if options["update"] and form in ("rich", "html"):
        raise click.UsageError("--update writes into a document; use --format markdown, rst, csv, latex or json")
    if form == "html" and part.about is not None:
        raise click.UsageError("--format html shows the whole run; remove --about")
    if form == "html" and view is not None:
        raise click.UsageError("--format html chooses its own columns; remove --columns, --sort and --group-by")
    documents = ("rich", "markdown", "rst")
    forms = (*documents, "csv", "json") if show == "ladders" else documents
    if show != "comparison" and (form not in forms or view is not None):
        raise click.UsageError(
            f"--show {show} needs --format {alternatives(forms)}, and no --columns, --sort or --group-by"
        )
    if options["level"] is not None and (form not in ("csv", "json") or show == "ladders"):
        raise click.UsageError("--level needs --format csv or json, and no --show")
    if part.metric is not None and show != "verdicts":
        raise click.UsageError("--metric needs --show verdicts")
    if part.axis is not None and show != "plots" and form != "html":
        raise click.UsageError("--x needs --show plots or --format html")
    if (show == "plots") != (part.plots is not None) or (show == "plots" and form != "markdown"):
        raise click.UsageError("--show plots needs --plots FOLDER and --format markdown")


def _drawn(analysis: Analysis, part: _Part, document: Document, *, check: bool) -> str:
    """The pictures, drawn into the folder unless only looked at, as links."""
    from benchmnist.reports.escaping import image
    from benchmnist.reports.pictures import all_pictures
    from benchmnist.runs.files import write_file

    links, about, folder = [], part.about, part.plots or Path()
    for picture in all_pictures(analysis, part.axis):
        if about is not None and not about.search(picture.title):
            continue
        if not check:
            write_file(folder / picture.file, picture.draw())
        links.append(f"{image(picture.alt, document.link(folder / picture.file))}\n")
    return "\n".join(links) or "Nothing was trained.\n"


def _print(analysis: Analysis, part: _Part, console: Console) -> None:
    """Prints the part on a terminal."""
    from benchmnist.cli.results import show_findings, show_run
    from benchmnist.reports.extra_tables import RichTable, extra_tables

    if part.show == "comparison":
        show_run(analysis, console, part.view)
    elif part.show == "findings":
        show_findings(analysis, console, part.about)
    else:
        there = extra_tables(analysis, part.show, part.about, part.metric)
        for table in there:
            console.print(RichTable(table))
        if not there:
            console.print(_missing(part.show, analysis))


def _texts(analysis: Analysis, part: _Part) -> list[str]:
    """Returns the texts of a part that --about searches: sentences, rows, or the titles of models and plots."""
    from benchmnist.reports.extra_tables import extra_tables
    from benchmnist.reports.pictures import all_pictures

    if part.show == "findings":
        return [finding.text for finding in analysis.findings]
    if part.show == "plots":
        return [picture.title for picture in all_pictures(analysis)]
    if part.show == "models":
        return [table.title for table in extra_tables(analysis, "models")]
    tables = extra_tables(analysis, part.show, metric=part.metric)
    return [" ".join(row) for table in tables for row in table.rows]


def _missing(show: str, analysis: Analysis) -> str:
    """Returns the reason why a run has nothing to show."""
    targets = any(case.has_target for case in analysis.run.record.plan)
    return {
        "findings": "No findings for this run.",
        "costs": "The costs of optimizers are counted in runs of this version of BenchMNIST or a later one.",
        "profiles": "Profiles need a target_accuracy or target_loss that a case reached.",
        "steps-saved": "Steps saved need a baseline, evaluate_every in the suite, and a test loss.",
        "tuning": "This run was not tuned; see benchmnist tune.",
        "ranks": "Ranks need 3 methods or more that were all tried in the same 3 models or datasets or more.",
        "verdicts": "No two cases of this run can be compared.",
        "heat-map": "A heat map needs several problems or methods, and problems with levels and a target.",
        "ladders": "Levels need problems (problems = [...]) that have a target.",
        "models": "This run was written by a version that did not describe models; run the suite again.",
    }.get(
        show,
        "No case has a result to time."
        if targets
        else "The suite of this run has no target_accuracy or target_loss.",
    )


def _view(options: dict[str, Any]) -> View | None:
    """Returns the requested view of the table; None without one."""
    from benchmnist.reports.columns import View

    columns, sort, group_by = options["columns"], options["sort"], options["group_by"]
    return View(columns, sort, group_by) if columns or sort or group_by else None


def _text(analysis: Analysis, form: str, part: _Part) -> str:
    if form == "html":
        from benchmnist.reports.html import report_page

        return report_page(analysis, axis=part.axis)
    if form == "rich":
        from benchmnist.reports.terminal import Console

        console = Console(width=80, no_color=True)
        with console.capture() as captured:
            _print(analysis, part, console)
        return captured.get()
    if part.show == "comparison":
        from benchmnist.reports.tables import render

        return render(analysis, form, part.view)
    from benchmnist.reports.markdown import part_in_rst, part_of_report

    render_part = part_in_rst if form == "rst" else part_of_report
    return render_part(analysis, part.show, part.about, part.metric) or f"{_missing(part.show, analysis)}\n"
