"""Reads and writes the files of a run: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from benchmnist.errors import StoreError, reason
from benchmnist.runs.results import SCHEMA, CaseResult, RunRecord
from benchmnist.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

CaseOrRecord = TypeVar("CaseOrRecord", RunRecord, CaseResult)

RUN_FILE = "run.json"
"""The record of a run, beside the folders with its results."""
CHECKSUM = re.compile(r',\n "checksum": "(\w+)"\n\}\n\Z')
FIRST_WITH_CHECKSUM = 2
"""The first format with a checksum."""
FIRST_WITH_METRICS = 3
"""The first format with the `metrics` of an epoch."""
EVALUATED_BEFORE = frozenset({"test_accuracy", "test_loss"})
"""Fields of an epoch in earlier formats that are now in its `metrics`."""
VERSION = re.compile(r'"schema_version":\s*([0-9]+)')
TEMPORARY = ".*.tmp"
"""Pattern of the names of files that are being written."""
LONGEST_REASON = 200
"""Characters of what pydantic says of a file: it repeats what it was given."""
LARGEST = 2**30
"""Bytes of a JSON file that is still read."""


def write_named_file(path: Path, content: bytes | str) -> None:
    """Writes a file that somebody names: the one that a link leads to, with the permissions that it has.

    Raises:
        StoreError: if it is a device, a pipe or a folder, or it cannot be written.
    """
    try:
        target = path.resolve()
        mode = target.stat().st_mode if target.exists() else None
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        raise StoreError(f"cannot write {path}: {reason(error)}") from error
    if mode is not None and not stat.S_ISREG(mode):
        raise StoreError(f"cannot write {path}: not a regular file")
    for folder in (target.parent, target.parent.parent):
        if (folder / RUN_FILE).is_file() and (target.name == RUN_FILE or folder != target.parent):
            raise StoreError(f"cannot write {path}: it belongs to the results of a run; name another file")
    write_file(target, content, None if mode is None else mode & 0o777)


def write_file(path: Path, content: bytes | str, mode: int | None = None) -> None:
    """Writes a file whole or not at all: a temporary file beside it is flushed, then replaces it.

    Args:
        path: The file.
        content: Its content.
        mode: Its permissions; None for those of new files.

    Raises:
        StoreError: if it cannot be written; the previous file remains.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                if mode is not None:
                    temporary.chmod(mode)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {reason(error)}") from error


def _sync_folder(folder: Path) -> None:
    """Makes a replaced name survive a power loss; Windows, which cannot open folders, needs nothing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_file(path: Path, largest: int | None = None) -> bytes:
    """Returns the content of a regular file; a device or a pipe, which may never end, is not read.

    Args:
        path: The file, or a link to one.
        largest: Number of bytes of the largest file to read; None for no limit.

    Raises:
        StoreError: if it is missing, is no such file or cannot be read.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe waits for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise StoreError(f"cannot read {path}: not a regular file")
            if largest is not None and found.st_size > largest:
                raise StoreError(f"cannot read {path}: larger than {largest:,} bytes")
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise StoreError(f"cannot read {path}: {reason(error)}") from error


def encoded(value: RunRecord | CaseResult, *, as_read: bool = False) -> str:
    """Returns a value as JSON whose last member is a checksum of the rest.

    Args:
        value: The value.
        as_read: Whether it has only the fields that were in the file that it was read from, of which a key is.
    """
    # What was read from an earlier format is written in this one.
    current = value.model_copy(update={"schema_version": SCHEMA})
    text = current.model_dump_json(indent=1, exclude_unset=as_read)
    return f'{text[:-2]},\n "checksum": "{checksum_of(text)}"\n}}\n'


def checksum_of(text: str) -> str:
    """Returns the checksum of the JSON text of a value, without its checksum."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_value(path: Path, model: type[CaseOrRecord]) -> CaseOrRecord:
    """Reads a file with a value that `encoded` wrote.

    Raises:
        StoreError: if the file cannot be read, is damaged, or was written by a later version.
    """
    return value_of(read_file(path, LARGEST), path, model)


def value_of(content: bytes, path: Path, model: type[CaseOrRecord]) -> CaseOrRecord:
    """Returns the value that `encoded` wrote as the content of a file.

    Raises:
        StoreError: if the content is damaged, or was written by a later version.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"not UTF-8: {error.reason} at byte {error.start}") from error
    version = VERSION.search(text)
    if version and (len(version[1]) > len(str(SCHEMA)) or int(version[1]) > SCHEMA):
        raise StoreError(
            f"{path} was written by a later BenchMNIST (format {version[1][:8]}, this one reads up to {SCHEMA}); "
            "install a newer version"
        )
    is_recent = version is not None and int(version[1]) >= FIRST_WITH_METRICS
    checksum = CHECKSUM.search(text)
    if checksum and checksum_of(f"{text[: checksum.start()]}\n}}") != checksum[1]:
        raise damaged(path, "its checksum does not match")
    try:
        value = model.model_validate_json(text if is_recent else _in_this_format(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise damaged(path, one_line(f"{where + ': ' if where else ''}{first['msg']}", LONGEST_REASON)) from error
    if not checksum and value.schema_version >= FIRST_WITH_CHECKSUM:
        raise damaged(path, "it has no checksum")
    return value


def _in_this_format(text: str) -> str:
    """Gathers the figures of evaluation, which formats 1 and 2 keep as fields of an epoch. Invalid JSON stays."""

    def gathered(data: dict[str, object]) -> dict[str, object]:
        if "train_loss" not in data or not EVALUATED_BEFORE & data.keys():
            return data
        found = {name: data[name] for name in sorted(EVALUATED_BEFORE) if data.get(name) is not None}
        metrics = data.get("metrics", {})
        kept = {name: value for name, value in data.items() if name not in EVALUATED_BEFORE}
        return kept | {"metrics": found | metrics if isinstance(metrics, dict) else metrics}

    try:
        return json.dumps(json.loads(text, object_hook=gathered))
    except (ValueError, RecursionError):
        return text


def damaged(path: Path, why: str) -> StoreError:
    """Returns the error of a file that is not what was written."""
    return StoreError(f"{path} is damaged ({why}); move it elsewhere to read the rest of the run")
