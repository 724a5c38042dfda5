"""`benchmnist versus OPTIMIZER OPTIMIZER...`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.errors import complain
from benchmnist.cli.executors import RunCommand, taken_out
from benchmnist.cli.options import NamedPath, offered, option
from benchmnist.cli.training import (
    FAILED,
    INCONCLUSIVE,
    interrupted_by,
    terminated_as_interrupted,
    training_options,
)
from benchmnist.errors import BenchmnistError
from benchmnist.forking.fork_server import start_importing
from benchmnist.garbage import quick_imports
from benchmnist.suites.values import MAX_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.cli.display import Display
    from benchmnist.head_to_head import Versus


def _budget(ctx: click.Context, param: click.Parameter, value: Any) -> float:
    """Reads a time such as `60s`."""
    from benchmnist.suites.pace import seconds_of

    try:
        return seconds_of(str(value))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command("versus", cls=RunCommand)
@click.argument(
    "optimizers", nargs=-1, required=True, metavar="OPTIMIZER...", shell_complete=offered("optimizers")
)
@option(
    "--on",
    metavar="WHERE",
    help="Problem, problem/level, model, dataset or dataset/model to compare on.  [default: mnist/fc]",
)
@option("--baseline", metavar="OPTIMIZER", help="Optimizer to compare with.  [default: the last one]")
@option(
    "--budget",
    default="60s",
    show_default=True,
    callback=_budget,
    metavar="TIME",
    help="Time that all of it may take, such as 20s, 5m or 1h.",
)
@option(
    "--steps",
    type=click.IntRange(1, MAX_STEPS),
    help="Steps of each training.  [default: what the budget allows, or a problem states]",
)
@option(
    "--write",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="File to write the suite to.  [default: versus-….toml]",
)
@option("--dry-run", is_flag=True, help="Measure the pace, and print the suite that would be tuned.")
@training_options
def command(
    optimizers: tuple[str, ...],
    *,
    on: str | None,
    baseline: str | None,
    budget: float,
    steps: int | None,
    write: Path | None,
    dry_run: bool,
    verbose: bool,
    progress: str,
    **options: Any,
) -> None:
    """Ask whether an optimizer is better than another, within a budget of time.

    Each OPTIMIZER is a NAME, or NAME:KEY=VALUE,... with values as TOML, such as adamw:weight_decay=0.1. The last
    is the one that the others are compared with. Each chooses its learning rate from as many, in searches that
    are repeated until the difference is told or the budget is spent. The last line is the answer. The suite is
    written to a file, with the command that repeats the comparison: `benchmnist tune FILE`, or `run FILE` if no
    learning rate is searched.
    """
    if options["executor"] == "local":
        start_importing()
    with quick_imports(ours=True):
        from benchmnist import head_to_head
        from benchmnist.cli.console import progress_console
        from benchmnist.cli.display import make_display
        from benchmnist.reports.terminal import Line
        from benchmnist.suites.options import RunOptions

    options["executor_options"] = taken_out(click.get_current_context(), options)
    asked = RunOptions(**options)
    asking: dict[str, Any] = {"on": on, "baseline": baseline, "budget": budget, "steps": steps, "options": asked}
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        console.print(Line(text), soft_wrap=True)

    console = progress_console()
    if dry_run:
        line, text = head_to_head.rehearse(*optimizers, **asking, say=say)
        click.echo(f"# {line}\n{text}", nl=False)
        return

    @contextlib.contextmanager
    def watch() -> Iterator[Display | None]:
        if progress == "auto" and not verbose and not console.is_terminal:
            yield None  # the lines of a hundred trainings would hide those that matter
            return
        with make_display(verbose=verbose, progress=progress) as display:
            yield display

    with terminated_as_interrupted() as signals:
        try:
            found = head_to_head.versus(*optimizers, **asking, write=write, watch=watch, say=say)
        except KeyboardInterrupt:
            click.echo("interrupted: no look was made, so nothing can be said", err=True)
            click.get_current_context().exit(interrupted_by(signals))
        except BenchmnistError as error:
            if all(line.startswith(head_to_head.MEASURING) for line in said):  # no look was begun
                raise
            complain(str(error))
            click.get_current_context().exit(FAILED)
        click.get_current_context().exit(_show(found, signals))


def _show(found: Versus, signals: list[int]) -> int:
    """Shows the answer and where the results are; returns the exit code."""
    from benchmnist.cli.console import progress_console, results_console
    from benchmnist.reports.terminal import Line

    if found.run is not None:
        ended = f"ended after {found.seconds:.0f} s ({found.ended}); for more: benchmnist report {found.run.path}"
        progress_console().print(Line(ended), soft_wrap=True)
    for line in found.sentence.splitlines():
        results_console().print(Line(line), soft_wrap=True)
    if found.ended == "interrupted":
        return interrupted_by(signals)
    if any(answer.failed for answer in found.answers):
        return FAILED
    return 0 if found.told else INCONCLUSIVE
