"""Whatever pyproject.toml has: a command takes it, or says in one line what is wrong where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmnist.cli import cli
from benchmnist.suites.values import toml_text
from benchmnist.text import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import RunResult

COMMANDS = (
    ("run", "x.toml"),
    ("tune", "x.toml"),
    ("report", "x"),
    ("compare", "x", "y"),
    ("runs",),
    ("runs", "prune", "--dry-run", "--unfinished"),
    ("verify", "x"),
    ("gate", "x", "y"),
)


def said_by(invoke: Callable[..., Result], text: str, command: tuple[str, ...] = COMMANDS[0]) -> str:
    """What a command says on standard error: nothing, or a line."""
    Path("pyproject.toml").write_text(text, "utf-8", "surrogatepass")
    done = invoke(*command, env={"BENCHMNIST_DEVICE": None, "BENCHMNIST_DATA": None})
    assert done.exception is None or isinstance(done.exception, SystemExit), (text, done.exc_info)
    assert done.exit_code in (0, 2), done.output
    where = f"{Path.cwd() / 'pyproject.toml'}:"
    said = done.stderr.removeprefix("error: ").replace(where, "")
    assert len(said) < 500
    assert said.count("\n") <= 1
    assert not HIDDEN.search(said.rstrip("\n")), ascii(said)
    return said.strip()


RUN = "[tool.benchmnist.run]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tool = 3", "tool: must be a table, not 3; write [tool.benchmnist]"),
        ("[tool]\nbenchmnist = []", "tool.benchmnist: must be a table, not []; write [tool.benchmnist]"),
        ("[[tool.benchmnist]]", "tool.benchmnist: must be a table, not [{  }]; write [tool.benchmnist]"),
        ("[tool.benchmnist]\nrun = 3", "tool.benchmnist.run: must be a table, not 3; write [tool.benchmnist.run]"),
        (
            "[tool.benchmnist.runs]\nprune = 3",
            "tool.benchmnist.runs.prune: must be a table, not 3; write [tool.be",
        ),
        ("[tool.benchmnist]\nepochs = 3", "tool.benchmnist.epochs: belongs to a command; move it to [tool.benchm"),
        ("[tool.benchmnist]\n'a\\u001b\n' = 3", "2: not TOML: "),
        ('[tool.benchmnist]\n"a\\u001b\\n" = 3', r"tool.benchmnist.a\x1b\n: unknown key. Choose from: block, ch"),
        (f"{RUN}{'x' * 900} = 3", f"tool.benchmnist.run.{'x' * 60}…: unknown option. Choose from: block, chec"),
        (f'{RUN}resume = "x"', "--resume (set in pyproject.toml): must be true or false; type the name of a run"),
        (
            f"{RUN}epochs = inf",
            "--epochs (set in pyproject.toml): must be a whole number from 1 to 1,000,000, not inf",
        ),
        (
            f"{RUN}timeout = nan",
            "--timeout (set in pyproject.toml): must be greater than 0 and at most 31536000, n",
        ),
        (
            f"{RUN}order = '{'x' * 5000}'",
            "--order (set in pyproject.toml): must be suite or interleaved, not 'xxx",
        ),
        (f"{RUN}out = '~nobody-of-that-name/x'", "--out (set in pyproject.toml): "),
        (f"{RUN}out = 'a\\u0000'".replace("'", '"'), "--out (set in pyproject.toml): "),
        (f"x = {'[' * 3000}{']' * 3000}", "1: "),
        (f"x = {'9' * 5000}", "1: "),
        ("\x00", "1: not TOML: "),
        ("\ufefftool = {}", "x.toml: does not exist"),
    ],
)
def test_odd_contents(invoke: Callable[..., Result], text: str, expected: str) -> None:
    said = said_by(invoke, text).lstrip()
    assert said.startswith(expected), said


@pytest.mark.parametrize("days", ["inf", "nan", "1e300", "-1"])
def test_absurd_ages(invoke: Callable[..., Result], days: str) -> None:
    table = f"[tool.benchmnist.runs.prune]\nolder-than = {days}"
    assert said_by(invoke, table, COMMANDS[5]).startswith(
        "--older-than (set in pyproject.toml): must be from 0 to"
    )


def test_a_folder_in_the_home(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert said_by(invoke, "[tool.benchmnist.runs]\nout = '~/mine'", ("runs",)) == ""
    assert f"no runs in {tmp_path / 'home' / 'mine'}" in invoke("runs").stdout.replace("\n", "")
    assert f"no runs in {tmp_path / 'home'}" in invoke("runs", "--out", "~").stdout.replace("\n", "")


def _keys(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    names = [max(p.opts, key=len).removeprefix("--") for p in command.params if isinstance(p, click.Option)]
    found = [(*path, name) for name in names]
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            found += [(*path, name), *_keys(inner, (*path, name))]
    return found


NAMES = st.text(st.characters(codec="utf-8"), max_size=9)
LEAVES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    NAMES,
    st.dates(),
    st.just("x" * 3000),
    st.just("~/x"),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


def test_any_value_of_any_key(invoke: Callable[..., Result]) -> None:
    known = _keys(cli, ())

    @settings(max_examples=300)
    @given(st.sampled_from(known), st.none() | NAMES, VALUES, st.sampled_from(COMMANDS))
    def check(path: tuple[str, ...], other: str | None, value: Any, command: tuple[str, ...]) -> None:
        *tables, key = path
        header = ".".join(("tool", "benchmnist", *tables))
        name = json.dumps(key if other is None else other)
        said_by(invoke, f"[{header}]\n{name} = {toml_text(value)}\n", command)

    check()


@pytest.mark.parametrize(
    ("text", "command", "option"),
    [
        ('report]\noutput = "x"', ("report", "x"), "--output"),
        ('report]\nupdate = "x"', ("report", "x"), "--update"),
        ('compare]\nplots = "x"', ("compare", "x", "y"), "--plots"),
        ("runs.prune]\nyes = true", ("runs", "prune", "--keep", "0"), "--yes"),
    ],
)
def test_what_overwrites_or_deletes_must_be_typed(
    invoke: Callable[..., Result], text: str, command: tuple[str, ...], option: str
) -> None:
    said = said_by(invoke, f"[tool.benchmnist.{text}", command)
    assert said == f"{option} (set in pyproject.toml): cannot be set in a file; remove it there, and type it"


def test_absurd_values_are_a_line(invoke: Callable[..., Result], small_run: RunResult) -> None:
    for command in (
        ("report", small_run.path, "--about", "a{99999999999}"),
        ("report", small_run.path, "--about", "(" * 5000),
        ("describe", "fc", f"hidden_size={'9' * 5000}"),
    ):
        done = invoke(*command)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert len(done.stderr) < 500
    assert invoke("report", small_run.path, env={"COLUMNS": "9" * 5000}).exit_code == 0
