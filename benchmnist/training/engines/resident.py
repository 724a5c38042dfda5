"""The engine `resident`: the training set lies on the device as float32, and a batch is fetched by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.training.data import to_unit
from benchmnist.training.engines import step_by_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

    from benchmnist.specs import Dataset
    from benchmnist.training.trial import Trial


class ResidentEngine:
    """Decodes the images once, before the training."""

    name = "resident"
    untimed_seconds = 0.0

    def __init__(self, dataset: Dataset, device: torch.device, batch_size: int) -> None:
        self.images = to_unit(dataset.train_images, device)
        self.labels = dataset.train_labels.to(device)
        self.batch_size = batch_size

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine."""
        return step_by_step(trial, self._batches(order))

    def _batches(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in order.to(self.images.device).split(self.batch_size, dim=-1):
            yield self.fetch(chosen)

    def fetch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels of those indices, in the shape of the indices: [batch] or [seeds, batch]."""
        flat = chosen.flatten()
        images, labels = self.images.index_select(0, flat), self.labels.index_select(0, flat)
        return images.unflatten(0, chosen.shape), labels.unflatten(0, chosen.shape)
