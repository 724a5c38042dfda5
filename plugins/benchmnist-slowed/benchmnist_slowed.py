"""An Adam that takes `factor` times as long for a step: to see whether a throughput gate trips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from benchmnist import OptimizerSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn


class SlowedAdam(torch.optim.Adam):
    """Computes what Adam computes, then keeps the processor busy in proportion to what the whole step took."""

    def __init__(self, params: Any, *, factor: float, **options: Any) -> None:
        if factor < 1:
            raise ValueError(f"factor={factor} is below 1, which would be faster")
        super().__init__(params, **options)
        self.factor = factor
        self.step_began: float | None = None

    def step(self, closure: Any = None) -> Any:
        """Makes one step of Adam, and waits."""
        loss = super().step(closure)
        if self.step_began is not None:
            took = time.perf_counter() - self.step_began
            until = time.perf_counter() + (self.factor - 1) * took
            while time.perf_counter() < until:
                pass
        self.step_began = time.perf_counter()
        return loss

    def train(self) -> None:
        """Begins an epoch: what happened before it, such as testing, is not part of its first step."""
        self.step_began = None

    def eval(self) -> None:
        """Ends an epoch."""


def build(model: nn.Module, *, factor: float = 1.3, **options: Any) -> SlowedAdam:
    """Builds a slowed Adam for a model; `options` are Adam's."""
    return SlowedAdam(model.parameters(), factor=factor, **options)


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Returns the optimizer."""
    return [OptimizerSpec(name="slowed", summary="Adam, slowed down by a factor", build=build, has_modes=True)]
