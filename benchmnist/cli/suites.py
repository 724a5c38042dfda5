"""`benchmnist suites`: the suites that come with the package, and the JSON schema of suites."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from benchmnist.cli.options import block_option, debug_option, option
from benchmnist.text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.extensions.registry import Registry


@click.command("suites")
@option(
    "--schema",
    is_flag=True,
    help="Print the JSON schema of suites instead, by which editors complete and check them.",
)
@block_option
@debug_option
def command(schema: bool, block: tuple[str, ...]) -> None:
    """List the suites that come with the package.

    `benchmnist run NAME` runs one in any folder, and `benchmnist new-suite NAME --from SUITE` copies it.
    """
    from benchmnist.cli.console import results_console
    from benchmnist.extensions.registry import find_plugins
    from benchmnist.reports.terminal import plain_table
    from benchmnist.suites.files import package_suites

    registry = find_plugins(block)
    if schema:
        click.echo(schema_text(registry), nl=False)
        return
    table = plain_table("suite", "title", "trains", gap=2)
    table.columns[0].no_wrap = True
    for name, path in package_suites().items():
        table.add_row(name, *_summary(path, registry))
    results_console().print(table)


def _summary(path: Path, registry: Registry) -> tuple[str, str]:
    """Returns the title of a suite, and how much it trains."""
    from benchmnist.suites.plan import make_plan
    from benchmnist.suites.reader import read_suite

    suite = read_suite(path)
    plan = make_plan(suite, registry)
    trials = sum(len(case.seeds) for case in plan.cases)
    trains = f"{counted(len(plan.cases), 'case')}, {counted(trials, 'trial')}"
    return suite.title, f"needs {', '.join(suite.needs)}" if plan.problems else trains


def schema_text(registry: Registry) -> str:
    """Returns the JSON schema of suites, which proposes the names of what is installed."""
    from benchmnist.suites.json_schema import packaged_schema, with_names

    names = {kind: [offer.spec.name for offer in offers] for kind, offers in registry.by_kind.items()}
    return json.dumps(with_names(packaged_schema(), names), indent=1, ensure_ascii=False) + "\n"
