"""Follows from the figures of a trial whether it has ended, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.suites.budgets import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.runs.results import EpochResult
    from benchmnist.suites.budgets import Ended
    from benchmnist.suites.cases import Case


def ending_of(case: Case, epochs: Sequence[EpochResult]) -> Ended | None:
    """Returns why a trial that did not diverge has ended with these epochs; None if it was to go on.

    Args:
        case: Its case, with its number of epochs.
        epochs: Its epochs so far, in their order.
    """
    found = [*_endings(case, epochs)]
    if found and found[-1]:
        return found[-1]
    return "budget" if len(epochs) == case.epochs else None


def goes_beyond(case: Case, epochs: Sequence[EpochResult]) -> bool:
    """Tells whether a trial goes on after an evaluation that ends it."""
    return any([*_endings(case, epochs)][:-1])


def _endings(case: Case, epochs: Sequence[EpochResult]) -> Iterator[Ended | None]:
    """Yields for each evaluation whether the trial ends after it, and why; none where only its steps end it."""
    if not case.ends_early and case.seconds is None:
        return
    ending, seconds = Ending(case), 0.0
    for epoch in epochs:
        for evaluation in epoch.evaluations:
            yield ending.after(evaluation.seconds, evaluation.metrics)
        seconds += epoch.seconds
        if not epoch.evaluations:
            yield ending.after(seconds, epoch.metrics)
