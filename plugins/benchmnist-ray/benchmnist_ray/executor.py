"""The executor `ray`: each trial is a task of a Ray cluster, whose events return as they happen."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from benchmnist.errors import BenchmnistError
from benchmnist.executors import Deadlines
from benchmnist.executors.messages import MessageError, Started, decode, refusal
from benchmnist.runs.files import write_file
from benchmnist.runs.results import FAILURES, CaseResult, MeasuredEpoch
from benchmnist.runs.store import checkpoint_name
from benchmnist_ray.worker import FILE, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.executors import Epoch, Workplace
    from benchmnist.suites.cases import Case

LOOKS = 1.0
"""Seconds between two queries of the nodes."""
RAY_NAMES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""Ray's names of resources of a node, by those of a task."""


@dataclass(frozen=True)
class _Attempt:
    """A task in the cluster.

    Attributes:
        task: The task.
        needs: What is reserved for it.
        before: Why it was begun anew, each time.
        since: When it was handed over, on the monotonic clock.
        at: Where it is trained; None while it waits for a place.
    """

    task: Case
    needs: dict[str, float]
    before: tuple[str, ...]
    since: float
    at: Started | None = None


class RayExecutor:
    """Submits as many trials as fit on the cluster.

    A trial whose Ray worker or node goes away is begun anew, elsewhere, and its result says so. For one that no
    node has room for, now or ever, its case fails with what it asked for and what there is.

    Raises:
        BenchmnistError: if an option cannot be so; when it is entered, if there is no cluster to be had.
    """

    def __init__(
        self,
        workplace: Workplace,
        *,
        address: str | None = None,
        num_cpus: float = 1.0,
        num_gpus: float | None = None,
        retries: int = 2,
        wait: float = 0.0,
    ) -> None:
        for name, value in {"num-cpus": num_cpus, "num-gpus": num_gpus, "retries": retries, "wait": wait}.items():
            if value is not None and value < 0:
                raise BenchmnistError(f"--ray-{name} should not be negative, as {value} is")
        self.folder = workplace.run_folder
        # What the tasks are told: the same for all of them, so that a worker that has it keeps it.
        self.workplace = replace(workplace, run_folder=Path(), jobs=1, timeout=None, gpus=1)
        self.jobs, self.address, self.retries, self.wait = workplace.jobs, address, retries, wait
        gpus = (1.0 if workplace.device.startswith("cuda") else 0.0) if num_gpus is None else num_gpus
        self.default = {"num_cpus": num_cpus, "num_gpus": gpus}
        self.deadlines = Deadlines(workplace.timeout)
        self.running: dict[Any, _Attempt] = {}  # by the generator of what it says
        self.ours = False
        # Ray does not begin a task anew: its epochs would come twice, and nobody would know.
        self.remote = ray.remote(num_returns="streaming", max_retries=0)(train)
        self._nodes: list[dict[str, float]] = []
        self._looked = 0.0

    def __enter__(self) -> Self:
        if not ray.is_initialized():
            self.ours = True
            self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel()
        if self.ours:
            ray.shutdown()

    def _connect(self) -> None:
        """Connects to the cluster that was named, or that runs here; or else to a new one."""
        named = self.address or os.environ.get("RAY_ADDRESS", "").removeprefix("auto")
        address = named or _running_here()
        if named and not _answers(named):
            raise BenchmnistError(
                f"nothing answers at {named}, where a Ray cluster should be; start one with `ray start --head`, "
                "or leave --ray-address and RAY_ADDRESS out to have one started"
            )
        with _own_signals():
            try:
                ray.init(
                    address=address or "local",
                    num_cpus=None if address else self.jobs,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                )
            except (ConnectionError, RuntimeError, ValueError, RayError) as error:
                raise BenchmnistError(f"Ray at {address or 'this machine'}: {_first_line(error)}") from error

    @property
    def slots(self) -> int:
        """The number of trials that fit, if each requests the default resources."""
        if self.jobs is not None:
            return self.jobs
        wanted = {RAY_NAMES[name]: amount for name, amount in self.default.items() if amount}
        rooms = [min((int(node.get(k, 0) / v) for k, v in wanted.items()), default=1) for node in self._look()]
        return max(1, sum(rooms))

    def _look(self) -> list[dict[str, float]]:
        """Returns the total resources of each node."""
        if not self._nodes or time.monotonic() > self._looked + LOOKS:
            self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """See benchmnist.executors.Executor."""
        self.deadlines = Deadlines(self.deadlines.seconds)
        try:
            while True:
                while len(self.running) < self.slots and (task := next(tasks, None)) is not None:
                    self._hand_over(task)
                if not self.running:
                    return
                yield from self._hopeless()
                yield from self._overdue()
                yield from self._heard()
        finally:
            self._cancel()

    def _hand_over(self, task: Case, before: tuple[str, ...] = ()) -> None:
        needs = {**self.default, **task.resources}
        asked = {name: needs.get(name) for name in ("num_cpus", "num_gpus", "memory")}
        others = {name: amount for name, amount in needs.items() if name not in asked}
        threads = max(1, int(needs["num_cpus"]))
        paths = [path for path in sys.path if path]
        said = self.remote.options(resources=others, **asked).remote(self.workplace, task, threads, paths)
        self.running[said] = _Attempt(task, needs, before, time.monotonic())

    def _hopeless(self) -> Iterator[tuple[Case, CaseResult]]:
        """Fails tasks that have waited long enough for something that no node has."""
        for said, attempt in [*self.running.items()]:
            if attempt.at is None and time.monotonic() >= attempt.since + self.wait:
                why = self._lacks(attempt.needs)
                if why:
                    yield self._stopped(said, CaseResult(case=attempt.task, status="failed", error=why))

    def _lacks(self, needs: dict[str, float]) -> str:
        """Says why no node can ever take such a task; empty if one can."""
        wanted = {RAY_NAMES.get(name, name): amount for name, amount in needs.items() if amount}
        nodes = self._look()
        if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
            return ""
        asked = ", ".join(f"{name} {amount:g}" for name, amount in wanted.items())
        there = "; ".join(sorted(", ".join(f"{name} {node.get(name, 0):g}" for name in wanted) for node in nodes))
        return (
            f"no node of the Ray cluster has what a trial asks for, {asked}; the nodes have: {there or 'nothing'}"
            ". Ask for less (resources in the suite, --ray-num-cpus, --ray-num-gpus), or let it wait for such a "
            "node with --ray-wait SECONDS"
        )

    def _overdue(self) -> Iterator[tuple[Case, CaseResult]]:
        for said, attempt in [*self.running.items()]:
            result = self.deadlines.overdue(attempt.task) if attempt.at is not None else None
            if result is not None:
                yield self._stopped(said, result)

    def _heard(self) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Yields the next event of a task, if one comes before the next query of the nodes."""
        if not self.running:
            return
        left = self.deadlines.left(attempt.task for attempt in self.running.values())
        ready, _ = ray.wait([*self.running], num_returns=1, timeout=min(LOOKS, LOOKS if left is None else left))
        for said in ready:
            attempt = self.running[said]
            try:
                word = ray.get(next(said))
            except RayTaskError as error:  # it is our own code that raised
                yield self._stopped(said, CaseResult(case=attempt.task, status="failed", error=str(error)))
            except (RayError, StopIteration) as error:
                where = f"{attempt.at.host}, process {attempt.at.pid}" if attempt.at else "before it began"
                yield from self._lost(said, f"{where}: {_first_line(error)}")
            else:
                yield from self._take(said, word)

    def _take(self, said: Any, word: bytes) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        """Takes a word of a task; fails the task if it cannot be one, or its file cannot be written."""
        attempt = self.running[said]
        head, _, content = word.partition(b"\n")
        try:
            if head.startswith(FILE):
                write_file(self.folder / _file_of(attempt.task, head), content)
                return
            message = decode(head)
        except BenchmnistError as error:
            yield self._stopped(said, CaseResult(case=attempt.task, status="failed", error=str(error)))
            return
        if isinstance(message, Started):
            self.running[said] = replace(attempt, at=message)
            self.deadlines.begin(attempt.task)
        elif isinstance(message, MeasuredEpoch):
            yield attempt.task, message
        elif isinstance(message, CaseResult):
            if why := refusal(message, attempt.task, FAILURES):
                message = CaseResult(case=attempt.task, status="failed", error=f"its Ray worker sent {why}")
            anew = tuple(f"begun anew: {why}" for why in attempt.before)
            self._free(said)
            ours = {"case": attempt.task, "remarks": (*message.remarks, *anew)}
            yield attempt.task, message.model_copy(update=ours)

    def _lost(self, said: Any, why: str) -> Iterator[tuple[Case, CaseResult]]:
        """Starts a task again whose worker or node disappeared, if that has not happened too often."""
        attempt = self.running[said]
        before = (*attempt.before, why)
        if len(before) <= self.retries:
            self._free(said)
            self._hand_over(attempt.task, before)
            return
        error = "\n".join([f"its Ray worker went away {len(before)} times while it trained this case", *before])
        yield self._stopped(said, CaseResult(case=attempt.task, status="crashed", error=error))

    def _stopped(self, said: Any, result: CaseResult) -> tuple[Case, CaseResult]:
        """Ends a task, if it has not ended itself; returns it with its result."""
        attempt = self._free(said)
        with contextlib.suppress(RayError, ValueError):
            ray.cancel(said, force=True)
        return attempt.task, result

    def _free(self, said: Any) -> _Attempt:
        attempt = self.running.pop(said)
        if attempt.at is not None:
            self.deadlines.end(attempt.task)
        return attempt

    def _cancel(self) -> None:
        while self.running:
            said, _ = self.running.popitem()
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(said, force=True)


def _file_of(task: Case, head: bytes) -> str:
    """Returns the path of a file, as the first line of its word names it.

    Raises:
        MessageError: if it is no checkpoint of the task.
    """
    for seed in task.seeds:
        if head == FILE + json.dumps(name := checkpoint_name(*task.row(seed))).encode():
            return name
    raise MessageError(f"a file that is no checkpoint of the task: {head[:80]!r}")


def _running_here() -> str:
    """Returns the address of the cluster that `ray start` last started here; empty if it no longer runs."""
    file = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()), "ray", "ray_current_cluster")
    address = file.read_text("utf-8").strip() if file.is_file() else ""
    return address if address and _answers(address) else ""


def _answers(address: str) -> bool:
    """Whether a process listens there. Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError):
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Restores the handler of SIGTERM, which Ray sets, on exit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
