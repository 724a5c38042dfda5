"""The executor `inline`: trains in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from benchmnist.errors import BenchmnistError
from benchmnist.executors.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Workplace
    from benchmnist.results import CaseResult


class InlineExecutor:
    """The simplest: a debugger stops in it, a profiler sees it, and nothing is started.

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
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See Executor."""
        for task in tasks:
            for step in self.bench.train(task):
                yield task, step
