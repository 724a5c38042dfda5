from __future__ import annotations

import json

import pytest
import torch

from benchmnist.errors import DeviceError
from benchmnist.training.environment import environment, resolve_device


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(DeviceError, match=f"'{name}' is unavailable: torch .* sees no GPU; use --device cpu"):
        resolve_device(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(DeviceError, match="sees no GPU with CUDA_VISIBLE_DEVICES='7'; use"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "gpu", "meta"])
def test_a_device_that_is_none(name: str) -> None:
    with pytest.raises(DeviceError, match=r"[Cc]hoose from: auto, cpu, cuda, cuda:N, mps"):
        resolve_device(name)


def test_a_gpu_beyond_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("auto") == torch.device("cuda", 0)
    with pytest.raises(DeviceError, match="'cuda:2' is unavailable; use --device cuda:0 to cuda:1"):
        resolve_device("cuda:2")


def test_the_environment_is_strict_json_and_names_the_device() -> None:
    found = environment(torch.device("cpu"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["device"] == "cpu"
    assert found["torch"] == torch.__version__


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_environment_of_a_gpu() -> None:
    found = environment(torch.device("cuda", 0))
    assert found["device_name"] == torch.cuda.get_device_name(0)
    assert found["cuda"]
