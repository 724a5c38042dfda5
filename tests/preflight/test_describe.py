from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmnist.errors import BenchmnistError
from benchmnist.extensions.registry import find_plugins
from benchmnist.preflight.describe import OUTSIDE, describe, describe_offer

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (1, 28, 28)


def test_the_notebooks_convolutional_network(tmp_path: Path) -> None:
    """Counted by hand: a convolution has (5 x 5 x in) multiply-adds for each entry of its output."""
    model = describe_offer("cnn", {}, "mnist", tmp_path)
    assert [(layer.kind, layer.output_shape) for layer in model.layers if layer.parameters] == [
        ("Conv2d", (16, 24, 24)),
        ("Conv2d", (32, 8, 8)),
        ("Linear", (120,)),
        ("Linear", (84,)),
        ("Linear", (10,)),
    ]
    by_hand = [25 * 16 * 24 * 24, 25 * 16 * 32 * 8 * 8, 512 * 120, 120 * 84, 84 * 10]
    assert [layer.multiply_adds for layer in model.layers if layer.parameters] == by_hand
    assert model.multiply_adds == sum(by_hand)
    assert model.parameters == (25 + 1) * 16 + (25 * 16 + 1) * 32 + 513 * 120 + 121 * 84 + 85 * 10


@pytest.mark.parametrize(
    "name", ["logistic", "fc", "fc-bn", "fc-bn-dropout", "lenet5", "2c2d", "gru", "vit", "badly-scaled"]
)
def test_the_sums_are_the_models(name: str) -> None:
    model = find_plugins().models[name].spec.load()(input_shape=SHAPE, num_classes=10)
    layers = describe(model, SHAPE)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())
    assert layers[-1].output_shape == (10,)
    assert not [hook for module in model.modules() for hook in module._forward_hooks]


class Odd(nn.Module):
    """One layer twice, weights of its own, a product outside of any layer, a second layer of the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.twice, self.tied = nn.Flatten(), nn.Linear(784, 784), nn.Linear(784, 784)
        self.tied.weight = self.twice.weight
        self.loose = nn.Parameter(torch.zeros(10, 784))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.linear(self.tied(self.twice(self.twice(self.flat(images)))), self.loose)


def test_what_is_odd_is_counted_once_and_nothing_is_left_out() -> None:
    model = Odd()
    layers = describe(model, SHAPE)
    assert [layer.name for layer in layers] == ["flat", "twice", "twice", "tied", ""]
    assert [layer.parameters for layer in layers] == [0, 785 * 784, 0, 784, 7840]
    assert [layer.multiply_adds for layer in layers] == [0, 784 * 784, 784 * 784, 784 * 784, 7840]
    assert (layers[-1].kind, layers[-1].output_shape) == (OUTSIDE, (10,))
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())


def test_a_model_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(BenchmnistError, match=r"no model named 'cn'\. Did you mean 'cnn'"):
        describe_offer("cn", {}, "mnist", tmp_path)
    with pytest.raises(BenchmnistError, match=r"hidden: 'fc' takes no parameter 'hidden'\. Did you mean"):
        describe_offer("fc", {"hidden": 3}, "mnist", tmp_path)
    with pytest.raises(BenchmnistError, match=r"'fc' refuses: Trying to create tensor with negative dimension"):
        describe_offer("fc", {"hidden_size": -3}, "mnist", tmp_path)
