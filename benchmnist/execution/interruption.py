"""An interruption ends a run once: what was done is saved, whatever is pressed or sent meanwhile."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a process, and are treated as Ctrl-C; the second comes when a terminal is closed."""
GRACE = 10.0
"""Seconds after the first signal in which others are ignored; saving takes one or two."""


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """Ignores SIGINT, SIGTERM and SIGHUP for GRACE seconds after the first of them; then they interrupt again.

    Without this, a second Ctrl-C would interrupt the saving that the first one began. A signal that is ignored or
    ends the process stays as it is, and in a thread nothing is changed: Python has signals in its main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[float] = []
    previous: dict[int, Callable[[int, FrameType | None], object]] = {}

    def once(number: int, frame: FrameType | None) -> None:
        if first and time.monotonic() - first[0] < GRACE:
            return
        first.append(time.monotonic())
        previous[number](number, frame)

    try:
        for number in (signal.SIGINT, *ENDS):
            handler = signal.getsignal(number)
            if callable(handler):
                previous[number] = handler
                signal.signal(number, once)
        yield
    finally:
        for former, handling in previous.items():
            signal.signal(former, handling)
