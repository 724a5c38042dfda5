"""What the doctor says: lines, one a fact or a try, and the report of them as strict JSON."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmnist.runs.results import now
from benchmnist.runs.store import write_file
from benchmnist.suites.cases import Frozen

if TYPE_CHECKING:
    from pathlib import Path

Part = Literal["found", "tried", "speed"]
State = Literal["ok", "warning", "problem", "unknown", "not here"]
"""`problem` is the only one that makes the exit code 1; `not here` does not apply to this machine or device."""


class Miss(Exception):  # noqa: N818 - it is no error of ours
    """A try that fails; says what was seen."""


class NotHere(Exception):  # noqa: N818 - it is no error at all
    """A try that does not apply to this machine; says why."""


class Line(Frozen):
    """A fact that was found, or a try and its outcome.

    Attributes:
        name: Short, for `--only`: `cores`, `model-cnn`.
        state: Whether it is as it must be.
        said: What was found or seen.
        part: The part of the examination.
        promise: What a try proves.
        remedy: What to do about it; empty where nothing has to be done.
        last_words: The end of what the process of a failed try printed.
        seconds: How long a try took.
        figures: The same for programs, by name.
    """

    name: str
    state: State
    said: str = ""
    part: Part = "found"
    promise: str = ""
    remedy: str = ""
    last_words: str = ""
    seconds: float | None = None
    figures: dict[str, Any] = Field(default_factory=dict)


class Report(Frozen):
    """All of an examination, as `--json` writes it.

    Attributes:
        format: Version of this format.
        benchmnist: Version of the package that wrote it.
        device: The device that was tried; empty where nothing was tried.
        short: Whether it was the short form.
        started, ended: UTC, ISO 8601; `ended` is None as long as it runs.
        status: `running`, or how it ended.
        lines: In the order in which they were found.
    """

    format: int = 1
    benchmnist: str = Field(default_factory=lambda: version("benchmnist"))
    device: str = ""
    short: bool = False
    started: str = Field(default_factory=now)
    ended: str | None = None
    status: Literal["running", "completed", "interrupted"] = "running"
    lines: tuple[Line, ...] = ()

    def json_text(self) -> str:
        """The report as strict JSON."""
        return f"{self.model_dump_json(indent=1)}\n"

    @property
    def sick(self) -> bool:
        """Whether a problem was found or a try failed."""
        return any(line.state == "problem" for line in self.lines)


class Chart:
    """A report while it grows; its file is whole after every line.

    Args:
        report: The report to begin with.
        file: Where to keep it; None keeps it in memory only.

    Raises:
        StoreError: if the file cannot be written.
    """

    def __init__(self, report: Report, file: Path | None) -> None:
        self.report, self.file = report, file
        self._change()

    def add(self, line: Line) -> None:
        """Adds a line."""
        self._change(lines=(*self.report.lines, line))

    def end(self, *, interrupted: bool) -> None:
        """Notes how and when the examination ended."""
        self._change(ended=now(), status="interrupted" if interrupted else "completed")

    def _change(self, **changes: Any) -> None:
        self.report = self.report.model_copy(update=changes)
        if self.file is not None:
            write_file(self.file, self.report.json_text())
