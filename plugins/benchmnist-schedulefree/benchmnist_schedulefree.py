"""Meta's schedule-free optimizers (Defazio et al. 2024, The Road Less Scheduled), for BenchMNIST.

They average the weights as they go, and need no schedule. The weights that are tested are others than those that
are trained: `train()` and `eval()` switch between them, and BenchMNIST calls both.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import schedulefree

from benchmnist import OptimizerSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from torch.optim import Optimizer

BENCHMNIST_API = 1

CLASSES = {
    "sgd-schedulefree": schedulefree.SGDScheduleFree,
    "adamw-schedulefree": schedulefree.AdamWScheduleFree,
    "radam-schedulefree": schedulefree.RAdamScheduleFree,
}


def _builder(optimizer: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """Returns `build` for a class, with that class's own parameters by name."""

    def build(model: nn.Module, **params: Any) -> Optimizer:
        return optimizer(model.parameters(), **params)

    _, *own = inspect.signature(optimizer).parameters.values()
    model = inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [model, *(p.replace(kind=p.KEYWORD_ONLY) for p in own)]
    )
    return build


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Returns a spec for each class of the package that is an optimizer of its own."""
    return [
        OptimizerSpec(
            name=name, summary=f"schedulefree.{optimizer.__name__}", build=_builder(optimizer), has_modes=True
        )
        for name, optimizer in CLASSES.items()
    ]
