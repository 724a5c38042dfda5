"""Feeds cases to an executor, and forwards each result to the observers exactly once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from benchmnist.analysis.expectations import missed
from benchmnist.execution.bundling import OfRow, bundled, results_of, smaller, why_dissolved
from benchmnist.execution.ledger import Ledger, Queue
from benchmnist.executors import TellsEvaluations
from benchmnist.runs.results import CaseResult, MeasuredEpoch, Stack, now
from benchmnist.suites.bundles import Bundle
from benchmnist.suites.schema import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmnist.analysis.looks import Standing
    from benchmnist.executors import Epoch, Executor
    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import EpochResult, Evaluation
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

    def evaluation_ended(self, case: Case, seed: int, evaluation: Evaluation) -> None:
        """Called after an evaluation within an epoch, as it happens.

        An executor need not tell of them (`inline` and `local` do, of the last ones a few times a second): all
        come with the result of the epoch.
        """

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
    trained together. So are cases that are trained in one stack (`together`): their epochs are replayed.

    Args:
        executor: Executor of the cases.
        observer: Receiver of the events.
        known: Results of cases that need no training, by case id, with their measured epochs.
        parts: Results of some trials of a case; only its other trials are trained.
        seconds: Approximate time of an epoch, by case id, in any unit; the longest trials start first.
        interleaved: Whether every case trains its first seed before any trains its second, and so on, so that a
            change of the machine's speed affects all of them; every other time in the reverse order.
        together: Returns a key of a case, and cases with the same key are trained together, as a Bundle; an empty
            key if it is trained by itself.
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
        together: Callable[[Case], str] = lambda _: "",
    ) -> None:
        self.executor, self.observer, self.known = executor, observer, dict(known or {})
        self.parts, self.seconds, self.interleaved = parts or {}, seconds or {}, interleaved
        self.by_trial = interleaved or executor.slots > 1
        self.together = together
        self._ahead: list[Case] = []
        self._expected: dict[str, Case] = {}
        self._bundles: dict[str, list[Bundle]] = {}  # by case id: all those of the cases beside it
        self._queue = Queue()
        self._ledgers: dict[str, Ledger] = {}
        self._requested: set[str] = set()
        self._stream: Iterator[tuple[Case, Epoch | CaseResult]] = iter(())
        self._unreported: tuple[Ledger, Epoch] | None = None
        self._in_session = False  # whether the session runs the epochs of the case that is trained
        self._error: Exception | None = None  # of the observer, within a training that is not to blame for it
        if isinstance(executor, TellsEvaluations):
            executor.tell = self._evaluated

    def expect(self, cases: Sequence[Case]) -> None:
        """Announces the cases to be requested, in their order, so that they can start before."""
        expected = [case for case in cases if case.id not in self.known]
        begun = {case.id: self._ledger(case).left for case in expected if case.id in self.parts}
        left = (c.model_copy(update={"seeds": begun[c.id]}) if c.id in begun else c for c in expected)
        for bundles in bundled(left, self.together, self.executor.slots):
            self._bundles |= {point.id: bundles for bundle in bundles for point in bundle.points}
        self._expected = {case.id: case for case in expected}
        if self.by_trial:
            self._ahead = expected

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
            if expected.id not in self._ledgers:
                self._enqueue(expected)
        ledger = self._ledgers.get(case.id) or self._enqueue(case)
        while True:
            while ledger.epochs:
                yield ledger.epochs.popleft()
            if ledger.result is not None:
                del self._ledgers[case.id]
                if not self._ledgers:
                    self._close()
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
        self._bundles.clear()
        for ledger in begun:
            if ledger.result is None:
                ledger.result = ledger.interrupted(self.executor.slots)
                self.observer.case_ended(ledger.result)
        known = [result for case_id, result in self.known.items() if case_id not in self._requested]
        return known + [ledger.result for ledger in begun if ledger.result is not None]

    def _close(self) -> None:
        """Ends the stream now: collected later as garbage, it would end the tasks of the next dispatcher."""
        if isinstance(self._stream, Generator):
            self._stream.close()
        self._stream = iter(())

    def _ledger(self, case: Case) -> Ledger:
        return Ledger(case, self.parts.get(case.id, ()))

    def _enqueue(self, case: Case) -> Ledger:
        bundles = self._bundles.get(case.id, [])
        points = {point.id: None for bundle in bundles for point in bundle.points}
        for each in [self._expected[point] for point in points] or [case]:
            self._bundles.pop(each.id, None)
            self._ledgers[each.id] = self._ledger(each)
        ledger = self._ledgers[case.id]
        for bundle in bundles:
            self._enqueue_bundle(bundle)
        bundled = {(point.id, seed) for bundle in bundles for point in bundle.points for seed in point.seeds}
        for begun in [self._ledgers[point] for point in points] or [ledger]:
            self._enqueue_seeds(begun, [seed for seed in begun.left if (begun.case.id, seed) not in bundled])
        if not ledger.left:
            self._start(ledger)
            self._end(ledger)
        return ledger

    def _enqueue_seeds(self, ledger: Ledger, left: Sequence[int]) -> None:
        """Enqueues trials of a case, one by one if that may be."""
        case = ledger.case
        alone = self.by_trial and case.engine not in AT_ONCE
        for seeds in [(seed,) for seed in left] if alone else filter(None, [tuple(left)]):
            task = case.model_copy(update={"seeds": seeds})
            ledger.waiting += 1
            turn = case.seeds.index(seeds[0]) if self.interleaved else 0
            self._queue.add(ledger, task, self.seconds.get(case.id, 0.0) * task.rounds, turn)

    def _enqueue_bundle(self, task: Bundle) -> None:
        ledgers = self._of(task)
        for ledger in ledgers:
            ledger.waiting += 1
        self._queue.add(ledgers[0], task, self.seconds.get(task.points[0].id, 0.0) * task.rounds, 0)

    def _of(self, task: Case) -> list[Ledger]:
        """Returns the states of the cases of a task."""
        points = task.points if isinstance(task, Bundle) else (task,)
        return [self._ledgers[point.id] for point in points]

    def _tasks(self) -> Iterator[Case]:
        """Yields tasks to the executor, whenever it has a free slot."""
        while self._queue:
            task = self._wanted(*self._queue.take())
            if task is None:
                continue
            for each in self._of(task):
                if not each.started:
                    self._start(each)
                each.begin_task()
            if task.engine in AT_ONCE or isinstance(task, Bundle):
                rows = [task.row(seed) for seed in task.seeds]
                for point, seed in rows:
                    self._ledgers[point.id].stacks[seed] = Stack.of(rows)
            yield task

    def _wanted(self, ledger: Ledger, task: Case) -> Case | None:
        """Returns a task without the cases of which it is known already that they fail; None if none is left."""
        if not isinstance(task, Bundle):
            return None if _is_over(ledger) else task
        left = [point for point in task.points if not _is_over(self._ledgers.get(point.id))]
        return Bundle.of(left) if left else None

    def _start(self, ledger: Ledger) -> None:
        ledger.started = now()
        self.observer.case_started(ledger.case)

    def _end(self, ledger: Ledger) -> None:
        ledger.result = called(ledger.joined(self.executor.slots), ledger.case)
        self.observer.case_ended(ledger.result)

    def _next(self) -> None:
        """Waits for the next event of any task."""
        event = next(self._stream, None)
        if self._error is not None:
            self._close()  # the training that is under way would keep its settings of torch in this process
            raise self._error
        if self._unreported is not None:
            (ledger, epoch), self._unreported = self._unreported, None
            self._tell(ledger, epoch)
        if event is None:
            if not self._queue:
                raise RuntimeError("the executor has ended without a result for every task")
            self._stream = self.executor.execute(self._tasks())
            return
        task, step = event
        if isinstance(task, Bundle):
            self._hear_of_bundle(task, step)
            return
        ledger = self._ledgers[task.id]
        if isinstance(step, CaseResult):
            ledger.add(step, measured=not self._in_session)
            ledger.end_task()
            self._end_or_part(ledger, step)
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

    def _hear_of_bundle(self, task: Bundle, step: Epoch | CaseResult) -> None:
        """Forwards an epoch of a row to the case that it belongs to, and the result to all of its cases."""
        self._in_session = False
        if isinstance(step, CaseResult):
            for ledger, point in zip(self._of(task), task.points, strict=True):
                ledger.end_task(len(point.seeds) / len(task.seeds))
            if step.failed:
                self._dissolve(task, step)
                return
            for ledger, part in zip(self._of(task), results_of(task, step), strict=True):
                ledger.add(part)
                self._end_or_part(ledger, part)
            return
        point, seed = task.row(step.seed)
        ledger = self._ledgers[point.id]
        if step.result is None:
            step.run()
            self._unreported = ledger, OfRow(step, seed)
        else:
            self._tell(ledger, OfRow(step, seed))

    def _dissolve(self, task: Bundle, failure: CaseResult) -> None:
        """Enqueues the cases of a bundle that failed again: what fails alone, fails."""
        for ledger, point in zip(self._of(task), task.points, strict=True):
            ledger.begin_again(point.seeds, why_dissolved(task, failure))
        size = smaller(task, failure)
        for start in range(0, len(task.points), size):
            points = task.points[start : start + size]
            if len(points) > 1:
                self._enqueue_bundle(Bundle.of(points))
            else:
                self._enqueue_seeds(self._ledgers[points[0].id], points[0].seeds)

    def _end_or_part(self, ledger: Ledger, part: CaseResult) -> None:
        """Reports the result of a case, or of some of its trials."""
        if ledger.over:
            self._end(ledger)
        elif not part.failed:
            self.observer.part_ended(part)

    def _evaluated(self, task: Case, evaluations: Sequence[tuple[int, Evaluation]]) -> None:
        """Forwards evaluations of a task, each to the case that it belongs to."""
        try:
            for row, evaluation in evaluations:
                point, seed = task.row(row)
                ledger = self._ledgers.get(point.id)
                if ledger is not None and ledger.result is None:
                    self.observer.evaluation_ended(ledger.case, seed, evaluation)
        except Exception as error:  # noqa: BLE001 - raised again by `_next`
            self._error = self._error or error

    def _tell(self, ledger: Ledger, epoch: Epoch) -> None:
        if epoch.result is not None and ledger.result is None:
            ledger.see(epoch.seed, epoch.result)
            self.observer.epoch_ended(ledger.case, epoch.seed, epoch.result)


def _is_over(ledger: Ledger | None) -> bool:
    """Tells whether it is known already what comes of a case: its state says so, or is gone."""
    return ledger is None or ledger.result is not None or ledger.failed
