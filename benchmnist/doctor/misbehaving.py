"""A plugin of models that misbehave on a device: what the doctor lets the executors survive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from benchmnist.extensions.hookspecs import hookimpl
from benchmnist.extensions.specs import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CHUNK, TOO_MUCH = 2**28, 2**58
"""Bytes: what is taken of a GPU at a time until there is no more; and more than any machine has."""


class _Misbehaving(nn.Module):
    """One layer for digits of 28x28, and what happens before each forward pass."""

    def __init__(self, num_classes: int, before: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.linear = nn.Linear(28 * 28, num_classes)
        self.before = before

    def forward(self, images: Tensor) -> Tensor:
        """Logits, [N, num_classes], of images [N, 1, 28, 28]."""
        self.before(images)
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def synchronises(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Waits for the device in every forward pass, which no graph can do."""

    def before(images: Tensor) -> None:
        images.sum().item()

    return _Misbehaving(num_classes, before)


def asserts(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Reads beyond the end of a tensor; on a GPU that is noticed later, and is the end of the process's CUDA."""

    def before(images: Tensor) -> None:
        images.index_select(0, torch.full((1,), len(images) + 7, device=images.device))

    return _Misbehaving(num_classes, before)


def hoards(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Takes memory until there is no more."""
    kept: list[Tensor] = []

    def before(images: Tensor) -> None:
        while True:
            size = CHUNK if images.device.type == "cuda" else TOO_MUCH
            kept.append(torch.empty(size, dtype=torch.uint8, device=images.device))

    return _Misbehaving(num_classes, before)


def avoids_cuda(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Raises where its process has begun to use CUDA, or sees a GPU."""

    def before(_: Tensor) -> None:
        if torch.cuda.is_initialized() or torch.cuda.is_available():
            raise RuntimeError("a CPU worker sees a GPU")

    return _Misbehaving(num_classes, before)


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """They synchronise, assert, hoard and look for CUDA."""
    return [
        ModelSpec(name=f"doctor-{name}", summary=build.__doc__ or "", build=build)
        for name, build in (
            ("synchronises", synchronises),
            ("asserts", asserts),
            ("hoards", hoards),
            ("avoids-cuda", avoids_cuda),
        )
    ]
