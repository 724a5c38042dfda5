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
    help="Noise threshold: with 0.15, slower means that the whole interval is at least 15 % slower, and no change "
    "that the whole interval is within 15 %.",
)
@option("--markdown", is_flag=True, help="Print a Markdown summary for a pull request instead of a table.")
@debug_option
def command(baseline: Path, current: Path, *, threshold: float, markdown: bool) -> None:
    """Report the cases that became slower from BASELINE to CURRENT.

    Both are JSON files of pytest-benchmark (--benchmark-json). Exit codes: 0, no case is slower; 1, a case is
    slower; 3, no case is slower but some are inconclusive, because their rounds vary too much, or cannot be
    compared, such as timings from different machines.
    """
    from benchmnist.analysis.gate import compare_benchmarks, exit_code, load_benchmarks
    from benchmnist.cli.console import results_console
    from benchmnist.reports.gate import markdown_summary, rich_verdicts

    verdicts = compare_benchmarks(load_benchmarks(baseline), load_benchmarks(current), threshold=threshold)
    if markdown:
        click.echo(markdown_summary(verdicts, threshold), nl=False)
    else:
        results_console().print(rich_verdicts(verdicts))
    click.get_current_context().exit(exit_code(verdicts))
