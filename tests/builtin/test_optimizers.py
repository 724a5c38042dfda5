from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn, optim
from training_support import component, losses, make_case, result_of

from benchmnist.builtin.optimizers import Together, muon
from benchmnist.extensions.registry import find_plugins

OPTIMIZERS = find_plugins().optimizers
CLASSES = {
    name.lower(): cls
    for name, cls in vars(optim).items()
    if inspect.isclass(cls) and issubclass(cls, optim.Optimizer) and cls is not optim.Optimizer
}


def test_every_optimizer_of_torch_that_trains_dense_parameters_is_offered() -> None:
    offered = {offer.spec.name for offer in OPTIMIZERS if offer.plugin.distribution == "benchmnist"}
    assert offered == {*CLASSES, "momentum", "nesterov"} - {"sparseadam"}


@pytest.mark.parametrize("name", sorted({*CLASSES} - {"sparseadam"}))
def test_parameters_and_defaults_are_torchs_own(name: str) -> None:
    _, *own = inspect.signature(CLASSES[name]).parameters.values()
    offered = inspect.signature(OPTIMIZERS[name].spec.load()).parameters
    assert next(iter(offered)) == "model"
    for parameter in own:
        assert offered[parameter.name].default == parameter.default
    ours = {"fused"} if name == "rmsprop" else set()
    assert {n for n in offered if not n.startswith("adamw_")} == {"model", *(p.name for p in own), *ours}


@pytest.mark.parametrize("name", sorted({offer.spec.name for offer in OPTIMIZERS}))
def test_every_optimizer_learns(name: str) -> None:
    spec = OPTIMIZERS[name].spec
    # Eight seeds of each lose between a fifth and all of it in three epochs, with deviations of up to 0.02.
    tenth, twentieth = dict.fromkeys(("lbfgs", "sgd", "asgd"), 0.1), ("adafactor", "momentum", "nesterov", "muon")
    lr = {"adadelta": 1.0, "rprop": 1e-3, **tenth, **dict.fromkeys(twentieth, 0.05)}.get(name, 1e-2)
    # LBFGS is made for one batch that stays the same.
    batch_size = 500 if spec.needs_closure else 50
    case = make_case(
        model=component("fc", hidden_size=64), optimizer=component(name, lr=lr), epochs=3, batch_size=batch_size
    )
    result = result_of(case)
    assert result.status == "completed", result.error
    first, *_, last = (epoch.train_loss for epoch in result.trials[0].epochs)
    assert last < 0.9 * first
    assert (spec.needs_closure, spec.has_modes) == (name == "lbfgs", False)


def test_momentum_is_sgd_with_momentum() -> None:
    named = result_of(make_case(optimizer=component("momentum", lr=0.01)))
    spelt = result_of(make_case(optimizer=component("sgd", lr=0.01, momentum=0.9)))
    assert losses(named) == losses(spelt)


def three_matrices() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 4))


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    model = three_matrices()
    optimizer = muon(model, lr=0.02, adamw_lr=0.003)
    assert isinstance(optimizer, Together)
    hidden, rest = optimizer.param_groups
    assert [p.shape for p in hidden["params"]] == [(6, 8), (5, 6)]
    assert len(rest["params"]) == 6  # the convolution, four biases but one, the classifier and its bias
    assert (hidden["lr"], rest["lr"]) == (0.02, 0.003)


def test_muon_refuses_a_model_without_a_hidden_matrix() -> None:
    with pytest.raises(ValueError, match="muon wants a model with a matrix before its classifier"):
        muon(nn.Linear(3, 2))


def train(model: nn.Module, optimizer: optim.Optimizer, steps: int, seed: int) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.rand(3, 1, 4, 4)).square().sum().backward()
        optimizer.step()


def test_a_restored_muon_goes_on_as_if_it_had_not_stopped() -> None:
    torch.manual_seed(0)
    model = three_matrices()
    optimizer = muon(model)
    train(model, optimizer, 3, seed=1)
    copy = three_matrices()
    copy.load_state_dict(model.state_dict())
    restored = muon(copy)
    restored.load_state_dict(deepcopy(optimizer.state_dict()))  # torch shares the tensors otherwise
    train(model, optimizer, 3, seed=2)
    train(copy, restored, 3, seed=2)
    assert all(a.equal(b) for a, b in zip(model.parameters(), copy.parameters(), strict=True))


def test_a_schedule_reaches_every_part_of_muon() -> None:
    model = three_matrices()
    optimizer = muon(model, lr=0.02, adamw_lr=0.004)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.clone() for p in model.parameters()]
    train(model, optimizer, 2, seed=1)
    assert all(a.equal(b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("params", [{}, {"alpha": 0.9, "eps": 1e-5, "weight_decay": 0.1}, {"maximize": True}])
def test_fused_rmsprop_makes_the_updates_of_torchs(params: dict[str, Any]) -> None:
    build = OPTIMIZERS["rmsprop"].spec.load()
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 2))
    fused = deepcopy(plain)
    optimizers = [torch.optim.RMSprop(plain.parameters(), lr=1e-2, **params), build(fused, fused=True, **params)]
    assert isinstance(optimizers[1], torch.optim.Adam)
    for _ in range(300):
        x = torch.randn(16, 7)
        for model, optimizer in zip((plain, fused), optimizers, strict=True):
            optimizer.zero_grad()
            (model(x) - x[:, :2]).square().mean().backward()
            optimizer.step()
    for one, other in zip(plain.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("params", [{"momentum": 0.9}, {"centered": True}, {"foreach": True}])
def test_rmsprop_is_torchs_where_it_cannot_be_fused(params: dict[str, Any]) -> None:
    made = OPTIMIZERS["rmsprop"].spec.load()(nn.Linear(2, 2), fused=True, **params)
    assert type(made) is torch.optim.RMSprop
    assert made.defaults[next(iter(params))] == next(iter(params.values()))
