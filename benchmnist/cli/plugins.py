"""`benchmnist plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.options import debug_option

if TYPE_CHECKING:
    from benchmnist.plugins import Offers


@click.command("plugins")
@debug_option
def command() -> None:
    """List what is installed, where it comes from, and what failed to load."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from benchmnist.plugins import find_plugins

    registry = find_plugins()
    console = Console(highlight=False)
    table = Table("plugin", "from", "state", box=None, pad_edge=False, title="Plugins", title_justify="left")
    for plugin in registry.plugins:
        state = Text(f"failed: {plugin.error}", style="red") if plugin.error else Text("ok", style="green")
        table.add_row(plugin.name, f"{plugin.distribution} {plugin.version}", state)
    console.print(table)
    kinds: list[Offers[Any]] = [registry.models, registry.optimizers, registry.datasets, registry.executors]
    for offers in kinds:
        title = f"\n{offers.kind.capitalize()}s"
        table = Table(offers.kind, "", "from", box=None, pad_edge=False, title=title, title_justify="left")
        for offer in offers:
            table.add_row(offer.spec.name, offer.spec.summary, offer.plugin.distribution)
        for name, rivals in offers.contested.items():
            owners = " and ".join(str(rival.plugin) for rival in rivals)
            table.add_row(name, Text(f"offered by {owners}; uninstall one of them", style="red"), "")
        console.print(table)
