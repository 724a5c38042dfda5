"""The engine `dataloader`: a DataLoader over images that are decoded one by one, each epoch anew.

This is how the notebook does it, and most code: the reference that the other engines have to agree with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmnist.training.engines import Engine
from benchmnist.training.torchvision_repair import import_torchvision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.trial import Trial


class _Examples(TorchDataset[tuple["Tensor", "Tensor | int"]]):
    """Examples as torchvision's datasets give them: each image becomes a PIL image, then a tensor."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        import_torchvision()
        from torchvision.transforms import ToPILImage, ToTensor

        self.images, self.labels = images, labels
        self.are_classes = labels.ndim == 1 and labels.dtype == torch.int64
        self.to_image, self.to_tensor = ToPILImage(), ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | int]:
        image = self.images[index]
        if image.dtype == torch.uint8:
            image = self.to_tensor(self.to_image(image))
        label = self.labels[index]
        return image, int(label) if self.are_classes else label


class DataLoaderEngine(Engine):
    """Decodes every image in every epoch, in the training process."""

    name = "dataloader"
    untimed_seconds = 0.0
    untimed_steps = 0

    def __init__(self, dataset: Dataset, session: DeviceSession, batch_size: int) -> None:
        self.examples = _Examples(dataset.train_images, dataset.train_labels)
        self.device, self.batch_size = session.device, batch_size

    def move(self, order: Tensor) -> Tensor:
        """See Engine."""
        return order

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine."""
        return torch.stack([trial.step(*batch) for batch in self._batches(trial, order)], dim=-1)

    def _batches(self, trial: Trial, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        # A DataLoader draws a number from its generator; with one of its own it leaves dropout's alone.
        loader = DataLoader(self.examples, self.batch_size, sampler=order.tolist(), generator=torch.Generator())
        for (images, labels), chosen in zip(loader, order.split(self.batch_size), strict=True):
            moved = images.to(self.device)
            if trial.augmentation is not None:
                moved = trial.augmented(moved, chosen.to(self.device))
            yield moved, labels.to(self.device)
