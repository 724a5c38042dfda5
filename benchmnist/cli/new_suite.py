"""`benchmnist new-suite NAME`."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import click

from benchmnist.cli.options import NamedPath, debug_option, option
from benchmnist.suites.files import package_suites, recorded_run

SCHEMA_FILE = "suite.schema.json"
HEADER = f"#:schema ./{SCHEMA_FILE}\n"
"""The line by which editors (Even Better TOML, Tombi) find the schema of a TOML file."""


def _suites(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    return [name for name in package_suites() if name.startswith(incomplete)]


@click.command("new-suite")
@click.argument("name")
@option("--from", metavar="SUITE", shell_complete=_suites, help="Copy this suite of the package.")
@option(
    "--out",
    default=".",
    show_default=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Folder to write it into.",
)
@debug_option
def command(name: str, out: Path, **options: Any) -> None:
    """Write a suite as a starting point for your own, with comments.

    It is NAME.toml. The JSON schema of suites is written beside it, so that editors complete and check it.
    """
    from benchmnist.cli.console import results_console
    from benchmnist.cli.suites import schema_text
    from benchmnist.errors import unknown
    from benchmnist.extensions.registry import find_plugins
    from benchmnist.reports.terminal import Line
    from benchmnist.runs.files import write_file
    from benchmnist.suites.schema import SUITE_NAME

    origin = options["from"]
    name = name.removesuffix(".toml")
    if not re.fullmatch(SUITE_NAME, name):
        raise click.BadParameter(
            f"{name!r} is not letters and digits joined by single . _ or -", param_hint="NAME"
        )
    path, schema = out / f"{name}.toml", out / SCHEMA_FILE
    if path.exists():
        raise click.UsageError(f"{path} already exists; choose another name, or another folder with --out")
    if origin is None:
        text = Template(
            (resources.files("benchmnist.cli") / "templates" / "new-suite.toml.txt").read_text("utf-8")
        )
        suite = text.substitute(name=name)
    elif origin in (known := package_suites()):
        suite = _renamed(known[origin].read_text("utf-8"), name)
        if recorded := recorded_run(origin):
            write_file(out / recorded.name, recorded.read_bytes())
    else:
        raise click.BadParameter(unknown("suite of the package", origin, [*known]), param_hint="--from")
    write_file(path, (HEADER + suite).encode())
    write_file(schema, schema_text(find_plugins()).encode())
    console = results_console()
    console.print(Line(f"{path} is written, and its schema, {schema}. To see it at work:"), soft_wrap=True)
    for command_line in (f"benchmnist run {path} --dry-run", f"benchmnist run {path}"):
        console.print(Line(f"    {command_line}"), soft_wrap=True)


def _renamed(text: str, name: str) -> str:
    """Returns a suite with another name, which its runs have."""
    header = r'(\[suite\]\n(?:[^\[].*\n)*?)name = "[^"]*"'
    return re.sub(header, lambda found: f'{found[1]}name = "{name}"', text, count=1)
