"""The specs that a plugin returns: a frozen one for each model, optimizer, schedule, dataset, problem, ….

`build` may be a callable or an import string, `"package.module:attribute"`. A string is not imported before
it is used, so that listing plugins does not import torch.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.metrics import Metric, require_evaluated
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

CLASSIFICATION = "classification"
"""The task that a dataset, a metric and a suite have by default."""
FUNCTION = "function"
"""The task without data: no example can be held out for a search, which judges by other seeds."""

PARTS_OF_PROBLEMS = ("model", "dataset", "task")
"""The kinds of plugin that a problem names; a dotted key of its levels begins with one."""

MOST_DRAWS = 1000
"""Random numbers of an image in an augmentation."""

NAME = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*")
"""The form of a name, which becomes part of case ids, node ids and file names."""


@dataclass(frozen=True, kw_only=True)
class NamedSpec:
    """The base class of all specs.

    Attributes:
        name: The name that suites use: lower-case letters and digits, joined by single `-`, `_`, `.` or `+`.
        summary: One line for `benchmnist plugins`.

    Raises:
        ValueError: if the name does not have that form.
    """

    name: str
    summary: str

    def __post_init__(self) -> None:
        require_name(self.name)

    @property
    def facts(self) -> dict[str, str]:
        """The facts that a list of plugins has beside the summary, by their titles."""
        return {}


def require_name(name: str) -> None:
    """Requires the form of NAME.

    Raises:
        ValueError: if the name has another form.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} must be lower-case letters and digits joined by single - _ . or +")


@dataclass(frozen=True, kw_only=True)
class Spec(NamedSpec):
    """The base class of the specs of what is built: all but ProblemSpec.

    Attributes:
        build: Builds the object; a callable or `"package.module:attribute"`.
        defaults: Parameters that are passed to `build` unless a suite overrides them. For example, `momentum` is
            `sgd` with a default for `momentum`.

    Raises:
        ValueError: if an import string has no colon.
    """

    build: Callable[..., Any] | str
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.build, str) and ":" not in self.build:
            raise ValueError(
                f"build={self.build!r} of {self.name!r} must have the form 'package.module:attribute'"
            )

    def load(self) -> Callable[..., Any]:
        """Returns the callable that `build` is or names; imports its module if necessary.

        Raises:
            ImportError, AttributeError: if the import string names nothing.
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
    [0, 1] and returns logits [N, num_classes]. For a task other than classification, `num_classes` is the number
    of outputs that the task needs per example, and a `build` that has a parameter `output_shape` receives their
    shape. Build it on the CPU, and draw its weights from torch's default generator: the harness seeds that
    generator before, and moves the module to the device after.

    Attributes:
        capturable: Whether the forward and backward pass may be captured and replayed: on a GPU by a CUDA graph,
            on a CPU, if BENCHMNIST_RECORDED asks for it, as a record of its operations. The harness tries this
            first. It does not capture a model that reads a value of a tensor, whose losses change, or that changes
            anything on the host from step to step (an attribute, a random choice of Python's). It cannot see state
            that no attribute leads to (globals of the module, attributes of the class, state inside a C library),
            unless that state changes what the first few steps do. Set False for a model that changes such state.
        task: The task for which it is made; `benchmnist check` and `benchmnist describe` build it for that task.
        surrogate_gradients: Which gradients its training has on purpose, where they are not those of its loss:
            `"noise is added"`. Then `benchmnist check` compares only those of its test.
    """

    capturable: bool = True
    task: str = CLASSIFICATION
    surrogate_gradients: str = ""


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Spec):
    """An optimizer: `build(model, **params) -> torch.optim.Optimizer`.

    `build` receives the model, not its parameters, so that it may treat them by shape or by name. If its
    signature has `total_steps`, it also receives the number of steps of the trial.

    The attributes describe the optimizer to the harness. `benchmnist check` tests whether they are true.

    Attributes:
        needs_closure: Whether `step` needs a function that computes the loss and the gradients again (LBFGS, SAM).
        has_modes: Whether it has `train()` and `eval()`, which the harness calls around evaluation (schedule-free
            optimizers).
        needs_create_graph: Whether it differentiates the gradients again, and so needs
            `loss.backward(create_graph=True)` (AdaHessian).
        passes: The number of forward and backward passes per step (SAM: 2); None if it varies (LBFGS).
        capturable: Whether the step may be captured and replayed: on a GPU by a CUDA graph, on a CPU, if
            BENCHMNIST_RECORDED asks for it, as a record of its operations. Such a step decides nothing by a value
            of a tensor, and passes no number to torch that changes from step to step. If `build` has a parameter
            `capturable`, the harness passes `capturable=True` on a GPU.
        elementwise: Whether it updates each entry of a parameter by the gradients of that entry alone, whatever
            the shape. The weights of several seeds may then be stacked (Adam; but not Muon, nor LAMB).
        fused: The types of device (`cpu`, `cuda`) on which `build` takes `fused=True`, and then computes the same
            updates in one kernel. Every engine except `dataloader` passes it, unless the suite sets `fused`,
            `foreach` or `differentiable`.
        groups: Whether parts of a model may have other options than the rest: whether `step` reads the options of
            each parameter from its entry in `self.param_groups` (not LBFGS).
    """

    needs_closure: bool = False
    has_modes: bool = False
    needs_create_graph: bool = False
    passes: int | None = 1
    capturable: bool = False
    elementwise: bool = False
    fused: tuple[str, ...] = ()
    groups: bool = True


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Spec):
    """A learning-rate schedule: `build(optimizer, *, total_steps, **params) -> LRScheduler`.

    It has the interface of `torch.optim.lr_scheduler`. The harness steps it after every step of the optimizer,
    `total_steps` times.
    """


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec(Spec):
    """An augmentation of the training images: `build(**params)` returns a function of `(images, numbers)`.

    `images` are float32 [N, C, H, W] on the device, with pixels from 0 to 1; `numbers` are as many random numbers
    for each image as the spec says, float32 [N, draws], uniform from 0 to 1. The function returns images of the
    same shape and type, and changes neither of its arguments. All that is random comes from `numbers`, so that
    each image has the same change on every engine, whatever batch it is in. Images are normalised afterwards.

    Attributes:
        draws: The random numbers of an image.
        pure: Whether the function depends on nothing but its arguments, draws no other random numbers, and decides
            nothing by a value of a tensor. Only then may a step be captured or recorded, or seeds be stacked.
    """

    draws: int = 1
    pure: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.draws) is not int or not 0 < self.draws <= MOST_DRAWS:
            raise ValueError(f"draws of {self.name!r} must be from 1 to {MOST_DRAWS}, not {self.draws!r}")


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A dataset: `build(*, root, **params) -> Dataset`.

    `root` is the folder (a Path) in which the dataset keeps its files.

    Attributes:
        task: The task for which its labels are made, unless a suite sets another.
    """

    task: str = CLASSIFICATION


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Spec):
    """A task: `build(**params) -> benchmnist.tasks.Task`, an object with these four methods, and perhaps a fifth.

    `check(data, name)` raises `benchmnist.errors.DataError` if the dataset does not suit the task.
    `output_shape(data)` returns the shape of a model's output for one example. `loss(outputs, targets)` returns
    the mean loss of a batch, a scalar. `evaluate(outputs, targets)` returns the sum over a batch of each metric of
    the task, by key, as scalars on the device. None of them may wait for the device. `prepare(data)`, if it has
    one, returns the dataset with other images or targets, such as the images as targets, before any model is
    built. A `build` that has a parameter `label_smoothing` receives that of the case.

    Attributes:
        metrics: The metrics that it evaluates. The first one ranks and judges the cases.
        pure: Whether `loss` depends on nothing but its arguments, draws no random numbers and changes nothing.
            Only then may a CUDA graph capture it, or a stack map it over its seeds.
    """

    metrics: tuple[Metric, ...]
    pure: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metrics:
            raise ValueError(f"the task {self.name!r} has no metric; give it at least one")
        if self.metrics[0].better is None:
            raise ValueError(
                f"the first metric of the task {self.name!r} ranks its cases; it must say which values are better"
            )
        for metric in self.metrics:
            require_evaluated(metric)

    def takes_label_smoothing(self) -> bool:
        """Tells whether `build` is given the label smoothing of a case."""
        return "label_smoothing" in inspect.signature(self.load()).parameters


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric of the evaluation: `build(**params)` returns a function of `(outputs, targets)`.

    That function returns the sum over a batch, a scalar on the device, and does not wait for the device. Reports
    show the sum over the test set divided by its size, under the name that the suite lists.

    Attributes:
        title: Its name in tables, plots and pages, such as `top-5 test accuracy`; the name by default.
        unit: Its unit; empty for a ratio or a count.
        better: Which values are better, `"higher"` or `"lower"`; None if the figure is shown but never judged.
        digits: The decimals in text.
        task: The task whose outputs and targets it reads.
    """

    title: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    digits: int = 2
    task: str = CLASSIFICATION

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metric(self.name)

    def metric(self, name: str) -> Metric:
        """Returns the metric under that name.

        Raises:
            ValueError: if every case is measured by another metric of that name.
        """
        title = self.title or self.name
        named = title if name == self.name else f"{title} ({name})"
        return require_evaluated(Metric(name, named, self.unit, self.better, digits=self.digits, heading=name))


TARGETS = ("target_accuracy", "target_loss")
"""The settings of a problem of which it has one."""
BUDGETS = ("epochs", "steps")
"""The settings of a problem of which it has at least one."""
OF_SUITES = ("schedule", "augmentation", "optimizer", "baseline")
"""The keys that a suite sets beside a problem, and no problem itself."""
NOT_OF_REFERENCES = ("use", "sweep", "space", "groups")
"""Keys of the table of an optimizer that `solved_by` has not: the reference is one training."""
ALL_LEVELS = "all"
"""`{"levels": "all"}` in `solved_by` of a problem: every level is to be solved."""


@dataclass(frozen=True, kw_only=True)
class ProblemSpec(NamedSpec):
    """A problem: a dataset, a model, a task, a budget and a target under one name, to try optimizers on.

    It builds nothing itself: it names what plugins offer, with parameters. A suite lists problems in place of
    models and datasets.

    Attributes:
        model: The model, by the name that its plugin gives it.
        dataset: The dataset.
        task: The task; None for that of the dataset.
        model_params, dataset_params, task_params: Their parameters.
        settings: Keys of `[[cases]]`: a budget (`epochs` or `steps`), a target (`target_accuracy` or
            `target_loss`), and others, such as `batch_size`, `evaluate_every` or `seeds`. Its baseline, schedule
            and augmentation are the suite's.
        levels: Its levels of difficulty, from easy to hard: the changes of each, by its name. A key with a dot is
            a parameter, `model.condition`, `dataset.noise` or `task.power`; any other is a setting, such as
            `steps`. Empty if there is only one.
        solved_by: A reference that reaches the target within the budget: the name of the optimizer as `optimizer`,
            with its parameters. Its key `levels` is `"first"` by default; `"all"` promises this of every level.
        source: The publication that it is from.

    Raises:
        ValueError: if the name of a level or a key has another form, or a target, a budget or the optimizer of
            `solved_by` is missing, or an attribute has a value or a key that it may not have.
    """

    model: str
    dataset: str = "mnist"
    task: str | None = None
    model_params: Mapping[str, Any] = field(default_factory=dict)
    dataset_params: Mapping[str, Any] = field(default_factory=dict)
    task_params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    solved_by: Mapping[str, Any]
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := next(self._not_mappings(), ""):
            raise ValueError(f"{wrong} of {self.name!r} must be a mapping from names to values")
        for level, changes in self.levels.items():
            require_name(level)
            for key in changes:
                kind, dot, name = key.partition(".")
                if dot and not (kind in PARTS_OF_PROBLEMS and name.isidentifier()):
                    parts = ", ".join(f"{part}.NAME" for part in PARTS_OF_PROBLEMS)
                    raise ValueError(
                        f"{key!r} in the level {level!r} of {self.name!r} must be {parts} or the name of a setting"
                    )
        for settings in [self.settings_at(level) for level in self.levels or [None]]:
            self._check_settings(settings)
            if sum(settings.get(name) is not None for name in TARGETS) != 1:
                raise ValueError(f"the problem {self.name!r} must have one target: {' or '.join(TARGETS)}")
            if all(settings.get(name) is None for name in BUDGETS):
                raise ValueError(f"the problem {self.name!r} has no budget; give it epochs or steps")
        self._check_reference()

    def _not_mappings(self) -> Iterator[str]:
        """Yields each attribute, and each level, that has to be a mapping with texts as keys, and is none."""
        names = ("model_params", "dataset_params", "task_params", "settings", "solved_by", "levels")
        given = {name: getattr(self, name) for name in names}
        if isinstance(self.levels, Mapping):
            given |= {f"the level {level!r}": changes for level, changes in self.levels.items()}
        for name, value in given.items():
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                yield name

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        """Checks the settings of a level.

        Raises:
            ValueError: if one is not a problem's, or a target or a budget is no number.
        """
        for key, value in settings.items():
            if key in PARTS_OF_PROBLEMS:
                raise ValueError(f"{key!r} of {self.name!r} is no setting; pass it to ProblemSpec: {key}=…")
            if key in OF_SUITES:
                raise ValueError(f"{key!r} of {self.name!r} is no setting of a problem; the suite sets it")
            is_number = isinstance(value, Number) and not isinstance(value, bool)
            if key in (*TARGETS, *BUDGETS) and not (is_number or value is None):
                raise ValueError(f"{key!r} of {self.name!r} must be a number, not {value!r}")

    def _check_reference(self) -> None:
        """Checks `solved_by`.

        Raises:
            ValueError: if it names no optimizer, or has what is no parameter of one.
        """
        if not isinstance(self.solved_by.get("optimizer"), str):
            raise ValueError(  # noqa: TRY004 - what is missing is a key
                f"solved_by of {self.name!r} names no optimizer; write "
                'solved_by={"optimizer": "adam", "lr": 0.01}'
            )
        for key, value in self.solved_by.items():
            if key in NOT_OF_REFERENCES or not key.isidentifier():
                raise ValueError(f"{key!r} in solved_by of {self.name!r} is no parameter; remove it")
            if value is None:
                raise ValueError(f"{key!r} in solved_by of {self.name!r} is None; leave it out")
        if self.solved_by.get("levels", "first") not in ("first", ALL_LEVELS):
            raise ValueError(f'levels in solved_by of {self.name!r} must be "first" or "{ALL_LEVELS}"')

    @property
    def facts(self) -> dict[str, str]:
        """See NamedSpec; budget and target are those of the first level."""
        settings = self.settings_at(next(iter(self.levels), None))
        unit = next(name for name in reversed(BUDGETS) if settings.get(name) is not None)
        budget = counted(settings[unit], unit.removesuffix("s"))
        accuracy, loss = settings.get("target_accuracy"), settings.get("target_loss")
        target = f"{accuracy:g} %" if accuracy is not None else f"loss {loss:g}"
        return {"levels": ", ".join(self.levels), "budget": budget, "target": target}

    def settings_at(self, level: str | None) -> dict[str, Any]:
        """Returns its settings at a level; None has those of no level."""
        changes = self.levels[level] if level is not None else {}
        return {**self.settings, **{key: value for key, value in changes.items() if "." not in key}}

    def params_at(self, part: str, level: str | None) -> dict[str, Any]:
        """Returns the parameters of its `model`, `dataset` or `task` at a level; None has those of no level."""
        own = {"model": self.model_params, "dataset": self.dataset_params, "task": self.task_params}[part]
        changes = self.levels[level] if level is not None else {}
        of_part = {key.partition(".")[2]: value for key, value in changes.items() if key.startswith(f"{part}.")}
        return {**own, **of_part}


@dataclass(frozen=True, kw_only=True)
class ExecutorOption:
    """An option of an executor; `build` receives it by name.

    For example, the option `num_gpus` of the executor `ray` is `--ray-num-gpus` on the command line (together with
    `--executor ray`), the environment variable `BENCHMNIST_RAY_NUM_GPUS`, and `ray-num-gpus` in the table
    `[tool.benchmnist.run]` of a `pyproject.toml`.

    Attributes:
        name: The parameter of `build`.
        summary: One line for `benchmnist run --executor NAME --help`.
        type: `str`, `int` or `float`.
        default: The value if the user does not set the option.
    """

    name: str
    summary: str
    type: type[str] | type[int] | type[float] = str
    default: str | float | None = None

    def variable(self, executor: str) -> str:
        """Returns the environment variable that sets it."""
        return f"BENCHMNIST_{executor}_{self.name}".upper().replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(Spec):
    """An executor: `build(workplace, **options) -> benchmnist.executors.Executor`.

    Attributes:
        options: Its options, in addition to those that every executor has.
        isolated: Whether it trains in processes of its own. A process that dies costs only its case, and
            `--timeout` can end a case.
        remote: Whether it may train on other machines. The requested device need not exist on this machine.
    """

    options: tuple[ExecutorOption, ...] = ()
    isolated: bool = False
    remote: bool = False


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images and labels that a dataset plugin returns.

    Attributes:
        train_images: [N, C, H, W], uint8 (0 to 255) or float32 (0 to 1).
        train_labels: [N], int64, from 0 to the number of classes minus one; for a task other than classification
            [N, …], whatever that task learns.
        test_images: [M, C, H, W], of the same dtype.
        test_labels: [M, …], of the same kind.
        classes: The names of the classes, in the order of their labels; empty if there are none.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of an image: (channels, height, width)."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @cached_property
    def of_channels(self) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of each channel of the training images, from 0 to 1, [C, 1, 1].

        The standard deviation is 1 where all pixels of a channel are equal. Of uint8 pixels both are computed from
        their counts, exactly, so that they are the same on every processor.
        """
        channels = self.train_images.transpose(0, 1).flatten(1)
        if channels.is_floating_point():
            exact = channels.double()
            mean, std = exact.mean(dim=1), exact.std(dim=1, correction=0)
        else:
            counts = channels.new_tensor([]).double().new_empty(len(channels), 256)
            for channel, pixels in enumerate(channels):
                counts[channel] = pixels.bincount(minlength=256)
            values = counts.new_tensor(range(256)) / 255
            shares = counts / channels.shape[1]
            mean = shares @ values
            std = (shares * (values - mean[:, None]).square()).sum(dim=1).sqrt()
        std = std.where(std > 1e-6, 1.0)  # noqa: PLR2004 - of floats, equal ones may differ by rounding
        return mean.float().view(-1, 1, 1), std.float().view(-1, 1, 1)

    def first(self, train_size: int | None, test_size: int | None) -> Dataset:
        """Returns the same dataset with only the first examples of each set; None keeps all of them."""
        return Dataset(
            self.train_images[:train_size],
            self.train_labels[:train_size],
            self.test_images[:test_size],
            self.test_labels[:test_size],
            self.classes,
        )
