"""What the commands' options have in common: an environment variable each, and defaults in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from benchmnist.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

DEBUG = "benchmnist.debug"
"""The key in a click context's `meta` that --debug sets."""


def option(*declarations: str, **attributes: Any) -> Callable[[F], F]:
    """Click's option, with the environment variable BENCHMNIST_<its long name>."""
    long = next(d for d in declarations if d.startswith("--")).removeprefix("--").partition("/")[0]
    attributes.setdefault("envvar", f"BENCHMNIST_{long.upper().replace('-', '_')}")
    return click.option(*declarations, show_envvar=True, **attributes)


def debug_option(function: F) -> F:
    """--debug: shows the traceback of an error."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[DEBUG] = value

    return option(
        "--debug", is_flag=True, expose_value=False, callback=remember, help="Show the traceback of an error."
    )(function)


def block_option(function: F) -> F:
    """--block: leaves plugins out."""

    def names(ctx: click.Context, param: click.Parameter, value: str | list[str]) -> tuple[str, ...]:
        if param.name and ctx.get_parameter_source(param.name) == ParameterSource.ENVIRONMENT:
            return ()  # the variable is read where plugins are found, so that it holds in pytest and in Python too
        listed = value.split(",") if isinstance(value, str) else value
        return tuple(name for name in map(str.strip, listed) if name)

    return option(
        "--block",
        default="",
        type=click.UNPROCESSED,
        callback=names,
        metavar="NAME,...",
        help="Leave plugins out, by their names or those of their distributions.",
    )(function)


def pyproject_defaults(group: click.Group, ctx: click.Context) -> dict[str, dict[str, Any]]:
    """[tool.benchmnist] of the nearest pyproject.toml, for each command the options that it has.

    Raises:
        click.UsageError: if a key is no option of any command, or the file is not TOML.
    """
    here = Path.cwd()
    file = next((f for folder in (here, *here.parents) if (f := folder / "pyproject.toml").is_file()), None)
    if file is None:
        return {}
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("benchmnist", {})
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: cannot be read: {error}") from error
    if not table:
        return {}
    given = {str(key).replace("_", "-"): value for key, value in table.items()}
    takes = {
        name: {_long(p): str(p.name) for p in command.params if isinstance(p, click.Option)}
        for name in group.list_commands(ctx)
        if (command := group.get_command(ctx, name))
    }
    known = {long for options in takes.values() for long in options}
    for key in given:
        if key not in known:
            raise click.UsageError(
                f"{file}: tool.benchmnist.{key}: unknown option.{nearest(key, known)} "
                f"There are: {', '.join(sorted(known))}"
            )
    return {
        command: {name: given[long] for long, name in options.items() if long in given}
        for command, options in takes.items()
    }


def _long(parameter: click.Option) -> str:
    """Its name as it is typed, without the dashes."""
    return next(opt for opt in parameter.opts if opt.startswith("--")).removeprefix("--")
