"""The way to the terminal: everything that is printed is a Line, Lines, or a string on one of these consoles.

What a title, a path or an error says is printed as it is: brackets and colons in it are no markup, and its control
characters are shown.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import rich.console
import rich.text
from rich.table import Table

from benchmnist.text import visible

if TYPE_CHECKING:
    from rich.style import Style


class Line(rich.text.Text):
    """Text in one line; see rich's Text for the arguments."""

    lines = False
    """True keeps line breaks."""

    def __init__(self, text: str = "", style: str | Style = "", **options: Any) -> None:
        super().__init__(visible(text, lines=self.lines), style, **options)

    def append(self, text: rich.text.Text | str, style: str | Style | None = None) -> Self:
        """See rich's Text."""
        super().append(visible(text, lines=self.lines) if isinstance(text, str) else text, style)
        return self


class Lines(Line):
    """Text in several lines."""

    lines = True


SIZES, MANY_DIGITS = ("COLUMNS", "LINES"), 10
LEAST_WIDTH, LEAST_HEIGHT = 20, 4
"""The smallest terminal that is believed, in characters."""


class Console(rich.console.Console):
    """A console without markup, highlighting and emoji codes; see rich's Console for the arguments."""

    def __init__(self, **options: Any) -> None:
        # rich would read any number.
        given = {
            name: value for name, value in os.environ.items() if name not in SIZES or len(value) < MANY_DIGITS
        }
        super().__init__(highlight=False, markup=False, emoji=False, _environ=given, **options)
        if self.width < LEAST_WIDTH:  # nothing can be read then, and COLUMNS=0 means that nobody knows
            self.width = LEAST_WIDTH if self.width else 80
        if self.height < LEAST_HEIGHT:
            self.height = 25

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        """See rich's Console."""
        return super().render_str(visible(text, lines=True), **options)


def plain_table(*heads: str, gap: int = 1, **options: Any) -> Table:
    """A table of rich without lines, its columns `gap` characters apart; `options` are rich's."""
    return Table(*heads, box=None, padding=(0, gap, 0, 0), pad_edge=False, **options)
