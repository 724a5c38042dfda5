"""The built-in models of patches: a vision transformer and an MLP-mixer, small enough for a CPU.

Attention is made of plain operations, which torch.func can map over seeds; sequences are short here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]


class Attention(nn.Module):
    """Attention of several heads (Vaswani et al. 2017); causal, a place sees itself and those before it.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    mask: Tensor

    def __init__(self, width: int, heads: int, length: int, *, causal: bool) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads={heads} does not divide width={width}")
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        if causal:
            self.register_buffer("mask", torch.full((length, length), -math.inf).triu(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mixes the places of x, [N, length, width]."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query / math.sqrt(query.shape[-1]) @ key.transpose(-2, -1)
        if self.causal:
            scores = scores + self.mask
        mixed: Tensor = self.out((scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """A layer of a transformer, normalised before attention and MLP (Xiong et al. 2020), with GELU."""

    def __init__(self, width: int, heads: int, length: int, *, causal: bool = False) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, length, causal=causal)
        self.mlp = _mlp(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, length, width] to the same shape."""
        x = x + self.attention(self.before_attention(x))
        mapped: Tensor = x + self.mlp(self.before_mlp(x))
        return mapped


class MixerBlock(nn.Module):
    """A layer of an MLP-mixer: an MLP over the places, then one over the channels."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.before_places, self.before_channels = nn.LayerNorm(width), nn.LayerNorm(width)
        self.places, self.channels = _mlp(length, 2 * length), _mlp(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, length, width] to the same shape."""
        x = x + self.places(self.before_places(x).transpose(1, 2)).transpose(1, 2)
        mapped: Tensor = x + self.channels(self.before_channels(x))
        return mapped


def _mlp(width: int, hidden_size: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden_size), nn.GELU(), nn.Linear(hidden_size, width))


class Patches(nn.Module):
    """Cuts images into squares, which become vectors; images whose sides they do not divide get a dark border.

    Raises:
        ValueError: if the squares have no pixels.
    """

    def __init__(self, input_shape: Shape, patch: int, width: int) -> None:
        super().__init__()
        if patch < 1:
            raise ValueError(f"patch={patch} is not a number of pixels, 1 or more")
        channels, height, across = input_shape
        self.patch, self.border = patch, (0, -across % patch, 0, -height % patch)
        self.length = -(-height // patch) * -(-across // patch)
        self.embedding = nn.Linear(channels * patch**2, width)

    def forward(self, images: Tensor) -> Tensor:
        """Returns [N, length, width] of images [N, C, H, W]."""
        padded = functional.pad(images, self.border) if any(self.border) else images
        squares = padded.unflatten(3, (-1, self.patch)).unflatten(
            2, (-1, self.patch)
        )  # [N, C, rows, p, columns, p]
        vectors: Tensor = self.embedding(squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))
        return vectors


class _OfPatches(nn.Module):
    """Patches, layers, the mean over the places, and the classes."""

    def __init__(
        self, patches: Patches, places: Tensor | None, blocks: nn.Module, width: int, num_classes: int
    ) -> None:
        super().__init__()
        self.patches, self.blocks = patches, blocks
        self.places = None if places is None else nn.Parameter(places)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, num_classes)
        started(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits [N, num_classes] of images [N, C, H, W]."""
        x = self.patches(images)
        x = x if self.places is None else x + self.places
        logits: Tensor = self.out(self.norm(self.blocks(x)).mean(dim=1))
        return logits


def started(model: nn.Module) -> None:
    """Draws the weights as GPT-2 does (Radford et al. 2019): standard deviation 0.02, biases 0."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name == "places":
            nn.init.normal_(parameter, std=0.02)


def vit(
    *, input_shape: Shape, num_classes: int, patch: int = 7, width: int = 64, depth: int = 3, heads: int = 4
) -> nn.Module:
    """A small vision transformer; 105,418 parameters.

    Dosovitskiy et al., An image is worth 16x16 words, 2021, with the mean over the places in place of a class
    token, as in Beyer, Zhai, Kolesnikov, Better plain ViT baselines for ImageNet-1k, 2022.

    Raises:
        ValueError: if `heads` does not divide `width`, or a patch has no pixels.
    """
    patches = Patches(input_shape, patch, width)
    blocks = nn.Sequential(*(Block(width, heads, patches.length) for _ in range(depth)))
    return _OfPatches(patches, torch.empty(patches.length, width), blocks, width, num_classes)


def mlp_mixer(
    *, input_shape: Shape, num_classes: int, patch: int = 7, width: int = 64, depth: int = 3
) -> nn.Module:
    """A small MLP-mixer; 57,690 parameters.

    Tolstikhin et al., MLP-Mixer: an all-MLP architecture for vision, 2021.

    Raises:
        ValueError: if a patch has no pixels.
    """
    patches = Patches(input_shape, patch, width)
    blocks = nn.Sequential(*(MixerBlock(width, patches.length) for _ in range(depth)))
    return _OfPatches(patches, None, blocks, width, num_classes)
