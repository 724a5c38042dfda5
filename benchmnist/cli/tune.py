"""`benchmnist tune SUITE`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from benchmnist.cli.errors import complain
from benchmnist.cli.executors import RunCommand, taken_out
from benchmnist.cli.options import NamedPath, optimizers_option, option
from benchmnist.cli.training import FAILED, interrupted_by, terminated_as_interrupted, training_options
from benchmnist.errors import BenchmnistError
from benchmnist.forking.fork_server import start_importing
from benchmnist.garbage import quick_imports
from benchmnist.suites.values import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.cli.display import Display
    from benchmnist.suites.options import RunOptions
    from benchmnist.suites.suite import Suite


def _sampler(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Checks the name of a sampler."""
    from benchmnist.suites.spaces import sampler_name

    try:
        return None if value is None else sampler_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command("tune", cls=RunCommand)
@click.argument("suite", type=NamedPath(path_type=Path))
@option(
    "--trials",
    type=click.IntRange(1, MAX_COUNT),
    help="Override the suite's trials: points to try for each optimizer on each model.",
)
@option(
    "--searches",
    type=click.IntRange(1, MAX_COUNT),
    help="Override the suite's searches: how often to repeat each search, with other points and seeds.",
)
@option(
    "--sampler",
    callback=_sampler,
    metavar="NAME",
    help="Override the suite's sampler: random, tpe, grid, or a sampler of optuna, such as GPSampler.",
)
@optimizers_option
@option("--resume", is_flag=True, help="Resume the newest search of the suite.")
@training_options
def command(
    suite: Path,
    *,
    trials: int | None,
    searches: int | None,
    sampler: str | None,
    verbose: bool,
    progress: str,
    **options: Any,
) -> None:
    """Tune each optimizer of SUITE on the same budget, and compare.

    The suite declares which hyperparameters to search: [optimizers.NAME.space], or [tune.space] for all of them.
    Each point is evaluated on held-out training examples. The best point is trained again with other seeds and
    evaluated on the test set.
    """
    if options["executor"] == "local":
        start_importing()
    with quick_imports(ours=True):
        from benchmnist.suites.options import RunOptions

    options["executor_options"] = taken_out(click.get_current_context(), options)
    changed = {"trials": trials, "searches": searches, "sampler": sampler}
    tune_and_show(suite, RunOptions(**options), verbose=verbose, progress=progress, **changed)


def tune_and_show(
    suite: Path | Suite, options: RunOptions, *, verbose: bool, progress: str, **changed: Any
) -> NoReturn:
    """Tunes a suite, shows what comes of it, and ends the command.

    Args:
        suite: The suite, or its file.
        options: As of `tune`.
        verbose: Whether the loss of every hundredth step is printed.
        progress: How progress is shown, as of `make_display`.
        changed: What overrides the suite's [tune].
    """
    with quick_imports(ours=True):
        from benchmnist.cli.display import make_display
        from benchmnist.cli.run import cut_off, show_result
        from benchmnist.tuner import tune

    displays: list[Display] = []

    @contextlib.contextmanager
    def watch() -> Iterator[Display]:
        with make_display(verbose=verbose, progress=progress) as display:
            displays.append(display)
            yield display

    ctx = click.get_current_context()
    with terminated_as_interrupted() as signals:
        try:
            tuned = tune(suite, options, watch=watch, **changed)
        except KeyboardInterrupt:
            begun = any(display.path for display in displays)
            kept = "what was done is kept; repeat the command with --resume" if begun else "nothing was trained"
            click.echo(f"interrupted: {kept}", err=True)
            ctx.exit(interrupted_by(signals))
        except (BenchmnistError, OSError) as error:
            paths = [display.path for display in displays if display.path]
            if not paths:
                raise
            cut_off(paths[-1], error)
        code = show_result(tuned.final, signals)
        if lost := [search for search in tuned.final.record.searches if search.best is None]:
            rows = ", ".join(f"{s.row} on {s.model or s.dataset}" for s in lost)
            complain(f"every attempt of {rows} diverged or failed")
            code = code or FAILED
        ctx.exit(code)
