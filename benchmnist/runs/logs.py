"""Logs of bounded size, for output of which nobody knows how much comes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer

HEAD, TAIL = 2**20, 2**20
"""Bytes that are kept of the beginning and, at least, of the end."""

LEFT_OUT = "\n… output left out …\n".encode()


class BoundedLog(io.RawIOBase):
    """A file that is appended to, and keeps the first HEAD bytes and the last TAIL to twice TAIL.

    It never raises: a full disk must not cost a training.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("a+b", buffering=0)

    def writable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def write(self, output: ReadableBuffer, /) -> int:
        """Appends output, and shortens the file if it has become too long."""
        size = memoryview(output).nbytes
        try:
            self._file.write(output)
            if self._file.tell() > HEAD + 2 * TAIL:
                self._shorten()
        except OSError:
            pass
        return size

    def _shorten(self) -> None:
        end = self._file.tell()
        self._file.seek(end - TAIL)
        tail = self._file.read(TAIL)
        self._file.truncate(HEAD)
        self._file.write(LEFT_OUT)
        self._file.write(tail or b"")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()
