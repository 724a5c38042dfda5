"""The law of each variant: what it changes, how much, and what it leaves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmnist.builtin import datasets, variants
from benchmnist.errors import DataError
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.cases import Case, Component
from benchmnist.training.data import Datasets, default_data_root

ROOT = default_data_root()


@pytest.fixture(scope="module")
def mnist() -> Any:
    return datasets.mnist(root=ROOT)


@settings(max_examples=3, deadline=None)
@given(st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 5))
def test_noisy_labels_are_as_many_as_asked_and_nested(one: float, more: float, seed: int) -> None:
    mnist = datasets.mnist(root=ROOT)
    wrong = []
    for noise in (one, one + more):
        data = variants.noisy_labels(root=ROOT, noise=noise, seed=seed)
        wrong.append(data.train_labels != mnist.train_labels)
        assert wrong[-1].sum() == round(noise * 60000)
        assert 0 <= data.train_labels.min() <= data.train_labels.max() <= 9
        assert torch.equal(data.test_labels, mnist.test_labels)
        assert torch.equal(data.train_images, mnist.train_images)
    assert not (wrong[0] & ~wrong[1]).any()


def test_all_labels_wrong_are_those_of_every_other_class(mnist: Any) -> None:
    data = variants.noisy_labels(root=ROOT, noise=1)
    seen = torch.stack([data.train_labels[mnist.train_labels == c].bincount(minlength=10) for c in range(10)])
    assert (seen.diagonal() == 0).all()
    assert (seen + torch.eye(10) * 600 > 500).all()  # of about 6,000 / 9 each; those of fewer are far in the tail


@settings(max_examples=4, deadline=None)
@given(st.floats(1, 1000))
def test_the_classes_of_an_imbalanced_set_fall_by_one_factor(ratio: float) -> None:
    data, mnist = variants.imbalanced(root=ROOT, ratio=ratio), datasets.mnist(root=ROOT)
    counts, there = data.train_labels.bincount(), mnist.train_labels.bincount()
    expected = counts[0] * ratio ** (-torch.arange(10) / 9)
    assert (counts - expected).abs().max() <= 1
    assert (counts <= there).all()
    assert (counts >= there - 1).any()  # the largest that there are
    assert torch.equal(data.test_images, mnist.test_images)


def test_the_examples_of_an_imbalanced_set_are_mnists_in_their_order(mnist: Any) -> None:
    data = variants.imbalanced(root=ROOT, ratio=1000)
    rows = {bytes(image.flatten().tolist()): n for n, image in enumerate(mnist.train_images[:3000])}
    found = [rows.get(bytes(image.flatten().tolist())) for image in data.train_images[:150]]
    positions = [n for n in found if n is not None]
    assert len(positions) > 10
    assert positions == sorted(positions)
    assert [mnist.train_labels[n].item() for n in positions] == [
        label for label, n in zip(data.train_labels.tolist(), found, strict=False) if n is not None
    ]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 9)])
def test_a_quarter_turn_moves_pixels_and_no_more(turns: int, shape: tuple[int, ...]) -> None:
    images = torch.randint(0, 256, (5, *shape), generator=torch.Generator().manual_seed(0)).byte()
    turned = variants.rotate(images, torch.full((5,), 90.0 * turns, dtype=torch.float64))
    assert torch.equal(turned, images.rot90(turns, (2, 3)))


def test_a_rotation_keeps_the_mass_of_digits_and_moves_each_by_its_own_angle(mnist: Any) -> None:
    data = variants.rotated(root=ROOT)
    before, after = mnist.test_images.float().sum((1, 2, 3)), data.test_images.float().sum((1, 2, 3))
    assert (after / before).sub(1).abs().mean() < 0.01  # interpolation; corners that are cut off are black
    assert (data.train_images != mnist.train_images).flatten(1).any(1).float().mean() > 0.99
    assert torch.equal(data.train_labels, mnist.train_labels)
    assert torch.equal(variants.rotated(root=ROOT, degrees=0).train_images, mnist.train_images)


def test_one_permutation_is_of_all_images_of_training_and_test(mnist: Any) -> None:
    data = variants.permuted(root=ROOT)
    order = variants.permuted(root=ROOT, seed=1)
    for part in ("train_images", "test_images"):
        ours, theirs = (getattr(d, part).flatten(1) for d in (data, mnist))
        assert torch.equal(ours[:500].sort(1).values, theirs[:500].sort(1).values)
        assert not torch.equal(getattr(order, part), getattr(data, part))
    columns = {bytes(column.tolist()): n for n, column in enumerate(mnist.train_images.flatten(1)[:3000].T)}
    for n, column in enumerate(data.train_images.flatten(1)[:3000].T):
        if column.any():  # of the pixels that some image has, it is known which came from which
            source = columns[bytes(column.tolist())]
            assert torch.equal(data.test_images.flatten(1)[:, n], mnist.test_images.flatten(1)[:, source])


@pytest.mark.parametrize(
    ("variant", "params", "said"),
    [
        ("noisy_labels", {"noise": 1.5}, r"noise must be a number from 0 to 1, not 1\.5"),
        ("noisy_labels", {"noise": "much"}, r'noise must be a number from 0 to 1, not "much"'),
        ("imbalanced", {"ratio": 0.5}, r"ratio must be a number from 1 to 1e\+09, not 0\.5"),
        ("imbalanced", {"ratio": 1e6}, r"ratio = 1000000\.0 leaves no example of '.* - \w+'; make it smaller"),
        ("rotated", {"degrees": float("nan")}, "degrees must be a number from 0 to 180, not nan"),
        ("permuted", {"seed": -1}, "seed must be a whole number from 0, not -1"),
        ("permuted", {"of": "mnits"}, "no dataset named 'mnits'. Did you mean 'mnist'?"),
    ],
)
def test_a_parameter_out_of_range_is_refused(variant: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        getattr(variants, variant)(root=ROOT, **params)


def test_other_parameters_are_other_contents() -> None:
    loaded = Datasets(find_plugins(), ROOT)
    digests = set()
    for use, params in (
        ("mnist", {}),
        ("mnist-noisy-labels", {}),
        ("mnist-noisy-labels", {"noise": 0.4}),
        ("mnist-noisy-labels", {"seed": 1}),
        ("mnist-permuted", {}),
    ):
        part = Component(name=use, use=use, params=params, distribution="benchmnist", version="0")
        case = Case(id="x", dataset=part, model=part, optimizer=part, epochs=1, batch_size=1, seeds=(0,))
        digests.add(loaded.digest(case))
    assert len(digests) == 5
