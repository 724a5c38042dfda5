"""Keeps the garbage collector away from work that makes none: it looks at all objects, again and again."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def not_collecting() -> Iterator[None]:
    """Stops the collector within it; what was made meanwhile counts as old: a full collection looks at it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():  # else what somebody has frozen would be looked at again
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
            if ours or gc.get_freeze_count():
                gc.freeze()


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Collections within it do not look at what is there already: maybe thousands of results."""
    frozen_before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen_before:  # else what somebody has frozen would be looked at again
            gc.unfreeze()
