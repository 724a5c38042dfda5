"""Finds what a case leaves in its process that would affect the next cases, and puts back what can be."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from benchmnist.training.torch_internals import leftovers_in_torch

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = (
    "RLIMIT_AS",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_STACK",
)
MANY_FILES = 100
"""Number of files that a case may leave open without affecting others; a process can open a thousand or more."""


class Leftovers:
    """Returns what differs in this process from its state when this was built."""

    def __init__(self) -> None:
        self._torch, self._limits, self._files = leftovers_in_torch(), _limits(), _open_files()
        self._recursion, self._timers = sys.getrecursionlimit(), _timers()

    def begin(self) -> None:
        """Remembers what may be other at the start of every case: the timers, of which somebody may have one."""
        self._timers = _timers()

    def put_back(self) -> list[str]:
        """Puts back what can be, and names it: limits, as far as the process may raise them, and timers."""
        changed = []
        if sys.getrecursionlimit() != self._recursion or _limits() != self._limits:
            changed.append("limits of the process")
            sys.setrecursionlimit(self._recursion)
            for name, limit in self._limits.items():
                import resource

                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(getattr(resource, name), limit)
        begun = [timer for timer in _timers() if timer not in self._timers]
        for timer in begun:
            signal.setitimer(timer, 0)
        return [*changed, *(["a timer"] if begun else [])]

    def __iter__(self) -> Iterator[str]:
        """Yields the name of each difference."""
        for name, state in leftovers_in_torch().items():
            if state != self._torch[name]:
                yield name
        if _limits() != self._limits:
            yield "other limits of the process"
        if _open_files() > self._files + MANY_FILES:
            yield "many open files"


def _timers() -> list[int]:
    """Returns the timers that will end, such as that of a test that has a time limit."""
    if not hasattr(signal, "setitimer"):  # Windows
        return []
    timers = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
    return [timer for timer in timers if signal.getitimer(timer)[0] > 0]


def _limits() -> dict[str, tuple[int, int]]:
    try:
        import resource
    except ImportError:  # Windows
        return {}
    return {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS if hasattr(resource, name)}


def _open_files() -> float:
    """Returns the number of open files: infinite if no other can be opened, 0 if /proc is missing."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path for each would be of no use
    except FileNotFoundError:
        return 0
    except OSError:
        return float("inf")
