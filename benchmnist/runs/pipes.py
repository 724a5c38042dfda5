"""Lines of data through a pipe whose other side may be anybody's by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST = 64 * 2**20
"""Maximum size of a line, in bytes."""
PIECE = 2**16
"""Number of bytes to read at once."""


def lines_of(read: Callable[[int], bytes | None], longest: int = LONGEST) -> Iterator[bytes]:
    """Yields the lines that `read` returns piece by piece, until it returns nothing. Half a line is none.

    Raises:
        ValueError: if a line is longer than it may be.
    """
    begun = bytearray()
    while piece := read(PIECE):
        *lines, rest = piece.split(b"\n")
        for line in lines:
            begun += line
            yield bytes(begun)
            begun.clear()
        begun += rest
        if len(begun) > longest:
            raise ValueError(f"more than {longest:,} bytes")


def write_all(write: Callable[[memoryview], int], content: bytes) -> None:
    """Writes the whole content: a pipe may take less of it at once.

    Raises:
        OSError: if nobody reads any more.
    """
    left = memoryview(content)
    while left:
        left = left[write(left) :]
