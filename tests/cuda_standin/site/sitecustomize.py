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
        importlib.machinery.PathFinder.find_spec = self.original  # type: ignore[method-assign]
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            from cuda_standin import Options, install

            options = json.loads(os.environ["CUDA_STANDIN"])
            install(Options(**{key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}))

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "CUDA_STANDIN" in os.environ:
    finder = TorchFinder(importlib.machinery.PathFinder.find_spec)
    importlib.machinery.PathFinder.find_spec = finder  # type: ignore[method-assign, assignment]
