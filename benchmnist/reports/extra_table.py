"""A table as text, beside the comparison."""

from __future__ import annotations

from dataclasses import dataclass

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
