"""The executor `inline`: trains in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from benchmnist.executors import Bench

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Workplace
    from benchmnist.results import CaseResult


class InlineExecutor:
    """The simplest: a debugger stops in it, a profiler sees it, and nothing is started."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace

    def __enter__(self) -> Self:
        self.bench = Bench(self.workplace)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def epochs(self, case: Case) -> Generator[Epoch, None, CaseResult]:
        """See Executor."""
        return self.bench.epochs(case)
