"""The promises of a problem."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from benchmnist.analysis.courses import points
from benchmnist.analysis.reached import reached
from benchmnist.errors import SuiteError, first_line
from benchmnist.extensions.kinds import PROBLEM
from benchmnist.extensions.registry import Offers, Registry
from benchmnist.extensions.specs import ALL_LEVELS
from benchmnist.suites.budgets import Target, target_of
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.values import toml_text
from benchmnist.tasks import build_task
from benchmnist.testing import parameters
from benchmnist.testing.checks import DoesNotApply, Miss, Subject, check
from benchmnist.testing.gradients import SEED, Objective, rounded_away, wrong_gradient
from benchmnist.testing.problem import UNTRAINED
from benchmnist.text import alternatives, counted
from benchmnist.training.data import Datasets, to_unit
from benchmnist.training.device import DeviceSession
from benchmnist.training.fast_paths import Setting
from benchmnist.training.loop import evaluate, train_case
from benchmnist.training.trial import Trial, build_model, steps_of_trial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmnist.errors import Problem
    from benchmnist.extensions.specs import Dataset, ProblemSpec
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

CPU = torch.device("cpu")
SHORT, EVALUATIONS = 20, 4
"""Steps of a training that tells how fast it is, and evaluations of each that is compared."""
TRYING = 3.0
"""Seconds that a training may take whose curve is compared with that of another."""


class _Level(NamedTuple):
    """A problem at one of its levels, with its reference.

    Attributes:
        name: `level '3': `, to begin a message with; empty for a problem without levels.
        case: The case of the reference.
        registry: The installed plugins, with the problem.
        dataset: What it is trained on.
    """

    name: str
    case: Case
    registry: Registry
    dataset: Dataset

    def setting(self, **changed: Any) -> Setting:
        """Returns it to be trained with one seed, without measuring which fast path is the fastest."""
        plain = {"seeds": (SEED,), "engine": "resident", **changed}
        return Setting(self.case.model_copy(update=plain), self.registry, self.dataset, DeviceSession(CPU))

    def objective(self, **how: Any) -> Objective:
        """Returns the loss of a few examples with the weights of the seed; `how` as of Objective."""
        model = build_model(self.case, SEED, self.registry, self.dataset)
        return Objective(self.case, self.registry, self.dataset, model, **how)

    def tested(self, seed: int = SEED) -> dict[str, float]:
        """Returns the figures of the test before the first step."""
        case, dataset = self.case, self.dataset
        model, task = build_model(case, seed, self.registry, dataset), build_task(case, self.registry)
        trial = Trial(model, torch.optim.SGD(model.parameters(), lr=0.0), UNTRAINED, task=task)
        return evaluate(trial, to_unit(dataset.test_images, CPU), dataset.test_labels, case)


def _suite(spec: ProblemSpec) -> str:
    """Returns a suite of the problem and its reference."""
    reference = {key: value for key, value in spec.solved_by.items() if key not in ("optimizer", "levels")}
    given = "\n".join(f"{key} = {toml_text(value)}" for key, value in reference.items())
    use = toml_text(spec.solved_by["optimizer"])
    return (
        f'[suite]\nname = "check"\n[optimizers.reference]\nuse = {use}\n{given}\n'
        f'[[cases]]\nproblems = ["{spec.name}"]\noptimizers = ["reference"]\n'
    )


def _levels(subject: Subject) -> list[_Level]:
    """Plans every level, and loads its data.

    Raises:
        Miss: if it cannot be planned.
        DataError: if its data cannot be loaded, or do not suit its task.
    """
    kinds = subject.datasets.registry.by_kind
    of_problem = Offers(PROBLEM.name, {subject.name: subject.offer})
    registry = replace(subject.datasets.registry, by_kind={**kinds, PROBLEM.name: of_problem})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "check.toml"
        file.write_text(_suite(subject.offer.spec), "utf-8")
        try:
            plan = make_plan(read_suite(file), registry)
        except SuiteError as error:
            raise Miss(_messages(error.problems)) from None
    if plan.problems:
        raise Miss(_messages(plan.problems))
    return [
        _Level(
            f"level {case.level!r}: " if case.level else "",
            case,
            registry,
            subject.datasets.for_case(case),
        )
        for case in plan.cases
    ]


def _messages(problems: Iterable[Problem]) -> str:
    """Returns what is wrong, without the file and the lines, which are none of the user's."""
    return "; ".join(problem.message for problem in problems)


def _trained(setting: Setting) -> CaseResult:
    """Trains a case.

    Raises:
        Miss: if that fails.
    """
    training = train_case(setting)
    while True:
        try:
            next(training).run()
        except StopIteration as stop:
            result: CaseResult = stop.value
            if result.error:
                raise Miss(f"it cannot be trained: {first_line(RuntimeError(result.error))}") from None
            return result


def _solved(level: _Level) -> tuple[int | None, float]:
    """Trains the reference; returns the steps to the target, None if it is not reached, and the best figure."""
    result, target = _trained(level.setting(stop_at_target=True)), _target_of(level.case)
    (trial,) = result.trials
    figures = [point.figure(target.metric) for point in points(trial, result.steps)]
    steps = reached(trial, target, result.steps).steps
    lower = target.metric.better == "lower"
    best = (min if lower else max)(
        (each for each in figures if each is not None), default=math.inf if lower else -math.inf
    )
    return int(steps) if math.isfinite(steps) else None, best


def _target_of(case: Case) -> Target:
    """Returns the target, which every problem has.

    Raises:
        Miss: if it has none.
    """
    if found := target_of(case):
        return found
    raise Miss("it has no target")


def _target(case: Case) -> str:
    """Formats the target of a case: `a test loss of 0.01`."""
    metric, value = _target_of(case)
    return f"a {metric.title} of {metric.text(value)}"


@check(
    "name installed models, datasets and tasks with parameters that they take, and settings that [[cases]] have",
    first=True,
)
def builds(subject: Subject) -> None:
    """Can be planned and built at every level."""
    for level in _levels(subject):
        loss = level.objective().value()
        if not loss.isfinite():
            raise Miss(f"{level.name}its loss is {loss.item()} before the first step")


@check("set a target that an untrained model does not reach, such as one near what the reference reaches")
def starts_unsolved(subject: Subject) -> None:
    """Has a target that is not reached before the first step."""
    for level in _levels(subject):
        target = _target_of(level.case)
        for seed in level.case.seeds[:3]:
            if target.is_met_by(level.tested(seed).get(target.metric.field)):
                raise Miss(f"{level.name}seed {seed} starts at its target, {_target(level.case)}")


@check(
    "correct the `backward` of your torch.autograd.Function, or what detaches a part of the loss; if training "
    "uses other gradients on purpose, say which in `surrogate_gradients` of the ModelSpec"
)
def has_right_gradients(subject: Subject) -> str:
    """Has the gradients that finite differences say, tested and trained, at the start of each level."""
    seen = set()
    remarks: dict[str, None] = {}
    for number, level in enumerate(_levels(subject)):
        same = tuple(part.identity for kind, part in level.case.parts.items() if kind != "optimizer")
        if same in seen:
            continue
        seen.add(same)
        if remark := _compare_gradients(level, is_first=number == 0):
            remarks[remark] = None
    return "; ".join(remarks)


def _compare_gradients(level: _Level, *, is_first: bool) -> str:
    """Compares the gradients at one level; returns what was not compared, or is lost in float32 on purpose.

    Raises:
        Miss: if they are wrong.
        DoesNotApply: if the model does not compute in float64.
    """
    surrogate = level.registry.models[level.case.model.use].spec.surrogate_gradients
    try:
        if wrong := wrong_gradient(level.objective()):
            raise Miss(f"{level.name}{wrong}")
        trained = level.objective(training=True)
        is_repeatable = trained.value().item() == trained.value().item()
        if not surrogate and is_repeatable and (wrong := wrong_gradient(trained)):
            raise Miss(f"{level.name}in training mode, {wrong}")
        lost = rounded_away(level.objective(), level.objective(dtype=torch.float32))
    except RuntimeError as error:
        raise DoesNotApply(f"it does not compute in float64: {first_line(error)}") from error
    if lost is not None and (is_first or lost != 1):
        how = "are 0" if lost == 1 else f"are wrong by {lost:.0%}"
        raise Miss(f"{level.name}its gradients in float32 {how}, and in float64 they are not")
    if lost is not None:
        return f"{level.name}its gradients are 0 in float32"
    if surrogate:
        return f"not compared in training, in which they are declared to be others: {surrogate}"
    return "" if is_repeatable else "not compared in training: its loss differs with the same random numbers"


@check("draw random numbers from torch's default generator only, and let the data be the same every time")
def is_deterministic(subject: Subject) -> str:
    """Has the same curve twice, bit by bit, from the same seed."""
    number = len(_levels(subject))
    tried: dict[str, list[str]] = {}
    for at in sorted({0, number // 2, number - 1}):
        first, second = (_anew(subject)[at] for _ in range(2))
        steps, total = _affordable(first)
        if _curve(first, steps) != _curve(second, steps):
            raise Miss(f"{first.name}two trainings of {counted(steps, 'step')} with the seed {SEED} differ")
        what = f"all {counted(steps, 'step')}" if steps == total else f"the first {steps:,} of {total:,} steps"
        tried.setdefault(what, []).append(first.case.level or "")
    return "; ".join(
        f"{what} at {alternatives(levels, 'and')}" if any(levels) else what for what, levels in tried.items()
    )


def _anew(subject: Subject) -> list[_Level]:
    """Plans every level, and loads its data again."""
    return _levels(replace(subject, datasets=Datasets(subject.datasets.registry, subject.datasets.root)))


def _affordable(level: _Level) -> tuple[int, int]:
    """Returns the steps that are trained in TRYING seconds, at most all of the budget, and those of the budget."""
    total = steps_of_trial(level.case, level.dataset)
    short = min(SHORT, total)
    started = time.perf_counter()
    _curve(level, short)
    of_a_step = (time.perf_counter() - started) / short
    return min(total, max(short, int(TRYING / of_a_step))), total


def _curve(level: _Level, steps: int) -> str:
    """Returns all losses and figures of a training of so many steps, whatever it reaches; NaN is equal to NaN."""
    endless = {"stop_at_target": False, "patience": None, "seconds": None}
    every = max(1, steps // EVALUATIONS)
    result = _trained(level.setting(steps=steps, evaluate_every=every, **endless))
    epochs = [epoch for trial in result.trials for epoch in trial.epochs]
    return repr([(e.train_loss, [(p.step, p.train_loss, p.metrics) for p in e.evaluations]) for e in epochs])


@check("set a target that the reference in `solved_by` reaches within the budget, or name a better reference")
def is_solved_by_its_reference(subject: Subject) -> None:
    """Has a target that its reference reaches within its budget."""
    every = subject.offer.spec.solved_by.get("levels") == ALL_LEVELS
    for level in _levels(subject)[: None if every else 1]:
        steps, best = _solved(level)
        if steps is None:
            allowed = steps_of_trial(level.case, level.dataset)
            raise Miss(
                f"{level.name}the reference does not reach {_target(level.case)} in "
                f"{counted(allowed, 'step')}; its best is {best:.6g}"
            )


@check("order the levels from easy to hard")
def becomes_harder(subject: Subject) -> None:
    """Is harder at each further level for its reference (reported, not promised)."""
    levels = _levels(subject)
    if len(levels) == 1:
        raise DoesNotApply("it has no levels")
    said = [(level.case.level, _solved(level)[0]) for level in levels]
    raise DoesNotApply(
        ", ".join(f"{name}: {'not solved' if steps is None else counted(steps, 'step')}" for name, steps in said)
    )


CHECKS = (
    parameters.loads_quietly,
    builds,
    starts_unsolved,
    has_right_gradients,
    is_deterministic,
    is_solved_by_its_reference,
    becomes_harder,
)
