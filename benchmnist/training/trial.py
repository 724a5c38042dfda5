"""One model and its optimizer under one seed: how they are built, and one step."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from benchmnist.training.data import seed_for

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmnist.cases import Case
    from benchmnist.plugins import Registry
    from benchmnist.specs import Dataset, OptimizerSpec


class Trial:
    """A model in training, with its optimizer."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, spec: OptimizerSpec) -> None:
        self.model, self.optimizer, self.spec = model, optimizer, spec

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Forward, backward, update. Returns the loss before the update, a scalar on the device."""

        def loss_and_gradients() -> Tensor:
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(images), labels)
            loss.backward()
            return loss

        if self.spec.needs_closure:
            return torch.as_tensor(self.optimizer.step(loss_and_gradients)).detach()  # type: ignore[arg-type]
        loss = loss_and_gradients()
        self.optimizer.step()
        return loss.detach()

    def train(self) -> None:
        """Makes model and optimizer ready to be trained."""
        self.model.train()
        self._optimizer_mode("train")

    def eval(self) -> None:
        """Makes model and optimizer ready to be tested."""
        self.model.eval()
        self._optimizer_mode("eval")

    def _optimizer_mode(self, mode: str) -> None:
        if self.spec.has_modes:
            getattr(self.optimizer, mode)()


def build_model(case: Case, seed: int, registry: Registry, dataset: Dataset) -> nn.Module:
    """The model of a case on the CPU, with the initial weights of the seed, whatever the optimizer."""
    torch.manual_seed(seed_for("weights", seed))
    build = registry.models[case.model.use].spec.load()
    model: nn.Module = build(input_shape=dataset.input_shape, num_classes=dataset.num_classes, **case.model.params)
    return model


def build_optimizer(case: Case, registry: Registry, model: nn.Module, total_steps: int) -> torch.optim.Optimizer:
    """The optimizer of a case for a model that is on its device already."""
    build = registry.optimizers[case.optimizer.use].spec.load()
    told: dict[str, Any] = {}
    if "total_steps" in inspect.signature(build).parameters:
        told["total_steps"] = total_steps
    optimizer: torch.optim.Optimizer = build(model, **told, **case.optimizer.params)
    return optimizer


def build_trial(case: Case, seed: int, registry: Registry, dataset: Dataset, device: torch.device) -> Trial:
    """A new trial: the weights of the seed on the device, and a fresh optimizer."""
    model = build_model(case, seed, registry, dataset).to(device)
    total_steps = case.epochs * steps_per_epoch(case, dataset)
    optimizer = build_optimizer(case, registry, model, total_steps)
    return Trial(model, optimizer, registry.optimizers[case.optimizer.use].spec)


def steps_per_epoch(case: Case, dataset: Dataset) -> int:
    """Steps an epoch; the last takes what is left."""
    return -(-len(dataset.train_images) // case.batch_size)
