"""Options of the commands: each has an environment variable, and a default in pyproject.toml."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from benchmnist.cli.errors import Option, long_name
from benchmnist.errors import nearest
from benchmnist.suites.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

DEBUG = "benchmnist.debug"
"""The key in a click context's `meta` that --debug sets."""


RUN_OUT = "BENCHMNIST_RUN_OUT"
"""The folder that `benchmnist run` writes to; the commands that read runs look there, too."""


class NamedPath(click.Path):
    """Click's path, which takes an empty name for the current folder.

    See click.Path for the arguments.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.file_okay:
            self.name = "folder"  # which the help writes in capitals

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click.ParamType."""
        if value == "":
            self.fail("must not be empty", param, ctx)
        path = Path(value)
        try:
            exists = path.exists()
        except (OSError, ValueError) as error:  # longer than a name may be, or with a NUL
            self.fail(
                f"{shown(str(value))} cannot be a path: {getattr(error, 'strerror', None) or error}", param, ctx
            )
        if not self.file_okay and exists and not path.is_dir():
            self.fail(f"{value} is a file; name a folder", param, ctx)
        if not self.dir_okay and path.is_dir():
            self.fail(f"{value} is a folder; name a file", param, ctx)
        if self.exists and not exists:
            self.fail(f"{value} does not exist", param, ctx)
        return super().convert(value, param, ctx)


class RunsFolder(NamedPath):
    """The folder of the runs, of a command that reads them."""


def option(*declarations: str, **attributes: Any) -> Callable[[F], F]:
    """Click's option, with the environment variable BENCHMNIST_<its command>_<its name>.

    One that means the same in every command has an `envvar` for all of them instead.
    """
    return click.option(
        *declarations, cls=Option, show_envvar=True, allow_from_autoenv="envvar" not in attributes, **attributes
    )


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one, in that order."""

    def add(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return add


def data_root_option(function: F) -> F:
    """--data-root: where datasets are kept."""
    return option(
        "--data-root",
        envvar="BENCHMNIST_DATA",
        type=NamedPath(file_okay=False, path_type=Path),
        help="Folder to store datasets in.  [default: the user's cache folder]",
    )(function)


def offered(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completes the names of the installed `models`, `executors`, …."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
        from benchmnist.extensions.registry import find_plugins

        offers = getattr(find_plugins(), kind)
        return [offer.spec.name for offer in offers if offer.spec.name.startswith(incomplete)]

    return complete


def out_option(function: F) -> F:
    """--out: where runs are."""
    return option(
        "--out",
        default="runs",
        type=RunsFolder(file_okay=False, path_type=Path),
        help="Folder of the runs.  [default: the --out of `benchmnist run`, or runs]",
    )(function)


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Completes the names of the runs in `runs`, and of folders."""
    from benchmnist.runs.store import runs_in

    there = [run.name for run in runs_in(Path(ctx.params.get("out") or "runs"))]
    named = [CompletionItem(name) for name in there if name.startswith(incomplete)]
    return named or [CompletionItem(incomplete, type="dir")]


def listed(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[str, ...]:
    """`a,b` as names; pyproject.toml may have a list."""
    names = value.split(",") if isinstance(value, str) else value or ()
    found = tuple(name for name in (str(each).strip() for each in names) if name)
    if not found and ctx.get_parameter_source(str(param.name)) == ParameterSource.COMMANDLINE:
        raise click.BadParameter("must have at least one entry", ctx, param)
    if twice := next((name for at, name in enumerate(found) if name in found[:at]), ""):
        raise click.BadParameter(f"duplicate {twice!r}; remove one", ctx, param)
    return found


def debug_option(function: F) -> F:
    """--debug: shows the traceback of an error."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[DEBUG] = value

    return option(
        "--debug",
        envvar="BENCHMNIST_DEBUG",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Show the traceback of an error.",
    )(function)


def block_option(function: F) -> F:
    """--block: leaves plugins out."""

    def names(ctx: click.Context, param: click.Parameter, value: str | list[str]) -> tuple[str, ...]:  # noqa: ARG001
        listed = value.split(",") if isinstance(value, str) else value
        return tuple(name for name in map(str.strip, listed) if name)

    return option(
        "--block",
        envvar="BENCHMNIST_BLOCK",
        default="",
        type=click.UNPROCESSED,
        callback=names,
        metavar="NAME,...",
        help="Block plugins, by name or by distribution.",
    )(function)


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
    given = {_typed(key): value for key, value in table.items()}
    commands = group.list_commands(ctx)
    shared = {key: value for key, value in given.items() if key in SHARED and not isinstance(value, dict)}
    for key, value in given.items():
        if key in shared or (key in commands and isinstance(value, dict)):
            continue
        if key in commands:
            raise click.UsageError(f"{file}: tool.benchmnist.{key} must be a table; write [tool.benchmnist.{key}]")
        if owners := _commands_with(group, ctx, key):
            owner = "run" if "run" in owners else owners[0]
            raise click.UsageError(
                f"{file}: tool.benchmnist.{key}: belongs to a command; move it to [tool.benchmnist.{owner}]"
            )
        known = (*SHARED, *commands)
        raise click.UsageError(
            f"{file}: tool.benchmnist.{key}: unknown key.{nearest(key, known)} "
            f"Choose from: {', '.join(sorted(known))}"
        )
    defaults = _defaults(group, ctx, given, shared, f"{file}: tool.benchmnist")
    return _with_runs_folder(group, ctx, defaults)


def _table_in(file: Path) -> dict[str, Any]:
    """Reads [tool.benchmnist] of a pyproject.toml; empty where it has none."""
    text = ""
    try:
        text = file.read_text("utf-8")
        table = tomllib.loads(text).get("tool", {}).get("benchmnist", {})
    except tomllib.TOMLDecodeError as error:
        from benchmnist.suites.toml_slips import find_slip

        slip = find_slip(text, error)
        raise click.UsageError(f"{file}:{slip.line}: {slip.message}") from error
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise click.UsageError(f"{file}: tool.benchmnist must be a table")
    return table


def _typed(key: str) -> str:
    """A key of a table as it is typed on the command line."""
    return key.replace("_", "-")


def _defaults(
    group: click.Group, ctx: click.Context, tables: Mapping[str, Any], shared: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """For each command of a group its defaults, by the names of the parameters."""
    defaults: dict[str, Any] = {}
    for name in group.list_commands(ctx):
        command, table = group.get_command(ctx, name), tables.get(name, {})
        if command is None:
            continue
        if not isinstance(table, dict):
            raise click.UsageError(f"{where}.{name} must be a table")
        given = {_typed(key): value for key, value in table.items()}
        inner = command if isinstance(command, click.Group) else None
        takes = _options_of(command)
        if {*given} - {*takes} and name in WITH_EXECUTORS:
            from benchmnist.cli.executors import installed_options

            takes |= installed_options()
        within = inner.list_commands(ctx) if inner else []
        for key in given:
            if key not in takes and key not in within:
                known = (*takes, *within)
                raise click.UsageError(
                    f"{where}.{name}.{key}: unknown option.{nearest(key, known)} "
                    f"Choose from: {', '.join(sorted(known))}"
                )
        for_all = {_as_typed(p) for p in command.params if isinstance(p, click.Option) and p.envvar}
        mine = {key: value for key, value in shared.items() if key in for_all} | given
        defaults[name] = {takes[key]: value for key, value in mine.items() if key in takes} | (
            _defaults(inner, ctx, given, shared, f"{where}.{name}") if inner else {}
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
