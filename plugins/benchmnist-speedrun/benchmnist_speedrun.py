"""The model of suites/speedrun.toml: few operations, few passes over memory, and one epoch is enough."""

from __future__ import annotations

import torch
from torch import nn

from benchmnist import ModelSpec, hookimpl


def speedrun(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, ...] = (16, 32),
    kernel_size: int = 5,
) -> nn.Module:
    """Convolution, pooling, normalisation, ReLU, for each of the widths; then one linear layer.

    Pooled first, what follows has a quarter of the values to pass over. Widths in sixteens fill the registers of
    AVX-512: 12 and 24 maps took longer than 16 and 32.
    """
    channels, *_ = input_shape
    layers: list[nn.Module] = []
    for width in widths:
        layers += [
            nn.Conv2d(channels, width, kernel_size, bias=False),  # the normalisation has one
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    features = nn.Sequential(*layers, nn.Flatten())
    with torch.no_grad():
        size = features.eval()(torch.zeros(1, *input_shape)).shape[1]
    return nn.Sequential(*features.train(), nn.Linear(size, num_classes))


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """Returns the model."""
    summary = "two convolutions, pooled and normalised; one epoch to 99 %"
    return [ModelSpec(name="speedrun", summary=summary, build=speedrun)]
