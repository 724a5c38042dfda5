"""Findings about NVIDIA GPUs, from their driver."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmnist.doctor.lines import Line
from benchmnist.doctor.machine import LITTLE_MEMORY, gib, in_container, read_file
from benchmnist.training.gpus import gpus, multi_process_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.doctor.lines import State
    from benchmnist.training.gpus import Gpu

OTHERS_MEMORY = 0.1
"""Share of a GPU's memory that other processes may use without a warning."""


def inspect_cards() -> Iterator[Line]:
    """Yields a line for each GPU that CUDA_VISIBLE_DEVICES leaves visible."""
    found = gpus(fresh=True)
    unlike = len({gpu.name for gpu in found}) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
    for gpu in found:
        yield card(gpu, mps=multi_process_service(os.environ), contained=in_container(), unlike=unlike)


def card(gpu: Gpu, *, mps: bool = False, contained: bool = False, unlike: bool = False) -> Line:
    """Describes a GPU.

    Args:
        gpu: Description by its driver.
        mps: Whether MPS is running.
        contained: Whether this process is in a container, where process ids differ.
        unlike: Whether the GPUs differ, so that CUDA may number them in another order.
    """
    facts = [gpu.name, f"driver {gpu.driver}" if gpu.driver else ""]
    if gpu.memory_total is not None and gpu.memory_used is not None:
        facts.append(f"{gib(gpu.memory_total - gpu.memory_used)} free of {gib(gpu.memory_total)}")
    if gpu.clock is not None and gpu.max_clock is not None:
        facts.append(f"{gpu.clock} of {gpu.max_clock} MHz")
    facts += [f"{gpu.temperature} °C"] if gpu.temperature is not None else []
    if gpu.power is not None:
        facts.append(
            f"{gpu.power:.0f} W" if gpu.power_limit is None else f"{gpu.power:.0f} of {gpu.power_limit:.0f} W"
        )
    facts += ["MIG instance" if gpu.uuid.startswith("MIG-") else "MIG is on"] if gpu.mig else []
    facts += ["MPS is on"] if mps else []
    wrong = [*_wrong_with(gpu, contained=contained)]
    if unlike:
        said = "the GPUs differ, and CUDA may number them in another order: the fastest first"
        wrong.append(("warning", said, "set CUDA_DEVICE_ORDER=PCI_BUS_ID so that cuda:N is gpu-N here"))
    states: list[State] = [state for state, _, _ in wrong]
    return Line(
        name=f"gpu-{gpu.index}",
        state="problem" if "problem" in states else "warning" if states else "ok",
        said="; ".join([", ".join(filter(None, facts)), *(said for _, said, _ in wrong)]),
        remedy="; ".join(remedy for _, _, remedy in wrong),
        figures={
            "name": gpu.name,
            "driver": gpu.driver,
            "cuda": gpu.cuda,
            "capability": gpu.capability,
            "memory_total": gpu.memory_total,
            "memory_used": gpu.memory_used,
            "compute_mode": gpu.compute_mode,
            "clock": gpu.clock,
            "max_clock": gpu.max_clock,
            "temperature": gpu.temperature,
            "power": gpu.power,
            "power_limit": gpu.power_limit,
            "mig": gpu.mig,
            "mps": mps,
            "slowed": gpu.slowed,
            "processes": len(gpu.processes),
        },
    )


def _wrong_with(gpu: Gpu, *, contained: bool) -> Iterator[tuple[State, str, str]]:
    """Yields each problem of a GPU: its state, its description and its remedy."""
    if not gpu.name:
        said = "the GPU does not answer: it is broken, or has fallen off the bus"
        yield "problem", said, "restart the machine; `sudo dmesg | grep -i xid` shows the cause"
        return
    default = f"sudo nvidia-smi -i {gpu.uuid} -c DEFAULT"
    if gpu.compute_mode == "PROHIBITED":
        yield "problem", "compute mode PROHIBITED allows no process to use it", default
    if gpu.compute_mode.startswith("EXCLUSIVE"):
        said = f"compute mode {gpu.compute_mode} allows only one process at a time"
        yield "warning", said, f"train with --jobs 1, or {default}"
    if gpu.slowed:
        yield (
            "warning",
            f"throttled: {', '.join(gpu.slowed)}",
            "check its cooling and power before you measure times",
        )
    others = [process for process in gpu.processes if process.pid != os.getpid()]
    much = (gpu.memory_used or 0) > OTHERS_MEMORY * (gpu.memory_total or float("inf"))
    if others or much:
        who = ", ".join(_process(process.pid, process.memory, contained=contained) for process in others)
        said = f"also used by {who or 'processes that are not visible here'}"
        yield "warning", said, "do not measure times while other processes use it: wait, or end them"
    if gpu.memory_total is not None and gpu.memory_total - (gpu.memory_used or 0) < LITTLE_MEMORY:
        yield (
            "warning",
            "little free memory: training may run out of it",
            "wait, or end what holds it",
        )


def _process(pid: int, memory_used: int | None, *, contained: bool) -> str:
    """Describes a process: `python (4711, 3.1 GiB)`; without its name in a container, where ids differ."""
    name = ("" if contained else read_file(Path(f"/proc/{pid}/comm")).strip()) or "process"
    return f"{name} ({pid}{f', {gib(memory_used)}' if memory_used else ''})"
