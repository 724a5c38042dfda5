"""The executor `inline`: trains in this process, as long as the device works in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from benchmnist.errors import BenchmnistError, CaptureError
from benchmnist.executors.local import LocalExecutor
from benchmnist.executors.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.executors import Epoch, Tell, Workplace
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case


class InlineExecutor:
    """The simplest executor: debuggers and profilers work in it, and it starts no process.

    A GPU error or a failed capture may break the GPU for this process. The remaining cases are then trained in a
    worker process.

    Raises:
        BenchmnistError: if the settings have several jobs or a timeout.
    """

    slots = 1
    tell: Tell | None = None

    def __init__(self, workplace: Workplace) -> None:
        if workplace.jobs not in (None, 1):
            raise BenchmnistError(
                f"the executor inline trains one trial at a time, not {workplace.jobs}; remove --jobs or use "
                "--executor local"
            )
        if workplace.timeout is not None:
            raise BenchmnistError(
                "the executor inline cannot stop a training in its own process; remove --timeout or use "
                "--executor local"
            )
        self.workplace = workplace

    def __enter__(self) -> Self:
        self.trainer = Trainer(self.workplace)
        self.elsewhere: LocalExecutor | None = None
        return self

    def __exit__(self, *error: object) -> None:
        if self.elsewhere is not None:
            self.elsewhere.__exit__(*error)

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See Executor."""
        for task in tasks:
            no_graph = ""
            if self.elsewhere is None:
                try:
                    yield from self._train(task)
                    continue
                except CaptureError as error:
                    no_graph = str(error)
                    if error.spoiled:
                        self.elsewhere = LocalExecutor(self.workplace)
            if self.elsewhere is None:
                yield from self._train(task, no_graph)
            else:
                self.elsewhere.no_graph[task.id], self.elsewhere.tell = no_graph, self.tell
                yield from self.elsewhere.execute(iter([task]))

    def _train(self, task: Case, no_graph: str = "") -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Trains in this process."""
        for step in self.trainer.train(task, no_graph, partial(self.tell, task) if self.tell else None):
            if self.trainer.broken:
                self.elsewhere = LocalExecutor(self.workplace)
            yield task, step
