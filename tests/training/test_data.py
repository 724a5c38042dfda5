from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_support import make_case

from benchmnist.errors import DataError
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import Dataset
from benchmnist.suites.cases import Case, Component
from benchmnist.tasks import Classification
from benchmnist.training.data import (
    Datasets,
    check_dataset,
    default_data_root,
    epoch_order,
    held_out,
    normalised,
    seed_for,
    to_unit,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Damage = Callable[[torch.Tensor], object]

SEEDS = st.integers(0, 2**40)
HELD_OUT = [5, 1, 3, 6, 1, 7, 3, 4, 4, 4, 5, 6]
"""Of the first of 10,000 examples of MNIST that are held out: as long as this is so, keys may be kept."""


@given(st.integers(1, 300), SEEDS, st.integers(1, 50))
def test_an_order_is_a_permutation_and_always_the_same(size: int, seed: int, epoch: int) -> None:
    order = epoch_order(size, seed, epoch)
    assert sorted(order.tolist()) == list(range(size))
    torch.manual_seed(seed)  # whatever the default generator does
    assert epoch_order(size, seed, epoch).equal(order)


def test_the_order_is_the_same_in_every_version() -> None:
    assert epoch_order(8, 0, 1).tolist() == [0, 6, 5, 1, 7, 4, 3, 2]
    assert epoch_order(8, 3, 2).tolist() == [2, 3, 1, 0, 6, 7, 4, 5]
    assert (seed_for("order", 0, 1), seed_for("weights", 0)) == (3318009673, 3348386690)


@given(st.lists(st.tuples(st.sampled_from(["order", "noise", "weights"]), SEEDS, SEEDS), unique=True, max_size=30))
def test_no_two_purposes_share_a_seed(uses: list[tuple[str, int, int]]) -> None:
    assert len({seed_for(*use) for use in uses}) == len(uses)


def test_pixels_are_as_totensor_makes_them() -> None:
    from benchmnist.training.torchvision_repair import import_torchvision

    import_torchvision()
    from torchvision.transforms import ToPILImage, ToTensor

    image = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    assert to_unit(image, torch.device("cpu")).equal(ToTensor()(ToPILImage()(image)))


BROKEN = """
import torch
from benchmnist import Dataset, DatasetSpec, hookimpl

def build(*, root, train_images=(4, 1, 2, 2), labels=(0, 1, 0, 1), dtype="uint8", whole=True):
    images = torch.zeros(train_images, dtype=getattr(torch, dtype))
    data = Dataset(images, torch.tensor(labels), images, torch.tensor(labels), ("a", "b"))
    return data if whole else images

@hookimpl
def benchmnist_datasets():
    return [DatasetSpec(name="tiny", summary="", build=build)]
"""


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"whole": False}, "the dataset 'tiny' of benchmnist-tiny is a Tensor, not a benchmnist.Dataset"),
        ({"labels": (0, 1, 2, 0)}, "has train labels from 0 to 2, that are not 0 to 1, as its 2 classes are"),
    ],
)
def test_a_dataset_that_is_not_one_is_refused(
    install_plugin: Callable[..., None], tmp_path: Path, params: dict[str, Any], expected: str
) -> None:
    install_plugin("tiny", BROKEN)
    component = Component(name="tiny", use="tiny", params=params, distribution="benchmnist-tiny", version="1.0")
    case = make_case(dataset=component, train_size=None, test_size=None)
    with pytest.raises(DataError, match=expected):
        Datasets(find_plugins(), tmp_path).for_case(case)


WHOLE: dict[str, Any] = {
    "train_images": torch.zeros(6, 1, 2, 2),
    "train_labels": torch.tensor([0, 1, 0, 1, 0, 1]),
    "test_images": torch.zeros(4, 1, 2, 2),
    "test_labels": torch.tensor([0, 1, 0, 1]),
    "classes": ("a", "b"),
}
DAMAGED: dict[str, Damage] = {
    "labels": lambda images: images[:, 0, 0, 0],
    "five dimensions": lambda images: images.unsqueeze(0),
    "three dimensions": lambda images: images[0],
    "int8": lambda images: images.to(torch.int8),
    "double": lambda images: images.double(),
    "no pixels": lambda images: images[:, :, :0, :0],
    "none": lambda images: images[:0],
    "fewer": lambda images: images[1:],
    "larger": lambda images: torch.cat([images, images], dim=2),
    "NaN": lambda images: images.index_fill(0, torch.tensor(1), float("nan")),
    "infinite": lambda images: images.index_fill(0, torch.tensor(0), float("-inf")),
    "array": lambda images: images.numpy(),
    "sparse": lambda images: images.to_sparse(),
    "meta": lambda images: images.to("meta"),
    "scalar": lambda images: images.sum(),
    "nothing": lambda _: None,
}
WRONG_LABELS: dict[str, Damage] = {
    "float": lambda labels: labels.float(),
    "negative": lambda labels: labels - 1,
    "too large": lambda labels: labels + 1,
    "columns": lambda labels: labels[:, None],
    "fewer": lambda labels: labels[1:],
    "none": lambda labels: labels[:0],
    "list": lambda labels: labels.tolist(),
    "int32": lambda labels: labels.int(),
}
WRONG_CLASSES: tuple[object, ...] = (np.array(["a", "b"]), (), ("a",), (1, 2), "ab", None)


@given(st.sampled_from(["train", "test"]), st.data())
def test_whatever_is_damaged_is_said_of_its_part(part: str, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["images", "labels", "classes"]))
    parts: dict[str, Any] = dict(WHOLE)
    if kind == "classes":
        parts["classes"] = data.draw(st.sampled_from(WRONG_CLASSES))
    else:
        damage = data.draw(st.sampled_from([*(DAMAGED if kind == "images" else WRONG_LABELS).items()]))[1]
        parts[f"{part}_{kind}"] = damage(parts[f"{part}_{kind}"])
    with pytest.raises(DataError, match=rf"^it (has|names) [^\n]*({part}|class)[^\n]*$"):
        checked(**parts)


def test_a_whole_dataset_is_not_refused_but_one_class_of_several_is() -> None:
    checked(**WHOLE)
    checked(**WHOLE | {"test_labels": torch.tensor([1, 1, 1, 1])})
    checked(**WHOLE | {"classes": ["a", "b"]})
    with pytest.raises(DataError, match="train images that require gradients; return them detached"):
        checked(**WHOLE | {"train_images": WHOLE["train_images"].clone().requires_grad_()})
    with pytest.raises(DataError, match="it has only the label 1 in training, of 2 classes"):
        checked(**WHOLE | {"train_labels": torch.ones(6, dtype=torch.int64)})


def checked(**parts: Any) -> None:
    check_dataset(Dataset(**parts), "it")
    Classification().check(Dataset(**parts), "it")


def test_a_dataset_is_loaded_once(install_plugin: Callable[..., None], tmp_path: Path) -> None:
    install_plugin("tiny", BROKEN)
    datasets = Datasets(find_plugins(), tmp_path)
    component = Component(name="tiny", use="tiny", params={}, distribution="x", version="1")
    assert datasets.load(component) is datasets.load(component)


@given(st.integers(2, 60), st.data())
def test_what_is_held_out_is_not_trained_on_and_nothing_is_lost(there: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, there - 1))
    labels = torch.arange(there)
    images = labels.view(-1, 1, 1, 1).to(torch.uint8)
    test = torch.full((3,), 59)
    whole = Dataset(images, labels, test.view(-1, 1, 1, 1).to(torch.uint8), test, tuple(map(str, range(60))))
    part = held_out(whole, size, "x")
    assert len(part.test_labels) == size
    assert sorted([*part.train_labels.tolist(), *part.test_labels.tolist()]) == [*range(there)]
    for kept, of_them in ((part.train_images, part.train_labels), (part.test_images, part.test_labels)):
        assert kept.flatten().tolist() == of_them.tolist()
    assert held_out(whole, size, "x").test_labels.equal(part.test_labels)


def test_what_is_held_out_is_drawn_of_all_classes_and_the_same_everywhere() -> None:
    case = make_case(validation_size=10_000, train_size=None, test_size=10)
    part = Datasets(find_plugins(), default_data_root()).for_case(case)
    assert (len(part.train_labels), len(part.test_labels)) == (50_000, 10_000)
    assert part.test_labels.bincount().min() > 800
    assert part.test_labels[:12].tolist() == HELD_OUT


def test_more_cannot_be_held_out_than_there_is() -> None:
    with pytest.raises(DataError, match="validation_size = 60000, but must be less than 60000"):
        Datasets(find_plugins(), default_data_root()).for_case(make_case(validation_size=60_000))


@pytest.mark.parametrize("of", ["uint8", "float32"])
def test_normalised_images_have_the_figures_of_the_training_images(of: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(300, 3, 8, 8, generator=generator) * torch.tensor([1.0, 0.5, 0.1]).view(3, 1, 1)
    pixels[:, 2] = 0.2  # a channel without any difference
    images = (pixels * 255).byte() if of == "uint8" else pixels
    labels = torch.arange(300) % 2
    whole = Dataset(
        images[:200], labels[:200], images[200:] // 2 if of == "uint8" else images[200:] / 2, labels[200:]
    )
    made = normalised(whole)
    mean, std = made.train_images.mean((0, 2, 3)), made.train_images.std((0, 2, 3), correction=0)
    assert mean.abs().max() < 1e-5
    assert torch.allclose(std, torch.tensor([1.0, 1.0, 0.0]), atol=1e-4)
    scale = 255 if of == "uint8" else 1
    of_test = made.test_images * std_of(images[:200] / scale) + (images[:200] / scale).mean((0, 2, 3)).view(
        3, 1, 1
    )
    assert torch.allclose(of_test, whole.test_images / scale, atol=1e-5)
    assert torch.equal(whole.train_images, images[:200])


def std_of(images: torch.Tensor) -> torch.Tensor:
    """That of each channel, 1 for one without any difference."""
    found = images.std((0, 2, 3), correction=0)
    return found.where(found > 1e-6, 1.0).view(3, 1, 1)


def test_a_case_is_normalised_by_the_part_that_it_trains_on() -> None:
    datasets = Datasets(find_plugins(), default_data_root())
    part = Component(name="mnist", use="mnist", params={}, distribution="", version="")
    case = Case(
        id="x", dataset=part, model=part, optimizer=part, epochs=1, batch_size=1, seeds=(0,), train_size=500
    )
    plain, data = (datasets.for_case(case.model_copy(update={"normalise": each})) for each in (False, True))
    assert data.train_images.mean().abs() < 1e-5
    assert data.train_images.std().item() == pytest.approx(1, abs=1e-4)
    mean, std = plain.of_channels
    assert torch.equal(data.test_images[:9], (plain.test_images[:9] / 255 - mean) / std)
    assert datasets.digest(case) == datasets.digest(case.model_copy(update={"normalise": True}))
