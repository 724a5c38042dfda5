"""A second signal does not interrupt the saving that the first one began."""

from __future__ import annotations

import os
import signal

import pytest

from benchmnist.execution import interruption
from benchmnist.execution.interruption import interrupted_once


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_others_wait(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[int] = []
    former = signal.signal(number, lambda signum, _: got.append(signum))
    try:
        with interrupted_once():
            for _ in range(3):
                os.kill(os.getpid(), number)
            assert got == [number]
            monkeypatch.setattr(interruption, "GRACE", 0.0)
            os.kill(os.getpid(), number)
            assert got == [number] * 2
        os.kill(os.getpid(), number)
        assert got == [number] * 3
    finally:
        signal.signal(number, former)


def test_a_signal_that_is_ignored_stays_so() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupted_once():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)
