"""Tries a plan in a process of its own: a plugin that kills it, or hangs, costs its own cases only."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import multiprocessing
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter

from benchmnist import errors
from benchmnist.errors import BenchmnistError, Problem, SuiteError, formatted_traceback
from benchmnist.preflight.check import Preflight, preflight
from benchmnist.runs.pipes import lines_of, write_all
from benchmnist.training.data import Datasets
from benchmnist.training.torch_internals import do_without_compiler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.plan import Plan

PATIENCE = 120.0
"""Seconds that a model or an optimizer may take to be built."""
LEAST_PATIENCE = 10.0
"""Seconds that it may take whatever the time limit of a case is: it may import a library first."""


def patience(trying: str, timeout: float | None = None) -> float | None:
    """Seconds that may be tried for without a word; None for a dataset, which may have to be downloaded."""
    if not trying or trying.startswith("the dataset "):
        return None
    return PATIENCE if timeout is None else min(PATIENCE, max(LEAST_PATIENCE, timeout))


def preflight_apart(
    plan: Plan,
    registry: Registry,
    root: Path,
    device: torch.device,
    *,
    timeout: float | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Preflight:
    """Runs `preflight` in a separate process, if one can be forked.

    A model or an optimizer may take as long as `patience` says, by the `timeout` of a case. While that process
    works, this one calls `meanwhile`.

    What kills that process is noted and not tried again: it is trained all the same, in a worker that it may kill.

    Raises:
        BenchmnistError: if the process dies of something else.
    """
    if sys.platform != "linux":  # elsewhere a new process would have to import torch anew: seconds
        return preflight(plan, registry, Datasets(registry, root), device)
    deadly: dict[str, str] = {}
    killed: set[str] = set()

    def task(tell: Callable[[str], None]) -> Preflight:
        return preflight(plan, registry, Datasets(registry, root), device, tell=tell, deadly=deadly)

    while True:
        tried = _tried(task, timeout, meanwhile)
        if isinstance(tried, Preflight):
            notes = (f"{where} {how}, when it was tried before the training" for where, how in deadly.items())
            return replace(tried, notes=(*tried.notes, *notes))
        where, how = tried
        if signal.SIGKILL.name in how and where not in killed:  # maybe by somebody else, such as for its memory
            killed.add(where)
            continue
        if not where or where in deadly:
            raise BenchmnistError(f"the process that tries the suite {how}, cause unknown")
        deadly[where] = how


PreflightFunction = Callable[[Callable[[str], None]], Preflight]


@dataclass(frozen=True)
class Raised:
    """An exception of the process: its class in benchmnist.errors, and what it says."""

    kind: str
    message: str
    problems: tuple[Problem, ...]


WORD: TypeAdapter[str | Preflight | Raised] = TypeAdapter(str | Preflight | Raised)
"""Lines of the process, in JSON: each names the next thing to try; the last is its result or its exception."""
SLICE = 0.2
"""Seconds between two looks whether the process lives: a process that it started may hold its pipe."""


def _tried(
    task: PreflightFunction, timeout: float | None, meanwhile: Callable[[], object]
) -> Preflight | tuple[str, str]:
    """Returns the result; or what was being tried when the process died, and how it died."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = os.pipe()
    process = fork.Process(target=_child, args=(theirs, task), daemon=True)
    with warnings.catch_warnings():
        # Of threads that are not there after a fork: ours draw, and torch is told to do without its own.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    os.close(theirs)
    try:
        meanwhile()
        return _heard(ours, process, timeout)
    finally:
        _end(process)
        os.close(ours)


def _heard(pipe: int, process: BaseProcess, timeout: float | None) -> Preflight | tuple[str, str]:
    trying = ""
    try:
        for word in _words(pipe, process, timeout):
            if isinstance(word, Preflight):
                return word
            if not isinstance(word, str):
                raise _exception(word)
            trying = word
        how = _how_it_ended(process)
    except TimeoutError:
        how = f"took longer than {patience(trying, timeout):g} s"
    except (ValueError, RecursionError):
        how = "wrote what is no result"
    return trying, how


def _words(pipe: int, process: BaseProcess, timeout: float | None) -> Iterator[str | Preflight | Raised]:
    """Yields what the process says, until it ends or its pipe does.

    Raises:
        TimeoutError: if it says nothing for longer than `patience`.
        ValueError: if it says something else.
    """
    heard, trying = time.monotonic(), ""

    def read(size: int) -> bytes:
        while True:
            alive = process.is_alive()
            if select.select([pipe], [], [], SLICE if alive else 0.0)[0]:
                return os.read(pipe, size)
            if not alive:
                return b""
            if (allowed := patience(trying, timeout)) is not None and time.monotonic() - heard > allowed:
                raise TimeoutError

    for line in lines_of(read):
        word = WORD.validate_python(json.loads(line))
        trying = word if isinstance(word, str) else trying
        yield word
        heard = time.monotonic()


def _how_it_ended(process: BaseProcess) -> str:
    process.join(SLICE)
    code = process.exitcode
    if code is None:
        return "closed its pipe"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended its process (exit code {code})"


def _end(process: BaseProcess) -> None:
    """Kills the process, and what it has started that did not leave its group."""
    if process.pid is not None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(PATIENCE)


def _child(answers: int, task: PreflightFunction) -> None:
    faulthandler.disable()  # the descriptor that it writes to may be another file by now: the pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    do_without_compiler()  # nothing is compiled here, and to import it takes as long as all else

    def tell(word: str | Preflight | Raised) -> None:
        write_all(partial(os.write, answers), json.dumps(WORD.dump_python(word)).encode("ascii") + b"\n")

    try:
        tell(task(tell))
    except BenchmnistError as error:
        problems = error.problems if isinstance(error, SuiteError) else ()
        tell(Raised(kind=type(error).__name__, message=str(error), problems=problems))
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is raised where somebody sees it
        tell(Raised(kind="", message=formatted_traceback(problem), problems=()))


def _exception(raised: Raised) -> Exception:
    """Returns the exception that the process raised; one that is not ours has its traceback as its message."""
    if raised.problems:
        return SuiteError(raised.problems)
    kind: Any = getattr(errors, raised.kind, None)
    is_ours = isinstance(kind, type) and issubclass(kind, BenchmnistError) and kind is not SuiteError
    return kind(raised.message) if is_ours else RuntimeError(raised.message)
