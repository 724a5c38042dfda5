"""The executors: where cases are executed.

An executor is a context manager that is given tasks, and yields every epoch of theirs as it comes, then the
result. What it yields is either an epoch still to be trained, which `run` then trains (inline), or one that was
trained and measured elsewhere, whose `run` does nothing (a worker process). Whoever drives it calls `run` once on
each and then reads `seconds`: one way to feed pytest-benchmark from anywhere.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from benchmnist import store
from benchmnist.errors import BenchmnistError
from benchmnist.plugins import find_plugins
from benchmnist.results import CaseResult
from benchmnist.training.data import Datasets
from benchmnist.training.environment import resolve_device
from benchmnist.training.loop import train_case
from benchmnist.training.ways import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from torch import Tensor

    from benchmnist.cases import Case
    from benchmnist.results import EpochResult


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
    """Executes tasks: cases, or parts of cases with some of their seeds.

    Attributes:
        slots: How many tasks it executes at the same time. With more than one it is given every trial by itself,
            and is told of as many as it has room for; with one, a whole case at a time.
    """

    slots: int

    def __enter__(self) -> Self:
        """Starts what it needs."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what it started, at once, also in the middle of a task."""

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Takes a task whenever it has room; yields, each with its task, the epochs and at last the result.

        The epochs of a task come in order; those of several tasks in any. A task that failed, for whatever
        reason, has a result that says so. It may be called again when it has ended.
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
    """

    device: str
    data_root: Path
    run_folder: Path
    checkpoints: bool = True
    block: tuple[str, ...] = ()
    jobs: int | None = 1
    trials: int = 1
    timeout: float | None = None


class Bench:
    """What trains in the process that it stands in: an executor calls it, here or in a worker."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.registry = find_plugins(workplace.block)
        self.datasets = Datasets(self.registry, workplace.data_root)
        self.device = resolve_device(workplace.device)

    def train(self, case: Case) -> Iterator[Epoch | CaseResult]:
        """Yields the epochs of a case, each to be run before the next; and its result, whatever goes wrong."""
        try:
            dataset = self.datasets.for_case(case)
        except BenchmnistError as error:
            yield CaseResult(case=case, status="failed", error=str(error))
        except Exception:  # noqa: BLE001 - a plugin's dataset may raise anything
            yield CaseResult(case=case, status="failed", error=traceback.format_exc())
        else:
            keep = partial(self._save, case) if self.workplace.checkpoints else None
            yield (yield from train_case(Setting(case, self.registry, dataset, self.device), keep))

    def _save(self, case: Case, seed: int, weights: dict[str, Tensor]) -> str:
        """Writes a checkpoint; returns its path within the run folder."""
        import safetensors.torch

        file = f"{store.CHECKPOINTS}/{case.file_stem}__seed-{seed}.safetensors"
        content = safetensors.torch.save({name: value.contiguous() for name, value in weights.items()})
        store.write_file(self.workplace.run_folder / file, content)
        return file
