"""A forked process as its caller has it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO

LAST_WORDS = 1.0
"""Seconds to wait for the server to tell how a process ended that has ended."""


class ForkedProcess:
    """A process that a server has forked: what is used of subprocess.Popen, for which it must be our own child.

    Attributes:
        pid: Its number. It leads a session and a group of that number.
        stdin, stdout, stderr: Our ends of its pipes, not buffered.
        returncode: Exit code, or the negative number of the signal that ended it; None while it runs.
    """

    def __init__(self, pid: int, status: int, pipes: Sequence[FileIO]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = pipes
        self._status, self._lock = status, threading.Lock()
        self._untold = False  # whether the server, which knows how it ended, is gone
        try:
            self._itself = os.pidfd_open(pid)
        except OSError:  # it has ended
            self._itself = -1

    def __del__(self) -> None:
        for descriptor in (self._status, self._itself):
            if descriptor >= 0:
                os.close(descriptor)

    def poll(self) -> int | None:
        """Returns the exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, at most `timeout` seconds, and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: if it still runs.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if end is None else max(0.0, end - time.monotonic())
            if self._itself >= 0 and not ready(left, self._itself, *([] if self._untold else [self._status])):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            with self._lock:  # the status can be read once
                if self.returncode is None:
                    self._look()
        return self.returncode

    def kill(self) -> None:
        """Kills it, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._itself, signal.SIGKILL)

    def _look(self) -> None:
        """Reads the exit code, if the server tells it."""
        ended = self._itself < 0 or ready(0.0, self._itself)
        if not self._untold and ready(LAST_WORDS if ended else 0.0, self._status):
            if code := os.read(self._status, 64):
                self.returncode = int(code)
                return
            self._untold = True
        if ended:  # the server was killed, or is stopped
            self.returncode = -signal.SIGKILL


def ready(timeout: float | None, *descriptors: int) -> bool:
    """Waits until one of the descriptors can be read, at most so many seconds; returns whether one can."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
