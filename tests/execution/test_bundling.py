"""Cases that differ in what their optimizer is given only are trained in one stack, and told as cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from training_support import Told, component, limit, losses, make_case, result_of, setting_of

from benchmnist.execution.bundling import bundled, only_chooses, together
from benchmnist.execution.dispatch import Dispatcher
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.executors.messages import Task, decode, encode
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.bundles import Bundle
from benchmnist.training.data import default_data_root
from benchmnist.training.fast_paths import find_fast_path
from benchmnist.training.speed import MIN_GAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmnist.runs.results import CaseResult, EpochResult
    from benchmnist.suites.cases import Case

SAME = 1e-3
"""Relative: a stack rounds otherwise."""


def sweep(*points: Mapping[str, Any], optimizer: str = "momentum", **options: Any) -> list[Case]:
    defaults: dict[str, Any] = {"model": component("fc-bn-dropout", hidden_size=16), "engine": "stacked"}
    defaults |= {"seeds": (4, 0), "epochs": 2, "train_size": 230}
    return [
        make_case(id=f"a/{number}", optimizer=component(optimizer, **point), **{**defaults, **options})
        for number, point in enumerate(points)
    ]


def train(
    cases: Sequence[Case],
    folder: Path,
    executor: type[InlineExecutor | LocalExecutor] = InlineExecutor,
    *,
    parts: Mapping[str, Sequence[CaseResult]] | None = None,
    plugins: tuple[str, ...] = (),
    plan: Sequence[Case] = (),
    timeout: float | None = None,
) -> tuple[list[CaseResult], Told]:
    """Trains cases as a session does, which asks for one after the other."""
    told = Told()
    workplace = Workplace("cpu", default_data_root(), folder, plugins=plugins, timeout=timeout)
    with executor(workplace) as executing:
        dispatcher = Dispatcher(executing, told, parts=parts, together=together(find_plugins((), plugins), plan))
        dispatcher.expect(cases)
        results = [ended(dispatcher, case) for case in cases]
    return results, told


def ended(dispatcher: Dispatcher, case: Case) -> CaseResult:
    """Runs the epochs of a case, as a session does."""
    epochs = dispatcher.epochs(case)
    while True:
        try:
            epoch = next(epochs)
        except StopIteration as stop:
            result: CaseResult = stop.value
            return result
        epoch.run()
        assert epoch.seed in case.seeds


def alone(case: Case) -> CaseResult:
    return result_of(case.model_copy(update={"engine": "resident"}))


@pytest.mark.parametrize("executor", [InlineExecutor, LocalExecutor])
def test_each_point_of_a_sweep_has_the_curve_that_it_has_alone(
    tmp_path: Path, executor: type[InlineExecutor | LocalExecutor]
) -> None:
    cases = sweep({"lr": 0.1}, {"lr": 0.01, "momentum": 0.5}, {"lr": 0.02, "weight_decay": 0.1})
    results, told = train(cases, tmp_path, executor)
    for case, result in zip(cases, results, strict=True):
        expected = alone(case)
        assert (result.case, result.status, result.engine) == (case, "completed", "stacked"), result.error
        stack = result.trials[0].stack
        assert stack is not None
        assert (stack.cases, stack.trials, result.stacks) == (3, 6, (stack,))
        assert result.remarks == ("stacked", f"in the stack {stack.name} (3 cases, 6 trials)")
        assert [trial.seed for trial in result.trials] == [4, 0]
        assert losses(result) == pytest.approx(losses(expected), rel=SAME)
        assert [e.learning_rate for t in result.trials for e in t.epochs] == [
            e.learning_rate for t in expected.trials for e in t.epochs
        ]
        assert all(epoch.seconds > 0 for trial in result.trials for epoch in trial.epochs)
        for trial in result.trials:
            assert (tmp_path / str(trial.checkpoint)).name == f"a__{case.id[2:]}__seed-{trial.seed}.safetensors"
            assert (tmp_path / str(trial.checkpoint)).is_file()
    assert [line for line in told.log if line.endswith("started")] == [f"{case.id} started" for case in cases]
    assert sorted((case, seed, epoch.epoch) for case, seed, epoch in told.epochs) == [
        (case.id, seed, epoch) for case in cases for seed in (0, 4) for epoch in (1, 2)
    ]


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "nadam"])
def test_schedules_and_clipping_are_those_of_each_point(tmp_path: Path, optimizer: str) -> None:
    options: dict[str, Any] = {"schedule": component("onecycle"), "clip_grad_norm": 0.5, "optimizer": optimizer}
    cases = sweep({"lr": 1e-3}, {"lr": 3e-3, "weight_decay": 0.01}, **options)
    for case, result in zip(cases, train(cases, tmp_path)[0], strict=True):
        assert result.remarks[-1].endswith("(2 cases, 4 trials)")
        assert losses(result) == pytest.approx(losses(alone(case)), rel=1e-2)


def test_a_point_that_diverges_costs_the_others_nothing(tmp_path: Path) -> None:
    cases = sweep({"lr": 0.1}, {"lr": 1e30}, {"lr": 0.01})
    results, _ = train(cases, tmp_path)
    assert [result.status for result in results] == ["completed", "diverged", "completed"]
    assert all(result.engine == "stacked" for result in results)
    assert losses(results[2]) == pytest.approx(losses(alone(cases[2])), rel=SAME)


def test_only_the_trials_that_are_left_are_trained(tmp_path: Path) -> None:
    cases = sweep({"lr": 0.1}, {"lr": 0.01}, {"lr": 0.02})
    whole = [alone(case) for case in cases]
    parts = {
        "a/0": [whole[0].model_copy(update={"trials": whole[0].trials[1:]})],
        "a/1": [whole[1]],
    }
    results, told = train(cases, tmp_path, parts=parts)
    assert {(case, seed) for case, seed, _ in told.epochs} == {("a/0", 4), ("a/2", 4), ("a/2", 0)}
    for result, expected in zip(results, whole, strict=True):
        assert losses(result) == pytest.approx(losses(expected), rel=SAME)


FAILING = """
import os
import sys
import torch
from torch import nn
from benchmnist import ModelSpec, OptimizerSpec, hookimpl

class Failing(nn.Sequential):
    def forward(self, x):
        if self.training:
            raise ValueError("no more")
        return super().forward(x)

class Shared(torch.optim.SGD):
    "Has one rate for all that there are."
    rates = []
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.rates.append(lr)
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = self.rates[-1]
        return super().step(closure)

class Culprit(torch.optim.SGD):
    "Fails in some way at a step, or when it is made."
    def __init__(self, params, lr, how):
        super().__init__(params, lr=lr)
        self.how, self.left = how, 10  # more than what is tried before
        if how == "made":
            raise ValueError("no such rate")
    def step(self, closure=None):
        self.left -= 1
        if self.how == "first" or (self.left == 0 and self.how == "raises"):
            raise ValueError("no step")
        if self.left == 0 and self.how == "exits":
            sys.exit(3)
        if self.left == 0 and self.how == "dies":
            os._exit(3)
        return super().step(closure)

def culprit(model, *, lr, how=""):
    return Culprit(model.parameters(), lr, how)

def failing(*, input_shape, num_classes):
    return Failing(nn.Flatten(), nn.Linear(784, num_classes))

def shared(model, *, lr):
    return Shared(model.parameters(), lr)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="failing", summary="", build=failing)]

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name=name, summary="", build=build, elementwise=True)
            for name, build in (("shared", shared), ("culprit", culprit))]
"""


def test_a_failure_is_one_of_every_case(tmp_path: Path, install_plugin: Callable[..., None]) -> None:
    install_plugin("failing", FAILING)
    results, _ = train(sweep({"lr": 0.1}, {"lr": 0.01}, model="failing"), tmp_path)
    assert [result.status for result in results] == ["failed", "failed"]
    assert all("no more" in str(result.error) for result in results)


def others_are_as_alone(cases: Sequence[Case], results: Sequence[CaseResult], culprit: int) -> None:
    for number, (case, result) in enumerate(zip(cases, results, strict=True)):
        if number != culprit:
            assert (result.status, result.engine, len(result.trials)) == ("completed", "stacked", 2), result.error
            assert losses(result) == pytest.approx(losses(alone(case)), rel=SAME)
            assert "begun again, since the stack of" in result.remarks[-1]


def culprits(how: str) -> list[Case]:
    points: list[dict[str, Any]] = [{"lr": 0.1}, {"lr": 0.05}, {"lr": 0.01, "how": how}, {"lr": 0.02}]
    return sweep(*points, optimizer="culprit", model="logistic")


@pytest.mark.parametrize(
    ("how", "why"),
    [("made", "no such rate"), ("first", "no step"), ("raises", "no step"), ("exits", "SystemExit: 3")],
)
def test_a_point_that_fails_costs_itself_only(
    tmp_path: Path, install_plugin: Callable[..., None], how: str, why: str
) -> None:
    install_plugin("failing", FAILING)
    cases = culprits(how)
    results, told = train(cases, tmp_path)
    assert results[2].status == "failed"
    assert why in str(results[2].error)
    others_are_as_alone(cases, results, 2)
    assert [stack.cases for stack in results[0].stacks] == [2]  # the culprit was in the other half
    assert [stack.cases for stack in results[3].stacks] == [1]
    assert sorted(line for line in told.log if "started" in line) == [f"{case.id} started" for case in cases]
    assert len(told.ended) == len(cases)


def test_a_point_that_ends_the_worker_costs_itself_only(
    tmp_path: Path, install_plugin: Callable[..., None]
) -> None:
    install_plugin("failing", FAILING)
    cases = culprits("dies")
    results, _ = train(cases, tmp_path, LocalExecutor)
    assert results[2].status == "crashed"
    assert "exit code 3" in str(results[2].error)
    others_are_as_alone(cases, results, 2)


def test_a_point_that_takes_too_long_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = sweep({"lr": 0.1}, {"lr": 0.05}, {"lr": 0.01}, model="logistic")
    limit(monkeypatch, lambda task: "a/1" in {point.id for point in getattr(task, "points", [task])})
    results, _ = train(cases, tmp_path, LocalExecutor, timeout=25.0)
    assert [result.status for result in results] == ["completed", "timed out", "completed"]
    others_are_as_alone(cases, results, 1)


def test_a_stack_that_has_no_room_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = sweep({"lr": 0.1}, {"lr": 0.05}, {"lr": 0.01}, {"lr": 0.02}, model="logistic")
    monkeypatch.setattr("benchmnist.training.memory.free_memory", lambda _: 4_000_000)  # half of it: for 5 trials
    for case, result in zip(cases, train(cases, tmp_path)[0], strict=True):
        assert [stack.trials for stack in result.stacks] == [4]
        assert "8 trials would take about" in result.remarks[-1]
        assert losses(result) == pytest.approx(losses(alone(case)), rel=SAME)


class Interrupting(Told):
    """Is interrupted after so many epochs, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        super().epoch_ended(case, seed, result)
        if len(self.epochs) == self.after:
            raise KeyboardInterrupt


def test_what_was_seen_of_a_stack_is_kept_when_it_is_interrupted(tmp_path: Path) -> None:
    cases = sweep({"lr": 0.1}, {"lr": 0.05}, model="logistic")
    with InlineExecutor(Workplace("cpu", default_data_root(), tmp_path)) as executing:
        dispatcher = Dispatcher(executing, Interrupting(5), together=together(find_plugins()))
        dispatcher.expect(cases)
        with pytest.raises(KeyboardInterrupt):
            next(dispatcher.epochs(cases[0]))
        results = dispatcher.interrupt()
    seen = [[len(trial.epochs) for trial in result.trials] for result in results]
    assert seen == [[2, 1], [1, 1]]  # of both seeds of both cases
    assert [result.status for result in results] == ["interrupted", "interrupted"]
    assert all(result.shares_times for result in results)


def test_points_that_a_stack_would_train_otherwise_are_trained_one_by_one(
    tmp_path: Path, install_plugin: Callable[..., None]
) -> None:
    install_plugin("failing", FAILING)
    cases = sweep({"lr": 0.1}, {"lr": 0.01}, optimizer="shared", model="logistic")
    for case, result in zip(cases, train(cases, tmp_path)[0], strict=True):
        assert (result.status, result.engine) == ("completed", "stacked")
        assert result.remarks[-1].startswith("not stacked: its first losses are")
        assert result.remarks[-1].endswith("(of 2 cases)")
        assert [stack.cases for stack in result.stacks] == [1]
        assert losses(result) == pytest.approx(losses(alone(case)), rel=SAME)


ODD = """
import torch
from benchmnist import OptimizerSpec, hookimpl

class Averaged(torch.optim.SGD):
    "Tests the mean of its weights, which it puts in their place."
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.params = self.param_groups[0]["params"]
        self.other, self.tests = [p.detach().clone() for p in self.params], False
    def step(self, closure=None):
        super().step()
        for other, p in zip(self.other, self.params):
            other.lerp_(p.detach(), 0.1)
    def swap(self, tests):
        if tests != self.tests:
            self.tests = tests
            for i, p in enumerate(self.params):
                p.data, self.other[i] = self.other[i], p.data
    def train(self):
        self.swap(False)
    def eval(self):
        self.swap(True)

class Accumulating(torch.optim.SGD):
    "Makes a step of every fourth gradient."
    calls = 0
    def zero_grad(self, set_to_none=True):
        if self.calls % 4 == 0:
            super().zero_grad(set_to_none)
    def step(self, closure=None):
        self.calls += 1
        if self.calls % 4 == 0:
            super().step()

@hookimpl
def benchmnist_optimizers():
    return [
        OptimizerSpec(name="averaged", summary="", elementwise=True, has_modes=True,
                      build=lambda model, *, lr: Averaged(model.parameters(), lr)),
        OptimizerSpec(name="accumulating", summary="", elementwise=True,
                      build=lambda model, *, lr: Accumulating(model.parameters(), lr=lr)),
    ]
"""


@pytest.mark.parametrize("optimizer", ["averaged", "accumulating"])
def test_points_whose_optimizer_a_part_of_a_stack_would_not_serve_are_stacked_by_themselves(
    tmp_path: Path, install_plugin: Callable[..., None], optimizer: str
) -> None:
    install_plugin("odd", ODD)
    cases = sweep({"lr": 0.1}, {"lr": 0.01}, optimizer=optimizer, model="logistic")
    for case, result in zip(cases, train(cases, tmp_path)[0], strict=True):
        expected = alone(case)
        assert (result.status, expected.status) == ("completed", "completed"), expected.error
        assert losses(result) == pytest.approx(losses(expected), rel=SAME)
        ours, theirs = ([epoch.metrics for epoch in each.trials[0].epochs] for each in (result, expected))
        assert ours == [pytest.approx(metrics, rel=1e-3) for metrics in theirs]


def test_what_is_trained_together() -> None:
    key = together(find_plugins())
    cases = [
        *sweep({"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}, {"lr": 0.4}),
        *[make_case(id=f"b/{n}", engine="stacked", optimizer=component("muon", lr=n)) for n in (1.0, 2.0)],
        *[make_case(id=f"c/{n}", engine="resident", optimizer=component("sgd", lr=n)) for n in (1.0, 2.0)],
        make_case(id="d/epochs", engine="stacked", epochs=3),
        make_case(id="d/model", engine="stacked", epochs=3, model="logistic"),
    ]
    assert shapes(bundled(cases, key, 1)) == [[{"a/0": 2, "a/1": 2, "a/2": 2, "a/3": 2}]]
    assert shapes(bundled(cases, key, 2)) == [[{"a/0": 2, "a/2": 2}, {"a/1": 2, "a/3": 2}]]
    assert bundled(cases, key, 4) == []  # each worker has one
    harder = [case.model_copy(update={"id": f"{case.id}/hard", "batch_size": 7}) for case in cases[:4]]
    assert [len(bundles) for bundles in bundled([*cases, *harder], key, 2)] == [1, 1]  # a stack for each slot
    assert [len(bundles) for bundles in bundled([*cases, *harder], key, 3)] == [2, 2]
    many = sweep(*({"lr": 1 / (n + 1)} for n in range(200)))
    assert [len(shape) for shape in shapes(bundled(many, key, 1))[0]] == [100, 100]


def shapes(groups: list[list[Bundle]]) -> list[list[dict[str, int]]]:
    """The number of seeds of each case of each bundle of each group."""
    return [[{p.id: len(p.seeds) for p in bundle.points} for bundle in bundles] for bundles in groups]


def choosing(*points: Mapping[str, Any], **options: Any) -> list[Case]:
    """Points of a sweep that a search judges, with no engine of their own."""
    return sweep(*points, **{"model": "logistic", "engine": "auto", "validation_size": 100, **options})


def test_auto_stacks_what_has_more_trials_than_slots_and_asks_for_no_times() -> None:
    cases = choosing({"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}, seeds=tuple(range(9)))
    key = together(find_plugins(), cases)
    assert shapes(bundled(cases, key, 2)) == [[{"a/0": 9, "a/1": 4}, {"a/1": 5, "a/2": 9}]]
    assert shapes(bundled(cases, key, 3)) == [[{"a/0": 9}, {"a/1": 9}, {"a/2": 9}]]
    assert bundled(cases, key, 4) == []  # too few for each
    many = choosing(*({"lr": 1 / (n + 1)} for n in range(100)))
    assert [sum(shape.values()) for shape in shapes(bundled(many, key, 1))[0]] == [50, 50, 50, 50]
    assert bundled(cases, together(find_plugins()), 2) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"baseline": "momentum"},
        {"compared_with": ()},
        {"target_accuracy": 90.0},
        {"reference": True},
        {"control": True},
        {"expect": {"epoch_seconds": "<= 3"}},
        {"validation_size": None},
    ],
)
def test_a_run_with_a_question_about_times_chooses_not_only(changed: dict[str, Any]) -> None:
    cases = choosing({"lr": 0.1}, {"lr": 0.2}, expect={"accuracy": ">= 3"})
    assert only_chooses(cases)
    assert not only_chooses([cases[0], cases[1].model_copy(update=changed)])
    swept = cases[1].optimizer.model_copy(update={"variant": "lr-0.2"})
    assert only_chooses([cases[0], cases[1].model_copy(update={"validation_size": None, "optimizer": swept})])


def test_auto_does_not_measure_what_is_soon_trained(tmp_path: Path) -> None:
    cases = choosing({"lr": 0.1}, {"lr": 0.05}, seeds=(4, 0, 1, 2), epochs=1)
    for result in train(cases, tmp_path, plan=cases)[0]:
        assert (result.status, result.engine) == ("completed", "resident")
        assert result.remarks[-1] == "not stacked: too short to measure what is faster (of 2 cases)"


@pytest.mark.parametrize(("gain", "engine"), [(1.7, "stacked"), (1.05, "resident")])
def test_auto_stacks_where_that_is_measured_to_be_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float, engine: str
) -> None:
    cases = choosing({"lr": 0.1}, {"lr": 0.05}, seeds=(4, 0, 1, 2), epochs=1)
    monkeypatch.setattr("benchmnist.training.speed.FEWEST_STEPS_OF_STACK", 0)
    monkeypatch.setattr("benchmnist.training.fast_paths.gain_of_stack", lambda *_: gain)
    results, told = train(cases, tmp_path, plan=cases)
    said = f"8 trials in a stack are trained {gain:.2f} times as fast as one by one"
    for case, result in zip(cases, results, strict=True):
        assert (result.case, result.status, result.engine) == (case, "completed", engine), result.error
        assert (said if engine == "stacked" else f"not stacked: {said} (of 2 cases)") in result.remarks
        assert result.shares_times == (engine == "stacked")
        assert losses(result) == pytest.approx(losses(alone(case)), rel=SAME)
    assert len(told.ended) == len(cases)


def test_the_gain_of_a_stack_is_measured_on_trials_that_are_thrown_away() -> None:
    setting = setting_of(Bundle.of(choosing({"lr": 0.1}, {"lr": 0.05}, epochs=600)))
    way = find_fast_path(setting)
    (gain,) = (gain for key, gain in setting.session.speedups.items() if " 4 " in key)
    assert gain > 0
    assert way.stacked == (gain >= MIN_GAIN)
    assert any(f"trained {gain:.2f} times as fast" in remark for remark in way.remarks)
    before = dict(setting.session.speedups)
    assert find_fast_path(setting).remarks == way.remarks
    assert setting.session.speedups == before  # once a process


def test_seeds_of_one_case_are_shared_out_among_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts end by themselves, and one of them may have to be begun again."""
    (case,) = choosing({"lr": 0.1}, seeds=tuple(range(17)), epochs=1)
    monkeypatch.setattr("benchmnist.training.speed.FEWEST_STEPS_OF_STACK", 0)
    gain = "benchmnist.training.fast_paths.gain_of_stack"
    monkeypatch.setattr(gain, lambda setting, *_: len(setting.case.seeds) - 7.5)  # 0.5 for 8 trials, 1.5 for 9
    told = Told()
    with InlineExecutor(Workplace("cpu", default_data_root(), tmp_path)) as executing:
        executing.slots = 2
        dispatcher = Dispatcher(executing, told, together=together(find_plugins(), [case]))
        dispatcher.expect([case])
        result = ended(dispatcher, case)
    assert (result.case, result.status) == (case, "completed")
    assert [trial.seed for trial in result.trials] == [*range(17)]
    assert [trial.stack and trial.stack.trials for trial in result.trials] == [None] * 8 + [9] * 9
    assert losses(result) == pytest.approx(losses(alone(case)), rel=SAME)


def test_a_bundle_is_sent_as_it_is() -> None:
    bundle = Bundle.of(sweep({"lr": 0.1, "betas": (0.9, 0.99)}, {"lr": 0.2}))
    for case in (bundle, bundle.points[0]):
        task = decode(encode(Task(case, "why")).rstrip(b"\n"))
        assert (type(task.case), task.case, task.no_graph) == (type(case), case, "why")
    assert [bundle.row(row) for row in bundle.seeds] == [
        (point, seed) for point in bundle.points for seed in (4, 0)
    ]
    assert bundle.firsts == (0, 2)
    assert shapes([[bundle.shortened(n) for n in (1, 3, 9)]]) == [
        [{"a/0": 1}, {"a/0": 2, "a/1": 1}, {"a/0": 2, "a/1": 2}]
    ]
