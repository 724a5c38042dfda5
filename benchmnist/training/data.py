"""The examples and their order."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import torch

from benchmnist.errors import DataError
from benchmnist.extensions.specs import CLASSIFICATION, Dataset
from benchmnist.tasks import build_task, prepared

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.cases import Case, Component


def seed_for(purpose: str, *numbers: int) -> int:
    """Returns a 32-bit seed for one purpose: always the same, and unlike those of neighbouring numbers."""
    digest = hashlib.blake2b(f"{purpose}/{numbers}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def seed_everything(seed: int) -> None:
    """Seeds the global random number generators of torch, Python and numpy."""
    # torch.manual_seed would keep a call, with its traceback, for each kind of device that has not begun: of a
    # small trial, a quarter of the time.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what a model may draw from


def epoch_order(size: int, seed: int, epoch: int) -> Tensor:
    """Returns the order of the examples in an epoch: a permutation of 0 to size - 1, [size], int64, on the CPU.

    It depends on nothing else, so that every engine, device and executor uses the same examples at the same time.
    """
    generator = torch.Generator().manual_seed(seed_for("order", seed, epoch))
    return torch.randperm(size, generator=generator)


def to_unit(images: Tensor, device: torch.device) -> Tensor:
    """Converts images to float32 on the device, with pixels in [0, 1], like torchvision's ToTensor."""
    moved = images.to(device)
    return moved.to(torch.float32).div_(255) if moved.dtype == torch.uint8 else moved


def default_data_root() -> Path:
    """Returns the folder of the datasets: `BENCHMNIST_DATA`, or the user's cache folder."""
    return Path(os.environ.get("BENCHMNIST_DATA") or platformdirs.user_cache_path("benchmnist") / "data")


class Datasets:
    """Loads datasets through their plugins, and keeps the current one, for cases that share it."""

    def __init__(self, registry: Registry, root: Path) -> None:
        self.registry, self.root = registry, root
        self._kept: tuple[str, Dataset] | None = None
        self._digest: str | None = None  # of the one that is kept
        self._part: tuple[tuple[object, ...], Dataset] | None = None  # of the one that is kept
        self._suits: set[str] = set()  # the tasks that the one that is kept was checked for

    def load(self, component: Component) -> Dataset:
        """Loads a whole dataset.

        Raises:
            DataError: if its plugin cannot provide it, or provides an invalid Dataset.
        """
        key = component.identity
        if self._kept is None or self._kept[0] != key:
            spec = self.registry.datasets[component.use].spec
            # Before the next is loaded, so that there is never room for two needed.
            self._kept = self._digest = self._part = None
            self._suits = set()
            dataset = spec.load()(root=self.root, **component.params)
            check_dataset(dataset, _name(component))
            self._kept = key, dataset
        return self._kept[1]

    def digest(self, case: Case) -> str:
        """Returns a hash of the contents of a case's whole dataset."""
        dataset = self.load(case.dataset)
        if self._digest is None:
            digest = hashlib.blake2b(json.dumps(dataset.classes).encode(), digest_size=16)
            parts = dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels
            for part in parts:
                digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
                digest.update(part.detach().contiguous().flatten().view(torch.uint8).numpy().data)
            self._digest = digest.hexdigest()
        return self._digest

    def for_case(self, case: Case) -> Dataset:
        """Returns the part of its dataset that a case uses, prepared for its task: one object for equal parts.

        Raises:
            DataError: like `load`; if it does not suit the task or has too few examples for the case; if the case
                augments the images that its task takes for targets, or normalises those that its task has made.
        """
        whole = self.load(case.dataset)
        identity = case.task.identity if case.task else ""
        # Where images are augmented, those of training are normalised afterwards, by the trial.
        train_too = case.normalise and case.augmentation is None
        wanted = (
            *(case.train_size, case.test_size, case.validation_size, identity),
            *(case.normalise, train_too, case.augmentation is None),
        )
        if self._part is None or self._part[0] != wanted:
            self._part = None
            task = build_task(case, self.registry)
            if identity not in self._suits:
                task.check(whole, _name(case.dataset))
                self._suits.add(identity)
            part = self._cut(whole, case)
            ready = prepared(task, part)
            if ready is not part:
                name = f"the task {case.task.use if case.task else CLASSIFICATION!r}"
                check_dataset(ready, f"what {name} prepares")
                if case.augmentation is not None:
                    raise DataError(
                        f"{name} learns the images themselves, not augmented ones; remove augmentation"
                    )
                if case.normalise and ready.train_images is not part.train_images:
                    raise DataError(f"{name} makes images of its own, with pixels in [0, 1]; remove normalise")
            # Afterwards, since the targets of a task may be made of the pixels themselves.
            self._part = wanted, normalised(ready, train_too=train_too) if case.normalise else ready
        return self._part[1]

    @staticmethod
    def _cut(dataset: Dataset, case: Case) -> Dataset:
        test_size = case.test_size
        if case.validation_size is not None:
            dataset, test_size = held_out(dataset, case.validation_size, case.dataset.name), None
        for part, wanted, there in (
            ("train", case.train_size, len(dataset.train_images)),
            ("test", test_size, len(dataset.test_images)),
        ):
            if wanted is not None and wanted > there:
                kind = {"train": "training", "test": "test"}[part]
                raise DataError(
                    f"{part}_size = {wanted}, but {case.dataset.name} has only {there} {kind} examples"
                )
        return dataset.first(case.train_size, test_size)


def normalised(dataset: Dataset, *, train_too: bool = True) -> Dataset:
    """Normalises a dataset's images, or only those of the test, by the figures of its training images."""
    train, test = (
        normalised_images(to_unit(images, images.device), *dataset.of_channels) if wanted else images
        for images, wanted in ((dataset.train_images, train_too), (dataset.test_images, True))
    )
    return replace(dataset, train_images=train, test_images=test)


def normalised_images(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Subtracts the mean of each channel of float32 images [N, C, H, W], and divides by its standard deviation."""
    return (images - mean) / std


def held_out(dataset: Dataset, size: int, name: str) -> Dataset:
    """Splits the training examples into a test set of a given size and a training set of the rest.

    The split is random, since a dataset may be ordered, and always the same. The original test set is left out, so
    that choices by the results do not use it.

    Raises:
        DataError: if no training example would be left; the message begins with the name.
    """
    there = len(dataset.train_images)
    if size >= there:
        raise DataError(
            f"validation_size = {size}, but must be less than {there}, the training examples of {name}"
        )
    generator = torch.Generator().manual_seed(seed_for("validation"))
    order = torch.randperm(there, generator=generator)
    held, left = order[:size].sort().values, order[size:].sort().values
    return Dataset(
        dataset.train_images[left],
        dataset.train_labels[left],
        dataset.train_images[held],
        dataset.train_labels[held],
        dataset.classes,
    )


def _name(component: Component) -> str:
    """Returns the name of a dataset in errors."""
    return f"the dataset {component.use!r} of {component.distribution}"


def check_dataset(dataset: object, name: str) -> None:
    """Checks that the dataset of a plugin is as Dataset describes for every task.

    Raises:
        DataError: if it is not; the message begins with the name.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(f"{name} is a {type(dataset).__name__}, not a benchmnist.Dataset")
    for part, images, labels in (
        ("train", dataset.train_images, dataset.train_labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        if mistake := _wrong_tensors(part, images, labels):
            raise DataError(f"{name} has {mistake}")
    train, test = (f"{list(i.shape[1:])} of {i.dtype}" for i in (dataset.train_images, dataset.test_images))
    if train != test:
        raise DataError(f"{name} has train images {train} and test images {test}; they must be alike")
    classes: object = dataset.classes
    if not isinstance(classes, (tuple, list)) or not all(isinstance(each, str) for each in classes):
        has = "not all strings" if isinstance(classes, (tuple, list)) else f"a {type(classes).__name__}"
        raise DataError(f"{name} has classes that are {has}; return a tuple of strings")


def _wrong_tensors(part: str, images: object, labels: object) -> str:
    """Says what is wrong with the images and labels of a part, "train" or "test"; empty if nothing is."""
    for kind, each in (("images", images), ("labels", labels)):
        if not isinstance(each, torch.Tensor):
            return f"{part} {kind} that are a {type(each).__name__}, not a tensor"
        if each.device.type != "cpu" or each.layout != torch.strided:
            return f"{part} {kind} on {each.device.type} ({each.layout}); return dense tensors on the CPU"
        if each.requires_grad:
            return f"{part} {kind} that require gradients; return them detached"
        if not each.ndim or not each.numel():
            return f"{part} {kind} {list(each.shape)}, which are none"
    assert isinstance(images, torch.Tensor)  # noqa: S101 - just checked
    assert isinstance(labels, torch.Tensor)  # noqa: S101
    if images.ndim != 4 or images.dtype not in (torch.uint8, torch.float32):  # noqa: PLR2004 - N, C, H, W
        shape = f"{list(images.shape)} of {images.dtype}"
        return f"{part} images {shape}, not [N, C, H, W] of uint8 or float32"
    if len(labels) != len(images):
        return f"{len(images)} {part} images and {len(labels)} labels"
    # A sum is finite only if each pixel is, and needs no memory; of large pixels it may not be.
    if images.is_floating_point() and not images.sum().isfinite() and not (finite := images.isfinite()).all():
        return f"{part} images with pixels that are not finite, the first in image {(~finite).nonzero()[0, 0]}"
    return ""
