"""The built-in models of sequences: rows of an image to its class, and pixels to the next pixel.

The recurrent cells are those of torch.nn.GRU and torch.nn.LSTM, made of plain operations: torch's own cannot be
mapped over seeds by torch.func, so that they could not be stacked.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from benchmnist.builtin.transformers import Block, started

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]


class GRU(nn.Module):
    """One layer of gated recurrent units (Cho et al. 2014), as torch.nn.GRU computes and starts it."""

    gates = 3

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.given = nn.Linear(inputs, self.gates * hidden_size)
        self.kept = nn.Linear(hidden_size, self.gates * hidden_size)
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns the states after each step, [N, hidden_size], of a sequence [N, length, inputs]."""
        state = x.new_zeros(len(x), self.hidden_size)
        states = []
        for given in self.given(x).unbind(1):
            (reset, update, new), (own_reset, own_update, own) = given.chunk(3, 1), self.kept(state).chunk(3, 1)
            candidate = torch.tanh(new + torch.sigmoid(reset + own_reset) * own)
            state = torch.lerp(candidate, state, torch.sigmoid(update + own_update))
            states.append(state)
        return states


class LSTM(GRU):
    """One layer of long short-term memory (Hochreiter, Schmidhuber 1997), as torch.nn.LSTM has it."""

    gates = 4

    def forward(self, x: Tensor) -> list[Tensor]:
        """See GRU."""
        state = memory = x.new_zeros(len(x), self.hidden_size)
        states = []
        for given in self.given(x).unbind(1):
            enter, forget, new, leave = (given + self.kept(state)).chunk(4, 1)
            memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
            state = torch.sigmoid(leave) * torch.tanh(memory)
            states.append(state)
        return states


class _Rows(nn.Module):
    """Reads an image row by row, all channels of a row at once; the last state tells the class."""

    def __init__(self, cell: nn.Module, hidden_size: int, num_classes: int) -> None:
        super().__init__()
        self.cell = cell
        self.out = nn.Linear(hidden_size, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits [N, num_classes] of images [N, C, H, W]."""
        logits: Tensor = self.out(self.cell(images.transpose(1, 2).flatten(2))[-1])
        return logits


def gru(*, input_shape: Shape, num_classes: int, hidden_size: int = 128) -> nn.Module:
    """Reads the rows of an image as a sequence with gated recurrent units (Cho et al. 2014); 61,962 parameters.

    Rows of MNIST as a sequence: Le, Jaitly, Hinton, A simple way to initialize recurrent networks, 2015, read
    pixels.
    """
    return _Rows(GRU(input_shape[0] * input_shape[2], hidden_size), hidden_size, num_classes)


def lstm(*, input_shape: Shape, num_classes: int, hidden_size: int = 128) -> nn.Module:
    """As `gru`, with long short-term memory (Hochreiter, Schmidhuber 1997); 82,186 parameters.

    The forget gates start half open, as torch starts them, not wide open.
    """
    return _Rows(LSTM(input_shape[0] * input_shape[2], hidden_size), hidden_size, num_classes)


class _Pixels(nn.Module):
    """Predicts the level of each pixel from the pixels before it."""

    def __init__(self, width: int, length: int, levels: int) -> None:
        super().__init__()
        self.length, self.levels = length, levels
        self.embedding = nn.Embedding(levels, width)
        self.out = nn.Linear(width, levels)

    def before(self, images: Tensor) -> Tensor:
        """The embedded pixels, [N, length, width], each in the place of the next; zeros in the first place."""
        tokens = (images.flatten(1) * (self.levels - 1)).round().long()
        return functional.pad(self.embedding(tokens[:, :-1]), (0, 0, 1, 0))


class _PixelGRU(_Pixels):
    def __init__(self, hidden_size: int, length: int, levels: int) -> None:
        super().__init__(hidden_size, length, levels)
        self.cell = GRU(hidden_size, hidden_size)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits [N, length, levels] of images [N, 1, H, W]."""
        logits: Tensor = self.out(torch.stack(self.cell(self.before(images)), dim=1))
        return logits


class _PixelTransformer(_Pixels):
    def __init__(self, width: int, depth: int, heads: int, length: int, levels: int) -> None:
        super().__init__(width, length, levels)
        self.places = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads, length, causal=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        started(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits [N, length, levels] of images [N, 1, H, W]."""
        logits: Tensor = self.out(self.norm(self.blocks(self.before(images) + self.places)))
        return logits


def pixel_gru(*, input_shape: Shape, output_shape: tuple[int, ...], hidden_size: int = 64) -> nn.Module:
    """Predicts the next pixel with gated recurrent units; 25,476 parameters for four levels.

    The row LSTM of van den Oord, Kalchbrenner, Kavukcuoglu, Pixel recurrent neural networks, 2016, has a state for
    each column; this has one, as a language model of characters has.

    Raises:
        ValueError: if the outputs are not a level for each pixel, as for the task `next-token`.
    """
    return _PixelGRU(hidden_size, *_text_of(input_shape, output_shape))


def pixel_transformer(
    *, input_shape: Shape, output_shape: tuple[int, ...], width: int = 64, depth: int = 2, heads: int = 4
) -> nn.Module:
    """Predicts the next pixel with a causal transformer, normalised before each layer; see `vit`.

    A small form of Chen et al., Generative pretraining from pixels, 2020. For 7×7 pixels of four levels it has
    70,724 parameters.

    Raises:
        ValueError: if the outputs are not a level for each pixel, or `heads` does not divide `width`.
    """
    return _PixelTransformer(width, depth, heads, *_text_of(input_shape, output_shape))


def _text_of(input_shape: Shape, output_shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the length of a sequence of pixels, and their levels.

    Raises:
        ValueError: if the outputs are others.
    """
    length = math.prod(input_shape)
    if len(output_shape) != 2 or output_shape[0] != length or output_shape[1] < 2:  # noqa: PLR2004
        raise ValueError(
            f"the outputs of the task have shape {[*output_shape]}, not [{length}, levels]; "
            "set task = 'next-token'"
        )
    return length, output_shape[1]
