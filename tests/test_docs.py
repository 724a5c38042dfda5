"""The documentation does what it says: its commands are run, its suites read, its output compared."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import benchmnist
from benchmnist.prepare import prepare
from benchmnist.reports.tables import render
from benchmnist.training.data import default_data_root

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?P<before>[^\n]*)\n\n?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
STORED_RUN = ROOT / "docs" / "runs" / "assignment4"


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    file: str | None  # of which it is the content: what the line before ends with, as `fair.toml`:


def blocks(page: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(page.read_text("utf-8")):
        named = re.search(r"`([\w./-]+\.\w+)`:$", match["before"])
        found.append(Block(match["kind"], match["text"], named[1] if named else None))
    return found


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block and the output that it is said to have."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BENCHMNIST_DATA": str(default_data_root()),
        "COLUMNS": "80",
        **environment,
    }
    return subprocess.run(["/bin/bash", "-c", command], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The current folder, as a reader's: with the suites in it."""
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    (tmp_path / "pyproject.toml").write_text("", "utf-8")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says(page: Path, workplace: Path) -> None:
    checker = doctest.OutputChecker()
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for block in blocks(page):
        if block.file:
            (workplace / block.file).write_text(block.text, "utf-8")
        if block.kind == "console":
            for command, expected in commands(block):
                done = shell(command)
                said = done.stdout if done.returncode == 0 else done.stdout + done.stderr
                assert checker.check_output(expected, said, options), f"$ {command}\n{said}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_suites_of_a_page_are_sound(page: Path, tmp_path: Path) -> None:
    if page.name in ("how-to-plugin.md", "how-to-track-throughput.md"):
        pytest.skip("its suite wants a plugin, and is tested with it")
    for block in blocks(page):
        if block.kind == "toml" and "[[cases]]" in block.text:
            path = tmp_path / "suite.toml"
            path.write_text(block.text, "utf-8")
            assert prepare(path, device="cpu").plan.cases


def test_the_page_for_python_runs_from_top_to_bottom(workplace: Path) -> None:  # noqa: ARG001 - it stands there
    program = "\n".join(block.text for block in blocks(ROOT / "docs" / "python.md") if block.kind == "python")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    title, *lines = done.stdout.splitlines()
    assert title == "MNIST: SGD and Adam, one epoch"
    assert re.fullmatch(r"mnist/fc/adam seed 1: 9\d\.\d\d % in \d+\.\d s", lines[3])
    assert lines[-1] == "no such suite."


def test_the_plugin_of_the_how_to_is_installed_and_trains(workplace: Path) -> None:
    page = blocks(ROOT / "docs" / "how-to-plugin.md")
    source = workplace / "source"
    source.mkdir()
    for block in page:
        if block.file:
            (source / block.file).write_text(block.text, "utf-8")
    (suite,) = [block for block in page if "[[cases]]" in block.text]
    (workplace / "mine.toml").write_text(suite.text, "utf-8")
    site = workplace / "site"
    installed = shell(
        f"python -m pip install -q --no-deps --no-build-isolation --no-index --target {site} {source}",
    )
    assert installed.returncode == 0, installed.stderr
    listed = shell("benchmnist plugins", PYTHONPATH=str(site))
    assert re.search(r"signsgd +benchmnist-signsgd 1\.0 +ok", listed.stdout)
    done = shell("benchmnist run mine.toml --device cpu --seeds 1", PYTHONPATH=str(site))
    assert re.search(r"^signsgd +[89]\d\.\d\d ", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_the_readme_opens_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"^    (.+)$", text, re.MULTILINE)
    assert found[:2] == [
        "python -m pip install -c constraints.txt . && benchmnist run suites/assignment4.toml",
        'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest',
    ]


def test_the_table_of_the_readme_is_that_of_the_stored_run() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert render(benchmnist.load_run(STORED_RUN), "markdown") in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_reference_names_every_key_of_a_suite() -> None:
    from benchmnist.suite import Block as SuiteBlock
    from benchmnist.suite import Header

    text = (ROOT / "docs" / "suites.md").read_text("utf-8")
    for key in {**Header.model_fields, **SuiteBlock.model_fields}:
        assert f"`{key}`" in text
