"""What the processes that tests start do first: this folder is the first of their PYTHONPATH.

- CUDA_STANDIN, which has its options, puts the stand-in in place as soon as torch has been imported.
- TORCH_WITHOUT_COMPILER leaves torch's compiler unimported, which is a third of the processor time that a process
  takes to begin training. torch.optim imports it for two functions that do nothing unless something is compiled;
  whoever wants more of it fails. The tests' own processes have the real one, as has what is forked for them
  (`processes.py`).
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class TorchFinder:
    """In place of PathFinder.find_spec: the module torch is followed by the stand-in.

    Not a finder of its own, since benchmnist's guard asks PathFinder for torch; and not a function, since pytest
    makes PathFinder's a method of a class of its own.
    """

    def __init__(self, original: Any) -> None:
        self.original = original

    def __call__(self, name: str, path: Any = None, target: Any = None) -> Any:
        spec = self.original(name, path, target)
        if name != "torch" or spec is None or spec.loader is None:
            return spec
        setattr(importlib.machinery.PathFinder, "find_spec", self.original)  # noqa: B010 - mypy is against it
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            from cuda_standin import Options, install

            install(Options(**json.loads(os.environ["CUDA_STANDIN"])))

        spec.loader.exec_module = exec_module
        return spec


class WithoutCompiler(ModuleType):
    """In place of torch._dynamo, which torch.optim imports to leave its methods as they are."""

    @staticmethod
    def disable(function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        """Returns the function, as nothing is compiled."""
        return function

    @staticmethod
    def graph_break() -> None:
        """Does nothing, as the real one does outside of what is compiled."""


if "CUDA_STANDIN" in os.environ:
    finder = TorchFinder(importlib.machinery.PathFinder.find_spec)
    setattr(importlib.machinery.PathFinder, "find_spec", finder)  # noqa: B010 - the same
elif "TORCH_WITHOUT_COMPILER" in os.environ:  # to capture, torch wants more of it
    sys.modules["torch._dynamo"] = WithoutCompiler("torch._dynamo")
