"""The promises of a metric of the evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmnist.extensions.kinds import METRIC
from benchmnist.tasks import prepared
from benchmnist.testing import parameters
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check
from benchmnist.testing.tasks import data_of, require_sums

if TYPE_CHECKING:
    from benchmnist.tasks import Measure

BATCH = 40


def _build(subject: Subject, **params: Any) -> Measure:
    """Builds the function with these parameters over its defaults."""
    made: Measure = subject.offer.spec.load()(**{**subject.offer.spec.defaults, **params})
    if not callable(made):
        raise Miss(f"build returned {made!r}, which cannot be called")
    return made


def _batch(subject: Subject) -> tuple[Tensor, Tensor]:
    """Returns possible outputs of a model, and targets, of the metric's task."""
    registry = subject.datasets.registry
    if subject.offer.spec.task not in registry.tasks:
        raise DoesNotApply(f"the task {subject.offer.spec.task!r} is not installed")
    task = registry.tasks[subject.offer.spec.task].spec.load()()
    data = prepared(task, data_of(subject, subject.offer.spec.task, task).first(BATCH, BATCH))
    outputs = torch.randn(BATCH, *task.output_shape(data), generator=torch.Generator().manual_seed(0))
    return outputs, data.train_labels


@check("give every parameter of `build` a default that works; return a function of (outputs, targets)", first=True)
def builds(subject: Subject) -> None:
    """Is built with its defaults, as a function."""
    _build(subject)


@check("return the sum over the batch, a scalar tensor: what is reported is divided by the number of examples")
def is_a_sum(subject: Subject) -> None:
    """Is the sum over a batch of what it is of each example."""
    measure, (outputs, targets) = _build(subject), _batch(subject)
    name, half = subject.name, BATCH // 4
    parts = [{name: measure(outputs[:half], targets[:half])}, {name: measure(outputs[half:], targets[half:])}]
    require_sums({name: measure(outputs, targets)}, parts)


@check("compute it from the arguments alone, and change neither of them")
def is_pure(subject: Subject) -> None:
    """Depends on nothing but its arguments, and leaves them as they are."""
    measure, (outputs, targets) = _build(subject), _batch(subject)
    before = outputs.clone(), targets.clone()
    seen = [float(measure(outputs, targets)) for _ in range(2)]
    if seen[0] != seen[1]:
        raise Miss(f"of one batch it is {seen[0]:g}, and then {seen[1]:g}")
    if not (torch.equal(outputs, before[0]) and torch.equal(targets, before[1])):
        raise Miss("it changes its arguments")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    builds,
    parameters.takes_its_parameters("built", METRIC.harness, _build),
    parameters.refuses_unknown_parameters(_build),
    parameters.leaves_torch_alone(_build),
    is_a_sum,
    is_pure,
)
