from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmnist.extensions.registry import find_plugins

MODELS = find_plugins().models

# Trainable parameters on MNIST: counted by hand from the layers' shapes.
PARAMETERS = {
    "logistic": 784 * 10 + 10,
    "fc": 784 * 500 + 500 + 500 * 10 + 10,
    "fc-bn": 784 * 500 + 500 + 2 * 500 + 500 * 10 + 10,
    "fc-bn-dropout": 784 * 500 + 500 + 2 * 500 + 500 * 10 + 10,
    "cnn": (25 * 16 + 16) + (16 * 25 * 32 + 32) + (512 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10),
    "lenet5": (25 * 6 + 6) + (6 * 25 * 16 + 16) + (16 * 25 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10),
    "2c2d": (25 * 32 + 32) + (32 * 25 * 64 + 64) + (3136 * 1024 + 1024) + (1024 * 10 + 10),
}


def build(name: str, **options: object) -> nn.Module:
    model: nn.Module = MODELS[name].spec.load()(**{"input_shape": (1, 28, 28), "num_classes": 10, **options})
    return model


def test_every_built_in_model_is_counted_here() -> None:
    assert set(PARAMETERS) == {offer.spec.name for offer in MODELS if offer.plugin.distribution == "benchmnist"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_has_the_parameters_that_its_source_says(name: str) -> None:
    assert sum(p.numel() for p in build(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_a_model_fits_any_images_and_classes(name: str, shape: tuple[int, int, int]) -> None:
    logits = build(name, input_shape=shape, num_classes=47)(torch.rand(4, *shape))
    assert logits.shape == (4, 47)


def test_the_parameters_of_the_notebooks_networks() -> None:
    assert build("fc", hidden_size=7)[1].out_features == 7  # type: ignore[index]
    assert build("fc-bn", hidden_size=7)[3].num_features == 7  # type: ignore[index]
    assert build("fc-bn-dropout", dropout=0.25)[4].p == 0.25  # type: ignore[index]


def test_batch_normalisation_comes_after_the_relu_as_in_the_notebook() -> None:
    kinds = [type(layer) for layer in build("fc-bn-dropout").children()]
    assert kinds == [nn.Flatten, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout, nn.Linear]


def test_2c2d_starts_as_deepobs_starts_it() -> None:
    torch.manual_seed(0)
    layer = build("2c2d")[7]  # type: ignore[index]
    assert layer.bias.eq(0.05).all()
    assert layer.weight.abs().max() <= 0.1
    # A normal distribution cut at two standard deviations keeps 0.88 of its own.
    assert layer.weight.std().item() == pytest.approx(0.05 * 0.8796, rel=0.01)
