"""The executors: where cases are executed.

An executor is a context manager that is given tasks, and yields every epoch of theirs as it comes, then the
result. What it yields is either an epoch still to be trained, which `run` then trains (inline), or one that was
trained and measured elsewhere, whose `run` does nothing (a worker process). Whoever drives it calls `run` once on
each and then reads `seconds`: one way to feed pytest-benchmark from anywhere.

A Trainer (trainer.py) trains, here or in a worker process that LocalExecutor (local.py) starts. An executor
that sends tasks to other machines has a LocalExecutor there to train them.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from benchmnist.errors import BenchmnistError, UnknownNameError, nearest
from benchmnist.runs.results import CaseResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from benchmnist.extensions.specs import ExecutorSpec
    from benchmnist.runs.results import EpochResult
    from benchmnist.suites.cases import Case


class Epoch(Protocol):
    """An epoch of a trial, trained or to be trained."""

    @property
    def seed(self) -> int:
        """Of the trial."""
        ...

    @property
    def seconds(self) -> float:
        """How long its training took; known once it has run."""
        ...

    @property
    def result(self) -> EpochResult | None:
        """What came of it; known at the latest when the next epoch is asked for."""
        ...

    def run(self) -> None:
        """Trains it, if that is still to be done."""


class Executor(Protocol):
    """Executes tasks: cases, or parts of cases with some of their seeds."""

    @property
    def slots(self) -> int:
        """How many tasks it executes at the same time.

        With more than one it is given every trial by itself, the longest first; with one, a whole case at a time.
        """
        ...

    def __enter__(self) -> Self:
        """Starts what it needs."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what it started, at once, also in the middle of a task."""

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Takes a task whenever it has room; yields, each with its task, the epochs and at last the result.

        The epochs of a task come in order; those of several tasks in any. Where a machine went away in the middle
        of a task, it may be begun anew, elsewhere, and its epochs come again from the first. A task that failed,
        for whatever reason, has a result that says so. It may be called again when it has ended, or was closed:
        closed, it ends what is being trained.
        """
        ...


@dataclass(frozen=True)
class Workplace:
    """What an executor has to know beside the cases.

    Attributes:
        device: As `resolve_device` takes it: `cpu`, `cuda:0`.
        data_root: Where datasets are kept.
        run_folder: Where checkpoints and logs go.
        checkpoints: Whether the weights of each trial are kept.
        block: Plugins to leave out.
        jobs: How many trials at the same time; None leaves it to the executor.
        trials: How many there are in all.
        timeout: Seconds that a case may take, with all its trials; None lets it take what it takes.
        gpus: How many GPUs there are to train on; with one it is that of `device`.
        plugins: Modules to load as plugins, beside what is installed.
        versions: Of what decides results, (name, version): a worker that has another refuses to train.
    """

    device: str
    data_root: Path
    run_folder: Path
    checkpoints: bool = True
    block: tuple[str, ...] = ()
    jobs: int | None = 1
    trials: int = 1
    timeout: float | None = None
    gpus: int = 1
    plugins: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Farewell:
    """The last thing that a process says which cannot train any more, since the device is broken in it.

    Attributes:
        reason: What happened.
        result: What came of the task; None where it has to be executed again, elsewhere and without graphs.
    """

    reason: str
    result: CaseResult | None = None


class Deadlines:
    """When each case has to have ended: so long after its first trial began."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.ends: dict[str, float] = {}  # by case id, on the monotonic clock

    def begin(self, task: Case) -> None:
        """A trial of a case begins."""
        if self.seconds is not None:
            self.ends.setdefault(task.id, time.monotonic() + self.seconds)

    def left(self, tasks: Iterable[Case]) -> float | None:
        """Seconds until the first of those tasks has to have ended; None where none has to."""
        ends = [self.ends[task.id] for task in tasks if task.id in self.ends]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def overdue(self, task: Case) -> CaseResult | None:
        """What became of a task that should have ended; None if it may go on."""
        if self.seconds is None or self.left([task]) != 0.0:
            return None
        why = f"stopped after {self.seconds:g} s, before it had finished (--timeout)"
        return CaseResult(case=task, status="timed out", error=why)


def build_executor(spec: ExecutorSpec, workplace: Workplace, given: Mapping[str, Any] | None = None) -> Executor:
    """An executor, with its options as they are given; else as the environment says them; else as they are.

    Raises:
        UnknownNameError: if it has no such option.
        BenchmnistError: if an option cannot be read, or the executor cannot do what it is asked for.
    """
    given = given or {}
    names = [option.name for option in spec.options]
    for name in given:
        if name not in names:
            raise UnknownNameError(
                f"the executor {spec.name!r} has no option {name!r}.{nearest(name, names)} "
                f"Known options: {', '.join(names) or 'none'}"
            )
    options: dict[str, Any] = {}
    for option in spec.options:
        value = given.get(option.name)
        said = os.environ.get(option.variable(spec.name))
        if value is None and said is not None:
            try:
                value = option.type(said)
            except ValueError:
                kind = {int: "a whole number", float: "a number"}[option.type]
                raise BenchmnistError(f"{option.variable(spec.name)}={said} must be {kind}") from None
        options[option.name] = option.default if value is None else value
    executor: Executor = spec.load()(workplace, **options)
    return executor
