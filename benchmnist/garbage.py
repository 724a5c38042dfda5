"""Keeps the garbage collector away from work that makes none: it looks at all objects, again and again."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Seen:
    """Answers that need no second look.

    Attributes:
        frozen: Whether somebody has frozen objects. To count them takes longer than what is done with the answer:
            0.06 s with half a million objects.
    """

    frozen = False


def _frozen() -> bool:
    """Tells whether somebody has frozen objects; who has is expected to leave them so."""
    _Seen.frozen = _Seen.frozen or gc.get_freeze_count() > 0
    return _Seen.frozen


@contextlib.contextmanager
def not_collecting() -> Iterator[None]:
    """Stops the collector within it; what was made meanwhile counts as old: a full collection looks at it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not _frozen():  # else what somebody has frozen would be looked at again
                gc.freeze()
                gc.unfreeze()  # into the oldest generation; else the next object that is made has all looked at
            gc.enable()


@contextlib.contextmanager
def quick_imports(*, ours: bool = False) -> Iterator[None]:
    """Imports within it are not interrupted by collections of garbage, which take a quarter of torch's import.

    Args:
        ours: Whether the process is one of our own: then no later collection looks at what has been imported, nor
            does `gc.get_referrers`, on which some plugins of pytest rely.
    """
    with not_collecting():
        try:
            yield
        finally:
            if ours or _frozen():
                gc.freeze()


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Collections within it do not look at what is there already: maybe thousands of results."""
    frozen_before = _frozen()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen_before:  # else what somebody has frozen would be looked at again
            gc.unfreeze()
            _Seen.frozen = False  # what was seen meanwhile was ours
