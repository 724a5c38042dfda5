from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmnist.extensions.registry import find_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = find_plugins().models


def mlp(width: int) -> int:
    """The parameters of two linear layers, the hidden one twice as wide."""
    return 2 * 2 * width * width + 3 * width


# Trainable parameters on MNIST: counted by hand from the layers' shapes.
PARAMETERS = {
    "logistic": 784 * 10 + 10,
    "fc": 784 * 500 + 500 + 500 * 10 + 10,
    "fc-bn": 784 * 500 + 500 + 2 * 500 + 500 * 10 + 10,
    "fc-bn-dropout": 784 * 500 + 500 + 2 * 500 + 500 * 10 + 10,
    "cnn": (25 * 16 + 16) + (16 * 25 * 32 + 32) + (512 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10),
    "lenet5": (25 * 6 + 6) + (6 * 25 * 16 + 16) + (16 * 25 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10),
    "2c2d": (25 * 32 + 32) + (32 * 25 * 64 + 64) + (3136 * 1024 + 1024) + (1024 * 10 + 10),
    "deep-narrow": (784 * 32 + 32) + 9 * (32 * 32 + 32) + (32 * 10 + 10),
    "badly-scaled": (784 * 100 + 100) + (100 * 100 + 100) + (100 * 10 + 10),
    "gru": 3 * (28 * 128 + 128 * 128 + 2 * 128) + (128 * 10 + 10),
    "lstm": 4 * (28 * 128 + 128 * 128 + 2 * 128) + (128 * 10 + 10),
    # Patches, places, three layers of attention and MLP with two norms, a norm, and the classes.
    "vit": (49 * 64 + 64) + 16 * 64 + 3 * (BLOCK := 4 * (64 * 64 + 64) + mlp(64) + 4 * 64) + 2 * 64 + 650,
    "mlp-mixer": (49 * 64 + 64) + 3 * (mlp(16) + mlp(64) + 4 * 64) + 2 * 64 + 650,
    "deep-autoencoder": 2 * (784 * 1000 + 1000 * 500 + 500 * 250 + 250 * 30) + 2 * (1000 + 500 + 250) + 30 + 784,
    "small-autoencoder": 2 * (784 * 128 + 128 * 16) + 2 * 128 + 16 + 784,
    "pixel-gru": 4 * 64 + 3 * (64 * 64 + 64 * 64 + 2 * 64) + (64 * 4 + 4),
    "pixel-transformer": 4 * 64 + 49 * 64 + 2 * BLOCK + 2 * 64 + (64 * 4 + 4),
}

OUTPUTS = {
    "deep-autoencoder": (784,),
    "small-autoencoder": (784,),
    "pixel-gru": (49, 4),
    "pixel-transformer": (49, 4),
}
OF_CLASSES = [name for name in PARAMETERS if name not in OUTPUTS]


def build(name: str, **options: object) -> nn.Module:
    outputs = OUTPUTS.get(name, (10,))
    shape = (1, 7, 7) if len(outputs) > 1 else (1, 28, 28)
    shaped: dict[str, object] = {"output_shape": outputs} if len(outputs) > 1 else {"num_classes": outputs[0]}
    model: nn.Module = MODELS[name].spec.load()(**{"input_shape": shape, **shaped, **options})
    return model


def test_every_built_in_model_is_counted_here() -> None:
    assert set(PARAMETERS) == {offer.spec.name for offer in MODELS if offer.plugin.distribution == "benchmnist"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_has_the_parameters_that_its_source_says(name: str) -> None:
    assert sum(p.numel() for p in build(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", OF_CLASSES)
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


@pytest.mark.parametrize(("name", "theirs"), [("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_a_recurrent_model_computes_what_torchs_own_does(name: str, theirs: Callable[..., nn.Module]) -> None:
    model, own = build(name), theirs(28, 128, batch_first=True)
    cell: nn.Module = model.cell  # type: ignore[assignment]
    names = {"weight_ih_l0": "given.weight", "bias_ih_l0": "given.bias"}
    names |= {"weight_hh_l0": "kept.weight", "bias_hh_l0": "kept.bias"}
    own.load_state_dict({there: cell.state_dict()[here] for there, here in names.items()})
    images = torch.rand(6, 1, 28, 28)
    states, _ = own(images.squeeze(1))
    torch.testing.assert_close(model(images), model.out(states[:, -1]))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["pixel-gru", "pixel-transformer"])
@given(data=st.data())
@settings(max_examples=20)
def test_a_pixel_is_predicted_from_those_before_it_and_no_others(name: str, data: st.DataObject) -> None:
    model, where = build(name), data.draw(st.integers(0, 48))
    images = torch.randint(0, 4, (5, 49), generator=torch.Generator().manual_seed(where)) / 3
    changed = images.clone()
    changed[:, where:] = 1 - changed[:, where:]  # another level each
    one, other = (model(each.view(5, 1, 7, 7)) for each in (images, changed))
    assert torch.equal(one[:, : where + 1], other[:, : where + 1])
    assert where == 48 or (one[:, where + 1 :] != other[:, where + 1 :]).any(dim=2).all()


def test_units_of_an_autoencoder_start_with_fifteen_weights() -> None:
    layers = [layer for layer in build("deep-autoencoder").children() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [
        *((784, 1000), (1000, 500), (500, 250), (250, 30), (30, 250), (250, 500), (500, 1000), (1000, 784)),
    ]
    for layer in layers:
        assert (layer.weight != 0).sum(dim=1).eq(15).all()
        assert layer.bias.eq(0).all()
    kept = torch.cat([layer.weight[layer.weight != 0] for layer in layers])
    # 64,710 numbers: five standard deviations of their mean and of their variance
    assert abs(kept.mean()) < 5 / len(kept) ** 0.5
    assert abs(kept.var() - 1) < 5 * (2 / len(kept)) ** 0.5


def test_the_scale_changes_steps_but_no_output() -> None:
    images, gradients = torch.rand(8, 1, 28, 28), []
    outputs = []
    for scale in (1.0, 64.0):
        torch.manual_seed(0)
        model = build("badly-scaled", scale=scale)
        outputs.append(model(images))
        outputs[-1].square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*outputs)
    for number, (plain, scaled) in enumerate(zip(*gradients, strict=True)):
        factor = 64 if number in (2, 3) else 1  # weights and biases of the second layer
        torch.testing.assert_close(scaled, factor * plain)


def test_the_gradients_of_a_deep_narrow_net_vanish_with_its_depth() -> None:
    def share(depth: int) -> float:
        torch.manual_seed(0)
        model = build("deep-narrow", depth=depth)
        model(torch.rand(50, 1, 28, 28)).square().sum().backward()
        layers = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
        gradients = [layer.weight.grad for layer in layers]
        assert gradients[1] is not None
        assert gradients[-1] is not None
        return float(gradients[1].norm() / gradients[-1].norm())

    # 3 in variance is 1.7 in size for each layer; tanh takes more
    assert share(20) < 1.5**-10 * share(10)
    assert share(10) < 1.5**-5 * share(5)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vit", {"heads": 3}, "heads=3 does not divide width=64"),
        ("vit", {"patch": 0}, "patch=0 is not a number of pixels, 1 or more"),
        ("mlp-mixer", {"patch": 0}, "patch=0 is not a number of pixels, 1 or more"),
        ("deep-narrow", {"depth": 0}, "depth=0 and width=32 must be 1 or more"),
        ("deep-narrow", {"activation": "gelu"}, "activation='gelu' is none of tanh, sigmoid, relu"),
        ("badly-scaled", {"scale": 0.0}, "scale=0.0 is not a positive number"),
        ("small-autoencoder", {"code_size": 0}, r"code_size=0 and hidden sizes \[128\] must be 1 or more"),
        ("pixel-gru", {"output_shape": (10,)}, r"shape \[10\], not \[49, levels\]; set task = 'next-token'"),
    ],
)
def test_a_parameter_without_sense_is_refused(name: str, options: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        build(name, **options)
