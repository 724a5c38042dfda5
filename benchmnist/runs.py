"""The runs that there are: listed, searched for results, removed."""

from __future__ import annotations

import shutil
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.errors import StoreError
from benchmnist.store import (
    LOCK,
    RUN_FILE,
    WITH_FIGURES,
    RunFolder,
    load_record,
    readable_cases,
    runs_in,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from benchmnist.results import CaseResult


@dataclass(frozen=True)
class StoredRun:
    """A run, as a list of runs shows it.

    Attributes:
        path: Its folder.
        suite: The name of its suite.
        status: As in its record; `killed`, where that says `running` and nobody writes it; `damaged`.
        started: UTC, ISO 8601; None where its record cannot be read.
        done: How many cases have ended with a figure.
        planned: How many there are in all.
        best: The highest mean accuracy of its cases after their last epochs in %, and the case.
        bytes: What its folder takes.
    """

    path: Path
    suite: str
    status: str
    started: str | None = None
    done: int = 0
    planned: int = 0
    best: tuple[float, str] | None = None
    bytes: int = 0


def stored_runs(out: Path) -> list[StoredRun]:
    """The runs in a folder of runs, the newest first."""
    return [_stored(path) for path in reversed(runs_in(out))]


def _stored(path: Path) -> StoredRun:
    taken = size_of(path)
    try:
        record = load_record(path)
    except StoreError:
        return StoredRun(path, path.parent.name, "damaged", bytes=taken)
    whole = [result for _, result in readable_cases(path) if result.status in WITH_FIGURES]
    reached = [
        (statistics.fmean(finals), result.id)
        for result in whole
        if (
            finals := [
                trial.epochs[-1].test_accuracy
                for trial in result.trials
                if trial.status == "completed" and trial.epochs[-1].test_accuracy is not None
            ]
        )
    ]
    status = record.status if record.status != "running" or RunFolder(path).is_locked() else "killed"
    best = max(reached, default=None)
    return StoredRun(path, record.suite, status, record.started, len(whole), len(record.plan), best, taken)


def take_over(folder: RunFolder, out: Path, keys: Collection[str]) -> dict[str, CaseResult]:
    """Of those keys the newest results that the runs in `out` have, each saying which run it is of.

    The weights that were kept are copied into the folder; damaged results are passed over.
    """
    found: dict[str, CaseResult] = {}
    for run in reversed(runs_in(out)):
        if len(found) == len(keys):
            break
        for _, result in readable_cases(run):
            if result.key not in keys or result.key in found or result.status not in WITH_FIGURES:
                continue
            for trial in result.trials:
                if trial.checkpoint is not None and (run / trial.checkpoint).is_file():
                    folder.copy(trial.checkpoint, run)
            source = result.reused_from or f"{run.parent.name}/{run.name}"
            found[result.key] = result.model_copy(update={"reused_from": source})
    return found


def size_of(path: Path) -> int:
    """Bytes that the files in a folder take."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove_run(path: Path) -> None:
    """Removes a run folder; one that is removed half-way is no run any more.

    Raises:
        StoreError: if somebody writes it, or it cannot be removed.
    """
    try:
        with RunFolder(path).lock():
            (path / RUN_FILE).unlink()
            for part in path.iterdir():
                if part.is_dir():
                    shutil.rmtree(part)
                elif part.name != LOCK:
                    part.unlink()
        shutil.rmtree(path)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror or error}") from error
