"""Describes NVIDIA GPUs with NVML, the library of their driver: no torch, and no CUDA context.

A CUDA context costs hundreds of megabytes and locks a card in EXCLUSIVE_PROCESS mode, so a process that does not
train must not make one. NVML needs none. Everything that asks NVML is in this module.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmnist.errors import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Ask = Callable[..., Any]

PATIENCE = 20.0
"""Seconds to wait for the driver: without persistence mode it takes seconds to wake up, a broken one for ever."""

_SM, _OF_THE_CHIP = 1, 0  # NVML's numbers for the clock of the multiprocessors, and the sensor of the chip
_COMPUTE_MODES = ("DEFAULT", "EXCLUSIVE_THREAD", "PROHIBITED", "EXCLUSIVE_PROCESS")
_SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}
"""Reasons for low clocks that a user must know, by NVML's bit; an idle GPU or a power cap is none of them."""


@dataclass(frozen=True)
class Process:
    """A process that computes on a card; `memory` in bytes, None where the driver does not tell."""

    pid: int
    memory: int | None


@dataclass(frozen=True)
class Gpu:
    """A card, or a MIG part of one; None where the driver does not tell.

    Attributes:
        index: N in CUDA's `cuda:N`, where all cards are alike; CUDA may number different cards by their speed.
        uuid: `GPU-8932f937-…`; of a MIG part `MIG-…`.
        name: `NVIDIA H100 80GB HBM3`; empty of a card that is there and does not answer.
        driver: Version of the driver, `580.65.06`.
        cuda: Newest CUDA that the driver can run, `13.0`.
        capability: (major, minor) compute capability.
        memory_total: Bytes.
        compute_mode: `DEFAULT`, `EXCLUSIVE_PROCESS` or `PROHIBITED`; empty where the driver does not tell.
        mig: Whether the card is divided into MIG parts.
        max_clock: Highest clock of the multiprocessors, MHz.
        power_limit: Watts.
        clock: Clock now, MHz. This and what follows is of the moment when it was read.
        memory_used: Bytes, by all processes together.
        temperature: Degrees Celsius.
        power: Watts.
        slowed: Reasons why the card is slower than it could be.
        processes: The processes that compute on it.
    """

    index: int
    uuid: str
    name: str
    driver: str = ""
    cuda: str = ""
    capability: tuple[int, int] | None = None
    memory_total: int | None = None
    compute_mode: str = ""
    mig: bool = False
    max_clock: int | None = None
    power_limit: float | None = None
    clock: int | None = None
    memory_used: int | None = None
    temperature: int | None = None
    power: float | None = None
    slowed: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Answer of NVML.

    Attributes:
        gpus: The GPUs.
        problem: Reason for the lack of GPUs, in NVML's words; empty if NVML answered.
    """

    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


def gpus(*, fresh: bool = False) -> tuple[Gpu, ...]:
    """Returns the GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order; none if NVML does not answer.

    Never raises. NVML is asked once a process; again with `fresh`, for the clocks and the memory of this moment.
    """
    if fresh:
        read_gpus.cache_clear()
    return read_gpus(os.environ.get("CUDA_VISIBLE_DEVICES")).gpus


def multi_process_service(environment: Mapping[str, str]) -> bool:
    """Tells whether NVIDIA's MPS is running, with which several processes compute on a GPU at the same time."""
    return Path(environment.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control").exists()  # noqa: S108


@functools.cache
def read_gpus(visible: str | None) -> Reading:
    """Reads like `gpus`, for another value of CUDA_VISIBLE_DEVICES; None means every GPU of this machine."""
    found = [Reading(problem=f"the driver did not answer within {PATIENCE:.0f} s")]

    def read() -> None:
        try:
            found.append(_read(visible))
        except Exception as error:  # noqa: BLE001 - an answer that nobody has foreseen
            found.append(Reading(problem=f"the driver's answer cannot be read: {first_line(error)}"))

    # Within a driver that hangs no call can be interrupted; a daemon thread can be left behind.
    thread = threading.Thread(target=read, daemon=True, name="nvml")
    thread.start()
    thread.join(PATIENCE)
    return found[-1]


def _read(visible: str | None) -> Reading:
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - without the package, the library or the driver there are no cards
        return Reading(problem=str(error) or type(error).__name__)
    ask = functools.partial(_ask, pynvml)
    try:
        chosen = _visible(visible, [*_handles(ask)])
        return Reading(tuple(_gpu(ask, index, uuid, handle) for index, (uuid, handle) in enumerate(chosen)))
    finally:
        ask("nvmlShutdown")


def _handles(ask: Ask) -> Iterator[tuple[str, Any]]:
    """Yields the uuid and the handle of each GPU, and after each GPU those of its MIG parts."""
    for index in range(ask("nvmlDeviceGetCount") or 0):
        card = ask("nvmlDeviceGetHandleByIndex", index)
        yield _text(ask("nvmlDeviceGetUUID", card)), card
        for part in range(ask("nvmlDeviceGetMaxMigDeviceCount", card) or 0):
            handle = ask("nvmlDeviceGetMigDeviceHandleByIndex", card, part)
            if handle is not None:
                yield _text(ask("nvmlDeviceGetUUID", handle)), handle


def _visible(variable: str | None, handles: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Returns the handles that CUDA_VISIBLE_DEVICES names.

    This follows the rules of CUDA: entries are numbers or beginnings of uuids; entries after an invalid one are
    ignored, and a duplicate entry hides everything.
    """
    cards = [(uuid, handle) for uuid, handle in handles if not uuid.startswith("MIG-")]
    if variable is None:
        return cards
    chosen: list[tuple[str, Any]] = []
    for entry in map(str.strip, variable.split(",")):
        if number := re.match(r"\+?(\d+)", entry):
            named = cards[int(number[1]) :][:1]
        else:
            named = [each for each in handles if entry.startswith(("GPU-", "MIG-")) and each[0].startswith(entry)]
        if len(named) != 1:
            break
        if named[0] in chosen:
            return []
        chosen += named
    return chosen


def _gpu(ask: Ask, index: int, uuid: str, handle: Any) -> Gpu:
    part = uuid.startswith("MIG-")
    card = (ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle) if part else None) or handle
    memory = ask("nvmlDeviceGetMemoryInfo", handle)
    capability = ask("nvmlDeviceGetCudaComputeCapability", card)
    mode = ask("nvmlDeviceGetComputeMode", card)
    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")
    slowed = ask("nvmlDeviceGetCurrentClocksEventReasons", card) or 0
    return Gpu(
        index=index,
        uuid=uuid,
        name=_text(ask("nvmlDeviceGetName", handle)),
        driver=_text(ask("nvmlSystemGetDriverVersion")),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        capability=(capability[0], capability[1]) if capability else None,
        memory_total=getattr(memory, "total", None),
        compute_mode=_COMPUTE_MODES[mode] if mode in range(len(_COMPUTE_MODES)) else "",
        mig=part or bool((ask("nvmlDeviceGetMigMode", card) or (0,))[0]),
        max_clock=ask("nvmlDeviceGetMaxClockInfo", card, _SM),
        power_limit=_watts(ask("nvmlDeviceGetEnforcedPowerLimit", card)),
        clock=ask("nvmlDeviceGetClockInfo", card, _SM),
        memory_used=getattr(memory, "used", None),
        temperature=ask("nvmlDeviceGetTemperature", card, _OF_THE_CHIP),
        power=_watts(ask("nvmlDeviceGetPowerUsage", card)),
        slowed=tuple(reason for bit, reason in _SLOWDOWNS.items() if slowed & bit),
        processes=tuple(
            Process(each.pid, each.usedGpuMemory)
            for each in ask("nvmlDeviceGetComputeRunningProcesses", handle) or ()
        ),
    )


def _ask(nvml: Any, name: str, *arguments: Any) -> Any:
    """Calls a function of NVML; returns None if this package, driver or GPU does not support it."""
    try:
        return getattr(nvml, name)(*arguments)
    except Exception:  # noqa: BLE001 - NVMLError is in a module that may be missing
        return None


def _text(answer: Any) -> str:
    """Decodes an answer, which is bytes in old versions of the package."""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer or "")


def _watts(milliwatts: Any) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
