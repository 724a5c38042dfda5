"""[tool.benchmnist] of pyproject.toml: defaults of the options, which say themselves what values they take."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from benchmnist.cli.errors import long_name
from benchmnist.cli.options import RunsFolder
from benchmnist.errors import LONGEST_KEY, LONGEST_MESSAGE, nearest
from benchmnist.suites.values import shown
from benchmnist.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUN_OUT = "BENCHMNIST_RUN_OUT"
"""The folder that `benchmnist run` writes to; the commands that read runs look there, too."""
SHARED = ("device", "data-root", "block", "debug")
"""Options that mean the same in every command: they may be in [tool.benchmnist] itself."""


def pyproject_defaults(group: click.Group, ctx: click.Context) -> dict[str, Any]:
    """[tool.benchmnist.COMMAND] of the nearest pyproject.toml, and what [tool.benchmnist] has for all commands.

    Raises:
        click.UsageError: if a key is no option of its command, or the file is not TOML.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise click.UsageError("the current folder was deleted; change to another one") from error
    file = next((f for folder in (here, *here.parents) if (f := folder / "pyproject.toml").is_file()), None)
    if file is None:
        return _with_runs_folder(group, ctx, {})
    table = _table_in(file)
    if not table:  # no command need be imported to know its options
        return _with_runs_folder(group, ctx, {})
    place = _Place(file, "tool.benchmnist")
    given = {_typed(key): value for key, value in table.items()}
    commands = group.list_commands(ctx)
    shared = {key: value for key, value in given.items() if key in SHARED and not isinstance(value, dict)}
    for key, value in given.items():
        if key in shared or (key in commands and isinstance(value, dict)):
            continue
        if key in commands:
            raise place.wrong(f"must be a table, not {shown(value)}; write [tool.benchmnist.{key}]", key)
        if owners := _commands_with(group, ctx, key):
            owner = "run" if "run" in owners else owners[0]
            raise place.wrong(f"belongs to a command; move it to [tool.benchmnist.{owner}]", key)
        raise place.unknown("key", key, (*SHARED, *commands))
    defaults = _defaults(group, ctx, given, shared, place)
    return _with_runs_folder(group, ctx, defaults)


class _Place(NamedTuple):
    """A table in a pyproject.toml: the file, and the keys that lead to it."""

    file: Path
    keys: str

    def wrong(self, message: str, key: str = "") -> click.UsageError:
        """Returns the error that a key, or the table itself, has something wrong."""
        where = one_line(f"{self.keys}.{key}" if key else self.keys, LONGEST_KEY)
        return click.UsageError(f"{self.file}: {where}: {one_line(message, LONGEST_MESSAGE)}")

    def unknown(self, what: str, key: str, known: Iterable[str]) -> click.UsageError:
        """Returns the error that a table has an unknown key; names the nearest."""
        names = sorted(known)
        return self.wrong(f"unknown {what}.{nearest(key, names)} Choose from: {', '.join(names)}", key)


def _table_in(file: Path) -> dict[str, Any]:
    """Reads [tool.benchmnist] of a pyproject.toml; empty where it has none."""
    from benchmnist.suites.toml_statements import load_toml

    text = ""
    try:
        text = file.read_text("utf-8-sig")
        table: Any = load_toml(text)
    except tomllib.TOMLDecodeError as error:
        from benchmnist.suites.toml_slips import find_slip

        slip = find_slip(text, error)
        raise click.UsageError(f"{file}:{slip.line}: {one_line(slip.message, LONGEST_MESSAGE)}") from error
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: cannot be read: {error}") from error
    for keys in ("tool", "tool.benchmnist"):
        table = table.get(keys.rpartition(".")[2], {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict):
            raise _Place(file, keys).wrong(f"must be a table, not {shown(table)}; write [tool.benchmnist]")
    found: dict[str, Any] = table
    return found


def _typed(key: str) -> str:
    """A key of a table as it is typed on the command line."""
    return key.replace("_", "-")


def _defaults(
    group: click.Group, ctx: click.Context, tables: Mapping[str, Any], shared: Mapping[str, Any], place: _Place
) -> dict[str, Any]:
    """For each command of a group its defaults, by the names of the parameters."""
    defaults: dict[str, Any] = {}
    for name in group.list_commands(ctx):
        command, table = group.get_command(ctx, name), tables.get(name, {})
        if command is None:
            continue
        if not isinstance(table, dict):
            raise place.wrong(f"must be a table, not {shown(table)}; write [{place.keys}.{name}]", name)
        inside = _Place(place.file, f"{place.keys}.{name}")
        given = {_typed(key): value for key, value in table.items()}
        inner = command if isinstance(command, click.Group) else None
        takes = _options_of(command)
        if {*given} - {*takes} and name in WITH_EXECUTORS:
            from benchmnist.cli.executors import installed_options

            takes |= installed_options()
        within = inner.list_commands(ctx) if inner else []
        for key in given:
            if key not in takes and key not in within:
                raise inside.unknown("option", key, (*takes, *within))
        for_all = {_as_typed(p) for p in command.params if isinstance(p, click.Option) and p.envvar}
        mine = {key: value for key, value in shared.items() if key in for_all} | given
        defaults[name] = {takes[key]: value for key, value in mine.items() if key in takes} | (
            _defaults(inner, ctx, given, shared, inside) if inner else {}
        )
    return defaults


WITH_EXECUTORS = ("run", "tune")
"""Commands that have the options of the executors, too."""


def _with_runs_folder(group: click.Group, ctx: click.Context, defaults: dict[str, Any]) -> dict[str, Any]:
    """The same, and the commands that read runs look where `run` writes them."""
    folder = os.environ.get(RUN_OUT) or defaults.get("run", {}).get("out")
    if folder is None:
        return defaults

    def fill(within: click.Group, found: dict[str, Any]) -> None:
        for name in within.list_commands(ctx):
            command, own = within.get_command(ctx, name), found.setdefault(name, {})
            for parameter in command.params if command is not None else ():
                if isinstance(parameter.type, RunsFolder):
                    own.setdefault(str(parameter.name), folder)
            if isinstance(command, click.Group):
                fill(command, own)

    fill(group, defaults)
    return defaults


def _options_of(command: click.Command) -> dict[str, str]:
    """The options of a command as they are typed, without dashes, each with the name of its parameter."""
    return {_as_typed(p): str(p.name) for p in command.params if isinstance(p, click.Option)}


def _commands_with(group: click.Group, ctx: click.Context, key: str) -> list[str]:
    """The commands that have an option of that name."""
    named = [(name, group.get_command(ctx, name)) for name in group.list_commands(ctx)]
    found = [name for name, command in named if command is not None and key in _options_of(command)]
    if not found:
        from benchmnist.cli.executors import installed_options

        found = ["run"] if key in installed_options() else []
    return found


def _as_typed(parameter: click.Option) -> str:
    """Its name as it is typed, without the dashes."""
    return long_name(parameter).removeprefix("--")
