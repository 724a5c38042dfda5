"""The task `function`: a model that remembers earlier points is trained alike by every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from standin_support import standin
from training_support import component, losses, make_case, result_of

import benchmnist
from benchmnist.errors import DataError
from benchmnist.extensions.specs import Dataset
from benchmnist.tasks import Function

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUITE = """
[suite]
name = "late"

[defaults]
epochs = 2
batch_size = 4
seeds = [0, 1, 2]

[datasets.noise]
size = 30

[optimizers.momentum]
sweep.lr = [0.01, 0.03]

[[cases]]
dataset = "noise"
models = ["late"]
optimizers = ["momentum"]
"""

PLUGIN = '''
import torch
from torch import nn

from benchmnist import ModelSpec, hookimpl


class Late(nn.Module):
    """A function whose gradient is that at the point before."""

    def __init__(self, *, input_shape):
        super().__init__()
        self.x = nn.Parameter(torch.randn(2))
        self.register_buffer("before", self.x.detach().clone())

    def forward(self, examples):
        if not self.training:
            return torch.cat([self.x.square().sum().view(1), self.x]).expand(len(examples), 3)
        now = self.x.detach()
        late = self.x - now + self.before
        value = late.square().sum() + examples.flatten(1)[:, :1] * late[0]
        self.before.copy_(now)
        return value


@hookimpl
def benchmnist_models():
    return [ModelSpec(name="late", summary="a late gradient", build=Late, task="function")]
'''


def test_every_engine_trains_a_function_with_a_memory_alike(
    tmp_path: Path, write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin("late", PLUGIN)
    found = {}
    for engine in ("dataloader", "resident", "stacked"):
        run = benchmnist.run(
            write_suite(SUITE), device="cpu", executor="inline", engine=engine, out=tmp_path / engine
        )
        assert {result.engine for result in run.cases} == {engine}
        found[engine] = torch.tensor(
            [
                [epoch.train_loss, *(epoch.metrics[key] for key in ("test_loss", "x", "y"))]
                for result in run.cases
                for trial in result.trials
                for epoch in trial.epochs
            ]
        )
    plain = found["dataloader"]
    assert len({*plain[:, 1].tolist()}) == len(plain) == 12
    assert torch.allclose(plain[:, 1], plain[:, 2:].square().sum(dim=1), rtol=1e-5)
    for other in found.values():
        assert torch.allclose(plain, other, rtol=1e-4, atol=1e-6)


def test_a_function_has_no_labels() -> None:
    images, labels = torch.rand(3, 1, 1, 2), torch.zeros(3)
    Function().check(Dataset(images, labels, images, labels), "it")
    for wrong in (torch.ones(3), torch.zeros(3, dtype=torch.int64), torch.zeros(3, 1)):
        with pytest.raises(DataError, match="it has test labels"):
            Function().check(Dataset(images, labels, images, wrong), "it")


@pytest.mark.parametrize("engine", ["graph", "streams"])
def test_captured_steps_minimise_the_same(install_plugin: Callable[..., None], engine: str) -> None:
    install_plugin("late", PLUGIN)
    options = {"dataset": component("noise", size=30), "model": "late", "task": component("function")}
    options |= {"optimizer": component("momentum", lr=0.02), "seeds": (0, 1), "epochs": 3, "batch_size": 2}
    own = {"train_size": None, "test_size": None, "evaluate_every": 4}
    plain = result_of(make_case(**options, **own, engine="resident"))
    with standin() as machine:
        seen = result_of(make_case(**options, **own, engine=engine), "cuda:0")
        assert machine.hazards == []
    assert seen.engine == engine, seen.remarks
    assert losses(seen) == pytest.approx(losses(plain), rel=1e-3)
