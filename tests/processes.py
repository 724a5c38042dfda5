"""Starts processes: forked from one that has imported torch, or with the signals that a test is about."""

from __future__ import annotations

import contextlib
import json
import multiprocessing.util
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import benchmnist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

HANGS = 900
"""Seconds after which what should have ended counts as hanging; no machine is so slow or so busy."""

# The server listens at a path in the temporary folder, which may have no more than 107 bytes: it is chosen here.
kept, tempfile.tempdir = tempfile.gettempdir(), "/tmp"  # noqa: S108
multiprocessing.util.get_temp_dir()
tempfile.tempdir = kept
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch._dynamo", "benchmnist.runner", "benchmnist.training.loop"])

STARTING = threading.Lock()
"""Held while a process is started with another environment: it is that of all threads."""

STARTUP = Path(__file__).parent / "startup"
WITHOUT_COMPILER = "TORCH_WITHOUT_COMPILER"
"""The variable by which a new process leaves torch's compiler unimported; see the file in that folder."""

OTHERS = {"pytest_benchmark", "xdist"}
"""What a pytest session has to import itself: it rewrites the assertions of plugins."""
NOT_OURS = ("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:unraisableexception")
"""Plugins that are there by chance and take two seconds of every session; the last only collects garbage here."""
OURS = ("-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning")
"""Half a second of every session is saved where it need not import benchmnist again to rewrite its assertions."""


def said_with_the_compiler(program: str) -> str:
    """Returns what a program prints in a new process, whose torch is as users have it."""
    environment = {name: value for name, value in os.environ.items() if name != WITHOUT_COMPILER}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout


def pytest_in_a_process(arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
    """`python -m pytest` in the current folder; what it says goes to a file. Returns its exit code."""
    return _in_a_process(["-m", "pytest", *NOT_OURS, *arguments, *OURS], environment, output, output)


def python_in_a_process(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE …` or `python -c PROGRAM` in the current folder, where torch is imported already."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        code = _in_a_process(arguments, os.environ if environment is None else environment, output, errors)
        said = (file.read_text("utf-8") if file.exists() else "" for file in (output, errors))
        return subprocess.CompletedProcess(arguments, code, *said)


def _in_a_process(arguments: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path) -> int:
    given = ([*arguments], {**environment}, str(Path.cwd()), str(output), str(errors))
    process = PROCESSES.Process(target=_python, args=given)
    with STARTING, mock.patch.dict(os.environ):
        os.environ.pop(WITHOUT_COMPILER, None)  # the first starts the server, which has all of torch
        process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _python(arguments: list[str], environment: dict[str, str], folder: str, output: str, errors: str) -> None:
    for stream, file in ((1, output), (2, errors)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), stream)
    encoding = environment.get("PYTHONIOENCODING")
    sys.stdout, sys.stderr = (
        os.fdopen(os.dup(stream), "w", buffering=1, encoding=encoding, errors=errors)
        for stream, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    for name in [name for name in sys.modules if name.partition(".")[0] in OTHERS]:
        del sys.modules[name]
    import torch

    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", 1)))  # it was read before
    how, what, *rest = arguments
    sys.argv = [what if how == "-m" else how, *rest]
    code: object = 0
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what, {"__name__": "__main__"})  # noqa: S102 - a test's own program
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


@contextlib.contextmanager
def inherited_sigint(handler: signal.Handlers) -> Iterator[None]:
    """Makes the processes that are started within it inherit SIGINT as default or as ignored.

    Without it they inherit what the tests were started with: a shell without job control ignores SIGINT in its
    background jobs, and exec keeps that.
    """
    # Python's own handler becomes the default in a new process, and Ctrl-C still ends the tests.
    ours = signal.default_int_handler if handler == signal.SIG_DFL else handler
    previous = signal.signal(signal.SIGINT, ours)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, previous)


COMMANDS = """
import contextlib, io, json, sys
from click.testing import CliRunner
from benchmnist.cli import cli

answers = sys.stdout
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()):
        done = CliRunner().invoke(cli, json.loads(line))
    answers.write(json.dumps([done.exit_code, done.stdout, done.stderr]) + "\\n")
    answers.flush()
"""


@contextlib.contextmanager
def commands_of(folder: Path, environment: Mapping[str, str]) -> Iterator[Callable[..., str]]:
    """Runs commands of the package that lies in a folder, all in one process: torch is imported once.

    Yields a function that runs a command, holds it to an exit code and returns what it printed.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", COMMANDS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{STARTUP}", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def run(*arguments: str | Path, code: int = 0) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([*map(str, arguments)]) + "\n")
        process.stdin.flush()
        exit_code, printed, errors = json.loads(process.stdout.readline())
        assert exit_code == code, printed + errors
        return str(printed) + str(errors)

    try:
        yield run
    finally:
        process.communicate(timeout=HANGS)


def changed_package(folder: Path, changes: Iterable[tuple[str, str, str]]) -> Path:
    """Copies the package into a folder and adds lines to it; returns the copy.

    Args:
        folder: Where to.
        changes: A file of the package, a text that it has once, and what goes before that.
    """
    package = shutil.copytree(Path(benchmnist.__file__).parent, folder / "benchmnist")
    for name, before, added in changes:
        file = package / name
        text = file.read_text("utf-8")
        assert text.count(before) == 1, before
        file.write_text(text.replace(before, added + before), "utf-8")
    return package
