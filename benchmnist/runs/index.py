"""Lists the stored runs, searches them for results, and removes them."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import case_figure
from benchmnist.errors import StoreError, reason
from benchmnist.runs.files import RUN_FILE, read_file, write_file
from benchmnist.runs.packed import is_packed
from benchmnist.runs.store import (
    LOCK,
    WITH_FIGURES,
    RunFolder,
    checkpoint_name,
    ended_cases,
    load_record,
    readable_cases,
    runs_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case


@dataclass(frozen=True)
class StoredRun:
    """A run in a list of runs.

    Attributes:
        path: Folder of the run.
        suite: Name of its suite.
        status: Status in its record; `killed` if the record has `running` and no process writes it; `damaged`.
        started: UTC, ISO 8601; None if its record cannot be read.
        done: Number of cases that ended with a figure.
        planned: Total number of cases.
        best: Highest mean accuracy of its cases after their last epochs, in %, and the case.
        bytes: Size of its folder.
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
    """Returns the runs in a folder of runs, the newest first."""
    return [_stored(path) for path in reversed(runs_in(out))]


def _stored(path: Path) -> StoredRun:
    taken = size_of(path)
    try:
        record = load_record(path)
    except StoreError:
        return StoredRun(path, path.parent.name, "damaged", bytes=taken)
    whole = [result for result in ended_cases(path, record) if result.status in WITH_FIGURES]
    reached = [
        (figure.mean, result.id)
        for result in whole
        if (figure := case_figure(result, result.case.primary)) is not None
    ]
    status = record.status if record.status != "running" or RunFolder(path).is_locked() else "killed"
    best = max(reached, default=None)
    return StoredRun(path, record.suite, status, record.started, len(whole), len(record.plan), best, taken)


def earlier_results(out: Path, keys: Collection[str]) -> dict[str, tuple[CaseResult, Path]]:
    """Returns the newest undamaged result for each key in the runs of `out`, with its run."""
    found: dict[str, tuple[CaseResult, Path]] = {}
    for run in reversed(runs_in(out)):
        if len(found) == len(keys):
            break
        for _, result in readable_cases(run):
            if result.key in keys and result.status in WITH_FIGURES:
                found.setdefault(result.key, (result, run))
    return found


def with_other_seeds(
    cases: Sequence[Case], runs: Sequence[Path], key_of: Callable[[Case], str], own: RunFolder | None = None
) -> dict[str, tuple[CaseResult, Path]]:
    """Returns results of the same cases with other seeds, reduced to the trials that the cases ask for.

    Of several, it is the one that has most of these trials, the newest of those.

    Args:
        cases: The cases.
        runs: Where to look, the oldest first.
        key_of: The key of a case, whatever its seeds are.
        own: The folder that is resumed; what was read of it is not read again.
    """
    by_key: dict[tuple[int, ...], dict[str, Case]] = {}
    found: dict[str, tuple[CaseResult, Path]] = {}
    for run in reversed(runs) if cases else ():
        for _, result in own.cases() if own and run == own.path else readable_cases(run):
            seeds = result.case.seeds
            if seeds not in by_key:
                by_key[seeds] = {key_of(case.model_copy(update={"seeds": seeds})): case for case in cases}
            case = by_key[seeds].get(result.key)
            if case is None or result.status not in WITH_FIGURES:
                continue
            trials = tuple(trial for trial in result.trials if trial.seed in case.seeds)
            if trials and (case.id not in found or len(trials) > len(found[case.id][0].trials)):
                share = result.wall_seconds * len(trials) / len(result.trials)
                found[case.id] = result.model_copy(update={"trials": trials, "wall_seconds": share}), run
    return found


def taken_over(result: CaseResult, case: Case, folder: RunFolder, source: Path) -> CaseResult:
    """Returns a result of the run in `source` as that of a case of the run in `folder`, possibly renamed.

    If it is another run, the result names it. Stored weights are copied to a file name that contains the key, so
    that later trainings under the old or the new name do not overwrite them.

    Raises:
        StoreError: if the weights cannot be copied.
    """
    trials = []
    for trial in result.trials:
        if trial.checkpoint is not None and (weights := _own_file(source, trial.checkpoint)):
            file = checkpoint_name(case, trial.seed, result.key)
            write_file(folder.path / file, read_file(weights))
            trials.append(trial.model_copy(update={"checkpoint": file}))
        else:
            trials.append(trial)
    update: dict[str, object] = {"trials": tuple(trials)}
    if source != folder.path:
        update["reused_from"] = result.reused_from or f"{source.parent.name}/{source.name}"
    return result.model_copy(update=update)


def _own_file(run: Path, name: str) -> Path | None:
    """Returns a file of a run by its name within the folder; None if it is missing, or a link leads elsewhere."""
    path = (run / name).resolve()
    return path if path.is_file() and path.is_relative_to(run.resolve()) else None


def size_of(path: Path) -> int:
    """Returns the size of a packed run, or of all files in a folder, in bytes; files that vanish do not count."""
    total = path.stat().st_size if is_packed(path) else 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(folder, name)).st_size
    return total


def remove_run(path: Path) -> None:
    """Removes a run folder or a packed run; a partly removed folder is no longer a run.

    Raises:
        StoreError: if a process writes to it, or it cannot be removed.
    """
    try:
        if is_packed(path):
            path.unlink()
            return
        with RunFolder(path).lock():
            (path / RUN_FILE).unlink()
            for part in path.iterdir():
                if part.is_dir() and not part.is_symlink():
                    shutil.rmtree(part)
                elif part.name != LOCK:
                    part.unlink()
        shutil.rmtree(path)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {reason(error)}") from error
