"""`benchmnist plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchmnist.cli.options import block_option, debug_option

if TYPE_CHECKING:
    from benchmnist.extensions.registry import Plugin
    from benchmnist.reports.terminal import Line


@click.command("plugins")
@block_option
@debug_option
def command(block: tuple[str, ...]) -> None:
    """List the installed plugins, what they offer, and their errors."""
    from benchmnist.cli.console import results_console
    from benchmnist.extensions.registry import find_plugins
    from benchmnist.reports.terminal import Line, plain_table

    registry = find_plugins(block)
    console = results_console()
    table = plain_table("plugin", "from", "state", gap=2, title="Plugins", title_justify="left")
    for plugin in registry.plugins:
        table.add_row(plugin.name, f"{plugin.distribution} {plugin.version}", _state(plugin))
    console.print(table)
    for offers in registry.by_kind.values():
        title = f"\n{offers.kind.capitalize()}s"
        facts = [*next((offer.spec.facts for offer in offers), {})]
        table = plain_table(offers.kind, "", *facts, "from", gap=2, title=title, title_justify="left")
        table.columns[0].no_wrap = True
        for offer in offers:
            table.add_row(
                offer.spec.name, offer.spec.summary, *offer.spec.facts.values(), offer.plugin.distribution
            )
        for name in offers.contested:
            table.add_row(name, Line(offers.dispute(name), style="red"), *[""] * len(facts), "")
        console.print(table)


def _state(plugin: Plugin) -> Line:
    """Returns the state of a plugin, and the remedy for it."""
    from benchmnist.reports.terminal import Line, Lines
    from benchmnist.text import visible

    if plugin.blocked:
        return Line("blocked", style="yellow")
    if plugin.error:
        return Lines(f"failed: {visible(plugin.error)}\n{visible(plugin.remedy)}", style="red")
    if plugin.notes:
        return Lines("\n".join(f"it {visible(note)}" for note in plugin.notes), style="yellow")
    return Line("ok", style="green")
