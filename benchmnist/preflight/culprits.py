"""Finds the key of a suite that the words of an exception are about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from benchmnist.suites.cases import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.suites.cases import Component
    from benchmnist.suites.toml_lines import TomlPath

_SIZE = re.compile(r"(train_size|test_size|validation_size) = ")


def size_in(said: str) -> str:
    """Returns the setting that a DataError about too few examples begins with; empty for another."""
    size = _SIZE.match(said)
    return size[1] if size else ""


def culprit(table: TomlPath, component: Component, said: str, is_set: Callable[[TomlPath], bool]) -> TomlPath:
    """Returns the parameter that an exception is about: the only one whose value, or else whose name, it has.

    Args:
        table: The table of the suite that sets the parameters; it is returned where no parameter can be told.
        component: The component, with its parameters and groups.
        said: The words of the exception.
        is_set: Tells whether the suite has that very key.
    """
    places: list[tuple[TomlPath, str, Any]] = [
        (at, key, value) for key, value in component.params.items() for at in ((), ("sweep",))
    ]
    for index, group in enumerate(component.groups):
        places += [((GROUPS, index), key, value) for key, value in group.options.items()]
    found = ((key, value, (*table, *at, key)) for at, key, value in places)
    mine = [(key, value, path) for key, value, path in found if is_set(path)]
    for speaks_of in (
        lambda _, value: _has(said, value),
        lambda _, value: isinstance(value, list) and any(_has(said, entry) for entry in value),
        lambda key, _: re.search(rf"\b{re.escape(key.removesuffix('s'))}s?\b", said, re.IGNORECASE) is not None,
    ):
        named = [path for key, value, path in mine if speaks_of(key, value)]
        if len(named) == 1:
            return named[0]
    return table


def _has(said: str, value: object) -> bool:
    """Tells whether a text has a value, as a word of its own."""
    return re.search(rf"(?<![\w.]){re.escape(str(value))}(?!\w|\.\d)", said) is not None
