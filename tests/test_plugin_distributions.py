"""The distributions in plugins/: pip installs each, it passes its own tests, and its README's suites are sound."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import pytest_in_a_process
from test_docs import blocks

from benchmnist.extensions.registry import find_plugins
from benchmnist.preflight.prepare import prepare
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = sorted((ROOT / "plugins").glob("benchmnist-*"))


@pytest.mark.parametrize("source", DISTRIBUTIONS, ids=lambda source: source.name)
def test_a_distribution_does_what_it_says(
    source: Path, pip_install: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = pip_install(source)
    monkeypatch.syspath_prepend(str(site))
    assert source.name in {record.distribution for record in find_plugins().plugins}
    for number, block in enumerate(block for block in blocks(source / "README.md") if block.kind == "toml"):
        suite = tmp_path / f"suite-{number}.toml"
        suite.write_text(block.text, "utf-8")
        assert prepare(suite, RunOptions(device="cpu")).plan.cases
    # As its author would: from its own folder, by no configuration of ours.
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    output = tmp_path / "output.txt"
    arguments = ["-q", "-p", "no:cacheprovider", str(tmp_path / "copies" / source.name)]
    code = pytest_in_a_process(arguments, {**os.environ, "PYTHONPATH": path}, output)
    said = output.read_text("utf-8")
    assert code == 0, said
    assert " passed" in said


def test_each_has_its_files() -> None:
    for source in DISTRIBUTIONS:
        assert (source / "README.md").is_file()
        assert (source / "pyproject.toml").is_file()
        assert list(source.glob("tests/test_*.py"))


def test_the_core_knows_none_of_them() -> None:
    modules = [file.stem for source in DISTRIBUTIONS for file in source.glob("benchmnist_*.py")]
    for file in (ROOT / "benchmnist").rglob("*.py"):
        text = file.read_text("utf-8")
        assert not [name for name in modules if name in text], file
