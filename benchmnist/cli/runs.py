"""`benchmnist runs`: what there is, and what may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.errors import Group
from benchmnist.cli.options import Number, debug_option, option, out_option, run_names
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmnist.runs.index import StoredRun

MOST_DAYS = 365_000
"""Days that a calendar goes back."""
yes_option = option("--yes", only_typed=True, is_flag=True, help="Delete without confirmation.")


@click.group("runs", cls=Group, invoke_without_command=True)
@out_option
@debug_option
@click.pass_context
def command(ctx: click.Context, out: Path) -> None:
    """List the runs, newest first.

    RUN is a run folder or the end of its name (ab12), in all commands.
    """
    if ctx.invoked_subcommand is None:
        from benchmnist.runs.index import stored_runs

        _list(stored_runs(out), out)


@command.command("show")
@click.argument("run", shell_complete=run_names)
@out_option
@debug_option
def show(run: str, out: Path) -> None:
    """Show the table of a run, and the options it was started with."""
    from benchmnist.cli.console import results_console
    from benchmnist.cli.results import show_run
    from benchmnist.reports.columns import size
    from benchmnist.reports.facts import run_facts
    from benchmnist.reports.terminal import Line
    from benchmnist.runs.index import size_of
    from benchmnist.runs.store import find_run, load_run

    path = find_run(run, out)
    result = load_run(path)
    console = results_console()
    from benchmnist.analysis.analysis import Analysis

    show_run(Analysis(result), console)
    asked = ", ".join(f"{k}={v}" for k, v in result.record.options.items() if v not in (None, "", False))
    for line in (run_facts(result), f"Asked for: {asked}", f"{path}: {size(size_of(path))}"):
        console.print(Line(line), soft_wrap=True)


@command.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=run_names)
@out_option
@yes_option
@debug_option
def remove(runs: tuple[str, ...], out: Path, *, yes: bool) -> None:
    """Delete runs with their folders."""
    from benchmnist.runs.store import find_run

    _remove([*dict.fromkeys(find_run(run, out, newest=False) for run in runs)], yes=yes)


@command.command("prune")
@option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the newest N runs of each suite.")
@option(
    "--older-than",
    type=Number(min=0, max=MOST_DAYS),
    metavar="DAYS",
    help="Delete only runs that started more than DAYS days ago.",
)
@option("--unfinished", is_flag=True, help="Delete only runs that did not complete.")
@option("--dry-run", is_flag=True, help="List the runs that would be deleted; delete nothing.")
@out_option
@yes_option
@debug_option
def prune(
    keep: int | None, older_than: float | None, out: Path, *, unfinished: bool, dry_run: bool, yes: bool
) -> None:
    """Delete the runs that match every filter."""
    from benchmnist.runs.index import stored_runs

    if keep is None and older_than is None and not unfinished:
        raise click.UsageError("pass --keep N, --older-than DAYS or --unfinished")
    since = datetime.now(UTC) - timedelta(days=older_than or 0)
    seen: dict[str, int] = {}
    going = []
    for run in stored_runs(out):
        rank = seen[run.suite] = seen.get(run.suite, 0) + 1
        if run.status == "running" or (keep is not None and rank <= keep):
            continue
        if older_than is not None and (run.started is None or datetime.fromisoformat(run.started) > since):
            continue
        if unfinished and run.status == "completed":
            continue
        going.append(run.path)
    if dry_run:
        for path in going:
            click.echo(visible(str(path)))
        return
    _remove(going, yes=yes)


def _remove(paths: Sequence[Path], *, yes: bool) -> None:
    from benchmnist.reports.columns import size
    from benchmnist.runs.index import remove_run, size_of

    if not paths:
        click.echo("nothing to remove", err=True)
        return
    if not yes:
        for path in paths:
            click.echo(visible(str(path)), err=True)
        click.confirm(f"Remove {len(paths)} {'run' if len(paths) == 1 else 'runs'}?", abort=True, err=True)
    for path in paths:
        freed = size_of(path)
        remove_run(path)
        click.echo(f"removed {visible(str(path))} ({size(freed)})")


def _list(runs: Sequence[StoredRun], out: Path) -> None:
    from benchmnist.cli.console import results_console
    from benchmnist.reports.columns import size
    from benchmnist.reports.terminal import Line, plain_table

    console = results_console()
    if not runs:
        console.print(Line(f"no runs in {out}"), soft_wrap=True)
        return
    table = plain_table(gap=2)
    columns: list[tuple[str, dict[str, Any]]] = [
        ("suite", {"overflow": "fold"}),
        ("run", {"no_wrap": True}),
        ("began (UTC)", {"no_wrap": True}),
        ("status", {}),
        ("cases", {"justify": "right"}),
        ("best, %", {"justify": "right"}),
        ("of", {"overflow": "fold"}),
        ("size", {"justify": "right", "no_wrap": True}),
    ]
    for title, how in columns:
        table.add_column(title, **how)
    for run in runs:
        style = "" if run.status in ("completed", "running") else "red"
        table.add_row(
            Line(run.suite),
            Line(run.path.name.rpartition("-")[2]),
            Line("–" if run.started is None else run.started[:16].replace("T", " ")),
            Line(run.status, style=style),
            f"{run.done}/{run.planned}",
            "–" if run.best is None else f"{run.best[0]:.2f}",
            Line("–" if run.best is None else run.best[1]),
            size(run.bytes),
        )
    console.print(table)
