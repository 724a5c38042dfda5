"""`benchmnist compare RUN RUN [RUN...]`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from benchmnist.cli.options import debug_option, option, out_option, run_names


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=run_names)
@option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "html"]),
    default="rich",
    show_default=True,
    help="What to print.",
)
@option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Draw the curves of all runs over each other into this folder; markdown links them.",
)
@out_option
@debug_option
def command(runs: tuple[str, ...], form: str, output: Path | None, plots: Path | None, out: Path) -> None:
    """Say what changed from the first RUN to each other: accuracy, loss, speed, versions, parameters.

    Cases are aligned by their ids. Each difference is said to be more than the seeds' spread, or not.
    """
    from benchmnist.analysis.comparison import compare_runs
    from benchmnist.cli.console import results_console
    from benchmnist.reports.comparison import (
        comparison_page,
        draw_comparison,
        markdown_comparison,
        rich_comparison,
    )
    from benchmnist.store import find_run, load_run, write_file

    if len(runs) < 2:  # noqa: PLR2004 - one run has nothing beside it
        raise click.UsageError("compare takes two runs or more")
    comparison = compare_runs([load_run(find_run(run, out)) for run in runs])
    pictures = draw_comparison(comparison, plots) if plots else {}
    if form == "rich":
        if output:
            raise click.UsageError("--output wants --format markdown or html")
        results_console().print(rich_comparison(comparison))
        return
    if form == "html":
        text = comparison_page(comparison)
    else:
        beside = {title: _link(plots / file, output) for title, file in pictures.items()} if plots else {}
        text = markdown_comparison(comparison, beside)
    if output:
        write_file(output, text)
        click.echo(f"wrote {output}", err=True)
    else:
        click.echo(text, nl=False)


def _link(picture: Path, output: Path | None) -> str:
    """How the document says where a picture is."""
    return os.path.relpath(picture, output.parent if output else Path()).replace(os.sep, "/")
