"""Lines of the doctor, one per fact or try, and their report as strict JSON."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmnist.reports.escaping import json_text
from benchmnist.runs.files import write_named_file
from benchmnist.runs.results import now
from benchmnist.suites.cases import Frozen

if TYPE_CHECKING:
    from pathlib import Path

Part = Literal["found", "tried", "speed"]
State = Literal["ok", "warning", "problem", "unknown", "not here"]
"""State of a line: only `problem` makes the exit code 1; `not here` does not apply to this machine or device."""


class TryFailed(Exception):  # noqa: N818 - it is no error of ours
    """Raised by a try that fails, with its observation."""


class NotHere(Exception):  # noqa: N818 - it is no error at all
    """Raised by a try that does not apply to this machine, with the reason."""


class Line(Frozen):
    """A fact, or a try and its outcome.

    Attributes:
        name: Short name for `--only`: `cores`, `model-cnn`.
        state: State of the fact, or outcome of the try.
        said: The fact, or the observation of the try.
        part: Part of the examination.
        promise: Statement that a try proves.
        remedy: Advice; empty if nothing has to be done.
        last_words: End of the output of the process of a failed try.
        seconds: Duration of a try.
        figures: The facts for programs, by name.
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
        device: Device that was tried; empty if none was.
        short: Whether only the short form was tried.
        started, ended: UTC, ISO 8601; `ended` is None while the examination runs.
        status: `running`, or how the examination ended.
        lines: Lines in their order.
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
        """Returns the report as strict JSON."""
        return json_text(json.loads(self.printable().model_dump_json()))

    @property
    def sick(self) -> bool:
        """Tells whether a line has a problem."""
        return any(line.state == "problem" for line in self.lines)


class Chart:
    """A growing report; its file is complete after every line.

    Args:
        report: Report to begin with.
        file: File of the report; None keeps it in memory only.

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
        """Records how and when the examination ended."""
        self._change(ended=now(), status="interrupted" if interrupted else "completed")

    def _change(self, **changes: Any) -> None:
        self.report = self.report.model_copy(update=changes)
        if self.file is not None:
            write_named_file(self.file, self.report.json_text())
