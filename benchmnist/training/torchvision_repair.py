"""Repair of torchvision's wheel beside a CPU build of torch."""

from __future__ import annotations

import sys

import torch

_kept_alive: list[torch.library.Library] = []  # a Library takes its schemas with it when it is collected


def import_torchvision() -> None:
    """Imports torchvision, even if its compiled operators do not fit the installed torch.

    The registry's torchvision is built for CUDA. Beside a CPU build of torch its compiled part does not load,
    and its Python part then fails with `operator torchvision::nms does not exist` while it registers shapes
    for operators that we never call. Where it fails that way, the missing schemas are declared and it is
    imported again.

    Raises:
        ImportError, RuntimeError: if it fails in any other way.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept_alive.append(library)
        import torchvision  # noqa: F401
