"""A plugin whose models, optimizers and datasets do their worst: at a place, one of ACTS.

An act happens where a case is trained, in a worker or in the process that HOSTILE_INLINE names; at the place
`preflight` it happens when the model is tried before the training.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn

from benchmnist import DatasetSpec, ModelSpec, OptimizerSpec, hookimpl
from benchmnist.builtin.datasets import mnist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR = 3600.0


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class ExitingError(Exception):
    def __str__(self) -> str:  # noqa: PLE0307
        sys.exit(0)


class NoError(BaseException):
    pass


class OfPytest(BaseException):
    __module__ = "_pytest.outcomes"


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Meta):  # noqa: N818
    pass


class ClasslessError(Exception):
    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    @__class__.setter
    def __class__(self, value: Any) -> None:
        pass


class OddlyNamedError(Exception):
    pass


OddlyNamedError.__module__ = "\udcff\0\x1b[2J"
OddlyNamedError.__qualname__ = "x" * 10**6


def _circle() -> Exception:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def _deep(depth: int = 0) -> int:
    return _deep(depth + 1) + 1


RAISED: dict[str, Callable[[], BaseException]] = {
    "runtime": lambda: RuntimeError("no"),
    "nothing to say": Exception,
    "NUL": lambda: KeyError("\0\x1b[2J\x07"),
    "lone surrogate": lambda: ValueError("\ud800 \udcff"),
    "bytes": lambda: OSError(b"\xff\xfe"),
    "30 MB": lambda: RuntimeError("x" * 30_000_000),
    "a million lines": lambda: RuntimeError("\n" * 10**6),
    "markup": lambda: RuntimeError("[/x] [bold] `` ``` <script> | \r"),
    "str() raises": UnprintableError,
    "str() exits": ExitingError,
    "no Exception": NoError,
    "of pytest by name": OfPytest,
    "SystemExit(0)": lambda: SystemExit(0),
    "SystemExit(text)": lambda: SystemExit("\udcff"),
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(3),
    "no name": Nameless,
    "no class": ClasslessError,
    "odd name": OddlyNamedError,
    "group": lambda: BaseExceptionGroup("several", [ValueError(1), NoError()]),
    "circle of causes": _circle,
    "MemoryError": MemoryError,
    "BrokenPipeError": lambda: BrokenPipeError(32, "Broken pipe"),
    "EOFError": EOFError,
    "TimeoutError": TimeoutError,
}


def _answers() -> list[int]:
    """The pipes of this process that can be written to, but for its output."""
    found = []
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            where = str(Path(f"/proc/self/fd/{fd}").readlink())
            if where.startswith("pipe:") and fcntl.fcntl(fd, fcntl.F_GETFL) & 3:
                found.append(fd)
    return found


def _write(said: bytes) -> None:
    for fd in _answers():
        with contextlib.suppress(OSError):
            os.write(fd, said)


def _write_much() -> None:
    for _ in range(70):
        _write(b"x" * 2**20)


class Deadly:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (99,)


def _hold(*, then: Callable[[], None] = lambda: None) -> None:
    """Leaves a process in a session of its own, which holds all pipes."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(HOUR)
        os._exit(0)
    then()


def _half(*, then: Callable[[], None]) -> None:
    _write(b"CaseResult {")
    then()


def _later(act: Callable[[], None]) -> None:
    threading.Timer(0.3, act).start()


def _sleep() -> None:
    time.sleep(HOUR)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _sleep_deaf() -> None:
    _ignore_signals()
    _sleep()


def _close(first: int, last: int) -> None:
    os.closerange(first, last)


def _close_and_sleep() -> None:
    _close(0, 256)
    _sleep()


def _exec() -> NoReturn:
    os.execv("/bin/true", ["true"])  # noqa: S606


def _print_much() -> None:
    for _ in range(20):
        os.write(2, b"y" * 2**20)


def _spin() -> None:
    while True:
        pass


FORGED = b'CaseResult {"case": {"id": "mnist/logistic/sgd"}, "status": "completed"}\n'
DEADLY: dict[str, Callable[[], object]] = {
    "os._exit(0)": lambda: os._exit(0),
    "os._exit(3)": lambda: os._exit(3),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGKILL to its group": lambda: os.killpg(os.getpgrp(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "real-time signal": lambda: os.kill(os.getpid(), 40),
    "KeyboardInterrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "exec": _exec,
    "close all, sleep": _close_and_sleep,
    "garbage as an answer": lambda: _write(b"garbage\n"),
    "a pickle as an answer": lambda: _write(pickle.dumps(Deadly()) + b"\n"),
    "64 MB as an answer": _write_much,
    "a forged result": lambda: _write(FORGED),
    "a made-up message": lambda: _write(b'Command {"run": "rm"}\n'),
    "half an answer, exit": lambda: _half(then=lambda: os._exit(0)),
    "leave a process, exit": lambda: _hold(then=lambda: os._exit(0)),
}
HANGING: dict[str, Callable[[], object]] = {
    "sleep": _sleep,
    "spin": _spin,
    "sleep, deaf to signals": _sleep_deaf,
    "SIGSTOP": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "leave a process, sleep": lambda: _hold(then=_sleep),
    "half an answer, sleep": lambda: _half(then=_sleep),
}
HARMLESS: dict[str, Callable[[], object]] = {
    "leave a process": _hold,
    "print 20 MB": _print_much,
    "close its output": lambda: _close(1, 3),
    "ignore signals": _ignore_signals,
    "clear the environment": os.environ.clear,
    "no standard streams": lambda: vars(sys).update(stdin=None, stdout=None, stderr=None),
    "hang in atexit": lambda: atexit.register(_sleep),
    "leave the folder": lambda: os.chdir("/"),
    "umask 777": lambda: os.umask(0o777),
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "other random numbers": lambda: torch.manual_seed(99),
    "deep recursion": lambda: _try(_deep),
    "a thread that raises": lambda: threading.Thread(target=_raise).start(),
    "a thread that exits later": lambda: _later(lambda: os._exit(5)),
    "a thread that writes later": lambda: _later(lambda: _write(b"late\n")),
}


def _try(act: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        act()


def _raise() -> None:
    raise RuntimeError("in a thread")


def happen(act: str) -> None:
    if act in RAISED:
        error = RAISED[act]()
        raise error
    {**DEADLY, **HANGING, **HARMLESS}[act]()


def is_training() -> bool:
    inline = os.environ.get("HOSTILE_INLINE") == str(os.getpid())
    return inline or any(name.startswith("BENCHMNIST_MARK_") for name in os.environ)


class Hostile(nn.Module):
    def __init__(self, num_classes: int, act: str, place: str) -> None:
        super().__init__()
        self.linear = nn.Linear(784, num_classes)
        self.act, self.place, self.armed = act, place, is_training() != (place == "preflight")
        self.at("build")

    def at(self, place: str) -> None:
        if self.armed and self.place == place:
            self.armed = self.act not in HARMLESS
            happen(self.act)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.at("preflight")
        self.at("forward" if self.training else "evaluation")
        outputs: torch.Tensor = self.linear(images.flatten(1))
        if outputs.requires_grad and self.place == "backward":
            outputs.register_hook(lambda _: self.at("backward"))
        return outputs

    def __del__(self) -> None:
        self.at("__del__")


class HostileSGD(torch.optim.SGD):
    act = place = ""

    def step(self, closure: Any = None) -> Any:
        if self.place == "step" and is_training():
            happen(self.act)
        return super().step(closure)


def model(*, input_shape: tuple[int, int, int], num_classes: int, act: str, place: str) -> nn.Module:  # noqa: ARG001
    return Hostile(num_classes, act, place)


def optimizer(model: nn.Module, *, act: str, place: str) -> torch.optim.Optimizer:
    if place == "optimizer" and is_training():
        happen(act)
    made = HostileSGD(model.parameters(), lr=0.1)
    made.act, made.place = act, place
    return made


def dataset(*, root: Any, act: str) -> Any:
    if is_training():
        happen(act)
    return mnist(root=root)


@hookimpl
def benchmnist_models() -> Iterator[ModelSpec]:
    yield ModelSpec(name="hostile", summary="", build=model)


@hookimpl
def benchmnist_optimizers() -> Iterator[OptimizerSpec]:
    yield OptimizerSpec(name="hostile", summary="", build=optimizer)


@hookimpl
def benchmnist_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(name="hostile", summary="", build=dataset)
