"""Starts fork servers, and asks them for processes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmnist.forking.forked_process import ForkedProcess, ready
from benchmnist.forking.request import LONGEST, NO_MARK, import_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE, LATER_PATIENCE = 120.0, 10.0
"""Seconds to wait for the first process of a server, which has to import torch, and for later ones."""
PASSING = ("PYTEST_", "BENCHMNIST_", "COLUMNS", "LINES", "TERM", "PWD", "OLDPWD", "TORCHINDUCTOR_CACHE_DIR")
"""Starts of the names of variables that may change: nothing that the server imports reads them. The last is set by
torch's compiler when it is imported.
"""
INHERITED = ("Uid", "Gid", "Groups", "SigBlk", "SigIgn", "Cpus_allowed")
"""Properties in /proc that a new process inherits: users, groups, blocked and ignored signals, processors."""


class ForkError(Exception):
    """No process can be forked; another way to start one may succeed."""


class ForkServer:
    """A server and the way to it.

    Args:
        environment: Its environment variables.

    Attributes:
        has_forked: Whether it has forked a process: else it is broken if it ends.

    Raises:
        ForkError: if it cannot be started.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        # OpenBLAS would start threads when numpy is imported; a process that has threads must not fork.
        self.environment = {"OPENBLAS_NUM_THREADS": "1", **environment, NO_MARK: "1", "PYTHONPATH": import_path()}
        self.has_forked = False
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", "-X", "faulthandler", "-m", "benchmnist.forking.server"]
            try:
                process = subprocess.Popen(  # noqa: S603 - ourselves
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=self.environment,
                    start_new_session=True,  # Ctrl-C is for us
                )
            except OSError as error:
                raise ForkError(f"no server can be started: {error.strerror}") from error
        threading.Thread(target=process.wait, daemon=True).start()  # no zombie is left of it

    def __del__(self) -> None:
        self.socket.close()  # which ends it as soon as its processes have ended

    def fork(
        self, target: str, arguments: Sequence[Any], environment: Mapping[str, str], mark: str
    ) -> ForkedProcess:
        """Forks a process that calls a function and ends, in our current folder and with our import path.

        Args:
            target: The function, `package.module:function`.
            arguments: What it is called with; JSON must have it.
            environment: Its environment variables. What imported libraries have read already has no effect.
            mark: Name of a variable of the process and its descendants, also in `/proc/PID/environ`.

        Raises:
            ForkError: if the server is gone or refuses.
        """
        wanted = {**environment, mark: "1", "PYTHONPATH": import_path()}
        request = {
            "target": target,
            "arguments": [*arguments],
            "set": {name: value for name, value in wanted.items() if self.environment.get(name) != value},
            "unset": [name for name in self.environment if name not in wanted],
            "mark": mark,
            "umask": _umask(),
        }
        message = json.dumps(request).encode("ascii")
        ends = [os.pipe() for _ in range(4)]
        theirs = [ends[0][0], ends[1][1], ends[2][1], ends[3][1], os.open(".", os.O_PATH)]  # it may have no name
        ours = [ends[0][1], ends[1][0], ends[2][0], ends[3][0]]
        try:
            try:
                if len(message) > LONGEST:
                    raise ForkError("the environment is too large")
                socket.send_fds(self.socket, [message], theirs)
            finally:
                for end in theirs:
                    os.close(end)
            pid = _pid(ours[3], LATER_PATIENCE if self.has_forked else PATIENCE)
        except BaseException as error:
            for end in ours:
                os.close(end)
            if isinstance(error, OSError):
                raise ForkError(f"the server is gone: {error.strerror}") from error
            raise
        self.has_forked = True
        pipes = [open(end, mode, 0) for end, mode in zip(ours, ("wb", "rb", "rb"), strict=False)]  # noqa: SIM115, PTH123
        return ForkedProcess(pid, ours[3], pipes)  # type: ignore[arg-type]


def _umask() -> int:
    """Returns the mode bits that files of this process lack."""
    return int(_status().get("Umask", "0022"), 8)


def _status() -> dict[str, str]:
    """Returns the properties of this thread, by their names in /proc."""
    lines = Path("/proc/thread-self/status").read_text("ascii", "replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _inherited() -> tuple[object, ...]:
    """Returns what a new process inherits from this thread, apart from environment, folder, umask and cgroup.

    A process may be unable to change it later, such as to raise a limit again.
    """
    import resource  # on Linux only, as all of this

    status = _status()
    limits = [getattr(resource, name) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")]
    return (
        *(status.get(name) for name in INHERITED),
        *map(resource.getrlimit, limits),
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getscheduler(0),
        os.sched_getparam(0).sched_priority,
        Path("/proc/self/oom_score_adj").read_text("ascii"),
    )


def _pid(status: int, patience: float) -> int:
    """Returns the number of a process that the server was asked for."""
    said = b""
    while not said.endswith(b"\n"):  # what follows is for whoever waits for its end
        piece = os.read(status, 1) if ready(patience, status) else b""
        if not piece:
            raise ForkError("the server does not fork")
        said += piece
    return int(said)


@functools.lru_cache(maxsize=1)
def _kept(environment: frozenset[tuple[str, str]], inherited: tuple[object, ...]) -> list[ForkServer]:  # noqa: ARG001 - the key
    """The server of this process, once it has one: the last that was asked for."""
    return []


def fork_server(environment: Mapping[str, str] | None = None) -> ForkServer:
    """Returns a server with an environment, of which this process has one at a time; starts it if need be.

    Args:
        environment: Its environment variables; None for ours.

    Raises:
        ForkError: if there can be none.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        raise ForkError(f"processes are not forked on {sys.platform}")
    environment = os.environ if environment is None else environment
    lasting = frozenset(item for item in environment.items() if not item[0].startswith(PASSING))
    kept = _kept(lasting, _inherited())
    if not kept:
        kept.append(ForkServer(environment))
    return kept[0]


def start_importing() -> None:
    """Starts the server of this process, if there can be one, so that it has imported when it is needed."""
    with contextlib.suppress(ForkError):
        fork_server()


def fork(
    target: str,
    arguments: Sequence[Any] = (),
    *,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    mark: str = NO_MARK,
) -> ForkedProcess:
    """Forks a process from the server of this process, as `ForkServer.fork` does.

    Args:
        target: As of `ForkServer.fork`, as are `arguments` and `mark`.
        arguments: The same.
        environment: As of `fork_server`.
        variables: Environment variables to change in the forked process only.
        mark: The same.

    Raises:
        ForkError: if there can be no server, or it refuses.
    """
    environment = {**os.environ} if environment is None else environment
    how = (target, arguments, {**environment, **(variables or {})}, mark)
    server = fork_server(environment)
    try:
        return server.fork(*how)
    except ForkError:
        if not server.has_forked:
            raise
    _kept.cache_clear()  # it had nothing to do for a minute, or was killed
    return fork_server(environment).fork(*how)
