"""Runs functions one by one, each in its own process: one that fails, hangs or crashes affects no other.

On Linux, the process is forked from the nursery, a process that has imported torch and has not touched a device.
Elsewhere, each function waits for the import of torch. Processes that a function leaves running are found by a
variable in their environment, and killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from benchmnist.doctor.lines import Line, NotHere, TryFailed
from benchmnist.errors import BenchmnistError, first_line
from benchmnist.executors.processes import kill, new_mark
from benchmnist.forking.request import import_path
from benchmnist.runs.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmnist.doctor.lines import State

    Tell = Callable[[Line], None]

MODULES = ("torch._dynamo", "benchmnist.runner")
"""Modules that are slow to import; torch imports the first for the first optimizer of a process."""
LATE = "late"
INTERROGATION = 5.0
"""Seconds in which a hanging process must print its stack."""
LAST_WORDS = 12
"""Number of output lines of a failed process to keep."""


@dataclass(frozen=True)
class IsolatedCall:
    """A function to run in a process of its own.

    Attributes:
        call: `package.module:function`, a function that returns a Line; it is called with `tell`, which stores an
            interim Line in case the process is killed, and with the arguments.
        arguments: Arguments, as JSON.
        folder: Empty folder to work in.
    """

    call: str
    arguments: Mapping[str, Any]
    folder: str

    @property
    def answer(self) -> Path:
        """File of the resulting line."""
        return Path(self.folder, "answer.json")

    @property
    def log(self) -> Path:
        """File of the output of the process."""
        return Path(self.folder, "log")


class Nursery:
    """Runs functions one after the other, each in its own process.

    Args:
        modules: Modules that the processes have imported at their start.
        environment: Environment variables to change in the processes.
    """

    def __init__(self, modules: Sequence[str] = MODULES, environment: Mapping[str, str] | None = None) -> None:
        self.modules, self.environment = modules, environment or {}

    def __enter__(self) -> Self:
        self.mark = new_mark()
        self.process: subprocess.Popen[str] | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(
        self, name: str, call: str, arguments: Mapping[str, Any], limit: float, *, late: State = "problem"
    ) -> Line:
        """Runs a function; returns its line, or one that describes its failure.

        Args:
            name: Name of the line.
            call: See IsolatedCall.
            arguments: See IsolatedCall.
            limit: Time limit, in seconds.
            late: State of the line if the function exceeds the limit.
        """
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="benchmnist-doctor-", ignore_cleanup_errors=True) as folder:
            isolated = IsolatedCall(call, arguments, folder)
            try:
                how = self._executed(isolated, limit)
            except BaseException:
                self._end()
                raise
            line = _answer(isolated) or Line(
                name=name, state="problem", said="" if how else "ended without a result"
            )
            if how:
                self._end()
                state = late if how is LATE else "problem"
                how = f"stopped at its time limit of {limit:.0f} s" if how is LATE else how
                line = line.model_copy(update={"state": state, "said": "; ".join(filter(None, (how, line.said)))})
            if how or line.state == "problem":
                line = line.model_copy(update={"last_words": _last_words(isolated)})
        return line.model_copy(update={"name": name, "seconds": round(time.monotonic() - start, 3)})

    def _executed(self, isolated: IsolatedCall, limit: float) -> str:
        """Lets the nursery execute a call; returns a description of the failure, or nothing."""
        process = self._started(Path(isolated.folder, "nursery.log"))
        assert process.stdin is not None  # noqa: S101 - it was started with pipes
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(OSError):  # it has died: there is no answer to read either
            process.stdin.write(
                json.dumps({"call": isolated.call, "arguments": isolated.arguments, "folder": isolated.folder})
                + "\n"
            )
            process.stdin.flush()
        answers, heard = process.stdout, []
        listener = threading.Thread(target=lambda: heard.append(answers.readline()), daemon=True)
        listener.start()
        listener.join(limit)
        if listener.is_alive():
            self._interrogate(listener)
            return LATE
        code = int(heard[0]) if heard[0].strip() else process.wait(INTERROGATION)
        if code < 0:
            return f"the process was killed by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}" if code else ""

    def _started(self, log: Path) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            # -P: a file of the current folder named as a module of ours must not be taken for it.
            command = [
                sys.executable,
                "-P",
                "-X",
                "faulthandler",
                "-c",  # not -m: the package imports this module, and Python would warn of that
                "from benchmnist.doctor.isolated import main; main()",
                *self.modules,
            ]
            with log.open("wb") as output:
                self.process = subprocess.Popen(  # noqa: S603 - ourselves
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    env={**os.environ, **self.environment, "PYTHONPATH": import_path(), self.mark: "1"},
                    text=True,
                    start_new_session=True,  # Ctrl-C is for the parent, which then ends it
                )
        return self.process

    def _interrogate(self, listener: threading.Thread) -> None:
        """Makes a hanging process print its stacks: Python's fault handler does so when it is aborted."""
        if self.process is not None and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGABRT)
            listener.join(INTERROGATION)

    def _end(self) -> None:
        """Kills the nursery and all processes that its tasks started."""
        if self.process is None:
            return
        process, self.process = self.process, None
        kill(process, self.mark)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _answer(isolated: IsolatedCall) -> Line | None:
    """Returns the last line that a call stored, if any."""
    return Line.model_validate_json(isolated.answer.read_bytes()) if isolated.answer.is_file() else None


def _last_words(isolated: IsolatedCall) -> str:
    """Returns the end of the output; after a crash, the output from its reason on."""
    logs = [log for log in (Path(isolated.folder, "nursery.log"), isolated.log) if log.is_file()]
    lines = "".join(log.read_text("utf-8", "replace") for log in logs).strip().splitlines()
    for number, line in reversed([*enumerate(lines)]):
        if line.startswith("Fatal Python error"):
            return "\n".join(lines[number : number + LAST_WORDS])
    return "\n".join(lines[-LAST_WORDS:])


def main() -> None:
    """Runs the nursery: imports slow modules, then runs calls until its input ends."""
    with contextlib.suppress(ImportError):  # on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # no core files
    for module in sys.argv[1:]:
        try:
            importlib.import_module(module)
        except SystemExit:
            traceback.print_exc()  # or nobody would see where it came from
            raise
    # Asked for its stack (see _interrogate), it has to outlive its child, whose stack it is that is wanted.
    faulthandler.disable()
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
    forks = sys.platform == "linux"  # on macOS libraries do not survive a fork, on Windows there is none
    for text in sys.stdin:
        isolated = IsolatedCall(**json.loads(text))
        pid = os.fork() if forks else 0
        if pid == 0:
            _run(isolated)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(isolated: IsolatedCall) -> NoReturn:
    """Runs a call and ends this process."""
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    parent = os.dup(0)
    with Path(os.devnull).open("rb") as nothing, isolated.log.open("wb") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
    faulthandler.enable(2)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    os.chdir(isolated.folder)

    def tell(line: Line) -> None:
        write_file(isolated.answer, line.printable().model_dump_json())

    module, _, function = isolated.call.partition(":")
    try:
        tell(getattr(importlib.import_module(module), function)(tell, **isolated.arguments))
    except NotHere as reason:
        tell(Line(name="", state="not here", said=str(reason)))
    except (TryFailed, BenchmnistError) as error:
        tell(Line(name="", state="problem", said=str(error)))
    except BaseException as error:  # noqa: BLE001 - it must not return into the nursery's loop
        traceback.print_exc()
        tell(Line(name="", state="problem", said=f"{type(error).__name__}: {first_line(error)}"))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an orderly end would wait for threads, and talk to a device that may be broken


def _watch(parent: int) -> None:
    """Ends this process when its parent has died."""
    if not os.read(parent, 1):
        os._exit(1)


if __name__ == "__main__":
    main()
