"""`benchmnist check NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchmnist.cli.options import block_option, debug_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmnist.testing import Outcome

MISSED = 1


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Completes the names of what can be checked."""
    from benchmnist.extensions.registry import find_plugins

    found = find_plugins()
    offered = [o.spec.name for offers in found.by_kind.values() for o in offers]
    return [name for name in (*offered, *(p.name for p in found.plugins)) if name.startswith(incomplete)]


@click.command("check")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_names)
@block_option
@debug_option
def command(names: tuple[str, ...], block: tuple[str, ...]) -> None:
    """Check that a plugin keeps its promises.

    NAME is the name of anything that a plugin offers (an optimizer, a model, …), or of a plugin, to check all
    that it offers. Exit code 1: a promise is not kept.
    """
    from benchmnist.cli.console import results_console
    from benchmnist.extensions.isolation import not_ended
    from benchmnist.extensions.registry import find_plugins
    from benchmnist.reports.terminal import Line
    from benchmnist.testing import examine, subjects

    registry = find_plugins(block)
    chosen = [subject for name in names for subject in subjects(name, registry)]
    console = results_console()
    missed = False
    for subject in chosen:
        console.print(Line(str(subject)), style="bold", soft_wrap=True)
        states = []
        with not_ended():
            for outcome in examine(subject):
                console.print(_line(outcome), soft_wrap=True)
                states.append(outcome.state)
        counts = [states.count(state) for state in ("kept", "missed", "does not apply")]
        console.print(
            "{} kept, {} missed; {} do not apply".format(*counts),
            style="red" if counts[1] else "green",
        )
        missed = missed or "missed" in states
    click.get_current_context().exit(MISSED if missed else 0)


def _line(outcome: Outcome) -> RenderableType:
    """A promise and what came of it; and what to do about it, if it is not kept."""
    from benchmnist.reports.terminal import Line, Lines
    from benchmnist.text import visible

    if outcome.state == "kept":
        tried = f" ({outcome.said})" if outcome.said else ""
        return Line.assemble(("  ✓ ", "green"), outcome.check.promise, (tried, "dim"))
    if outcome.state == "missed":
        return Lines.assemble(
            ("  ✗ ", "red"),
            outcome.check.promise,
            (f"\n    {visible(outcome.said)}", "red"),
            f"\n    → {outcome.check.remedy}",
        )
    return Line.assemble(("  – ", "dim"), (f"{outcome.check.promise} ({outcome.said})", "dim"))
