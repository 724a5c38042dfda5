"""The dataset `noise`: an example for each step of the task `function`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.extensions.specs import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SEED = 21


def noise(*, root: Path, size: int = 20_000, width: int = 32) -> Dataset:  # noqa: ARG001 - it has no files
    """Makes examples of evenly distributed random numbers, always the same, and one to test on without any.

    Args:
        root: Folder for files; there are none.
        size: Number of training examples: with a batch size of 1, the steps before one comes again. All seeds draw
            from the same, each in an order of its own; so `size` must be large compared with the steps of a
            trial, or the noise of two seeds would be alike.
        width: Numbers in [0, 1) of an example, whose shape is [1, 1, width].

    Raises:
        ValueError: if a size is below 1.
    """
    if size < 1 or width < 1:
        raise ValueError(f"size and width must be at least 1, not {size} and {width}")
    generator = torch.Generator().manual_seed(SEED)
    return Dataset(
        train_images=torch.rand(size, 1, 1, width, generator=generator),
        train_labels=torch.zeros(size),
        test_images=torch.linspace(0, 1, width).view(1, 1, 1, width),
        test_labels=torch.zeros(1),
    )
