"""Training on CUDA, held to its rules by a stand-in that computes on the CPU (tests/cuda_standin)."""

from __future__ import annotations

import gc
import json
import math
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cuda_standin
import pytest
import torch
from standin_support import standin
from training_support import component, epochs_of, execute, losses, make_case, result_of, setting_of

from benchmnist.doctor import misbehaving
from benchmnist.errors import CaptureError, DeviceError
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.suites.bundles import Bundle
from benchmnist.training import environment
from benchmnist.training.data import default_data_root
from benchmnist.training.device import DeviceSession
from benchmnist.training.engines import capture
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.fast_paths import FastPath, find_fast_path
from benchmnist.training.gpus import Gpu
from benchmnist.training.manual import ManualTraining
from benchmnist.training.reference import Reference
from benchmnist.training.trial import Build

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case, Component

SAME = 1e-3
"""Relative: the stand-in computes on the CPU, in another order here and there."""

STRANGE = """
import gc, random, secrets
import torch
from torch import nn
from benchmnist import ModelSpec, OptimizerSpec, ScheduleSpec, hookimpl

collecting = []

class Strange(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.linear, self.how = nn.Linear(784, 10), how
        self.calls, self.on_host = 0, torch.zeros(())
        self.register_buffer("ema", torch.zeros(()))
        if how == "doubled":
            self.double()
    def forward(self, x):
        x = self.linear(x.flatten(1).to(self.linear.weight.dtype))
        return getattr(self, self.how)(x)
    def item(self, x):
        return x * (1.0 if x.sum().item() < 1e9 else 2.0)  # here it waits
    def mask(self, x):
        x[x > 1e9]
        return x
    def tensor(self, x):
        return x * torch.tensor([1.0] * 10, device=x.device)
    def synchronise(self, x):
        if x.device.type == "cuda" and self.training:
            torch.cuda.synchronize()
        return x
    def counts(self, x):  # as a temperature that cools down
        self.calls += self.training
        return x * (1 + 0.97 ** self.calls)
    def counts_in_a_tensor(self, x):
        self.on_host += self.training
        return x * (1 + 0.97 ** self.on_host.item())  # on the host nobody waits
    def draws(self, x):  # as stochastic depth
        return x if torch.rand(()) < 0.5 or not self.training else 0.5 * x
    def rebinds(self, x):
        if self.training:
            self.ema = 0.9 * self.ema + 0.1 * x.detach().abs().mean()
        return x * (1 + self.ema)
    def collects(self, x):
        if x.is_cuda and torch.cuda.is_current_stream_capturing():
            collecting.append(gc.isenabled())
        return x
    def replaces(self, x):  # elsewhere, where the same parameter lies from then on
        self.linear.weight.data = self.linear.weight.data * 0.999
        return x
    def draws_of_the_system(self, x):  # no state shows it
        return x if secrets.randbelow(20) or not self.training else 0.5 * x
    def draws_anew(self, x):
        return x if random.Random().random() < 0.95 or not self.training else 0.5 * x
    def drops(self, x):
        return nn.functional.dropout(x, self.p, self.training)
    def plain(self, x):
        return x
    def now_and_then(self, x):
        type(self).calls_of_all += self.training
        if self.training and self.calls_of_all % 10 == 0:
            self.kept = self.calls_of_all
        return x
    p, calls_of_all = 0.0, 0
    def train(self, mode=True):
        if mode and self.how == "prunes" and self.linear.weight.grad is not None:
            gradient = self.linear.weight.grad.abs()
            self.linear.weight.data.mul_(gradient >= gradient.mean())
        return super().train(mode)
    prunes = doubled = plain

class Knowing(torch.optim.SGD):
    "Leads a schedule to the model."
    def __init__(self, model, **options):
        super().__init__(model.parameters(), **options)
        self.model = model

class Decaying(torch.optim.SGD):
    "Moves its own rate, too."
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            group["lr"] = group["lr"] * 0.999

class Fading(torch.optim.SGD):
    "Counts its steps where nobody looks, and notes when they are more than so many."
    called = {}
    def __init__(self, params, lr, after):
        super().__init__(params, lr=lr)
        self.after, self.faded = after, 0
    def step(self, closure=None):
        super().step(closure)
        self.called[id(self)] = self.called.get(id(self), 0) + 1
        self.faded = int(self.called[id(self)] > self.after)

class Cycling(torch.optim.lr_scheduler.LRScheduler):
    "Moves the model within each epoch of five steps, or the rate by the gradients."
    def __init__(self, optimizer, how):
        self.how = how
        super().__init__(optimizer)
    def get_lr(self):
        if self.how != "gradients" or self.last_epoch < 12:
            return list(self.base_lrs)
        norm = sum(p.grad.norm() ** 2 for group in self.optimizer.param_groups for p in group["params"])
        return [rate / (1 + norm.item()) for rate in self.base_lrs]
    def step(self, *_):
        super().step()
        if self.how == "model":
            self.optimizer.model.p = 0.5 * (self.last_epoch > 20 and self.last_epoch % 5 == 3)

def knowing(model, *, lr=0.2, fused=None):
    return Knowing(model, lr=lr, fused=fused)

def decaying(model, *, lr=0.2, fused=None):
    return Decaying(model.parameters(), lr=lr, fused=fused)

def fading(model, *, lr, after):
    return Fading(model.parameters(), lr, after)

def cycling(optimizer, *, total_steps, how):
    return Cycling(optimizer, how)

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name=name, summary="", build=build, capturable=True, fused=("cuda",))
            for name, build in (("knowing", knowing), ("decaying", decaying))] + [
            OptimizerSpec(name="fading", summary="", build=fading, capturable=True, elementwise=True)]

class Moving(torch.optim.lr_scheduler.LRScheduler):
    "Moves the momentum from a step on: of any trial, or, which nobody can foresee, of the fourth only."
    trials = 0
    def __init__(self, optimizer, total_steps, how):
        self.how, self.trial = how, Moving.trials
        Moving.trials += 1
        super().__init__(optimizer)
    def get_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]
    def step(self, *_):
        super().step()
        if self.last_epoch == 11 and (self.how == "late" or self.trial == 3):
            self.optimizer.param_groups[0]["momentum"] = 0.1

def moving(optimizer, *, total_steps, how):
    return Moving(optimizer, total_steps, how)

@hookimpl
def benchmnist_schedules():
    return [ScheduleSpec(name="moving", summary="", build=moving),
            ScheduleSpec(name="cycling", summary="", build=cycling)]

def build(*, input_shape, num_classes, how="plain"):
    return Strange(how)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="strange", summary="", build=build),
            ModelSpec(name="unwilling", summary="", build=build, capturable=False)]
"""


@pytest.fixture(autouse=True)
def _behind_the_curtain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the stand-in's files for torch's, where the cause of an error is looked for."""
    monkeypatch.setattr(capture, "NO_CAUSES", (*capture.NO_CAUSES, str(Path(cuda_standin.__file__).parent)))


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
REAL_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and no need of a stand-in")

Card = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(params=[pytest.param("stand-in", marks=REAL_GPU), pytest.param("GPU", marks=NO_GPU)])
def card(request: pytest.FixtureRequest) -> Card:
    """Makes what is trained on: the stand-in, with the options of its own, and where there is one a real GPU."""
    return standin if request.param == "stand-in" else lambda **_: nullcontext()


NORMED = """
from torch import nn
from benchmnist import ModelSpec, hookimpl

def build(*, input_shape, num_classes):
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(2), nn.Linear(64, 16), nn.BatchNorm1d(4, momentum=0.3), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32, affine=False),
        nn.Linear(32, num_classes), nn.BatchNorm1d(num_classes, track_running_stats=False),
    )

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="normed", summary="", build=build)]
"""


@pytest.fixture
def strange(install_plugin: Callable[..., None]) -> None:
    install_plugin("strange", STRANGE)


def on_cpu_and_cuda(card: Card, device: str = "cuda", **options: Any) -> tuple[CaseResult, CaseResult]:
    """A case as the reference trains it on the CPU, and as it is trained on a card."""
    case = make_case(**{"train_size": 230, "epochs": 3, "optimizer": "adam", **options})
    expected = result_of(case.model_copy(update={"engine": "dataloader"}))
    with card(devices=2) as machine:
        seen = result_of(case, device)
        assert machine is None or machine.hazards == []  # no memory was freed that another stream may still use
        return expected, seen


@pytest.mark.parametrize("engine", ["dataloader", "resident", "auto", "stacked", "streams"])
@pytest.mark.parametrize("model", ["fc", "cnn"])
def test_every_engine_trains_there_as_on_a_cpu(card: Card, engine: str, model: str) -> None:
    expected, seen = on_cpu_and_cuda(card, engine=engine, model=model, seeds=(4, 0))
    assert (seen.status, seen.engine) == ("completed", "graph" if engine == "auto" else engine), seen.error
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)
    assert ("graph" in seen.remarks) == (engine in ("auto", "stacked", "streams"))


def test_the_second_card_has_its_graphs_too(card: Card) -> None:
    if torch.cuda.is_available() and torch.cuda.device_count() == 1:
        pytest.skip("there is one GPU here")
    expected, seen = on_cpu_and_cuda(card, "cuda:1")
    assert (seen.engine, seen.environment["device"]) == ("graph", "cuda:1")
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("how", ["item", "mask", "tensor"])
@pytest.mark.usefixtures("strange")
def test_a_model_that_waits_for_the_device_is_trained_without_a_graph(
    card: Card, how: str, *, stays: bool
) -> None:
    case = make_case(model=component("strange", how=how), epochs=2)
    expected = result_of(case)
    with card(generators_stay_capturing=stays):
        seen = result_of(case, "cuda")
        after = result_of(make_case(model="fc-bn-dropout", epochs=2), "cuda")
    assert (seen.status, seen.engine) == ("completed", "resident")
    (remark,) = seen.remarks
    assert remark.startswith("not graph: a step waits for the device, at ")
    assert "benchmnist_strange.py:" in remark
    if how == "item":
        assert remark.endswith("return x * (1.0 if x.sum().item() < 1e9 else 2.0)  # here it waits")
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)
    assert (after.status, after.engine) == ("completed", "graph")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("counts", "the model changes calls from step to step, which a graph cannot see"),
        ("counts_in_a_tensor", "the model changes on_host from step to step, which a graph cannot see"),
        ("replaces", "the model changes _parameters from step to step, which a graph cannot see"),
        ("rebinds", "the model changes _buffers from step to step, which a graph cannot see"),
        ("draws", "a step draws random numbers on the host, which a graph cannot do"),
    ],
)
@pytest.mark.usefixtures("strange")
def test_a_model_that_changes_on_the_host_is_trained_without_a_graph(card: Card, how: str, reason: str) -> None:
    expected, seen = on_cpu_and_cuda(card, model=component("strange", how=how))
    assert (seen.status, seen.engine, seen.remarks) == ("completed", "resident", (f"not graph: {reason}",))
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)


@pytest.mark.parametrize("how", ["draws_of_the_system", "draws_anew"])
@pytest.mark.usefixtures("strange")
def test_a_model_that_draws_what_no_state_shows_is_trained_without_a_graph(card: Card, how: str) -> None:
    with card():
        seen = result_of(make_case(model=component("strange", how=how)), "cuda")
    reason = "a step draws random numbers from the operating system, which a graph cannot do"
    assert (seen.status, seen.engine, seen.remarks) == ("completed", "resident", (f"not graph: {reason}",))


@pytest.mark.parametrize("engine", ["graph", "stacked"])
@pytest.mark.parametrize("train_size", [230, 250])
@pytest.mark.usefixtures("strange")
def test_whoever_reads_gradients_between_steps_finds_those_of_the_last(
    card: Card, engine: str, train_size: int
) -> None:
    options: dict[str, Any] = {"engine": engine, "train_size": train_size, "epochs": 5, "seeds": (0, 1)}
    pruning = on_cpu_and_cuda(card, model=component("strange", how="prunes"), **options)
    knowing, cycling = component("knowing"), component("cycling", how="gradients")
    scheduled = on_cpu_and_cuda(card, optimizer=knowing, schedule=cycling, **{**options, "seeds": (0,)})
    for expected, seen in (pruning, scheduled):
        assert seen.status == "completed", seen.error
        assert losses(seen) == pytest.approx(losses(expected), rel=SAME)
    assert "graph" in pruning[1].remarks


@pytest.mark.parametrize(
    ("how", "optimizer", "reason"),
    [
        ("model", "knowing", "the schedule changes p from step to step, which a graph cannot see"),
        (
            "nothing",
            "decaying",
            "the optimizer changes lr from step to step, beside the schedule",
        ),
    ],
)
@pytest.mark.usefixtures("strange")
def test_what_moves_within_an_epoch_only_is_noticed(card: Card, how: str, optimizer: str, reason: str) -> None:
    expected, seen = on_cpu_and_cuda(
        card,
        model=component("strange", how="drops"),
        optimizer=component(optimizer),
        schedule=component("cycling", how=how),
        train_size=250,
        epochs=6,
    )
    assert (seen.status, seen.engine) == ("completed", "resident")
    assert seen.remarks[0].startswith(f"not graph: {reason}")
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)


@pytest.mark.parametrize("train_size", [20, 50, 60, 150])
def test_the_shortest_trainings_are_captured_too(card: Card, train_size: int) -> None:
    for options in ({"epochs": 1, "schedule": component("onecycle")}, {"epochs": 3}):
        expected, seen = on_cpu_and_cuda(card, model="fc-bn-dropout", train_size=train_size, **options)
        assert (seen.status, seen.engine) == ("completed", "graph"), (seen.error, seen.remarks)
        assert [trial.status for trial in seen.trials] == [trial.status for trial in expected.trials]


@pytest.mark.usefixtures("strange")
def test_a_schedule_that_moves_more_late_is_found_out_before_the_training(card: Card) -> None:
    schedule = component("moving", how="late")
    expected, seen = on_cpu_and_cuda(card, optimizer="momentum", schedule=schedule)
    reason = "the schedule changes momentum from step to step, which a graph cannot see"
    assert (seen.status, seen.engine, seen.remarks) == ("completed", "resident", (f"not graph: {reason}",))
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)


@pytest.mark.usefixtures("strange")
def test_what_nobody_can_foresee_has_the_case_begun_anew_without_a_graph(card: Card, tmp_path: Path) -> None:
    case = make_case(
        id="a/odd",
        optimizer="momentum",
        schedule=component("moving", how="once"),
        seeds=(0, 1, 2),
        train_size=230,
        epochs=3,
    )
    workplace = Workplace("cuda:0", default_data_root(), tmp_path, checkpoints=False)
    with card(), InlineExecutor(workplace) as inline:
        (seen, after), told = execute(inline, case, make_case(id="a/after"))
        assert inline.elsewhere is None
    reason = "the schedule changes momentum from step to step, which a graph cannot see"
    assert (seen.status, seen.engine, seen.remarks) == ("completed", "resident", (f"not graph: {reason}",))
    assert [len(trial.epochs) for trial in seen.trials] == [3, 3, 3]
    assert [(seed, epoch.epoch) for _, seed, epoch in told.epochs if _ == "a/odd"][-9:] == [
        (seed, epoch) for seed in (0, 1, 2) for epoch in (1, 2, 3)
    ]
    assert (after.status, after.engine) == ("completed", "graph")


@pytest.mark.usefixtures("strange")
def test_a_model_of_doubles_is_captured_too(card: Card) -> None:
    expected, seen = on_cpu_and_cuda(card, model=component("strange", how="doubled"))
    assert (seen.status, seen.engine, seen.precision) == ("completed", "graph", "float64"), seen.remarks
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)


@pytest.mark.usefixtures("strange")
def test_nothing_is_collected_during_a_capture(card: Card) -> None:
    """It might free memory of the GPU, which is not allowed then."""
    with card():
        seen = result_of(make_case(model=component("strange", how="collects"), train_size=230), "cuda")
    assert seen.engine == "graph", seen.remarks
    collecting = sys.modules["benchmnist_strange"].collecting
    assert collecting
    assert not any(collecting)
    assert gc.isenabled()


@pytest.mark.usefixtures("strange")
def test_a_model_may_say_that_it_must_not_be_captured(card: Card) -> None:
    with card():
        seen = result_of(make_case(model="unwilling"), "cuda")
    assert (seen.engine, seen.remarks) == (
        "resident",
        ("not graph: the model unwilling says that it must not be captured",),
    )


@REAL_GPU  # in this process nothing could be captured afterwards
@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.usefixtures("strange")
def test_a_capture_that_fails_is_no_result(*, stays: bool) -> None:
    """Sync debug mode does not see an explicit synchronisation; what becomes of the case is the executor's."""
    case = make_case(model=component("strange", how="synchronise"))
    with standin(generators_stay_capturing=stays), pytest.raises(CaptureError) as raised:
        result_of(case, "cuda")
    assert raised.value.spoiled
    assert "operation not permitted when stream is capturing, at " in str(raised.value)
    assert str(raised.value).endswith("torch.cuda.synchronize()")


MOVING = {"schedule": component("onecycle", cycle_momentum=True)}
SLOWLY = {"schedule": component("cosine")}


@pytest.mark.parametrize(
    ("optimizer", "options", "reason"),
    [
        (component("adam"), MOVING, "the schedule changes betas from step to step, which a graph cannot see"),
        (component("sgd", momentum=0.9, lr=0.01), MOVING, "the schedule changes momentum from step to step"),
        (component("sgd", lr=0.1, fused=False), SLOWLY, "a step waits for the device, at "),
        (component("sgd", lr=0.1, foreach=True), SLOWLY, "a step waits for the device, at "),
        (component("rmsprop", foreach=False), SLOWLY, "a step waits for the device, at "),
        (component("adadelta", foreach=False), SLOWLY, "a step waits for the device, at "),
        (component("sgd", lr=0.1, fused=False), {}, ""),
        (component("rmsprop"), SLOWLY, ""),
        (component("adadelta"), SLOWLY, ""),
        (component("asgd"), SLOWLY, ""),
        (component("nadam"), SLOWLY, ""),
    ],
    ids=str,
)
def test_what_a_graph_cannot_do_is_done_without_one(
    card: Card, optimizer: Any, options: dict[str, Any], reason: str
) -> None:
    expected, seen = on_cpu_and_cuda(card, optimizer=optimizer, **options)
    assert (seen.status, seen.engine) == ("completed", "resident" if reason else "graph"), seen.error
    assert seen.remarks[0].startswith(f"not graph: {reason}" if reason else "graph")
    assert losses(seen) == pytest.approx(losses(expected), rel=SAME)


def test_batch_normalisation_of_every_kind_is_stacked(card: Card, install_plugin: Callable[..., None]) -> None:
    install_plugin("normed", NORMED)
    options: dict[str, Any] = {"model": "normed", "optimizer": "momentum", "seeds": (4, 0), "epochs": 2}
    with card():
        alone, stacked = (
            result_of(make_case(engine=engine, train_size=230, **options), "cuda")
            for engine in ("resident", "stacked")
        )
    assert stacked.remarks == ("stacked", "graph"), stacked.error
    assert losses(stacked) == pytest.approx(losses(alone), rel=SAME)


@pytest.mark.parametrize(("optimizer", "schedule"), [("adam", "linear-warmup-cosine"), ("momentum", None)])
def test_the_points_of_a_sweep_are_captured_together(card: Card, optimizer: str, schedule: str | None) -> None:
    options: dict[str, Any] = {"model": component("fc-bn-dropout", hidden_size=8), "engine": "stacked"}
    options |= {"seeds": (4, 0), "epochs": 3, "test_size": 50, "batch_size": 10, "train_size": 210}
    options["schedule"] = schedule and component(schedule)  # with many steps in a graph
    points = [
        make_case(id=f"a/{number}", optimizer=component(optimizer, **params), **options)
        for number, params in enumerate(({"lr": 1e-2}, {"lr": 3e-3, "weight_decay": 0.1}))
    ]
    with card() as machine:
        each = [result_of(point, "cuda") for point in points]
        seen = result_of(Bundle.of(points), "cuda")
        assert machine is None or machine.hazards == []
    assert (seen.status, seen.remarks) == ("completed", ("stacked", "graph")), seen.error
    assert losses(seen) == pytest.approx([loss for result in each for loss in losses(result)], rel=SAME)


@pytest.mark.usefixtures("strange")
def test_a_point_whose_optimizer_changes_on_the_host_is_not_captured(card: Card) -> None:
    options: dict[str, Any] = {"engine": "stacked", "train_size": 230, "epochs": 3}
    points = [
        make_case(id=f"a/{number}", optimizer=component("fading", lr=0.1, after=after), **options)
        for number, after in enumerate((10**9, 2))
    ]
    with card():
        seen = result_of(Bundle.of(points), "cuda")
    reason = "the optimizer changes faded from step to step, which a graph cannot see"
    assert (seen.status, seen.remarks) == ("completed", ("stacked", f"not graph: {reason}"))


def test_rmsprop_is_one_kernel_there_too(card: Card) -> None:
    case = make_case(optimizer="rmsprop", train_size=230)
    with card(), (setting := setting_of(case, "cuda")).session.current():
        way = find_fast_path(setting)
        assert way.remarks == ("graph",)
        (group,) = way.trial(setting, (0,)).optimizer.param_groups
    assert (group["fused"], group["capturable"]) == (True, True)


@pytest.mark.parametrize(("precision", "innermost"), [("float32", False), ("tf32", True), ("bf16", True)])
def test_convolutions_lie_channels_last_for_tensor_cores(card: Card, precision: str, *, innermost: bool) -> None:
    with card():
        seen = result_of(make_case(model="cnn", train_size=230, precision=precision), "cuda")
    assert seen.status == "completed", seen.error
    assert ("channels_last" in seen.remarks) == innermost


def test_captured_seeds_draw_what_each_draws_alone(card: Card) -> None:
    options = {"model": "fc-bn-dropout", "optimizer": "adam", "train_size": 230, "epochs": 3}
    with card():
        alone = [result_of(make_case(engine="resident", seeds=(seed,), **options), "cuda") for seed in (4, 0, 7)]
        stacked = result_of(make_case(engine="stacked", seeds=(4, 0, 7), **options), "cuda")
        captured = result_of(make_case(engine="graph", seeds=(4, 0, 7), **options), "cuda")
    assert (stacked.engine, stacked.remarks) == ("stacked", ("stacked", "graph"))
    assert (captured.engine, captured.remarks) == ("graph", ("graph",))
    each = [loss for result in alone for loss in losses(result)]
    assert losses(stacked) == pytest.approx(each, rel=1e-2)
    assert losses(captured) == pytest.approx(each, rel=SAME)


def test_a_precision_is_recorded_as_it_was_trained_in(card: Card) -> None:
    for precision, tf32 in (("float32", False), ("tf32", True)):
        with card():
            seen = result_of(make_case(precision=precision), "cuda")
        assert seen.status == "completed", seen.error
        assert (seen.environment["tf32"], seen.environment["cudnn_tf32"]) == (tf32, tf32)
        assert seen.environment["device_name"].startswith("NVIDIA")
        assert re.fullmatch(r"[\d.]+", seen.environment["driver"])


def test_a_cases_memory_does_not_depend_on_what_was_trained_before(card: Card) -> None:
    cases = [
        make_case(id=f"a/{model}-{engine}", model=model, engine=engine, optimizer="adam", train_size=230)
        for model in ("fc", "cnn")
        for engine in ("resident", "auto", "dataloader")
    ]
    with card():
        first = setting_of(cases[0], "cuda")
        peaks: list[dict[str, int]] = []
        for order in (cases, cases[::-1], cases):
            peaks.append({})
            for case in order:
                peaks[-1][case.id] = finish(case, first.session).peak_memory
        assert peaks[0] == peaks[1] == peaks[2]
        assert min(peaks[0].values()) > 0
        # The workspaces of one stream, of 32 MiB or so, and the data.
        assert torch.cuda.memory_allocated() < 80 * 2**20
    four_copies = 4 * 784 * 500 * 4  # weights, gradients and the two moments of Adam
    assert four_copies < peaks[0]["a/fc-resident"] < 2 * four_copies


def finish(case: Case, session: DeviceSession) -> CaseResult:
    """Trains a case in a session."""
    results: list[CaseResult] = []
    for _ in epochs_of(replace(setting_of(case), session=session), results):
        pass
    assert results[0].status == "completed", results[0].error
    return results[0]


def test_the_rest_of_an_epoch_is_a_graph_of_its_own(card: Card) -> None:
    with card(), (setting := setting_of(make_case(train_size=230), "cuda")).session.current():
        engine = GraphEngine(setting.dataset, setting.session, 50)
        trial = FastPath(engine, Build(fused=True, capturable=True)).trial(setting, (0,))
        for epoch in (1, 2):
            trial.begin(epoch)
            engine.train_epoch(trial, engine.move(trial.order(230, epoch)))
    assert engine.recording is not None
    assert {*engine.recording.replays} == {(50, 1), (30, 1)}
    assert engine.untimed_steps == 0


@REAL_GPU
@pytest.mark.parametrize(
    ("schedule", "calls"),
    [
        pytest.param(None, 120 // 20, id="none"),
        pytest.param(component("cosine"), 120 // 20 + 3, id="built in, copied 50 steps at a time"),
        pytest.param(component("cycling", how="nothing"), 120 + 120, id="of a plugin, that may look at gradients"),
    ],
)
@pytest.mark.usefixtures("strange")
def test_the_host_calls_for_many_steps_at_once(schedule: Any, calls: int) -> None:
    case = make_case(train_size=1200, batch_size=10, epochs=3, engine="graph", schedule=schedule)
    with standin() as machine, (setting := setting_of(case, "cuda")).session.current():
        way = find_fast_path(setting)
        trial = way.trial(setting, (0,))
        for epoch in (1, 2):
            trial.begin(epoch)
            order = way.engine.move(trial.order(1200, epoch))
            before = machine.submissions
            way.engine.train_epoch(trial, order)
    assert machine.submissions - before == calls + 3  # the order, the place in it, the losses


DRAWING = """
import torch
from torch.optim.lr_scheduler import LambdaLR
from benchmnist import OptimizerSpec, ScheduleSpec, hookimpl

def jitter(optimizer, *, total_steps):
    return LambdaLR(optimizer, lambda step: 0.5 + torch.rand(()).item())

@hookimpl
def benchmnist_schedules():
    return [ScheduleSpec(name="jitter", summary="", build=jitter)]

class Drawing(torch.optim.SGD):
    "Draws in its first step what it adds to the weights from then on."
    def step(self, closure=None):
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if not self.state[parameter]:
                self.state[parameter]["noise"] = 1e-3 * torch.randn(parameter.shape).to(parameter.device)
            with torch.no_grad():
                parameter.add_(self.state[parameter]["noise"])
        return super().step(closure)

@hookimpl
def benchmnist_optimizers():
    build = lambda model: Drawing(model.parameters(), lr=0.1)
    return [OptimizerSpec(name="drawing", summary="", build=build, capturable=True)]
"""


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("adam", "cosine"), ("momentum", "jitter"), ("momentum", None), ("drawing", None)]
)
def test_seeds_on_streams_are_what_each_is_alone(
    card: Card, install_plugin: Callable[..., None], optimizer: str, schedule: str | None
) -> None:
    install_plugin("drawing", DRAWING)
    seeds = (4, 0, 7) if optimizer == "momentum" else tuple(range(10))  # more than there are streams
    options: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule and component(schedule)}
    options |= {"train_size": 70, "batch_size": 20, "epochs": 3, "seeds": seeds}
    with card():
        alone = result_of(make_case(engine="graph", **options), "cuda")
        abreast = result_of(make_case(engine="streams", **options), "cuda")
    assert (abreast.engine, abreast.remarks) == ("streams", ("graph", "streams")), abreast.error
    assert [trial.seed for trial in abreast.trials] == [*seeds]
    assert abreast.shares_times
    assert not alone.shares_times
    assert losses(abreast) == pytest.approx(losses(alone), rel=SAME)
    metrics = [[epoch.metrics for trial in result.trials for epoch in trial.epochs] for result in (alone, abreast)]
    assert len(metrics[0]) == 3 * len(seeds)
    assert metrics[1] == [pytest.approx(each, rel=1e-2, abs=1e-2) for each in metrics[0]]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"model": "fc-bn-dropout"},
            "its steps draw random numbers on the device, where all seeds draw from the same",
        ),
        ({"seeds": (4,)}, "there is only one seed"),
        ({"model": component("strange", how="item")}, "its steps are not captured"),
    ],
)
@pytest.mark.usefixtures("strange")
def test_what_cannot_be_on_streams_is_trained_seed_by_seed(
    card: Card, options: dict[str, Any], reason: str
) -> None:
    expected, seen = on_cpu_and_cuda(card, **{"engine": "streams", "seeds": (4, 0), "epochs": 1, **options})
    assert (seen.status, seen.remarks[-1]) == ("completed", f"not streams: {reason}"), seen.error
    if options.get("model") != "fc-bn-dropout":  # which draws other numbers there
        assert losses(seen) == pytest.approx(losses(expected), rel=1e-2)


def test_nothing_waits_while_seeds_are_on_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = (4, 0, 7)
    case = make_case(engine="streams", optimizer="adam", seeds=seeds, train_size=400, batch_size=10)
    done: list[object] = []
    with standin() as machine, (setting := setting_of(case, "cuda")).session.current():
        launch, host_waits = machine.launch, machine.host_waits

        def launched(queue: Any, *arguments: Any, **options: Any) -> int:
            if "a replay" in arguments:
                done.append(queue)
            return launch(queue, *arguments, **options)

        def waited(moment: Any) -> None:
            done.append("wait")
            host_waits(moment)

        way = find_fast_path(setting)
        trial = way.trial(setting, seeds)
        for epoch in (1, 2):
            trial.begin(epoch)
            order = way.engine.move(trial.order(400, epoch))
            if epoch == 2:
                monkeypatch.setattr(machine, "launch", launched)
                monkeypatch.setattr(machine, "host_waits", waited)
            way.engine.train_epoch(trial, order)
    queues = [each for each in done if each != "wait"]
    assert len({*queues}) == len(seeds)
    first, last = done.index(queues[0]), len(done) - done[::-1].index(queues[-1])
    assert "wait" not in done[first:last], done


def test_auto_measures_stacks_that_are_captured(card: Card) -> None:
    options: dict[str, Any] = {"model": component("fc", hidden_size=8), "train_size": 400, "batch_size": 2}
    options |= {"epochs": 5, "seeds": (0, 1, 2, 3), "engine": "auto"}
    rates = [make_case(id=f"a/{lr}", optimizer=component("adam", lr=lr), **options) for lr in (1e-1, 1e-2, 1e-3)]
    with card(), (setting := setting_of(Bundle.of(rates), "cuda")).session.current():
        way = find_fast_path(setting)
    assert way.remarks[0] in ("graph", "stacked")  # a real GPU may be faster without
    assert "12 trials in a stack are trained" in way.remarks[-1]


NARROW = component("fc-bn-dropout", hidden_size=50)


@pytest.mark.parametrize("schedule", [None, "onecycle"])
@pytest.mark.parametrize("engine", ["graph", "stacked"])
@pytest.mark.parametrize("model", [NARROW, component("cnn")], ids=["fc-bn-dropout", "cnn"])
def test_many_steps_in_a_graph_are_as_many_steps(
    card: Card, model: Component, engine: str, schedule: str | None
) -> None:
    options: dict[str, Any] = {"model": model, "schedule": schedule and component(schedule), "seeds": (4, 0)}
    options |= {"optimizer": "momentum", "train_size": 520, "batch_size": 20, "epochs": 3}
    options["clip_grad_norm"] = 1.0
    with card():
        plain, captured = (result_of(make_case(engine=each, **options), "cuda") for each in ("resident", engine))
    assert captured.remarks == (*(["stacked"] if engine == "stacked" else []), "graph")
    assert losses(captured) == pytest.approx(losses(plain), rel=SAME)


@pytest.mark.parametrize(("train_size", "epochs"), [(20, 1), (230, 3)])
def test_a_stack_with_a_schedule_that_must_not_go_beyond_its_end_is_captured(
    card: Card, train_size: int, epochs: int
) -> None:
    schedule = component("onecycle")
    with card():
        seen = result_of(
            make_case(engine="stacked", schedule=schedule, seeds=(0, 1), train_size=train_size, epochs=epochs),
            "cuda",
        )
    assert seen.remarks == ("stacked", "graph")


def test_many_steps_in_a_graph_draw_as_many_random_numbers(card: Card) -> None:
    case = make_case(model="fc-bn-dropout", optimizer="adam", train_size=128, batch_size=5, epochs=3)
    offsets = []
    for kind in (ResidentEngine, GraphEngine):
        with card(), (setting := setting_of(case, "cuda")).session.current():
            engine = kind(setting.dataset, setting.session, 5)
            trial = FastPath(engine, Build(fused=True, capturable=True)).trial(setting, (0,))
            for epoch in (1, 2):
                trial.begin(epoch)
                engine.train_epoch(trial, engine.move(trial.order(128, epoch)))
            offsets.append(torch.cuda.default_generators[0].get_offset())
            recording = getattr(engine, "recording", None)
    assert recording is not None
    assert {*recording.replays} == {(5, 1), (5, 25), (3, 1)}
    assert offsets[0] == offsets[1]


@pytest.mark.usefixtures("strange")
def test_what_shows_only_in_many_steps_is_noticed_when_they_are_captured(card: Card) -> None:
    case = make_case(model=component("strange", how="now_and_then"), train_size=128, batch_size=5)
    with card(), (setting := setting_of(case, "cuda")).session.current():
        engine = GraphEngine(setting.dataset, setting.session, 5)
        trial = FastPath(engine, Build(fused=True, capturable=True)).trial(setting, (0,))
        trial.begin(1)
        order = engine.move(trial.order(128, 1))
        engine.train_epoch(trial, order)
        with pytest.raises(CaptureError, match="the model changes kept from step to step") as raised:
            engine.train_epoch(trial, order)
        assert not raised.value.spoiled


def test_the_reference_work_is_captured_too(card: Card) -> None:
    with card():
        seen = result_of(make_case(reference=True, epochs=2), "cuda")
        with (session := DeviceSession(torch.device("cuda:0"))).current():
            assert isinstance(getattr(Reference(session).work, "__self__", None), torch.cuda.CUDAGraph)
    assert seen.status == "completed", seen.error
    assert all((epoch.reference_seconds or 0) > 0 for epoch in seen.trials[0].epochs)


def test_memory_that_ran_out_is_given_back_before_the_next_case(card: Card, tmp_path: Path) -> None:
    plugins = (misbehaving.__name__,)
    workplace = Workplace("cuda:0", default_data_root(), tmp_path, checkpoints=False, plugins=plugins)
    with card(memory=1 << 30), InlineExecutor(workplace) as inline:
        (seen,), _ = execute(inline, make_case(id="a/hoards", model="doctor-hoards"))
        assert "out of memory" in str(seen.error)
        assert torch.cuda.memory_reserved() < 256 << 20


def test_whoever_trains_in_a_process_has_the_same_stream(card: Card) -> None:
    with card():
        device = torch.device("cuda:0")
        first = DeviceSession(device)
        before = torch.cuda.memory_allocated()
        assert before > 0  # it is warm: cuBLAS has its workspace, which is no case's
        training = ManualTraining(train_size=230, device="cuda")
        training.step()
        assert training.session.stream is first.stream
        del training
        gc.collect()
        assert torch.cuda.memory_allocated() == before  # no second workspace


def test_what_is_done_outside_is_waited_for_and_waits(card: Card) -> None:
    """Outside is another stream, on which a user prepares a model and looks at it."""
    with card():
        training = ManualTraining(train_size=230, device="cuda")
        with torch.no_grad():
            for parameter in training.model.parameters():
                parameter.zero_()
        assert training.step() == pytest.approx(math.log(10), rel=SAME)
        assert any(bool(parameter.any()) for parameter in training.model.parameters())


@REAL_GPU
def test_where_cards_differ_cuda_says_which_one_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML numbers them by their place, and CUDA by their speed."""
    by_bus = (Gpu(0, "GPU-0", "a display", driver="580.65.06"), Gpu(1, "GPU-1", "NVIDIA Stand-in 100"))
    with standin(devices=2):
        monkeypatch.setattr(environment, "gpus", lambda: by_bus)
        seen = result_of(make_case(), "cuda")
    assert (seen.environment["device_name"], seen.environment["driver"]) == ("NVIDIA Stand-in 100", "580.65.06")


@REAL_GPU
def test_a_card_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "contexts.jsonl"
    log.write_text(json.dumps({"pid": os.getppid(), "ppid": 1, "argv": [], "card": 0}) + "\n", "utf-8")
    with standin(exclusive=True, log=str(log)), pytest.raises(DeviceError) as raised:
        DeviceSession(torch.device("cuda:0"))
    assert str(raised.value) == (
        "cuda:0 cannot be used: CUDA error: CUDA-capable device(s) is/are busy or unavailable; "
        "another process has it, and it takes one at a time (EXCLUSIVE_PROCESS)"
    )
