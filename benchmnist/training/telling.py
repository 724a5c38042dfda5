"""Tells of the evaluations within an epoch as they happen, a few times a second at most."""

from __future__ import annotations

from collections import deque
from time import perf_counter  # by its own name: a plugin may replace that of the module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmnist.runs.results import Evaluation

    Evaluations = tuple[tuple[int, Evaluation], ...]
    """Evaluations, each with the seed of its trial, in the order in which they were made."""

INTERVAL = 0.3
"""Seconds between two tellings, at least: each takes from the training of others what it takes."""

MOST = 50
"""Evaluations of a telling, at most: a large stack has thousands in that time."""


class Telling:
    """Collects evaluations, and passes the last of them on when enough time has passed since the last time.

    What has not been passed on comes with the result of the epoch.

    Args:
        tell: Receives the evaluations.
    """

    def __init__(self, tell: Callable[[Evaluations], None]) -> None:
        self.tell = tell
        self.untold: deque[tuple[int, Evaluation]] = deque(maxlen=MOST)
        self.last = perf_counter() - INTERVAL

    def begin(self) -> None:
        """Begins an epoch."""
        self.untold.clear()

    def add(self, evaluations: Iterable[tuple[int, Evaluation]]) -> None:
        """Adds evaluations, each with the seed of its trial."""
        self.untold.extend(evaluations)
        if self.untold and perf_counter() - self.last >= INTERVAL:
            told = tuple(self.untold)
            self.untold.clear()
            self.tell(told)
            self.last = perf_counter()
