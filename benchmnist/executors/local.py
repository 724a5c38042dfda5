"""The executor `local`: long-lived worker processes train, while this process displays and stores.

They exchange lines of JSON over the standard input and output of the worker. A worker that dies loses its task,
and the next task gets a new worker; if the parent dies, its workers end at once.
"""

from __future__ import annotations

import queue
from collections import deque
from typing import TYPE_CHECKING, Self

from benchmnist.executors import Deadlines, Farewell
from benchmnist.executors.messages import Evaluated
from benchmnist.executors.worker_process import Inbox, Lost, Worker
from benchmnist.runs.results import CaseResult, MeasuredEpoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmnist.executors import Epoch, Tell, Workplace
    from benchmnist.executors.cores import Share
    from benchmnist.suites.cases import Case

WORKER_LOG = "worker.log"
"""Log of the output of the first worker, in the run folder; that of the second is `worker-2.log`, and so on."""


class LocalExecutor:
    """Starts up to `slots` workers, each when a task comes and no worker is idle.

    Each of several workers has its own share of the cores, and as many threads: at the size of MNIST, processes of
    one thread each train more than threads that share a matrix. Each also has its own GPU, if the machine has
    enough.

    Args:
        workplace: Settings.
        log: File for the output of the workers, instead of worker.log in the run folder.
        environment: Environment variables to change in the workers.
    """

    tell: Tell | None = None

    def __init__(
        self, workplace: Workplace, log: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.workplace, self.log = workplace, log or workplace.run_folder / WORKER_LOG
        self.environment = environment or {}
        self.no_graph: dict[str, str] = {}  # by case id: why its steps must not be captured
        self.again: deque[Case] = deque()  # what another worker has to do again
        self.before: dict[tuple[str, tuple[int, ...]], str] = {}  # by task: why it was begun anew
        self.slots = 1
        # Several share the processor; one has it as it would have it without us.
        self.shares: list[Share | None] = [None]
        if workplace.jobs != 1 or workplace.threads:
            from benchmnist.executors.cores import auto_jobs, shares  # with torch, which knows its threads

            at_most = auto_jobs(workplace.device, workplace.trials, workplace.gpus, workplace.threads or 1)
            self.slots = workplace.jobs or at_most
            if self.slots > 1 or workplace.threads:
                self.shares = [*shares(self.slots, workplace.gpus, workplace.threads)]
        self.workers: dict[int, Worker] = {}  # by slot
        self.busy: dict[Worker, Case] = {}
        self.deadlines = Deadlines(workplace.timeout)
        self.inbox: Inbox = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()
        self.workers.clear()

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See Executor."""
        self.deadlines = Deadlines(self.workplace.timeout)
        try:
            while True:
                self._hand_out(tasks)
                if not self.busy:
                    return
                if self.inbox.empty():  # what is done is done, however late it is heard
                    yield from self._overdue()
                yield from self._heard()
        finally:
            self.again.clear()
            for worker in [*self.busy]:  # whoever asked does not want them any more
                self._end(worker)

    def _hand_out(self, tasks: Iterator[Case]) -> None:
        """Gives a task to each idle worker, while tasks are left."""
        for slot in range(self.slots):
            if self.workers.get(slot) in self.busy:
                continue
            task = self.again.popleft() if self.again else next(tasks, None)
            if task is not None:
                worker = self._worker(slot)
                self.busy[worker] = task
                worker.begin(task, self.no_graph.get(task.id, ""))
                self.deadlines.begin(task)

    def _overdue(self) -> Iterator[tuple[Case, CaseResult]]:
        """Stops the tasks beyond their deadline, and yields their results."""
        for worker, task in [*self.busy.items()]:
            if (result := self.deadlines.overdue(task)) is not None:
                self._end(worker)
                yield task, result

    def _heard(self) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Yields the next message of any worker; nothing if a deadline comes first."""
        if not self.busy:
            return
        try:
            worker, message = self.inbox.get(timeout=self.deadlines.left(self.busy.values()))
        except queue.Empty:
            return
        if worker not in self.busy:
            return  # the last word of one that was ended
        task = self.busy[worker]
        if isinstance(message, MeasuredEpoch):
            yield task, message
        elif isinstance(message, Evaluated):
            if self.tell is not None:
                self.tell(task, message.evaluations)
        elif isinstance(message, CaseResult):
            self._free(worker)
            yield task, self._ours(message, task)
        elif isinstance(message, Farewell):
            yield from self._left(worker, task, message)
        elif isinstance(message, Lost):
            yield from self._lost(worker, task, message.why)

    def _left(self, worker: Worker, task: Case, farewell: Farewell) -> Iterator[tuple[Case, CaseResult]]:
        """Ends a worker whose device is broken, and yields the result of its task or has it begun anew."""
        self._end(worker)
        if farewell.result is not None or worker.no_graph:  # without graphs there is nothing to do again
            failed = CaseResult(case=task, status="failed", error=farewell.reason)
            yield task, self._ours(farewell.result or failed, task)
        else:
            self.no_graph[task.id] = farewell.reason
            self.again.append(task)

    def _lost(self, worker: Worker, task: Case, why: str) -> Iterator[tuple[Case, CaseResult]]:
        """Ends a worker that can no longer be used, and yields the result of its task or has it begun anew."""
        self._end(worker)
        if worker.cases - {task.id}:  # another case may have left what ended it, such as a thread
            self.before[task.id, task.seeds] = worker.epitaph(why).partition("\n")[0]
            self.again.append(task)
        else:
            yield task, CaseResult(case=task, status="crashed", error=worker.epitaph(why))

    def _ours(self, result: CaseResult, task: Case) -> CaseResult:
        """Returns a result as that of our own task, with a remark if the task was begun anew."""
        why = self.before.pop((task.id, task.seeds), "")
        anew = (f"begun anew in a fresh worker, since {why}, after other cases",) if why else ()
        return result.model_copy(update={"case": task, "remarks": (*result.remarks, *anew)})

    def _free(self, worker: Worker) -> None:
        self.deadlines.end(self.busy.pop(worker))

    def _end(self, worker: Worker) -> None:
        self._free(worker)
        self.workers = {slot: other for slot, other in self.workers.items() if other is not worker}
        worker.kill()

    def _worker(self, slot: int) -> Worker:
        worker = self.workers.get(slot)
        if worker is not None and not worker.usable:
            self.workers.pop(slot).kill()
        if slot not in self.workers:
            log = self.log.with_stem(f"{self.log.stem}-{slot + 1}") if slot else self.log
            self.workers[slot] = Worker(self.workplace, log, self.shares[slot], self.environment, self.inbox)
        return self.workers[slot]
