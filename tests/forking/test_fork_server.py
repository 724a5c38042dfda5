"""Processes forked from a server are as a new process would be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import HANGS, said_with_the_compiler

from benchmnist.executors.processes import kill, marked, new_mark
from benchmnist.forking.fork_server import ForkError, ForkServer, fork, fork_server
from benchmnist.forking.forked_process import ForkedProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

FUNCTIONS = """
import json, os, signal, subprocess, sys, threading

def tell():
    import torch
    told = {
        "environment": dict(os.environ), "path": sys.path, "folder": os.getcwd(),
        "umask": os.umask(0), "group": os.getpgid(0),
        "session": os.getsid(0), "files": os.listdir("/proc/self/fd"), "threads": os.listdir("/proc/self/task"),
        "handler": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, "word": sys.stdin.readline(),
        "child": subprocess.run(["echo", "here"], capture_output=True, text=True).stdout,
    }
    print(json.dumps(told))
    print("errors", file=sys.stderr)

def end(code):
    sys.exit(code)

def fail():
    raise ValueError("what is wrong")

def die(number):
    os.kill(os.getpid(), number)

def wait():
    sys.stdin.read()

def leave_a_process():
    if os.fork() == 0:
        os.setsid()
    os.write(1, b"%d\\n" % os.getpid())  # at once
    signal.pause()
"""


Start = Callable[..., ForkedProcess]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Forks a process that calls a function of a module that is found by the import path of this process only."""
    (tmp_path / "functions.py").write_text(FUNCTIONS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with contextlib.ExitStack() as streams:

        def start(
            function: str, *arguments: object, by: Callable[..., ForkedProcess] = fork, **how: Any
        ) -> ForkedProcess:
            process = by(f"functions:{function}", arguments, **how)
            for stream in (process.stdin, process.stdout, process.stderr):
                streams.enter_context(stream)
            return process

        yield start


def server_of_this_process() -> ForkServer:
    return fork_server()


def test_a_forked_process_is_as_a_new_one(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start("end", 0).wait(HANGS)  # the server has its environment
    monkeypatch.setenv("BENCHMNIST_OF_A_TEST", "\udcff é\n=")
    umask = os.umask(0o027)
    monkeypatch.chdir(tmp_path)
    mark = new_mark()
    process = start("tell", variables={"OMP_NUM_THREADS": "7"}, mark=mark)
    os.umask(umask)
    process.stdin.write(b"word\n")
    process.stdin.close()
    told: dict[str, Any] = json.loads(process.stdout.read())
    assert process.stderr.read() == b"errors\n"
    assert process.wait(HANGS) == process.poll() == 0
    path = told["environment"].pop("PYTHONPATH")
    expected = {**os.environ, "OMP_NUM_THREADS": "7", mark: "1"}
    expected.pop("PYTHONPATH", None)
    assert told["environment"] == expected
    assert (
        path.split(os.pathsep)
        == [entry for entry in sys.path if entry]
        == told["path"][: len(path.split(os.pathsep))]
    )
    assert told["folder"] == str(tmp_path)
    assert told["umask"] == 0o027
    assert told["group"] == told["session"] == process.pid
    assert len(told["files"]) == 4  # the streams, and the list itself
    assert len(told["threads"]) == 1
    assert told["handler"]
    assert told["word"] == "word\n"
    assert told["child"] == "here\n"  # its children are its own


def test_how_a_forked_process_ends_is_known(start: Start) -> None:
    assert start("end", 3).wait(HANGS) == 3
    failed = start("fail")
    assert failed.stderr.read().endswith(b"ValueError: what is wrong\n")
    assert failed.wait(HANGS) == 1
    assert start("die", int(signal.SIGTERM)).wait(HANGS) == -signal.SIGTERM
    assert start("no_such_function").wait(HANGS) == 1
    waiting = start("wait")
    assert waiting.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.01)
    ends: list[int] = []
    threads = [threading.Thread(target=lambda: ends.append(waiting.wait(HANGS))) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.kill()
    for thread in threads:
        thread.join()
    assert ends == [-signal.SIGKILL] * 3  # each of those who wait is told


def test_a_forked_process_and_what_it_started_are_found_by_their_mark(start: Start) -> None:
    mark = new_mark()
    process = start("leave_a_process", mark=mark)
    pids = {int(process.stdout.readline()), int(process.stdout.readline())}  # one of them has left the group
    assert {*marked(mark)} == pids
    kill(process, mark)
    assert process.poll() == -signal.SIGKILL
    assert marked(mark) == []


def server_of(process: ForkedProcess) -> int:
    """Returns the number of the process that has forked another."""
    return int(Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()[1])


def test_a_server_that_was_killed_is_replaced_and_its_processes_go_on(start: Start) -> None:
    process = start("wait")
    waiting = threading.Thread(target=process.wait)
    waiting.start()
    os.kill(server_of(process), signal.SIGKILL)
    assert start("end", 5).wait(HANGS) == 5
    assert process.poll() is None  # also while another thread waits for it
    process.stdin.close()
    assert process.wait(HANGS) == -signal.SIGKILL  # nobody knows how it ended, but that it did
    waiting.join(HANGS)
    assert not waiting.is_alive()


def test_the_end_of_a_process_is_noticed_even_if_its_server_is_stopped(start: Start) -> None:
    process = start("wait")
    server = server_of(process)
    os.kill(server, signal.SIGSTOP)
    try:
        process.kill()
        assert process.wait(HANGS) == -signal.SIGKILL
    finally:
        os.kill(server, signal.SIGCONT)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_ends_with_its_processes_once_nobody_asks(start: Start) -> None:
    server = ForkServer(os.environ)
    process = start("wait", by=server.fork, environment=os.environ, mark=new_mark())
    parent = server_of(process)
    del server  # nobody can ask it any more
    process.stdin.close()
    assert process.wait(HANGS) == 0  # it still tells how its last process ended
    deadline = time.monotonic() + HANGS
    while alive(parent):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_variable_that_libraries_read_when_they_are_imported_needs_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = server_of_this_process()
    monkeypatch.setenv("BENCHMNIST_OF_A_TEST", "1")
    assert server_of_this_process() is first
    monkeypatch.setenv("MKL_OF_A_TEST", "1")
    assert server_of_this_process() is not first


CHANGES = {
    "niceness": "os.nice(3)",
    "limit": "resource.setrlimit(resource.RLIMIT_MSGQUEUE, (77, 77))",
    "mask": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})",
    "ignored": "signal.signal(signal.SIGUSR2, signal.SIG_IGN)",
    "oom": "pathlib.Path('/proc/self/oom_score_adj').write_text('700')",
    "umask": "os.umask(0o026)",
    "folder": "os.chdir('/')",
    "locale": "os.environ.update(LC_ALL='C')",
}
"""Changes that the caller may make between two runs, each as a line of Python."""
TELL = """
import os, pathlib, resource, signal
def tell():
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(
        os.getpriority(os.PRIO_PROCESS, 0), resource.getrlimit(resource.RLIMIT_MSGQUEUE),
        *(line for line in status if line.startswith(("SigBlk", "SigIgn", "Umask", "Cpus_allowed:"))),
        pathlib.Path("/proc/self/oom_score_adj").read_text().strip(), os.getcwd(), os.environ.get("LC_ALL"),
        sep="\\n",
    )
"""


def test_a_forked_process_inherits_what_a_new_one_does_after_each_change(tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TELL, "utf-8")
    program = (
        "import os, pathlib, resource, signal, subprocess, sys\n"
        "from benchmnist.forking.fork_server import fork, start_importing\n"
        "env = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}\n"
        "def new():\n"
        "    command = [sys.executable, '-c', 'import telling; telling.tell()']\n"
        "    return subprocess.run(command, capture_output=True, env=env, check=True).stdout.splitlines()\n"
        "start_importing()\n"
        "before = new()\n" + "\n".join(CHANGES.values()) + "\nenv |= {'LC_ALL': 'C'}\n"
        "after = new()\n"
        "with fork('telling:tell').stdout as stream: forked = stream.read().splitlines()\n"
        "assert forked == after, (before, after, forked)\n"
        "changed = [one != other for one, other in zip(before, after, strict=True)]\n"
        f"assert sum(changed) == {len(CHANGES)}, (before, after)"
    )
    path = os.pathsep.join(filter(None, (str(tmp_path), *sys.path)))
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("LC_ALL", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_a_run_imports_needs_no_other_server() -> None:
    program = (
        "from benchmnist.forking.fork_server import fork_server\n"
        "server = fork_server()\n"
        "import benchmnist.runner, benchmnist.training.compiler\n"
        "print(fork_server() is server)"
    )
    assert said_with_the_compiler(program) == "True\n"


@pytest.mark.parametrize(
    "begun",
    [
        "import torch; torch.cuda.is_initialized = lambda: True",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    ],
    ids=["CUDA", "a thread"],
)
def test_what_does_not_survive_a_fork_is_not_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(begun, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ForkError):
        ForkServer(os.environ).fork("os:getpid", [], os.environ, new_mark())


def test_a_server_that_cannot_import_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('damaged')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ForkError):
        ForkServer(os.environ).fork("os:getpid", [], os.environ, new_mark())
