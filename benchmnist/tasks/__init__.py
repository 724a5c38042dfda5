"""Tasks: what is learned. A task has the loss, the evaluation, and what the data must look like.

A task prints nothing, writes no file and never waits for the device.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Protocol

from benchmnist.errors import TrialError
from benchmnist.tasks.classification import Classification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case

    Measure = Callable[[Tensor, Tensor], Tensor]


class Task(Protocol):
    """What is learned. See benchmnist.TaskSpec for what its plugin says of it."""

    def check(self, data: Dataset, name: str) -> None:
        """Holds a dataset against what the task needs: the shape and the dtype of its labels.

        Raises:
            DataError: if they are others; the message begins with `name`.
        """
        ...

    def output_shape(self, data: Dataset) -> tuple[int, ...]:
        """The shape of what a model returns of one example: (10,) for ten classes."""
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


class Measured:
    """A task that evaluates more metrics than its own: those of plugins, which a suite lists."""

    def __init__(self, task: Task, measures: Mapping[str, Measure]) -> None:
        self.task, self.measures = task, dict(measures)
        self.check, self.output_shape, self.loss = task.check, task.output_shape, task.loss

    def evaluate(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See Task."""
        return {
            **self.task.evaluate(outputs, targets),
            **{key: measure(outputs, targets) for key, measure in self.measures.items()},
        }


def build_task(case: Case, registry: Registry) -> Task:
    """The task of a case, which evaluates the metrics that the suite lists beside its own.

    Raises:
        UnknownNameError: if no plugin offers it any more.
    """
    task: Task = Classification(case.label_smoothing)
    if case.task is not None:
        build = registry.tasks[case.task.use].spec.load()
        smoothing = {"label_smoothing": case.label_smoothing} if takes_label_smoothing(build) else {}
        task = build(**smoothing, **case.task.params)
    if not case.metrics:
        return task
    return Measured(
        task, {each.name: registry.metrics[each.use].spec.load()(**each.params) for each in case.metrics}
    )


def takes_label_smoothing(build: Callable[..., Task]) -> bool:
    """Whether a task is told the label smoothing of a case."""
    return "label_smoothing" in inspect.signature(build).parameters


def require_scalar(loss: Tensor) -> Tensor:
    """The loss of a batch.

    Raises:
        TrialError: if the task returned one for each example.
    """
    if loss.ndim:
        raise TrialError(f"the task returned a loss of shape {list(loss.shape)}; return the mean, a scalar")
    return loss


__all__ = [
    "Classification",
    "Measure",
    "Measured",
    "Task",
    "build_task",
    "require_scalar",
    "takes_label_smoothing",
]
