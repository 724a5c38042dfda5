"""The executor `inline`: trains in the same process, as long as the device works in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from benchmnist.errors import BenchmnistError, CaptureError
from benchmnist.executors.bench import Bench
from benchmnist.executors.local import LocalExecutor
from benchmnist.results import CaseResult

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Workplace


class InlineExecutor:
    """The simplest: a debugger stops in it, a profiler sees it, and nothing is started.

    A GPU may be broken for a process, by an error on it or by a capture that failed. What is left is then trained
    in a worker process.

    Raises:
        BenchmnistError: if it is to do several things at the same time, or to end what takes too long.
    """

    slots = 1

    def __init__(self, workplace: Workplace) -> None:
        if workplace.jobs not in (None, 1):
            raise BenchmnistError(
                f"the executor inline trains one thing at a time, not {workplace.jobs}; leave --jobs out, or take "
                "--executor local"
            )
        if workplace.timeout is not None:
            raise BenchmnistError(
                "the executor inline cannot end what it trains itself; leave --timeout out, or take "
                "--executor local"
            )
        self.workplace = workplace

    def __enter__(self) -> Self:
        self.bench = Bench(self.workplace)
        self.elsewhere: LocalExecutor | None = None
        return self

    def __exit__(self, *error: object) -> None:
        if self.elsewhere is not None:
            self.elsewhere.__exit__(*error)

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See Executor."""
        for task in tasks:
            done = self.elsewhere is None and (yield from self._train(task))
            if self.elsewhere is not None and not done:
                yield from self.elsewhere.execute(iter([task]))

    def _train(self, task: Case) -> Generator[tuple[Case, Epoch | CaseResult], None, bool]:
        """Trains here; returns whether it is done. If not, it has to be done elsewhere, and without graphs."""
        begun = False
        try:
            for step in self.bench.train(task):
                if self.bench.broken:
                    self.elsewhere = LocalExecutor(self.workplace)
                yield task, step
                begun = True
        except CaptureError as error:
            self.elsewhere = LocalExecutor(self.workplace)
            self.elsewhere.no_graph[task.id] = str(error)
            if begun:
                why = f'{error}; that was found too late to begin anew: set engine = "resident" for this case'
                yield task, CaseResult(case=task, status="failed", error=why)
            return begun
        return True
