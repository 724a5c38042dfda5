"""A change for speed is adopted only where it is measured to be faster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from training_support import component, losses, make_case, result_of, setting_of

from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.fast_paths import FastPath
from benchmnist.training.speed import ONEDNN, is_faster, may_try
from benchmnist.training.trial import Build

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.suites.cases import Component
    from benchmnist.training.trial import Trial

LONG = {"train_size": 400, "batch_size": 2, "test_size": 20, "model": component("fc", hidden_size=20)}
"""A case of 200 steps, which is worth a measurement."""


class ThreeTimes(ResidentEngine):
    """Makes every step three times, which takes about three times as long."""

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        return super().train_epoch(trial, order.repeat(3))


def test_the_faster_way_is_told_and_remembered_for_equal_steps() -> None:
    setting = setting_of(make_case(**LONG))
    quick, slow = (
        FastPath(engine(setting.dataset, setting.session, 2), Build()) for engine in (ResidentEngine, ThreeTimes)
    )
    assert is_faster(setting, slow, quick, ONEDNN)
    swept = replace(setting, case=make_case(**LONG, id="b", optimizer=component("sgd", lr=0.5), seeds=(7,)))
    assert is_faster(swept, quick, slow, ONEDNN)  # as measured before, not as it is
    other = replace(setting, case=make_case(**LONG | {"batch_size": 1}))
    assert not is_faster(other, quick, slow, ONEDNN)


@pytest.mark.parametrize(
    ("steps", "decided", "may"),
    [
        ({"train_size": 400, "batch_size": 2}, "", True),
        ({"train_size": 99, "batch_size": 1, "epochs": 3}, "", True),
        ({"train_size": 399, "batch_size": 3}, "", False),
        ({"train_size": 399, "batch_size": 3}, "1", True),
        ({"train_size": 400, "batch_size": 2}, "0", False),
    ],
    ids=str,
)
def test_a_case_of_few_steps_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, steps: dict[str, int], decided: str, may: bool
) -> None:
    monkeypatch.setenv(ONEDNN, decided)
    assert may_try(setting_of(make_case(**steps)), ONEDNN) is may


def test_a_schedule_is_not_measured_beyond_its_end() -> None:
    """OneCycleLR raises an error one step after the last."""
    setting = setting_of(make_case(**LONG, schedule=component("onecycle")))
    plain = FastPath(ResidentEngine(setting.dataset, setting.session, 2), Build())
    is_faster(setting, plain, plain, ONEDNN)


@pytest.mark.parametrize(("decided", "remarks"), [("1", ("onednn",)), ("0", ())])
def test_products_by_onednn_are_on_record(
    monkeypatch: pytest.MonkeyPatch, decided: str, remarks: tuple[str, ...]
) -> None:
    monkeypatch.setenv(ONEDNN, decided)
    reference = result_of(make_case(engine="dataloader"))
    result = result_of(make_case())
    assert (reference.remarks, result.remarks) == ((), remarks)
    assert losses(result) == pytest.approx(losses(reference), rel=1e-3)
    assert result_of(make_case(engine="stacked", seeds=(0, 1))).remarks == ("stacked",)


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        (component("fc-bn-dropout", hidden_size=30), component("adam")),
        (component("fc", hidden_size=30), component("lbfgs", lr=0.1, max_iter=2)),  # it calls a closure
        (component("cnn"), component("muon")),  # it multiplies matrices itself
    ],
    ids=lambda part: part.use,
)
def test_a_trial_by_onednn_has_the_losses_of_the_plain_one(model: Component, optimizer: Component) -> None:
    setting = setting_of(make_case(model=model, optimizer=optimizer, train_size=110))
    curves = []
    for build in (Build(), Build(onednn=True)):
        way = FastPath(ResidentEngine(setting.dataset, setting.session, 50), build)
        trial = way.trial(setting, (3,))
        trial.begin(1)
        curves.append(way.engine.train_epoch(trial, trial.order(110, 1)))
    torch.testing.assert_close(curves[1], curves[0], rtol=1e-3, atol=1e-4)
