"""A problem for tests: a parabola of the weights, of a task whose loss is the output of the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmnist.extensions.registry import Offer, Offers, Plugin, Registry, find_plugins
from benchmnist.extensions.specs import Dataset, DatasetSpec, ModelSpec, NamedSpec, ProblemSpec, TaskSpec
from benchmnist.metrics import find_metric

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = Plugin("bowls", "benchmnist-bowls", "1.0")


class Bowl(nn.Module):
    """The function sum of scale ** i * x_i ** 2 at its parameters, for each example."""

    scales: Tensor

    def __init__(self, scale: float = 10.0) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones(2))
        self.register_buffer("scales", torch.tensor([1.0, scale]))

    def forward(self, images: Tensor) -> Tensor:
        return (self.scales * self.x**2).sum().expand(len(images), 1)


def bowl(*, input_shape: object, num_classes: int, scale: float = 10.0) -> nn.Module:  # noqa: ARG001 - it has no input
    return Bowl(scale)


def no_data(*, root: Path, size: int = 50) -> Dataset:  # noqa: ARG001 - it has no files
    images = torch.zeros(size, 1, 1, 1)
    return Dataset(images, torch.zeros(size), images[:2], torch.zeros(2))


class Value:
    """The task: the output is the loss."""

    def check(self, data: Dataset, name: str) -> None:
        """Accepts any data."""

    def output_shape(self, data: Dataset) -> tuple[int, ...]:  # noqa: ARG002
        return (1,)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        return outputs.mean()

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        return {"test_loss": outputs.sum()}


def problem(**changed: Any) -> ProblemSpec:
    given = {
        "name": "bowl",
        "summary": "a parabola",
        "model": "bowl",
        "dataset": "no-data",
        "settings": {"steps": 60, "batch_size": 1, "evaluate_every": 20, "target_loss": 0.01},
        "levels": {"easy": {"model.scale": 1.0}, "hard": {"model.scale": 1e4, "steps": 40}},
        "solved_by": {"optimizer": "sgd", "lr": 0.1},
    }
    return ProblemSpec(**{**given, **changed})


SPECS: dict[str, tuple[NamedSpec, ...]] = {
    "model": (ModelSpec(name="bowl", summary="", build=bowl),),
    "dataset": (DatasetSpec(name="no-data", summary="", build=no_data, task="value"),),
    "task": (TaskSpec(name="value", summary="", build=Value, metrics=(find_metric("test_loss"),), pure=True),),
    "problem": (problem(),),
}


def registry_with(**more: tuple[NamedSpec, ...]) -> Registry:
    """The installed plugins, and this one with these specs in place of its own."""
    found = find_plugins()
    kinds = dict(found.by_kind)
    for kind, specs in {**SPECS, **more}.items():
        offered = {spec.name: Offer(spec, PLUGIN) for spec in specs}
        kinds[kind] = Offers(kind, {**kinds[kind].by_name, **offered})
    return replace(found, by_kind=kinds, plugins=(*found.plugins, PLUGIN))
