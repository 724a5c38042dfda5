"""The run folder: made, written whole or not at all, and read back."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout
from pydantic import ValidationError

from benchmnist.errors import StoreError
from benchmnist.results import SCHEMA, CaseResult, RunRecord, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.cases import Frozen

RUN_FILE = "run.json"
CASES = "cases"
CHECKPOINTS = "checkpoints"
PLOTS = "plots"
BENCHMARK_FILE = "benchmark.json"
SESSION_LOG = "session.log"
LOCK = ".lock"

T = TypeVar("T", RunRecord, CaseResult)


def write_file(path: Path, content: bytes | str) -> None:
    """Writes a file whole or not at all: a temporary file beside it, flushed, then put in its place.

    Raises:
        StoreError: if it cannot be written; what stood there before still stands.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    """Makes a replaced name survive a power loss; where folders cannot be opened (Windows), nothing is needed."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def new_run_path(out: Path, suite: str) -> Path:
    """`out/suite/<UTC time>-<short id>`, which no other run has; nothing is made yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return out / suite / f"{stamp}-{secrets.token_hex(2)}"


class RunFolder:
    """Where one run is written, bit by bit, as it happens."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Makes it.

        Raises:
            StoreError: if it cannot be made, or is there already; says what to do.
        """
        try:
            self.path.mkdir(parents=True)
            (self.path / CASES).mkdir()
        except OSError as error:
            raise StoreError(
                f"cannot make a run folder in {self.path.parents[1]}: {error.strerror or error}; "
                "choose a folder that can be written to with --out"
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Within it nobody else writes to the folder; a process that is gone, however, holds no lock.

        Raises:
            StoreError: if another process holds it.
        """
        try:
            with FileLock(self.path / LOCK, timeout=0):
                yield
        except Timeout:
            raise StoreError(
                f"{self.path} is being written by another process; wait until that has ended, or end it"
            ) from None

    def whole_cases(self) -> dict[str, CaseResult]:
        """The results that need not be computed again: those that ended with a figure, by their keys.

        A file that is damaged is set aside, as `NAME.json.damaged`.
        """
        found = {}
        for file in sorted((self.path / CASES).glob("*.json")):
            try:
                result = _read(file, CaseResult)
            except StoreError:
                file.replace(file.with_name(f"{file.name}.damaged"))
                continue
            if result.status in ("completed", "diverged") and result.key:
                found[result.key] = result
        return found

    def write_record(self, record: RunRecord) -> None:
        """Writes run.json."""
        write_file(self.path / RUN_FILE, _json(record))

    def write_case(self, result: CaseResult) -> None:
        """Writes cases/<case>.json, as soon as the case ends."""
        write_file(self.path / CASES / f"{result.case.file_stem}.json", _json(result))


def _json(value: Frozen) -> str:
    return value.model_dump_json(indent=1) + "\n"


def load_record(path: Path) -> RunRecord:
    """What run.json of a run folder says.

    Raises:
        StoreError: if there is none, or it is damaged, or was written by a later version.
    """
    return _read(path / RUN_FILE, RunRecord)


def newest_run(out: Path, suite: str) -> Path:
    """The newest run of a suite in a folder of runs.

    Raises:
        StoreError: if there is none.
    """
    runs = _runs_in(out / suite)
    if not runs:
        raise StoreError(f"there is no run of {suite} in {out} to go on with; leave --resume out to begin one")
    return runs[-1].parent


def _runs_in(folder: Path) -> list[Path]:
    """The run.json of each run of a suite, the oldest first."""
    return sorted(folder.glob(f"*/{RUN_FILE}"))


def load_run(path: str | Path) -> RunResult:
    """Reads a run folder back; a path that holds run folders stands for the newest in it.

    Raises:
        StoreError: if there is no run, a file is damaged, or it was written by a later version.
    """
    folder = _find(Path(path))
    record = _read(folder / RUN_FILE, RunRecord)
    files = {stem.name: stem for stem in sorted((folder / CASES).glob("*.json"))}
    planned = [f"{case.file_stem}.json" for case in record.plan]
    cases = tuple(_read(files[name], CaseResult) for name in planned if name in files)
    return RunResult(path=folder, record=record, cases=cases)


def _find(path: Path) -> Path:
    if (path / RUN_FILE).is_file():
        return path
    runs = _runs_in(path) or sorted(path.glob(f"*/*/{RUN_FILE}"), key=lambda run: run.parent.name)
    if not runs:
        raise StoreError(
            f"{path} is no run folder: it has no {RUN_FILE}; `benchmnist run` says where it puts a run"
        )
    return runs[-1].parent


def _read(path: Path, model: type[T]) -> T:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    version = re.search(r'"schema_version":\s*(\d+)', text)
    if version and int(version[1]) > SCHEMA:
        raise StoreError(
            f"{path} was written by a later BenchMNIST (format {version[1]}, this one reads up to {SCHEMA}); "
            "install a newer one"
        )
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{path} is damaged ({where + ': ' if where else ''}{first['msg']}); "
            "move it away to read the rest of the run"
        ) from error
