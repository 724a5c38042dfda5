"""Tells of the evaluations within an epoch as they happen, a few times a second at most."""

from __future__ import annotations

from time import perf_counter  # by its own name: a plugin may replace that of the module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmnist.runs.results import Evaluation

    Evaluations = tuple[tuple[int, Evaluation], ...]
    """Evaluations, each with the seed of its trial, in the order in which they were made."""

INTERVAL = 0.3
"""Seconds between two tellings, at least: each takes from the training of others what it takes."""


class Telling:
    """Collects evaluations, and passes them on when enough time has passed since the last time.

    What has not been passed on when the epoch ends comes with the result of the epoch.

    Args:
        tell: Receives the evaluations.
    """

    def __init__(self, tell: Callable[[Evaluations], None]) -> None:
        self.tell = tell
        self.untold: list[tuple[int, Evaluation]] = []
        self.last = perf_counter() - INTERVAL

    def begin(self) -> None:
        """Begins an epoch."""
        self.untold.clear()

    def add(self, evaluations: Iterable[tuple[int, Evaluation]]) -> None:
        """Adds evaluations, each with the seed of its trial."""
        self.untold += evaluations
        if self.untold and perf_counter() - self.last >= INTERVAL:
            told = tuple(self.untold)
            self.untold.clear()
            self.tell(told)
            self.last = perf_counter()
