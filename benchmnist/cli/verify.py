"""`benchmnist verify RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.options import block_option, data_root_option, debug_option, option, out_option, run_names
from benchmnist.cli.training import (
    FAILED,
    INCONCLUSIVE,
    interrupted_by,
    jobs_option,
    terminated_as_interrupted,
    timeout_option,
)
from benchmnist.garbage import quick_imports

if TYPE_CHECKING:
    from pathlib import Path


@click.command("verify")
@click.argument("run", shell_complete=run_names)
@option(
    "-k",
    "--keyword",
    default="",
    metavar="EXPR",
    help="Draw only from the cases that match this expression, as pytest's -k.",
)
@option(
    "--trials",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Number of trials to draw and train again.",
)
@option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the draw, to draw the same trials again.  [default: a random one, which is printed]",
)
@option(
    "--device",
    envvar="BENCHMNIST_DEVICE",
    default="auto",
    metavar="auto|cpu|cuda|cuda:N|mps",
    help="Device to train on; auto is a device of the type that each case was trained on.  [default: auto]",
)
@jobs_option
@timeout_option
@option(
    "--format",
    type=click.Choice(["rich", "markdown", "json"]),
    default="rich",
    show_default=True,
    help="Format of the output.",
)
@data_root_option
@out_option
@block_option
@debug_option
def command(run: str, *, format: str, out: Path, **options: Any) -> None:  # noqa: A002 - as the option is called
    """Train some trials of RUN again, and compare.

    The trials are drawn at random, and compared with what the run reports. On the same machine with the same
    software, the results must be the same, bit for bit; elsewhere, they must be within the spread of the seeds. A
    run that contradicts itself is not trained again. Exit codes: 0, all drawn trials are consistent; 1, one is
    not, or the run contradicts itself; 3, nothing is inconsistent, but some trials could not be checked.
    """
    with quick_imports(ours=True):
        from benchmnist.cli.console import results_console
        from benchmnist.cli.display import make_display
        from benchmnist.reports.verification import json_verification, markdown_verification, rich_verification
        from benchmnist.runs.store import find_run
        from benchmnist.verifier import verify

    ctx = click.get_current_context()
    with terminated_as_interrupted() as signals:
        try:
            found = verify(find_run(run, out), watch=lambda: make_display(verbose=False), **options)
        except KeyboardInterrupt:
            click.echo("interrupted: nothing was compared", err=True)
            ctx.exit(interrupted_by(signals))
    if format == "rich":
        results_console().print(rich_verification(found))
    else:
        click.echo(markdown_verification(found) if format == "markdown" else json_verification(found), nl=False)
    codes = {"consistent": 0, "not consistent": FAILED, "inconclusive": INCONCLUSIVE}
    ctx.exit(codes[found.word])
