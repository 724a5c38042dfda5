"""Variants of the built-in datasets: other labels, other numbers of examples, other pixels, from the same files.

Each is a function of a Dataset. What it draws depends on its parameter `seed` alone, and is the same on every
machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from benchmnist.builtin.datasets import LOADERS
from benchmnist.errors import DataError, unknown
from benchmnist.suites.values import is_number, not_this
from benchmnist.training.data import seed_for

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset

FRACTION_BITS = 14
"""Binary digits of the sine and cosine of an angle: a pixel of 64 moves by less than a hundredth of a pixel."""

CHUNK = 100
"""Images that are rotated at once: what fits the caches."""


def noisy_labels(*, root: Path, of: str = "mnist", noise: float = 0.2, seed: int = 0) -> Dataset:
    """Loads a dataset with wrong training labels: symmetric noise (Zhang et al. 2017 trained on such labels).

    Of the training examples, the share `noise` (rounded to whole examples) has the label of another class, each of
    the others equally often. A larger share adds wrong labels and keeps those of a smaller one. Test labels stay.

    Raises:
        DataError: if a parameter is out of range, or the dataset cannot be loaded.
    """
    _require_number("noise", noise, 0, 1)
    data, generator = _load(root, of), _generator("noisy-labels", seed)
    size = len(data.train_labels)
    wrong = torch.randperm(size, generator=generator)[: round(noise * size)]
    steps = torch.randint(1, data.num_classes, (size,), generator=generator)[: len(wrong)]
    labels = data.train_labels.clone()
    labels[wrong] = (labels[wrong] + steps) % data.num_classes
    return replace(data, train_labels=labels)


def imbalanced(*, root: Path, of: str = "mnist", ratio: float = 100.0, seed: int = 0) -> Dataset:
    """Loads a dataset with a long tail: each class has fewer training examples than the last (Cui et al. 2019).

    The numbers of examples fall exponentially from the first class to the last, which has one for each `ratio` of
    the first; they are the largest such numbers that the dataset has. The examples of a class are drawn, and keep
    their order. The test set stays.

    Raises:
        DataError: if a parameter is out of range, a class would have no example, or the dataset cannot be loaded.
    """
    _require_number("ratio", ratio, 1, 1e9)
    data, generator = _load(root, of), _generator("imbalanced", seed)
    there = data.train_labels.bincount(minlength=data.num_classes).tolist()
    shares = [ratio ** (-index / max(len(there) - 1, 1)) for index in range(len(there))]
    most = min(count / share for count, share in zip(there, shares, strict=True))
    wanted = [round(most * share) for share in shares]
    if not all(wanted):
        raise DataError(f"ratio = {ratio} leaves no example of {data.classes[wanted.index(0)]!r}; make it smaller")
    kept = []
    for label, count in enumerate(wanted):
        positions = (data.train_labels == label).nonzero().flatten()
        kept.append(positions[torch.randperm(len(positions), generator=generator)[:count]])
    chosen = torch.cat(kept).sort().values
    return replace(data, train_images=data.train_images[chosen], train_labels=data.train_labels[chosen])


def rotated(*, root: Path, of: str = "mnist", degrees: float = 180.0, seed: int = 0) -> Dataset:
    """Loads a dataset with each image, of training and test, rotated (Larochelle et al. 2007, mnist-rot).

    The angles are uniform from -`degrees` to `degrees`; by default any angle, as published.

    Raises:
        DataError: if a parameter is out of range, or the dataset cannot be loaded.
    """
    _require_number("degrees", degrees, 0, 180)
    data, generator = _load(root, of), _generator("rotated", seed)
    parts = []
    for images in (data.train_images, data.test_images):
        turns = torch.rand(len(images), generator=generator, dtype=torch.float64) * 2 - 1
        parts.append(rotate(images, turns * degrees))
    return replace(data, train_images=parts[0], test_images=parts[1])


def permuted(*, root: Path, of: str = "mnist", seed: int = 0) -> Dataset:
    """Loads a dataset with the pixels of every image, of training and test, in one other order.

    Goodfellow et al. 2013 and Le et al. 2015 (permuted sequential MNIST) use this. The channels share that order.

    Raises:
        DataError: if a parameter is out of range, or the dataset cannot be loaded.
    """
    data, generator = _load(root, of), _generator("permuted", seed)
    order = torch.randperm(data.train_images[0, 0].numel(), generator=generator)
    parts = [
        images.flatten(2).index_select(2, order).view_as(images)
        for images in (data.train_images, data.test_images)
    ]
    return replace(data, train_images=parts[0], test_images=parts[1])


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotates each of the uint8 images [N, C, H, W] about its centre by its angle [N], counter-clockwise.

    Pixels are interpolated bilinearly from zeros around the image. All of this is computed in whole numbers, so
    that the digest of the contents is the same on every processor.
    """
    height, width = images.shape[2:]
    one, radians = 1 << FRACTION_BITS, degrees.deg2rad().view(-1, 1, 1)
    cosines, sines = ((each * one).round().int() for each in (radians.cos(), radians.sin()))
    # In half pixels from the centre, which lies between two pixels where a side is even.
    rows = (2 * torch.arange(height, dtype=torch.int32) - (height - 1)).view(-1, 1)
    columns = 2 * torch.arange(width, dtype=torch.int32) - (width - 1)
    done = torch.empty_like(images)
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        x = cosines[part] * columns - sines[part] * rows + (width - 1) * one
        y = cosines[part] * rows + sines[part] * columns + (height - 1) * one
        done[part] = _interpolated(images[part], x, y)
    return done


def _interpolated(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The pixels of images at places [N, H, W], in half pixels of 2 ** -FRACTION_BITS, interpolated."""
    (height, width), border = images.shape[2:], 2  # beyond which all is zero, too
    right, down = ((each >> FRACTION_BITS - 7) & 255 for each in (x, y))  # of 256, between two pixels
    column, row = (each >> FRACTION_BITS + 1 for each in (x, y))
    wide = width + 2 * border
    first = (row.clamp(-border, height) + border) * wide + column.clamp(-border, width) + border
    padded = functional.pad(images, [border] * 4).flatten(2).int()
    index = first.flatten(1).long().unsqueeze(1).expand(-1, images.shape[1], -1)
    corners = [padded.gather(2, index + step).view_as(images) for step in (0, 1, wide, wide + 1)]
    right, down = right.unsqueeze(1), down.unsqueeze(1)
    above = corners[0] * (256 - right) + corners[1] * right
    below = corners[2] * (256 - right) + corners[3] * right
    return ((above * (256 - down) + below * down + (1 << 15)) >> 16).to(torch.uint8)


def _load(root: Path, of: str) -> Dataset:
    """Loads the dataset to be varied.

    Raises:
        DataError: if no built-in dataset has that name, or it cannot be loaded.
    """
    if of not in LOADERS:
        raise DataError(unknown("dataset", of, LOADERS))
    return LOADERS[of](root=root)


def _require_number(name: str, value: object, low: float, high: float) -> None:
    """Requires a number in a range.

    Raises:
        DataError: if it is none.
    """
    if not is_number(value) or not low <= value <= high:
        raise DataError(f"{name} {not_this(f'a number from {low:g} to {high:g}', value)}")


def _generator(purpose: str, seed: object) -> torch.Generator:
    """Returns a generator of a variant's own.

    Raises:
        DataError: if the seed is no whole number from 0.
    """
    if type(seed) is not int or seed < 0:
        raise DataError(f"seed {not_this('a whole number from 0', seed)}")
    return torch.Generator().manual_seed(seed_for(purpose, seed))
