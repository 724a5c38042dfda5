"""What is said of NVIDIA's cards, with a made-up NVML in the place of pynvml."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmnist.training import gpus as module
from benchmnist.training.gpus import Process, gpus, read_gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIB = 2**30
CARDS = ("GPU-aa11", "GPU-ab22", "GPU-bb33")
PARTS = ("MIG-0a", "MIG-0b")  # of the second card


class MadeUpNvml(SimpleNamespace):
    """Three cards, the second divided into two MIG parts; counts how often it was asked."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__(opened=0, closed=0, mode=0, used=GIB)

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own name
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.closed += 1

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetCount": lambda: len(CARDS),
            "nvmlDeviceGetHandleByIndex": lambda index: CARDS[index],
            "nvmlDeviceGetUUID": lambda handle: handle.encode(),
            "nvmlDeviceGetName": lambda handle: f"card {handle}",
            "nvmlDeviceGetMaxMigDeviceCount": lambda handle: 7 if handle == CARDS[1] else 0,
            "nvmlDeviceGetMigDeviceHandleByIndex": lambda _, index: PARTS[index],  # IndexError: an empty slot
            "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda _: CARDS[1],
            "nvmlDeviceGetMigMode": lambda handle: [int(handle == CARDS[1])] * 2,
            "nvmlSystemGetDriverVersion": lambda: "580.65.06",
            "nvmlSystemGetCudaDriverVersion_v2": lambda: 13010,
            "nvmlDeviceGetCudaComputeCapability": lambda _: [9, 0],
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=80 * GIB, used=self.used),
            "nvmlDeviceGetComputeMode": lambda _: self.mode,
            "nvmlDeviceGetClockInfo": lambda _, kind: (0, 345)[kind],
            "nvmlDeviceGetMaxClockInfo": lambda _, kind: (0, 1980)[kind],
            "nvmlDeviceGetCurrentClocksEventReasons": lambda _: 0x40 | 0x1,
            "nvmlDeviceGetPowerUsage": lambda _: 71500,
            "nvmlDeviceGetComputeRunningProcesses": lambda _: [SimpleNamespace(pid=7, usedGpuMemory=None)],
        }
        if name not in answers:
            raise AttributeError(name)
        return answers[name]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpNvml]:
    made_up = MadeUpNvml()
    monkeypatch.setitem(sys.modules, "pynvml", made_up)
    read_gpus.cache_clear()
    yield made_up
    read_gpus.cache_clear()


def test_a_card_is_described(nvml: MadeUpNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    first, second, third = gpus()
    assert [gpu.index for gpu in (first, second, third)] == [0, 1, 2]
    assert (first.uuid, first.name, first.driver, first.cuda) == ("GPU-aa11", "card GPU-aa11", "580.65.06", "13.1")
    assert (first.capability, first.memory_total, first.memory_used) == ((9, 0), 80 * GIB, GIB)
    assert (first.compute_mode, first.clock, first.max_clock, first.power) == ("DEFAULT", 345, 1980, 71.5)
    assert first.slowed == ("too hot (hardware)",)  # that it idles, 0x1, is no reason to worry
    assert first.processes == (Process(7, None),)
    assert (first.temperature, first.power_limit) == (None, None)  # this NVML does not know them
    assert (first.mig, second.mig) == (False, True)
    assert (nvml.opened, nvml.closed) == (1, 1)


def test_an_answer_that_nobody_has_foreseen_is_no_crash(nvml: MadeUpNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "nvmlDeviceGetName", lambda _: b"NVIDIA\xae")
    assert gpus(fresh=True)[0].name == "NVIDIA\N{REPLACEMENT CHARACTER}"
    monkeypatch.setattr(nvml, "nvmlDeviceGetCount", lambda: "three")
    assert gpus(fresh=True) == ()
    assert read_gpus(None).problem.startswith("the driver's answer cannot be read: ")


def test_nvml_is_asked_once_a_process_unless_it_is_to_be_fresh(nvml: MadeUpNvml) -> None:
    before = gpus()
    nvml.used, nvml.mode = 5 * GIB, 3
    assert gpus() is before
    assert nvml.opened == 1
    after = gpus(fresh=True)[0]
    assert (after.memory_used, after.compute_mode) == (5 * GIB, "EXCLUSIVE_PROCESS")


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        ("", []),
        ("-1", []),
        ("2,0", ["GPU-bb33", "GPU-aa11"]),
        ("1, 2", ["GPU-ab22", "GPU-bb33"]),
        ("0,9,1", ["GPU-aa11"]),  # what follows an invalid entry is ignored
        ("0,0", []),
        ("GPU-b", ["GPU-bb33"]),
        ("GPU-a", []),  # which?
        ("GPU-bb33,0", ["GPU-bb33", "GPU-aa11"]),
        ("MIG-0b", ["MIG-0b"]),
    ],
)
@pytest.mark.usefixtures("nvml")
def test_cuda_visible_devices_is_honoured(monkeypatch: pytest.MonkeyPatch, variable: str, seen: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert [gpu.uuid for gpu in gpus()] == seen
    assert len(read_gpus(None).gpus) == 3
    assert all(gpu.mig and gpu.driver and gpu.capability for gpu in gpus() if gpu.uuid.startswith("MIG-"))


def test_without_nvml_there_are_no_cards_and_a_reason(nvml: MadeUpNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    assert gpus(fresh=True) == ()
    assert "pynvml" in read_gpus(None).problem

    def no_driver() -> None:
        raise nvml.NVMLError("Driver Not Loaded")

    nvml.nvmlInit = no_driver  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpus(fresh=True) == ()
    assert read_gpus(None).problem == "Driver Not Loaded"


def test_a_driver_that_hangs_costs_a_moment_once(nvml: MadeUpNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    for_ever = threading.Event()
    nvml.nvmlInit = for_ever.wait  # type: ignore[method-assign, assignment]
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    try:
        assert gpus(fresh=True) == ()
        assert gpus() == ()
        assert "did not answer" in read_gpus(None).problem
    finally:
        for_ever.set()


def test_neither_torch_nor_pynvml_is_imported_before_anybody_asks() -> None:
    program = "import sys, benchmnist.training.gpus; assert not {'torch', 'pynvml'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", program], check=True)
