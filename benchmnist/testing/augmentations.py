"""The promises of an augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmnist.errors import TrialError
from benchmnist.extensions.kinds import AUGMENTATION
from benchmnist.testing import parameters
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check
from benchmnist.testing.problem import CASE
from benchmnist.training.augmentation import numbers_of, require_images
from benchmnist.training.data import to_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    Augment = Callable[[Tensor, Tensor], Tensor]

BATCH = 24


def _build(subject: Subject, **params: Any) -> Augment:
    """Builds the function with these parameters over its defaults."""
    made: Augment = subject.offer.spec.load()(**{**subject.offer.spec.defaults, **params})
    if not callable(made):
        raise Miss(f"build returned {made!r}, which cannot be called")
    return made


def _batch(subject: Subject) -> tuple[Tensor, Tensor]:
    """Returns digits of MNIST, and their random numbers."""
    images = to_unit(subject.datasets.for_case(CASE).train_images[:BATCH], torch.device("cpu")).clone()
    return images, numbers_of(0, 1, len(images), subject.offer.spec.draws)


def _apply(subject: Subject, images: Tensor, numbers: Tensor, augment: Augment | None = None) -> Tensor:
    """Augments images, and checks what is returned."""
    found = (augment or _build(subject))(images, numbers)
    try:
        require_images(found, images, subject.name)
    except TrialError as error:
        raise Miss(str(error)) from error
    return found


@check(
    "give every parameter of `build` a default that works; return a function of (images, numbers) that returns "
    "images of the same shape and type",
    first=True,
)
def keeps_the_form(subject: Subject) -> None:
    """Returns images of the same shape and type, with finite pixels, also of a batch of one."""
    images, numbers = _batch(subject)
    for size in (len(images), 1):
        found = _apply(subject, images[:size], numbers[:size])
        if not found.isfinite().all():
            raise Miss("it returns pixels that are not finite")


@check("draw nothing but `numbers`; set `draws` on the spec to as many as an image needs")
def follows_its_numbers(subject: Subject) -> None:
    """Returns the same for the same images and numbers, whatever torch's seed."""
    images, numbers = _batch(subject)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(_apply(subject, images.clone(), numbers))
    if not torch.equal(*found):
        raise Miss("it returns other images the second time")


@check("compute new images, and leave those that are given: no operation in place on the arguments")
def leaves_its_arguments(subject: Subject) -> None:
    """Changes neither the images nor the numbers that it is given."""
    images, numbers = _batch(subject)
    before = images.clone(), numbers.clone()
    _apply(subject, images, numbers)
    if not (torch.equal(images, before[0]) and torch.equal(numbers, before[1])):
        raise Miss("it changes its arguments")


@check("let the change of an image depend on the image and its row of `numbers` alone")
def changes_each_image_by_itself(subject: Subject) -> None:
    """Changes each image in the same way, whatever batch it is in."""
    images, numbers = _batch(subject)
    together = _apply(subject, images, numbers)
    half = len(images) // 2
    apart = torch.cat([_apply(subject, images[part], numbers[part]) for part in (slice(half), slice(half, None))])
    if not torch.allclose(together, apart, atol=1e-5):
        raise Miss("in another batch, an image is changed otherwise")


@check("set `pure=True` only for a function that draws nothing and keeps nothing between calls")
def is_pure_if_it_says_so(subject: Subject) -> None:
    """Draws no random numbers of torch's, if its spec says that it is pure."""
    if not subject.offer.spec.pure:
        raise DoesNotApply("its spec does not say that it is pure")
    images, numbers = _batch(subject)
    augment, state = _build(subject), torch.get_rng_state()
    first, second = (_apply(subject, images, numbers, augment) for _ in range(2))
    if not torch.equal(state, torch.get_rng_state()):
        raise Miss("it draws from torch's generator")
    if not torch.equal(first, second):
        raise Miss("its second call returns other images")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    keeps_the_form,
    parameters.takes_its_parameters("built", AUGMENTATION.harness, _build),
    parameters.refuses_unknown_parameters(_build),
    parameters.leaves_torch_alone(_build),
    follows_its_numbers,
    leaves_its_arguments,
    changes_each_image_by_itself,
    is_pure_if_it_says_so,
)
