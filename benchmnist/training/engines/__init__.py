"""The engines: how the epochs of a trial are executed. One protocol; they never change what is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from benchmnist.specs import Dataset
    from benchmnist.training.trial import Trial


class Engine(Protocol):
    """Executes epochs.

    Attributes:
        name: What a suite calls it.
        fused: Whether it wants optimizers that make their updates by one kernel, where they can.
    """

    name: str
    fused: bool

    def __init__(self, dataset: Dataset, device: torch.device, batch_size: int) -> None:
        """Makes ready what does not depend on a trial; off the clock."""

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """Trains on every example once, in that order. Returns the loss of each step, [steps], on the device.

        This is what is timed: no more than it needs, and no waiting for the device.
        """
        ...


def step_by_step(trial: Trial, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The plain way to train on batches that are on the device: one step after the other."""
    return torch.stack([trial.step(images, labels) for images, labels in batches])


def find_engine(name: str) -> type[Engine]:
    """The engine of that name; `auto` takes the fastest that does for everything.

    Raises:
        KeyError: if there is none.
    """
    from benchmnist.training.engines.dataloader import DataLoaderEngine
    from benchmnist.training.engines.resident import ResidentEngine

    engines: dict[str, type[Engine]] = {
        "auto": ResidentEngine,
        "resident": ResidentEngine,
        "dataloader": DataLoaderEngine,
    }
    return engines[name]
