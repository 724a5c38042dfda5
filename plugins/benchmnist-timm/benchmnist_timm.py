"""Models of timm (Wightman, PyTorch Image Models), for BenchMNIST: one input channel, images of 28x28."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist import ModelSpec, hookimpl
from benchmnist.training.torchvision_repair import import_torchvision

if TYPE_CHECKING:
    from torch import nn

BENCHMNIST_API = 1


def convolutional(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    architecture: str = "resnet18",
    drop_rate: float = 0.0,
) -> nn.Module:
    """Builds any architecture of timm that takes images of this size unchanged.

    Raises:
        ValueError: if timm has no such architecture.
    """
    import_torchvision()  # which timm imports, and which does not load beside some builds of torch
    import timm

    if not timm.is_model(architecture):
        raise ValueError(f"timm has no architecture {architecture!r}; timm.list_models() lists them")
    model: nn.Module = timm.create_model(
        architecture, in_chans=input_shape[0], num_classes=num_classes, drop_rate=drop_rate
    )
    return model


def vision_transformer(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    patch_size: int = 7,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    drop_rate: float = 0.0,
) -> nn.Module:
    """A small vision transformer (Dosovitskiy et al. 2021).

    Raises:
        ValueError: if the patches do not fill the image.
    """
    channels, height, size = input_shape
    if height != size or size % patch_size:
        raise ValueError(f"patches of {patch_size}x{patch_size} do not fill images of {height}x{size}")
    import_torchvision()
    from timm.models.vision_transformer import VisionTransformer

    model: nn.Module = VisionTransformer(
        img_size=size,
        patch_size=patch_size,
        in_chans=channels,
        num_classes=num_classes,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        drop_rate=drop_rate,
    )
    return model


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """Returns two named models, and one for any other `architecture`."""
    home = "benchmnist_timm"
    return [
        ModelSpec(name="timm", summary="any model of timm, by `architecture`", build=f"{home}:convolutional"),
        ModelSpec(
            name="timm-mobilenetv3",
            summary="timm's mobilenetv3_small_050",
            build=f"{home}:convolutional",
            defaults={"architecture": "mobilenetv3_small_050"},
        ),
        ModelSpec(name="timm-vit", summary="a small vision transformer", build=f"{home}:vision_transformer"),
    ]
