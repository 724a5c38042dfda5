"""The promises of a problem."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from benchmnist.analysis.courses import points
from benchmnist.analysis.reached import reached
from benchmnist.errors import first_line
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
from benchmnist.testing.problem import UNTRAINED
from benchmnist.text import counted
from benchmnist.training.data import Datasets, to_unit
from benchmnist.training.device import DeviceSession
from benchmnist.training.fast_paths import Setting
from benchmnist.training.loop import evaluate, train_case
from benchmnist.training.trial import Trial, build_model, steps_of_trial

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmnist.extensions.specs import Dataset, ProblemSpec
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

CPU = torch.device("cpu")
BATCH = 4
"""Examples whose gradients are compared with finite differences."""
STEPS = (1e-5, 1e-6, 1e-7)
"""Lengths of the steps of finite differences, each along another direction: a kink of the loss may be within the
first, but hardly within the last."""
TOLERANCE = 1e-4
"""Difference that two derivatives may have, relative to their size."""
SHORT, EVERY = 20, 5
"""Steps of a short training, and between two of its evaluations."""
SEED = 0


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
    return (
        f'[suite]\nname = "check"\n[optimizers.reference]\nuse = "{spec.solved_by["optimizer"]}"\n{given}\n'
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
        plan = make_plan(read_suite(file), registry)
    if plan.problems:
        raise Miss("; ".join(problem.message for problem in plan.problems))
    return [
        _Level(
            f"level {case.level!r}: " if case.level else "",
            case,
            registry,
            subject.datasets.for_case(case),
        )
        for case in plan.cases
    ]


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
        model = build_model(level.case, SEED, level.registry, level.dataset)
        loss = _Objective(level, model).value()
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


class _Objective:
    """The loss of a few examples as a function of the parameters of a model, as it is tested, in float64."""

    def __init__(self, level: _Level, model: nn.Module) -> None:
        self.model = model.to(torch.float64).eval()
        self.images = to_unit(level.dataset.train_images[:BATCH], CPU).to(torch.float64)
        labels = level.dataset.train_labels[:BATCH]
        self.labels = labels.to(torch.float64) if labels.is_floating_point() else labels
        self.task = build_task(level.case, level.registry)

    def value(self) -> Tensor:
        """Computes it, a scalar."""
        torch.manual_seed(SEED)
        return self.task.loss(self.model(self.images), self.labels)

    @torch.no_grad()
    def slope(self, parameter: Tensor, direction: Tensor, length: float) -> float:
        """Returns the derivative along a direction in one parameter, by finite differences of that length."""
        kept, found = parameter.detach().clone(), []
        for sign in (1, -1):
            parameter.copy_(kept + sign * length * direction)
            found.append(self.value().item())
        parameter.copy_(kept)
        return (found[0] - found[1]) / (2 * length)


def _wrong_gradient(objective: _Objective) -> str:
    """Returns the parameter whose gradient is wrong, and how; empty if none is."""
    trained = {name: p for name, p in objective.model.named_parameters() if p.requires_grad}
    loss = objective.value()
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss, [*trained.values()], allow_unused=True)
    rounding = 100 * torch.finfo(torch.float64).eps * (1 + abs(loss.item()))
    generator = torch.Generator().manual_seed(SEED)
    for (name, parameter), gradient in zip(trained.items(), gradients, strict=True):
        apart = []
        for length in STEPS:
            direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            direction /= direction.norm()
            slope = objective.slope(parameter, direction, length)
            ours = 0.0 if gradient is None else (gradient * direction).sum().item()
            if abs(slope - ours) <= TOLERANCE * max(abs(slope), abs(ours)) + rounding / length:
                break
            apart.append(
                f"{name} changes the loss by {slope:.6g} a step along a direction, its gradient says {ours:.6g}"
            )
        else:
            return apart[0]
    return ""


@check("correct the `backward` of your torch.autograd.Function, or what detaches a part of the loss")
def has_right_gradients(subject: Subject) -> None:
    """Has the gradients that finite differences say, in float64."""
    seen = set()
    for level in _levels(subject):
        same = tuple(part.identity for kind, part in level.case.parts.items() if kind != "optimizer")
        if same in seen:
            continue
        seen.add(same)
        objective = _Objective(level, build_model(level.case, SEED, level.registry, level.dataset))
        try:
            wrong = _wrong_gradient(objective)
        except RuntimeError as error:
            raise DoesNotApply(f"it does not compute in float64: {first_line(error)}") from error
        if wrong:
            raise Miss(f"{level.name}{wrong}")


@check("draw random numbers from torch's default generator only, and let the data be the same every time")
def is_deterministic(subject: Subject) -> None:
    """Has the same curve twice, bit by bit, from the same seed."""
    curves = []
    for _ in range(2):
        fresh = replace(subject, datasets=Datasets(subject.datasets.registry, subject.datasets.root))
        level = _levels(fresh)[0]
        steps = min(SHORT, steps_of_trial(level.case, level.dataset))
        result = _trained(level.setting(steps=steps, evaluate_every=EVERY))
        points = [(epoch.train_loss, epoch.evaluations) for trial in result.trials for epoch in trial.epochs]
        curves.append([(loss, [(e.step, e.train_loss, e.metrics) for e in each]) for loss, each in points])
    if curves[0] != curves[1]:
        raise Miss(f"two trainings of {counted(SHORT, 'step')} with the seed {SEED} differ")


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
