"""The built-in augmentations: random changes of each training image by itself, of a whole batch at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from benchmnist.suites.values import is_number, not_this
from benchmnist.training.data import seed_everything
from benchmnist.training.random_numbers import put_back_afterwards
from benchmnist.training.torchvision_repair import import_torchvision

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Augment = Callable[[Tensor, Tensor], Tensor]

DRAWS = 13
"""Random numbers per image of `mixed`: each of its changes has its own, whichever are asked for."""

MOST_PADDING = 100
"""Pixels."""

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


def mixed(
    *,
    padding: int = 0,
    flip: float = 0.0,
    degrees: float = 0.0,
    scale: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    erase: float = 0.0,
) -> Augment:
    """Returns a function that changes images at random, in this order; a parameter of 0 leaves its change out.

    Args:
        padding: Pixels of black on each side, from which a part of the image's size is cut (He et al. 2016: 4).
        flip: Probability that left and right are exchanged.
        degrees: The largest angle of a rotation, to either side.
        scale: The largest relative change of size: 0.1 is a factor from 0.9 to 1.1.
        brightness: The largest relative change of all pixels.
        contrast: The largest relative change of the distance of pixels from the mean grey of their image.
        saturation: The same from the grey of each pixel; only of images in colour.
        erase: Probability that a rectangle is set to black: 2 to 33 % of the image, sides from 3:10 to 10:3
            (Zhong et al. 2020).

    Raises:
        ValueError: if a parameter is out of range.
    """
    if type(padding) is not int or not 0 <= padding <= MOST_PADDING:
        raise ValueError(f"padding {not_this(f'a whole number from 0 to {MOST_PADDING}', padding)}")
    limits = {"flip": (flip, 1), "degrees": (degrees, 180), "scale": (scale, 0.9), "brightness": (brightness, 1)}
    limits |= {"contrast": (contrast, 1), "saturation": (saturation, 1), "erase": (erase, 1)}
    for name, (value, most) in limits.items():
        if not is_number(value) or not 0 <= value <= most:
            raise ValueError(f"{name} {not_this(f'a number from 0 to {most:g}', value)}")

    def augment(images: Tensor, numbers: Tensor) -> Tensor:
        if padding or flip:
            images = _crop_and_flip(images, numbers[:, :3], padding, flip)
        if degrees or scale:
            images = _turn_and_scale(images, numbers[:, 3:5], math.radians(degrees), scale)
        if brightness or contrast or saturation:
            images = _jitter(images, numbers[:, 5:8], (brightness, contrast, saturation))
        return _erase(images, numbers[:, 8:13], erase) if erase else images

    return augment


def _crop_and_flip(images: Tensor, numbers: Tensor, padding: int, flip: float) -> Tensor:
    """Cuts out a part of each padded image, and flips it with that probability; moves pixels, and no more."""
    height, width = images.shape[2:]
    wide = width + 2 * padding
    top, left = ((numbers[:, n, None] * (2 * padding + 1)).long().clamp(max=2 * padding) for n in (0, 1))
    columns = torch.arange(width, device=images.device)
    columns = torch.where(numbers[:, 2, None] < flip, columns.flip(0), columns) + left
    rows = torch.arange(height, device=images.device) + top
    index = (rows[:, :, None] * wide + columns[:, None, :]).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return functional.pad(images, [padding] * 4).flatten(2).gather(2, index).view(images.shape)


def _turn_and_scale(images: Tensor, numbers: Tensor, radians: float, scale: float) -> Tensor:
    """Rotates and scales each image about its centre; pixels are interpolated bilinearly, with black around."""
    angle, factor = (numbers[:, 0] * 2 - 1) * radians, 1 + (numbers[:, 1] * 2 - 1) * scale
    height, width = images.shape[2:]
    cosine, sine, none = angle.cos() / factor, angle.sin() / factor, torch.zeros_like(angle)
    rows = [cosine, -sine * height / width, none], [sine * width / height, cosine, none]
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _jitter(images: Tensor, numbers: Tensor, most: tuple[float, float, float]) -> Tensor:
    """Changes brightness, contrast and saturation of each image, in this order; pixels stay from 0 to 1.

    Raises:
        ValueError: if the saturation of images without colour is to change.
    """
    turns = (numbers * 2 - 1).view(-1, 3, 1, 1, 1).unbind(1)
    factors = [1 + turn * each for turn, each in zip(turns, most, strict=True)]
    if most[2] and images.shape[1] != len(GREY):
        raise ValueError("saturation needs images in red, green and blue")
    if most[0]:
        images = (images * factors[0]).clamp(0, 1)
    if most[1]:
        mean = _grey(images).mean((1, 2, 3), keepdim=True)
        images = (mean + (images - mean) * factors[1]).clamp(0, 1)
    if most[2]:
        grey = _grey(images)
        images = (grey + (images - grey) * factors[2]).clamp(0, 1)
    return images


def _grey(images: Tensor) -> Tensor:
    """Returns images without their colour, [N, 1, H, W]."""
    if images.shape[1] != len(GREY):
        return images.mean(dim=1, keepdim=True)
    channels = zip(images.split(1, dim=1), GREY, strict=True)
    return torch.cat([channel * weight for channel, weight in channels], dim=1).sum(dim=1, keepdim=True)


def _erase(images: Tensor, numbers: Tensor, probability: float) -> Tensor:
    """Sets a rectangle in each image to black with that probability."""
    height, width = images.shape[2:]
    happens, area, aspect, down, right = numbers.unbind(1)
    area = (0.02 + area * (0.33 - 0.02)) * height * width
    ratio = ((aspect * 2 - 1) * math.log(10 / 3)).exp()
    tall, wide = ((area * ratio).sqrt().round().clamp(1, height), (area / ratio).sqrt().round().clamp(1, width))
    top, left = (down * (height - tall + 1)).floor(), (right * (width - wide + 1)).floor()
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    within = ((rows >= 0) & (rows < tall[:, None]))[:, :, None] & ((columns >= 0) & (columns < wide[:, None]))[
        :, None
    ]
    return images.masked_fill((within & (happens < probability)[:, None, None])[:, None], 0.0)


def of_torchvision(*, transform: str = "RandomHorizontalFlip", per_image: bool = True, **params: Any) -> Augment:
    """Returns a function that applies a transform of torchvision.transforms.v2 on the device of the images.

    A transform draws its numbers once for each call. With `per_image` it is called for each image by itself, which
    is slow; without, all images of a batch have the same crop or angle. It draws from generators that are seeded
    with the numbers of this augmentation, and put back afterwards.

    Raises:
        ValueError: if torchvision has no such transform.
        TypeError: if the transform does not take those parameters.
    """
    import_torchvision()
    from torchvision.transforms import v2

    kind = getattr(v2, str(transform), None)
    if not isinstance(kind, type) or not issubclass(kind, v2.Transform):
        must = "the name of a class of torchvision.transforms.v2"
        raise ValueError(f"transform {not_this(must, transform)}")  # noqa: TRY004 - a value of the suite
    apply = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in params.items()})

    def augment(images: Tensor, numbers: Tensor) -> Tensor:
        seeds = [int(number * 2**24) for number in numbers[:, 0].tolist()]
        done = []
        with put_back_afterwards(images.device):
            for part, seed in zip(images.split(1), seeds, strict=True) if per_image else [(images, seeds[0])]:
                seed_everything(seed)
                done.append(apply(part))
        return torch.cat(done)

    return augment
