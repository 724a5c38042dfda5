"""Compares the gradients of a problem with finite differences of its loss, and those in float32 with float64."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from benchmnist.tasks import build_task
from benchmnist.training.data import to_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case

CPU = torch.device("cpu")
BATCH = 4
"""Examples whose gradients are compared."""
STEPS = (1e-5, 1e-6, 1e-7)
"""Lengths of the steps of finite differences, each along another direction: a kink of the loss may be within the
first, but hardly within the last."""
TOLERANCE = 1e-4
"""Difference that two derivatives may have, relative to their size."""
ROUNDED = 0.5
"""Difference that the gradients in float32 may have from those in float64, relative to their size."""
SEED = 0


class Objective:
    """The loss of a few examples as a function of the parameters of a model.

    What the model remembers from step to step is put back, and the random numbers are the same, each time.

    Args:
        case: The case, for its task.
        registry: The installed plugins.
        dataset: The examples.
        model: The model, on the CPU.
        dtype: The type of its numbers.
        training: Whether it is trained or tested.
    """

    def __init__(
        self,
        case: Case,
        registry: Registry,
        dataset: Dataset,
        model: nn.Module,
        *,
        dtype: torch.dtype = torch.float64,
        training: bool = False,
    ) -> None:
        self.model = model.to(dtype).train(training)
        self.images = to_unit(dataset.train_images[:BATCH], CPU).to(dtype)
        labels = dataset.train_labels[:BATCH]
        self.labels = labels.to(dtype) if labels.is_floating_point() else labels
        self.task = build_task(case, registry)

    def _fresh(self) -> nn.Module:
        """Returns a copy of the model, which may change what it remembers."""
        try:
            return copy.deepcopy(self.model)
        except RuntimeError:  # a tensor that has a history cannot be copied
            return self.model

    def value(self, model: nn.Module | None = None) -> Tensor:
        """Computes it, a scalar."""
        torch.manual_seed(SEED)
        return self.task.loss((self._fresh() if model is None else model)(self.images), self.labels)

    def gradients(self) -> tuple[float, dict[str, Tensor]]:
        """Computes the loss, and its gradient in each parameter by name."""
        model = self._fresh()
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        loss = self.value(model)
        found: tuple[Tensor | None, ...] = torch.autograd.grad(loss, [*trained.values()], allow_unused=True)
        return loss.item(), {
            name: torch.zeros_like(p) if g is None else g
            for (name, p), g in zip(trained.items(), found, strict=True)
        }

    @torch.no_grad()
    def slope(self, parameter: Tensor, direction: Tensor, length: float) -> float:
        """Returns the derivative along a direction in one parameter, by finite differences of that length."""
        kept, found = parameter.detach().clone(), []
        for sign in (1, -1):
            parameter.copy_(kept + sign * length * direction)
            found.append(self.value().item())
        parameter.copy_(kept)
        return (found[0] - found[1]) / (2 * length)


def wrong_gradient(objective: Objective) -> str:
    """Returns the parameter whose gradient is not that of finite differences, and how; empty if none is."""
    parameters = dict(objective.model.named_parameters())
    loss, gradients = objective.gradients()
    rounding = 100 * torch.finfo(torch.float64).eps * (1 + abs(loss))
    generator = torch.Generator().manual_seed(SEED)
    for name, gradient in gradients.items():
        apart = []
        for slope, ours, length in _slopes(objective, parameters[name], gradient, generator):
            if abs(slope - ours) <= TOLERANCE * max(abs(slope), abs(ours)) + rounding / length:
                break
            apart.append(
                f"{name} changes the loss by {slope:.6g} a step along a direction, its gradient says {ours:.6g}"
            )
        else:
            return apart[0]
    return ""


def _slopes(
    objective: Objective, parameter: Tensor, gradient: Tensor, generator: torch.Generator
) -> Iterator[tuple[float, float, float]]:
    """Yields the derivative along a direction by finite differences and by the gradient, and the length."""
    for length in STEPS:
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm()
        yield objective.slope(parameter, direction, length), (gradient * direction).sum().item(), length


def rounded_away(exact: Objective, rounded: Objective) -> float | None:
    """Returns the share of the whole gradient that float32 loses, 1 if it is 0; None if it is about right."""
    (_, in_64), (_, in_32) = exact.gradients(), rounded.gradients()
    right, found = (torch.cat([g.double().flatten() for g in each.values()]) for each in (in_64, in_32))
    size = right.norm().item()
    lost = (found - right).norm().item() / size if size else 0.0
    return None if lost <= ROUNDED else lost
