"""Options of the commands: each has an environment variable, and a default in pyproject.toml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from benchmnist.cli.errors import Option
from benchmnist.errors import reason
from benchmnist.suites.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

DEBUG = "benchmnist.debug"
"""The key in a click context's `meta` that --debug sets."""


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
        if "\0" in str(value):
            self.fail(f"{shown(str(value))} cannot be a path: it has a NUL character", param, ctx)
        try:
            path = Path(value).expanduser()  # a shell does so, pyproject.toml and the environment do not
            exists = path.exists()
        except (OSError, ValueError, RuntimeError) as error:  # too long a name, or nobody's home
            self.fail(f"{shown(str(value))} cannot be a path: {reason(error)}", param, ctx)
        if not self.file_okay and exists and not path.is_dir():
            self.fail(f"{value} is a file; name a folder", param, ctx)
        if not self.dir_okay and path.is_dir():
            self.fail(f"{value} is a folder; name a file", param, ctx)
        if self.exists and not exists:
            self.fail(f"{value} does not exist", param, ctx)
        return super().convert(str(path) if str(value).startswith("~") else value, param, ctx)


class Number(click.FloatRange):
    """A number in a range, which NaN is in none of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click.ParamType."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("not a number", param, ctx)
        return number


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


def _out_of_group(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    """The --out of a command, or if only its group has one, that: `benchmnist runs --out FOLDER rm RUN`."""
    name, typed = str(param.name), ParameterSource.COMMANDLINE
    group = ctx.parent
    if group is None or group.get_parameter_source(name) != typed or ctx.get_parameter_source(name) == typed:
        return value
    found: Path = group.params[name]
    return found


def out_option(function: F) -> F:
    """--out: where runs are."""
    return option(
        "--out",
        default="runs",
        type=RunsFolder(file_okay=False, path_type=Path),
        callback=_out_of_group,
        help="Folder of the runs.  [default: the --out of `benchmnist run`, or runs]",
    )(function)


def suite_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Completes the names of the suites of the package, and files."""
    from benchmnist.suites.files import package_suites

    named = [CompletionItem(name) for name in package_suites() if name.startswith(incomplete)]
    return [*named, CompletionItem(incomplete, type="file")]


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


def _optimizers(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[str, ...] | None:
    """`mine,adam`; None if the suite's are left."""
    return None if value is None else listed(ctx, param, value)


def optimizers_option(function: F) -> F:
    """--optimizers: instead of the suite's."""
    return option(
        "--optimizers",
        type=click.UNPROCESSED,
        callback=_optimizers,
        any_toml=True,
        metavar="NAME,...",
        help="Override the suite's optimizers in all of its cases.",
    )(function)


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
