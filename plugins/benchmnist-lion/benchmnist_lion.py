"""Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, algorithm 2), for BenchMNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmnist import OptimizerSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMNIST_API = 1


class Lion(torch.optim.Optimizer):
    """Steps by the sign of a momentum: every weight moves by the learning rate, one way or the other.

    Args:
        params: Parameters, or groups of them.
        lr: The length of a step; the paper takes 3 to 10 times less than for Adam.
        betas: How much of the momentum is in what is stepped by, and how much of it is kept.
        weight_decay: Decoupled, as AdamW's; the paper takes 3 to 10 times more.
    """

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        if lr < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr={lr}, betas={betas} or weight_decay={weight_decay} is out of range")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes one step; returns what the closure returned, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                update = momentum.lerp(parameter.grad, 1 - beta1).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update.mul_(group["lr"]))
                momentum.lerp_(parameter.grad, 1 - beta2)
        return loss


def build(
    model: torch.nn.Module,
    *,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> Lion:
    """Lion for all parameters of a model."""
    return Lion(model.parameters(), lr, betas, weight_decay)


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Returns the optimizer."""
    return [
        OptimizerSpec(
            name="lion",
            summary="Lion: the sign of a momentum (Chen et al. 2023)",
            build=build,
            elementwise=True,
            capturable=True,
        )
    ]
