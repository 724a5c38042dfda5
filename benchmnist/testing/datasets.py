"""The promises of a dataset."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.extensions.kinds import DATASET
from benchmnist.extensions.specs import CLASSIFICATION
from benchmnist.testing import parameters
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check
from benchmnist.training.data import check_dataset, default_data_root

if TYPE_CHECKING:
    from benchmnist.extensions.specs import Dataset
    from benchmnist.tasks import Task


def _load(subject: Subject, root: Path | None = None, **params: Any) -> Dataset:
    """Loads the dataset with these parameters over its defaults, and checks it as a Dataset."""
    build = subject.offer.spec.load()
    made: Dataset = build(root=root or default_data_root(), **{**subject.offer.spec.defaults, **params})
    check_dataset(made, "it")
    _task_of(subject).check(made, "it")
    return made


def _task_of(subject: Subject) -> Task:
    """Returns the task for which the dataset is made."""
    tasks = subject.datasets.registry.tasks
    if subject.offer.spec.task not in tasks:
        raise Miss(f"no installed plugin offers its task {subject.offer.spec.task!r}")
    task: Task = tasks[subject.offer.spec.task].spec.load()()
    return task


@check(
    "see benchmnist.Dataset: images [N, C, H, W] of uint8 or float32, labels [N] of int64, "
    "the same for testing as for training; or set `task` on the spec, for another task",
    first=True,
)
def loads(subject: Subject) -> None:
    """Is loaded with its defaults, as images and labels of the promised shapes and types."""
    _load(subject)


@check("seed a generator of your own with a fixed number; the data must not depend on the harness's seeds")
def is_the_same_every_time(subject: Subject) -> None:
    """Is the same at every load, whatever torch's seed."""
    torch.manual_seed(1)
    one = _load(subject)
    torch.manual_seed(2)
    other = _load(subject)
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        if not torch.equal(getattr(one, part), getattr(other, part)):
            raise Miss(f"its {part} are others the second time")


@check("divide floats by what is white, so that they lie between 0 and 1; or leave the pixels uint8")
def has_pixels_from_0_to_1(subject: Subject) -> None:
    """Has pixels from 0 to 1 if they are floats, and not all of them equal."""
    data = _load(subject)
    for part, images in (("train", data.train_images), ("test", data.test_images)):
        low, high = images.min().item(), images.max().item()
        if not low < high:
            raise Miss(f"all {part} pixels are {low}")
        if images.dtype == torch.float32 and not 0 <= low < high <= 1:
            raise Miss(f"its {part} pixels go from {low:g} to {high:g}")


@check("name each class once, and let each have examples to train and to test on")
def has_examples_of_each_class(subject: Subject) -> None:
    """Has examples of each of its classes, and a name for each."""
    if subject.offer.spec.task != CLASSIFICATION:
        raise DoesNotApply("it is not made for classification")
    data = _load(subject)
    if len(set(data.classes)) < len(data.classes):
        raise Miss("two classes have the same name")
    for part, labels in (("training", data.train_labels), ("test", data.test_labels)):
        if none := set(range(data.num_classes)) - set(labels.unique().tolist()):
            raise Miss(f"there are no {part} examples of {', '.join(data.classes[c] for c in sorted(none)[:5])}")


@check("keep its files under `root`, in a folder of its own, nowhere else")
def keeps_to_its_folder(subject: Subject) -> None:
    """Writes no files to the current folder; it keeps its files in the folder that it receives."""
    before = set(Path.cwd().iterdir())
    # An exception is passed over: it may need a download, which is not the question here.
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
        _load(subject, Path(folder))
    if strange := set(Path.cwd().iterdir()) - before:
        raise Miss(f"it wrote {', '.join(sorted(path.name for path in strange))} into the current folder")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    loads,
    parameters.takes_its_parameters("loaded", DATASET.harness, _load),
    parameters.refuses_unknown_parameters(_load),
    parameters.leaves_torch_alone(_load),
    is_the_same_every_time,
    has_pixels_from_0_to_1,
    has_examples_of_each_class,
    keeps_to_its_folder,
)
