"""Evaluations within an epoch, budgets and targets, on every engine."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from standin_support import standin
from training_support import component, losses, make_case, result_of

from benchmnist.runs.endings import ending_of, goes_beyond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmnist.runs.results import CaseResult, EpochResult, TrialResult
    from benchmnist.suites.cases import Case

ROUNDING = 1e-3
COMMON = {"model": "fc-bn-dropout", "optimizer": "adam", "seeds": (4, 0), "epochs": 2, "train_size": 330}
STEPS = [3, 6, 7, 9, 12, 14]  # 7 in an epoch, the last of 30 examples

MODAL = """
import torch
from benchmnist import OptimizerSpec, hookimpl

class Averaging(torch.optim.SGD):
    "Is tested with other weights than it trains, and computes back, which rounds: as schedule-free optimizers do."
    tests = False
    def _move(self, tests, factor):
        if tests != self.tests:
            with torch.no_grad():
                for parameter in self.param_groups[0]["params"]:
                    parameter.mul_(factor).add_(0.1)
        self.tests = tests
    def eval(self): self._move(True, 1 / 3)
    def train(self): self._move(False, 3)

@hookimpl
def benchmnist_optimizers():
    build = lambda model: Averaging(model.parameters(), lr=0.1)
    return [OptimizerSpec(name="averaging", summary="", build=build, has_modes=True)]
"""


def curve(result: CaseResult) -> list[float]:
    """Returns the evaluations of all trials, in order."""
    found = [e for trial in result.trials for epoch in trial.epochs for e in epoch.evaluations]
    return [value for each in found for value in (each.train_loss, *each.metrics.values())]


def evaluated(trial: TrialResult) -> list[int]:
    return [evaluation.step for epoch in trial.epochs for evaluation in epoch.evaluations]


def hold(epoch: EpochResult, before: float) -> None:
    """Holds an epoch to what its evaluations say."""
    assert epoch.evaluations[-1].metrics == epoch.metrics
    times = [before, *(evaluation.seconds for evaluation in epoch.evaluations)]
    assert all(one < other for one, other in itertools.pairwise(times))
    assert times[-1] == pytest.approx(before + epoch.seconds)


@pytest.mark.parametrize("evaluate_in", ["eval", "train"])
@pytest.mark.parametrize("engine", ["dataloader", "resident", "stacked"])
def test_training_does_not_notice_evaluations(engine: str, evaluate_in: str) -> None:
    options = {**COMMON, "engine": engine, "evaluate_in": evaluate_in}
    without, seen = (result_of(make_case(**options, evaluate_every=every)) for every in (None, 3))
    assert (seen.engine, seen.error) == (engine, None)
    assert losses(seen) == losses(without)
    for trial in seen.trials:
        assert evaluated(trial) == STEPS
        hold(trial.epochs[0], 0.0)
        hold(trial.epochs[1], trial.epochs[0].seconds)
    assert not any(epoch.evaluations for trial in without.trials for epoch in trial.epochs)


def test_engines_agree_on_evaluations() -> None:
    options = {**COMMON, "evaluate_every": 3, "schedule": component("linear-warmup-cosine")}
    expected = curve(result_of(make_case(**options, engine="dataloader")))
    assert len(expected) == 2 * len(STEPS) * 3  # two seeds; a loss, an accuracy, a test loss
    for engine in ("resident", "stacked"):
        assert curve(result_of(make_case(**options, engine=engine))) == pytest.approx(expected, rel=ROUNDING)
    for engine in ("graph", "streams", "stacked"):
        with standin() as machine:
            seen = result_of(make_case(**{**options, "model": "fc"}, engine=engine), "cuda")
            assert machine.hazards == []
        assert (seen.engine, [*map(evaluated, seen.trials)]) == (engine, [STEPS, STEPS]), seen.remarks
    plain = curve(result_of(make_case(**{**options, "model": "fc"}, engine="dataloader")))
    assert curve(seen) == pytest.approx(plain, rel=ROUNDING)


def test_parts_of_several_lengths_are_captured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def captures(every: int | None) -> int:
        made: list[int] = []

        def counted(*args: Any, **options: Any) -> None:
            made.append(1)
            begin(*args, **options)

        with standin(), monkeypatch.context() as patch:
            graph = torch.cuda.CUDAGraph  # the stand-in's
            begin = graph.capture_begin
            patch.setattr(graph, "capture_begin", counted)
            case = make_case(**{**COMMON, "seeds": (0,), "epochs": 4}, engine="graph", evaluate_every=every)
            assert result_of(case, "cuda").engine == "graph"
        return len(made)

    assert captures(3) == captures(None) > 0


def test_recorded_steps_agree_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**COMMON, "model": "fc", "seeds": (0,), "train_size": 500}
    monkeypatch.setenv("BENCHMNIST_RECORDED", "0")
    plain = result_of(make_case(**options, evaluate_every=4))
    monkeypatch.setenv("BENCHMNIST_RECORDED", "1")
    seen = result_of(make_case(**options, evaluate_every=4))
    assert "recorded" in seen.remarks
    assert (losses(seen), curve(seen)) == (losses(plain), curve(plain))


@pytest.mark.parametrize("engine", ["dataloader", "stacked"])
def test_an_optimizer_with_other_weights_for_testing_does_not_notice_either(
    install_plugin: Callable[..., None], engine: str
) -> None:
    install_plugin("modal", MODAL)
    options = {**COMMON, "model": "fc", "optimizer": "averaging", "engine": engine}
    without, seen = (result_of(make_case(**options, evaluate_every=every)) for every in (None, 3))
    assert losses(seen) == losses(without)


@pytest.mark.parametrize("engine", ["dataloader", "resident", "stacked"])
def test_a_budget_of_steps_cuts_the_last_epoch_short(engine: str) -> None:
    whole = result_of(make_case(**COMMON, engine=engine, evaluate_every=2))
    seen = result_of(make_case(**{**COMMON, "steps": 9}, engine=engine, evaluate_every=2))
    for trial, other in zip(seen.trials, whole.trials, strict=True):
        assert [epoch.steps for epoch in trial.epochs] == [None, 2]
        assert evaluated(trial) == [2, 4, 6, 7, 8, 9]
        assert trial.epochs[0].metrics == other.epochs[0].metrics
        assert trial.epochs[1].evaluations[0].metrics == other.epochs[1].evaluations[0].metrics
        assert (trial.status, trial.ended) == ("completed", "budget")


def test_a_schedule_ends_with_the_budget() -> None:
    options = {**COMMON, "seeds": (0,), "steps": 9, "optimizer": component("sgd", lr=0.1)}
    (trial,) = result_of(make_case(**options, schedule=component("cosine"))).trials
    assert trial.epochs[1].learning_rate == pytest.approx(0.1 * (1 + math.cos(math.pi * 7 / 9)) / 2)


def test_each_seed_of_a_stack_ends_by_itself() -> None:
    options = {**COMMON, "epochs": 3, "evaluate_every": 2, "seeds": (0, 1, 2), "engine": "stacked"}
    free = result_of(make_case(**options))
    finals = {t.seed: [e.metrics["test_loss"] for p in t.epochs for e in p.evaluations] for t in free.trials}
    target = sorted(min(values) for values in finals.values())[1]  # that one of them does not reach
    case = make_case(**options, target_loss=target, stop_at_target=True)
    seen = result_of(case)
    for trial in seen.trials:
        values = [e.metrics["test_loss"] for p in trial.epochs for e in p.evaluations]
        assert values == finals[trial.seed][: len(values)]  # as long as it was trained, as without the target
        assert [value <= target for value in values] == [*[False] * (len(values) - 1), trial.ended == "target"]
        assert ending_of(case, trial.epochs) == trial.ended
        assert not goes_beyond(case, trial.epochs)
        assert trial.status == "completed"
    assert sorted(trial.ended for trial in seen.trials) == ["budget", "target", "target"]


def test_a_seed_of_a_stack_has_the_weights_with_which_it_ended() -> None:
    """The others go on, and the stack trains it along with them."""
    options = {**COMMON, "epochs": 3, "evaluate_every": 2, "seeds": (0, 1, 2)}

    def weights_of(case: Case) -> tuple[CaseResult, dict[int, dict[str, torch.Tensor]]]:
        kept: dict[int, dict[str, torch.Tensor]] = {}

        def keep(seed: int, weights: Callable[[], Mapping[str, torch.Tensor]]) -> None:
            kept[seed] = {name: tensor.clone() for name, tensor in weights().items()}

        return result_of(case, keep=keep), kept

    free, ends = weights_of(make_case(**options, engine="stacked"))
    target = min(trial.epochs[-2].metrics["test_loss"] for trial in free.trials)
    seen, kept = weights_of(make_case(**options, engine="stacked", target_loss=target, stop_at_target=True))
    early = min(seen.trials, key=lambda trial: len(evaluated(trial)))
    steps = evaluated(early)[-1]
    assert steps < max(evaluated(trial)[-1] for trial in seen.trials)
    _, alone = weights_of(make_case(**{**options, "seeds": (early.seed,), "steps": steps}, engine="resident"))
    for name, expected in alone[
        early.seed
    ].items():  # rounding may turn a step of Adam where a gradient is almost 0
        mine, later = kept[early.seed][name], ends[early.seed][name]
        assert (mine - expected).double().norm() < 0.1 * (later - expected).double().norm(), name


def test_giving_up_and_diverging_end_an_epoch_in_its_middle() -> None:
    stuck = component("sgd", lr=0.0)
    options = {**COMMON, "optimizer": stuck, "model": "fc", "seeds": (0,), "evaluate_every": 2}
    (trial,) = result_of(make_case(**options, patience=2)).trials
    assert (trial.status, trial.ended, evaluated(trial)) == ("completed", "patience", [2, 4, 6])
    assert [epoch.steps for epoch in trial.epochs] == [6]
    wild = component("sgd", lr=1e30)
    (trial,) = result_of(make_case(**{**options, "optimizer": wild}, patience=2)).trials
    assert (trial.status, trial.epochs[-1].metrics, len(trial.epochs)) == ("diverged", {}, 1)
    assert trial.epochs[0].steps == 2


def test_seconds_end_a_trial_at_the_first_evaluation_after_them() -> None:
    budget = 0.05
    for trial in result_of(make_case(**{**COMMON, "epochs": 1000}, evaluate_every=3, seconds=budget)).trials:
        times = [evaluation.seconds for epoch in trial.epochs for evaluation in epoch.evaluations]
        assert times[-1] >= budget
        assert all(time < budget for time in times[:-1])
        assert (trial.status, trial.ended) == ("completed", "budget")
