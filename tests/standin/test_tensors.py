from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cuda_standin import CudaTensor
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.usefixtures("machine")


def test_tensors_are_on_a_card_for_python_and_have_real_values() -> None:
    for made in (
        torch.zeros(3, device="cuda"),
        torch.zeros(3).cuda(),
        torch.zeros(3).to("cuda"),
        torch.zeros(3).to(torch.randn(2, device="cuda")),
        torch.tensor([0.0, 0.0, 0.0], device="cuda:0"),
        torch.arange(3.0, device="cuda") * 0,
        torch.randperm(3, device="cuda").float() * 0,
        torch.zeros(3).to(torch.float64).to("cuda", torch.float32),
    ):
        assert type(made) is CudaTensor
        assert made.device == torch.device("cuda:0")
        assert made.is_cuda
        assert made.get_device() == 0
        assert made.cpu().is_cpu
        assert made.tolist() == [0.0, 0.0, 0.0]
    assert torch.zeros(3, device="cuda:1").device.index == 1
    with torch.cuda.device(1):
        assert torch.zeros(3, device="cuda").device.index == 1
    assert repr(torch.zeros(2, device="cuda")) == "tensor([0., 0.], device='cuda:0')"
    assert torch.zeros(3).device.type == "cpu"


def test_tensors_of_several_devices_do_not_mix() -> None:
    here = torch.ones(3, device="cuda")
    assert (here * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]
    for other in (torch.ones(3), torch.ones(3, device="cuda:1")):
        with pytest.raises(
            RuntimeError, match="Expected all tensors to be on the same device, but found at least two"
        ):
            here + other
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        here.numpy()


def test_a_module_is_moved_as_it_is_with_cuda() -> None:
    net = nn.Linear(3, 2)
    weight = net.weight
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.to("cuda")
    assert net.weight is weight
    assert isinstance(weight, nn.Parameter)
    assert weight.device.type == "cuda"
    net(torch.ones(1, 3, device="cuda")).sum().backward()
    assert weight.grad is not None
    assert weight.grad.device.type == "cuda"
    optimizer.step()
    copied = copy.deepcopy(net)
    assert copied.weight.device.type == "cuda"
    assert torch.equal(copied.weight, net.weight)
    net.cpu()
    assert type(net.weight) is nn.Parameter
    assert weight.device.type == "cpu"


def test_a_default_device() -> None:
    torch.set_default_device("cuda:1")
    try:
        for made in (torch.zeros(1), torch.tensor([1.0]), torch.randn(1)):
            assert made.device == torch.device("cuda:1")
    finally:
        torch.set_default_device(None)
    assert torch.tensor([1.0]).device.type == "cpu"


def test_the_data_of_a_tensor_is_set() -> None:
    here = torch.zeros(3, device="cuda", requires_grad=True)
    here.data = torch.ones(3, device="cuda")
    here.data.add_(1)
    assert here.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(NotImplementedError, match="the stand-in cannot move"):
        torch.nn.Parameter(torch.zeros(3)).data = here


def test_tensors_are_saved_and_loaded() -> None:
    file = io.BytesIO()
    torch.save({"x": torch.arange(3, device="cuda:1")}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)["x"]
    assert loaded.device == torch.device("cuda:1")
    assert loaded.tolist() == [0, 1, 2]


def test_gradients_cross_devices() -> None:
    here = torch.ones(3, requires_grad=True)
    (here.cuda() * 2).cpu().sum().backward()
    assert here.grad is not None
    assert here.grad.device.type == "cpu"
    assert here.grad.tolist() == [2.0, 2.0, 2.0]


def test_vmap_goes_over_stacked_models() -> None:
    models = [nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).cuda() for _ in range(3)]
    parameters, buffers = stack_module_state([*models])
    shown = []

    def loss(weights: Any, state: Any, x: Tensor) -> Tensor:
        shown.append(x.device)
        result: Tensor = functional_call(models[0], (weights, state), (x,)).sum()
        return result

    x = torch.randn(3, 6, 5, device="cuda")
    each = vmap(loss)(parameters, buffers, x)
    each.sum().backward()
    assert shown == [torch.device("cuda:0")]
    assert each.device.type == "cuda"
    expected = [
        functional_call(model, dict(model.named_parameters()), (one,)).sum()
        for model, one in zip(models, x, strict=True)
    ]
    assert torch.allclose(each.cpu(), torch.stack(expected).cpu(), atol=1e-4)


def test_autocast_for_a_card_rounds_there() -> None:
    here = torch.ones(3, 3, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert (here @ here).dtype == torch.bfloat16
    assert (here @ here).dtype == torch.float32
    assert torch.cuda.is_bf16_supported()


def test_optimizers_take_the_path_that_they_take_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.optim import adam

    taken: list[str] = []

    def noted(name: str, original: Any) -> Any:
        def update(*args: Any, **kwargs: Any) -> None:
            taken.append(name)
            original(*args, **kwargs)

        return update

    for name in ("_single_tensor_adam", "_multi_tensor_adam", "_fused_adam"):
        monkeypatch.setattr(adam, name, noted(name, getattr(adam, name)))
    weight = nn.Parameter(torch.ones(3, device="cuda"))
    weight.grad = torch.ones(3, device="cuda")
    for told in ({}, {"fused": True}, {"foreach": False}):
        torch.optim.Adam([weight], **told).step()  # type: ignore[arg-type]
    assert taken == ["_multi_tensor_adam", "_fused_adam", "_single_tensor_adam"]
