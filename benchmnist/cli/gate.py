"""`benchmnist gate BASELINE CURRENT`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from benchmnist.cli.options import NamedPath, Number, debug_option, option, out_option
from benchmnist.text import visible

if TYPE_CHECKING:
    from benchmnist.metrics import Metric


class Margin(NamedTuple):
    """A margin as it is typed: `0.2` or `5%`.

    Attributes:
        text: What was typed.
        value: The number; of a percentage, divided by 100.
        percent: Whether it is a percentage.
    """

    text: str
    value: float
    percent: bool

    def of(self, metric: Metric) -> float:
        """Returns the margin of a metric: a share if its values are compared by their ratio.

        Raises:
            click.UsageError: if it is a percentage of a metric that is compared by its difference, or the reverse.
        """
        if self.percent == metric.ratio:
            return self.value
        if metric.ratio:
            raise click.UsageError(f"--margin of {metric.key} must be a percentage, such as 5%, not {self.text!r}")
        number = f"{100 * self.value:g}" if metric.unit == "%" else "0.01"
        raise click.UsageError(
            f"--margin of {metric.key} must be a number of {metric.points}, such as {number}, not {self.text!r}"
        )


def _margin(ctx: click.Context, param: click.Parameter, value: Any) -> Margin | None:
    """Reads `0.2` and `5%`; pyproject.toml may have a number."""
    if value is None:
        return None
    text = str(value).strip()
    number = text.removesuffix("%").strip()
    try:
        found = math.nan if isinstance(value, bool) else float(number)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise click.BadParameter(f"must be a number above 0, such as 0.2 or 5%, not {text!r}", ctx, param)
    percent = number != text
    return Margin(text, found / 100 if percent else found, percent)


@click.command("gate")
@click.argument("baseline", type=NamedPath(path_type=Path))
@click.argument("current", type=NamedPath(path_type=Path))
@option(
    "--on",
    metavar="METRIC",
    help="Compare two runs by this metric, such as accuracy, test_loss or peak_memory: is CURRENT no worse than "
    "BASELINE by more than the margin?",
)
@option(
    "--margin",
    type=click.UNPROCESSED,
    callback=_margin,
    any_toml=True,
    metavar="NUMBER|PERCENT",
    help="Largest deterioration that counts as none: with --on accuracy in points, such as 0.2; with --on "
    "target_steps or peak_memory in percent, such as 5%.  [default: the suite's margin]",
)
@option(
    "--threshold",
    type=Number(min=0.0, max=10.0),
    default=0.15,
    show_default=True,
    help="Noise threshold: with 0.15, slower means that the whole interval is at least 15 % slower, and no change "
    "that the whole interval is within 15 %.",
)
@option("--markdown", is_flag=True, help="Print a Markdown summary for a pull request instead of a table.")
@out_option
@debug_option
def command(
    baseline: Path,
    current: Path,
    *,
    on: str | None,
    margin: Margin | None,
    threshold: float,
    markdown: bool,
    out: Path,
) -> None:
    """Report the cases that became slower from BASELINE to CURRENT.

    Both are JSON files of pytest-benchmark (--benchmark-json). Exit codes: 0, no case is slower; 1, a case is
    slower; 3, no case is slower but some are inconclusive, because their rounds vary too much, or cannot be
    compared, such as timings from different machines.

    With --on, both are runs, and their cases are compared seed by seed. Exit codes: 0, every case learns the same,
    or its memory is within the margin; 1, a case is worse, or lost seeds; 3, no case is worse, but some are
    inconclusive or cannot be compared.
    """
    ctx = click.get_current_context()
    typed = {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}
    alone = "margin" if on is None else "threshold"
    if ctx.get_parameter_source(alone) in typed:
        raise click.UsageError(
            "--margin needs --on METRIC" if on is None else "--threshold is for times; with --on, pass --margin"
        )
    if on is not None:
        _gate_runs(ctx, baseline, current, on=on, margin=margin, out=out, markdown=markdown)
    else:
        _gate_files(ctx, baseline, current, threshold, markdown=markdown)


def _gate_files(ctx: click.Context, baseline: Path, current: Path, threshold: float, *, markdown: bool) -> None:
    from benchmnist.analysis.gate import (
        ONLY_BASELINE,
        ONLY_CURRENT,
        compare_benchmarks,
        exit_code,
        load_benchmarks,
    )
    from benchmnist.cli.console import results_console
    from benchmnist.reports.escaping import heading
    from benchmnist.reports.gate import markdown_summary, rich_verdicts

    verdicts = compare_benchmarks(load_benchmarks(baseline), load_benchmarks(current), threshold=threshold)
    if {verdict.reason for verdict in verdicts} == {ONLY_BASELINE, ONLY_CURRENT}:
        cases = ", ".join(verdict.name for verdict in verdicts if verdict.reason == ONLY_CURRENT)
        line = f"nothing to compare: no case of {baseline} is in {current}, which has {cases}"
        click.echo(heading(3, f"Training throughput: {line}") if markdown else visible(line))
    elif markdown:
        click.echo(markdown_summary(verdicts, threshold), nl=False)
    else:
        results_console().print(rich_verdicts(verdicts))
    ctx.exit(exit_code(verdicts))


def _gate_runs(
    ctx: click.Context, baseline: Path, current: Path, *, on: str, margin: Margin | None, out: Path, markdown: bool
) -> None:
    from benchmnist.analysis.non_inferiority import exit_code, gated_metric, non_inferior
    from benchmnist.cli.console import results_console
    from benchmnist.reports.non_inferiority import markdown_non_inferiority, rich_non_inferiority
    from benchmnist.runs.store import find_run, load_run

    before, now = (load_run(find_run(run, out)) for run in (baseline, current))
    metric = gated_metric((before, now), on)
    verdicts = non_inferior(before, now, metric, None if margin is None else margin.of(metric))
    if markdown:
        click.echo(markdown_non_inferiority(verdicts, (before, now)), nl=False)
    else:
        results_console().print(rich_non_inferiority(verdicts, (before, now)))
    ctx.exit(exit_code(verdicts))
