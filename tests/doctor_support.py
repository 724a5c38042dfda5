"""Functions for the doctor to run in processes of their own, most of which end badly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmnist.doctor.lines import Line, NotHere, TryFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[Line], None]


def fine(tell: Tell, number: int = 0) -> Line:  # noqa: ARG001
    return Line(
        name="", state="ok", said=f"all is well, {number}", figures={"number": number, "inf": float("inf")}
    )


def says(tell: Tell) -> Line:  # noqa: ARG001
    sys.stdout.write("to standard output\n")
    os.write(2, b"to standard error\n")
    subprocess.run([sys.executable, "-c", "print('a child of its own')"], check=True)
    return Line(name="", state="ok", said=f"stdin has {len(sys.stdin.buffer.read() if sys.stdin else b'')} bytes")


def misses(tell: Tell) -> Line:  # noqa: ARG001
    sys.stderr.write("what led to it\n")
    raise TryFailed("it is not as it should be")


def applies_elsewhere(tell: Tell) -> Line:  # noqa: ARG001
    raise NotHere("not on this machine")


def raises(tell: Tell) -> Line:  # noqa: ARG001
    raise RuntimeError("out of order\nin two lines")


def leaves(tell: Tell) -> Line:  # noqa: ARG001
    raise SystemExit(3)


def exits(tell: Tell) -> Line:  # noqa: ARG001
    os.write(1, b"the last words\n")
    os._exit(7)


def crashes(tell: Tell) -> Line:  # noqa: ARG001
    import ctypes

    ctypes.string_at(0)
    return Line(name="", state="ok")


def says_much(tell: Tell) -> Line:
    sys.stdout.write("".join(f"line {number}\n" for number in range(100)))
    return misses(tell)


def hangs(tell: Tell, pids: str) -> Line:
    """Tells what it has, starts a process in a session of its own, and never ends."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    Path(pids).write_text(f"{os.getpid()} {child.pid}", "ascii")
    tell(Line(name="", state="ok", said="half of it", figures={"half": 1}))
    time.sleep(3600)
    raise AssertionError
