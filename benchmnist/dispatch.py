"""Cases to an executor, what comes of them to whoever watches: nothing is told twice, nothing gets lost."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from benchmnist.analysis.expectations import missed
from benchmnist.results import CaseResult, MeasuredEpoch, TrialResult, now, worst

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Executor
    from benchmnist.plan import Plan
    from benchmnist.results import EpochResult, Status
    from benchmnist.training.preflight import Work


def called(result: CaseResult, case: Case) -> CaseResult:
    """A result of the same key as the result of this case, which may have another name and other expectations."""
    result = result.model_copy(update={"case": case})
    return result.model_copy(update={"misses": missed(result)})


class Observer:
    """Is told what happens, as it happens: a display, a store. Override what you care for.

    Several cases may be in training at the same time; each is started before its first epoch, and ends once.
    """

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        """A run of these cases begins, in that folder; `work` is by case id."""

    def case_started(self, case: Case) -> None:
        """A case is about to be trained."""

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        """An epoch was trained and tested."""

    def case_ended(self, result: CaseResult) -> None:
        """A case ended, in whatever way."""


class _Ledger:
    """What is known of a case while it is trained.

    Attributes:
        case: The case.
        tasks: Its parts: the case with some of its seeds.
        waiting: How many of them no executor has taken.
        running: How many are being executed.
        parts: What came of those that ended.
        epochs: Those that have come and that nobody has asked for yet.
        seen: The seed and the result of each epoch that has ended.
        result: What came of the case.
    """

    def __init__(self, case: Case, tasks: Sequence[Case]) -> None:
        self.case, self.tasks = case, tasks
        self.waiting, self.running = len(tasks), 0
        self.parts: list[CaseResult] = []
        self.epochs: deque[Epoch] = deque()
        self.seen: list[tuple[int, EpochResult]] = []
        self.result: CaseResult | None = None
        self.started, self.start = "", 0.0

    @property
    def failed(self) -> bool:
        return any(part.failed for part in self.parts)

    def joined(self, side_by_side: int) -> CaseResult:
        """The parts as one result."""
        first = next((part for part in self.parts if part.engine), self.parts[0])
        status = worst(part.status for part in self.parts)
        return first.model_copy(
            update={
                "case": self.case,
                "status": status,
                "trials": self._trials(status),
                "peak_memory": max(part.peak_memory for part in self.parts),
                "side_by_side": side_by_side,
                "error": next((part.error for part in self.parts if part.error), None),
                "started": self.started,
                "wall_seconds": time.perf_counter() - self.start,
            }
        )

    def interrupted(self) -> CaseResult:
        """What was trained before an interruption."""
        trials = self._trials("interrupted")
        return CaseResult(case=self.case, status="interrupted", trials=trials, started=self.started)

    def _trials(self, cut_short: Status) -> tuple[TrialResult, ...]:
        """The trials that have ended, and of the others the epochs that have been seen."""
        trials = {trial.seed: trial for part in self.parts for trial in part.trials}
        for seed in dict.fromkeys(seed for seed, _ in self.seen):
            epochs = tuple(epoch for owner, epoch in self.seen if owner == seed)
            diverged = epochs[-1].test_loss is None
            whole: Status = (
                "diverged" if diverged else "completed" if len(epochs) == self.case.epochs else cut_short
            )
            trials.setdefault(seed, TrialResult(seed=seed, status=whole, epochs=epochs))
        return tuple(trials[seed] for seed in self.case.seeds if seed in trials)


class Dispatcher:
    """Stands between an executor, which trains in an order of its own, and a session, which asks case by case.

    An executor that trains one thing at a time is given a case when it is asked for. One that has room for more
    is given every trial by itself, those of the next cases too, so that it never waits; what comes early is
    told to the observer at once, and kept until it is asked for.

    A case that is `known`, by its id, is not trained: its epochs are those that were measured then.
    """

    def __init__(
        self, executor: Executor, observer: Observer, known: Mapping[str, CaseResult] | None = None
    ) -> None:
        self.executor, self.observer, self.known = executor, observer, dict(known or {})
        self._ahead: list[Case] = []
        self._queue: deque[tuple[_Ledger, Case]] = deque()
        self._ledgers: dict[str, _Ledger] = {}
        self._stream: Iterator[tuple[Case, Epoch | CaseResult]] = iter(())
        self._untold: tuple[_Ledger, Epoch] | None = None

    def expect(self, cases: Sequence[Case]) -> None:
        """Says which cases will be asked for, in that order, so that they can be begun before."""
        if self.executor.slots > 1:
            self._ahead = [case for case in cases if case.id not in self.known]

    def epochs(self, case: Case) -> Generator[Epoch, None, CaseResult]:
        """Each epoch of each seed, to be `run` before the next is asked for; returns the result of the case.

        Trained elsewhere, the epochs of several seeds come in the order in which they end.
        """
        if case.id in self.known:
            for trial in self.known[case.id].trials:
                yield from (MeasuredEpoch(trial.seed, epoch) for epoch in trial.epochs)
            return self.known[case.id]
        ahead, self._ahead = self._ahead, []
        for expected in ahead:
            self._enqueue(expected)
        ledger = self._ledgers.get(case.id) or self._enqueue(case)
        while True:
            while ledger.epochs:
                yield ledger.epochs.popleft()
            if ledger.result is not None:
                del self._ledgers[case.id]
                return ledger.result
            self._next()

    def interrupt(self) -> None:
        """Ends all that is being trained, and tells what was done of the cases that have not ended."""
        unfinished = [ledger for ledger in self._ledgers.values() if ledger.started and ledger.result is None]
        self._stream, self._untold = iter(()), None
        self._queue.clear()
        self._ledgers.clear()
        for ledger in unfinished:
            ledger.result = ledger.interrupted()
            self.observer.case_ended(ledger.result)

    def _enqueue(self, case: Case) -> _Ledger:
        split = self.executor.slots > 1 and case.engine != "stacked"
        tasks = [case.model_copy(update={"seeds": (seed,)}) for seed in case.seeds] if split else [case]
        ledger = self._ledgers[case.id] = _Ledger(case, tasks)
        self._queue.extend((ledger, task) for task in tasks)
        return ledger

    def _tasks(self) -> Iterator[Case]:
        """What the executor takes from, whenever it has room."""
        while self._queue:
            ledger, task = self._queue.popleft()
            ledger.waiting -= 1
            if ledger.result is not None or ledger.failed:
                continue  # it is known already that the case fails
            if not ledger.started:
                ledger.started, ledger.start = now(), time.perf_counter()
                self.observer.case_started(ledger.case)
            ledger.running += 1
            yield task

    def _next(self) -> None:
        """Waits for the next thing to happen, wherever."""
        event = next(self._stream, None)
        if self._untold is not None:
            (ledger, epoch), self._untold = self._untold, None
            self._tell(ledger, epoch)
        if event is None:
            if not self._queue:
                raise RuntimeError("the executor has ended, and owes a result")
            self._stream = self.executor.execute(self._tasks())
            return
        task, step = event
        ledger = self._ledgers[task.id]
        if isinstance(step, CaseResult):
            ledger.parts.append(step)
            ledger.running -= 1
            if ledger.running == 0 and (ledger.waiting == 0 or ledger.failed):
                result = ledger.joined(self.executor.slots)
                ledger.result = result.model_copy(update={"misses": missed(result)})
                self.observer.case_ended(ledger.result)
        else:
            ledger.epochs.append(step)
            if step.result is None:  # it is still to be run
                self._untold = ledger, step
            else:
                self._tell(ledger, step)

    def _tell(self, ledger: _Ledger, epoch: Epoch) -> None:
        if epoch.result is not None and ledger.result is None:
            ledger.seen.append((epoch.seed, epoch.result))
            self.observer.epoch_ended(ledger.case, epoch.seed, epoch.result)
