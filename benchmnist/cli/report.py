"""`benchmnist report RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.options import debug_option, listed, option, out_option, run_names

if TYPE_CHECKING:
    from benchmnist.reports.columns import View
    from benchmnist.results import RunResult

STALE = 1


@click.command("report")
@click.argument("run", shell_complete=run_names)
@option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "html", "csv", "latex", "json"]),
    help="What to print: the table in one of these forms, or the page.  [default: rich; with --update markdown]",
)
@option("--columns", type=click.UNPROCESSED, callback=listed, metavar="NAME,...", help="The columns of the table.")
@option("--sort", default="", metavar="[-]NAME", help="Order the rows by a column, best first; with - the worst.")
@option(
    "--group-by",
    type=click.UNPROCESSED,
    callback=listed,
    metavar="NAME,...",
    help="Gather the rows in which these columns agree.",
)
@option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@option(
    "--update",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Replace what stands between <!-- benchmnist:start --> and <!-- benchmnist:end --> in FILE.",
)
@option("--name", default="", help="The block to update: <!-- benchmnist:start NAME -->.")
@option("--check", is_flag=True, help="Change nothing; exit with 1 if --update or --output would.")
@out_option
@debug_option
def command(run: str, form: str | None, out: Path, *, check: bool, name: str, **options: Any) -> None:
    """Print the comparison table of RUN, or keep it up to date in a document.

    RUN is a run folder, or a folder of them, which stands for the newest in it (runs, or runs/quick), or the end
    of a run's name (ab12).
    """
    from benchmnist.store import find_run, load_run

    update, output = options["update"], options["output"]
    if update and output:
        raise click.UsageError("--update changes a file, --output writes one: take one of them")
    if check and not (update or output):
        raise click.UsageError("--check says whether a file is up to date: name it with --update or --output")
    if name and not update:
        raise click.UsageError("--name is that of a block: name the file with --update")
    form = form or ("markdown" if update else "rich")
    if update and form in ("rich", "html"):
        raise click.UsageError("--update writes a table into a document: --format markdown, csv, latex or json")
    view = _view(options)
    if form == "html" and view is not None:
        raise click.UsageError(
            "the page has all columns, to be sorted there: leave out --columns, --sort, --group-by"
        )
    result = load_run(find_run(run, out))
    if form == "rich" and not output:
        from benchmnist.cli.console import results_console
        from benchmnist.cli.display import show_run

        show_run(result, results_console(), view)
        return
    text = _text(result, form, view)
    if update or output:
        _keep(update or output, text, name if update else None, check=check)
    else:
        click.echo(text, nl=False)


def _view(options: dict[str, Any]) -> View | None:
    """What was asked of the table; None where nothing was."""
    from benchmnist.reports.columns import FIGURES, View

    columns, sort, group_by = options["columns"], options["sort"], options["group_by"]
    return View(columns or FIGURES, sort, group_by) if columns or sort or group_by else None


def _text(result: RunResult, form: str, view: View | None) -> str:
    if form == "html":
        from benchmnist.reports.html import report_page

        return report_page(result)
    if form == "rich":
        from rich.console import Console

        from benchmnist.cli.display import show_run

        console = Console(width=80, no_color=True)
        with console.capture() as captured:
            show_run(result, console, view)
        return captured.get()
    from benchmnist.reports.tables import render

    return render(result, form, view)


def _keep(file: Path, text: str, name: str | None, *, check: bool) -> None:
    """Writes a text into a file, or into a block of it; or only looks whether it is there already."""
    from benchmnist.reports.inplace import read_document, replaced
    from benchmnist.store import write_file

    there = read_document(file) if name is not None or file.is_file() else None
    wanted = text if name is None or there is None else replaced(there, text, name, file)
    if there == wanted:
        click.echo(f"{file} is up to date", err=True)
    elif check:
        click.echo(f"{file} is out of date; run the same without --check", err=True)
        click.get_current_context().exit(STALE)
    else:
        write_file(file, wanted)
        click.echo(f"wrote {file}", err=True)
