"""The executor `slurm`: each trial is a job, whose events return through files in the run folder.

A driver that goes on with a run whose driver was killed finds the notes of its attempts (see job.py), and takes
over the jobs that are still in the queue or running, or have ended meanwhile.
"""

from __future__ import annotations

import contextlib
import glob
import math
import os
import secrets
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import submitit
from pydantic import Field, ValidationError
from submitit.core.utils import FailedJobError, FailedSubmissionError

from benchmnist.errors import BenchmnistError
from benchmnist.executors import Deadlines
from benchmnist.executors.messages import refusal
from benchmnist.runs.files import write_file
from benchmnist.runs.results import FAILURES, CaseResult, MeasuredEpoch
from benchmnist.suites.bundles import Bundle
from benchmnist.suites.cases import Case, Frozen
from benchmnist_slurm.job import Attempt, Words, train

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmnist.executors import Epoch, Workplace

FOLDER = "slurm"
"""The subfolder of the run folder with submitit's files, the output of the jobs, and our notes."""
LISTENS, LOOKS = 0.3, 10.0
"""Seconds between two reads of the files, and between two queries of the queue."""
LATE = 15.0
"""Seconds that a job's last output may arrive after its end: a shared file system may be slow."""
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
ALIVE = (*WAITING, "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
ANEW = ("FAILED", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "REVOKED", "COMPLETED", "GONE")
"""States in which something other than the task ended a job without a result: the job starts again."""
RESOURCES = ("num_cpus", "num_gpus", "memory")


class Note(Frozen):
    """The work of an attempt."""

    cluster: str
    task: Annotated[Bundle | Case, Field(union_mode="left_to_right")]
    versions: tuple[tuple[str, str], ...]


@dataclass
class _Job:
    """A task in the queue.

    Attributes:
        task: The task.
        id: The job's, as SLURM calls it.
        attempt: Its files.
        words: What it says.
        before: Why it was begun anew, each time.
        process: That which trains, on its machine; None while it waits.
        over: When it was first seen to have ended, on the monotonic clock; None while it has not.
        state: SLURM's word for how.
        raised: Traceback of an exception of our own in the job; empty without one.
    """

    task: Case
    id: str
    attempt: Attempt
    words: Words
    before: tuple[str, ...] = ()
    process: int | None = None
    over: float | None = None
    state: str = ""
    raised: str = ""


class SlurmExecutor:
    """Keeps as many trials in the queue as it may, in arrays of jobs.

    A trial whose job is killed, or whose node fails, is begun anew, and its result says so.

    Raises:
        BenchmnistError: if an option cannot be so, or there is no SLURM here.
    """

    def __init__(
        self,
        workplace: Workplace,
        *,
        partition: str | None = None,
        account: str | None = None,
        time: int = 60,
        cpus: int = 1,
        gpus: int | None = None,
        array: int = 32,
        sbatch: str | None = None,
        retries: int = 2,
        cluster: str = "slurm",
    ) -> None:
        counts = {
            "time": (time, 1),
            "cpus": (cpus, 1),
            "gpus": (gpus, 0),
            "array": (array, 1),
            "retries": (retries, 0),
        }
        for name, (value, least) in counts.items():
            if value is not None and value < least:
                raise BenchmnistError(f"--slurm-{name} should be at least {least}, not {value}")
        if cluster not in ("slurm", "local"):
            raise BenchmnistError(f"--slurm-cluster should be slurm or local, not {cluster!r}")
        if cluster == "slurm" and (missing := [p for p in ("sbatch", "srun", "squeue") if not shutil.which(p)]):
            raise BenchmnistError(
                f"there is no SLURM on this machine: {', '.join(missing)} cannot be found; run this where jobs "
                "are submitted, or try it with --slurm-cluster local"
            )
        self.cluster, self.retries, self.versions = cluster, retries, workplace.versions
        self.slots = workplace.jobs or array
        self.root = workplace.run_folder.absolute()
        self.folder = self.root / FOLDER
        self.workplace = replace(
            workplace, run_folder=self.root, data_root=workplace.data_root.absolute(), jobs=1, timeout=None, gpus=1
        )
        default_gpus = int(workplace.device.startswith("cuda"))
        self.default = {"num_cpus": float(cpus), "num_gpus": float(default_gpus if gpus is None else gpus)}
        self.asked = {"timeout_min": time, "partition": partition, "account": account, "sbatch": _flags(sbatch)}
        self.deadlines = Deadlines(workplace.timeout)
        self.jobs: list[_Job] = []
        self.handles: list[Any] = []  # all that submitit has given us
        self._looked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel(self.jobs)
        self.jobs = []

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See benchmnist.executors.Executor."""
        self.deadlines = Deadlines(self.deadlines.seconds)
        try:
            while True:
                yield from self._hand_in(tasks)
                if not self.jobs:
                    return
                heard = False
                for job in [*self.jobs]:
                    for step in self._heard(job):
                        heard = True
                        yield job.task, step
                self._look()
                yield from self._overdue()
                yield from self._dead()
                if not heard:
                    time.sleep(LISTENS)
        finally:
            self._cancel(self.jobs)
            self.jobs = []
            self._wait_for_processes()

    # Into the queue.

    def _hand_in(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, CaseResult]]:
        """Submits as many tasks as fit, several at a time, so that they are arrays and not single jobs."""
        room = self.slots - len(self.jobs)
        if self.jobs and room < self.slots // 8:
            return
        new: list[tuple[Case, tuple[str, ...]]] = []
        while room > 0 and (task := next(tasks, None)) is not None:
            if why := self._cannot(task):
                yield task, CaseResult(case=task, status="failed", error=why)
            elif (job := self._adopted(task)) is not None:
                self.jobs.append(job)
                room -= 1
            else:
                new.append((task, ()))
                room -= 1
        yield from self._submit(new)

    def _needs(self, task: Case) -> dict[str, float]:
        return {**self.default, **task.resources}

    def _cannot(self, task: Case) -> str:
        """Says why a task cannot be a job of SLURM; empty if it can."""
        for name, amount in self._needs(task).items():
            if name not in RESOURCES:
                return f"SLURM is told of {', '.join(RESOURCES)}, not of {name!r}; leave it out of the resources"
            if name == "num_gpus" and amount != int(amount):
                return f"num_gpus = {amount:g}: SLURM has no fractions of a GPU; ask for 0 or 1"
        return ""

    def _submit(self, new: Sequence[tuple[Case, tuple[str, ...]]]) -> Iterator[tuple[Case, CaseResult]]:
        """Submits one array for the tasks that request the same resources."""
        groups: dict[tuple[tuple[str, float], ...], list[tuple[Case, tuple[str, ...]]]] = {}
        for task, before in new:
            groups.setdefault(tuple(sorted(self._needs(task).items())), []).append((task, before))
        for needs, group in groups.items():
            try:
                self._submit_alike(dict(needs), group)
            except (FailedJobError, FailedSubmissionError, OSError) as error:
                why = f"SLURM refuses the job: {_last_line(error)}"
                for task, _ in group:
                    yield task, CaseResult(case=task, status="failed", error=why)

    def _submit_alike(self, needs: dict[str, float], group: Sequence[tuple[Case, tuple[str, ...]]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        threads = max(1, math.ceil(needs["num_cpus"]))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # jobs execute the pickles that are in it
        attempts = [Attempt(self.folder / f"{_stem(task)}.{secrets.token_hex(4)}") for task, _ in group]
        for (task, _), attempt in zip(group, attempts, strict=True):
            note = Note(cluster=self.cluster, task=task, versions=self.versions)
            write_file(attempt.waits, note.model_dump_json(indent=1))
        functions = [
            partial(train, self.workplace, task, threads, attempt)
            for (task, _), attempt in zip(group, attempts, strict=True)
        ]
        with _python_path(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parameters that the other kind of cluster would need
            executor = submitit.AutoExecutor(self.folder, cluster=self.cluster)
            executor.update_parameters(**self._parameters(needs, threads))
            handles = executor.submit_array(functions)
        self.handles += handles
        for (task, before), attempt, handle in zip(group, attempts, handles, strict=True):
            write_file(attempt.job, handle.job_id)
            self.jobs.append(_Job(task, handle.job_id, attempt, Words(attempt.words), before))

    def _parameters(self, needs: dict[str, float], threads: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "name": "benchmnist",
            "timeout_min": self.asked["timeout_min"],
            "cpus_per_task": threads,
            "gpus_per_node": int(needs["num_gpus"]) or None,
            "mem_gb": needs["memory"] / 2**30 if "memory" in needs else None,
            "slurm_partition": self.asked["partition"],
            "slurm_account": self.asked["account"],
            "slurm_array_parallelism": self.slots,
            "slurm_srun_args": [f"--cpus-per-task={threads}"],  # srun does not take over sbatch's, since 22.05
            "slurm_additional_parameters": self.asked["sbatch"] or None,
        }
        if self.cluster == "local":
            return {"timeout_min": self.asked["timeout_min"], "gpus_per_node": int(needs["num_gpus"])}
        return {name: value for name, value in parameters.items() if value is not None}

    def _adopted(self, task: Case) -> _Job | None:
        """Finds the job that another driver submitted for the same task, if it is still useful."""
        for file in self.folder.glob(f"{glob.escape(_stem(task))}.*.json"):
            try:
                note = Note.model_validate_json(file.read_bytes())
            except (OSError, ValidationError):
                continue
            attempt = Attempt(file.with_name(file.name.rsplit(".", 2)[0]))
            if note.cluster != self.cluster:
                continue
            said = Words(attempt.words).new()
            named = [word["job"] for word in said if "job" in word]
            if attempt.job.is_file():
                named.append(attempt.job.read_text("utf-8"))
            alive = bool(named) and self._states(named[-1:])[named[-1]] in ALIVE
            job = _Job(task, named[-1] if named else "", attempt, Words(attempt.words))
            same = (note.task.deciding(), note.versions) == (task.deciding(), self.versions)
            if same and (alive or any("result" in word for word in said)):
                return job
            attempt.give_up()
            if alive:
                self._cancel([job])
        return None

    # Out of it.

    def _heard(self, job: _Job) -> Iterator[Epoch | CaseResult]:
        for word in job.words.new():
            if "begins" in word:
                job.process = word["process"]
                self.deadlines.begin(job.task)
            elif "raised" in word:
                job.raised = word["raised"]
            elif "epoch" in word:
                yield MeasuredEpoch(word["seed"], word["epoch"])
            elif "result" in word and job in self.jobs:
                self._free(job)
                result = word["result"]
                if why := refusal(result, job.task, FAILURES):
                    result = CaseResult(case=job.task, status="failed", error=f"its job wrote {why}")
                anew = tuple(f"begun anew: {why}" for why in job.before)
                yield result.model_copy(update={"case": job.task, "remarks": (*result.remarks, *anew)})
                job.attempt.give_up()  # whoever asks for what comes next has it stored

    def _look(self) -> None:
        """Queries the queue for jobs that have ended."""
        if time.monotonic() < self._looked + LOOKS or not self.jobs:
            return
        states = self._states([job.id for job in self.jobs])
        for job in self.jobs:
            job.state = states[job.id]
            if job.state in ALIVE:
                job.over = None
            elif job.over is None:
                job.over = time.monotonic()
        self._looked = time.monotonic()

    def _states(self, ids: Iterable[str]) -> dict[str, str]:
        """Returns SLURM's state of each job; GONE for a job that SLURM no longer knows.

        squeue knows a job for some minutes after its end (MinJobAge), with or without accounting.
        """
        if self.cluster == "local":
            return {job: "RUNNING" if _runs(int(job)) else "GONE" for job in ids}
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--user={os.getuid()}"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if said.returncode:
            return dict.fromkeys(ids, "RUNNING")  # it does not answer just now: nothing is known
        known = dict(line.split("|") for line in said.stdout.split())
        return {job: known.get(job, "GONE") for job in ids}

    def _free(self, job: _Job) -> None:
        self.jobs.remove(job)
        if job.process is not None:
            self.deadlines.end(job.task)

    def _overdue(self) -> Iterator[tuple[Case, CaseResult]]:
        for job in [*self.jobs]:
            result = self.deadlines.overdue(job.task) if job.process is not None else None
            if result is not None:
                self._cancel([job])
                self._free(job)
                yield job.task, result

    def _dead(self) -> Iterator[tuple[Case, CaseResult]]:
        """Starts again, or fails, the jobs that ended without a result."""
        again: list[tuple[Case, tuple[str, ...]]] = []
        for job in [*self.jobs]:
            if not job.raised and (job.over is None or time.monotonic() < job.over + LATE):
                continue
            self._free(job)
            job.attempt.give_up()
            before = (*job.before, f"job {job.id} {job.state}")
            if job.raised:
                yield job.task, CaseResult(case=job.task, status="failed", error=job.raised)
            elif job.state in ANEW and len(before) <= self.retries:
                again.append((job.task, before))
            else:
                yield job.task, self._lost(job, before)
        yield from self._submit(again)

    def _lost(self, job: _Job, before: tuple[str, ...]) -> CaseResult:
        if job.state == "TIMEOUT":
            why = f"SLURM ended it after {self.asked['timeout_min']} minutes; give it more with --slurm-time"
            return CaseResult(case=job.task, status="timed out", error=why)
        remedy = "; ask for more, as resources = { memory = 8e9 }" if job.state == "OUT_OF_MEMORY" else ""
        log = submitit.helpers.core.utils.JobPaths(self.folder, job.id).stderr
        said = log.read_text("utf-8", "replace").strip() if log.is_file() else ""
        error = f"its job ended without a result: {', '.join(before)}{remedy}\n{said}".strip()
        return CaseResult(case=job.task, status="crashed", error=error)

    def _cancel(self, jobs: Sequence[_Job]) -> None:
        """Ends jobs, wherever they run."""
        if not jobs:
            return
        for job in jobs:
            with contextlib.suppress(OSError):
                job.attempt.give_up()
        if self.cluster == "local":
            for job in jobs:
                with contextlib.suppress(OSError):
                    os.kill(int(job.id), 15)
            return
        subprocess.run(["scancel", *(job.id for job in jobs)], capture_output=True, check=False)  # noqa: S603, S607

    def _wait_for_processes(self) -> None:
        """Waits until the jobs that are processes of ours have ended, which they will at once."""
        end = time.monotonic() + LATE
        while self.cluster == "local" and time.monotonic() < end and not all(h.done() for h in self.handles):
            time.sleep(LISTENS / 3)
        self.handles.clear()


def _stem(task: Case) -> str:
    """Returns the prefix of the names of a task's files."""
    return f"{task.file_stem}__seed-{task.seeds[0]}"


def _runs(process: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _flags(text: str | None) -> dict[str, str | bool]:
    """Parses `constraint=a100;exclusive` into options of sbatch."""
    parts = [part.partition("=") for part in (text or "").split(";") if part.strip()]
    return {name.strip().lstrip("-"): value.strip() if equals else True for name, equals, value in parts}


@contextlib.contextmanager
def _python_path() -> Iterator[None]:
    """Makes submitted jobs import the same modules as this process."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _last_line(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    return str(said).strip().splitlines()[-1] if str(said).strip() else type(error).__name__
