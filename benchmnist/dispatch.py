"""Cases to an executor, what comes of them to whoever watches: nothing is told twice, nothing gets lost."""

from __future__ import annotations

import heapq
import time
from collections import deque
from typing import TYPE_CHECKING

from benchmnist.analysis.expectations import missed
from benchmnist.results import CaseResult, MeasuredEpoch, TrialResult, now, worst

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Executor
    from benchmnist.plan import Plan
    from benchmnist.results import EpochResult, Status
    from benchmnist.training.preflight import Work


def called(result: CaseResult, case: Case) -> CaseResult:
    """A result as that of a case which is trained the same, but may have another name and other expectations."""
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
        waiting: How many of its tasks (the case with some of its seeds) no executor has taken.
        running: How many are being executed.
        parts: What came of those that ended.
        epochs: Those that have come and that nobody has asked for yet.
        seen: The seed and the result of each epoch that has ended.
        result: What came of the case.
    """

    def __init__(self, case: Case, waiting: int) -> None:
        self.case, self.waiting, self.running = case, waiting, 0
        self.parts: list[CaseResult] = []
        self.epochs: deque[Epoch] = deque()
        self.seen: list[tuple[int, EpochResult]] = []
        self.result: CaseResult | None = None
        self.started, self.start = "", 0.0

    @property
    def failed(self) -> bool:
        return any(part.failed for part in self.parts)

    def joined(self, side_by_side: int) -> CaseResult:
        """The parts as one result, still called as the first of them."""
        first = next((part for part in self.parts if part.engine), self.parts[0])
        status = worst(part.status for part in self.parts)
        return first.model_copy(
            update={
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


class _Queue:
    """The tasks that nobody has taken, with their floating-point operations.

    They are taken in order, until the largest is half of what is left for a slot: left for later, it would be
    what the run ends with, on one core, while the others idle. Half, since operations are no seconds.
    """

    def __init__(self, slots: int) -> None:
        self.slots, self.left = slots, 0.0
        self.waiting: dict[int, tuple[_Ledger, Case, float]] = {}  # by place, in order
        self.largest: list[tuple[float, int]] = []  # a heap of (less their work, their places)
        self.places = 0

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def extend(self, tasks: Iterable[tuple[_Ledger, Case, float]]) -> None:
        for task in tasks:
            self.waiting[self.places] = task
            heapq.heappush(self.largest, (-task[2], self.places))
            self.places += 1
            self.left += task[2]

    def take(self) -> tuple[_Ledger, Case]:
        while self.largest[0][1] not in self.waiting:
            heapq.heappop(self.largest)
        place, largest = next(iter(self.waiting)), self.largest[0][1]
        if self.slots > 1 and 2 * self.slots * self.waiting[largest][2] >= self.left > 0:
            place = largest
        ledger, task, work = self.waiting.pop(place)
        self.left -= work
        return ledger, task

    def clear(self) -> None:
        self.waiting.clear()
        self.largest.clear()
        self.left = 0.0


class Dispatcher:
    """Stands between an executor, which trains in an order of its own, and a session, which asks case by case.

    An executor that trains one thing at a time is given a case when it is asked for. One that has room for more
    is given every trial by itself, those of the next cases too, so that it never waits; what comes early is
    told to the observer at once, and kept until it is asked for.

    A case that is `known`, by its id, is not trained: its epochs are those that were measured then. With the
    `work` of the cases, by id, a long trial is begun early enough for the run not to end waiting for it alone.
    """

    def __init__(
        self,
        executor: Executor,
        observer: Observer,
        known: Mapping[str, CaseResult] | None = None,
        work: Mapping[str, Work] | None = None,
    ) -> None:
        self.executor, self.observer, self.known = executor, observer, dict(known or {})
        self.work = work or {}
        self._ahead: list[Case] = []
        self._queue = _Queue(executor.slots)
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
        ledger = self._ledgers[case.id] = _Ledger(case, len(tasks))
        work = self.work.get(case.id)
        self._queue.extend((ledger, task, work.flop * task.rounds if work else 0.0) for task in tasks)
        return ledger

    def _tasks(self) -> Iterator[Case]:
        """What the executor takes from, whenever it has room."""
        while self._queue:
            ledger, task = self._queue.take()
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
                ledger.result = called(ledger.joined(self.executor.slots), ledger.case)
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
