"""Words that messages and tables share."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 case`, `1,200 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
