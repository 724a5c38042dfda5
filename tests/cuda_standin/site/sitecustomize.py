"""Puts the stand-in in place as soon as a process has imported torch.

The first folder of PYTHONPATH is this one, so Python runs this file at its start; CUDA_STANDIN has the options.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


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


if "CUDA_STANDIN" in os.environ:
    finder = TorchFinder(importlib.machinery.PathFinder.find_spec)
    setattr(importlib.machinery.PathFinder, "find_spec", finder)  # noqa: B010 - the same
