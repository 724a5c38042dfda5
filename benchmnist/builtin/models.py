"""The built-in models. Each takes images [N, C, H, W] and returns logits [N, num_classes].

Weights start as torch starts them, unless the source of a model says otherwise.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import nn

Shape = tuple[int, int, int]

_ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}


def logistic(*, input_shape: Shape, num_classes: int) -> nn.Module:
    """Multinomial logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))


def fc(*, input_shape: Shape, num_classes: int, hidden_size: int = 500) -> nn.Module:
    """The notebook's NeuralNet."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), hidden_size),
        nn.ReLU(),
        nn.Linear(hidden_size, num_classes),
    )


def fc_bn(*, input_shape: Shape, num_classes: int, hidden_size: int = 500) -> nn.Module:
    """The notebook's NeuralNetBatchNormalization: normalised after the ReLU."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), hidden_size),
        nn.ReLU(),
        nn.BatchNorm1d(hidden_size),
        nn.Linear(hidden_size, num_classes),
    )


def fc_bn_dropout(
    *, input_shape: Shape, num_classes: int, hidden_size: int = 500, dropout: float = 0.5
) -> nn.Module:
    """The notebook's NeuralNetDropoutNormalization."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), hidden_size),
        nn.ReLU(),
        nn.BatchNorm1d(hidden_size),
        nn.Dropout(dropout),
        nn.Linear(hidden_size, num_classes),
    )


def cnn(*, input_shape: Shape, num_classes: int) -> nn.Module:
    """The notebook's convolutional network."""
    features = nn.Sequential(
        nn.Conv2d(input_shape[0], 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(
        *features,
        nn.Linear(_width(features, input_shape), 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def lenet5(*, input_shape: Shape, num_classes: int) -> nn.Module:
    """LeNet-5: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998.

    As it is taught today: every map of C3 sees every map of S2, pooling has no weights of its own, and a
    linear layer stands in for the radial basis functions.
    """
    features = nn.Sequential(
        nn.Conv2d(input_shape[0], 6, kernel_size=5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, kernel_size=5),
        nn.Tanh(),
        nn.Flatten(),
    )
    return nn.Sequential(
        *features,
        nn.Linear(_width(features, input_shape), 84),
        nn.Tanh(),
        nn.Linear(84, num_classes),
    )


def two_c_two_d(*, input_shape: Shape, num_classes: int) -> nn.Module:
    """DeepOBS's 2c2d (Schneider, Balles, Hennig 2019): weights truncated normal of std 0.05, biases 0.05."""
    features = nn.Sequential(
        nn.Conv2d(input_shape[0], 32, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(32, 64, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
    )
    model = nn.Sequential(
        *features,
        nn.Linear(_width(features, input_shape), 1024),
        nn.ReLU(),
        nn.Linear(1024, num_classes),
    )
    for layer in model:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            # TensorFlow's truncated normal, which DeepOBS follows, cuts at two standard deviations.
            nn.init.trunc_normal_(layer.weight, std=0.05, a=-0.1, b=0.1)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.05)
    return model


def deep_narrow(
    *,
    input_shape: Shape,
    num_classes: int,
    depth: int = 10,
    width: int = 32,
    activation: Literal["tanh", "sigmoid", "relu"] = "tanh",
) -> nn.Module:
    """Many narrow layers without normalisation or shortcuts: signals and gradients shrink from layer to layer.

    Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991, found it; Glorot, Bengio, Understanding the
    difficulty of training deep feedforward neural networks, 2010, measured it with this initialisation, which
    torch's linear layers have: weights uniform in ±1/sqrt(inputs) divide the variance by 3 in every layer. 34,954
    parameters.

    Raises:
        ValueError: if there is no hidden layer, or no such activation.
    """
    if depth < 1 or width < 1:
        raise ValueError(f"depth={depth} and width={width} must be 1 or more")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation={activation!r} is none of {', '.join(_ACTIVATIONS)}")
    sizes = [math.prod(input_shape), *[width] * depth]
    layers = [
        layer for size in itertools.pairwise(sizes) for layer in (nn.Linear(*size), _ACTIVATIONS[activation]())
    ]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, num_classes))


class _Scaled(nn.Linear):
    """A linear layer whose parameters are divided by `scale` and multiplied by it again when they are used."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__(inputs, outputs)
        self.scale = scale
        with torch.no_grad():
            self.weight.div_(scale)
            self.bias.div_(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [N, outputs] of x [N, inputs]."""
        return self.scale * super().forward(x)


def badly_scaled(
    *, input_shape: Shape, num_classes: int, scale: float = 10.0, hidden_size: int = 100
) -> nn.Module:
    """Two hidden layers with ReLU, the second with its parameters in another unit; 89,610 parameters.

    It computes the same function at the start, whatever the scale. The gradients of that layer are `scale` times
    as large, and its weights 1/`scale`: SGD moves it `scale`² times as far, Adam `scale` times. A method that is
    invariant to such a change of the parameters sees no difference: Amari, Natural gradient works efficiently in
    learning, 1998. Why scales matter: LeCun, Bottou, Orr, Müller, Efficient backprop, 1998.

    Raises:
        ValueError: if the scale is not positive.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale={scale} is not a positive number")
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), hidden_size),
        nn.ReLU(),
        _Scaled(hidden_size, hidden_size, scale),
        nn.ReLU(),
        nn.Linear(hidden_size, num_classes),
    )


def _width(features: nn.Module, input_shape: Shape) -> int:
    """Returns the number of features of one image."""
    with torch.no_grad():
        return int(features(torch.zeros(1, *input_shape)).shape[1])
