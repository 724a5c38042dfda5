"""The built-in autoencoders: models for the task `reconstruction`, with a logit for each pixel, [N, pixels]."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Shape = tuple[int, int, int]

INPUTS_OF_A_UNIT = 15
"""Incoming weights of a unit that Martens (2010) does not leave at zero."""


def deep_autoencoder(*, input_shape: Shape, num_classes: int, code_size: int = 30) -> nn.Module:
    """784-1000-500-250-30-250-500-1000-784 with logistic units, and a linear code.

    Hinton, Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006, who had to train it
    layer by layer first. It starts as in Martens, Deep learning via Hessian-free optimization, 2010, who did not:
    each unit has 15 random weights from a normal distribution of standard deviation 1, all others are 0. 2,837,314
    parameters.
    """
    return _autoencoder((math.prod(input_shape), 1000, 500, 250), code_size, num_classes)


def small_autoencoder(
    *, input_shape: Shape, num_classes: int, hidden_size: int = 128, code_size: int = 16
) -> nn.Module:
    """784-128-16-128-784: the deep autoencoder with a single hidden layer on each side; 205,856 parameters."""
    return _autoencoder((math.prod(input_shape), hidden_size), code_size, num_classes)


def _autoencoder(widths: Sequence[int], code_size: int, num_outputs: int) -> nn.Module:
    """Returns an encoder of these widths, the code, and the mirrored decoder.

    Raises:
        ValueError: if a layer has no units.
    """
    if code_size < 1 or min(widths) < 1:
        raise ValueError(f"code_size={code_size} and hidden sizes {[*widths[1:]]} must be 1 or more")
    sizes = [*widths, code_size, *widths[:0:-1], num_outputs]
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.copy_(_sparse(outputs, inputs))
            layer.bias.zero_()
        layers.append(layer)
        if number not in (len(widths), len(sizes) - 1):  # the code, and the logits of the pixels
            layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def _sparse(units: int, inputs: int) -> Tensor:
    """Draws a matrix [units, inputs] whose rows have a few normal entries each, and zeros."""
    kept = min(INPUTS_OF_A_UNIT, inputs)
    chosen = torch.rand(units, inputs).topk(kept, dim=1).indices
    return torch.zeros(units, inputs).scatter_(1, chosen, torch.randn(units, kept))
