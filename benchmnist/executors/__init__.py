"""Executors of cases.

An executor is a context manager that takes tasks, and yields each of their epochs as it comes, then the result.
An epoch is either still to be trained, by its `run` (inline), or was trained and measured elsewhere, and its `run`
does nothing (a worker process). The caller calls `run` once on each and then reads `seconds`: one way to feed
pytest-benchmark from anywhere.

A Trainer (trainer.py) trains, here or in a worker process that LocalExecutor (local.py) starts. An executor
that sends tasks to other machines has a LocalExecutor there to train them.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - messages are read by these types
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from benchmnist.errors import BenchmnistError, UnknownNameError, nearest
from benchmnist.runs.results import CaseResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from benchmnist.extensions.specs import ExecutorSpec
    from benchmnist.runs.results import EpochResult, Evaluation
    from benchmnist.suites.cases import Case

    Tell = Callable[[Case, Sequence[tuple[int, Evaluation]]], None]
    """Receives a task, and evaluations of it, each with the seed of its trial."""


class Epoch(Protocol):
    """An epoch of a trial, trained or still to be trained."""

    @property
    def seed(self) -> int:
        """Seed of the trial."""
        ...

    @property
    def seconds(self) -> float:
        """Training time in seconds; known once the epoch has run."""
        ...

    @property
    def result(self) -> EpochResult | None:
        """Result of the epoch; known at the latest when the next epoch is requested."""
        ...

    def run(self) -> None:
        """Trains the epoch, if it is still to be trained."""


class Executor(Protocol):
    """Executes tasks: cases, or parts of cases with some of their seeds."""

    @property
    def slots(self) -> int:
        """Number of tasks that it executes at the same time.

        With more than one slot, or seed by seed, a task is a single trial; with one slot and case by case, it is a
        whole case. A stacked case is one task.
        """
        ...

    def __enter__(self) -> Self:
        """Starts the resources of the executor."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops these resources at once, even in the middle of a task."""

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Takes a task whenever a slot is free; yields its epochs and finally its result, each with the task.

        The epochs of a task come in order; those of several tasks in any order. If a machine disappears in the
        middle of a task, the task may restart elsewhere, and its epochs come again from the first. A failed task
        has a result with its error. `execute` may be called again when its generator has ended or was closed;
        closing it stops the training.
        """
        ...


@runtime_checkable
class TellsEvaluations(Protocol):
    """An executor that tells of evaluations within an epoch as they happen, which no executor has to.

    Attributes:
        tell: Receives them, a few times a second at most; None if nobody listens.
    """

    tell: Tell | None


@dataclass(frozen=True)
class Workplace:
    """Settings of an executor, besides the cases.

    Attributes:
        device: Device for `resolve_device`: `cpu`, `cuda:0`.
        data_root: Folder of the datasets.
        run_folder: Folder of checkpoints and logs.
        checkpoints: Whether to keep the weights of each trial.
        block: Plugins to exclude.
        jobs: Number of trials at the same time; None lets the executor decide.
        trials: Total number of trials.
        timeout: Time limit of a case, for the training of all its trials, in seconds; None for no limit.
        gpus: Number of GPUs to train on; a single one is that of `device`.
        threads: Number of threads of each worker process; None for an equal share of the cores.
        plugins: Modules to load as plugins, besides the installed ones.
        versions: (name, version) of everything that decides results; a worker with others refuses to train.
        data: (label, hash) of the contents of the planned datasets; a worker that builds others refuses to train.
        recorded: Whether steps may be recorded: not where another case of the run cannot have that.
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
    threads: int | None = None
    plugins: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    data: tuple[tuple[str, str], ...] = ()
    recorded: bool = True


@dataclass(frozen=True)
class Farewell:
    """Last message of a process that can no longer train because the device is broken in it.

    Attributes:
        reason: Cause of the failure.
        result: Result of the task; None if the task must be executed again, in another process and without graphs.
    """

    reason: str
    result: CaseResult | None = None


class Deadlines:
    """Deadlines of the cases: each may take a fixed time, in which at least one of its trials is in training.

    The time between two trials of a case does not count: trials of other cases may be trained then. A Bundle may
    take as long as its cases together.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.running: Counter[str] = Counter()  # number of trials in training, by case id
        self.ends: dict[str, float] = {}  # of the cases in training, on the monotonic clock
        self.unused: dict[str, float] = {}  # seconds of the cases between two trials

    def begin(self, task: Case) -> None:
        """Records the start of a trial."""
        if self.seconds is None:
            return
        self.running[task.id] += 1
        if self.running[task.id] == 1:
            self.ends[task.id] = time.monotonic() + self.unused.pop(task.id, self.seconds * len(task.firsts))

    def end(self, task: Case) -> None:
        """Records the end of a trial that has begun; without it, the time of its case goes on."""
        if self.running[task.id] == 0:
            return
        self.running[task.id] -= 1
        if self.running[task.id] == 0:
            self.unused[task.id] = self.ends.pop(task.id) - time.monotonic()

    def left(self, tasks: Iterable[Case]) -> float | None:
        """Returns the seconds until the first deadline of the tasks; None without a deadline."""
        ends = [self.ends[task.id] for task in tasks if task.id in self.ends]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def overdue(self, task: Case) -> CaseResult | None:
        """Returns the result of a task beyond its deadline; None before it."""
        if self.seconds is None or self.left([task]) != 0.0:
            return None
        why = f"stopped after {self.seconds:g} s, before it had finished (--timeout)"
        return CaseResult(case=task, status="timed out", error=why)


def build_executor(spec: ExecutorSpec, workplace: Workplace, given: Mapping[str, Any] | None = None) -> Executor:
    """Builds an executor with the given options; others come from the environment, or are the default.

    Raises:
        UnknownNameError: if the executor has no such option.
        BenchmnistError: if an option cannot be read, or the executor does not support the settings.
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
