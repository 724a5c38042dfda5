"""Tries a plan in a process of its own: a plugin that kills it, or hangs, costs its own cases only."""

from __future__ import annotations

import faulthandler
import multiprocessing
import pickle
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmnist.errors import BenchmnistError
from benchmnist.preflight.check import Preflight, preflight
from benchmnist.training.data import Datasets

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.plan import Plan

PATIENCE = 120.0  # seconds that a model or an optimizer may take to be built


def patience(trying: str) -> float | None:
    """Seconds that may be tried for without a word; None for a dataset, which may have to be downloaded."""
    return None if not trying or trying.startswith("the dataset ") else PATIENCE


def preflight_apart(plan: Plan, registry: Registry, root: Path, device: torch.device) -> Preflight:
    """Runs `preflight` in a separate process, if one can be forked.

    What kills that process is noted and not tried again: it is trained all the same, in a worker that it may kill.

    Raises:
        BenchmnistError: if the process dies of something else.
    """
    if sys.platform != "linux":  # elsewhere a new process would have to import torch anew: seconds
        return preflight(plan, registry, Datasets(registry, root), device)
    deadly: dict[str, str] = {}

    def task(tell: Callable[[str], None]) -> Preflight:
        return preflight(plan, registry, Datasets(registry, root), device, tell=tell, deadly=deadly)

    while True:
        tried = _tried(task)
        if isinstance(tried, Preflight):
            notes = (f"{where} {how}, when it was tried before the training" for where, how in deadly.items())
            return replace(tried, notes=(*tried.notes, *notes))
        where, how = tried
        if not where or where in deadly:
            raise BenchmnistError(f"the process that tries the suite {how}, cause unknown")
        deadly[where] = how


PreflightFunction = Callable[[Callable[[str], None]], Preflight]


def _tried(task: PreflightFunction) -> Preflight | tuple[str, str]:
    """Returns the result; or what was being tried when the process died, and how it died."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    # The first optimizer of a process has torch import its compiler, two seconds: once, before there are two.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    process = fork.Process(target=_child, args=(theirs, task), daemon=True)
    with warnings.catch_warnings():
        # Of threads that are not there after a fork: ours draw, and torch is told to do without its own.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    trying = ""
    try:
        while ours.poll(allowed := patience(trying)):
            said = ours.recv()
            if isinstance(said, Preflight):
                return said
            if isinstance(said, BaseException):
                raise said
            trying = said
        how = f"took longer than {allowed:g} s"
    except (EOFError, OSError, pickle.UnpicklingError):  # it has ended, perhaps in the middle of a word
        process.join()
        code = process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended its process (exit code {code})"
    finally:
        process.kill()
        process.join()
        ours.close()
    return trying, how


def _child(answers: Connection, task: PreflightFunction) -> None:
    faulthandler.disable()  # the descriptor that it writes to may be another file by now: the pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    try:
        answers.send(task(answers.send))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where somebody sees it
        answers.send(error)
