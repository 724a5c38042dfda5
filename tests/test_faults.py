"""Whatever is done to a run: what was told to have ended is there, and the rest can be done later."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fault_support import (
    REFUSED,
    bad_disk,
    no_space,
    read_only,
    too_many_files,
    train,
    train_until_power_fails,
    train_until_the,
)
from killed_runs import (
    SUITE,
    Figures,
    begin,
    code_of,
    figures,
    finish,
    fresh,
    kill_at_random,
    stored,
    told,
    undisturbed_run,
)
from processes import HANGS

from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="faults are made as Linux has them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fresh(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.faults)])
def test_killed_at_every_so_maniest_write(folder: Path, undisturbed: object, every: int) -> None:
    number, code = 0, -signal.SIGKILL
    while code != 0:
        number += every
        faulty = fresh(folder / str(number))
        code = code_of(train_until_the, number, faulty)
        assert code in (0, -signal.SIGKILL)
        finish(faulty, undisturbed)
    assert number > 20


@pytest.mark.parametrize(
    ("number", "error"),
    [(1, no_space), (5, bad_disk), (10, no_space), (11, bad_disk), (8, read_only), (13, too_many_files)],
)
def test_a_disk_that_cannot_be_written_to(folder: Path, undisturbed: object, number: int, error: Any) -> None:
    if code_of(train_until_the, number, folder, error) == REFUSED:
        (why,) = told(folder, "refused")
        assert why.startswith("cannot write ")
    else:  # a checkpoint, or a figure of the session, which cost no result
        run = load_run(folder / "runs")
        assert run.record.status == "completed"
        remarks = [remark for case in run.cases for remark in case.remarks if "are not saved" in remark]
        assert all("StoreError: cannot write " in remark for remark in remarks)
        lost = [trial for case in run.cases for trial in case.trials if trial.checkpoint is None]
        assert len(lost) == len(remarks)
    assert not list(folder.glob("runs/faulty/**/*.tmp"))
    finish(folder, undisturbed)


@pytest.mark.parametrize("jobs", [0, *(pytest.param(jobs, marks=pytest.mark.faults) for jobs in (1, 2))])
def test_killed_at_random(tmp_path: Path, jobs: int) -> None:
    """The long form is `python tests/killed_runs.py 1000`."""
    whole = undisturbed_run(tmp_path / "whole", jobs)
    for seed in range(10 if jobs else 1):
        kill_at_random(fresh(tmp_path / str(seed)), whole, seed, jobs)


def fail_power(folder: Path, undisturbed: object, seed: int) -> None:
    for attempt in range(5):
        resume = any(folder.glob("runs/faulty/*/run.json"))
        if code_of(train_until_power_fails, 1000 * seed + attempt, folder, resume=resume) == 0:
            break
        assert {*told(folder, "ended")} <= {*stored(folder)}
    finish(folder, undisturbed)


@pytest.mark.parametrize("seed", range(2))
def test_power_loss(folder: Path, undisturbed: object, seed: int) -> None:
    fail_power(folder, undisturbed, seed)


@pytest.mark.faults
@pytest.mark.parametrize("tens", range(10))
def test_a_hundred_power_losses(tmp_path: Path, undisturbed: object, tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        fail_power(fresh(tmp_path / str(seed)), undisturbed, seed)


def test_trials_that_had_ended_are_not_trained_again(folder: Path, undisturbed: object) -> None:
    """Although the cases had not that they are of."""
    (folder / "suite.toml").write_text(SUITE.replace("seeds = 2", "seeds = 5"), "utf-8")
    assert code_of(train, folder, jobs=2, last_part=3) == -signal.SIGKILL
    parts = {*told(folder, "part")}
    ended = {f"{case} {seed}" for case in stored(folder) for seed in range(5)}
    (run,) = folder.glob("runs/faulty/*")
    assert len(parts) == 3
    before = {file.name: file.read_text("utf-8") for file in run.glob("trials/*.json")}
    damaged = run / "trials" / min(before)
    damaged.write_text(before[damaged.name][:-100], "utf-8")  # is of no use, and in nobody's way
    lost = damaged.stem.replace("__seed-", " ").replace("__", "/")
    trained = len(told(folder, "trained"))
    assert code_of(train, folder, resume=True, jobs=2) == 0
    again = [*told(folder, "trained")[trained:]]
    assert len(again) == len({*again})
    assert {*again} & (parts | ended) <= {lost}
    assert {*again} | parts | ended == {f"{case} {n}" for case in stored(folder) for n in range(5)}
    assert [*run.glob("trials/*")] == []
    run_whole = load_run(run)
    whole = figures(run)
    assert all([trial.seed for trial in case.trials] == [0, 1, 2, 3, 4] for case in run_whole.cases)
    assert isinstance(undisturbed, dict)
    for case, expected in undisturbed.items():
        for (loss, accuracy), (other, another) in zip(whole[case], expected, strict=False):
            assert loss == pytest.approx(other, rel=1e-3)
            assert accuracy == pytest.approx(another, abs=1.01)  # by other threads: one image of 100, in %


def test_ten_resumes_at_once(folder: Path, undisturbed: object) -> None:
    assert code_of(train_until_the, 12, folder) == -signal.SIGKILL
    whole = len(stored(folder))
    started = len(told(folder, "started"))
    processes = [begin(train, folder, resume=True) for _ in range(10)]
    for process in processes:
        process.join(HANGS)
    codes = [process.exitcode for process in processes]
    assert {*codes} <= {0, REFUSED}
    assert 0 in codes
    assert all("is being written by another process" in why for why in told(folder, "refused"))
    assert len(told(folder, "started")) - started == 3 - whole
    assert figures(folder) == undisturbed


def test_two_runs_that_begin_at_once_do_not_meet(folder: Path, undisturbed: object) -> None:
    processes = [begin(train, folder) for _ in range(2)]
    for process in processes:
        process.join(HANGS)
    assert [process.exitcode for process in processes] == [0, 0]
    runs = sorted(folder.glob("runs/faulty/*"))
    assert len(runs) == 2
    for run in runs:
        assert figures(run) == undisturbed


def test_what_a_dead_process_left_is_in_nobodys_way(folder: Path, undisturbed: object) -> None:
    assert code_of(train_until_the, 12, folder) == -signal.SIGKILL
    (run,) = folder.glob("runs/faulty/*")
    assert (run / ".lock").exists()
    (run / "cases" / ".mnist__logistic__adam.json.abcd.tmp").write_text("{", "utf-8")
    (run / "run.json.1234.tmp").write_text("{", "utf-8")
    finish(folder, undisturbed)


def test_a_damaged_result_is_set_aside_and_computed_again(folder: Path, undisturbed: object) -> None:
    assert code_of(train, folder) == 0
    (file,) = folder.glob("runs/faulty/*/cases/mnist__logistic__adam.json")
    text = file.read_text("utf-8")
    file.write_text(text[: len(text) // 2], "utf-8")
    assert code_of(train, folder, resume=True) == 0
    assert told(folder, "started")[3:] == ["mnist/logistic/adam"]
    assert figures(folder) == undisturbed
    assert file.with_name(f"{file.name}.damaged").read_text("utf-8") == text[: len(text) // 2]
