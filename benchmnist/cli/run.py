"""`benchmnist run SUITE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.executors import RunCommand, taken_out
from benchmnist.cli.options import NamedPath, option
from benchmnist.cli.training import FAILED, INTERRUPTED, TERMINATED, terminated_as_interrupted, training_options

if TYPE_CHECKING:
    from benchmnist.cli.display import Display
    from benchmnist.preflight.prepare import Prepared
    from benchmnist.runs.results import RunResult


def _seeds(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[int, ...] | None:
    """`3` is the seeds 0, 1 and 2, `0,4,7` just these; pyproject.toml may say them as TOML."""
    from benchmnist.suites.reader import parse_seeds, seed_list

    if value is None:
        return None
    try:
        return parse_seeds(value) if isinstance(value, str) else seed_list(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command("run", cls=RunCommand)
@click.argument("suite", type=NamedPath(path_type=Path))
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
    "--order",
    type=click.Choice(["suite", "interleaved"]),
    help="Instead of the suite's: case by case, or seed by seed.  [default: suite; with --control interleaved]",
)
@option(
    "--control",
    is_flag=True,
    help="Train the baselines once more, with other seeds: what differs then is noise.",
)
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
@training_options
def command(suite: Path, *, dry_run: bool, verbose: bool, **options: Any) -> None:
    """Train the cases of SUITE, a TOML file, and compare them."""
    from benchmnist import runner
    from benchmnist.cli.console import results_console
    from benchmnist.cli.display import make_display
    from benchmnist.preflight.prepare import prepare
    from benchmnist.runs.store import load_run

    options["executor_options"] = taken_out(click.get_current_context(), options)
    if dry_run:
        keyword = options["keyword"]
        for not_for_preparing in (
            "keyword",
            "order",
            "executor_options",
            "jobs",
            "timeout",
            "out",
            "checkpoints",
            "resume",
            "reuse",
        ):
            del options[not_for_preparing]
        results_console().print(_dry_run(runner.select(prepare(suite, **options), keyword)))
        return

    resume = options.pop("resume")
    options["resume"] = resume is not None and (resume or True)

    display: Display | None = None
    with terminated_as_interrupted() as terminated:
        try:
            with make_display(verbose=verbose) as display:
                result = runner.run(suite, observer=display, **options)
        except KeyboardInterrupt:
            if display is None or display.path is None:
                raise
            result = load_run(display.path)
    show_result(result)
    if result.record.status == "interrupted":
        click.get_current_context().exit(TERMINATED if terminated else INTERRUPTED)
    if result.record.status == "failed":
        click.get_current_context().exit(FAILED)


def show_result(result: RunResult) -> None:
    """The table, what failed and why, and where everything is."""
    from benchmnist.cli.console import progress_console, results_console
    from benchmnist.cli.display import show_findings, show_run
    from benchmnist.reports import write_report

    show_run(result, results_console())
    show_findings(result, results_console())
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
