"""Creates, writes and reads run folders; files are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout
from pydantic import ValidationError

from benchmnist.errors import StoreError, closest
from benchmnist.runs.results import SCHEMA, CaseResult, RunRecord, RunResult
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.suites.cases import Case

RUN_FILE = "run.json"
CASES = "cases"
TRIALS = "trials"
CHECKPOINTS = "checkpoints"
PLOTS = "plots"
BENCHMARK_FILE = "benchmark.json"
SESSION_LOG = "session.log"
LOCK = ".lock"
WITH_FIGURES = ("completed", "diverged")
"""Statuses of results that need not be computed again."""

T = TypeVar("T", RunRecord, CaseResult)


def write_file(path: Path, content: bytes | str) -> None:
    """Writes a file whole or not at all: a temporary file beside it is flushed, then replaces it.

    Raises:
        StoreError: if it cannot be written; the previous file remains.
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
    """Makes a replaced name survive a power loss; Windows, which cannot open folders, needs nothing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def new_run_path(out: Path, suite: str) -> Path:
    """Returns an unused path `out/suite/<UTC time>-<short id>`, without creating it."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return out / suite / f"{stamp}-{secrets.token_hex(2)}"


class RunFolder:
    """The folder to which a run is written, event by event."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Creates the folder.

        Raises:
            StoreError: if it cannot be created, or exists already.
        """
        try:
            self.path.mkdir(parents=True)
            (self.path / CASES).mkdir()
        except OSError as error:
            raise StoreError(
                f"cannot create a run folder in {self.path.parents[1]}: {error.strerror or error}; "
                "choose a writable folder with --out"
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder against other writers; the lock of an ended process is released.

        Raises:
            StoreError: if another process holds the lock, or the folder is not writable.
        """
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"{self.path} is being written by another process; wait until it has ended, or end it"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot write in {self.path}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def whole_cases(self) -> dict[str, CaseResult]:
        """Returns the results that need not be computed again, those that ended with a figure, by key.

        A damaged file is renamed to `NAME.json.damaged`.
        """
        whole = dict(readable_cases(self.path))
        for file in {*(self.path / CASES).glob("*.json")} - {*whole}:
            file.replace(file.with_name(f"{file.name}.damaged"))
        return {r.key: r for r in whole.values() if r.key and r.status in WITH_FIGURES}

    def parts(self) -> dict[str, list[CaseResult]]:
        """Returns the ended trials of unfinished cases, by the key of the case, without damaged files."""
        parts: dict[str, list[CaseResult]] = {}
        for _, part in _readable(self.path / TRIALS):
            parts.setdefault(part.key, []).append(part)
        return parts

    def is_locked(self) -> bool:
        """Tells whether another process writes to the folder, or it is not writable."""
        try:
            with self.lock():
                return False
        except StoreError:
            return True

    def write_record(self, record: RunRecord) -> None:
        """Writes run.json."""
        write_file(self.path / RUN_FILE, _json(record))

    def write_case(self, result: CaseResult) -> None:
        """Writes cases/<case>.json as soon as the case ends, and removes its files in trials/."""
        write_file(self.path / CASES / f"{result.case.file_stem}.json", _json(result))
        if result.status in WITH_FIGURES:
            for seed in result.case.seeds:
                with contextlib.suppress(OSError):  # what is left there is in nobody's way
                    self._part(result.case, seed).unlink(missing_ok=True)

    def write_part(self, part: CaseResult) -> None:
        """Writes trials/<case>__seed-<first seed>.json as soon as a trial of an unfinished case ends."""
        write_file(self._part(part.case, part.case.seeds[0]), _json(part))

    def _part(self, case: Case, seed: int) -> Path:
        return self.path / TRIALS / f"{case.file_stem}__seed-{seed}.json"


CHECKSUM = re.compile(r',\n "checksum": "(\w+)"\n\}\n\Z')
FIRST_WITH_CHECKSUM = 2  # of the formats


def _json(value: RunRecord | CaseResult) -> str:
    """Returns a value as JSON whose last member is a checksum of the rest."""
    # What was read from an earlier format is written in this one.
    text = value.model_copy(update={"schema_version": SCHEMA}).model_dump_json(indent=1)
    return f'{text[:-2]},\n "checksum": "{_checksum(text)}"\n}}\n'


def _checksum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _read(path: Path, model: type[T]) -> T:
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StoreError(f"cannot read {path}: {why}") from error
    version = re.search(r'"schema_version":\s*(\d+)', text)
    if version and int(version[1]) > SCHEMA:
        raise StoreError(
            f"{path} was written by a later BenchMNIST (format {version[1]}, this one reads up to {SCHEMA}); "
            "install a newer version"
        )
    checksum = CHECKSUM.search(text)
    if checksum and _checksum(f"{text[: checksum.start()]}\n}}") != checksum[1]:
        raise _damaged(path, "its checksum does not match")
    try:
        value = model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{where + ': ' if where else ''}{first['msg']}") from error
    if not checksum and value.schema_version >= FIRST_WITH_CHECKSUM:
        raise _damaged(path, "it has no checksum")
    return value


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged ({why}); move it elsewhere to read the rest of the run")


def load_record(path: Path) -> RunRecord:
    """Reads run.json of a run folder.

    Raises:
        StoreError: if it is missing, damaged, or was written by a later version.
    """
    return _read(path / RUN_FILE, RunRecord)


def load_run(path: str | Path) -> RunResult:
    """Reads a run folder; a folder of runs stands for its newest run.

    Raises:
        StoreError: if the path has no run, a file is damaged, or it was written by a later version.
    """
    folder = find_run(path)
    record = load_record(folder)
    files = {stem.name: stem for stem in sorted((folder / CASES).glob("*.json"))}
    planned = [f"{case.file_stem}.json" for case in record.plan]
    cases = tuple(_read(files[name], CaseResult) for name in planned if name in files)
    return RunResult(path=folder, record=record, cases=cases)


def readable_cases(path: Path) -> Iterator[tuple[Path, CaseResult]]:
    """Yields the undamaged results of a run, each with its file."""
    yield from _readable(path / CASES)


def _readable(folder: Path) -> Iterator[tuple[Path, CaseResult]]:
    for file in sorted(folder.glob("*.json")):
        with contextlib.suppress(StoreError):
            yield file, _read(file, CaseResult)


def stored_case(path: Path, case: Case) -> CaseResult | None:
    """Returns the result that a run has under the name of a case; None if it is missing or unreadable."""
    file = path / CASES / f"{case.file_stem}.json"
    with contextlib.suppress(StoreError):
        return _read(file, CaseResult) if file.is_file() else None
    return None


def newest_run(out: Path, suite: str) -> Path:
    """Returns the newest run of a suite in a folder of runs.

    Raises:
        StoreError: if the suite has no run.
    """
    runs = runs_in(out / suite)
    if not runs:
        raise StoreError(f"no run of {suite} in {out} to resume; remove --resume to start one")
    return runs[-1]


def runs_in(folder: Path) -> list[Path]:
    """Returns the runs in a folder, of one suite or of several, the oldest first."""
    files = [*folder.glob(f"*/{RUN_FILE}"), *folder.glob(f"*/*/{RUN_FILE}")]
    return sorted((file.parent for file in files), key=_age)


def _age(run: Path) -> tuple[str, int, str]:
    """Returns a sort key: the second in the name of a run, then the time when it was locked."""
    lock = run / LOCK
    return run.name[:15], lock.stat().st_mtime_ns if lock.exists() else 0, run.name


def find_run(name: str | Path, out: Path | None = None, *, newest: bool = True) -> Path:
    """Finds a run folder by its path, or by the end of its name in `out`.

    Args:
        name: Path or name of the run.
        out: Folder of runs in which to search for the name.
        newest: Whether the path of a folder of runs stands for its newest run.

    Raises:
        StoreError: if no run matches, or several do.
    """
    path = Path(name)
    if (path / RUN_FILE).is_file():
        return path
    if runs := runs_in(path):
        if newest:
            return runs[-1]
        raise StoreError(f"{path} has {counted(len(runs), 'run')}; name one of them")
    there = runs_in(out) if out is not None else []
    called = [run for run in there if run.name == str(name) or run.name.endswith(f"-{name}")]
    if len(called) > 1:
        raise StoreError(f"ambiguous run name {name}: {', '.join(map(str, called))}; name one of them")
    if called:
        return called[0]
    if path.exists() or out is None:
        what = f"is not a run folder: {RUN_FILE} is missing" if path.exists() else "does not exist"
        raise StoreError(f"{path} {what}; `benchmnist runs` lists the runs")
    raise StoreError(_no_run(str(name), there, out))


def _no_run(name: str, there: Sequence[Path], out: Path) -> str:
    """A run that is not in `out`: the nearest by name, or by the suite that it may be meant for."""
    names = {key: run.name for run in there for key in (run.name, run.name.rpartition("-")[2])}
    suites = {run.parent.name: str(run.parent) for run in there}
    meant = closest(name, (*names, *suites))
    near = f" Did you mean {suites.get(meant, meant)!r}?" if meant else ""
    listed = "`benchmnist runs` lists them" if there else "`benchmnist run SUITE` makes one"
    return f"no run named {name!r} in {out}.{near}".removesuffix(".") + ("" if near else f"; {listed}")
