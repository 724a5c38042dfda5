from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmnist.errors import StoreError
from benchmnist.runs.files import write_file
from benchmnist.runs.results import SCHEMA
from benchmnist.runs.store import RunFolder, load_run, new_run_path

if TYPE_CHECKING:
    from benchmnist.runs.results import RunResult


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "file.txt"
    write_file(file, "one")
    write_file(file, b"two")
    assert file.read_bytes() == b"two"
    assert [child.name for child in file.parent.iterdir()] == ["file.txt"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.txt"
    write_file(file, "old")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreError, match=r"cannot write .*file\.txt: No space left on device"):
        write_file(file, "new")
    assert file.read_text("utf-8") == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["file.txt"]


def test_run_folders_of_the_same_second_are_not_the_same(tmp_path: Path) -> None:
    assert len({new_run_path(tmp_path, "x") for _ in range(5)}) == 5


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(StoreError, match=r"cannot create a run folder in .*; choose a writable folder with --out"):
        RunFolder(new_run_path(tmp_path / "file", "x")).make()


def test_a_run_is_read_back(small_run: RunResult) -> None:
    again = load_run(small_run.path)
    assert again == small_run
    assert [case.id for case in again.cases] == ["mnist/fc/sgd", "mnist/fc/adam"]
    assert again["mnist/fc/adam"].status == "completed"
    with pytest.raises(KeyError, match="known cases: mnist/fc/sgd, mnist/fc/adam"):
        again["mnist/fc/adamm"]


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_folder_of_runs_stands_for_the_newest(small_run: RunResult, tmp_path: Path, up: int) -> None:
    runs = tmp_path / "runs"
    old, new = (runs / "small" / name for name in ("20200101-000000-aaaa", "20300101-000000-aaaa"))
    shutil.copytree(small_run.path, old)
    shutil.copytree(small_run.path, new)
    assert load_run([new, new.parent, runs][up]).path == new


def test_of_runs_that_began_in_the_same_second_the_later_is_the_newer(
    small_run: RunResult, tmp_path: Path
) -> None:
    for name in ("20200101-000000-ffff", "20200101-000000-0000"):
        shutil.copytree(small_run.path, tmp_path / "small" / name, ignore=shutil.ignore_patterns(".lock"))
        with RunFolder(tmp_path / "small" / name).lock():
            pass
    assert load_run(tmp_path).path.name == "20200101-000000-0000"


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a run folder: run\.json is missing"):
        load_run(tmp_path)
    with pytest.raises(StoreError, match=r"nothing does not exist; `benchmnist runs` lists the runs"):
        load_run(tmp_path / "nothing")


@pytest.mark.parametrize("file", ["run.json", "cases/mnist__fc__adam.json"])
def test_a_damaged_file_is_named(small_run: RunResult, tmp_path: Path, file: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run.path, run)
    (run / file).write_text((run / file).read_text("utf-8")[:-20], "utf-8")
    with pytest.raises(StoreError, match=f"{file} is damaged"):
        load_run(run)


@pytest.mark.parametrize("file", ["run.json", "cases/mnist__fc__adam.json"])
def test_a_later_format_is_refused(small_run: RunResult, tmp_path: Path, file: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run.path, run)
    content = json.loads((run / file).read_text("utf-8"))
    assert content["schema_version"] == SCHEMA
    (run / file).write_text(json.dumps({**content, "schema_version": 99}), "utf-8")
    with pytest.raises(
        StoreError, match=r"was written by a later BenchMNIST \(format 99, this one reads up to 3\)"
    ):
        load_run(run)


DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_run_of_every_format_that_there_was_is_read(number: int) -> None:
    run = load_run(DATA / f"format-{number}")
    assert run.record.schema_version == number
    assert [case.schema_version for case in run.cases] == [number, number]
    assert [case.status for case in run.cases] == ["completed", "completed"]
    last = [trial.epochs[-1].test_accuracy for trial in run["mnist/fc/adam"].trials]
    assert last == {1: [97.7, 97.98, 97.95], 2: [79.5, 77.5], 3: [79.5, 77.5]}[number]
    losses = [trial.epochs[-1].test_loss for trial in run["mnist/fc/adam"].trials]
    assert all(loss is not None and 0 < loss < 1 for loss in losses)


def test_a_result_of_an_earlier_format_is_written_in_this_one(tmp_path: Path) -> None:
    before = load_run(DATA / "format-2")
    folder = RunFolder(tmp_path / "suite" / "run")
    folder.make()
    folder.write_record(before.record)
    for case in before.cases:
        folder.write_case(case)
    after = load_run(folder.path)
    assert [case.schema_version for case in after.cases] == [SCHEMA] * len(before.cases)
    assert [case.trials for case in after.cases] == [case.trials for case in before.cases]


def test_every_format_has_its_file() -> None:
    assert {*range(1, SCHEMA + 1)} == {int(folder.name.partition("-")[2]) for folder in DATA.glob("format-*")}


WHOLE = (DATA / "format-2" / "cases" / "mnist__fc__adam.json").read_bytes()


def damaged(run: Path, content: bytes) -> None:
    (run / "cases" / "mnist__fc__adam.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"mnist__fc__adam\.json"):
        load_run(run)


@pytest.fixture(scope="module")
def copy_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(DATA / "format-2", run)
    return run


@given(st.integers(0, len(WHOLE) - 1))
def test_a_result_that_is_cut_short_is_noticed(copy_of_a_run: Path, length: int) -> None:
    damaged(copy_of_a_run, WHOLE[:length])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_that_is_another_is_noticed(copy_of_a_run: Path, index: int, change: int) -> None:
    other = bytes([WHOLE[index] ^ change])
    damaged(copy_of_a_run, WHOLE[:index] + other + WHOLE[index + 1 :])


@pytest.mark.faults
def test_every_byte_that_is_missing_or_another_is_noticed(copy_of_a_run: Path) -> None:
    for index in range(len(WHOLE)):
        damaged(copy_of_a_run, WHOLE[:index])
        damaged(copy_of_a_run, WHOLE[:index] + bytes([WHOLE[index] ^ 1]) + WHOLE[index + 1 :])


def test_a_folder_in_which_nobody_can_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with (
        pytest.raises(StoreError, match=r"cannot write in .*file: (Not a directory|File exists)"),
        RunFolder(tmp_path / "file").lock(),
    ):
        pass


def test_a_case_that_has_not_ended_is_absent(small_run: RunResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run.path, run)
    (run / "cases" / "mnist__fc__sgd.json").unlink()
    assert [case.id for case in load_run(run).cases] == ["mnist/fc/adam"]
