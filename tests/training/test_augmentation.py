"""Augmentation: the same images on every engine, and nothing else changed by it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_support import standin
from training_support import component, losses, make_case, result_of

from benchmnist.builtin.augmentations import DRAWS, mixed
from benchmnist.training.augmentation import numbers_of

EVERYTHING = {
    "padding": 2,
    "flip": 0.5,
    "degrees": 20,
    "scale": 0.2,
    "brightness": 0.3,
    "contrast": 0.3,
    "erase": 0.5,
}
ALL = component("none", **EVERYTHING)
OPTIONS = {"optimizer": "sgd", "epochs": 2, "train_size": 250, "test_size": 100, "normalise": True}


def images_of(count: int, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, 12, 12, generator=torch.Generator().manual_seed(1))


def test_engines_agree_on_augmented_images(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**OPTIONS, "augmentation": ALL, "seeds": (3, 0), "model": component("fc", hidden_size=30)}
    reference = result_of(make_case(engine="dataloader", **options))
    found = [result_of(make_case(engine=engine, **options)) for engine in ("resident", "stacked")]
    monkeypatch.setenv("BENCHMNIST_RECORDED", "1")
    found.append(result_of(make_case(engine="resident", **options | {"train_size": 250})))
    assert [each.engine for each in found] == ["resident", "stacked", "resident"]
    assert "recorded" in found[-1].remarks
    for each in found:
        assert losses(each) == pytest.approx(losses(reference), rel=1e-4)
    plain = result_of(make_case(engine="resident", **options | {"augmentation": None}))
    assert losses(plain) != pytest.approx(losses(reference), rel=1e-2)


def test_a_graph_and_streams_draw_the_same_anew_in_each_epoch() -> None:
    options = {**OPTIONS, "augmentation": ALL, "seeds": (0, 1), "model": component("fc", hidden_size=30)}
    reference = result_of(make_case(engine="resident", **options))
    with standin():
        for engine in ("graph", "streams"):
            result = result_of(make_case(engine=engine, **options), "cuda:0")
            assert result.engine == engine, result.remarks
            assert losses(result) == pytest.approx(losses(reference), rel=1e-4)


def test_no_change_and_no_augmentation_have_the_same_bits_and_dropout_its_numbers() -> None:
    options = {**OPTIONS, "model": "fc-bn-dropout", "train_size": 130, "engine": "resident"}
    one, other = (result_of(make_case(augmentation=each, **options)) for each in (None, component("none")))
    assert losses(one) == losses(other)


def test_a_transform_of_torchvision_is_the_same_on_each_engine_and_leaves_dropout_its_numbers() -> None:
    still = component("torchvision", transform="RandomRotation", degrees=0)
    turned = component("torchvision", transform="RandomRotation", degrees=40)
    options = {**OPTIONS, "model": "fc-bn-dropout", "train_size": 130, "epochs": 1}
    found = [
        losses(result_of(make_case(augmentation=each, engine=engine, **options)))
        for each, engine in ((None, "resident"), (still, "resident"), (turned, "resident"), (turned, "dataloader"))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[2] == pytest.approx(found[3], rel=1e-4)
    assert found[1] != pytest.approx(found[2], rel=1e-2)


def test_what_does_not_say_that_it_is_pure_is_not_stacked() -> None:
    case = make_case(
        augmentation=component("torchvision"), engine="stacked", seeds=(0, 1), **OPTIONS | {"epochs": 1}
    )
    result = result_of(case)
    assert result.engine == "resident"
    assert "not stacked: the augmentation torchvision does not say that it is pure" in result.remarks


@given(st.integers(0, 2**32 - 1), st.integers(1, 100))
def test_the_numbers_of_an_epoch_are_of_its_seed_and_number_alone(seed: int, epoch: int) -> None:
    one = numbers_of(seed, epoch, 20, 3)
    torch.manual_seed(epoch)
    assert torch.equal(one, numbers_of(seed, epoch, 20, 3))
    assert not torch.equal(one, numbers_of(seed, epoch + 1, 20, 3))
    assert 0 <= one.min() <= one.max() < 1


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(0, 1000))
def test_a_crop_is_a_shifted_image_with_black_around(padding: int, seed: int) -> None:
    images, numbers = images_of(20), numbers_of(seed, 1, 20, DRAWS)
    numbers[0] = 1 - 2**-24  # the largest that there is
    found = mixed(padding=padding, flip=0.5)(images, numbers)
    padded = torch.nn.functional.pad(images, [padding] * 4)
    flipped = numbers[:, 2] < 0.5
    for image, whole, turned in zip(found, padded, flipped, strict=True):
        upright = image.flip(-1) if turned else image
        windows = whole.unfold(1, 12, 1).unfold(2, 12, 1)[0]
        assert (windows == upright[0]).all(-1).all(-1).any()


def test_a_rotation_by_an_angle_turns_about_the_centre_and_a_scale_keeps_it() -> None:
    images, numbers = images_of(6), torch.full((6, DRAWS), 0.5)
    assert torch.allclose(mixed(degrees=90, scale=0.5)(images, numbers), images, atol=1e-5)
    numbers[:, 3] = 1
    turned = mixed(degrees=90)(images, numbers)
    assert any(torch.allclose(turned, images.rot90(turns, (2, 3)), atol=1e-4) for turns in (1, 3))


def test_erasing_blackens_as_many_rectangles_of_the_stated_size() -> None:
    images, numbers = torch.ones(4000, 3, 20, 20), numbers_of(0, 1, 4000, DRAWS)
    black = mixed(erase=0.3)(images, numbers) == 0
    happened = numbers[:, 8] < 0.3
    assert torch.equal(black.flatten(1).any(1), happened)
    assert torch.equal(black[:, 0], black[:, 2])
    areas = black[happened, 0].float().mean((1, 2))
    assert 0.01 < areas.min() < areas.max() < 0.37  # sides are whole pixels
    for each in black[happened, 0][:50]:
        assert each.sum() == each.any(0).sum() * each.any(1).sum()  # a rectangle


def test_jitter_keeps_pixels_in_range_and_grey_images_their_saturation() -> None:
    images, numbers = images_of(30, 3), numbers_of(0, 1, 30, DRAWS)
    found = mixed(brightness=1, contrast=1, saturation=1)(images, numbers)
    assert 0 <= found.min() <= found.max() <= 1
    grey = images[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(mixed(saturation=1)(grey, numbers), grey, atol=1e-5)
    with pytest.raises(ValueError, match="saturation needs images in red, green and blue"):
        mixed(saturation=0.1)(images[:, :1], numbers)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"padding": 1.5}, r"padding must be a whole number from 0 to 100, not 1\.5"),
        ({"flip": 2}, "flip must be a number from 0 to 1, not 2"),
        ({"degrees": "much"}, 'degrees must be a number from 0 to 180, not "much"'),
    ],
)
def test_a_parameter_out_of_range_is_refused(params: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mixed(**params)  # type: ignore[arg-type]
