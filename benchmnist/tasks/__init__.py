"""Tasks: what is learned. A task has the loss, the evaluation, and what the data must look like.

A task prints nothing, writes no file and never waits for the device.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch

from benchmnist.errors import TrialError, described
from benchmnist.tasks.classification import Classification
from benchmnist.tasks.function import Function
from benchmnist.tasks.next_token import NextToken
from benchmnist.tasks.reconstruction import Reconstruction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case

    Measure = Callable[[Tensor, Tensor], Tensor]


class Task(Protocol):
    """A task: the loss, the evaluation and the check of the data. benchmnist.TaskSpec describes it.

    It may have one method more, `prepare(data: Dataset) -> Dataset`: it makes from a dataset that passed `check`
    what models see and what they learn. A task that learns the images themselves returns them as labels, not a
    copy.
    """

    def check(self, data: Dataset, name: str) -> None:
        """Holds a dataset against what the task needs: the shape and the dtype of its labels.

        Raises:
            DataError: if they are others; the message begins with `name`.
        """
        ...

    def output_shape(self, data: Dataset) -> tuple[int, ...]:
        """The shape of what a model returns of one example: (10,) for ten classes. The data are prepared."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch: the mean over its examples, a scalar with gradients.

        Args:
            outputs: What the model returned, float32 [N, *output_shape].
            targets: The labels of those examples, [N, …], on the same device.
        """
        ...

    def evaluate(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The sum over a batch of each metric of its spec, by key: scalars on the device.

        What is reported is that sum over the whole test set, divided by the number of examples.
        """
        ...


def prepared(task: Task, data: Dataset) -> Dataset:
    """Returns the dataset that models of a task are given: that itself, unless the task prepares it."""
    prepare: Callable[[Dataset], Dataset] | None = getattr(task, "prepare", None)
    return data if prepare is None else prepare(data)


class Measured:
    """A task that evaluates more metrics than its own: those of plugins, which a suite lists."""

    def __init__(self, task: Task, measures: Mapping[str, Measure]) -> None:
        self.task, self.measures = task, dict(measures)
        self.check, self.output_shape, self.loss = task.check, task.output_shape, task.loss
        self.prepare = partial(prepared, task)

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See Task.

        Raises:
            TrialError: if a metric raises; names it.
        """
        found: dict[str, Tensor] = {}
        for key, measure in self.measures.items():
            try:
                found[key] = measure(outputs.clone(), targets.clone())  # each may change what it is given
            except Exception as error:
                raise TrialError(f"the metric {key!r} raises {described(error)}") from error
        return {**self.task.evaluate(outputs, targets), **found}


def build_task(case: Case, registry: Registry) -> Task:
    """The task of a case, which evaluates the metrics that the suite lists beside its own.

    Raises:
        UnknownNameError: if no plugin offers it any more.
    """
    task: Task = Classification(case.label_smoothing)
    if case.task is not None:
        spec = registry.tasks[case.task.use].spec
        smoothing = {"label_smoothing": case.label_smoothing} if spec.takes_label_smoothing() else {}
        task = spec.load()(**smoothing, **case.task.params)
    if not case.metrics:
        return task
    return Measured(
        task, {each.name: registry.metrics[each.use].spec.load()(**each.params) for each in case.metrics}
    )


def losses_of(task: Task) -> Measure | None:
    """The function for the losses of several batches at once, [stack, N, …] to [stack]; None if there is none.

    Only for a task whose loss is that of Classification itself: a subclass may have another one.
    """
    owner = getattr(task.loss, "__self__", None)
    if isinstance(owner, Classification) and type(owner).loss is Classification.loss:
        return owner.losses
    return None


def require_scalar(value: object, what: str, instead: str) -> Tensor:
    """Returns the loss of a batch, or a sum over one.

    Args:
        value: The value that a task or a metric returned.
        what: Its name in the error: `the loss of the task`.
        instead: What it should be: `the mean`.

    Raises:
        TrialError: if it is no scalar tensor of real numbers.
    """
    if not isinstance(value, torch.Tensor):
        raise TrialError(f"{what} is a {type(value).__name__}; return {instead}, a scalar tensor")
    if value.ndim or value.is_complex():
        raise TrialError(f"{what} has shape {list(value.shape)} of {value.dtype}; return {instead}, a real scalar")
    return value


__all__ = [
    "Classification",
    "Function",
    "Measure",
    "Measured",
    "NextToken",
    "Reconstruction",
    "Task",
    "build_task",
    "losses_of",
    "prepared",
    "require_scalar",
]
