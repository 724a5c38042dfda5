"""Repair of torchvision's wheel beside a CPU build of torch, for whoever imports it."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

MISSING = "operator torchvision::nms does not exist"
_kept_alive: list[Any] = []  # a Library takes its schemas with it when it is collected


def repair_torchvision() -> None:
    """Has any later import of torchvision repaired, if its compiled operators do not fit the installed torch.

    The registry's torchvision is built for CUDA. Beside a CPU build of torch its compiled part does not load,
    and its Python part then fails with MISSING while it registers shapes for operators that we never call. Where
    it fails that way, the missing schemas are declared and it is executed again. Nothing is imported here.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds torchvision where the others find it, and gives it a loader that repairs it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds it; None for any other module."""
        if name != "torchvision":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Repairing(spec.loader)
        return spec


class _Repairing(Loader):
    """The loader of torchvision."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Makes an empty module."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Executes it, again where it was repaired.

        Raises:
            RuntimeError: if it fails in any other way.
        """
        try:
            self.loader.exec_module(module)
        except RuntimeError as error:
            if MISSING not in str(error):
                raise
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]
            library = sys.modules["torch"].library.Library("torchvision", "DEF")  # torchvision has imported it
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _kept_alive.append(library)
            self.loader.exec_module(module)
