"""`benchmnist new-plugin NAME --kind optimizer`."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template

import click

from benchmnist.cli.options import NamedPath, debug_option, option

# What its suite sets side by side.
SUITES = {
    "optimizer": {"title": "$name beside Adam", "models": '["fc"]', "optimizers": '["adam", "$name"]'},
    "model": {"title": "$name beside fc", "models": '["fc", "$name"]', "optimizers": '["adam"]'},
    "dataset": {"title": "Adam on $name", "models": '["logistic", "fc"]', "optimizers": '["adam"]'},
}


@click.command("new-plugin")
@click.argument("name")
@option(
    "--kind",
    type=click.Choice(list(SUITES)),
    default="optimizer",
    show_default=True,
    help="What it offers.",
)
@option(
    "--out",
    default=".",
    show_default=True,
    type=NamedPath(path_type=Path),
    help="The folder to make its folder in.",
)
@debug_option
def command(name: str, kind: str, out: Path) -> None:
    """Write a plugin that works, to be changed into yours.

    NAME is what a suite will call what it offers; the folder will be benchmnist-NAME.
    """
    from benchmnist.cli.console import results_console
    from benchmnist.extensions.registry import find_plugins
    from benchmnist.extensions.specs import NAME
    from benchmnist.runs.store import write_file

    if not NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} is not lower-case letters and digits joined by single - _ . or +", param_hint="NAME"
        )
    folder = out / f"benchmnist-{name}"
    if name in find_plugins().by_kind[kind]:
        raise click.UsageError(f"the {kind} {name!r} is there already; choose another name")
    if folder.exists():
        raise click.UsageError(f"{folder} is there already; choose another name, or another folder by --out")
    for path, text in _files(name, kind).items():
        write_file(folder / path, text.encode())
    console = results_console()
    console.print(f"{folder} is written. To see it at work:", soft_wrap=True)
    for step in (
        f"cd {folder}",
        "python -m pip install -e .",
        f"benchmnist check {name}",
        "python -m pytest",
        f"benchmnist run {name}.toml",
    ):
        console.print(f"    {step}", soft_wrap=True)


def _files(name: str, kind: str) -> dict[str, str]:
    """What a new plugin consists of: the text of each file, by its path."""
    identifier = re.sub(r"[^a-z0-9]+", "_", name)
    module = f"benchmnist_{identifier}"
    camel = "".join(part.capitalize() for part in identifier.split("_"))
    values = {
        "name": name,
        "kind": kind,
        "identifier": identifier,
        "module": module,
        "distribution": f"benchmnist-{name}",
        "class_name": f"My{camel}" if camel[0].isdigit() else camel,
        "dataset": name if kind == "dataset" else "mnist",
        "train_size": "2000" if kind == "dataset" else "6000",
        **{key: Template(text).substitute(name=name) for key, text in SUITES[kind].items()},
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{identifier}.py": "test.py",
        f"{name}.toml": "suite.toml",
        "README.md": "README.md",
    }
    home = resources.files("benchmnist.cli") / "templates"
    return {
        path: Template((home / f"{template}.txt").read_text("utf-8")).substitute(values)
        for path, template in templates.items()
    }
