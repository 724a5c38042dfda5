"""The executor `local`: long-lived worker processes train, while this one draws and stores.

They speak in pickles over their standard input and output. A pipe ends when the other side does, so neither waits
for a dead one: a worker that dies costs its task, and the next task gets a new worker; a parent that dies leaves
workers that end at their next word.
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
from typing import TYPE_CHECKING, Self

from benchmnist.executors.cores import auto_jobs, shares
from benchmnist.results import CaseResult, MeasuredEpoch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Workplace
    from benchmnist.executors.cores import Share

WORKER_LOG = "worker.log"
"""What the workers, and what they train, printed: in the run folder; `worker-2.log` for the second, and so on."""


class LocalExecutor:
    """Starts a worker when a task comes and none is idle, up to `slots` of them.

    With several, each has a share of the processor's cores to itself, and as many threads: at the size of MNIST
    processes of one thread each train more than threads that share a matrix.
    """

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.slots = workplace.jobs or auto_jobs(workplace.device, workplace.trials)
        # Several share the processor; one has it as it would have it without us.
        self.shares: list[Share | None] = [*shares(self.slots)] if self.slots > 1 else [None]
        self.workers: dict[int, Worker] = {}  # by slot

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()
        self.workers.clear()

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See Executor."""
        inbox: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()
        busy: dict[int, Case] = {}
        try:
            while True:
                for slot in range(self.slots):
                    if slot not in busy and (task := next(tasks, None)) is not None:
                        busy[slot] = task
                        self._worker(slot).begin(task, slot, inbox)
                if not busy:
                    return
                slot, message = inbox.get()
                task = busy[slot]
                if isinstance(message, MeasuredEpoch):
                    yield task, message
                    continue
                del busy[slot]
                if isinstance(message, CaseResult):
                    yield task, message
                else:
                    epitaph = self.workers.pop(slot).epitaph()
                    yield task, CaseResult(case=task, status="failed", error=epitaph)
        finally:
            for slot in busy:  # whoever asked does not want them any more
                if slot in self.workers:
                    self.workers.pop(slot).kill()

    def _worker(self, slot: int) -> Worker:
        if slot not in self.workers:
            log = self.workplace.run_folder / WORKER_LOG
            if slot:
                log = log.with_stem(f"{log.stem}-{slot + 1}")
            self.workers[slot] = Worker(self.workplace, log, self.shares[slot])
        return self.workers[slot]


class Worker:
    """A worker process, and the thread that listens to it while it has a task."""

    def __init__(self, workplace: Workplace, log: Path, share: Share | None) -> None:
        self.log, self.said_before = log, 0
        # -P: a file of the current folder named as a module of ours must not be taken for it.
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", "benchmnist.executors.worker"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if share is not None:
            environment["OMP_NUM_THREADS"] = str(share.threads)
            command += [",".join(map(str, share.cpus))] if share.cpus else []
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
        self._say(workplace)

    def begin(self, task: Case, slot: int, inbox: queue.SimpleQueue[tuple[int, object]]) -> None:
        """Hands it a task; its answers go into the inbox, with the slot, the last of them a result or None."""
        self.said_before = self.log.stat().st_size
        self._say(task)

        def listen() -> None:
            message: object = self
            while message is not None and not isinstance(message, CaseResult):
                try:
                    message = pickle.load(self.answers)
                except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                    message = None  # it has died, or has been ended
                inbox.put((slot, message))

        self.listener = threading.Thread(target=listen, daemon=True)
        self.listener.start()

    def _say(self, word: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died; who listens notices
            pickle.dump(word, self.words)
            self.words.flush()

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()
        if self.listener is not None:
            self.listener.join()  # the pipe has ended
        self.answers.close()
        with contextlib.suppress(BrokenPipeError):
            self.words.close()

    def epitaph(self) -> str:
        """How it died, and what was said in its last task."""
        code = self.process.wait()
        self.kill()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = self.log.read_bytes()[self.said_before :].decode("utf-8", "replace").strip()
        return f"the worker process {how} while it trained this case\n{said}".strip()
