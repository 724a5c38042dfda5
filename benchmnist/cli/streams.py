"""Standard output and error that may fail, which never reaches the training or what is saved of it."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


PLAIN = "benchmnist.plain"
"""Name of the way in which characters are written that the encoding of a stream lacks."""
SIGNS = {"±": "+/-", "×": "x", "·": "-", "–": "-", "→": "->", "…": "...", "✓": "v", "✗": "x", "│": "|", "█": "#"}
"""Our signs in ASCII; any other character becomes `\\xe9` or `\\u2713`."""


def _in_plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SIGNS.get(each) or ascii(each)[1:-1] for each in lacking), error.end


codecs.register_error(PLAIN, _in_plain)


class _Raw(io.RawIOBase):
    """The file of a stream; what cannot be written is lost, and the first reason is kept.

    The stream itself is kept, too: if nobody else did, its file would be closed.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self.stream, self.descriptor = stream, stream.fileno()
        self.error: OSError | None = None

    def write(self, data: Buffer, /) -> int:
        try:
            return os.write(self.descriptor, data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)


def _open_closed_streams() -> None:
    """Opens the null device for each closed stream: the next file that is opened would have its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:  # the number is taken by a file that Python has opened meanwhile
                os.dup2(null, number)
                os.close(null)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # pytest uses it


def run_with_streams_that_may_fail(command: Callable[[], None]) -> None:
    """Runs a command, and then says if standard output or error could not be written, with exit code 1.

    A pipe that nobody reads on, as in `benchmnist report | head`, is no error. A terminal without our signs costs
    signs, not results.

    Raises:
        SystemExit: of the command; with code 1 if it has 0, and the output was lost.
    """
    raws: dict[str, _Raw] = {}
    _open_closed_streams()
    for name, title in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # not somebody's own
            stream.flush()
            raws[title] = raw = _Raw(stream)
            buffered = io.BufferedWriter(raw)
            text = io.TextIOWrapper(buffered, stream.encoding, PLAIN, line_buffering=True)
            setattr(sys, name, text)
    code: object = 0
    try:
        command()
    except SystemExit as ended:
        code = ended.code
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is closed
            stream.flush()
    for title, raw in raws.items():
        if raw.error is not None and raw.error.errno != errno.EPIPE:
            with contextlib.suppress(AttributeError, ValueError):
                print(f"error: {title} could not be written: {raw.error.strerror}", file=sys.stderr)  # noqa: T201
            code = code or 1
    sys.exit(code)  # type: ignore[arg-type]
