"""A log keeps the beginning and the end of what is written to it, however much that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.runs.logs import HEAD, LEFT_OUT, TAIL, BoundedLog

if TYPE_CHECKING:
    from pathlib import Path


def test_a_log_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [f"{number:>99}\n".encode() for number in range(100_000)]
    for part in (lines[:50_000], lines[50_000:]):  # a worker, and the one that replaces it
        with BoundedLog(path) as log:
            for start in range(0, len(part), 500):
                log.write(b"".join(part[start : start + 500]))
    text, whole = path.read_bytes(), b"".join(lines)
    assert HEAD + TAIL < len(text) <= HEAD + 2 * TAIL
    assert text.count(LEFT_OUT) == 1
    assert text.startswith(whole[:HEAD] + LEFT_OUT)
    assert text.endswith(whole[-TAIL:])


def test_a_short_log_is_whole_and_a_full_disk_costs_nothing(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "log") as log:
        assert log.write(b"one") == 3
        log._file.write = _full  # type: ignore[method-assign]
        assert log.write(b"two") == 3
    assert (tmp_path / "log").read_bytes() == b"one"


def _full(_: object) -> int:
    raise OSError(28, "No space left on device")
