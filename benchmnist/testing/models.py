"""The promises of a model."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmnist.extensions.kinds import MODEL
from benchmnist.extensions.specs import CLASSIFICATION, FUNCTION, Dataset
from benchmnist.tasks import prepared
from benchmnist.testing import parameters, problem
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check
from benchmnist.testing.tasks import data_of, dataset_of
from benchmnist.training.data import to_unit
from benchmnist.training.trial import make_model

if TYPE_CHECKING:
    from benchmnist.tasks import Task

STEPS, COUNT = 50, 8
OTHER_SHAPE, OTHER_CLASSES = (3, 32, 32), 7


def _data(
    subject: Subject, input_shape: tuple[int, int, int] | None = None, num_classes: int = problem.NUM_CLASSES
) -> tuple[Task, Dataset]:
    """Returns the task of the model, and a few examples of it: of that shape, or else of MNIST's or its dataset's.

    Raises:
        DoesNotApply: if its task needs labels that cannot be made up, and has no dataset, or none of that shape.
    """
    name = subject.offer.spec.task
    task: Task = subject.datasets.registry.tasks[name].spec.load()()
    if not _takes_any_images(name, task):
        data = data_of(subject, name, task).first(COUNT, COUNT)
        if input_shape not in (None, data.input_shape):
            raise DoesNotApply(f"the task {name!r} has no images of {input_shape}")
        return task, data
    input_shape = input_shape or problem.INPUT_SHAPE
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, *input_shape), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(COUNT, dtype=torch.int64)
    return task, prepared(task, Dataset(images, labels, images, labels, tuple(map(str, range(num_classes)))))


def _takes_any_images(name: str, task: Task) -> bool:
    """Tells whether a task needs no labels of its own, so that images of any shape can be made up."""
    return name == CLASSIFICATION or hasattr(task, "prepare")


def _build(subject: Subject, seed: int = 0, of: tuple[Task, Dataset] | None = None, **params: Any) -> nn.Module:
    """Builds the model as the harness does, with these parameters over its defaults."""
    task, data = of or _data(subject)
    torch.manual_seed(seed)
    given = {**subject.offer.spec.defaults, **params}
    return make_model(subject.offer.spec.load(), data.input_shape, task.output_shape(data), given)


def _exercise(subject: Subject, seed: int = 0) -> problem.Exercise:
    """Returns the model on the small problem of its task, trained with Adam."""
    adam = subject.datasets.registry.optimizers["adam"].spec
    name, changed = subject.offer.spec.task, dict[str, Any]()
    task: Task = subject.datasets.registry.tasks[name].spec.load()()
    if name != CLASSIFICATION:
        changed["task"] = problem.component(name)
    if not _takes_any_images(name, task):
        changed["dataset"] = dataset_of(subject, name, task)
        data = subject.datasets.load(changed["dataset"]).first(problem.SIZE, problem.SIZE)
        changed |= {"train_size": len(data.train_images), "test_size": len(data.test_images)}
    case = problem.CASE.model_copy(update=changed)
    return problem.Exercise(subject.datasets, _build(subject, seed), adam.load(), adam, seed, case=case)


def _images(subject: Subject) -> torch.Tensor:
    return to_unit(_data(subject)[1].train_images, torch.device("cpu"))


@check("give every parameter of `build` a default that works, and return a torch.nn.Module", first=True)
def builds(subject: Subject) -> None:
    """Is built with its defaults for MNIST, as a torch.nn.Module on the CPU."""
    made = _build(subject)
    if not isinstance(made, nn.Module):
        raise Miss(f"build returned a {type(made).__name__}")
    if elsewhere := {str(p.device) for p in made.parameters()} - {"cpu"}:
        raise Miss(f"its parameters lie on {' and '.join(elsewhere)}; the harness moves them")


@check("end with a layer of `num_classes` outputs, or of `output_shape`, and no softmax: the loss takes logits")
def returns_logits(subject: Subject) -> None:
    """Returns float32 logits, one for each class of each image, or the outputs that its task needs."""
    for count, classes in ((COUNT, problem.NUM_CLASSES), (3, OTHER_CLASSES)):
        task, data = _data(subject, num_classes=classes)
        logits = _build(subject, of=(task, data)).eval()(_images(subject)[:count])
        if not isinstance(logits, torch.Tensor):
            raise Miss(f"it returns a {type(logits).__name__}")
        expected = (count, *task.output_shape(data))
        if subject.offer.spec.task == FUNCTION and logits.ndim == len(expected):
            logits = logits[:, : expected[1]]  # the others are coordinates
        if logits.shape != expected or logits.dtype != torch.float32:
            raise Miss(
                f"for {count} images and outputs {[*expected[1:]]} "
                f"it returns {list(logits.shape)} of {logits.dtype}"
            )
        if not logits.isfinite().all():
            raise Miss("a logit is not finite")
        if subject.offer.spec.task != CLASSIFICATION:
            continue
        rows = logits.exp().sum(dim=1)
        if torch.allclose(rows, torch.ones(count)) or torch.allclose(logits.sum(dim=1), torch.ones(count)):
            raise Miss("its rows are probabilities, or their logarithms")


@check("draw the initial weights from torch's default generator, and do not seed it yourself")
def starts_from_the_seed(subject: Subject) -> None:
    """Has the same initial weights for the same seed, and different ones for another seed."""
    first, again, other = (_flat(_build(subject, seed)) for seed in (0, 0, 1))
    if not len(first):
        raise DoesNotApply("it has no parameters")
    if not torch.equal(first, again):
        raise Miss("built twice with the same seed, it has different weights")
    if torch.equal(first, other):
        if subject.offer.spec.task == FUNCTION:
            raise DoesNotApply("it is a function with one starting point")
        raise Miss("built with two seeds, it has the same weights")


def _flat(model: nn.Module) -> torch.Tensor:
    values = [p.detach().flatten() for p in model.parameters()]
    return torch.cat(values) if values else torch.empty(0)


@check("give every layer something to do, or take it away")
def trains_all_its_parameters(subject: Subject) -> None:
    """Gets a gradient in each of its trainable parameters."""
    model = _build(subject).train()
    model(_images(subject)).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if idle:
        raise Miss(f"without a gradient: {', '.join(idle[:5])}{', …' if len(idle) > 5 else ''}")  # noqa: PLR2004


@check("is there a path from the images to every logit? Are the initial weights of a sensible size?")
def learns(subject: Subject) -> None:
    """Reduces the loss within 50 steps of Adam on 200 digits of MNIST."""
    if subject.offer.spec.task == FUNCTION:
        raise DoesNotApply("a function may be hard; the checks of its problems say what is reached")
    # As trained, not as tested: the running statistics of a deep network are not those of its weights so soon.
    exercise, epoch = _exercise(subject), problem.SIZE // problem.BATCH
    before = after = sum(exercise.train(epoch)) / epoch
    while exercise.steps < STEPS and not after < before / 2:  # as soon as that it has learned without doubt
        after = sum(exercise.train(epoch)) / epoch
    if not after < 0.9 * before:
        raise Miss(f"the loss went from {before:.4f} to {after:.4f}")


@check("draw random numbers, as for dropout, from torch's default generator only, which the harness seeds")
def is_deterministic(subject: Subject) -> None:
    """Trains the same with the same seed."""
    one, other = _exercise(subject).train(5), _exercise(subject).train(5)
    if one != other:
        raise Miss(f"two trainings with the same seed have the losses {one} and {other}")


@check("make what is random or looks at the other images depend on `self.training`, as torch's layers do")
def answers_each_image_by_itself(subject: Subject) -> None:
    """Gives an image the same logits in every batch, in eval() mode."""
    exercise = _exercise(subject)
    exercise.train(3)
    model, images = exercise.model.eval(), _images(subject)
    with torch.no_grad():
        together, again, alone = model(images), model(images), model(images[:1])
    if not torch.equal(together, again):
        raise Miss("the same images have other logits the second time")
    if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-4):
        raise Miss(f"alone, an image's logits differ by {(together[:1] - alone).abs().max():.2g}")


@check("register what it learns and remembers as parameters, buffers and submodules")
def is_restored_from_its_state_dict(subject: Subject) -> None:
    """Gives the same logits after its state_dict is loaded into a new model, and as a copy."""
    exercise = _exercise(subject)
    exercise.train(3)
    trained = exercise.model.eval()
    restored = _build(subject, seed=1)
    restored.load_state_dict(trained.state_dict())
    with torch.no_grad():
        expected = trained(_images(subject))
        for how, model in (("restored", restored.eval()), ("copied", copy.deepcopy(trained))):
            if not torch.equal(expected, model(_images(subject))):
                raise Miss(f"once {how}, it has other logits")


@check("size the first layers by `input_shape`; or refuse what does not fit by a ValueError that says so")
def fits_other_images(subject: Subject) -> None:
    """Takes images of another shape, or refuses them with a ValueError."""
    task, data = _data(subject, OTHER_SHAPE)
    try:
        model = _build(subject, of=(task, data))
    except ValueError as refusal:
        raise DoesNotApply(f"it refuses images of {OTHER_SHAPE}: {refusal}") from None
    with torch.no_grad():
        logits = model.eval()(to_unit(data.train_images, torch.device("cpu")))
    if logits.shape != (COUNT, *task.output_shape(data)) or not math.isfinite(logits.sum()):
        raise Miss(f"for images of {OTHER_SHAPE} it returns {list(logits.shape)}")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    builds,
    parameters.takes_its_parameters("built", MODEL.harness, _build),
    parameters.refuses_unknown_parameters(_build),
    parameters.leaves_torch_alone(lambda subject: _exercise(subject).train(2)),
    returns_logits,
    fits_other_images,
    starts_from_the_seed,
    trains_all_its_parameters,
    learns,
    is_deterministic,
    answers_each_image_by_itself,
    is_restored_from_its_state_dict,
)
