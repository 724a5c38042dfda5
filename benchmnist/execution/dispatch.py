"""Feeds cases to an executor, and forwards each result to the observers exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.expectations import missed
from benchmnist.execution.ledger import Ledger, Queue
from benchmnist.runs.results import CaseResult, MeasuredEpoch, now

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmnist.analysis.looks import Standing
    from benchmnist.executors import Epoch, Executor
    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import EpochResult
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks
    from benchmnist.suites.plan import Plan


def called(result: CaseResult, case: Case) -> CaseResult:
    """Returns a result as that of an equally trained case, whose name and expectations may differ."""
    result = result.model_copy(update={"case": case})
    return result.model_copy(update={"misses": missed(result)})


class Observer:
    """Receives the events of a run, such as a display or a store does. Override the methods that you need.

    Several cases may be in training at the same time; each starts before its first epoch, and ends once.
    """

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        """Called when a run of a plan begins, in the folder `path`; `work` is by case id."""

    def look_started(self, plan: Plan, looks: Looks) -> None:
        """Called before each look of a run that adds seeds until its comparisons are told.

        All cases start and end again, with the seeds of the look; only those that are new are trained.
        """

    def look_ended(self, looks: Looks, standing: Standing) -> None:
        """Called after each look; `looks` has the next one, or the reason why none follows."""

    def case_started(self, case: Case) -> None:
        """Called before the training of a case."""

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        """Called after an epoch was trained and tested."""

    def part_ended(self, result: CaseResult) -> None:
        """Called when some trials of a case have completed, those in `result`, and others have not ended."""

    def case_ended(self, result: CaseResult) -> None:
        """Called when a case has ended, in any way."""


class Dispatcher:
    """Mediates between an executor, which trains in its own order, and a session, which requests case by case.

    An executor with one slot gets a case when the session requests it. One with several slots gets single trials,
    also those of the next cases, so that it never waits; early results go to the observer at once, and wait for
    their request.

    The session runs the epochs that are trained in this process, one per round, instead of a replay of measured
    ones: so `--benchmark-cprofile` profiles the training, and `--pdb` stops in it. Interleaved epochs are measured
    and replayed, since a session requests case by case. A stacked case is one task in either order: its seeds are
    trained together.

    Args:
        executor: Executor of the cases.
        observer: Receiver of the events.
        known: Results of cases that need no training, by case id, with their measured epochs.
        parts: Results of some trials of a case; only its other trials are trained.
        seconds: Approximate time of an epoch, by case id, in any unit; the longest trials start first.
        interleaved: Whether every case trains its first seed before any trains its second, and so on, so that a
            change of the machine's speed affects all of them; every other time in the reverse order.
    """

    def __init__(
        self,
        executor: Executor,
        observer: Observer,
        known: Mapping[str, CaseResult] | None = None,
        parts: Mapping[str, Sequence[CaseResult]] | None = None,
        seconds: Mapping[str, float] | None = None,
        *,
        interleaved: bool = False,
    ) -> None:
        self.executor, self.observer, self.known = executor, observer, dict(known or {})
        self.parts, self.seconds, self.interleaved = parts or {}, seconds or {}, interleaved
        self.by_trial = interleaved or executor.slots > 1
        self._ahead: list[Case] = []
        self._queue = Queue()
        self._ledgers: dict[str, Ledger] = {}
        self._requested: set[str] = set()
        self._stream: Iterator[tuple[Case, Epoch | CaseResult]] = iter(())
        self._unreported: tuple[Ledger, Epoch] | None = None
        self._in_session = False  # whether the session runs the epochs of the case that is trained

    def expect(self, cases: Sequence[Case]) -> None:
        """Announces the cases to be requested, in their order, so that they can start before."""
        if self.by_trial:
            self._ahead = [case for case in cases if case.id not in self.known]

    def epochs(self, case: Case) -> Generator[Epoch, None, CaseResult]:
        """Yields each epoch of each seed, to be `run` before the next one; returns the result of the case.

        If they are trained elsewhere, the epochs of several seeds come in the order of their ends.
        """
        self._requested.add(case.id)
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

    def interrupt(self) -> list[CaseResult]:
        """Stops all training, and reports the ended epochs of the unfinished cases.

        Returns these, and the results that no session has requested.
        """
        begun = [ledger for ledger in self._ledgers.values() if ledger.started]
        self._stream, self._unreported = iter(()), None
        self._queue = Queue()
        self._ledgers.clear()
        for ledger in begun:
            if ledger.result is None:
                ledger.result = ledger.interrupted(self.executor.slots)
                self.observer.case_ended(ledger.result)
        known = [result for case_id, result in self.known.items() if case_id not in self._requested]
        return known + [ledger.result for ledger in begun if ledger.result is not None]

    def _enqueue(self, case: Case) -> Ledger:
        ledger = self._ledgers[case.id] = Ledger(case, self.parts.get(case.id, ()))
        done = {trial.seed for part in ledger.parts for trial in part.trials}
        left = tuple(seed for seed in case.seeds if seed not in done)
        for seeds in (
            [(seed,) for seed in left] if self.by_trial and case.engine != "stacked" else filter(None, [left])
        ):
            task = case.model_copy(update={"seeds": seeds})
            ledger.waiting += 1
            turn = case.seeds.index(seeds[0]) if self.interleaved else 0
            self._queue.add(ledger, task, self.seconds.get(case.id, 0.0) * task.rounds, turn)
        if not left:
            self._start(ledger)
            self._end(ledger)
        return ledger

    def _tasks(self) -> Iterator[Case]:
        """Yields tasks to the executor, whenever it has a free slot."""
        while self._queue:
            ledger, task = self._queue.take()
            if ledger.result is not None or ledger.failed:
                continue  # it is known already that the case fails
            if not ledger.started:
                self._start(ledger)
            ledger.begin_task()
            yield task

    def _start(self, ledger: Ledger) -> None:
        ledger.started = now()
        self.observer.case_started(ledger.case)

    def _end(self, ledger: Ledger) -> None:
        ledger.result = called(ledger.joined(self.executor.slots), ledger.case)
        self.observer.case_ended(ledger.result)

    def _next(self) -> None:
        """Waits for the next event of any task."""
        event = next(self._stream, None)
        if self._unreported is not None:
            (ledger, epoch), self._unreported = self._unreported, None
            self._tell(ledger, epoch)
        if event is None:
            if not self._queue:
                raise RuntimeError("the executor has ended without a result for every task")
            self._stream = self.executor.execute(self._tasks())
            return
        task, step = event
        ledger = self._ledgers[task.id]
        if isinstance(step, CaseResult):
            ledger.add(step, measured=not self._in_session)
            ledger.end_task()
            if ledger.over:
                self._end(ledger)
            elif not step.failed:
                self.observer.part_ended(step)
        elif step.result is None:  # it is still to be run
            self._in_session = not self.interleaved
            if self._in_session:
                ledger.epochs.append(step)
            else:
                step.run()  # whoever is asked for now may have its turn later
            self._unreported = ledger, step
        else:
            self._in_session = False
            self._tell(ledger, step)

    def _tell(self, ledger: Ledger, epoch: Epoch) -> None:
        if epoch.result is not None and ledger.result is None:
            ledger.see(epoch.seed, epoch.result)
            self.observer.epoch_ended(ledger.case, epoch.seed, epoch.result)
