"""A table besides the comparison, as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.runs.results import CaseResult, RunResult

NOTHING = "–"


@dataclass(frozen=True)
class ExtraTable:
    """A table as text.

    Attributes:
        title: Title of the table.
        heads: Titles of the columns.
        words: Number of leading columns that hold words, which are left-aligned.
        rows: Cells.
        about: Explanation of the figures.
    """

    title: str
    heads: tuple[str, ...]
    words: int
    rows: tuple[tuple[str, ...], ...]
    about: str

    def __post_init__(self) -> None:
        """Shows control characters, before anything measures the widths of columns."""
        for name in ("title", "about"):
            object.__setattr__(self, name, visible(getattr(self, name)))
        object.__setattr__(self, "heads", tuple(map(visible, self.heads)))
        object.__setattr__(self, "rows", tuple(tuple(map(visible, row)) for row in self.rows))


def namer(run: RunResult) -> Callable[[CaseResult], str]:
    """Returns a function that names a case: its id, without the dataset if the run has only one."""
    one = len({case.dataset.label for case in run.record.plan}) == 1
    return lambda result: (one and result.id.partition("/")[2]) or result.id
