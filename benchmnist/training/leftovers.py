"""Finds what a case leaves in its process that would affect the next cases, and that is not put back."""

from __future__ import annotations

import os
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
    """What differs in this process from its state when this was built."""

    def __init__(self) -> None:
        self._torch, self._limits, self._files = leftovers_in_torch(), _limits(), _open_files()

    def __iter__(self) -> Iterator[str]:
        """Yields the name of each difference."""
        for name, state in leftovers_in_torch().items():
            if state != self._torch[name]:
                yield name
        if _limits() != self._limits:
            yield "other limits of the process"
        if _open_files() > self._files + MANY_FILES:
            yield "many open files"


def _limits() -> object:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS if hasattr(resource, name)}


def _open_files() -> float:
    """Returns the number of open files: infinite if no other can be opened, 0 if /proc is missing."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path for each would be of no use
    except FileNotFoundError:
        return 0
    except OSError:
        return float("inf")
