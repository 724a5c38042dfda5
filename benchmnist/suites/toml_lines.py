"""Finds the lines on which the tables and keys of a TOML text begin."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from benchmnist.errors import Problem
from benchmnist.suites.toml_statements import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TomlPath = tuple[str | int, ...]
"""The keys and indices that lead to a value, `("cases", 0, "epochs")`."""


def problem_at(
    message: str, path: TomlPath, file: str, lines: Mapping[TomlPath, int], assigned: Mapping[TomlPath, str]
) -> Problem:
    """A problem at `path`: in what overrides it, or on the line of the longest part of it that is in the file."""
    for n in range(len(path), 0, -1):
        if path[:n] in assigned:
            return Problem(message, f"--set {assigned[path[:n]]}")
    if path not in lines and (
        within := next((text for at, text in assigned.items() if at[: len(path)] == path), "")
    ):
        return Problem(message, f"--set {within}")  # which made the table there
    begun = (lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines)
    line = next(begun, 1 if lines else None)  # what the file lacks altogether is missing from its first line on
    return Problem(message, file, line, ".".join(part for part in path if isinstance(part, str)))


def line_numbers(text: str) -> dict[TomlPath, int]:
    """Returns the line of each table and key of a TOML text, counted from 1: `("cases", 0, "epochs")` -> 12.

    tomllib does not say. But a header by itself is TOML, and so is one `key = value`: each is read by itself.
    """
    lines: dict[TomlPath, int] = {}
    arrays: dict[TomlPath, int] = {}  # how many [[tables]] each array has so far
    table: TomlPath = ()
    for begun, _, gathered in statements(text):
        try:
            statement = tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        if gathered.lstrip().startswith("["):
            names = tuple(_header(statement))
            if gathered.lstrip().startswith("[["):
                inside = _resolve(names[:-1], arrays)
                array = (*inside, names[-1])
                arrays[array] = arrays.get(array, 0) + 1
                table = (*array, arrays[array] - 1)
            else:
                table = _resolve(names, arrays)
            paths = [table[:n] for n in range(1, len(table) + 1)]
        else:
            paths = [table + key for key in _keys(statement)]
        for path in paths:
            lines.setdefault(path, begun)
    return lines


def _header(statement: Mapping[str, Any]) -> Iterator[str]:
    """The names in a header that was read by itself: {"a": {"b": {}}} is [a.b], {"a": [{}]} is [[a]]."""
    while statement:
        ((name, inner),) = statement.items()
        yield name
        statement = inner[0] if isinstance(inner, list) else inner


def _resolve(names: Sequence[str], arrays: Mapping[TomlPath, int]) -> TomlPath:
    """The path of a header: a name that is an array of tables stands for the last of them."""
    path: TomlPath = ()
    for name in names:
        path = (*path, name)
        if path in arrays:
            path = (*path, arrays[path] - 1)
    return path


def _keys(statement: Mapping[str, Any]) -> Iterator[TomlPath]:
    """The paths in one `key = value`, which may be dotted or have an inline table."""
    for key, value in statement.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *rest) for rest in _keys(value))
