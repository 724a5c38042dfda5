"""A plugin of faulty models, which the checks of executors train."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from benchmnist.extensions.hookspecs import hookimpl
from benchmnist.extensions.specs import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable


def _linear(num_classes: int, before: Callable[[], None]) -> nn.Module:
    """One layer for digits of 28x28, with an action before each forward pass."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, num_classes))
    model.register_forward_pre_hook(lambda *_: before())
    return model


def raises(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Raises a RuntimeError."""

    def before() -> None:
        raise RuntimeError("a model that raises")

    return _linear(num_classes, before)


def dies(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Ends its process, with its last words on standard output."""

    def before() -> None:
        os.write(1, b"the last words of the model\n")
        os._exit(7)

    return _linear(num_classes, before)


def sleeps(*, input_shape: tuple[int, int, int], num_classes: int, seconds: float, beats: str) -> nn.Module:  # noqa: ARG001
    """Sleeps before each pass, and touches a file."""

    def before() -> None:
        time.sleep(seconds)
        Path(beats).touch()

    return _linear(num_classes, before)


def waits(*, input_shape: tuple[int, int, int], num_classes: int, passes: int, until: str) -> nn.Module:  # noqa: ARG001
    """Waits, after some passes, until a file exists."""
    made = itertools.count()

    def before() -> None:
        if next(made) >= passes:
            while not Path(until).exists():
                time.sleep(0.01)

    return _linear(num_classes, before)


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """Returns models that raise, die, sleep and wait."""
    return [
        ModelSpec(name=f"faulty-{build.__name__}", summary=build.__doc__ or "", build=build)
        for build in (raises, dies, sleeps, waits)
    ]
