"""The tasks whose targets are made from the images: reconstruction, and the next pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_support import standin
from training_support import built_in_datasets, component, losses, make_case, result_of

from benchmnist.analysis.analysis import Analysis
from benchmnist.errors import DataError, SuiteError
from benchmnist.extensions.specs import Dataset
from benchmnist.preflight.prepare import prepare
from benchmnist.reports.records import records
from benchmnist.runner import run
from benchmnist.suites.options import RunOptions
from benchmnist.tasks import NextToken, Reconstruction

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def of_images(images: Tensor) -> Dataset:
    return Dataset(images, torch.zeros(len(images)), images[:1], torch.zeros(1))


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_the_targets_of_a_reconstruction_are_the_images_in_the_same_memory() -> None:
    whole = built_in_datasets().load(component("mnist"))
    part = built_in_datasets().for_case(make_case(model="small-autoencoder"))
    assert part.train_labels is part.train_images
    assert part.train_images.data_ptr() == whole.train_images.data_ptr()
    assert len(part.test_labels) == 200


@pytest.mark.parametrize("as_float", [False, True])
def test_the_loss_of_a_reconstruction_is_summed_over_pixels(as_float: bool) -> None:
    task, images = Reconstruction(), random_images(3, 2, 4, 5)
    images = images / 255 if as_float else images
    outputs = torch.randn(3, 40, generator=torch.Generator().manual_seed(1))
    p, t = outputs.double().sigmoid(), (images.double() / (1 if as_float else 255)).flatten(1)
    each = -(t * p.log() + (1 - t) * (1 - p).log()).sum(dim=1)
    assert task.loss(outputs, images).item() == pytest.approx(each.mean().item())
    assert task.loss(outputs.view(3, 2, 4, 5), images).item() == pytest.approx(each.mean().item())
    if not as_float:  # in float64 it is precise enough for finite differences
        assert task.loss(outputs.double(), images).item() == pytest.approx(each.mean().item(), rel=1e-13)
    found = task.evaluate(outputs, images)
    assert found["test_loss"].item() == pytest.approx(each.sum().item())
    assert found["test_error"].item() == pytest.approx((p - t).square().sum().item())


@settings(max_examples=40)
@given(pool=st.integers(1, 4), levels=st.integers(2, 256), channels=st.integers(1, 3), data=st.data())
def test_tokens_are_levels_of_the_mean_of_a_square_and_the_model_sees_the_same(
    pool: int, levels: int, channels: int, data: st.DataObject
) -> None:
    rows, columns = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    images = random_images(4, channels, rows * pool, columns * pool, seed=data.draw(st.integers(0, 99)))
    task = NextToken(pool, levels)
    task.check(of_images(images), "it")
    ready = task.prepare(of_images(images))
    assert task.output_shape(ready) == (rows * columns, levels)
    assert ready.train_images.shape == (4, 1, rows, columns)
    for image, tokens in zip(images, ready.train_labels, strict=True):
        for place, token in enumerate(tokens.tolist()):
            row, column = divmod(place, columns)
            square = image[:, row * pool : (row + 1) * pool, column * pool : (column + 1) * pool]
            assert token == square.sum().item() * levels // (256 * square.numel())
    seen = (ready.train_images.flatten(1) / 255 * (levels - 1)).round()
    assert torch.equal(seen, ready.train_labels.float())


def test_float_images_have_the_levels_of_bytes() -> None:
    images = random_images(50, 1, 8, 8)
    task = NextToken(pool=1, levels=4)
    of_bytes, of_floats = (task.prepare(of_images(each)).train_labels for each in (images, images / 255.99))
    assert torch.equal(of_bytes, of_floats)
    assert task.prepare(of_images(torch.ones(2, 1, 2, 2))).train_labels.eq(3).all()  # not a fifth level


def test_the_loss_of_a_token_is_a_mean_over_tokens() -> None:
    task = NextToken()
    outputs = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([[0, 1, 2, 3, 0, 1]] * 3, dtype=torch.uint8)
    each = -outputs.double().log_softmax(dim=2).gather(2, targets.long()[:, :, None]).squeeze(2).mean(dim=1)
    assert task.loss(outputs, targets).item() == pytest.approx(each.mean().item())
    found = task.evaluate(outputs, targets)
    assert found["test_loss"].item() == pytest.approx(each.sum().item())
    right = (outputs.argmax(dim=2) == targets).double().mean(dim=1).sum()
    assert found["token_accuracy"].item() == pytest.approx(100 * right.item())


@pytest.mark.parametrize(
    ("task", "images", "expected"),
    [
        (Reconstruction(), torch.full((2, 1, 4, 4), 1.5), "it has train images with pixels from 1.5 to 1.5, not"),
        (NextToken(), torch.full((2, 1, 4, 4), -0.5), "it has train images with pixels from -0.5 to -0.5, not"),
        (
            NextToken(pool=3),
            random_images(2, 1, 6, 4),
            "it has images of 6×4 pixels, which pool = 3 does not divide",
        ),
    ],
)
def test_images_that_are_no_targets_are_refused(task: Reconstruction, images: Tensor, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        task.check(of_images(images), "it")


@pytest.mark.parametrize(
    ("model", "setting", "expected"),
    [
        (
            "pixel-gru",
            "normalise = true",
            "'next-token' makes images of its own, with pixels in [0, 1]; remove norm",
        ),
        (
            "pixel-gru",
            'augmentation = "crop"',
            "the task 'next-token' learns the images themselves, not augmented",
        ),
        ("small-autoencoder", 'augmentation = "crop"', "ones; remove augmentation"),
        (
            "fc",
            'task = "next-token"',
            ".toml:5: cases.models: 'fc' does not suit the task 'next-token': the model returns [2, 196], not [N,",
        ),
    ],
)
def test_what_does_not_suit_the_task_is_refused_before_training(
    tmp_path: Path, model: str, setting: str, expected: str
) -> None:
    task = "next-token" if model == "pixel-gru" else "reconstruction"
    setting = setting if setting.startswith("task") else f'{setting}\ntask = "{task}"'
    case = f'[[cases]]\n{setting}\nmodels = ["{model}"]\noptimizers = ["adam"]\n'
    (tmp_path / "changed.toml").write_text(f'[suite]\nname = "changed"\n{case}')
    with pytest.raises(SuiteError) as caught:
        prepare(tmp_path / "changed.toml")
    assert expected in str(caught.value)


def test_a_normalised_image_is_reconstructed_as_it_was() -> None:
    part = built_in_datasets().for_case(make_case(model="small-autoencoder", normalise=True))
    assert part.train_labels.dtype == torch.uint8
    assert part.train_images.is_floating_point()


def test_a_model_that_sees_the_pixel_is_refused() -> None:
    result = result_of(make_case(model="fc", task=component("next-token"), train_size=100))
    assert result.status == "failed"
    assert "the model returns [50, 196], not [N, length, 4]: use a model of the task next-token" in str(
        result.error
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("pool", 0, "pool=0 is not a number of pixels"),
        ("levels", 1, "levels=1 is not"),
        ("levels", 257, "2 to 256"),
    ],
)
def test_parameters_without_sense_are_refused(key: str, value: int, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        NextToken(**{key: value})


def test_tasks_learn() -> None:
    """Better than the best constant: the mean image, with 205.8 nats, and the share of each level, with 0.73.

    Ten seeds have 157.4 with a standard deviation of 5.1, and 0.591 with one of 0.008.
    """
    for model, epochs, bound in (("small-autoencoder", 5, 185.0), ("pixel-gru", 3, 0.64)):
        adam = component("adam", lr=0.01)
        result = result_of(make_case(model=model, optimizer=adam, epochs=epochs, train_size=1000))
        assert result.trials[0].epochs[-1].metrics["test_loss"] < bound


@pytest.mark.parametrize(
    ("model", "engine"), [("small-autoencoder", "graph"), ("small-autoencoder", "streams"), ("pixel-gru", "graph")]
)
def test_captured_steps_learn_the_same(model: str, engine: str) -> None:
    options = {"model": model, "optimizer": "adam", "seeds": (0, 1), "epochs": 2, "train_size": 100}
    plain = result_of(make_case(**options, engine="dataloader", evaluate_every=1))
    with standin() as machine:
        seen = result_of(make_case(**options, engine=engine, evaluate_every=1), "cuda:0")
        assert machine.hazards == []
    assert seen.engine == engine, seen.remarks
    assert losses(seen) == pytest.approx(losses(plain), rel=1e-3)


SUITE = """
[suite]
name = "pixels"
[defaults]
seeds = 2
epochs = 2
train_size = 60
test_size = 40
batch_size = 20
[[cases]]
engines = ["dataloader", "stacked"]
task = "reconstruction"
models = ["small-autoencoder"]
optimizers = ["adam"]
[[cases]]
engines = ["dataloader", "stacked"]
task = "few"
models = ["pixel-gru"]
optimizers = ["adam"]
[tasks.few]
use = "next-token"
pool = 7
levels = 2
"""


def test_a_suite_trains_both_and_reports_the_metrics_of_each(tmp_path: Path) -> None:
    (tmp_path / "pixels.toml").write_text(SUITE)
    done = run(tmp_path / "pixels.toml", RunOptions(out=tmp_path / "runs", executor="inline"))
    assert [result.status for result in done.cases] == ["completed"] * 4
    for name in ("mnist/small-autoencoder/adam", "mnist/pixel-gru/adam"):
        slow, stacked = done[f"{name}/dataloader"], done[f"{name}/stacked"]
        assert (slow.engine, stacked.engine) == ("dataloader", "stacked")
        assert losses(stacked) == pytest.approx(losses(slow), rel=1e-2)
    assert {"test_loss", "test_error", "token_accuracy"} <= {*records(Analysis(done)).header}
