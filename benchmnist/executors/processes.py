"""Ends a process with all that it has started."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmnist.forking.request import MARK, MARK_DIGITS

if TYPE_CHECKING:
    from benchmnist.forking.forked_process import ForkedProcess

ROUNDS = 5
"""Number of times that the processes are listed: one may be started while they are killed."""
PATIENCE = 10.0
"""Seconds to wait for the end of a killed process; one in a system call of a broken driver may not end."""


def new_mark() -> str:
    """Returns a mark for a process: the name of an environment variable that no other process has."""
    return MARK + secrets.token_hex(MARK_DIGITS // 2)


def kill(process: subprocess.Popen[Any] | ForkedProcess, mark: str) -> None:
    """Kills a process with what it has started (see `kill_started`), and waits for its end, not for theirs."""
    kill_started(process.pid if process.poll() is None else None, mark)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)


def kill_started(group: int | None, mark: str) -> None:
    """Kills the processes with a mark in their environment, which is found on Linux, and those of a group.

    A descendant that left the group and removed the mark is not found. The group must be that of a process that is
    alive or has just ended: later its number may be another's.
    """
    if group is not None and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for _ in range(ROUNDS):
        left = marked(mark)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break


def marked(mark: str) -> list[int]:
    """Returns the ids of the processes with a mark in their environment; none without /proc."""
    wanted, found = f"{mark}=".encode(), []
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - a Path for each process would be of no use
    except OSError:
        return []
    for name in filter(str.isdecimal, names):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if wanted in Path("/proc", name, "environ").read_bytes():
                found.append(int(name))
    return found
