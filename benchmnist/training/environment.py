"""Environment of a training: the device, and the machine, versions and flags that decide its speed."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmnist.errors import DeviceError, first_line
from benchmnist.suites.options import DEVICES, no_device
from benchmnist.training.gpus import gpus
from benchmnist.training.precision import tf32_flags


def resolve_device(name: str, *, elsewhere: bool = False) -> torch.device:
    """Resolves `auto`, `cpu`, `cuda`, `cuda:1` or `mps` to a device; `auto` is a GPU, if available.

    Args:
        name: Requested name.
        elsewhere: Whether other machines train on the device, so that this one need not have it.

    Raises:
        DeviceError: if the device is unknown or unavailable; names the available ones.
    """
    mps = torch.backends.mps.is_available()
    # Asked of NVML, where there is one: torch.cuda.is_available() would begin CUDA in this process, which need not
    # be the one that trains, and which may still fork.
    cards = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if cards else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(no_device(name)) from None
    if elsewhere and device.type in ("cpu", "cuda"):
        return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
    if device.type == "cuda":
        index = device.index or 0
        if index >= cards:
            seen = os.environ.get("CUDA_VISIBLE_DEVICES")
            hidden = f" with CUDA_VISIBLE_DEVICES={seen!r}" if seen is not None else ""
            if cards:
                last = f" to cuda:{cards - 1}" if cards > 1 else ""
                raise DeviceError(f"{name!r} is unavailable{hidden}; use --device cuda:0{last}")
            raise DeviceError(
                f"{name!r} is unavailable: torch {torch.__version__} sees no GPU{hidden}; use --device cpu "
                "(`benchmnist doctor --device cuda` says why)"
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not mps:
        raise DeviceError("'mps' is unavailable on this machine; use --device cpu")
    if device.type not in ("cpu", "mps"):
        raise DeviceError(f"the device {name!r} is not supported. Choose from: {', '.join(DEVICES)}")
    return torch.device(device.type)


def environment(device: torch.device) -> dict[str, Any]:
    """Returns the machine, versions and flags that decide the speed of training on the device."""
    found: dict[str, Any] = {
        "device": str(device),
        "device_name": _cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": cpu_capability(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # it is of a class of its own, which xdist cannot send
        "torchvision": version("torchvision"),
        "benchmnist": version("benchmnist"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device.type == "cuda":
        found |= {
            **_card(device.index or 0),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            **tf32_flags(),
        }
    return found | {"fingerprint": _fingerprint(found)}


def platform_of(device: torch.device, *, elsewhere: bool = False) -> dict[str, Any]:
    """Returns the properties of the machine and its software that affect the results of a training."""
    known = environment(torch.device("cpu") if elsewhere else device)
    known |= {"device_name": "elsewhere"} if elsewhere else {}
    return {key: known[key] for key in ("device_name", "torch", "benchmnist", "deterministic")} | {
        "device": device.type
    }


def gpus_of(name: str, device: torch.device) -> int:
    """Counts the GPUs to train on for the requested `name`, which resolves to `device`; `cuda:1` means one."""
    return torch.cuda.device_count() if device.type == "cuda" and name in ("auto", "cuda") else 1


@functools.cache
def public_version(distribution: str) -> str:
    """Returns the version of an installed distribution without its build: `2.13.0` for `2.13.0+cu130`.

    It is read once: what is imported remains what it is.
    """
    return version(distribution).partition("+")[0]


def cpu_capability() -> str:
    """Returns the instruction set of torch's kernels on this processor, `AVX2`: it decides the bits of results."""
    return torch.backends.cpu.get_cpu_capability()


def available_threads() -> int:
    """Returns the number of threads that torch would use: one per usable core, or OMP_NUM_THREADS."""
    return torch.get_num_threads()


def use_threads(number: int) -> None:
    """Has torch use a number of threads; OMP_NUM_THREADS has no effect once it is imported."""
    torch.set_num_threads(number)


def _card(index: int) -> dict[str, Any]:
    """Returns the names of a GPU and its driver, without a new CUDA context in this process."""
    cards = gpus()
    driver = {"driver": cards[0].driver or None} if cards else {}
    if index < len(cards) and len({card.name for card in cards}) == 1:
        return {"device_name": cards[index].name, **driver}
    # There is no NVML (AMD's cards, some of NVIDIA's boards), or the cards differ: NVML numbers them by their
    # place on the bus, CUDA by their speed.
    name = torch.cuda.get_device_name(index) if torch.cuda.is_initialized() else _asked(index)
    return {"device_name": name, **driver}


@functools.cache
def _asked(index: int) -> str:
    """Queries the name of a GPU in a separate process."""
    asking = f"import torch; print(torch.cuda.get_device_name({index}))"
    try:
        found = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", asking], capture_output=True, text=True, check=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(
            f"cuda:{index} does not say what it is: {first_line(error)}; `benchmnist doctor` looks for the cause"
        ) from error
    return found.stdout.strip()


def _fingerprint(found: dict[str, Any]) -> str:
    """Hashes the properties that comparable timings share, to twelve characters."""
    shared = {key: value for key, value in found.items() if key not in ("benchmnist", "torchvision")}
    return hashlib.blake2b(json.dumps(shared, sort_keys=True).encode(), digest_size=6).hexdigest()


def _cpu_name() -> str:
    """Returns the name of the processor; without one, its architecture."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
