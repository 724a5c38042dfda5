"""The promises of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from benchmnist.errors import DataError
from benchmnist.extensions.kinds import DATASET, TASK
from benchmnist.extensions.specs import CLASSIFICATION, Dataset
from benchmnist.suites.cases import Component
from benchmnist.tasks import prepared
from benchmnist.testing import parameters
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check
from benchmnist.training.data import check_dataset

if TYPE_CHECKING:
    from benchmnist.tasks import Task

BATCH = 6
METHODS = ("check", "output_shape", "loss", "evaluate")


def _build(subject: Subject, **params: Any) -> Task:
    """Builds the task with these parameters over its defaults."""
    made: Task = subject.offer.spec.load()(**{**subject.offer.spec.defaults, **params})
    if missing := [name for name in METHODS if not callable(getattr(made, name, None))]:
        raise Miss(f"what build returns has no {' and no '.join(missing)}")
    return made


def data_of(subject: Subject, name: str, task: Task) -> Dataset:
    """Returns a dataset that suits a task; MNIST, which needs no download, if the task prepares its data itself.

    Raises:
        DoesNotApply: if no plugin offers one.
    """
    return subject.datasets.load(dataset_of(subject, name, task))


def dataset_of(subject: Subject, name: str, task: Task) -> Component:
    """Names the dataset that `data_of` returns.

    Raises:
        DoesNotApply: if no plugin offers one.
    """
    any_images = name == CLASSIFICATION or hasattr(task, "prepare")
    for offer in subject.datasets.registry.datasets:
        if offer.spec.name == DATASET.default if any_images else offer.spec.task == name:
            return Component(
                name=offer.spec.name,
                use=offer.spec.name,
                params=dict(offer.spec.defaults),
                distribution=offer.plugin.distribution,
                version=offer.plugin.version,
            )
    raise DoesNotApply("no installed dataset is made for this task")


def _batch(subject: Subject, size: int = BATCH) -> tuple[Task, Tensor, Tensor]:
    """Returns the task, possible outputs of a model, and targets of the dataset."""
    task = _build(subject)
    data = prepared(task, data_of(subject, subject.name, task).first(size, size))
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(size, *task.output_shape(data), generator=generator)
    return task, outputs, data.train_labels


@check(
    "give every parameter of `build` a default that works; return an object with the methods of a Task", first=True
)
def builds(subject: Subject) -> None:
    """Is built with its defaults, with the methods of a task."""
    _build(subject)


@check("let `check` accept the datasets that are made for the task, by the `task` of their spec")
def accepts_its_datasets(subject: Subject) -> None:
    """Accepts a dataset that is made for it."""
    task = _build(subject)
    task.check(data_of(subject, subject.name, task), "the dataset")


@check("raise benchmnist.errors.DataError with a message that begins with `name`")
def refuses_other_labels(subject: Subject) -> None:
    """Refuses labels that it cannot learn."""
    task = _build(subject)
    if hasattr(task, "prepare"):
        raise DoesNotApply("it makes its targets itself")
    data = data_of(subject, subject.name, task)
    wrong = torch.zeros(len(data.train_labels), 3, 2, dtype=torch.complex64)
    others = Dataset(data.train_images, wrong, data.test_images, wrong[: len(data.test_labels)], data.classes)
    try:
        task.check(others, "the dataset")
    except DataError as error:
        if not str(error).startswith("the dataset"):
            raise Miss(f"the message is {str(error)!r}") from error
        return
    raise Miss("complex labels [N, 3, 2] are accepted")


@check("return a benchmnist.Dataset of as many examples, as a dataset plugin has to; change no tensor in place")
def prepares_its_data(subject: Subject) -> None:
    """Prepares a dataset that models can train on, the same each time, and leaves the original as it was."""
    task = _build(subject)
    if not hasattr(task, "prepare"):
        raise DoesNotApply("it has no method prepare")
    data = data_of(subject, subject.name, task).first(BATCH, BATCH)
    before = [part.clone() for part in _parts(data)]
    first, again = task.prepare(data), task.prepare(data)
    if not all(map(torch.equal, before, _parts(data))):
        raise Miss("it changes the dataset that it is given")
    try:
        check_dataset(first, "what it prepares")
    except DataError as error:
        raise Miss(str(error)) from error
    if len(first.train_images) != BATCH or len(first.test_images) != BATCH:
        raise Miss(f"of {BATCH} examples each it makes {len(first.train_images)} and {len(first.test_images)}")
    if not all(map(torch.equal, _parts(first), _parts(again))):
        raise Miss("prepared twice, the data are others")


def _parts(data: Dataset) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return data.train_images, data.train_labels, data.test_images, data.test_labels


@check("return the mean over the examples of a batch, a scalar that has gradients")
def has_a_mean_loss(subject: Subject) -> None:
    """Has a loss that is the mean over the examples of a batch."""
    task, outputs, targets = _batch(subject)
    loss = task.loss(outputs.requires_grad_(), targets)
    if loss.ndim or not loss.requires_grad:
        raise Miss(f"the loss has shape {list(loss.shape)}, and {'a' if loss.requires_grad else 'no'} gradient")
    each = [task.loss(outputs[i : i + 1], targets[i : i + 1]).item() for i in range(len(outputs))]
    mean = sum(each) / len(each)
    if abs(loss.item() - mean) > 1e-4 * max(1.0, abs(mean)):
        raise Miss(f"the loss of a batch is {loss.item():.6g}, and the mean of its examples' {mean:.6g}")


@check("return a scalar tensor for each metric of the spec, by its key: the sum over the batch")
def evaluates_its_metrics(subject: Subject) -> None:
    """Evaluates each of its metrics, as sums over a batch."""
    task, outputs, targets = _batch(subject)
    whole = task.evaluate(outputs, targets)
    if lost := {metric.field for metric in subject.offer.spec.metrics} - {*whole}:
        raise Miss(f"there is no {' and no '.join(sorted(lost))}")
    require_sums(whole, [task.evaluate(outputs[:2], targets[:2]), task.evaluate(outputs[2:], targets[2:])])


def require_sums(whole: Any, parts: list[Any]) -> None:
    """Compares the figures of a batch with those of its parts.

    Raises:
        Miss: if they are not scalars, or not the sums of the parts'.
    """
    for key, value in whole.items():
        if not isinstance(value, Tensor) or value.ndim:
            raise Miss(f"{key} is {value!r}, not a scalar tensor")
        total = sum(float(part[key]) for part in parts)
        if not abs(float(value) - total) <= 1e-4 * max(1.0, abs(total)):
            raise Miss(f"{key} is {float(value):.6g} for a batch, and {total:.6g} for its two parts together")


@check(
    "remove `pure=True` from the spec; or compute the loss from its arguments alone, by what torch.func can map"
)
def is_pure(subject: Subject) -> None:
    """Computes its loss from nothing but its arguments, if its spec says that it is pure."""
    if not subject.offer.spec.pure:
        raise DoesNotApply("its spec does not say that it is pure")
    task, outputs, targets = _batch(subject)
    before = torch.get_rng_state()
    losses = [task.loss(outputs, targets).item() for _ in range(3)]
    if len({*losses}) > 1 or not torch.equal(before, torch.get_rng_state()):
        raise Miss(f"the losses of one batch are {losses}, and random numbers were drawn or kept")
    stacked = vmap(grad(task.loss), randomness="error")(
        torch.stack([outputs, 2 * outputs]), torch.stack([targets] * 2)
    )
    alone = torch.stack([grad(task.loss)(each, targets) for each in (outputs, 2 * outputs)])
    if not torch.allclose(stacked, alone, rtol=1e-4, atol=1e-6):
        raise Miss("mapped over two seeds its gradients are others")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    builds,
    parameters.takes_its_parameters("built", TASK.harness, _build),
    parameters.refuses_unknown_parameters(_build),
    parameters.leaves_torch_alone(_build),
    accepts_its_datasets,
    prepares_its_data,
    refuses_other_labels,
    has_a_mean_loss,
    evaluates_its_metrics,
    is_pure,
)
