"""The promises of models, schedules and datasets: kept by the built-in ones, and seen to be broken."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from wrong_plugins import missed, subject_of

from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import Dataset, DatasetSpec, ModelSpec, ScheduleSpec, Spec
from benchmnist.testing import CHECKS, subjects

REGISTRY = find_plugins()
BUILTIN = [offer.spec.name for offers in (REGISTRY.models, REGISTRY.schedules) for offer in offers]
COUNT = itertools.count()


@pytest.mark.parametrize("name", [*BUILTIN, "mnist"])
def test_the_builtin_ones_keep_every_promise(name: str) -> None:
    (subject,) = (each for each in subjects(name, REGISTRY) if each.kind != "problem")
    assert missed(subject) == {}


def linear(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(input_shape).numel(), num_classes))


def returns(module: object) -> Any:
    return lambda *, input_shape, num_classes: module


def hides(*, input_shape: Any, num_classes: int, width: int) -> nn.Module:
    return linear(input_shape=input_shape, num_classes=num_classes)


def takes_anything(*, input_shape: Any, num_classes: int, **_: Any) -> nn.Module:
    return linear(input_shape=input_shape, num_classes=num_classes)


def followed_by(*modules: Any) -> Any:
    def build(*, input_shape: Any, num_classes: int) -> nn.Module:
        return nn.Sequential(
            *linear(input_shape=input_shape, num_classes=num_classes), *(make(num_classes) for make in modules)
        )

    return build


def sets_precision(*, input_shape: Any, num_classes: int) -> nn.Module:
    made = linear(input_shape=input_shape, num_classes=num_classes)
    torch.set_float32_matmul_precision("medium")
    return made


def only_mnist(*, input_shape: Any, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))


def seeds_itself(*, input_shape: Any, num_classes: int) -> nn.Module:
    torch.manual_seed(7)
    return linear(input_shape=input_shape, num_classes=num_classes)


class Idle(nn.Sequential):
    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self.idle = nn.Linear(2, 2)

    def forward(self, images: Any) -> Any:
        return self[1](self[0](images))


class Point(nn.Module):
    """(x - 1)² with the noise of its examples; in testing with its coordinates: a function of that task."""

    def __init__(self, *, ours: bool = True, flat: bool = False) -> None:
        super().__init__()
        self.x, self.ours, self.flat = nn.Parameter(torch.zeros(2)), ours, flat
        self.generator = torch.Generator().manual_seed(next(COUNT))

    def forward(self, examples: Any) -> Any:
        value = (self.x - 1).square().sum().expand(len(examples))
        if self.training:
            noise = examples.flatten(1)[:, 0] if self.ours else torch.rand(len(examples), generator=self.generator)
            return (value + noise * self.x.sum())[:, None]
        return value if self.flat else torch.cat([value[:, None], self.x.expand(len(examples), 2)], 1)


def point(**how: bool) -> ModelSpec:
    return model(lambda *, input_shape, output_shape: Point(**how), task="function")


class Own(nn.Module):
    """Random by a generator of its own."""

    def __init__(self, _: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(next(COUNT))

    def forward(self, logits: Any) -> Any:
        if not self.training:
            return logits
        return logits * (0.5 + torch.rand(logits.shape, generator=self.generator))


class Neighbourly(nn.Module):
    """Looks at the other images, in eval() mode as well."""

    def __init__(self, _: int) -> None:
        super().__init__()

    def forward(self, logits: Any) -> Any:
        return logits - logits.mean(dim=0)


class Remembers(nn.Module):
    """Learns what is not in its state_dict."""

    def __init__(self, _: int) -> None:
        super().__init__()
        self.shift = 0.0

    def forward(self, logits: Any) -> Any:
        if self.training:
            self.shift += 0.1
        return logits * (1 + self.shift)


class Doubling(lr_scheduler.LambdaLR):
    def __init__(self, optimizer: Any, total_steps: int) -> None:
        super().__init__(optimizer, lambda step: 2.0 - step if step < total_steps - 1 else float("inf"))


def falling(optimizer: Any, *, total_steps: int) -> Any:
    return lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=total_steps)


def changes_precision(optimizer: Any, *, total_steps: int) -> Any:
    torch.set_float32_matmul_precision("medium")
    return falling(optimizer, total_steps=total_steps)


def digits(images: Any = None, labels: Any = None, **parts: Any) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 1, 8, 8, generator=generator) if images is None else images
    labels = torch.arange(40) % 4 if labels is None else labels
    given = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    return Dataset(**{**given, "classes": ("a", "b", "c", "d"), **parts})


def load(**parts: Any) -> Any:
    return lambda *, root: digits(**parts)


def random_digits(*, root: Path) -> Dataset:
    return digits(torch.rand(40, 1, 8, 8))


def litters(*, root: Path) -> Dataset:
    Path(f"litter-{next(COUNT)}").write_text("x")
    return digits()


def loads_anything(*, root: Path, **_: Any) -> Dataset:
    return digits()


def loads_and_sets(*, root: Path) -> Dataset:
    torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled())
    return digits()


def model(build: Any, **more: Any) -> ModelSpec:
    return ModelSpec(name="wrong", summary="", build=build, **more)


def schedule(build: Any) -> ScheduleSpec:
    return ScheduleSpec(name="wrong", summary="", build=build)


def dataset(build: Any) -> DatasetSpec:
    return DatasetSpec(name="wrong", summary="", build=build)


WRONG: list[tuple[str, Spec, set[str]]] = [
    ("builds", model(returns(3)), set()),
    ("builds", model(hides), set()),
    ("takes-its-parameters", model(lambda odd=1, /, **shape: linear(**shape)), set()),
    ("refuses-unknown-parameters", model(takes_anything), set()),
    ("leaves-torch-alone", model(sets_precision), set()),
    ("returns-logits", model(followed_by(lambda _: nn.Softmax(1))), set()),
    ("returns-logits", model(followed_by(lambda n: nn.Linear(n, 10))), set()),
    ("fits-other-images", model(only_mnist), set()),
    ("starts-from-the-seed", model(seeds_itself), {"is-deterministic"}),
    ("trains-all-its-parameters", model(lambda **shape: Idle(*linear(**shape))), set()),
    ("learns", model(followed_by(lambda _: nn.Threshold(1e3, 0.0))), set()),
    ("is-deterministic", model(followed_by(Own)), {"is-restored-from-its-state-dict"}),
    ("answers-each-image-by-itself", model(followed_by(Neighbourly)), {"learns"}),
    ("is-restored-from-its-state-dict", model(followed_by(Remembers)), set()),
    ("returns-logits", point(flat=True), set()),
    ("is-deterministic", point(ours=False), set()),
    ("builds", schedule(lambda optimizer, total_steps: 3), set()),
    (
        "takes-its-parameters",
        schedule(lambda optimizer, odd=1, /, *, total_steps: falling(optimizer, total_steps=total_steps)),
        set(),
    ),
    (
        "refuses-unknown-parameters",
        schedule(lambda optimizer, *, total_steps, **_: falling(optimizer, total_steps=total_steps)),
        set(),
    ),
    ("leaves-torch-alone", schedule(changes_precision), set()),
    (
        "lasts-for-all-steps",
        schedule(lambda optimizer, *, total_steps: Doubling(optimizer, total_steps)),
        {"builds"},
    ),
    (
        "is-deterministic",
        schedule(
            lambda optimizer, *, total_steps: lr_scheduler.LinearLR(
                optimizer, torch.rand(1).item(), total_iters=total_steps
            )
        ),
        set(),
    ),
    ("loads", dataset(lambda *, root: 3), set()),
    ("loads", dataset(load(labels=torch.arange(40))), set()),
    ("takes-its-parameters", dataset(lambda odd=1, /, *, root: digits()), set()),
    ("refuses-unknown-parameters", dataset(loads_anything), set()),
    ("leaves-torch-alone", dataset(loads_and_sets), set()),
    ("is-the-same-every-time", dataset(random_digits), set()),
    ("loads", dataset(load(test_images=torch.rand(40, 1, 9, 9))), set()),
    ("has-pixels-from-0-to-1", dataset(load(images=torch.arange(2560.0).view(40, 1, 8, 8))), set()),
    ("has-pixels-from-0-to-1", dataset(load(images=torch.ones(40, 1, 8, 8))), set()),
    ("has-examples-of-each-class", dataset(load(classes=("a", "b", "c", "d", "e"))), set()),
    ("has-examples-of-each-class", dataset(load(classes=("a", "b", "c", "c"))), set()),
    ("keeps-to-its-folder", dataset(litters), set()),
]


@pytest.mark.parametrize(
    ("promise", "spec", "others"),
    WRONG,
    ids=lambda value: type(value).__name__ if isinstance(value, Spec) else str(value),
)
def test_a_promise_that_is_broken_is_missed(promise: str, spec: Spec, others: set[str]) -> None:
    found = missed(subject_of(spec))
    assert found[promise]
    assert set(found) <= {promise, *others}


@pytest.mark.parametrize(
    "spec", [model(linear), point(), schedule(falling), dataset(load())], ids=lambda s: type(s).__name__
)
def test_what_is_right_keeps_every_promise_but_to_be_quiet(spec: Spec) -> None:
    assert missed(subject_of(spec)) == {}
    assert missed(subject_of(spec, "prints 'hello'")) == {"loads-quietly": "prints 'hello'"}


def test_every_promise_has_been_broken() -> None:
    broken = {(subject_of(spec).kind, promise) for promise, spec, _ in WRONG}
    assert broken == {
        (kind, check.name)
        for kind in ("model", "schedule", "dataset")
        for check in CHECKS[kind]
        if check.name != "loads-quietly"
    }
