"""What a plugin hands over: one frozen spec for each model, optimizer, schedule, dataset and executor.

`build` may be a callable or an import string, `"package.module:attribute"`; with a string nothing is
imported until the thing is used, so that listing plugins does not import torch.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.metrics import Metric, require_evaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

CLASSIFICATION = "classification"
"""The task that a dataset, a metric and a suite have by default."""

NAME = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*")
"""What a name may be: it becomes part of case ids, node ids and file names."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every kind of spec has.

    Attributes:
        name: What a suite calls it: lower-case letters and digits, joined by single `-`, `_`, `.` or `+`.
        summary: One line for `benchmnist plugins`.
        build: Makes the thing; a callable or `"package.module:attribute"`.
        defaults: Parameters that are passed unless a suite says otherwise (`momentum` is `sgd` with one).

    Raises:
        ValueError: if the name is not of that form, or an import string has no colon.
    """

    name: str
    summary: str
    build: Callable[..., Any] | str
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"the name {self.name!r} is not lower-case letters and digits joined by single - _ . or +"
            )
        if isinstance(self.build, str) and ":" not in self.build:
            raise ValueError(
                f"build={self.build!r} of {self.name!r} is not of the form 'package.module:attribute'"
            )

    def load(self) -> Callable[..., Any]:
        """The callable that `build` is or names; imports its module if need be.

        Raises:
            ImportError, AttributeError: if the import string leads nowhere.
        """
        if not isinstance(self.build, str):
            return self.build
        module, _, attribute = self.build.partition(":")
        loaded: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return loaded


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A model: `build(*, input_shape, num_classes, **params) -> torch.nn.Module`.

    `input_shape` is (channels, height, width). The module takes float32 images [N, C, H, W] with pixels in
    [0, 1] and returns logits [N, num_classes]. For another task than classification `num_classes` is the number
    of outputs that the task needs for an example, and a `build` that has `output_shape` is given their shape.
    Build it on the CPU, from torch's default generator: the harness seeds that generator before, and moves the
    module to the device after.

    Attributes:
        capturable: On a GPU its forward and backward pass may be captured in a CUDA graph and replayed. That is
            tried first, and left where it waits for the device, changes the losses, or changes anything on the
            host from step to step (an attribute, a random choice of Python's). What no attribute
            leads to (the globals of its module, the attributes of its class, what a library in C keeps) is seen
            only where it changes what the first few steps do: say False of a model that changes something there.
    """

    capturable: bool = True


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Spec):
    """An optimizer: `build(model, **params) -> torch.optim.Optimizer`.

    It is given the model, not its parameters, so that it may treat them by shape or by name. If its signature
    has `total_steps`, it is told how many steps the trial will take.

    Its attributes are what the harness must know of it. `benchmnist check` tries whether they are true.

    Attributes:
        needs_closure: `step` wants a function that computes the loss and the gradients anew (LBFGS, SAM).
        has_modes: It has `train()` and `eval()`, to be called around evaluation (schedule-free optimizers).
        needs_create_graph: The gradients have to be such that they can be differentiated again,
            `loss.backward(create_graph=True)` (AdaHessian).
        passes: Forward and backward passes a step (SAM: 2); None where that varies (LBFGS).
        capturable: On a GPU its step may be captured in a CUDA graph and replayed: it decides nothing by a value
            that lies on the device, and hands the device no number that changes from step to step. Where `build`
            has a parameter `capturable`, it is built with `capturable=True` for that.
        elementwise: It updates each entry of a parameter by that entry's gradients alone, whatever the shape, so
            that the weights of several seeds may be stacked (Adam; but not Muon, nor LAMB).
        fused: The types of device (`cpu`, `cuda`) on which `build` takes `fused=True`, and then makes the same
            updates by one kernel. Engines but `dataloader` build it so, unless a suite sets `fused`, `foreach` or
            `differentiable`.
    """

    needs_closure: bool = False
    has_modes: bool = False
    needs_create_graph: bool = False
    passes: int | None = 1
    capturable: bool = False
    elementwise: bool = False
    fused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Spec):
    """A learning-rate schedule: `build(optimizer, *, total_steps, **params) -> LRScheduler`.

    It is one of `torch.optim.lr_scheduler`'s kind, stepped after every step of the optimizer, `total_steps` times.
    """


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A dataset: `build(*, root, **params) -> Dataset`, `root` the folder (a Path) to keep files in.

    Attributes:
        task: The task that its labels are made for, unless a suite sets another.
    """

    task: str = CLASSIFICATION


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Spec):
    """A task: `build(**params) -> benchmnist.tasks.Task`, an object with these four methods.

    `check(data, name)` raises `benchmnist.errors.DataError` if the dataset does not suit it.
    `output_shape(data)` is the shape of a model's output for one example. `loss(outputs, targets)` is the mean
    loss of a batch, a scalar. `evaluate(outputs, targets)` returns the sum over a batch of each of its metrics, by
    key, as scalars on the device. None of them may wait for the device. A `build` that has `label_smoothing` is
    given that of the case.

    Attributes:
        metrics: What it evaluates. The first is what cases are ranked and judged by.
        pure: `loss` depends on nothing but its arguments, draws no random numbers and changes nothing. Only then
            may it be captured in a CUDA graph or mapped over the seeds of a stack.
    """

    metrics: tuple[Metric, ...]
    pure: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metrics:
            raise ValueError(f"the task {self.name!r} has no metric; give it at least one")
        for metric in self.metrics:
            require_evaluated(metric)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric of the evaluation: `build(**params)` returns a function of `(outputs, targets)`.

    That function returns the sum over a batch, a scalar on the device, without waiting for the device. What is
    reported, under the name that the suite lists it by, is the sum over the test set divided by its size.

    Attributes:
        title: Its name in tables, plots and pages, `top-5 test accuracy`; the name by default.
        unit: Its unit; empty for a ratio or a number of things.
        better: Which values are better, `"higher"` or `"lower"`; None where the figure is shown and never judged.
        digits: Decimals in text.
        task: The task whose outputs and targets it reads.
    """

    title: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    digits: int = 2
    task: str = CLASSIFICATION

    def metric(self, name: str) -> Metric:
        """What is measured, under that name.

        Raises:
            ValueError: if every case is measured by another metric of that name.
        """
        title = self.title or self.name
        named = title if name == self.name else f"{title} ({name})"
        return require_evaluated(Metric(name, named, self.unit, self.better, digits=self.digits, heading=name))


@dataclass(frozen=True, kw_only=True)
class ExecutorOption:
    """An option of an executor, which its `build` is given by name.

    The option `num_gpus` of the executor `ray` is `--ray-num-gpus` of `benchmnist run --executor ray`, the
    variable BENCHMNIST_RAY_NUM_GPUS, and `ray-num-gpus` in the table
    [tool.benchmnist.run] of a pyproject.toml.

    Attributes:
        name: The parameter of `build`.
        summary: One line for `benchmnist run --executor NAME --help`.
        type: `str`, `int` or `float`.
        default: What it is where nobody says it.
    """

    name: str
    summary: str
    type: type[str] | type[int] | type[float] = str
    default: str | float | None = None

    def variable(self, executor: str) -> str:
        """The environment variable that says it."""
        return f"BENCHMNIST_{executor}_{self.name}".upper().replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(Spec):
    """An executor: `build(workplace, **options) -> benchmnist.executors.Executor`.

    Attributes:
        options: What it can be told, beside what every executor is told.
        isolated: It trains in processes of its own: what dies there costs its case only, and `--timeout` ends it.
        remote: It may train on other machines: the device that is asked for need not be there on this one.
    """

    options: tuple[ExecutorOption, ...] = ()
    isolated: bool = False
    remote: bool = False


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels, as a dataset plugin hands them over.

    Attributes:
        train_images: [N, C, H, W], uint8 (0 to 255) or float32 (0 to 1).
        train_labels: [N], int64, 0 to the number of classes less one; for another task than classification [N, …],
            whatever that task learns.
        test_images: [M, C, H, W], of the same dtype.
        test_labels: [M, …], likewise.
        classes: The names of the classes, in the order of their labels; empty where there are none.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def first(self, train_size: int | None, test_size: int | None) -> Dataset:
        """The same with only the first so many examples; None keeps all of them."""
        return Dataset(
            self.train_images[:train_size],
            self.train_labels[:train_size],
            self.test_images[:test_size],
            self.test_labels[:test_size],
            self.classes,
        )
