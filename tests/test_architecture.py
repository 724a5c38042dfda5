"""Imports go one way, and what is listed need not import torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import benchmnist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parents[1]

PACKAGE = ROOT / "benchmnist"

# From the ground up: a part, which is a module of the package or a folder, imports only what is below it.
ORDER = (
    "text",
    "errors",
    "garbage",
    "variables",
    "forking",
    "metrics",
    "extensions",
    "suites",
    "runs",
    "tasks",
    "training",
    "preflight",
    "executors",
    "analysis",
    "runs.index",  # a list of runs has figures
    "execution",
    "pytest_support",
    "planned_run",
    "runner",
    "optimizer_search",
    "tuner",
    "head_to_head",
    "retraining",
    "verifier",
    "reports",
    "builtin",
    "testing",
    "doctor",
    "cli",
)
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    """The part that a module belongs to: `benchmnist.runs.index` is one of its own."""
    path = module.removeprefix("benchmnist").lstrip(".")
    return max((part for part in ORDER if f"{path}.".startswith(f"{part}.")), key=len, default="")


def part_of_file(file: Path) -> str:
    return part_of(".".join(("benchmnist", *file.relative_to(PACKAGE).with_suffix("").parts)))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@cache
def imports(file: Path) -> frozenset[str]:
    """The modules that a file imports, but for those under TYPE_CHECKING."""
    skipped = {
        id(node)
        for branch in ast.walk(tree(file))
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for child in branch.body
        for node in ast.walk(child)
    }
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def offences(of: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """Returns the offences of each file of the package against a rule; files without any are left out."""
    assert len(FILES) > 100
    found = {str(file.relative_to(PACKAGE)): [*of(file)] for file in FILES}
    return {file: against for file, against in found.items() if against}


def test_a_module_imports_only_what_is_below_it() -> None:
    def above(file: Path) -> set[str]:
        ours = {m for m in imports(file) if m.startswith("benchmnist.")}
        if file.name == "__main__.py":
            return ours ^ {"benchmnist.cli.main"}
        part = part_of_file(file)
        # Without a part: the public names, imported when they are asked for.
        return {m for m in ours if not part or ORDER.index(part_of(m)) > ORDER.index(part)}

    assert offences(above) == {}


def test_only_what_trains_imports_torch() -> None:
    def heavy(file: Path) -> set[str]:
        trains = part_of_file(file) in ("tasks", "training", "preflight", "builtin", "testing", "doctor")
        return set() if trains else {m for m in imports(file) if m.split(".")[0].startswith("torch")}

    assert offences(heavy) == {}


def test_only_the_command_line_prints() -> None:
    def printed(file: Path) -> list[int]:
        return [
            node.lineno
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if file.relative_to(PACKAGE).parts[0] != "cli"
        ]

    assert offences(printed) == {}


def test_a_docstring_begins_with_a_verb_or_the_name_of_a_thing() -> None:
    subordinate = re.compile(r'^\s*"""((?:Whether|Where|What|Which|When|How|Who|Of) .*)', re.MULTILINE)
    found = {str(file.relative_to(PACKAGE)): subordinate.findall(file.read_text("utf-8")) for file in FILES}
    assert {file: begins for file, begins in found.items() if begins} == {}


WAYS_OUT = {
    "rich.text": "reports/terminal.py",
    "rich.console.Console": "reports/terminal.py",
    "rich.table": "reports/terminal.py",
    "rich.markup": "reports/terminal.py",
    "tabulate": "reports/escaping.py",
    "csv": "reports/records.py",
    "jinja2": "reports/html.py",
}
"""The one module that brings text of others into a format."""


def test_text_leaves_by_one_way() -> None:
    def ways(file: Path) -> list[str]:
        elsewhere = {way for way, home in WAYS_OUT.items() if file != PACKAGE / home}
        return [way for way in elsewhere if any(f"{name}.".startswith(f"{way}.") for name in imports(file))]

    assert offences(ways) == {}


INTERNALS = {
    "torch": "training/torch_internals.py",
    "pytest_benchmark": "pytest_support/benchmark_api.py",
    "xdist": "pytest_support/xdist.py",
    "click": "cli/errors.py",
}
"""The one module that may use what a package does not document."""


def test_what_others_do_not_document_is_used_in_one_place() -> None:
    def private(file: Path) -> set[str]:
        found = set()
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                found.add(ast.unparse(node))
        elsewhere = {package for package, home in INTERNALS.items() if file != PACKAGE / home}
        return {
            name
            for name in found
            if name.startswith("_pytest")
            or any(re.match(rf"{package}(\.\w+)*\._(?!_)", name) for package in elsewhere)
        }

    assert offences(private) == {}


def test_what_is_public_can_be_imported() -> None:
    for name in benchmnist.__all__:
        assert getattr(benchmnist, name) is not None
    assert set(benchmnist.__all__) <= set(dir(benchmnist))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        benchmnist.nonsense  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plugins"], ["report", "RUN"], ["report", "RUN", "--format=csv"]]
)
def test_listing_and_reporting_do_not_import_torch(arguments: list[str], small_run: benchmnist.RunResult) -> None:
    program = (
        "import sys; from benchmnist.cli import cli\n"
        "try: cli(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    arguments = [argument.replace("RUN", str(small_run.path)) for argument in arguments]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)
