"""The augmentation of the training images of a trial, on the device, with random numbers of its own.

The numbers of an image depend on the seed, the epoch and the image alone. So they are the same for every optimizer
and model, on every engine and device, and the numbers that a model draws (dropout) are what they are without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.errors import TrialError
from benchmnist.training.data import normalised_images, seed_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case


def numbers_of(seed: int, epoch: int, size: int, draws: int) -> Tensor:
    """Returns the random numbers of each example in an epoch, from 0 to 1, [size, draws], float32, on the CPU."""
    generator = torch.Generator().manual_seed(seed_for("augmentation", seed, epoch))
    return torch.rand(size, draws, generator=generator)


class Augmentation:
    """Augments batches of a trial, and normalises them afterwards if the case is normalised.

    Args:
        name: Its name in errors.
        function: What the `build` of its spec returned.
        draws: Random numbers per image.
        size: Number of training examples.
        device: Where the trial is trained.
        figures: Mean and standard deviation to normalise with; None does not.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Tensor, Tensor], Tensor],
        *,
        draws: int,
        size: int,
        device: torch.device,
        figures: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.name, self.function, self.draws, self.size, self.device = name, function, draws, size, device
        self.figures = None if figures is None else [each.to(device) for each in figures]
        self._numbers: Tensor | None = None
        self._first: Tensor | None = None

    def begin(self, seeds: tuple[int, ...], epoch: int) -> None:
        """Draws the numbers of an epoch; in memory that stays the same, which captured steps read."""
        each = {seed: numbers_of(seed, epoch, self.size, self.draws) for seed in {*seeds}}
        drawn = torch.cat([each[seed] for seed in seeds])
        if self._numbers is None or len(self._numbers) != len(drawn):
            self._numbers = torch.empty_like(drawn, device=self.device)
            self._first = self.size * torch.arange(len(seeds), device=self.device)[:, None]
        self._numbers.copy_(drawn)

    def __call__(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Augments the images [..., C, H, W] of the examples [...]; of several seeds, [..., seeds, batch].

        Raises:
            TrialError: if the function returns images of another shape or type.
        """
        if self._numbers is None or self._first is None:
            raise RuntimeError("no epoch was begun")
        if len(self._first) > 1:
            chosen = chosen + self._first
        numbers = self._numbers.index_select(0, chosen.flatten())
        found = self.function(images.flatten(0, chosen.ndim - 1), numbers)
        require_images(found, images.flatten(0, chosen.ndim - 1), self.name)
        if self.figures is not None:
            found = normalised_images(found, *self.figures)
        return found.view(images.shape)


def require_images(found: object, images: Tensor, name: str) -> None:
    """Requires that augmented images are as the images were.

    Raises:
        TrialError: if they are not.
    """
    if not isinstance(found, torch.Tensor):
        raise TrialError(f"the augmentation {name!r} returns a {type(found).__name__}, not a tensor")
    for what in ("shape", "dtype", "device"):
        if (now := getattr(found, what)) != (before := getattr(images, what)):
            raise TrialError(f"the augmentation {name!r} returns images of {what} {now}, not {before}")


def build_augmentation(
    case: Case, registry: Registry, dataset: Dataset, device: torch.device
) -> Augmentation | None:
    """Returns the augmentation of a trial; None if the case has none."""
    if case.augmentation is None:
        return None
    spec = registry.augmentations[case.augmentation.use].spec
    return Augmentation(
        case.augmentation.use,
        spec.load()(**case.augmentation.params),
        draws=spec.draws,
        size=len(dataset.train_images),
        device=device,
        figures=dataset.of_channels if case.normalise else None,
    )
