"""The task `next-token`: read an image pixel by pixel, and predict each pixel from those before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from benchmnist.errors import DataError, TrialError
from benchmnist.tasks.reconstruction import require_unit

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.extensions.specs import Dataset

MAX_LEVELS = 256
"""The levels of grey that a byte can have."""


class NextToken:
    """Learn the level of each pixel from logits, [N, length, levels], and levels, uint8 [N, length].

    An image becomes a text: its channels and squares of `pool` x `pool` pixels are averaged, the averages are
    rounded down to `levels` of grey, and what is left is read row by row. A model sees these pixels, [N, 1, H, W],
    and must compute the logits of a pixel from the pixels before it; no task can test that. Pixels as a sequence:
    van den Oord, Kalchbrenner, Kavukcuoglu, Pixel recurrent neural networks, 2016; few levels, so that a small
    model learns them: Chen et al., Generative pretraining from pixels, 2020.

    Args:
        pool: The side of the squares that are averaged, in pixels.
        levels: The number of levels of grey.

    Raises:
        ValueError: if there is no such square, or there are no such levels.
    """

    def __init__(self, pool: int = 4, levels: int = 4) -> None:
        if pool < 1:
            raise ValueError(f"pool={pool} is not a number of pixels, 1 or more")
        if not 1 < levels <= MAX_LEVELS:
            raise ValueError(f"levels={levels} is not a number of levels of grey, 2 to {MAX_LEVELS}")
        self.pool, self.levels = pool, levels

    def check(self, data: Dataset, name: str) -> None:
        """See Task.

        Raises:
            DataError: if a pixel is not in [0, 1], or the squares do not cover the images.
        """
        require_unit(data, name)
        _, height, width = data.input_shape
        if height % self.pool or width % self.pool:
            raise DataError(
                f"{name} has images of {height}×{width} pixels, which pool = {self.pool} does not divide; "
                "set pool to a divisor of both"
            )

    def prepare(self, data: Dataset) -> Dataset:
        """See Task. The images get the same few levels of grey as the tokens."""
        train, test = (self._tokens(images) for images in (data.train_images, data.test_images))
        return replace(
            data,
            train_images=self._shown(train),
            train_labels=train.flatten(1),
            test_images=self._shown(test),
            test_labels=test.flatten(1),
        )

    def _tokens(self, images: Tensor) -> Tensor:
        """The levels of images [N, C, H, W]: uint8 [N, H / pool, W / pool]."""
        squares = images.unflatten(3, (-1, self.pool)).unflatten(2, (-1, self.pool))  # [N, C, H, pool, W, pool]
        if images.dtype == torch.uint8:
            area = images.shape[1] * self.pool**2  # in whole numbers, which no processor rounds otherwise
            levels: Tensor = squares.sum((1, 3, 5), dtype=torch.int32).mul(self.levels) // (256 * area)
        else:
            levels = squares.mean((1, 3, 5)).mul(self.levels).clamp(max=self.levels - 1)
        return levels.to(torch.uint8)

    def _shown(self, tokens: Tensor) -> Tensor:
        """The images that a model sees, uint8 [N, 1, H, W]: from black to white in equal steps."""
        return (tokens.float() * (255 / (self.levels - 1))).round().to(torch.uint8).unsqueeze(1)

    def output_shape(self, data: Dataset) -> tuple[int, ...]:
        """See Task."""
        return (data.train_labels.shape[1], self.levels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See Task. It is a mean over the pixels, too: nats per token."""
        return functional.cross_entropy(self._of_all(outputs), targets.flatten().long())

    def _of_all(self, outputs: Tensor) -> Tensor:
        """The logits of all pixels of a batch, [N x length, levels].

        Raises:
            TrialError: if the model returns others: it then sees a pixel before it predicts it.
        """
        if outputs.ndim != 3 or outputs.shape[2] != self.levels:  # noqa: PLR2004 - N, length, levels
            raise TrialError(
                f"the model returns {list(outputs.shape)}, not [N, length, {self.levels}]: "
                "use a model of the task next-token, such as pixel-gru"
            )
        return outputs.flatten(0, 1)

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See Task."""
        tokens = targets.flatten().long()
        loss = functional.cross_entropy(self._of_all(outputs), tokens, reduction="sum")
        right = (outputs.argmax(dim=2) == targets).sum()
        return {"test_loss": loss / targets.shape[1], "token_accuracy": 100 * right / targets.shape[1]}
