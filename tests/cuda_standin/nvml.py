"""In place of `pynvml`: what NVML says of the imitated cards. It makes no context."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from cuda_standin.machine import alive
from cuda_standin.parts import CONTEXT

if TYPE_CHECKING:
    from cuda_standin.machine import Machine

CLOCKS = {0: 1980, 1: 1980, 2: 2619, 3: 1755}
"""MHz: graphics, SM, memory, video."""


class NVMLError(Exception):
    """As pynvml's; `value` is NVML's number of the error."""

    def __init__(self, value: int = 999) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return {1: "Uninitialized", 2: "Invalid Argument"}.get(self.value, "Unknown Error")


class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801, N818 - its name in pynvml
    """The driver is not loaded; never raised here."""


def module(machine: Machine) -> Any:
    """A module `pynvml` for a machine."""
    options, made = machine.options, ModuleType("pynvml")
    open_handles = [0]

    def device(index: int) -> int:
        if not open_handles[0]:
            raise NVMLError(1)
        if not 0 <= index < options.devices:
            raise NVMLError(2)
        return index

    def start(count: int) -> None:
        open_handles[0] += count

    def processes(handle: int) -> list[SimpleNamespace]:
        log = Path(options.log) if options.log else None
        lines = log.read_text("utf-8").splitlines() if log is not None and log.exists() else []
        found = {entry["pid"] for entry in map(json.loads, lines) if entry["card"] == device(handle)}
        return [SimpleNamespace(pid=pid, usedGpuMemory=CONTEXT) for pid in sorted(found) if alive(pid)]

    def memory(handle: int) -> SimpleNamespace:
        ours = [card for card in machine.cards if card.physical == device(handle) and card.context]
        used = sum(CONTEXT + card.reserved for card in ours)
        return SimpleNamespace(total=options.memory, used=used, free=options.memory - used)

    def calm(value: Any) -> Any:
        return lambda handle, *_: (device(handle), value)[1]

    functions: dict[str, Any] = {
        "nvmlInit": lambda: start(1),
        "nvmlShutdown": lambda: start(-1) if open_handles[0] else device(-1),
        "nvmlDeviceGetCount": lambda: (device(0), options.devices)[1],
        "nvmlDeviceGetHandleByIndex": device,
        "nvmlDeviceGetHandleByUUID": lambda uuid: (
            next((device(i) for i in range(options.devices) if machine.uuid(i) == uuid), None)
            if uuid
            else device(-1)
        ),
        "nvmlDeviceGetIndex": device,
        "nvmlDeviceGetName": calm(options.name),
        "nvmlDeviceGetUUID": lambda handle: machine.uuid(device(handle)),
        "nvmlSystemGetDriverVersion": lambda: (device(0), options.driver)[1],
        "nvmlSystemGetCudaDriverVersion": lambda: 13000,
        "nvmlDeviceGetMemoryInfo": memory,
        "nvmlDeviceGetComputeMode": calm(3 if options.exclusive else 0),
        "nvmlDeviceGetClockInfo": lambda handle, kind: (device(handle), CLOCKS[kind] // 5)[1],  # it idles
        "nvmlDeviceGetMaxClockInfo": lambda handle, kind: (device(handle), CLOCKS[kind])[1],
        "nvmlDeviceGetApplicationsClock": lambda handle, kind: (device(handle), CLOCKS[kind])[1],
        "nvmlDeviceGetComputeRunningProcesses": processes,
        "nvmlDeviceGetPciInfo": lambda handle: SimpleNamespace(
            busId=f"00000000:{device(handle) + 1:02X}:00.0", domain=0, bus=handle + 1, device=0
        ),
        "nvmlDeviceGetCudaComputeCapability": calm(tuple(options.capability)),
        "nvmlDeviceGetPowerUsage": calm(70_000),
        "nvmlDeviceGetEnforcedPowerLimit": calm(700_000),
        "nvmlDeviceGetTemperature": calm(35),
        "nvmlDeviceGetUtilizationRates": calm(SimpleNamespace(gpu=0, memory=0)),
        "nvmlDeviceGetPersistenceMode": calm(1),
        "nvmlDeviceGetMigMode": calm([0, 0]),
        "nvmlDeviceGetCurrentClocksThrottleReasons": calm(1),
        "NVMLError": NVMLError,
        "NVMLError_DriverNotLoaded": NVMLError_DriverNotLoaded,
        "NVML_CLOCK_GRAPHICS": 0,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_COMPUTEMODE_DEFAULT": 0,
        "NVML_COMPUTEMODE_EXCLUSIVE_THREAD": 1,
        "NVML_COMPUTEMODE_PROHIBITED": 2,
        "NVML_COMPUTEMODE_EXCLUSIVE_PROCESS": 3,
    }
    vars(made).update(functions)
    return made
