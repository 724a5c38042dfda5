"""Creates, writes and reads run folders."""

from __future__ import annotations

import contextlib
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from benchmnist.errors import StoreError, closest, reason
from benchmnist.garbage import not_collecting
from benchmnist.runs.files import LARGEST, RUN_FILE, TEMPORARY, damaged, encoded, read_file, read_value, write_file
from benchmnist.runs.packed import CASES, is_packed, opened
from benchmnist.runs.results import SCHEMA, CaseResult, RunRecord, RunResult
from benchmnist.suites.cases import Component
from benchmnist.suites.files import recorded_run
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from benchmnist.suites.cases import Case

SHARED = ("dataset", "model", "schedule", "augmentation", "task", "evaluates", "seeds")
"""Fields that are often the same in many cases."""
TRIALS = "trials"
CHECKPOINTS = "checkpoints"
PLOTS = "plots"
BENCHMARK_FILE = "benchmark.json"
SESSION_LOG = "session.log"
LOCK = ".lock"
RECORDED = "recorded.zip"
"""A packed run with results of others."""
MOST_ENVIRONMENTS = 8
"""Environments that a result's is compared with."""
WITH_FIGURES = ("completed", "diverged")
"""Statuses of results that need not be computed again."""


def new_run_path(out: Path, suite: str) -> Path:
    """Returns an unused path `out/suite/<UTC time>-<short id>`, without creating it."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return out / suite / f"{stamp}-{secrets.token_hex(2)}"


def checkpoint_name(case: Case, seed: int, key: str = "") -> str:
    """Returns the file of the weights of a trial within the run folder; `key` is that of a trial taken over."""
    return f"{CHECKPOINTS}/{case.file_stem}__seed-{seed}{f'.{key[:8]}' if key else ''}.safetensors"


def refuse_links(folder: Path) -> None:
    """Refuses to write into a folder with a link in it: the files of a run would end up elsewhere.

    Raises:
        StoreError: names the link; or if the folder cannot be read.
    """
    try:
        links = [entry.name for entry in os.scandir(folder) if entry.is_symlink()]
    except OSError as error:
        raise StoreError(f"cannot write in {folder}: {reason(error)}") from error
    if links:
        raise StoreError(f"{folder / min(links)} is a link, and a run folder has none; remove it")


class RunFolder:
    """The folder to which a run is written, event by event. Results that have not changed are read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: dict[Path, tuple[tuple[int, ...], CaseResult]] = {}

    def cases(self) -> Iterator[tuple[Path, CaseResult]]:
        """Yields the undamaged results, each with its file."""
        with not_collecting():
            for file in sorted((self.path / CASES).glob("*.json")):
                with contextlib.suppress(StoreError, OSError):
                    stamp = _stamp(file)
                    if file not in self._read or self._read[file][0] != stamp:
                        self._read[file] = stamp, read_value(file, CaseResult)
                    yield file, self._read[file][1]

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
                f"cannot create a run folder in {self.path.parents[1]}: {reason(error)}; "
                "choose a writable folder with --out"
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder against other writers; the lock of an ended process is released.

        Raises:
            StoreError: if another process holds the lock, the folder is not writable, or has links.
        """
        refuse_links(self.path)
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"{self.path} is being written by another process; wait until it has ended, or end it"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot write in {self.path}: {reason(error)}") from error
        try:
            yield
        finally:
            lock.release()

    def whole_cases(self) -> dict[str, CaseResult]:
        """Returns the results that need not be computed again, those that ended with a figure, by key."""
        return {r.key: r for _, r in self.cases() if r.key and r.status in WITH_FIGURES}

    def set_aside(self, plan: Iterable[Case]) -> None:
        """Renames a file in cases/ that is damaged, or is not what is planned under its name.

        The first becomes NAME.json.damaged, the second NAME.json.replaced. What a killed process had begun to
        write is removed.

        Raises:
            StoreError: if it cannot be renamed, or a result is a link.
        """
        for name in (CASES, TRIALS):
            if (self.path / name).is_dir():
                refuse_links(self.path / name)
        planned = {f"{case.file_stem}.json": case for case in plan}
        readable = dict(self.cases())
        try:
            for file in sorted((self.path / CASES).glob("*.json")):
                if file not in readable:
                    file.replace(file.with_name(f"{file.name}.damaged"))
                elif file.name in planned and _not_of(readable[file], planned[file.name]):
                    file.replace(file.with_name(f"{file.name}.replaced"))
            for begun in self.path.rglob(TEMPORARY):
                begun.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot rename {error.filename}: {error.strerror}") from error

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
        write_file(self.path / RUN_FILE, encoded(record))

    def write_recorded(self, file: Path) -> None:
        """Copies a packed run with results of others."""
        write_file(self.path / RECORDED, read_file(file, LARGEST))

    def write_case(self, result: CaseResult) -> None:
        """Writes cases/<case>.json as soon as the case ends, and removes its files in trials/.

        What was read from that file, and is in it still, is not written again.
        """
        file = self.path / CASES / f"{result.case.file_stem}.json"
        if not self._has(file, result):
            write_file(file, encoded(result))
        if result.status in WITH_FIGURES and (self.path / TRIALS).is_dir():
            for seed in result.case.seeds:
                with contextlib.suppress(OSError):  # what is left there is in nobody's way
                    self._part(result.case, seed).unlink(missing_ok=True)

    def _has(self, file: Path, result: CaseResult) -> bool:
        if file not in self._read:
            return False
        stamp, read = self._read[file]
        with contextlib.suppress(OSError):
            return read == result and read.schema_version == SCHEMA and stamp == _stamp(file)
        return False

    def write_part(self, part: CaseResult) -> None:
        """Writes trials/<case>__seed-<first seed>.json as soon as a trial of an unfinished case ends."""
        write_file(self._part(part.case, part.case.seeds[0]), encoded(part))

    def _part(self, case: Case, seed: int) -> Path:
        return self.path / TRIALS / f"{case.file_stem}__seed-{seed}.json"


def _stamp(file: Path) -> tuple[int, ...]:
    """Returns what changes when a file is written again."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def load_record(path: Path) -> RunRecord:
    """Reads run.json of a run folder, or of a packed run.

    Raises:
        StoreError: if it is missing, damaged, or was written by a later version.
    """
    with not_collecting():
        if is_packed(path):
            with opened(path) as packed:
                record = packed.read(RUN_FILE, RunRecord)
        else:
            record = read_value(path / RUN_FILE, RunRecord)
        return record.model_copy(update={"plan": tuple(_with_shared_parts(record.plan))})


def _with_shared_parts(cases: Iterable[Case]) -> Iterator[Case]:
    """Yields the cases with one copy of what each has like the one before: most of the memory of a large plan."""
    before: Case | None = None
    for case in cases:
        given = [name for name in SHARED if name in case.model_fields_set]  # a copy counts others as given, too
        shared = {name: getattr(before, name) for name in given if before and _are_alike(before, case, name)}
        before = case.model_copy(update=shared)
        yield before


def _are_alike(one: Case, other: Case, name: str) -> bool:
    """Tells whether two cases have the same values, of the same types, in a field."""
    ours, theirs = getattr(one, name), getattr(other, name)
    if ours != theirs or not isinstance(ours, Component):
        return bool(ours == theirs)
    return (
        ours.model_fields_set == theirs.model_fields_set
        and repr(ours.params) == repr(theirs.params)
        and repr(ours.groups) == repr(theirs.groups)
    )


def load_run(path: str | Path) -> RunResult:
    """Reads a run folder or a packed run; a folder of runs stands for its newest run.

    Raises:
        StoreError: if the path has no run, a file is damaged or of another case than planned, or it was written
            by a later version.
    """
    folder = find_run(path)
    record = load_record(folder)
    with not_collecting():
        if is_packed(folder):
            with opened(folder) as packed:
                cases = _read_planned(folder, record, packed.names, lambda name: packed.read(name, CaseResult))
        else:
            there = {f"{CASES}/{file.name}" for file in (folder / CASES).glob("*.json")}
            cases = _read_planned(folder, record, there, lambda name: read_value(folder / name, CaseResult))
        return RunResult(path=folder, record=record, cases=_sharing(cases))


def load_recorded(run: RunResult) -> RunResult | None:
    """Reads the results of others that a run has; None if it has none, or is packed without them.

    Raises:
        StoreError: if they are damaged.
    """
    file = run.path / RECORDED
    return load_run(file) if run.record.recorded and file.is_file() else None


def _read_planned(
    folder: Path, record: RunRecord, there: Container[str], read: Callable[[str], CaseResult]
) -> tuple[CaseResult, ...]:
    """Reads the results of the planned cases of a run that are there."""
    found = []
    for case in record.plan:
        if (name := f"{CASES}/{case.file_stem}.json") not in there:
            continue
        result = read(name)
        if _same(result.case, case):
            result = result.model_copy(update={"case": case})  # which is kept once
        elif why := _not_of(result, case):
            raise damaged(folder / name, why)
        found.append(result)
    return tuple(found)


def _same(one: Case, other: Case) -> bool:
    """Tells whether two cases are equal, and had the same fields in their files; see `Case.deciding`."""
    if one != other or one.model_fields_set != other.model_fields_set:
        return False
    parts = zip(one.components, other.components, strict=True)
    return all(ours.model_fields_set == theirs.model_fields_set for (_, ours), (_, theirs) in parts)


def _sharing(results: Sequence[CaseResult]) -> tuple[CaseResult, ...]:
    """Returns the results with one copy of each environment: most runs have one, and as many copies as cases."""
    found: list[dict[str, Any]] = []
    shared = []
    for result in results:
        known = next((each for each in found[-MOST_ENVIRONMENTS:] if each == result.environment), None)
        if known is None:
            found.append(result.environment)
        shared.append(result if known is None else result.model_copy(update={"environment": known}))
    return tuple(shared)


def _not_of(result: CaseResult, case: Case) -> str:
    """Says why a result is not of a planned case; empty if it is. It may lack seeds, such as before a look."""
    if result.id != case.id:
        return f"it is of the case {result.id}, and should be of {case.id}"
    named = [name for name in type(case).model_fields if name not in ("seeds", "line")]
    if differing := [name for name in named if getattr(result.case, name) != getattr(case, name)]:
        return f"it is of another {case.id}: {', '.join(differing)} differ from the plan in {RUN_FILE}"
    if other := [seed for seed in result.case.seeds if seed not in case.seeds]:
        return f"it has the seed {other[0]}, which {RUN_FILE} does not plan"
    return ""


def readable_cases(path: Path) -> Iterator[tuple[Path, CaseResult]]:
    """Yields the undamaged results of a run, each with its file."""
    yield from _readable(path / CASES)


def _readable(folder: Path) -> Iterator[tuple[Path, CaseResult]]:
    for file in sorted(folder.glob("*.json")):
        with contextlib.suppress(StoreError):
            yield file, read_value(file, CaseResult)


def ended_cases(path: Path, record: RunRecord) -> Iterator[CaseResult]:
    """Yields the undamaged results of a run that are of its planned cases."""
    planned = {f"{case.file_stem}.json": case for case in record.plan}
    for file, result in readable_cases(path):
        if file.name in planned and not _not_of(result, planned[file.name]):
            yield result


def stored_case(path: Path, case: Case) -> CaseResult | None:
    """Returns the result that a run has under the name of a case; None if it is missing or unreadable."""
    file = path / CASES / f"{case.file_stem}.json"
    with contextlib.suppress(StoreError):
        return read_value(file, CaseResult) if file.exists() else None
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
    try:
        files = [*folder.glob(f"*/{RUN_FILE}"), *folder.glob(f"*/*/{RUN_FILE}")]
    except (OSError, ValueError):  # a name that no folder can have
        return []
    return sorted((file.parent for file in files), key=_age)


def _age(run: Path) -> tuple[str, int, str]:
    """Returns a sort key: the second in the name of a run, then the time when it was locked."""
    try:
        locked = (run / LOCK).stat().st_mtime_ns
    except OSError:  # it was never locked, or is being removed
        locked = 0
    return run.name[:15], locked, run.name


def find_run(name: str | Path, out: Path | None = None, *, newest: bool = True) -> Path:
    """Finds a run folder by its path, or by the end of its name in `out`; or a packed run by its path.

    The name of a suite of the package stands for the results that come with it.

    Args:
        name: Path or name of the run.
        out: Folder of runs in which to search for the name.
        newest: Whether the path of a folder of runs stands for its newest run.

    Raises:
        StoreError: if no run matches, or several do.
    """
    path = Path(name)
    if is_packed(path):
        return path
    try:
        if (path / RUN_FILE).is_file():
            return path
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {name}: {reason(error)}") from error
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
    if out is not None and (of_package := recorded_run(str(name))):
        return of_package
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
