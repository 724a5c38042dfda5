"""A table besides the comparison, as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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


def namer(run: RunResult) -> Callable[[CaseResult], str]:
    """Returns a function that names a case: its id, without the dataset if the run has only one."""
    one = len({case.dataset.label for case in run.record.plan}) == 1
    return lambda result: result.id.split("/", 1)[1] if one else result.id
