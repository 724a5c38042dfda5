"""`benchmnist new-plugin NAME --kind optimizer`."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template

import click

from benchmnist.cli.options import NamedPath, debug_option, option
from benchmnist.extensions.kinds import DATASET, KINDS, OPTIMIZER, TASK, Kind

TEMPLATES = {kind.name: kind for kind in KINDS if kind.new_cases}


@click.command("new-plugin")
@click.argument("name")
@option(
    "--kind",
    type=click.Choice(list(TEMPLATES)),
    default=OPTIMIZER.name,
    show_default=True,
    help="Kind of plugin to create.",
)
@option(
    "--out",
    default=".",
    show_default=True,
    type=NamedPath(path_type=Path),
    help="Folder to create the plugin's folder in.",
)
@debug_option
def command(name: str, kind: str, out: Path) -> None:
    """Create a working plugin as a starting point for your own.

    NAME is the name that suites will use; the new folder is benchmnist-NAME.
    """
    from benchmnist.cli.console import results_console
    from benchmnist.extensions.registry import find_plugins
    from benchmnist.extensions.specs import NAME
    from benchmnist.reports.terminal import Line
    from benchmnist.runs.files import write_file

    if not NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} is not lower-case letters and digits joined by single - _ . or +", param_hint="NAME"
        )
    folder = out / f"benchmnist-{name}"
    if name in find_plugins().by_kind[kind]:
        raise click.UsageError(f"the {kind} {name!r} already exists; choose another name")
    if folder.exists():
        raise click.UsageError(f"{folder} already exists; choose another name, or another folder with --out")
    for path, text in _files(name, TEMPLATES[kind]).items():
        write_file(folder / path, text.encode())
    console = results_console()
    console.print(Line(f"{folder} is written. To see it at work:"), soft_wrap=True)
    for step in (
        f"cd {folder}",
        "python -m pip install -e .",
        f"benchmnist check {name}",
        "python -m pytest",
        f"benchmnist run {name}.toml",
    ):
        console.print(Line(f"    {step}"), soft_wrap=True)


def _files(name: str, kind: Kind) -> dict[str, str]:
    """Returns the files of a new plugin: the text of each, by its path."""
    identifier = re.sub(r"[^a-z0-9]+", "_", name)
    module = f"benchmnist_{identifier}"
    camel = "".join(part.capitalize() for part in identifier.split("_"))
    values = {
        "name": name,
        "kind": kind.name,
        "identifier": identifier,
        "module": module,
        "distribution": f"benchmnist-{name}",
        "class_name": f"My{camel}" if camel[0].isdigit() else camel,
        "train_size": "1000" if kind in (DATASET, TASK) else "6000",
        "cases": Template(kind.new_cases).substitute(name=name),
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        f"{module}.py": f"{kind.name}.py",
        f"tests/test_{identifier}.py": "test.py",
        f"{name}.toml": "suite.toml",
        "README.md": "README.md",
    }
    home = resources.files("benchmnist.cli") / "templates"
    return {
        path: Template((home / f"{template}.txt").read_text("utf-8")).substitute(values)
        for path, template in templates.items()
    }
