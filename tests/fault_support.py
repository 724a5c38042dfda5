"""Processes in which things go wrong, for tests/test_faults.py: each function is the whole of such a process."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import benchmnist
from benchmnist.errors import StoreError
from benchmnist.runs.store import WITH_FIGURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.runs.results import CaseResult, EpochResult
    from benchmnist.suites.cases import Case

REFUSED = 7
"""The exit code where the run could not be written."""


class Log(benchmnist.Observer):
    """Writes down what a person would have been told, in a file that no fault touches; dies of the last part."""

    def __init__(self, file: Path, last_part: int | None = None) -> None:
        self.parts, self.last_part = 0, last_part
        self.descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(self, line: str) -> None:
        os.write(self.descriptor, f"{line}\n".encode())

    def case_started(self, case: Case) -> None:
        self.say(f"started {case.id}")

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        if result.epoch == case.epochs:
            self.say(f"trained {case.id} {seed}")

    def part_ended(self, result: CaseResult) -> None:
        self.say(f"part {result.id} {result.trials[0].seed}")
        self.parts += 1
        if self.parts == self.last_part:
            die()

    def case_ended(self, result: CaseResult) -> None:
        self.say(f"{'ended' if result.status in WITH_FIGURES else 'cut short'} {result.id}")


def train(folder: Path, *, resume: bool = False, jobs: int = 0, last_part: int | None = None) -> None:
    """A run of the suite in a folder, or the rest of it: without jobs in this process, else in so many workers.

    With a last part it is killed as soon as it is told of so many.
    """
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    try:
        benchmnist.run(
            folder / "suite.toml",
            device="cpu",
            executor="local" if jobs else "inline",
            jobs=jobs or None,
            out=folder / "runs",
            resume=resume,
            observer=Log(folder / "log", last_part),
        )
    except StoreError as error:
        Log(folder / "log").say(f"refused {error}")
        os._exit(REFUSED)
    os._exit(0)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still here")


def train_until_the(number: int, folder: Path, happens: Callable[[], Any] = die, *, resume: bool = False) -> None:
    """As `train`; at the so-maniest fsync or replace something happens instead."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                happens()
            return function(*args, **kwargs)

        return call

    os.fsync, os.replace, os.rename = counted(os.fsync), counted(os.replace), counted(os.rename)
    train(folder, resume=resume)


def no_space() -> NoReturn:
    raise OSError(28, "No space left on device")


def bad_disk() -> NoReturn:
    raise OSError(5, "Input/output error")


def read_only() -> NoReturn:
    raise OSError(30, "Read-only file system")


def too_many_files() -> NoReturn:
    raise OSError(24, "Too many open files")


def train_until_power_fails(seed: int, folder: Path, *, resume: bool = False) -> None:
    """As `train`, until a random fsync or replace: then of what was not synced a random part is lost.

    A file's contents are safe once it was synced, its new name once its folder was.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    synced: set[Path] = set()
    renamed: list[tuple[Path, bytes | None]] = []  # and what stood there before
    fsync, replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        maybe_fail()
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.add(path)
        renamed[:] = [entry for entry in renamed if entry[0].parent.resolve() != path]

    def put(source: Any, target: Any) -> None:
        maybe_fail()
        source, target = Path(source), Path(target)
        if source.resolve() not in synced:
            source.write_bytes(source.read_bytes()[: chance.randrange(source.stat().st_size + 1)])
        renamed.append((target, target.read_bytes() if target.is_file() else None))
        replace(source, target)

    def maybe_fail() -> None:
        if chance.random() < 0.06:
            for path, before in reversed(renamed):
                if chance.random() < 0.5:
                    path.unlink(missing_ok=True) if before is None else path.write_bytes(before)
            die()

    os.fsync, os.replace = sync, put  # type: ignore[assignment]
    train(folder, resume=resume)
