"""Words that messages and tables share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """`1 case`, `1,200 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def alternatives(names: Iterable[str]) -> str:
    """`auto`, `auto or cpu`, `auto, cpu or cuda`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
