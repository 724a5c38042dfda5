"""A recorded step computes, to the bit, what it computes without being recorded, or it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from training_support import component, losses, make_case, result_of, setting_of

from benchmnist.errors import CaptureError
from benchmnist.training.engines.recorded import RecordedEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.fast_paths import FastPath, find_fast_path
from benchmnist.training.precision import precision_of
from benchmnist.training.speed import ONEDNN, RECORDED, may_try
from benchmnist.training.trial import Build

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmnist.training.trial import Trial

SMALL = component("fc-bn-dropout", hidden_size=30)


def trained(engine: type[ResidentEngine], build: Build, **options: Any) -> tuple[list[Tensor], Trial]:
    """Trains three epochs of four batches of 50 and one of 30; returns the losses."""
    case = make_case(train_size=230, epochs=3, **options)
    setting = setting_of(case)
    way = FastPath(engine(setting.dataset, setting.session, case.batch_size), build)
    trial, curves = way.trial(setting, (3,)), []
    with precision_of(case.precision, setting.device):
        for epoch in (1, 2, 3):
            trial.begin(epoch)
            curves.append(way.engine.train_epoch(trial, trial.order(230, epoch)))
            assert (way.engine.untimed_steps, way.engine.untimed_seconds > 0) == (
                (0, False) if engine is ResidentEngine else ((4, True) if epoch == 1 else (2, True))
            )
    return curves, trial


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"model": SMALL, "optimizer": "adam"},
        {"model": SMALL, "optimizer": "rmsprop", "clip_grad_norm": 1.0},
        {"model": "logistic", "optimizer": "momentum"},
        {"model": "cnn", "optimizer": component("adamw", weight_decay=0.1)},
        {"model": SMALL, "optimizer": "sgd", "precision": "bf16"},
        {"model": component("fc", hidden_size=30), "optimizer": "adagrad"},
        {"model": "logistic", "optimizer": "rmsprop", "schedule": component("cosine")},
        {"model": "logistic", "optimizer": "adam", "schedule": component("onecycle", cycle_momentum=False)},
    ],
    ids=lambda options: f"{getattr(options['model'], 'use', options['model'])}-{options['optimizer']}",
)
def test_repeated_steps_have_the_same_bits(options: dict[str, Any], *, onednn: bool) -> None:
    build = Build(fused=True, channels_last=options["model"] == "cnn", onednn=onednn)
    (plain, one), (recorded, other) = (
        trained(engine, build, **options) for engine in (ResidentEngine, RecordedEngine)
    )
    assert torch.equal(torch.cat(plain), torch.cat(recorded))
    states = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    gradients = [[parameter.grad for parameter in trial.model.parameters()] for trial in (one, other)]
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(*gradients, strict=True))


PEEKING = """
import numpy as np
import torch
from torch import nn
from benchmnist import ModelSpec, hookimpl

calls, tests, from_outside, generator = 0, 0, bytearray(40), torch.Generator()

class Peeking(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.linear, self.how = nn.Linear(784, 10), how

    def forward(self, x):
        global calls, tests
        calls += 1
        tests += not self.training
        x = self.linear(x.flatten(1))
        mean = x.detach().mean()
        match self.how:
            case "item":
                x = x * mean.item()
            case "branch":
                x = x * 2 if mean > 0 else x
            case "swallowed":
                try:
                    x = x * float(mean)
                except Exception:
                    pass
            case "tolist":
                x = x * sum(mean.reshape(1).tolist())
            case "numpy":
                x = x * float(np.mean(x.detach().numpy()))
            case "array":
                x = x * float(np.asarray(x.detach()).mean())
            case "memory":
                x = x + torch.frombuffer(from_outside, dtype=torch.float32)
            case "mask":
                x = x + x[x > 0].mean()
            case "nonzero":
                x = x + (x > 0).nonzero().float().mean()
            case "tensor":
                x = x * torch.tensor([1.0] * 10)
            case "equal":
                x = x * (1 if torch.equal(x, x) else 2)
            case "generator":
                x = x + torch.rand(10, generator=generator)
            case "shape":
                x = x.clone()
                x.detach().t_()
            case "late":
                x = x * (1 if calls < 5 else 2)
            case "tested":
                x = x * (2 if tests else 1)
        return x

def build(*, input_shape, num_classes, how):
    return Peeking(how)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="peeking", summary="", build=build)]
"""


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        *(
            (how, "a step reads a value by ")
            for how in ("item", "branch", "swallowed", "tolist", "numpy", "array")
        ),
        ("equal", r"a step reads a value by aten\.equal"),
        ("memory", "one step works with other tensors than the next"),
        ("mask", r"a step changes shapes by aten\.index"),
        ("nonzero", r"a step changes shapes by aten\.nonzero"),
        ("shape", r"a step changes shapes by aten\.t_"),
        ("generator", "a step draws from a generator of its own"),
        ("tensor", "a step makes a tensor of numbers on the host"),
        ("late", r"one step does aten\.mul.* with other numbers"),
    ],
)
def test_a_step_that_depends_on_values_is_not_repeated(
    install_plugin: Callable[..., None], how: str, expected: str
) -> None:
    install_plugin("peeking", PEEKING)
    with pytest.raises(CaptureError, match=expected):
        trained(RecordedEngine, Build(), model=component("peeking", how=how))


def test_recorded_steps_are_on_record_and_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ONEDNN, "0")
    results = []
    for decided in ("0", "1"):
        monkeypatch.setenv(RECORDED, decided)
        results.append(result_of(make_case(model=SMALL, optimizer="adam", epochs=2, seeds=(0, 1))))
    assert [result.remarks for result in results] == [(), ("recorded",)]
    assert losses(results[0]) == losses(results[1])
    assert [t.epochs[-1].metrics for t in results[0].trials] == [t.epochs[-1].metrics for t in results[1].trials]


@pytest.mark.parametrize(
    "options",
    [
        {"model": component("peeking", how="item")},
        {"schedule": component("onecycle", cycle_momentum=True), "optimizer": "adam"},
        {"optimizer": component("lbfgs", lr=0.1, max_iter=2)},
        {"engine": "dataloader"},
        {"engine": "stacked", "seeds": (0, 1)},
    ],
    ids="-".join,
)
def test_what_must_not_be_recorded_is_trained_as_before(
    install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    install_plugin("peeking", PEEKING)
    monkeypatch.setenv(ONEDNN, "0")
    monkeypatch.setenv(RECORDED, "1")
    result = result_of(make_case(**options))
    assert result.status == "completed"
    assert not any("recorded" in remark for remark in result.remarks)


def test_steps_that_change_later_end_the_training_and_the_next_is_not_recorded(
    install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A global of a module is not seen before; the executors then train the case again, with the reason."""
    install_plugin("peeking", PEEKING.replace("calls < 5", "calls < 20"))
    monkeypatch.setenv(ONEDNN, "0")
    monkeypatch.setenv(RECORDED, "1")
    case = make_case(model=component("peeking", how="late"), epochs=5)
    with pytest.raises(CaptureError, match=r"one step does aten\.mul"):
        result_of(case)
    way = find_fast_path(replace(setting_of(case), refused={"recorded": "its steps change"}))
    assert way.remarks == ("not recorded: its steps change",)


@pytest.mark.parametrize(
    ("train_size", "batch_size", "epochs", "may"),
    [(100, 2, 20, True), (100, 2, 19, False), (98, 2, 100, False)],
)
def test_recording_is_tried_where_it_can_pay(train_size: int, batch_size: int, epochs: int, *, may: bool) -> None:
    case = make_case(train_size=train_size, batch_size=batch_size, epochs=epochs)
    assert may_try(setting_of(case), RECORDED) is may


@pytest.mark.parametrize("every", [1, 3, 9, 100])
@pytest.mark.parametrize(
    "options",
    [
        {"model": SMALL, "optimizer": "adam"},
        {"model": "logistic", "optimizer": "momentum", "schedule": component("cosine")},
        {"model": SMALL, "optimizer": "sgd", "steps": 13},  # within the second epoch
    ],
    ids=["adam", "schedule", "steps"],
)
def test_evaluations_within_an_epoch_change_no_bit(
    options: dict[str, Any], every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ONEDNN, "0")
    results = []
    for decided in ("0", "1"):
        monkeypatch.setenv(RECORDED, decided)
        results.append(
            result_of(make_case(epochs=3, seeds=(0, 1), train_size=480, evaluate_every=every, **options))
        )
    assert results[1].remarks == ("recorded",)
    assert losses(results[0]) == losses(results[1])
    plain, recorded = ([e for t in r.trials for epoch in t.epochs for e in epoch.evaluations] for r in results)
    assert [(e.step, e.metrics) for e in plain] == [(e.step, e.metrics) for e in recorded]
    assert all(e.seconds > 0 for e in recorded)


@pytest.mark.parametrize(
    "changes",
    [{}, {"target_accuracy": 0.0, "stop_at_target": True}, {"train_size": 480, "evaluate_every": 9}],
    ids=["to the end", "stopped", "a last part without a whole batch"],
)
def test_steps_that_change_between_evaluations_are_noticed(
    install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """A global of a module, which only what a step does can show; also where the trial stops within the epoch."""
    install_plugin("peeking", PEEKING)
    monkeypatch.setenv(ONEDNN, "0")
    monkeypatch.setenv(RECORDED, "1")
    with pytest.raises(CaptureError, match=r"one step does aten\.mul"):
        result_of(
            make_case(model=component("peeking", how="tested"), epochs=2, **{"evaluate_every": 4, **changes})
        )


COUNTING = """
import torch
from torch import nn
from benchmnist import ModelSpec, hookimpl

class Counting(nn.Module):
    "Counts its tests, as a hook of somebody's logger may."
    def __init__(self):
        super().__init__()
        self.linear, self.tests = nn.Linear(784, 10), 0

    def forward(self, x):
        self.tests += not self.training
        return self.linear(x.flatten(1))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="counting", summary="", build=lambda *, input_shape, num_classes: Counting())]
"""


def test_a_model_that_a_test_changes_is_not_recorded_with_tests_in_between(
    install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("counting", COUNTING)
    monkeypatch.setenv(ONEDNN, "0")
    monkeypatch.setenv(RECORDED, "1")
    assert "recorded" in result_of(make_case(model="counting", epochs=2)).remarks
    with pytest.raises(CaptureError, match="a test changes"):
        result_of(make_case(model="counting", epochs=2, evaluate_every=3))
