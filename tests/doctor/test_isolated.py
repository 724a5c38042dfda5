"""A function that fails, hangs or crashes spoils its own line only."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import doctor_support
import pytest

from benchmnist.doctor.isolated import LAST_WORDS, Nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmnist.doctor.lines import Line

PATIENCE = 60.0


@pytest.fixture
def run() -> Iterator[Callable[..., Line]]:
    """Runs a function of doctor_support; without torch, a nursery is there at once."""
    with Nursery(modules=()) as nursery:

        def run(function: Callable[..., Line], limit: float = PATIENCE, **arguments: object) -> Line:
            name = function.__name__
            return nursery.run(name, f"{doctor_support.__name__}:{name}", arguments, limit)

        yield run


@pytest.mark.parametrize(
    ("function", "said", "last_words"),
    [
        (doctor_support.misses, "it is not as it should be", "what led to it"),
        (doctor_support.raises, "RuntimeError: out of order", "RuntimeError: out of order\nin two lines"),
        (doctor_support.leaves, "SystemExit: 3", "SystemExit: 3"),
        (doctor_support.exits, "the process ended with exit code 7", "the last words"),
        (doctor_support.crashes, "the process was killed by SIGSEGV", "Segmentation fault"),
    ],
)
def test_what_fails_spoils_one_line_only(
    run: Callable[..., Line], function: Callable[..., Line], said: str, last_words: str
) -> None:
    assert run(doctor_support.fine, number=1).said == "all is well, 1"
    line = run(function)
    assert (line.name, line.state, line.said) == (function.__name__, "problem", said)
    assert last_words in line.last_words
    after = run(doctor_support.fine, number=2)
    assert (after.state, after.said, after.last_words) == ("ok", "all is well, 2", "")
    assert after.figures == {"number": 2, "inf": "Infinity"}
    assert after.seconds is not None


def test_what_is_printed_and_read_disturbs_nothing(run: Callable[..., Line]) -> None:
    assert run(doctor_support.says).said == "stdin has 0 bytes"
    assert run(doctor_support.applies_elsewhere).state == "not here"
    assert run(doctor_support.says_much).last_words.splitlines()[0] == "line 89"  # and 10 more, and the reason
    assert LAST_WORDS == 12


def test_what_hangs_is_stopped_with_all_that_it_started(run: Callable[..., Line], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    assert run(doctor_support.fine).state == "ok"  # the nursery has started, which may take its time
    line = run(doctor_support.hangs, limit=5, pids=str(pids))
    assert (line.state, line.said) == ("problem", "stopped at its time limit of 5 s; half of it")
    assert line.figures == {"half": 1}
    assert "in hangs" in line.last_words  # where it hung
    for pid in map(int, pids.read_text("ascii").split()):
        end = time.monotonic() + PATIENCE
        while _lives(pid):
            assert time.monotonic() < end, pid
            time.sleep(0.05)
    assert run(doctor_support.fine).state == "ok"


def test_a_measurement_that_is_stopped_is_no_problem(tmp_path: Path) -> None:
    with Nursery(modules=()) as nursery:
        call, arguments = f"{doctor_support.__name__}:hangs", {"pids": str(tmp_path / "pids")}
        line = nursery.run("slow", call, arguments, 3, late="warning")
    assert (line.name, line.state, line.figures) == ("slow", "warning", {"half": 1})


def test_where_torch_cannot_be_imported_it_is_said() -> None:
    with Nursery(modules=("no_such_module",)) as nursery:
        line = nursery.run("torch", f"{doctor_support.__name__}:fine", {}, PATIENCE)
    assert line.state == "problem"
    assert "No module named 'no_such_module'" in line.last_words


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended, and of which nobody has taken note, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.is_file() or status.read_text("ascii", "replace").rpartition(")")[2].split()[0] != "Z"
