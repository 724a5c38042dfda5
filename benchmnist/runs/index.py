"""The runs that there are: listed, searched for results, removed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import case_figure
from benchmnist.errors import StoreError
from benchmnist.runs.store import (
    CHECKPOINTS,
    LOCK,
    RUN_FILE,
    WITH_FIGURES,
    RunFolder,
    load_record,
    readable_cases,
    runs_in,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case


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
        (figure.mean, result.id)
        for result in whole
        if (figure := case_figure(result, result.case.primary)) is not None
    ]
    status = record.status if record.status != "running" or RunFolder(path).is_locked() else "killed"
    best = max(reached, default=None)
    return StoredRun(path, record.suite, status, record.started, len(whole), len(record.plan), best, taken)


def earlier_results(out: Path, keys: Collection[str]) -> dict[str, tuple[CaseResult, Path]]:
    """Of those keys the newest results that the runs in `out` have, each with its run; none that is damaged."""
    found: dict[str, tuple[CaseResult, Path]] = {}
    for run in reversed(runs_in(out)):
        if len(found) == len(keys):
            break
        for _, result in readable_cases(run):
            if result.key in keys and result.status in WITH_FIGURES:
                found.setdefault(result.key, (result, run))
    return found


def taken_over(result: CaseResult, case: Case, folder: RunFolder, source: Path) -> CaseResult:
    """A result of the run in `source` as that of a case, which may be called otherwise, of the run in `folder`.

    If it is another run, the result says so. The weights that were kept are copied to a name that has the key in
    it: whatever is trained under the old name, or the new one, is written elsewhere.

    Raises:
        StoreError: if the weights cannot be copied.
    """
    trials = []
    for trial in result.trials:
        if trial.checkpoint is not None and (source / trial.checkpoint).is_file():
            file = f"{CHECKPOINTS}/{case.file_stem}__seed-{trial.seed}.{result.key[:8]}.safetensors"
            write_file(folder.path / file, (source / trial.checkpoint).read_bytes())
            trials.append(trial.model_copy(update={"checkpoint": file}))
        else:
            trials.append(trial)
    update: dict[str, object] = {"trials": tuple(trials)}
    if source != folder.path:
        update["reused_from"] = result.reused_from or f"{source.parent.name}/{source.name}"
    return result.model_copy(update=update)


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
