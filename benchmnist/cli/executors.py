"""The options that executors bring along: those of the executor that is chosen are options of `benchmnist run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.errors import Option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmnist.extensions.specs import ExecutorSpec

BUILTIN = ("inline", "local")
"""They have no options: nothing need be loaded to know them."""
ADDED = "benchmnist.executor-options"
"""The key in a click context's `meta` of the options that were added."""


class RunCommand(click.Command):
    """A command with an option `--executor`, and the options of the executor that it names."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters and those that were added."""
        own = super().get_params(ctx)
        return [*own[:-1], *ctx.meta.get(ADDED, []), *own[-1:]]  # --help remains the last

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Finds out which executor is chosen, before the rest is read."""
        chosen, block = _chosen(self, ctx, args)
        ctx.meta[ADDED] = [] if chosen in BUILTIN else executor_options(_specs(block), chosen)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            for spec in _specs(block):
                if error.option_name in [_flag(spec, option.name) for option in spec.options]:
                    raise click.UsageError(
                        f"{error.option_name} is an option of the executor {spec.name}; "
                        f"add --executor {spec.name}",
                        ctx,
                    ) from error
            raise


def _chosen(command: click.Command, ctx: click.Context, args: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The executor, and the plugins to leave out, of a command line that is otherwise not understood yet."""
    parser = command.make_parser(ctx)
    parser.ignore_unknown_options = True
    try:
        given, _, _ = parser.parse_args(list(args))
    except click.UsageError:
        return BUILTIN[0], ()  # it is told when the rest is read
    values = {p.name: p.consume_value(ctx, given)[0] for p in command.params if p.name in ("executor", "block")}
    given_block = values["block"] if isinstance(values["block"], (str, list, tuple)) else ()  # refused later
    block = given_block if isinstance(given_block, str) else ",".join(map(str, given_block))
    return str(values["executor"] or BUILTIN[0]), tuple(name for name in map(str.strip, block.split(",")) if name)


def _specs(block: tuple[str, ...]) -> list[ExecutorSpec]:
    """The installed executors; none where the plugins cannot be had, which is told later."""
    from benchmnist.errors import BenchmnistError
    from benchmnist.extensions.registry import find_plugins

    try:
        return [offer.spec for offer in find_plugins(block).executors]
    except BenchmnistError:
        return []


def executor_options(specs: Iterable[ExecutorSpec], name: str) -> list[click.Option]:
    """The options of the executor of that name, as options of a command."""
    return [
        Option(
            [_flag(spec, option.name)],
            type=option.type,
            default=option.default,
            show_default=option.default is not None,
            envvar=option.variable(spec.name),
            show_envvar=True,
            help=option.summary,
        )
        for spec in specs
        if spec.name == name
        for option in spec.options
    ]


def installed_options() -> dict[str, str]:
    """The names of all executors' options as pyproject.toml has them, each with the parameter that it becomes."""
    flags = [_flag(spec, option.name).removeprefix("--") for spec in _specs(()) for option in spec.options]
    return {flag: flag.replace("-", "_") for flag in flags}


def taken_out(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Takes the executor's options out of those of the command; returns them by the names that it has for them."""
    prefix = len(str(options["executor"])) + 1
    return {str(p.name)[prefix:]: options.pop(str(p.name)) for p in ctx.meta.get(ADDED, [])}


def _flag(spec: ExecutorSpec, name: str) -> str:
    return f"--{spec.name}-{name}".replace("_", "-")
