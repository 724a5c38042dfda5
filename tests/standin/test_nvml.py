from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cuda_standin import standin

if TYPE_CHECKING:
    from pathlib import Path

    from cuda_standin import Machine


def test_nvml_knows_the_cards_and_makes_no_context(tmp_path: Path) -> None:
    before = sys.modules.get("pynvml")
    with standin(devices=2, exclusive=True, log=str(tmp_path / "log")) as machine:
        pynvml: Any = importlib.import_module("pynvml")

        with pytest.raises(pynvml.NVMLError):
            pynvml.nvmlDeviceGetCount()
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 2
        handle = pynvml.nvmlDeviceGetHandleByIndex(1)
        assert pynvml.nvmlDeviceGetName(handle) == machine.options.name
        assert pynvml.nvmlDeviceGetUUID(handle) == machine.uuid(1)
        assert pynvml.nvmlSystemGetDriverVersion() == machine.options.driver
        assert pynvml.nvmlDeviceGetMemoryInfo(handle).total == machine.options.memory
        assert pynvml.nvmlDeviceGetComputeMode(handle) == pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
        clocks = [
            ask(handle, pynvml.NVML_CLOCK_SM)
            for ask in (pynvml.nvmlDeviceGetClockInfo, pynvml.nvmlDeviceGetMaxClockInfo)
        ]
        assert clocks == [396, 1980]
        assert pynvml.nvmlDeviceGetCudaComputeCapability(handle) == (9, 0)
        assert pynvml.nvmlDeviceGetPciInfo(handle).busId == "00000000:02:00.0"
        assert pynvml.nvmlDeviceGetPowerUsage(handle) > 0
        assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) > 0
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(handle) == []
        assert not machine.initialised
        torch.cuda.set_device(1)
        assert [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)] == [os.getpid()]
        with pytest.raises(pynvml.NVMLError):
            pynvml.nvmlDeviceGetHandleByIndex(2)
        pynvml.nvmlShutdown()
    assert sys.modules.get("pynvml") is before


def test_versions_are_plausible(machine: Machine) -> None:
    assert torch.version.cuda == "13.0"
    assert torch.backends.cudnn.version() == 91300
    assert torch.cuda.get_device_capability() == (9, 0)
    assert "sm_90" in torch.cuda.get_arch_list()
    assert torch.cuda.get_device_name("cuda:1") == machine.options.name
    assert torch.cuda.get_device_properties(0).total_memory == machine.options.memory
    assert torch.backends.cuda.is_built()


def test_nothing_is_left_behind() -> None:
    def state() -> list[object]:
        return [
            torch.cuda.Stream,
            torch.cuda.CUDAGraph,
            torch.tensor,
            torch.Tensor.to,
            torch.Generator,
            torch.empty,
        ]

    before = state()
    with warnings.catch_warnings(), standin():
        assert state() != before
        torch.zeros(1, device="cuda")
    assert state() == before
    assert torch.zeros(2).to(torch.float64).device.type == "cpu"
    assert not hasattr(torch._C, "_cuda_getDeviceCount")
    assert torch.version.cuda is None
