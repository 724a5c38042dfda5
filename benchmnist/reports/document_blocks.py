"""Keeps a table in a document up to date: replaces the text between two comments, and nothing else.

    <!-- benchmnist:start -->
    <!-- benchmnist:end -->

A document may have several such blocks, each with a name of its own: `<!-- benchmnist:start speed -->` and
`<!-- benchmnist:end speed -->`. The first comment keeps the command that writes the block, with paths relative to
the document, so that `benchmnist docs` can repeat it: `<!-- benchmnist:start speed: report ../runs/quick -->`.
In reStructuredText the comments are `.. benchmnist:start speed` and `.. benchmnist:end speed`. Comments in fenced
code blocks are ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.errors import BenchmnistError, nearest
from benchmnist.runs.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORDS = r"benchmnist:(\w+)(?:\s+([\w.-]+))?(?::\s*(\S.*?))?"
MARKER = re.compile(rf"^[ \t]*<!--\s*{_WORDS}\s*-->\s*$")
MARKER_OF_RST = re.compile(rf"^\.\.\s+{_WORDS}\s*$")
RST = (".rst", ".rest")
"""Suffixes of files of reStructuredText."""
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")


def read_document(file: Path) -> str:
    """Reads a document, with its line ends.

    Raises:
        BenchmnistError: if it cannot be read, or is not text.
    """
    try:
        return read_file(file).decode()
    except UnicodeDecodeError as error:
        raise BenchmnistError(f"cannot read {file}: {error}") from error


class Block(NamedTuple):
    """A block of a document.

    Attributes:
        start, end: The lines of its comments, counted from 0.
        command: The command that writes it, without `benchmnist`; empty if the comment has none.
    """

    start: int
    end: int
    command: str


def blocks_of(text: str, file: Path) -> dict[str, Block]:
    """Returns the blocks of a document, by name.

    Raises:
        BenchmnistError: if its comments do not match; names the line.
    """
    return _blocks(text.splitlines(keepends=True), file)


def replaced(text: str, content: str, name: str, file: Path, command: str | None = None) -> str:
    """Returns the document with new content in a block; the unnamed block is called "".

    Args:
        text: The document.
        content: What the block is to hold.
        name: The name of the block.
        file: The file of the document.
        command: What its first comment is to keep; None leaves that as it is.

    Raises:
        BenchmnistError: if the block is missing or the comments do not match; names the line.
    """
    lines = text.splitlines(keepends=True)
    blocks = _blocks(lines, file)
    if name not in blocks:
        there = ", ".join(each or "one without a name" for each in blocks) or "none"
        near = nearest(name, filter(None, blocks))
        raise BenchmnistError(
            f"{file}: no line {_marker('start', name, file)}.{near} Blocks in the file: {there}. Add that line, "
            f"then {_marker('end', name, file)}, where the table should go"
        )
    start, end, kept = blocks[name]
    newline = "\r\n" if lines[start].endswith("\r\n") else "\n"
    inside = content.strip("\n").replace("\n", newline)
    # Blank lines: right under a comment, markdown takes a table for a part of it.
    first = lines[start]
    if command is not None and command != kept:
        indent = first[: len(first) - len(first.lstrip())]
        first = indent + _marker("start", name, file, command) + newline
    return "".join([*lines[:start], first, newline, inside, newline, newline, *lines[end:]])


def begun(name: str, file: Path) -> str:
    """Returns a document with an empty block, for a file that does not exist."""
    return f"{_marker('start', name, file)}\n{_marker('end', name, file)}\n"


def _blocks(lines: list[str], file: Path) -> dict[str, Block]:
    blocks: dict[str, Block] = {}
    begun: tuple[str, int, str] | None = None
    for number, word, name, command in _markers(lines, file):
        where = f"{file}:{number + 1}"
        if word == "start" and begun is None and name not in blocks:
            begun = name, number, command
        elif word == "end" and begun is not None and begun[0] == name:
            blocks[name] = Block(begun[1], number, begun[2])
            begun = None
        elif word == "start" and begun is None:
            marker = _marker("start", name, file)
            raise BenchmnistError(f"{where}: duplicate {marker}; give each block its own name")
        elif word == "start" and begun is not None:
            raise BenchmnistError(
                f"{where}: this block starts inside the block of line {begun[1] + 1}; "
                f"add {_marker('end', begun[0], file)} before it"
            )
        elif word == "end":
            raise BenchmnistError(
                f"{where}: this block has no start; add {_marker('start', name, file)} before it"
            )
        else:
            raise BenchmnistError(
                f"{where}: unknown comment benchmnist:{word}; use benchmnist:start or benchmnist:end"
            )
    if begun is not None:
        raise BenchmnistError(f"{file}:{begun[1] + 1}: the block has no end; add {_marker('end', begun[0], file)}")
    return blocks


def _markers(lines: list[str], file: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yields the line of each of our comments, counted from 0, with `start` or `end`, the name and the command."""
    marker, fence = MARKER_OF_RST if is_rst(file) else MARKER, ""
    inside = False  # what is replaced may be anything, fences that do not end among it
    for number, line in enumerate(lines):
        if found := None if fence else marker.match(line):
            yield number, found[1], found[2] or "", found[3] or ""
            inside = found[1] == "start"
        elif is_rst(file):
            continue
        elif (mark := None if inside else FENCE.match(line.rstrip("\r\n"))) and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""


def is_rst(file: Path) -> bool:
    """Tells whether a file has reStructuredText, by its name."""
    return file.suffix.lower() in RST


def _marker(word: str, name: str, file: Path, command: str = "") -> str:
    words = f"benchmnist:{word}{' ' if name else ''}{name}{': ' if command else ''}{command}"
    return f".. {words}" if is_rst(file) else f"<!-- {words} -->"
