"""`benchmnist gate BASELINE CURRENT`."""

from __future__ import annotations

from pathlib import Path

import click

from benchmnist.cli.options import NamedPath, debug_option, option


@click.command("gate")
@click.argument("baseline", type=NamedPath(path_type=Path))
@click.argument("current", type=NamedPath(path_type=Path))
@option(
    "--threshold",
    type=click.FloatRange(min=0.0, max=10.0),
    default=0.15,
    show_default=True,
    help="The noise threshold: 0.15 calls nothing slower that may be less than 15 % slower.",
)
@option("--markdown", is_flag=True, help="A summary for a pull request instead of a table for a terminal.")
@debug_option
def command(baseline: Path, current: Path, *, threshold: float, markdown: bool) -> None:
    """Say which cases became slower from BASELINE to CURRENT.

    Both are files of pytest-benchmark's (--benchmark-json). Exit code 1: a case is slower. 3: none is, but some
    cannot be compared, as on another machine. 0: all fine.
    """
    from benchmnist.analysis.gate import exit_code, judge, load_benchmarks
    from benchmnist.cli.console import results_console
    from benchmnist.reports.gate import markdown_summary, rich_verdicts

    verdicts = judge(load_benchmarks(baseline), load_benchmarks(current), threshold=threshold)
    if markdown:
        click.echo(markdown_summary(verdicts, threshold), nl=False)
    else:
        results_console().print(rich_verdicts(verdicts))
    click.get_current_context().exit(exit_code(verdicts))
