"""Where training happens: which device, and what machine, versions and flags decide its speed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmnist.errors import DeviceError


def resolve_device(name: str, *, elsewhere: bool = False) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps` as a device; `auto` is a GPU where there is one.

    Args:
        name: What was asked for.
        elsewhere: Whether other machines will train on it, so that it need not be here.

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
    if elsewhere and device.type in ("cpu", "cuda"):
        return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
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
        "torch": str(torch.__version__),  # it is of a class of its own, which xdist cannot send
        "torchvision": version("torchvision"),
        "benchmnist": version("benchmnist"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device.type == "cuda":
        found |= {
            "device_name": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": _driver(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        }
    return found | {"fingerprint": _fingerprint(found)}


def platform_of(device: torch.device, *, elsewhere: bool = False) -> dict[str, Any]:
    """What of the machine and its software decides what a training comes to, beside what is trained."""
    known = environment(torch.device("cpu") if elsewhere else device)
    known |= {"device_name": "elsewhere"} if elsewhere else {}
    return {key: known[key] for key in ("device_name", "torch", "benchmnist", "deterministic")} | {
        "device": device.type
    }


def gpus_of(name: str, device: torch.device) -> int:
    """How many GPUs may be trained on where `name` was asked for, and is that device: with `cuda:1` only that."""
    return torch.cuda.device_count() if device.type == "cuda" and name in ("auto", "cuda") else 1


def public_version(distribution: str) -> str:
    """The version of an installed distribution, whatever it was built for: `2.13.0` of `2.13.0+cu130`."""
    return version(distribution).partition("+")[0]


def available_threads() -> int:
    """How many threads torch would use: one a core that this process may use, or what OMP_NUM_THREADS says."""
    return torch.get_num_threads()


def reset_peak_memory(device: torch.device) -> None:
    """Begins a new measurement of `peak_memory`, where that can be done: on a GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that torch had allocated; else the most that this process ever had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _driver() -> str | None:
    """The version of NVIDIA's driver, which torch does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    found = subprocess.run(  # noqa: S603 - a program of the driver, without any input of ours
        query, capture_output=True, text=True, check=False
    )
    return found.stdout.partition("\n")[0].strip() or None


def _fingerprint(found: dict[str, Any]) -> str:
    """What has to be the same for two timings to be comparable, in twelve characters."""
    telling = {key: value for key, value in found.items() if key not in ("benchmnist", "torchvision")}
    return hashlib.blake2b(json.dumps(telling, sort_keys=True).encode(), digest_size=6).hexdigest()


def _cpu_name() -> str:
    """What the processor calls itself; where it does not say, its architecture."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
