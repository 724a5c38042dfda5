"""`--set optimizers.adam.lr=0.01`: values that override those of a suite, typed as TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.suites.toml_slips import why_no_value
from benchmnist.suites.toml_statements import load_toml

if TYPE_CHECKING:
    from benchmnist.suites.toml_lines import TomlPath


@dataclass(frozen=True)
class Assignment:
    """One value of a suite that is overridden.

    Attributes:
        path: Its path in the TOML, `("optimizers", "adam", "lr")`; `("cases", "0", "epochs")` is in the first of
            [[cases]].
        value: The value.
    """

    path: tuple[str, ...]
    value: Any


def parse_assignment(text: str) -> Assignment:
    """Reads `KEY=VALUE`, the key dotted and the value as in TOML.

    Raises:
        ValueError: if it is no such thing.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError("must be KEY=VALUE, such as optimizers.adam.lr=0.01")
    path = _keys(key.strip())
    if not key.strip():
        raise ValueError("missing key before the =; write KEY=VALUE, such as optimizers.adam.lr=0.01")
    if not path:
        raise ValueError(f"{key.strip()!r} is not a dotted key, such as optimizers.adam.lr")
    try:
        read = load_toml(f"value = {value}")
    except tomllib.TOMLDecodeError as error:
        why = why_no_value(key.strip(), value.strip(), error)
        raise ValueError(f"{value.strip()!r} is not a TOML value; {why}") from None
    if [*read] != ["value"]:
        raise ValueError("must have one value; pass --set once for each key")
    return Assignment(path, read["value"])


def _keys(dotted: str) -> tuple[str, ...]:
    """`optimizers.adam.lr`, its parts; empty where TOML has no such key."""
    try:
        table: Any = load_toml(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:  # more than one line
            return ()
        (key,) = table
        path.append(key)
        table = table[key]
    return tuple(path)


def assign(raw: dict[str, Any], assignment: Assignment) -> TomlPath:
    """Writes the value into a suite as TOML has it; tables on the way are made. Returns where it is.

    Raises:
        ValueError: if the way leads through what is no table, or to [[cases]] that the suite does not have.
    """
    at: Any = raw
    path: list[str | int] = []
    for part in assignment.path[:-1]:
        step = _step(at, part, path)
        path.append(step)
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    last = _step(at, assignment.path[-1], path)
    at[last] = assignment.value
    return (*path, last)


def _step(at: Any, part: str, path: list[str | int]) -> str | int:
    """The key, or the index in a list, that a part of a path leads to from `at`."""
    here = ".".join(map(str, path))
    if isinstance(at, dict):
        return part
    if not isinstance(at, list):
        raise ValueError(f"{here} is not a table")  # noqa: TRY004 - what was typed is wrong, no type of ours
    if not part.isdecimal() or int(part) >= len(at):
        last = f" to {here}.{len(at) - 1}" if len(at) > 1 else ""
        count = "1 entry" if len(at) == 1 else f"{len(at)} entries"
        raise ValueError(f"{here} has {count}, {here}.0{last}, and no {here}.{part}")
    return int(part)
