"""Findings that need torch or the plugins: each function runs in its own process (isolated.py)."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.builtin.datasets import MNIST_SHA256
from benchmnist.doctor.lines import Line
from benchmnist.doctor.machine import in_container, nvidia_hardware
from benchmnist.errors import DeviceError, first_line
from benchmnist.extensions.registry import find_plugins
from benchmnist.text import counted
from benchmnist.training.environment import environment, resolve_device
from benchmnist.training.gpus import read_gpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.doctor.lines import State
    from benchmnist.training.gpus import Reading

GET_STARTED = "see 'Get Started' on pytorch.org"


def look_at_torch(_: Any) -> Line:
    """Describes the build of torch."""
    cuda, hip = torch.version.cuda, torch.version.hip
    built = f"for CUDA {cuda}" if cuda else f"for ROCm {hip}" if hip else "for the CPU only"
    cudnn = torch.backends.cudnn.version() if cuda else None
    archs = torch.cuda.get_arch_list()
    said = f"{torch.__version__}, built {built}"
    said += f" ({', '.join(archs)})" if archs else ""
    figures = {"torch": str(torch.__version__), "cuda": cuda, "hip": hip, "cudnn": cudnn, "archs": archs}
    return Line(name="torch", state="ok", said=said, figures=figures)


def look_at_processor(_: Any) -> Line:
    """Describes the processor, and the library with which torch multiplies matrices on it."""
    name, capability = environment(torch.device("cpu"))["device_name"], torch.backends.cpu.get_cpu_capability()
    blas = blas_of(torch.__config__.show())
    threads = torch.get_num_threads()
    on = counted(threads, "thread")
    said = f"{name}; torch uses {blas} with {capability} on {on}"
    if blas == "MKL" and "AMD" in name:
        said += "; MKL is slower on AMD processors than on Intel processors"
    figures = {"processor": name, "capability": capability, "blas": blas, "threads": threads}
    return Line(name="processor", state="ok", said=said, figures=figures)


def blas_of(configuration: str) -> str:
    """Returns the BLAS that torch was built with, from the text of `torch.__config__.show()`."""
    found = re.search(r"BLAS_INFO=(\w+)", configuration)
    names = {"mkl": "MKL", "open": "OpenBLAS", "accelerate": "Accelerate"}
    return names.get(found[1], found[1]) if found else "an unknown BLAS"


def look_at_device(_: Any, name: str) -> Line:
    """Uses the named device for a moment; without a name, the one that `auto` selects.

    The figures of the line have the full name of the `device` to try.
    """
    works = torch.cuda.is_available()
    figures: dict[str, Any] = {"cuda": works, "gpus": torch.cuda.device_count() if works else 0}
    visible, there = read_gpus(os.environ.get("CUDA_VISIBLE_DEVICES")), read_gpus(None)
    why, remedy = ("", "") if works else why_no_cuda(str(torch.__version__), torch.version.cuda, visible, there)
    try:
        found = resolve_device(name or "auto")
    except DeviceError as error:
        said = f"{name} is unavailable: {why}" if why and name.startswith("cuda") else str(error)
        return Line(name="device", state="problem", said=said, remedy=remedy, figures=figures)
    figures["device"] = str(found)
    if found.type == "cuda":
        if name:
            torch.ones(1, device=found).item()
        return _supported(found.index, visible, figures, used=bool(name))
    unused: State = "warning" if there.gpus or nvidia_hardware() else "ok"
    state, said = unused if why else "ok", f"{found}; {why or 'CUDA also works'}"
    return Line(name="device", state=state, said=said, remedy="" if state == "ok" else remedy, figures=figures)


def _supported(index: int, visible: Reading, figures: dict[str, Any], *, used: bool) -> Line:
    """Checks that torch has code for a GPU. If the GPU is `used` already, CUDA identifies it."""
    archs, name, capability = torch.cuda.get_arch_list(), "", None
    if used:  # NVML numbers unlike cards otherwise
        name, capability = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
    elif len({card.name for card in visible.gpus}) == 1:
        name, capability = visible.gpus[0].name, visible.gpus[0].capability
    if capability is not None and archs and not covers(archs, capability):
        major, minor = capability
        said = f"torch {torch.__version__} has no code for {name} (sm_{major}{minor})"
        remedy = (
            f"install a build of torch that supports it, {GET_STARTED}; this build supports {', '.join(archs)}"
        )
        return Line(name="device", state="problem", said=said, remedy=remedy, figures=figures)
    called = f" ({name})" if name else ""
    said = f"cuda:{index}{called} works; torch sees {counted(figures['gpus'], 'GPU')}"
    if not visible.gpus and torch.version.hip is None:
        said += (
            f"; NVML does not report it ({visible.problem or 'no GPU'}): its mode, clocks and memory are unknown"
        )
        return Line(
            name="device", state="warning", said=said, remedy="check the output of nvidia-smi", figures=figures
        )
    return Line(name="device", state="ok", said=said, figures=figures)


def covers(archs: Sequence[str], capability: tuple[int, int]) -> bool:
    """Tells whether code for one of the architectures runs on a GPU, as it is or compiled there."""
    for arch in archs:
        kind, _, number = arch.partition("_")
        digits = "".join(filter(str.isdigit, number))  # sm_90a
        major, minor = int(digits[:-1]), int(digits[-1])
        if kind == "sm" and major == capability[0] and minor <= capability[1]:
            return True
        if kind == "compute" and (major, minor) <= capability:
            return True
    return False


def why_no_cuda(
    version: str, cuda: str | None, visible: Reading, there: Reading, *, root: Path = Path("/"), words: str = ""
) -> tuple[str, str]:
    """Returns the reason why torch sees no GPU, and a remedy.

    Args:
        version: Version of torch.
        cuda: CUDA version that torch was built for, if any.
        visible: GPUs that CUDA_VISIBLE_DEVICES leaves visible.
        there: All GPUs.
        root: Root of the file system.
        words: Error message of CUDA; by default, CUDA is asked if nothing else explains the reason.
    """
    names = ", ".join(card.name for card in there.gpus)
    if there.gpus and cuda is None:
        return (
            f"torch {version} is built without CUDA, but this machine has {names}",
            f"install a build with CUDA, {GET_STARTED}",
        )
    if there.gpus and not visible.gpus:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides {names}", "unset CUDA_VISIBLE_DEVICES, or name a GPU in it"
    if there.gpus and cuda is not None:
        driver = there.gpus[0]
        if driver.cuda and int(driver.cuda.partition(".")[0]) < int(cuda.partition(".")[0]):
            return (
                f"driver {driver.driver} supports CUDA up to {driver.cuda}, but torch {version} needs {cuda}",
                f"upgrade the driver, or install a build of torch for CUDA {driver.cuda}, {GET_STARTED}",
            )
        said = f"the driver answers, but torch cannot use the GPU: {words or _words()}"
        if any(card.mig for card in there.gpus):
            return (
                f"{said}; MIG is on, so programs need an instance of the GPU",
                "create an instance: sudo nvidia-smi mig -cgi PROFILE -C; or disable MIG: sudo nvidia-smi -mig 0",
            )
        return said, "restart the machine or its driver"
    if "mismatch" in there.problem.lower():
        return f"the driver was upgraded while it was running: {there.problem}", "restart the machine"
    if nvidia_hardware(root):
        if in_container(root) and not (root / "dev/nvidiactl").exists():
            remedy = "start it with the NVIDIA Container Toolkit on the host: docker run --gpus all ..."
            return "this container was started without the machine's GPU", remedy
        return (
            f"the NVIDIA driver does not answer, but the machine has a GPU: {there.problem}",
            "install the NVIDIA driver",
        )
    return "this machine has no NVIDIA GPU", "use --device cpu"


def _words() -> str:
    """Returns the error message of CUDA."""
    try:
        torch.cuda.init()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return first_line(error)
    return "no reason given"


def look_at_data(_: Any, root: str) -> Line:
    """Compares the files of MNIST with their checksums."""
    folder, found = Path(root, "MNIST", "raw"), 0
    for name, expected in MNIST_SHA256.items():
        file = folder / name
        if file.exists() and not file.is_file():
            said = f"{file} is not a file"
            return Line(name="data", state="problem", said=said, remedy="remove it, and MNIST is unpacked there")
        if file.is_file():
            if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
                said = f"{file} is damaged: its sha256 does not match"
                return Line(name="data", state="problem", said=said, remedy="delete it, and it is unpacked again")
            found += 1
    said = (
        "MNIST is complete"
        if found == len(MNIST_SHA256)
        else "MNIST is not unpacked yet; it is part of this package"
    )
    return Line(name="data", state="ok", said=f"{said}: {folder}", figures={"files": found})


def look_at_plugins(_: Any, block: Sequence[str]) -> Line:
    """Lists the installed plugins, those that are broken, and names that several offer."""
    registry = find_plugins(block)
    broken = [plugin for plugin in registry.plugins if plugin.error]
    wrong = [f"{plugin} failed to load: {plugin.error}" for plugin in broken]
    remedies = [plugin.remedy for plugin in broken]
    for kind, offers in registry.by_kind.items():
        wrong += [f"the {kind} {name!r} is {offers.dispute(name)}" for name in offers.contested]
    notes = [f"{plugin} {note}" for plugin in registry.plugins for note in plugin.notes]
    names = {plugin.name: f"{plugin.distribution} {plugin.version}" for plugin in registry.plugins}
    return Line(
        name="plugins",
        state="problem" if wrong else "warning" if notes else "ok",
        said="; ".join([*wrong, *notes]) or ", ".join(names.values()),
        remedy="; ".join(remedies),
        figures=names,
    )
