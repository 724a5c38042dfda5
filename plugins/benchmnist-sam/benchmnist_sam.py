"""Sharpness-aware minimisation (Foret et al. 2021) and ASAM (Kwon et al. 2021), for BenchMNIST.

A step takes two passes: the gradient at the weights says where within a radius `rho` the loss is highest; the
gradient there is what the base optimizer then steps by, from the weights as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmnist import OptimizerSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

BENCHMNIST_API = 1


class SAM(torch.optim.Optimizer):
    """Wraps an optimizer, whose parameter groups and state are its own.

    Args:
        base: Takes the step, with the gradient at the perturbed weights.
        model: Its batch normalisation does not see the perturbed weights' statistics.
        rho: The radius of the neighbourhood.
        adaptive: Measures it relative to the size of each weight (ASAM).
    """

    def __init__(self, base: torch.optim.Optimizer, model: nn.Module, rho: float, *, adaptive: bool) -> None:
        if rho <= 0:
            raise ValueError(f"rho={rho} is not greater than 0")
        self.base, self.rho, self.adaptive = base, rho, adaptive
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        self.normalisations = [m for m in model.modules() if isinstance(m, kinds)]
        super().__init__(base.param_groups, {})
        self.param_groups, self.state = base.param_groups, base.state  # so that a schedule reaches the base

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Makes two passes and one step. `closure` computes the loss and the gradients; returns the first loss."""
        with torch.enable_grad():
            loss = closure()
        trained = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        weights = [p.clone() for p in trained]
        for parameter, move in zip(trained, self._ascent(trained), strict=True):
            parameter.add_(move)
        momenta = [m.momentum for m in self.normalisations]
        for normalisation in self.normalisations:
            normalisation.momentum = 0.0
        with torch.enable_grad():
            closure()
        for normalisation, momentum in zip(self.normalisations, momenta, strict=True):
            normalisation.momentum = momentum
        for parameter, weight in zip(trained, weights, strict=True):
            parameter.copy_(weight)
        self.base.step()
        return loss

    def _ascent(self, trained: list[Tensor]) -> list[Tensor]:
        """Returns the move to where the loss rises most within the neighbourhood, to first order."""
        gradients = [p.grad for p in trained if p.grad is not None]
        if not self.adaptive:
            norm = torch.stack([g.norm() for g in gradients]).norm()
            return [g * (self.rho / (norm + 1e-12)) for g in gradients]
        scaled = [p.abs() * g for p, g in zip(trained, gradients, strict=True)]
        norm = torch.stack([s.norm() for s in scaled]).norm()
        return [p.abs() * s * (self.rho / (norm + 1e-12)) for p, s in zip(trained, scaled, strict=True)]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the base's state."""
        self.base.load_state_dict(state_dict)
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def state_dict(self) -> dict[str, Any]:
        """Returns the base's state: SAM has no state of its own."""
        return self.base.state_dict()


def sam_sgd(
    model: nn.Module,
    *,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    rho: float = 0.05,
    adaptive: bool = False,
) -> SAM:
    """SAM around SGD with momentum, as in the paper."""
    base = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )
    return SAM(base, model, rho, adaptive=adaptive)


def sam_adamw(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    rho: float = 0.05,
    adaptive: bool = False,
) -> SAM:
    """SAM around AdamW."""
    base = torch.optim.AdamW(model.parameters(), lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    return SAM(base, model, rho, adaptive=adaptive)


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Returns SAM around SGD and around AdamW, and ASAM."""
    asam = {"rho": 0.5, "adaptive": True}
    return [
        OptimizerSpec(name=name, summary=summary, build=build, defaults=defaults, needs_closure=True, passes=2)
        for name, summary, build, defaults in (
            ("sam", "SGD with momentum, sharpness-aware (Foret et al. 2021)", sam_sgd, {}),
            ("sam-adamw", "AdamW, sharpness-aware", sam_adamw, {}),
            ("asam", "SGD with momentum, adaptive sharpness-aware (Kwon et al. 2021)", sam_sgd, asam),
        )
    ]
