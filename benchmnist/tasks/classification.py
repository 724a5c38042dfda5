"""The task `classification`: cross-entropy, tested by accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from benchmnist.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.extensions.specs import Dataset


class Classification:
    """Learn the class of each example from logits, [N, number of classes], and labels, int64 [N].

    Args:
        label_smoothing: The share of the training targets that is spread over all classes; testing has none of it.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def check(self, data: Dataset, name: str) -> None:
        """See Task.

        Raises:
            DataError: if the labels are not class indices, or all training labels are the same.
        """
        if not data.classes:
            raise DataError(f"{name} names no classes; set classes to their names")
        for part, images, labels in (
            ("train", data.train_images, data.train_labels),
            ("test", data.test_images, data.test_labels),
        ):
            if labels.shape != images.shape[:1] or labels.dtype != torch.int64 or not len(labels):
                raise DataError(
                    f"{name} has {part} labels {list(labels.shape)} of {labels.dtype}, "
                    f"not [{len(images)}] of int64"
                )
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= data.num_classes:
                raise DataError(
                    f"{name} has {part} labels from {low} to {high}, that are not 0 to {data.num_classes - 1}, "
                    f"as its {data.num_classes} classes are"
                )
            if part == "train" and low == high and data.num_classes > 1:
                raise DataError(f"{name} has only the label {low} in training, of {data.num_classes} classes")

    def output_shape(self, data: Dataset) -> tuple[int, ...]:
        """See Task."""
        return (data.num_classes,)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See Task."""
        return functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each of several batches, [stack], of logits [stack, N, classes] and labels [stack, N].

        As `loss` mapped over them, without the twenty operations that torch.func makes of a cross-entropy.
        """
        smoothing = self.label_smoothing
        each: Tensor = functional.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
        )
        return each.view(targets.shape).mean(dim=1)

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See Task."""
        return {
            "test_loss": functional.cross_entropy(outputs, targets, reduction="sum"),
            "test_accuracy": 100 * (outputs.argmax(dim=1) == targets).sum(),
        }
