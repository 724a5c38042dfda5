import torch
from benchmnist_speedrun import speedrun

from benchmnist.testing import conformance

test_speedrun = conformance("speedrun")


def test_the_widths_are_those_asked_for():
    model = speedrun(input_shape=(1, 28, 28), num_classes=10, widths=(8, 24))
    assert [layer.out_channels for layer in model if isinstance(layer, torch.nn.Conv2d)] == [8, 24]
    assert model(torch.rand(3, 1, 28, 28)).shape == (3, 10)
    assert model.training
