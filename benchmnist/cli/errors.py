"""Errors of the command line: one red line on standard error, ours and click's alike.

Every contact with how click words its errors is here: `Told` overrides the documented `ClickException.show`,
`Group` the lookup of a command, `Option` the conversion of a value, and `in_words` translates the rest.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from benchmnist.errors import LONGEST_KEY, LONGEST_MESSAGE, closest, nearest
from benchmnist.suites.values import OPTION_SYNONYMS, not_this, shown
from benchmnist.text import alternatives, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

USAGE_ERROR = 2
SOURCES, RESOLVED = "benchmnist.sources", "benchmnist.resolved"
"""The keys in a click context's `meta` of where names are from that were not typed, and of the command."""
COMMAND_ALIASES = {
    **dict.fromkeys(("train", "test", "benchmark", "bench", "execute", "exec", "start", "resume"), "run"),
    **dict.fromkeys(("search", "optimize", "optimise", "sweep", "hpo"), "tune"),
    **dict.fromkeys(("list", "ls", "history", "results"), "runs"),
    **dict.fromkeys(("show", "view", "plot", "summary", "table"), "report"),
    **dict.fromkeys(("diff", "vs"), "compare"),
    **dict.fromkeys(("models", "optimizers", "datasets", "schedules", "executors", "plugin"), "plugins"),
    **dict.fromkeys(("rm", "remove", "delete"), "runs rm"),
    **dict.fromkeys(("new", "init", "create"), "new-plugin"),
    **dict.fromkeys(("info", "env", "diagnose"), "doctor"),
    "prune": "runs prune",
    **dict.fromkeys(("reproduce", "replicate", "audit", "rerun"), "verify"),
    "help": "--help",
    "version": "--version",
}
"""Words that people type for our commands."""
SUBCOMMAND_ALIASES = {
    **dict.fromkeys(("remove", "delete", "del"), "rm"),
    **dict.fromkeys(("clean", "gc", "purge"), "prune"),
    **dict.fromkeys(("view", "report", "info"), "show"),
}
OPTION_ALIASES = {
    **{f"--{name.replace('_', '-')}": f"--{option}" for name, option in OPTION_SYNONYMS.items()},
    **dict.fromkeys(("--dir", "--folder", "--runs"), "--out"),
    "--cpu": "--device",
    "--parallel": "--jobs",
    "--data": "--data-root",
    **dict.fromkeys(("--filter", "--select", "--only"), "--keyword"),
    **dict.fromkeys(("--continue", "--restart"), "--resume"),
    **dict.fromkeys(("--plan", "--list", "--collect-only"), "--dry-run"),
    "--seed": "--seeds",
    "--json": "--format",
    "--csv": "--format",
    "--markdown": "--format",
}
"""Words that people type for our options, where it is not near in spelling."""


def complain(message: str) -> None:
    """Prints one red line on standard error."""
    from benchmnist.cli.console import progress_console
    from benchmnist.reports.terminal import Line

    line = " ".join(part for part in map(str.strip, message.splitlines()) if part)
    progress_console().print(Line(f"error: {line}", style="red"), soft_wrap=True)


class Told(click.ClickException):
    """A usage error that click shows as one red line."""

    exit_code = USAGE_ERROR

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Prints the line."""
        complain(self.message)


class Group(click.Group):
    """A group that names the nearest command where it has no such one."""

    aliases = SUBCOMMAND_ALIASES

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Finds the command.

        Raises:
            click.UsageError: if the group has no such command; names the nearest.
        """
        name, known = args[0], self.list_commands(ctx)
        if name.startswith("-") or name in known:
            ctx.meta[RESOLVED] = f"{ctx.command_path} {name}"
            return super().resolve_command(ctx, args)
        if name.lower() in ("list", "ls") and self.invoke_without_command:
            raise click.UsageError(f"no command named {name!r}; `{ctx.command_path}` lists them", ctx)
        meant = self.aliases.get(name.lower()) or closest(name, known)
        hint = f" Did you mean `{ctx.command_path} {meant}`?" if meant else f" Choose from: {', '.join(known)}"
        raise click.UsageError(f"no command named {name!r}.{hint}", ctx)


class Option(click.Option):
    """An option that says which values it takes.

    Args:
        any_toml: Whether its callback checks what pyproject.toml has for it.
        only_typed: Whether pyproject.toml, which may be a stranger's, cannot set it: it overwrites files.
    """

    def __init__(self, *args: Any, any_toml: bool = False, only_typed: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.any_toml, self.only_typed = any_toml, only_typed

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Converts a value.

        Raises:
            click.BadParameter: if the option does not take it; says which it takes.
        """
        if ctx.get_parameter_source(str(self.name)) == ParameterSource.DEFAULT_MAP and (
            wrong := self._mistyped(value)
        ):
            raise click.BadParameter(wrong, ctx, self)
        self._remember_source(ctx, value)
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            takes = expected(self.type, value)
            raise click.BadParameter(takes, ctx, self) if takes else error from error

    def _remember_source(self, ctx: click.Context, value: Any) -> None:
        """Remembers where a name is from that was not typed, for an error that is raised later."""
        if source := _set_by(self, ctx):
            texts = value if isinstance(value, (list, tuple)) else [value]
            names = {name.strip() for text in texts if isinstance(text, str) for name in (text, *text.split(","))}
            ctx.meta.setdefault(SOURCES, {}).update(dict.fromkeys(names, f"{long_name(self)} ({source})"))

    def _mistyped(self, value: Any) -> str:
        """Says what is wrong with the type of a value in pyproject.toml; empty if nothing is.

        Click would convert it: 2.5 epochs to 2, and true jobs to 1.
        """
        if self.only_typed:
            return "cannot be set in a file; remove it there, and type it"
        if self.any_toml or (isinstance(value, str) and not self.multiple):
            return ""
        if isinstance(self.type, (click.types.IntParamType, click.types.FloatParamType)):
            whole = isinstance(self.type, click.types.IntParamType)
            right = type(value) is int or (type(value) is float and not whole)
            return "" if right else f"{expected(self.type, value).rpartition(', not ')[0]}, not {shown(value)}"
        if isinstance(self.type, click.types.BoolParamType):
            return "" if isinstance(value, bool) else not_this("true or false", value)
        if self.multiple or self.type is click.UNPROCESSED:
            texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
            instead = f"write [{shown(value)}]" if isinstance(value, str) else ""
            return "" if texts else not_this("a list of strings", value, instead)
        return not_this("a string", value)


def expected(kind: click.ParamType[Any], value: object) -> str:
    """Says which values a type takes, and that this is not one; empty for a type that says it itself."""
    if isinstance(kind, click.Choice):
        choices = [str(choice) for choice in kind.choices]
        said = f"must be {alternatives(choices)}, not {one_line(repr(value), LONGEST_KEY)}"
        return f"{said}.{nearest(str(value), choices)}".removesuffix(".")
    whole = isinstance(kind, click.types.IntParamType)
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        number = "a whole number" if whole else "a number"
        limits = _limits(kind)
        try:
            (int if whole else float)(str(value))
        except ValueError:
            return f"must be {number}{' ' if limits else ''}{limits}, not {value!r}"
        return f"must be {limits.removeprefix('of ')}, not {value}"
    if isinstance(kind, click.types.BoolParamType):
        return f"must be true or false, not {value!r}"
    return ""


def _limits(kind: click.ParamType[Any]) -> str:
    """The range of a number in words; empty where it has none."""
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    above = f"greater than {low:.15g}" if getattr(kind, "min_open", False) else None
    if low is not None and high is not None:
        most = f"{high:,}" if isinstance(high, int) else f"{high:.15g}"
        return f"{above} and at most {high:.15g}" if above else f"from {low:.15g} to {most}"
    if low is not None:
        return above or f"of at least {low:.15g}"
    return f"of at most {high:.15g}" if high is not None else ""


def in_words(error: click.ClickException, command: str = "benchmnist") -> str:
    """Says what is wrong and what to do, in one line; `command` was called, if the error does not say."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    see = f"see `{ctx.command_path if ctx else command} --help`"
    message = error.message.strip()
    if isinstance(error, click.MissingParameter):
        return f"missing {_parameter(error)}; {see}"
    if isinstance(error, click.NoSuchOption):
        return _no_option(error.option_name, ctx, see)
    if isinstance(error, click.BadOptionUsage):
        if "does not take a value" in message:
            return f"{error.option_name} takes no value; remove what follows the ="
        return f"{error.option_name} needs a value; {see}"
    if isinstance(error, click.BadParameter):
        return ": ".join(filter(None, (_parameter_label(error), one_line(_plain(message), LONGEST_MESSAGE))))
    if extra := re.search(r"unexpected extra arguments? \((.*)\)$", message):
        return f"unexpected argument {extra[1].split()[0]!r}; {see}"
    return message if isinstance(error, click.UsageError) else error.format_message()


def _plain(message: str) -> str:
    """Returns what click's own types say, as a part of a sentence."""
    return message if message.endswith("?") else message.removesuffix(".")


def _parameter(error: click.MissingParameter) -> str:
    """`argument SUITE`, `option --name`."""
    parameter = error.param
    if parameter is None:
        return str(error.param_hint or "an argument")
    name = long_name(parameter) if isinstance(parameter, click.Option) else parameter.human_readable_name
    return f"{parameter.param_type_name} {name.removesuffix('...').rpartition(' ')[2]}"


def _parameter_label(error: click.BadParameter) -> str:
    """The option or argument that has the value, and where the value is from."""
    parameter, ctx = error.param, error.ctx
    if error.param_hint is not None or parameter is None:
        return str(error.param_hint or "")
    if not isinstance(parameter, click.Option):
        return parameter.human_readable_name
    source = _set_by(parameter, ctx) if ctx else ""
    return f"{long_name(parameter)} ({source})" if source else long_name(parameter)


def _set_by(parameter: click.Parameter, ctx: click.Context) -> str:
    """Says where the value of an option is from; empty where it was typed, or is the default."""
    source = ctx.get_parameter_source(str(parameter.name))
    if source == ParameterSource.ENVIRONMENT:
        return f"set by {parameter.envvar or f'{ctx.auto_envvar_prefix}_{parameter.name}'.upper()}"
    return "set in pyproject.toml" if source == ParameterSource.DEFAULT_MAP else ""


def with_source(message: str, ctx: click.Context) -> str:
    """The message of an error, after the option that has the name that it is about, where that was not typed."""
    sources: dict[str, str] = ctx.meta.get(SOURCES, {})
    source = next((source for name, source in sources.items() if name and repr(name) in message), "")
    return f"{source}: {message}" if source else message


def long_name(parameter: click.Parameter) -> str:
    """Its longest spelling."""
    return max(parameter.opts, key=len)


def _no_option(name: str, ctx: click.Context | None, see: str) -> str:
    """An option that the command does not have: the nearest, or how else to say it."""
    what = f"no option named {name!r}"
    known = list(_options(ctx)) if ctx else []
    alias = OPTION_ALIASES.get(name)
    if "--set" in known and (assignment := _as_assignment(name)):
        return f"{what}. Did you mean `--set {assignment}`?"
    words = [option.removeprefix("--") for option in known if option.startswith("--")]
    near = closest(name.removeprefix("--"), words) if name.startswith("--") else ""
    meant = alias if alias in known else near and f"--{near}"
    return f"{what}. Did you mean {meant!r}?" if meant else f"{what}; {see}"


def _options(ctx: click.Context) -> Iterator[str]:
    """Every spelling of every option of the command."""
    for parameter in ctx.command.get_params(ctx):
        if isinstance(parameter, click.Option):
            yield from (*parameter.opts, *parameter.secondary_opts)


def _as_assignment(name: str) -> str:
    """Returns how `--set` says what was meant to be an option; empty where a suite has no such setting."""
    from benchmnist.suites.schema import Settings
    from benchmnist.suites.unknown_keys import OPTIMIZER_PARAMETERS

    key = name.removeprefix("--").replace("-", "_")
    if key in Settings.model_fields:
        return f"defaults.{key}=VALUE"
    return f"optimizers.NAME.{key}=VALUE" if key in OPTIMIZER_PARAMETERS else ""


@contextlib.contextmanager
def one_line_each(ctx: click.Context | None = None) -> Iterator[None]:
    """Within it each of click's errors becomes one that is shown as a red line; `ctx` is that of all commands."""
    try:
        yield
    except click.ClickException as error:
        if isinstance(error, (Told, click.exceptions.NoArgsIsHelpError)):  # the help is no error
            raise
        raise Told(in_words(error, ctx.meta.get(RESOLVED, "benchmnist") if ctx else "benchmnist")) from error
