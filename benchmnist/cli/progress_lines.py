"""The lines of a display of progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.sensitivity import expected, sentences
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.reports.columns import mean_and_std
from benchmnist.suites.budgets import total_steps
from benchmnist.text import counted, decimals

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.analysis.summary import Summary
    from benchmnist.runs.results import EpochResult, Evaluation
    from benchmnist.suites.cases import Case
    from benchmnist.suites.plan import Plan


def before_training(plan: Plan, out: Path) -> list[str]:
    """Returns what a run must say first: named comparisons that -k leaves out, its looks, and what it can find.

    Args:
        plan: The cases.
        out: The folder of earlier runs, from which the spread of differences is known.
    """
    looks = plan.looks
    number = looks.number if looks else 1
    announced = [f"Looks at {looks} of each case. The intervals allow for {counted(number, 'look')}."]
    left_out = [f"note: {plan.left_out}"] if plan.left_out else []
    return [*left_out, *(announced if looks else []), *sentences(expected(plan.cases, out, looks), number)]


def evaluation_line(case: Case, seed: int, evaluation: Evaluation, per_epoch: int | None) -> str:
    """Formats an evaluation within an epoch in one line; `per_epoch` are the steps of a whole one, if known."""
    of = f" of {total_steps(case, per_epoch):,}" if per_epoch else ""
    figure = evaluation.metrics[case.primary.field]
    loss, tested = decimals(evaluation.train_loss, 4), f"{case.primary.name} {case.primary.text(figure)}"
    return f"seed {seed}, step {evaluation.step:,}{of}: loss {loss}, {tested}, {evaluation.seconds:.3g} s"


def epoch_line(case: Case, seed: int, result: EpochResult) -> str:
    """Formats an epoch in one line."""
    where = f"seed {seed}, epoch {result.epoch}/{case.epochs}"
    figure = result.figure(case.primary)
    tested = "diverged" if figure is None else f"{case.primary.name} {case.primary.text(figure)}"
    return f"{where}: loss {decimals(result.train_loss, 4)}, {tested}, {result.seconds:.3g} s"


def verdict_line(summary: Summary) -> str:
    """Formats a case in one line."""
    primary = summary.result.case.primary
    figure = summary.figures.get(primary.key)
    if figure is None:
        return summary.status
    shown = mean_and_std(primary.digits)(figure)
    seconds = summary.mean(EPOCH_SECONDS.key)
    return (
        f"{summary.status}: {primary.name} {f'{shown} {primary.unit}'.strip()}, {seconds:.3g} {EPOCH_SECONDS.name}"
    )
