"""A worker process as its parent has it: four threads, so that no pipe makes the parent wait.

Each thread owns an end of a pipe and closes it. All are daemons: where a process that the worker started holds a
pipe, and cannot be found, the thread that reads from it is abandoned.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from benchmnist.errors import described
from benchmnist.executors import Farewell
from benchmnist.executors.messages import MessageError, Task, encode, read_messages, refusal
from benchmnist.executors.processes import kill, kill_started, new_mark
from benchmnist.forking.fork_server import ForkError, fork
from benchmnist.forking.request import import_path
from benchmnist.runs.logs import BoundedLog
from benchmnist.runs.pipes import PIECE, write_all
from benchmnist.runs.results import CaseResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from io import FileIO
    from pathlib import Path

    from benchmnist.executors import Workplace
    from benchmnist.executors.cores import Share
    from benchmnist.forking.forked_process import ForkedProcess
    from benchmnist.suites.cases import Case

WORKER = "benchmnist.executors.worker"
"""Module of the process."""
LAST_WORDS = 2.0
"""Seconds to wait for the end of a pipe after the worker has ended, or for its end after that of its pipe."""
KEPT = 2**16
"""Bytes of the output of a task to keep for its error."""

Inbox = queue.SimpleQueue[tuple["Worker", object]]


@dataclass(frozen=True)
class Lost:
    """Last message of a worker that can no longer be used: `why` it must be ended; empty if it has ended."""

    why: str = ""


class Worker:
    """A worker process.

    Args:
        workplace: Settings.
        log: File of its output.
        share: Its share of the processor; None for all of it.
        environment: Environment variables to change.
        inbox: Receives its messages, each with the worker. The last message of a task is a result, a Farewell or
            Lost.

    Attributes:
        cases: Ids of the cases that it has begun.
        no_graph: Reason why the steps of its task must not be captured; empty if they may be.
        task: The task in training.
        spoiled: Whether it said something outside of a task.
    """

    def __init__(
        self,
        workplace: Workplace,
        log: Path,
        share: Share | None,
        environment: Mapping[str, str],
        inbox: Inbox,
    ) -> None:
        self.inbox, self.mark = inbox, new_mark()
        self.cases: set[str] = set()
        self.no_graph = ""
        self.task: Task | None = None
        self.spoiled = self.abandoned = False
        self.log = BoundedLog(log)
        self.said = bytearray()
        self.process = _started(workplace, share, environment, self.mark)
        self.words: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.words.put(encode(workplace))
        self.speaker, self.listener, self.drain, self.watcher = (
            threading.Thread(target=target, daemon=True)
            for target in (self._speak, self._listen, self._drain, self._watch)
        )
        for thread in (self.speaker, self.listener, self.drain, self.watcher):  # each may look for the others
            thread.start()

    @property
    def usable(self) -> bool:
        """Returns whether it can receive a task."""
        return not self.spoiled and self.process.poll() is None

    def begin(self, case: Case, no_graph: str) -> None:
        """Starts a task."""
        self.said.clear()
        self.cases.add(case.id)
        self.no_graph = no_graph
        self.task = Task(case, no_graph)
        self.words.put(encode(self.task))

    def kill(self) -> None:
        """Kills the worker at once, with what it has started."""
        self.words.put(None)
        kill(self.process, self.mark)
        _join(self.speaker, self.watcher)  # which waits for the others
        self.abandoned = True

    def epitaph(self, why: str) -> str:
        """Describes how the worker ended, with the last output of its task. It has been killed, or has died."""
        code = self.process.poll()
        if not why and code is not None:
            why = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        said = bytes(self.said).decode("utf-8", "replace").strip()
        return f"the worker process {why or 'did not end'} while it trained this case\n{said}".strip()

    def _speak(self) -> None:
        """Writes messages to the worker, which may not read them."""
        with contextlib.suppress(OSError), cast("FileIO", self.process.stdin) as pipe:
            for word in iter(self.words.get, None):
                write_all(pipe.write, word)

    def _listen(self) -> None:
        """Reads the messages of the worker, until somebody writes something else or its pipe ends."""
        with cast("FileIO", self.process.stdout) as pipe:
            try:
                self._take(read_messages(pipe.read))
                self.process.wait(LAST_WORDS)  # then `_watch` tells
            except MessageError as error:
                self._lose(f"wrote what is no message of a worker ({error})")
            except subprocess.TimeoutExpired:
                self._lose("closed the pipe of its answers")
            except Exception as error:  # noqa: BLE001 - a parent that is not told would wait for ever
                self._lose(f"cannot be heard ({described(error)})")

    def _take(self, messages: Iterable[object]) -> None:
        for message in messages:
            task = self.task
            if task is None or (why := refusal(message, task.case)):
                raise MessageError("a message without a task" if task is None else why)
            if isinstance(message, (CaseResult, Farewell)):
                self.task = None
            self.inbox.put((self, message))

    def _lose(self, why: str) -> None:
        self.spoiled = True
        self.inbox.put((self, Lost(why)))

    def _drain(self) -> None:
        """Keeps some of the output of the worker."""
        with contextlib.suppress(OSError), cast("FileIO", self.process.stderr) as pipe, self.log:
            while (output := pipe.read(PIECE)) and not self.abandoned:
                self.log.write(output)
                self.said += output
                del self.said[:-KEPT]

    def _watch(self) -> None:
        """Notices the death of the worker, even if a process that it started keeps its pipes open."""
        try:
            self.process.wait()
            kill_started(self.process.pid, self.mark)
            _join(self.listener, self.drain)
        finally:  # whatever was in the way: a parent that is not told would wait for ever
            self._lose("")


def _join(*threads: threading.Thread) -> None:
    """Waits for the threads to end, LAST_WORDS seconds at most for all of them."""
    end = time.monotonic() + LAST_WORDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _started(
    workplace: Workplace, share: Share | None, environment: Mapping[str, str], mark: str
) -> subprocess.Popen[bytes] | ForkedProcess:
    """Starts a process: forked, if that can be."""
    variables = {}
    if workplace.device == "cpu":  # some optimizers ask CUDA how it is, which begins it in every worker
        variables["CUDA_VISIBLE_DEVICES"] = ""
    if share is not None:
        variables["OMP_NUM_THREADS"] = str(share.threads)
        variables |= {"CUDA_VISIBLE_DEVICES": share.gpu} if share.gpu is not None else {}
    variables |= environment
    threads, cpus = (share.threads, share.cpus) if share is not None else (0, ())
    with contextlib.suppress(ForkError):
        return fork(
            f"{WORKER}:work",
            [threads, cpus],
            environment={**os.environ, **environment},
            variables=variables,
            mark=mark,
        )
    # -P: a file of the current folder named as a module of ours must not be taken for it.
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-P", "-X", "faulthandler", "-m", WORKER, *([",".join(map(str, cpus))] if cpus else [])],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": import_path(), **variables, mark: "1"},
        start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
