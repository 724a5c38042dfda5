"""What the commands' options have in common: an environment variable each, and defaults in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from benchmnist.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

DEBUG = "benchmnist.debug"
"""The key in a click context's `meta` that --debug sets."""


class NamedPath(click.Path):
    """Click's path, which takes an empty name for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click.ParamType."""
        if value == "":
            self.fail("a name must not be empty", param, ctx)
        return super().convert(value, param, ctx)


def option(*declarations: str, **attributes: Any) -> Callable[[F], F]:
    """Click's option, with the environment variable BENCHMNIST_<its long name>."""
    long = next(d for d in declarations if d.startswith("--")).removeprefix("--").partition("/")[0]
    attributes.setdefault("envvar", f"BENCHMNIST_{long.upper().replace('-', '_')}")
    return click.option(*declarations, show_envvar=True, **attributes)


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
        type=NamedPath(path_type=Path),
        help="The folder to keep datasets in.  [default: the user's cache folder]",
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
        "--out", default="runs", show_default=True, type=NamedPath(path_type=Path), help="The folder of the runs."
    )(function)


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Completes the names of the runs in `runs`, and of folders."""
    from benchmnist.runs.store import runs_in

    there = [run.name for run in runs_in(Path(ctx.params.get("out") or "runs"))]
    named = [CompletionItem(name) for name in there if name.startswith(incomplete)]
    return named or [CompletionItem(incomplete, type="dir")]


def listed(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[str, ...]:  # noqa: ARG001
    """`a,b` as names; pyproject.toml may have a list."""
    names = value.split(",") if isinstance(value, str) else value or ()
    return tuple(name for name in (str(each).strip() for each in names) if name)


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


def pyproject_defaults(group: click.Group, ctx: click.Context) -> dict[str, Any]:
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
    known: set[str] = set()
    defaults = _defaults(group, ctx, given, known)
    if {*given} - known:
        from benchmnist.cli.executors import installed_options

        for key, parameter in installed_options().items():
            known.add(key)
            defaults["run"] |= {parameter: given[key]} if key in given else {}
    for key in given:
        if key not in known:
            raise click.UsageError(
                f"{file}: tool.benchmnist.{key}: unknown option.{nearest(key, known)} "
                f"There are: {', '.join(sorted(known))}"
            )
    return defaults


def _defaults(group: click.Group, ctx: click.Context, given: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """For each command of a group the options that are given, and those of its own commands; `known` are all."""
    defaults: dict[str, Any] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None:
            continue
        takes = {_long(p): str(p.name) for p in command.params if isinstance(p, click.Option)}
        known |= {*takes}
        defaults[name] = {option: given[long] for long, option in takes.items() if long in given}
        if isinstance(command, click.Group):
            defaults[name] |= _defaults(command, ctx, given, known)
    return defaults


def _long(parameter: click.Option) -> str:
    """Its name as it is typed, without the dashes."""
    return next(opt for opt in parameter.opts if opt.startswith("--")).removeprefix("--")
