"""`benchmnist suites` and `benchmnist new-suite`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmnist.suites.files import package_suites
from benchmnist.suites.reader import load_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


def test_suites_lists_those_of_the_package(invoke: Callable[..., Result]) -> None:
    done = invoke("suites")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines() if line[:1].strip()] == [
        *("suite", *package_suites())
    ]
    assert "13 cases, 39 trials" in done.stdout
    assert "needs" in done.stdout, "speedrun"


def test_a_new_suite_runs_and_has_the_schema_beside_it(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("new-suite", "mine")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "mine.toml").read_text("utf-8")
    assert text.startswith("#:schema ./suite.schema.json\n")
    assert load_suite("mine.toml").name == "mine"
    assert json.loads((tmp_path / "suite.schema.json").read_text("utf-8")) == json.loads(
        invoke("suites", "--schema").stdout
    )
    done = invoke("run", "mine.toml", "--dry-run")
    assert done.exit_code == 0, done.output
    done = invoke("new-suite", "mine.toml")
    assert done.exit_code == 2
    assert "mine.toml already exists; choose another name, or another folder with --out" in done.stderr
    assert (tmp_path / "mine.toml").read_text("utf-8") == text


@pytest.mark.parametrize("origin", [*package_suites()])
def test_a_suite_of_the_package_is_copied_under_another_name(
    invoke: Callable[..., Result], tmp_path: Path, origin: str
) -> None:
    done = invoke("new-suite", "mine", "--from", origin, "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    mine, first = load_suite(tmp_path / "mine.toml"), load_suite(origin)
    assert (mine.name, mine.title, mine.blocks) == ("mine", first.title, first.blocks)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("../mine",), "'../mine' is not letters and digits joined by single . _ or -"),
        (("mine", "--from", "quik"), "no suite of the package named 'quik'. Did you mean 'quick'?"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    invoke: Callable[..., Result], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = invoke("new-suite", *arguments, "--out", str(tmp_path))
    assert done.exit_code == 2
    assert said in done.stderr
    assert not [*tmp_path.iterdir()]
