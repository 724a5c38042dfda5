"""`benchmnist compare RUN RUN [RUN...]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmnist.cli.documents import Document, document_options
from benchmnist.cli.options import NamedPath, debug_option, listed, option, out_option, run_names


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=run_names)
@option(
    "--format",
    type=click.Choice(["rich", "markdown", "html"]),
    help="Format of the output.  [default: rich; markdown with --update]",
)
@option(
    "--metrics",
    type=click.UNPROCESSED,
    callback=listed,
    metavar="NAME,...",
    help="Metrics to compare, such as test_loss.  [default: the main metrics]",
)
@option(
    "--plots",
    only_typed=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Draw the curves of all runs, overlaid, into this folder; markdown links them.",
)
@document_options
@out_option
@debug_option
def command(runs: tuple[str, ...], format: str | None, plots: Path | None, out: Path, **options: Any) -> None:  # noqa: A002
    """Compare runs with the first: metrics, versions, parameters.

    Cases are matched by id, and each is judged against the first run seed by seed.
    """
    from benchmnist.analysis.comparison import compare_runs
    from benchmnist.cli.console import results_console
    from benchmnist.reports.comparison import comparison_page, draw_comparison, markdown_comparison
    from benchmnist.reports.comparison_on_terminal import ComparisonOnTerminal
    from benchmnist.runs.store import find_run, load_run

    document = Document.of(options)
    if document.is_rst:
        raise click.UsageError("compare writes markdown; name a file that is no .rst")
    form = format or ("markdown" if options["update"] else "rich")
    if options["update"] and form != "markdown":
        raise click.UsageError("--update writes into a document; use --format markdown")
    if len(runs) < 2:  # noqa: PLR2004 - one run has nothing beside it
        raise click.UsageError("compare needs at least two runs; `benchmnist runs` lists them")
    comparison = compare_runs([load_run(find_run(run, out)) for run in runs], options["metrics"])
    pictures = draw_comparison(comparison, plots) if plots else {}
    if form == "rich":
        if document.file:
            raise click.UsageError("--output needs --format markdown or html")
        results_console().print(ComparisonOnTerminal(comparison))
    elif form == "html":
        document.keep(comparison_page(comparison))
    else:
        beside = {title: document.link(plots / file) for title, file in pictures.items()} if plots else {}
        document.keep(markdown_comparison(comparison, beside))
