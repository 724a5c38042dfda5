"""The work of a job: it has a task trained in another process, and writes the events to a file.

A model that takes its process with it takes that one, not the job; so where the job dies, it was not the model.

Each attempt at a task has its files in the run folder, which all machines see: a note `….waits.json`, written
before the job is submitted, and its words, `….jsonl`. The job begins by renaming the note to `….begun.json`; a
driver that gives an attempt up removes the note. Only one of them can, so that no task is trained by two.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
from typing import TYPE_CHECKING, Any

import submitit
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from benchmnist.errors import formatted_traceback
from benchmnist.executors.local import LocalExecutor
from benchmnist.runs.results import CaseResult, EpochResult, MeasuredEpoch

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType
    from typing import BinaryIO

    from benchmnist.executors import Workplace
    from benchmnist.suites.cases import Case


class Word(TypedDict, total=False):
    """A line of a job's output: its start and its identity, an epoch of a seed, the result, or what we raised."""

    begins: str
    process: int
    job: str
    seed: int
    epoch: EpochResult
    result: CaseResult
    raised: str


WORD = TypeAdapter(Word)


class Attempt:
    """The files of an attempt at a task.

    Attributes:
        stem: What they begin with; the folder among it.
    """

    def __init__(self, stem: Path) -> None:
        self.stem = stem

    def _file(self, suffix: str) -> Path:
        return self.stem.with_name(f"{self.stem.name}.{suffix}")

    @property
    def waits(self) -> Path:
        """The note of the work, until a job begins it."""
        return self._file("waits.json")

    @property
    def begun(self) -> Path:
        """The same note afterwards."""
        return self._file("begun.json")

    @property
    def job(self) -> Path:
        """The file with SLURM's id of the job."""
        return self._file("job")

    @property
    def words(self) -> Path:
        """The file of its output, one Word per line."""
        return self._file("jsonl")

    def begin(self) -> bool:
        """Claims the attempt; False if it was withdrawn. SLURM may begin a job more than once."""
        with contextlib.suppress(FileNotFoundError):
            self.waits.rename(self.begun)
        return self.begun.is_file()

    def give_up(self) -> None:
        """Withdraws the attempt."""
        for note in (self.waits, self.begun):
            note.unlink(missing_ok=True)


def train(workplace: Workplace, task: Case, threads: int, attempt: Attempt) -> None:
    """Executes a task, and appends its events to a file; also an exception of our own, which nobody unpickles."""
    # submitit's handlers would go on after the one, and raise at the other, which comes before the time is over.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    with attempt.words.open("ab") as file:
        try:
            _train(file, workplace, task, threads, attempt)
        except Exception as error:
            _say(file, raised=formatted_traceback(error))
            raise


def _train(file: BinaryIO, workplace: Workplace, task: Case, threads: int, attempt: Attempt) -> None:
    log = attempt.words.with_suffix(".log")
    with LocalExecutor(workplace, log, {"OMP_NUM_THREADS": str(threads)}) as executor:
        # First this, so that a driver that finds the note renamed also finds whom to ask for.
        _say(file, begins=platform.node(), process=os.getpid(), job=submitit.JobEnvironment().job_id)
        if not attempt.begin():
            return
        for _, step in executor.execute(iter([task])):
            if isinstance(step, CaseResult):
                _say(file, result=step)
            elif isinstance(step, MeasuredEpoch) and step.result is not None:
                _say(file, seed=step.seed, epoch=step.result)


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _say(file: BinaryIO, **word: Any) -> None:
    file.write(WORD.dump_json(word) + b"\n")
    file.flush()
    os.fsync(file.fileno())


class Words:
    """Reads the new output of a job, while the job may still be writing."""

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0

    def new(self) -> list[Word]:
        """Returns the complete lines. It opens the file each time: otherwise NFS would not show new lines."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.read)
                said = file.read()
        except FileNotFoundError:
            return []
        whole = said[: said.rfind(b"\n") + 1]
        self.read += len(whole)
        return [word for line in whole.splitlines() if (word := _word(line)) is not None]


def _word(line: bytes) -> Word | None:
    """Parses a line; None if a node died in the middle of it, and the next attempt continued it."""
    try:
        return WORD.validate_json(line)
    except ValidationError:
        return None
