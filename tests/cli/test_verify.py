"""`benchmnist verify`, on runs that were really trained."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from forging import rewrite

import benchmnist
from benchmnist.runs.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import RunResult


@pytest.fixture
def copied(small_run: RunResult, tmp_path: Path) -> RunResult:
    """A copy to change, among the runs."""
    return benchmnist.load_run(shutil.copytree(small_run.path, tmp_path / "runs" / "small" / small_run.path.name))


def improve(run: RunResult, case_id: str) -> None:
    """Writes another accuracy into a case, with a checksum that fits."""
    result = run[case_id]
    trials = []
    for trial in result.trials:
        *first, last = trial.epochs
        better = last.model_copy(update={"metrics": {**last.metrics, "test_accuracy": 99.9}})
        trials.append(trial.model_copy(update={"epochs": (*first, better)}))
    RunFolder(run.path).write_case(result.model_copy(update={"trials": tuple(trials)}))


def test_a_run_is_verified_by_the_end_of_its_name(invoke: Callable[..., Result], copied: RunResult) -> None:
    before = {*copied.path.rglob("*")}
    done = invoke("verify", copied.path.name[-4:], "--seed", 7)
    assert done.exit_code == 0, done.output
    head, *rows, time, last = done.stdout.splitlines()
    assert head.split() == ["case", "seed", "reported", "again", "verdict"]
    assert [row.split()[:2] for row in rows] == [[f"mnist/fc/{o}", s] for o in ("sgd", "adam") for s in "01"]
    assert all(row.endswith("the same, bit for bit") for row in rows)
    assert time.startswith("training time, which is not judged: ")
    assert last == "consistent: 4 of 4 trials (4 the same, bit for bit), drawn with --seed 7"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "A small suite, again: 2 cases" in done.stderr
    assert {*copied.path.rglob("*")} == before
    assert [*(copied.path.parent).iterdir()] == [copied.path]


def test_an_improved_run_ends_with_1_and_says_where(invoke: Callable[..., Result], copied: RunResult) -> None:
    improve(copied, "mnist/fc/adam")
    done = invoke("verify", copied.path, "--trials", 4, "--seed", 0, "--format", "json")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    assert (found["verdict"], found["pool"], found["seed"]) == ("not consistent", 4, 0)
    assert [trial["verdict"] for trial in found["trials"]] == ["the same, bit for bit"] * 2 + [
        "not consistent"
    ] * 2
    assert found["trials"][2]["reported"] == 99.9
    assert found["trials"][2]["again"] < 99
    assert "epoch 2: test_accuracy 99.9 in the run" in found["trials"][2]["reason"]
    shown = invoke("verify", copied.path, "-k", "adam", "--format", "markdown")
    assert shown.exit_code == 1
    assert shown.stdout.startswith(
        "### Verification: not consistent: 2 of 2 trials (2 not consistent), drawn with"
    )
    assert "| mnist/fc/adam |" in shown.stdout


def test_what_cannot_be_checked_ends_with_3(invoke: Callable[..., Result], copied: RunResult) -> None:
    """Two seeds have no spread, and elsewhere the bits may be others."""
    improve(copied, "mnist/fc/adam")
    copied = benchmnist.load_run(copied.path)
    result = copied["mnist/fc/adam"]
    elsewhere = {**result.environment, "device_name": "another"}
    rewrite(copied, result.id, environment=elsewhere)
    done = invoke("verify", copied.path, "-k", "adam", "--trials", 1)
    assert done.exit_code == 3, done.output
    said = " ".join(done.stdout.split())
    assert "no spread to compare with: 2 seeds reported (device name another in the run" in said
    assert "inconclusive: 1 of 2 trials (1 cannot be checked)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "no run named 'nope' in runs"),
        (["runs", "-k", "zzz"], "-k 'zzz' matches no case; known cases: mnist/fc/sgd, mnist/fc/adam"),
        (["runs", "-k", "fc and"], "-k 'fc and': must be names joined by and, or and not"),
        (["runs", "--trials", "0"], "--trials: must be at least 1, not 0"),
        (["runs", "--seed", "x"], "--seed: must be a whole number of at least 0, not 'x'"),
        (["runs", "--device", "gpu"], "no device named 'gpu'. Did you mean 'cuda'?"),
        (["runs", "--data-root", "runs/small/x/run.json"], "run.json is a file; name a folder"),
    ],
)
def test_what_is_wrong_is_one_line(
    invoke: Callable[..., Result], copied: RunResult, arguments: list[str], said: str
) -> None:
    copied.path.rename(copied.path.with_name("x"))
    done = invoke("verify", *arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_a_damaged_case_is_named(invoke: Callable[..., Result], copied: RunResult) -> None:
    """By an editor, which leaves the checksum."""
    file = copied.path / "cases" / "mnist__fc__adam.json"
    text = file.read_text("utf-8")
    file.write_text(text.replace('"test_accuracy": 7', '"test_accuracy": 9'), "utf-8")
    done = invoke("verify", copied.path)
    assert done.exit_code == 2
    assert "is damaged (its checksum does not match)" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_an_interruption_leaves_nothing(copied: RunResult, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "benchmnist", "verify", str(copied.path)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "again: 2 cases" in process.stderr.readline()
        assert [*temporary.glob("benchmnist-verify-*")]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 143
    assert "interrupted: nothing was compared" in said
    assert [*temporary.glob("benchmnist-verify-*")] == []
