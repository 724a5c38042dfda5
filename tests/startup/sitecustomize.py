"""What the processes that tests start do first: this folder is the first of their PYTHONPATH.

- CUDA_STANDIN, which has its options, puts the stand-in in place as soon as torch has been imported.
- TORCH_WITHOUT_COMPILER has torch.optim do without torch's compiler, whose import is a third of the processor time
  that a process takes to begin training. It asks the compiler to leave its methods alone, and nothing here is
  compiled; whoever else imports it gets it. The tests' own processes and those forked for them (`processes.py`)
  have torch as it is.
"""

from __future__ import annotations

import functools
import importlib.machinery
import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class Finder:
    """In place of PathFinder.find_spec: some modules are followed by something, as soon as they are imported.

    Not a finder of its own, since benchmnist's guard asks PathFinder for torch; and not a function, since pytest
    makes PathFinder's a method of a class of its own.
    """

    def __init__(self, original: Any, followed: dict[str, Callable[[ModuleType], None]]) -> None:
        self.original, self.followed = original, followed

    def __call__(self, name: str, path: Any = None, target: Any = None) -> Any:
        spec = self.original(name, path, target)
        if name not in self.followed or spec is None or spec.loader is None:
            return spec
        follow = self.followed.pop(name)
        if not self.followed:
            setattr(importlib.machinery.PathFinder, "find_spec", self.original)  # noqa: B010 - mypy is against it
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            follow(module)

        spec.loader.exec_module = exec_module
        return spec


def install_standin(_: ModuleType) -> None:
    """Follows torch."""
    from cuda_standin import Options, install

    install(Options(**json.loads(os.environ["CUDA_STANDIN"])))


def disable_nothing(module: ModuleType) -> None:
    """Follows torch._compile: methods that must not be compiled stay as they are."""

    def disable(function: Any = None, recursive: bool = True) -> Any:  # noqa: ARG001
        return (lambda function: function) if function is None else function

    module._disable_dynamo = disable  # type: ignore[attr-defined]


def break_no_graph(module: ModuleType) -> None:
    """Follows torch.optim.optimizer: steps keep the gradient mode, and have no graph to break."""

    def with_its_gradient_mode(step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            with sys.modules["torch"].set_grad_enabled(self.defaults["differentiable"]):
                return step(self, *args, **kwargs)

        return wrapped

    module._use_grad_for_differentiable = with_its_gradient_mode  # type: ignore[attr-defined]


followed: dict[str, Callable[[ModuleType], None]] = {}
if "CUDA_STANDIN" in os.environ:
    followed["torch"] = install_standin
if "TORCH_WITHOUT_COMPILER" in os.environ:
    followed |= {"torch._compile": disable_nothing, "torch.optim.optimizer": break_no_graph}
if followed:
    finder = Finder(importlib.machinery.PathFinder.find_spec, followed)
    setattr(importlib.machinery.PathFinder, "find_spec", finder)  # noqa: B010 - the same
