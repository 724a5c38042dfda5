"""The built-in models. Each takes images [N, C, H, W] and returns logits [N, num_classes].

Weights start as torch starts them, unless the source of a model says otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import nn

Shape = tuple[int, int, int]


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


def _width(features: nn.Module, input_shape: Shape) -> int:
    """Returns the number of features of one image."""
    with torch.no_grad():
        return int(features(torch.zeros(1, *input_shape)).shape[1])
