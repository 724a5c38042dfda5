"""A plugin of models that misbehave on a device, with which the doctor tries the executors."""

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
"""Bytes to allocate on a GPU at a time until none are left; and more bytes than any machine has."""


class _Misbehaving(nn.Module):
    """One layer for images of 28x28, with an action before each forward pass."""

    def __init__(self, num_classes: int, before: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.linear = nn.Linear(28 * 28, num_classes)
        self.before = before

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, [N, num_classes], of images [N, 1, 28, 28]."""
        self.before(images)
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def synchronises(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Builds a model that waits for the device in every forward pass, which no graph can do."""

    def before(images: Tensor) -> None:
        images.sum().item()

    return _Misbehaving(num_classes, before)


def asserts(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Builds a model that reads beyond the end of a tensor; on a GPU, this later breaks CUDA for the process."""

    def before(images: Tensor) -> None:
        images.index_select(0, torch.full((1,), len(images) + 7, device=images.device))

    return _Misbehaving(num_classes, before)


def hoards(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Builds a model that allocates memory until none is left."""
    kept: list[Tensor] = []

    def before(images: Tensor) -> None:
        while True:
            size = CHUNK if images.device.type == "cuda" else TOO_MUCH
            kept.append(torch.empty(size, dtype=torch.uint8, device=images.device))

    return _Misbehaving(num_classes, before)


def avoids_cuda(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG001
    """Builds a model that raises if its process has started to use CUDA, or sees a GPU."""

    def before(_: Tensor) -> None:
        if torch.cuda.is_initialized() or torch.cuda.is_available():
            raise RuntimeError("a CPU worker sees a GPU")

    return _Misbehaving(num_classes, before)


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """Offers the models that synchronise, assert, hoard and look for CUDA."""
    return [
        ModelSpec(name=f"doctor-{name}", summary=build.__doc__ or "", build=build)
        for name, build in (
            ("synchronises", synchronises),
            ("asserts", asserts),
            ("hoards", hoards),
            ("avoids-cuda", avoids_cuda),
        )
    ]
