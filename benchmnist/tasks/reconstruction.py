"""The task `reconstruction`: return the image that was given, through a bottleneck."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from benchmnist.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.extensions.specs import Dataset


class Reconstruction:
    """Learn the pixels of each image, whatever its label, from a logit for each pixel, [N, pixels].

    The loss is that of Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006,
    and of Martens, Deep learning via Hessian-free optimization, 2010: the cross-entropy between pixels in [0, 1]
    and their probabilities, summed over the pixels of an image. Both report the squared error as well,
    `test_error`.
    """

    def check(self, data: Dataset, name: str) -> None:
        """See Task.

        Raises:
            DataError: if a pixel is not in [0, 1], so that it is no probability.
        """
        require_unit(data, name)

    def prepare(self, data: Dataset) -> Dataset:
        """See Task. The targets are the images themselves, in the same memory."""
        return replace(data, train_labels=data.train_images, test_labels=data.test_images)

    def output_shape(self, data: Dataset) -> tuple[int, ...]:
        """See Task."""
        return (data.train_images[0].numel(),)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See Task. `targets` are images, [N, C, H, W], float32 or still uint8."""
        return _cross_entropy(outputs, targets) / len(outputs)

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See Task."""
        return {
            "test_loss": _cross_entropy(outputs, targets),
            "test_error": (outputs.flatten(1).sigmoid() - _pixels(targets, outputs)).square().sum(),
        }


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over all pixels of all images."""
    return functional.binary_cross_entropy_with_logits(
        outputs.flatten(1), _pixels(targets, outputs), reduction="sum"
    )


def _pixels(images: Tensor, outputs: Tensor) -> Tensor:
    """Returns pixels in [0, 1], [N, pixels], as precise as the outputs, if float64."""
    flat = images.flatten(1).to(torch.promote_types(outputs.dtype, torch.float32))
    return flat / 255 if images.dtype == torch.uint8 else flat


def require_unit(data: Dataset, name: str) -> None:
    """Checks that float images have pixels in [0, 1].

    Raises:
        DataError: if they have others; the message begins with `name`.
    """
    for part, images in (("train", data.train_images), ("test", data.test_images)):
        if images.is_floating_point():
            low, high = float(images.min()), float(images.max())
            if low < 0 or high > 1:
                raise DataError(f"{name} has {part} images with pixels from {low:g} to {high:g}, not from 0 to 1")
