"""The task `function`: minimise a function of the parameters of the model. There are no data, only noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.extensions.specs import Dataset

COORDINATES = ("x", "y")
"""Names of the columns after the first of the outputs of a tested model; they are stored with each test."""


class Function:
    """Minimise what the model returns: the parameters are the point, and the model is the function.

    In training, the model returns the value at its parameters, [N, 1], whose gradient the optimizer receives.
    An example is the noise of a step, [1, 1, width], which the model may read: the order of the noise is that of
    the examples, so it depends on the seed and is the same for every optimizer. In testing, the model returns
    the value without noise, less the minimum; two further columns, if any, are the coordinates of a point.
    """

    def check(self, data: Dataset, name: str) -> None:
        """See Task.

        Raises:
            DataError: if the labels are not float32 zeros [N]: a function has none.
        """
        for part, labels in (("train", data.train_labels), ("test", data.test_labels)):
            if labels.ndim != 1 or labels.dtype != torch.float32 or labels.any():
                raise DataError(
                    f"{name} has {part} labels {list(labels.shape)} of {labels.dtype}; a function has no labels: "
                    "use the dataset noise, or return zeros [N] of torch.float32"
                )

    def output_shape(self, data: Dataset) -> tuple[int, ...]:  # noqa: ARG002 - a function has one value
        """See Task."""
        return (1,)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002 - they are zeros
        """See Task."""
        return outputs[:, 0].mean()

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - they are zeros
        """See Task. Beside `test_loss` it has a figure for each coordinate that the model returns."""
        sums = outputs.sum(dim=0)
        return {"test_loss": sums[0], **dict(zip(COORDINATES, sums[1:], strict=False))}
