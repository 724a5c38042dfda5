"""The engine `resident`: the training set lies on the device as float32, and a batch is fetched by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.training.clock import Clock
from benchmnist.training.engines import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.trial import Trial


class ResidentEngine(Engine):
    """Trains on images that were decoded once, before the training, and that every engine and case shares."""

    name = "resident"
    untimed_seconds = 0.0
    untimed_steps = 0

    def __init__(self, dataset: Dataset, session: DeviceSession, batch_size: int) -> None:
        self.images, self.labels = session.data(dataset).train
        self.session, self.batch_size = session, batch_size
        self.clock: Callable[[], float] = Clock(session.device)

    def move(self, order: Tensor) -> Tensor:
        """See Engine."""
        return order.to(self.session.device)

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine."""
        with trial.products():
            return torch.stack([trial.step(*batch) for batch in self._batches(trial, order)], dim=-1)

    def _batches(self, trial: Trial, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in order.split(self.batch_size, dim=-1):
            yield self.fetch(trial, chosen)

    def fetch(self, trial: Trial, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels of those indices, in the shape of the indices: [batch] or [seeds, batch].

        The images are augmented as the trial has them.
        """
        flat = chosen.flatten()
        images, labels = self.images.index_select(0, flat), self.labels.index_select(0, flat)
        return trial.augmented(images.unflatten(0, chosen.shape), chosen), labels.unflatten(0, chosen.shape)
