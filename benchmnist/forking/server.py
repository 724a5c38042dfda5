"""The process of a fork server: `python -m benchmnist.forking.server SOCKET`.

It ends when the process that started it has ended, and after a minute without work.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmnist.forking.request import FOLDER, LONGEST, NO_MARK, STATUS
from benchmnist.garbage import quick_imports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
IDLE = 60.0
"""Seconds without work after which a server ends."""


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
