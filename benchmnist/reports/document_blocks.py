"""Keeps a table in a document up to date: replaces the text between two comments, and nothing else.

    <!-- benchmnist:start -->
    <!-- benchmnist:end -->

A document may have several such blocks, each with a name of its own: `<!-- benchmnist:start speed -->` and
`<!-- benchmnist:end speed -->`. Comments in fenced code blocks are ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmnist.errors import BenchmnistError, nearest
from benchmnist.runs.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKER = re.compile(r"^[ \t]*<!--\s*benchmnist:(\w+)(?:\s+([\w.-]+))?\s*-->\s*$")
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


def replaced(text: str, content: str, name: str, file: Path) -> str:
    """Returns the document with new content in a block; the unnamed block is called "".

    Raises:
        BenchmnistError: if the block is missing or the comments do not match; names the line.
    """
    lines = text.splitlines(keepends=True)
    blocks = _blocks(lines, file)
    if name not in blocks:
        there = ", ".join(each or "one without a name" for each in blocks) or "none"
        near = nearest(name, filter(None, blocks))
        raise BenchmnistError(
            f"{file}: no line {_marker('start', name)}.{near} Blocks in the file: {there}. Add that line, then "
            f"{_marker('end', name)}, where the table should go"
        )
    start, end = blocks[name]
    newline = "\r\n" if lines[start].endswith("\r\n") else "\n"
    inside = content.strip("\n").replace("\n", newline)
    # Blank lines: right under a comment, markdown takes a table for a part of it.
    return "".join([*lines[: start + 1], newline, inside, newline, newline, *lines[end:]])


def _blocks(lines: list[str], file: Path) -> dict[str, tuple[int, int]]:
    """Returns the lines of both comments of each block, counted from 0, by name."""
    blocks: dict[str, tuple[int, int]] = {}
    begun: tuple[str, int] | None = None
    for number, word, name in _markers(lines):
        where = f"{file}:{number + 1}"
        if word == "start" and begun is None and name not in blocks:
            begun = name, number
        elif word == "end" and begun is not None and begun[0] == name:
            blocks[name] = begun[1], number
            begun = None
        elif word == "start" and begun is None:
            marker = _marker("start", name)
            raise BenchmnistError(f"{where}: duplicate {marker}; give each block its own name")
        elif word == "start" and begun is not None:
            raise BenchmnistError(
                f"{where}: this block starts inside the block of line {begun[1] + 1}; "
                f"add {_marker('end', begun[0])} before it"
            )
        elif word == "end":
            raise BenchmnistError(f"{where}: this block has no start; add {_marker('start', name)} before it")
        else:
            raise BenchmnistError(
                f"{where}: unknown comment benchmnist:{word}; use benchmnist:start or benchmnist:end"
            )
    if begun is not None:
        raise BenchmnistError(f"{file}:{begun[1] + 1}: the block has no end; add {_marker('end', begun[0])}")
    return blocks


def _markers(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yields the line of each of our comments, counted from 0, with `start` or `end` and the name."""
    fence = ""
    inside = False  # what is replaced may be anything, fences that do not end among it
    for number, line in enumerate(lines):
        if found := None if fence else MARKER.match(line):
            yield number, found[1], found[2] or ""
            inside = found[1] == "start"
        elif (mark := None if inside else FENCE.match(line.rstrip("\r\n"))) and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""


def _marker(word: str, name: str) -> str:
    return f"<!-- benchmnist:{word}{' ' if name else ''}{name} -->"
