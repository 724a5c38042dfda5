"""The executor `local`: long-lived worker processes train, while this process displays and stores.

They exchange pickles over their standard input and output. A pipe ends with its other side, so neither side waits
for a dead one: a worker that dies loses its task, and the next task gets a new worker; if the parent dies, its
workers end at once.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Self

from benchmnist.executors import Deadlines, Farewell
from benchmnist.extensions.isolation import import_path
from benchmnist.runs.results import CaseResult, MeasuredEpoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmnist.executors import Epoch, Workplace
    from benchmnist.executors.cores import Share
    from benchmnist.suites.cases import Case

WORKER_LOG = "worker.log"
"""Log of the output of the first worker, in the run folder; that of the second is `worker-2.log`, and so on."""


LAST_WORDS = 2.0
"""Seconds to wait for the pipe of a dead worker to end; a process that it started may keep it open."""

Inbox = queue.SimpleQueue[tuple["Worker", object]]


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

    def __init__(
        self, workplace: Workplace, log: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.workplace, self.log = workplace, log or workplace.run_folder / WORKER_LOG
        self.environment = environment or {}
        self.no_graph: dict[str, str] = {}  # by case id: why its steps must not be captured
        self.again: deque[Case] = deque()  # what another worker has to do again
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
        self.inbox = queue.SimpleQueue()
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
                worker.begin(task, self.no_graph.get(task.id, ""), self.inbox)
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
        elif isinstance(message, CaseResult):
            self._free(worker)
            yield task, message
        elif isinstance(message, Farewell):
            self._end(worker)
            if message.result is not None or worker.no_graph:  # without graphs there is nothing to do again
                yield task, message.result or CaseResult(case=task, status="failed", error=message.reason)
            else:
                self.no_graph[task.id] = message.reason
                self.again.append(task)
        else:
            epitaph = worker.epitaph()
            self._end(worker)
            yield task, CaseResult(case=task, status="crashed", error=epitaph)

    def _free(self, worker: Worker) -> None:
        self.deadlines.end(self.busy.pop(worker))

    def _end(self, worker: Worker) -> None:
        self._free(worker)
        self.workers = {slot: other for slot, other in self.workers.items() if other is not worker}
        worker.kill()

    def _worker(self, slot: int) -> Worker:
        if slot not in self.workers:
            log = self.log.with_stem(f"{self.log.stem}-{slot + 1}") if slot else self.log
            self.workers[slot] = Worker(self.workplace, log, self.shares[slot], self.environment)
        return self.workers[slot]


class Worker:
    """A worker process, with the thread that reads its messages while it has a task."""

    def __init__(self, workplace: Workplace, log: Path, share: Share | None, variables: Mapping[str, str]) -> None:
        self.log, self.said_before, self.no_graph = log, 0, ""
        # -P: a file of the current folder named as a module of ours must not be taken for it.
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", "benchmnist.executors.worker"]
        environment = {**os.environ, "PYTHONPATH": import_path()}
        if workplace.device == "cpu":  # some optimizers ask CUDA how it is, which begins it in every worker
            environment["CUDA_VISIBLE_DEVICES"] = ""
        if share is not None:
            environment["OMP_NUM_THREADS"] = str(share.threads)
            command += [",".join(map(str, share.cpus))] if share.cpus else []
            environment |= {"CUDA_VISIBLE_DEVICES": share.gpu} if share.gpu is not None else {}
        environment |= variables
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
            )
        assert self.process.stdin is not None  # noqa: S101 - it was started with pipes
        assert self.process.stdout is not None  # noqa: S101
        self.words, self.answers = self.process.stdin, self.process.stdout
        self.listener: threading.Thread | None = None
        self.inbox: Inbox | None = None
        threading.Thread(target=self._watch, daemon=True).start()
        self._say(workplace)

    def begin(self, task: Case, no_graph: str, inbox: Inbox) -> None:
        """Starts a task; messages go to the inbox, the last of them a result, a Farewell, or None if it dies."""
        self.said_before, self.no_graph, self.inbox = self.log.stat().st_size, no_graph, inbox
        self._say((task, no_graph))

        def listen() -> None:
            message: object = self
            while message is not None and not isinstance(message, (CaseResult, Farewell)):
                try:
                    message = pickle.load(self.answers)
                except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                    message = None  # it has died, or has been ended
                inbox.put((self, message))

        self.listener = threading.Thread(target=listen, daemon=True)
        self.listener.start()

    def _watch(self) -> None:
        """Notices the death of the worker, even if a process that it started keeps its pipe open."""
        self.process.wait()
        if self.listener is not None:
            self.listener.join(LAST_WORDS)
        if self.inbox is not None:
            self.inbox.put((self, None))

    def _say(self, word: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died; who listens notices
            pickle.dump(word, self.words)
            self.words.flush()

    def kill(self) -> None:
        """Kills the worker at once."""
        if hasattr(os, "killpg"):  # and whatever it has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        if self.listener is not None:
            self.listener.join()  # the pipe has ended
        self.answers.close()
        with contextlib.suppress(BrokenPipeError):
            self.words.close()

    def epitaph(self) -> str:
        """Describes how the worker died, with the output of its last task."""
        code = self.process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = self.log.read_bytes()[self.said_before :].decode("utf-8", "replace").strip()
        return f"the worker process {how} while it trained this case\n{said}".strip()
