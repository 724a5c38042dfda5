"""Processes that begin in milliseconds: each is forked from a server, a process that has imported torch already.

To import torch and its compiler takes a process one to three seconds. The server does nothing but import and fork,
so that what is unsafe to fork is not there: other threads, pools of threads, CUDA. Where a server cannot be used
(macOS, Windows, CUDA initialised by an import), ForkError says so, and the caller starts a process otherwise.

The server is `python -m benchmnist.fork_server SOCKET`. It ends when the process that started it has ended,
and after a minute without work.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmnist.garbage import quick_imports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from io import FileIO

MODULES = (
    "benchmnist.executors.worker",
    "benchmnist.builtin",
    "benchmnist.builtin.datasets",
    "benchmnist.builtin.metrics",
    "benchmnist.builtin.models",
    "benchmnist.builtin.optimizers",
    "benchmnist.builtin.schedules",
    "benchmnist.training.compiler",
)
"""Modules that the server imports: those of a process that trains. Plugins are not among them."""
MARK = "BENCHMNIST_MARK_"
"""Start of the name of an environment variable of a process and its descendants, by which they are found."""
MARK_DIGITS = 16
"""Number of characters of a mark after that: it is written over another."""
NO_MARK = MARK + "0" * MARK_DIGITS
IDLE = 60.0
"""Seconds without work after which a server ends."""
PATIENCE, LATER_PATIENCE = 120.0, 10.0
"""Seconds to wait for the first process of a server, which has to import torch, and for later ones."""
LAST_WORDS = 1.0
"""Seconds to wait for the server to tell how a process ended that has ended."""
LONGEST = 2**20
"""Maximum size of a request, in bytes."""
STATUS, FOLDER = 3, 4
"""Places among the descriptors of a request, after the three streams."""
PASSING = ("PYTEST_", "BENCHMNIST_", "COLUMNS", "LINES", "TERM", "PWD", "OLDPWD", "TORCHINDUCTOR_CACHE_DIR")
"""Starts of the names of variables that may change: nothing that the server imports reads them. The last is set by
torch's compiler when it is imported.
"""


def import_path() -> str:
    """Returns the PYTHONPATH with which a child process imports what this one does."""
    return os.pathsep.join(path for path in sys.path if path)


class ForkError(Exception):
    """No process can be forked; another way to start one may succeed."""


class ForkedProcess:
    """A process that a server has forked: what is used of subprocess.Popen, for which it must be our own child.

    Attributes:
        pid: Its number. It leads a session and a group of that number.
        stdin, stdout, stderr: Our ends of its pipes, not buffered.
        returncode: Exit code, or the negative number of the signal that ended it; None while it runs.
    """

    def __init__(self, pid: int, status: int, pipes: Sequence[FileIO]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = pipes
        self._status, self._lock = status, threading.Lock()
        self._untold = False  # whether the server, which knows how it ended, is gone
        try:
            self._itself = os.pidfd_open(pid)
        except OSError:  # it has ended
            self._itself = -1

    def __del__(self) -> None:
        for descriptor in (self._status, self._itself):
            if descriptor >= 0:
                os.close(descriptor)

    def poll(self) -> int | None:
        """Returns the exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, at most `timeout` seconds, and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: if it still runs.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if end is None else max(0.0, end - time.monotonic())
            if self._itself >= 0 and not _ready(left, self._itself, *([] if self._untold else [self._status])):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            with self._lock:  # the status can be read once
                if self.returncode is None:
                    self._look()
        return self.returncode

    def kill(self) -> None:
        """Kills it, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._itself, signal.SIGKILL)

    def _look(self) -> None:
        """Reads the exit code, if the server tells it."""
        ended = self._itself < 0 or _ready(0.0, self._itself)
        if not self._untold and _ready(LAST_WORDS if ended else 0.0, self._status):
            if code := os.read(self._status, 64):
                self.returncode = int(code)
                return
            self._untold = True
        if ended:  # the server was killed, or is stopped
            self.returncode = -signal.SIGKILL


def _ready(timeout: float | None, *descriptors: int) -> bool:
    """Waits until one of the descriptors can be read, at most so many seconds; returns whether one can."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


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
            command = [sys.executable, "-P", "-X", "faulthandler", "-m", "benchmnist.fork_server"]
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
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o022)


def _pid(status: int, patience: float) -> int:
    """Returns the number of a process that the server was asked for."""
    said = b""
    while not said.endswith(b"\n"):  # what follows is for whoever waits for its end
        piece = os.read(status, 1) if _ready(patience, status) else b""
        if not piece:
            raise ForkError("the server does not fork")
        said += piece
    return int(said)


@functools.lru_cache(maxsize=1)
def _kept(environment: frozenset[tuple[str, str]], cpus: frozenset[int]) -> list[ForkServer]:  # noqa: ARG001 - the key
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
    kept = _kept(lasting, frozenset(os.sched_getaffinity(0)))
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


def main() -> None:
    """The server."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    _mark(NO_MARK)  # it can be done
    done = threading.Event()
    watcher = threading.Thread(target=_end_if_unwanted, args=(requests, done), daemon=True)
    watcher.start()
    with quick_imports(ours=True):
        for name in MODULES:
            importlib.import_module(name)
    done.set()
    watcher.join()  # before any fork
    _serve(requests)


def _end_if_unwanted(requests: socket.socket, done: threading.Event) -> None:
    """Ends this process if nobody can ask any more."""
    poll = select.poll()
    poll.register(requests, 0)  # only for its hang-up
    while not done.wait(0.05):
        if poll.poll(0):
            os._exit(0)


def _serve(requests: socket.socket) -> None:
    """Forks what is asked for, and tells how each process ends, until nobody asks any more."""
    ended, ends = os.pipe()
    for end in (ended, ends):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # else it does not wake us
    signal.set_wakeup_fd(ends, warn_on_full_buffer=False)
    statuses: dict[int, int] = {}  # by process
    asked = True
    while asked or statuses:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        if asked:
            poll.register(requests, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if statuses else IDLE * 1000)}
        if not ready and not statuses:
            return
        with contextlib.suppress(BlockingIOError):
            os.read(ended, 2**16)
        for pid, code in _reaped():
            with contextlib.suppress(OSError), open(statuses.pop(pid), "wb", 0) as status:  # noqa: PTH123
                status.write(b"%d" % code)
        if requests.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 5)
            asked = bool(message)
            if not asked:
                continue
            pid = _forked(json.loads(message), descriptors, [requests.fileno(), ended, ends, *statuses.values()])
            status_end = descriptors.pop(STATUS)
            for descriptor in descriptors:
                os.close(descriptor)
            if not pid:
                os.close(status_end)
                continue
            statuses[pid] = status_end
            with contextlib.suppress(OSError):  # whoever asked has gone
                os.write(status_end, b"%d\n" % pid)


def _reaped() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended[0], os.waitstatus_to_exitcode(ended[1])


def _forked(request: Mapping[str, Any], descriptors: Sequence[int], ours: Sequence[int]) -> int:
    """Forks a process; returns its number, or 0 if it must not be forked."""
    torch: Any = sys.modules.get("torch")
    if (torch is not None and torch.cuda.is_initialized()) or _has_threads():  # a forked process cannot use them
        return 0
    pid = os.fork()
    if pid == 0:
        _become(request, descriptors, ours)
    return pid


def _has_threads() -> bool:
    """Tells whether this process has other threads, such as a pool that has been used; some end just now."""
    for _ in range(20):
        if len(os.listdir("/proc/self/task")) == 1:  # noqa: PTH208 - a Path for each is of no use
            return False
        time.sleep(0.01)
    return True


def _become(request: Mapping[str, Any], descriptors: Sequence[int], of_server: Sequence[int]) -> NoReturn:
    """Is what was asked for, then ends."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for stream, descriptor in enumerate(descriptors[:STATUS]):
            os.dup2(descriptor, stream)
        os.fchdir(descriptors[FOLDER])
        os.umask(request["umask"])
        for descriptor in (*descriptors, *of_server):
            os.close(descriptor)
        faulthandler.enable()
        _mark(request["mark"])
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        for name in request["unset"]:
            os.environ.pop(name, None)
        os.environ.update(request["set"])
        new = os.environ["PYTHONPATH"].split(os.pathsep)
        sys.path[:] = [*filter(None, new), *(path for path in sys.path if path not in (*new, *paths))]
        importlib.invalidate_caches()
        module, _, function = request["target"].partition(":")
        getattr(importlib.import_module(module), function)(*request["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _mark(name: str) -> None:
    """Renames the variable of no mark where /proc shows it: in the memory that every descendant gets.

    Raises:
        OSError: if it is not there.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype, libc.getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    value = libc.getenv(NO_MARK.encode())
    if value and len(name) == len(NO_MARK):
        ctypes.memmove(value - len(NO_MARK) - 1, name.encode(), len(name))
    if name.encode() not in Path("/proc/self/environ").read_bytes():
        raise OSError("the process cannot be marked")


if __name__ == "__main__":
    main()
