"""Models of timm keep the promises of a plugin, and are what they are called."""

import pytest
from benchmnist_timm import convolutional, vision_transformer

from benchmnist.testing import conformance

test_mobilenet = conformance("timm-mobilenetv3")
test_vit = conformance("timm-vit")

MNIST = {"input_shape": (1, 28, 28), "num_classes": 10}


def test_any_architecture_by_its_name():
    model = convolutional(**MNIST, architecture="resnet10t")
    assert type(model).__name__ == "ResNet"
    assert next(model.parameters()).shape[1] == 1
    with pytest.raises(ValueError, match="timm has no architecture 'resnet999'"):
        convolutional(**MNIST, architecture="resnet999")


def test_patches_have_to_fill_the_image():
    assert len(vision_transformer(**MNIST, depth=3).blocks) == 3
    with pytest.raises(ValueError, match="patches of 5x5 do not fill images of 28x28"):
        vision_transformer(**MNIST, patch_size=5)
