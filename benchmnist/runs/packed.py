"""Packed runs: a run as one zip file, to be sent or to come with a package.

It has run.json and cases/*.json as a run folder has them, each with its checksum, and nothing else: no weights, no
pictures. It is read where a run is named, and never unpacked; other members are not looked at.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmnist.errors import StoreError, reason
from benchmnist.runs.files import LARGEST, RUN_FILE, CaseOrRecord, damaged, encoded, value_of, write_named_file
from benchmnist.runs.results import figure_of
from benchmnist.suites.budgets import target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmnist.runs.results import CaseResult, EpochResult, Evaluation, RunResult, TrialResult

SUFFIX = ".zip"
CASES = "cases"
MOMENT = (1980, 1, 1, 0, 0, 0)
"""Time of every member, so that the same run makes the same file."""
WITHOUT_CURVES = (
    "packed without its curves: of each trial, the evaluation that reached the target and the last of each epoch"
)
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""Exceptions of reading a zip file if it is damaged, encrypted or packed by a method that Python has not."""


def is_packed(path: Path) -> bool:
    """Tells whether a path is that of a packed run: an existing file with its suffix."""
    try:
        return path.suffix == SUFFIX and path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def pack(run: RunResult, file: Path, *, curves: bool = True) -> None:
    """Writes a run into a zip file: its record and its results, without weights and without what others recorded.

    Args:
        run: The run.
        file: The file, `NAME.zip`; an existing one is replaced.
        curves: Whether all evaluations are kept. Without them, a note of the run says so.

    Raises:
        StoreError: if the name has another suffix, or the file cannot be written.
    """
    if file.suffix != SUFFIX:
        raise StoreError(f"cannot pack into {file}: the name of a packed run ends with {SUFFIX}")
    record = run.record.model_copy(update={"recorded": False})
    if not curves and record.curves:
        record = record.model_copy(update={"curves": False, "notes": (*record.notes, WITHOUT_CURVES)})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as members:
        _add(members, RUN_FILE, encoded(record, as_read=True))
        for result in run.cases:
            trials = tuple(_packed(trial, result, curves=curves) for trial in result.trials)
            kept = result.model_copy(update={"trials": trials})
            _add(members, f"{CASES}/{result.case.file_stem}.json", encoded(kept, as_read=True))
    write_named_file(file, content.getvalue())


def _add(members: zipfile.ZipFile, name: str, text: str) -> None:
    member = zipfile.ZipInfo(name, MOMENT)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    members.writestr(member, text.encode())


def _packed(trial: TrialResult, result: CaseResult, *, curves: bool) -> TrialResult:
    """Returns a trial without its weights, and with or without its curves."""
    if curves:
        return trial.model_copy(update={"checkpoint": None})
    epochs, reached = [], False
    for epoch in trial.epochs:
        kept, reached = _deciding(epoch, result, reached=reached)
        epochs.append(epoch.model_copy(update={"step_losses": (), "evaluations": kept, "dynamics": ()}))
    return trial.model_copy(update={"checkpoint": None, "epochs": tuple(epochs)})


def _deciding(epoch: EpochResult, result: CaseResult, *, reached: bool) -> tuple[tuple[Evaluation, ...], bool]:
    """Returns the evaluations that decide what is said of a trial, and whether it has reached its target by then.

    Patience is decided by all of them.
    """
    target, kept = target_of(result.case), []
    for evaluation in epoch.evaluations:
        reaches = not reached and target is not None and target.is_met_by(figure_of(evaluation, target.metric))
        if reaches or evaluation is epoch.evaluations[-1] or result.case.patience is not None:
            kept.append(evaluation)
        reached = reached or reaches
    return tuple(kept), reached


class Packed:
    """A packed run that is open for reading.

    Attributes:
        names: Names of its results, `cases/….json`.
    """

    def __init__(self, path: Path, members: zipfile.ZipFile) -> None:
        self.path, self._members = path, members
        self.names = {name for name in members.namelist() if name.startswith(f"{CASES}/")}

    def read(self, name: str, model: type[CaseOrRecord]) -> CaseOrRecord:
        """Reads a value.

        Raises:
            StoreError: if it is missing or damaged, or was written by a later version.
        """
        path = self.path / name
        try:
            with self._members.open(name) as member:
                content = member.read(LARGEST + 1)  # a small file may unpack to a terabyte
        except KeyError:
            raise StoreError(f"{self.path} is not a packed run: {name} is missing") from None
        except UNREADABLE as error:
            raise damaged(path, str(error)) from error
        if len(content) > LARGEST:
            raise StoreError(f"cannot read {path}: larger than {LARGEST:,} bytes")
        return value_of(content, path, model)


@contextmanager
def opened(path: Path) -> Iterator[Packed]:
    """Opens a packed run.

    Raises:
        StoreError: if it cannot be read, or is no zip file.
    """
    try:
        members = zipfile.ZipFile(path)
    except UNREADABLE as error:
        said = reason(error) if isinstance(error, OSError) else "it is no zip file, or damaged"
        raise StoreError(f"cannot read {path}: {said}") from error
    with members:
        yield Packed(path, members)
