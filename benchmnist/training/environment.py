"""Where training happens: which device, and what machine, versions and flags decide its speed."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmnist.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps` as a device; `auto` is a GPU where there is one.

    Raises:
        DeviceError: if there is no such device; says what there is.
    """
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"no device is called {name!r}; there are auto, cpu, cuda, cuda:N and mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index or 0
        if index >= count:
            found = f"it sees {count} GPU{'' if count == 1 else 's'}" if count else "it sees no GPU"
            raise DeviceError(
                f"there is no {name!r} for torch {torch.__version__}: {found}; use --device cpu, "
                "or install a build of torch for your GPU"
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not mps:
        raise DeviceError("there is no 'mps' on this machine; use --device cpu")
    if device.type not in ("cpu", "mps"):
        raise DeviceError(f"the device {name!r} is not supported; there are auto, cpu, cuda, cuda:N and mps")
    return torch.device(device.type)


def environment(device: torch.device) -> dict[str, Any]:
    """The machine, the versions and the flags that decide how fast training on the device is."""
    found: dict[str, Any] = {
        "device": str(device),
        "device_name": _cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "benchmnist": version("benchmnist"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device.type == "cuda":
        found |= {
            "device_name": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        }
    return found


def _cpu_name() -> str:
    """What the processor calls itself; where it does not say, its architecture."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
