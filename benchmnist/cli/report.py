"""`benchmnist report RUN`."""

from __future__ import annotations

from pathlib import Path

import click

from benchmnist.cli.options import debug_option, option


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "csv", "latex", "json"]),
    default="rich",
    show_default=True,
    help="What to print the table as.",
)
@debug_option
def command(run: Path, form: str) -> None:
    """Print the comparison table of RUN.

    RUN is a run folder, or a folder of them, which stands for the newest in it: runs, or runs/quick.
    """
    from benchmnist.cli.console import results_console
    from benchmnist.cli.display import show_run
    from benchmnist.reports.tables import render
    from benchmnist.store import load_run

    result = load_run(run)
    if form == "rich":
        show_run(result, results_console())
    else:
        click.echo(render(result, form), nl=False)
