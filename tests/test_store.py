from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from benchmnist.errors import StoreError
from benchmnist.store import RunFolder, load_run, new_run_path, write_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.results import RunResult


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
    with pytest.raises(StoreError, match=r"cannot make a run folder in .*; choose a folder .* with --out"):
        RunFolder(new_run_path(tmp_path / "file", "x")).make()


def test_a_run_is_read_back(small_run: RunResult) -> None:
    again = load_run(small_run.path)
    assert again == small_run
    assert [case.id for case in again.cases] == ["mnist/fc/sgd", "mnist/fc/adam"]
    assert again["mnist/fc/adam"].status == "completed"
    with pytest.raises(KeyError, match="there are: mnist/fc/sgd, mnist/fc/adam"):
        again["mnist/fc/adamm"]


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_folder_of_runs_stands_for_the_newest(small_run: RunResult, tmp_path: Path, up: int) -> None:
    runs = tmp_path / "runs"
    old, new = (runs / "small" / name for name in ("20200101-000000-aaaa", "20300101-000000-aaaa"))
    shutil.copytree(small_run.path, old)
    shutil.copytree(small_run.path, new)
    assert load_run([new, new.parent, runs][up]).path == new


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no run folder: it has no run\.json"):
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
    (run / file).write_text(json.dumps({**content, "schema_version": 99}), "utf-8")
    with pytest.raises(
        StoreError, match=r"was written by a later BenchMNIST \(format 99, this one reads up to 1\)"
    ):
        load_run(run)


def test_a_case_that_has_not_ended_is_absent(small_run: RunResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run.path, run)
    (run / "cases" / "mnist__fc__sgd.json").unlink()
    assert [case.id for case in load_run(run).cases] == ["mnist/fc/adam"]
