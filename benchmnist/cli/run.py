"""`benchmnist run SUITE`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.executors import RunCommand, taken_out
from benchmnist.cli.options import block_option, debug_option, option

if TYPE_CHECKING:
    from types import FrameType

    from benchmnist.prepare import Prepared
    from benchmnist.results import RunResult

FAILED = 1
INTERRUPTED = 130
TERMINATED = 143


def _seeds(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[int, ...] | None:
    """`3` is the seeds 0, 1 and 2, `0,4,7` just these; pyproject.toml may say them as TOML."""
    from benchmnist.suite import parse_seeds, seed_list

    if value is None:
        return None
    try:
        return parse_seeds(value) if isinstance(value, str) else seed_list(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _executors(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Completes the names of the installed executors."""
    from benchmnist.plugins import find_plugins

    return [o.spec.name for o in find_plugins().executors if o.spec.name.startswith(incomplete)]


@click.command("run", cls=RunCommand)
@click.argument("suite", type=click.Path(path_type=Path))
@option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N|mps", help="Train on it.")
@option(
    "--seeds",
    type=click.UNPROCESSED,
    callback=_seeds,
    metavar="N|LIST",
    help="Instead of the suite's: how many, or which (0,4,7).",
)
@option("--epochs", type=click.IntRange(min=1), help="Instead of the suite's.")
@option("-k", "--keyword", default="", metavar="EXPR", help="Only the cases that pytest's -k would select.")
@option("--engine", metavar="auto|dataloader|resident|graph|stacked", help="Instead of the suite's.")
@option(
    "--executor",
    default="local",
    show_default=True,
    shell_complete=_executors,
    help="local: in worker processes; inline: in this one; or a plugin's, whose options --help then lists too.",
)
@option(
    "--jobs",
    type=click.IntRange(min=1),
    help="How many trials to train at the same time.  [default: local: one a core of the CPU, or one a GPU]",
)
@option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End a case that takes longer, and go on with the next.",
)
@option(
    "--out",
    default="runs",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder to make the run folder in.",
)
@option(
    "--data-root",
    envvar="BENCHMNIST_DATA",
    type=click.Path(path_type=Path),
    help="The folder to keep datasets in.  [default: the user's cache folder]",
)
@option("--checkpoints/--no-checkpoints", default=True, show_default=True, help="Keep the weights of each trial.")
@option(
    "--resume",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[RUN]",
    help="Go on with an interrupted run: the newest of the suite, or this one.",
)
@option(
    "--reuse", is_flag=True, help="Take over results of earlier runs where nothing has changed that decides them."
)
@option("--dry-run", is_flag=True, help="List the cases and the work that they are; train nothing.")
@block_option
@option("-v", "--verbose", is_flag=True, help="Show the loss of every hundredth step.")
@debug_option
def command(suite: Path, *, dry_run: bool, verbose: bool, **options: Any) -> None:
    """Train the cases of SUITE, a TOML file, and compare them."""
    from benchmnist import session
    from benchmnist.cli.console import results_console
    from benchmnist.cli.display import make_display
    from benchmnist.prepare import prepare
    from benchmnist.store import load_run

    options["executor_options"] = taken_out(click.get_current_context(), options)
    if dry_run:
        keyword = options["keyword"]
        for not_for_preparing in (
            "keyword",
            "executor_options",
            "jobs",
            "timeout",
            "out",
            "checkpoints",
            "resume",
            "reuse",
        ):
            del options[not_for_preparing]
        results_console().print(_dry_run(session.select(prepare(suite, **options), keyword)))
        return

    resume = options.pop("resume")
    options["resume"] = resume is not None and (resume or True)

    signals: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        with make_display(verbose=verbose) as display:
            try:
                result = session.run(suite, observer=display, **options)
            except KeyboardInterrupt:
                if display.path is None:
                    raise
                result = load_run(display.path)
    finally:
        signal.signal(signal.SIGTERM, previous)
    _show(result)
    if result.record.status == "interrupted":
        click.get_current_context().exit(TERMINATED if signals else INTERRUPTED)
    if result.record.status == "failed":
        click.get_current_context().exit(FAILED)


def _show(result: RunResult) -> None:
    """The table, what failed and why, and where everything is."""
    from benchmnist.cli.console import progress_console, results_console
    from benchmnist.cli.display import show_run
    from benchmnist.reports import write_report

    show_run(result, results_console())
    console = progress_console()
    if result.record.status == "interrupted":
        console.print(f"interrupted: {len(result.cases)} of {len(result.record.plan)} cases are here")
    report = write_report(result)
    console.print(f"report, plots, checkpoints and results: {report.parent}", soft_wrap=True)


def _dry_run(prepared: Prepared) -> Any:
    """The cases with their parameters, and the work that they are."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("case", overflow="fold")
    table.add_column("parameters", overflow="fold")
    for title in ("seeds × epochs × steps", "weights", "TFLOP"):
        table.add_column(title, justify="right")
    total, steps, trials = 0.0, 0, 0
    for case in prepared.plan.cases:
        work = prepared.work.get(case.id)
        components = [part for part in (case.dataset, case.model, case.optimizer, case.schedule) if part]
        given = {key: value for part in components for key, value in part.params.items()}
        given |= {
            "schedule": case.schedule and case.schedule.use,
            "clip_grad_norm": case.clip_grad_norm,
            "label_smoothing": case.label_smoothing or None,
            "init_seed": case.init_seed,
            **case.resources,
        }
        shape = f"{len(case.seeds)} × {case.epochs} × {work.steps if work else '?'}"
        flop = case.rounds * work.flop / 1e12 if work else 0.0
        total, trials = total + flop, trials + len(case.seeds)
        steps += case.rounds * work.steps if work else 0
        table.add_row(
            case.id,
            " ".join(f"{key}={value}" for key, value in given.items() if value is not None) or "–",
            shape,
            f"{work.parameters:,}" if work else "?",
            f"{flop:,.3g}" if work else "?",
        )
    summary = (
        f"{len(prepared.plan.cases)} cases, {trials} trials, {steps:,} steps, about {total:,.3g} TFLOP of "
        f"training on {prepared.device}"
    )
    return Group(table, Text(summary, style="bold"))
