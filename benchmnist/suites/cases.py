"""Case and its Components: frozen values, the same in a plan, a worker and a run folder."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticSerializationError

from benchmnist.extensions.kinds import PARTS, SETS, Kind
from benchmnist.metrics import OF_CLASSIFICATION, TARGET_STEPS, Metric, metrics_with
from benchmnist.suites.values import not_this
from benchmnist.text import HIDDEN


class Frozen(BaseModel):
    """A frozen value that is strict JSON on disk: infinities and NaN are the strings "Infinity" and "NaN"."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    def printable(self) -> Self:
        """Returns the same value, with characters that UTF-8 does not have escaped (parts of odd file names)."""
        try:
            self.model_dump_json()
        except PydanticSerializationError:
            return type(self).model_validate(_escaped(self.model_dump()))
        return self


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escaped(item) for item in value]
    return value


LONGEST_STEM = 200
"""Bytes of a stem: a file name has up to 255, and some go to the seed, the key and the type of the file."""


def stem_of(name: str) -> str:
    """Returns the start of a file name for a name: no part of it leads elsewhere, and a long one is cut.

    A name that the harness made stays as it is, unless it is long.
    """
    plain = HIDDEN.sub("_", re.sub(r"[/\\]", "_", name))
    if len(plain.encode()) <= LONGEST_STEM:
        return plain
    digest = hashlib.blake2b(name.encode(errors="backslashreplace"), digest_size=8).hexdigest()
    return f"{plain.encode()[: LONGEST_STEM - len(digest) - 1].decode(errors='ignore')}-{digest}"


COMPARISON = re.compile(r"(>=|<=|>|<) *(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
"""A comparison with a number that is not negative, which none of our figures is."""


def _comparison(value: object) -> str:
    """`">= 97.0"`: what a figure has to be.

    Raises:
        ValueError: if it is no such thing.
    """
    if not isinstance(value, str) or not COMPARISON.fullmatch(value):
        raise ValueError(not_this('a comparison, such as ">= 97.0"', value))
    return value


Comparison = Annotated[str, BeforeValidator(_comparison)]
"""`>= 97.0`: what a suite asserts of a figure."""
Group = tuple[str, str, str]
"""The group that cases are compared within: dataset, model and label; or the problem with its level, and label."""

Precision = Literal["float32", "tf32", "bf16"]
"""Precisions of products and convolutions; weights, updates and testing are float32 in any case."""


GROUPS = "groups"
"""Key of the parameter groups of an optimizer."""
ParameterKind = Literal["bias", "norm", "embedding", "vector", "matrix", "convolution"]
"""Kinds of parameters that a group may select; benchmnist/training/parameter_groups.py has what each means."""


class ParameterGroup(Frozen):
    """The parameters of a model for which an optimizer has other options: no weight decay on biases.

    Attributes:
        match: Patterns of their names, as of fnmatch; one of them has to match. Empty selects by `kind` alone.
        kind: Their kinds; they are of one of them. Empty selects by `match` alone.
        lr_scale: Factor of their learning rate.
        options: Parameters of the optimizer that replace those of the others.
    """

    match: tuple[str, ...] = ()
    kind: tuple[ParameterKind, ...] = ()
    lr_scale: float | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def selects(self) -> str:
        """The parameters that it selects, in words: `bias or norm`, `0.* of kind bias`."""
        parts = (" or ".join(self.match), " or ".join(self.kind))
        return " of kind ".join(filter(None, parts))

    def __str__(self) -> str:
        """`bias or norm: weight_decay=0.0`."""
        scaled = {} if self.lr_scale is None else {"lr_scale": self.lr_scale}
        return f"{self.selects}: {', '.join(f'{key}={value}' for key, value in (scaled | self.options).items())}"


class Component(Frozen):
    """A dataset, model, optimizer or schedule with its parameters.

    Attributes:
        name: What the suite calls it.
        use: What its plugin calls it.
        params: What its `build` is given: the spec's defaults, under what the suite says.
        groups: Of an optimizer: the parameters of the model that have other options, the first that selects one
            first.
        variant: Its point of a sweep, `lr-0.1`; empty where nothing is swept.
        distribution: The installed distribution that it came from.
        version: The version of that distribution.
    """

    name: str
    use: str
    params: dict[str, Any]
    groups: tuple[ParameterGroup, ...] = ()
    variant: str = ""
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """Its name in tables and plots: `sgd`, `sgd/lr-0.1`."""
        return f"{self.name}/{self.variant}" if self.variant else self.name

    @property
    def identity(self) -> str:
        """The component that is built, whatever the suite calls it: two components with the same are alike."""
        return f"{self.use} {json.dumps(self.settings, sort_keys=True, default=str)}"

    @property
    def settings(self) -> dict[str, Any]:
        """Its parameters, with its groups in words: what reports show of it."""
        groups = {GROUPS: "; ".join(map(str, self.groups))} if self.groups else {}
        return {**self.params, **groups}


NOT_DECIDING = {
    "id",
    "label",
    "line",
    "marks",
    "expect",
    "baseline",
    "compared_with",
    "axes",
    "evaluates",
    "resources",
    "costs",
    "target_accuracy",
    "target_loss",
    "margin",
    "spread",
    "control",
    "tuned",
    "untuned",
    "search",
    "chosen",
    "problem",
    "level",
    "rung",
}


TARGETS = frozenset({"target_accuracy", "target_loss"})
"""Targets that a trial is timed to. One decides a result only where trials end by it."""
ADDED_LATER = frozenset({"steps", "seconds", "evaluate_every", "stop_at_target", "patience"})
"""Fields that leave a key as it was before there were such fields, where they have their defaults."""


class Space(Frozen):
    """The search space of a hyperparameter: a range, or some values.

    Attributes:
        low, high: The ends of the range, which are part of it.
        log: Whether it is drawn evenly in the logarithm.
        values: Instead of a range.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    values: tuple[Any, ...] = ()

    @property
    def is_range(self) -> bool:
        """Tells whether it is a range."""
        return not self.values


def group_of(dataset: Component, model: Component, problem: str | None, label: str) -> Group:
    """Returns the group of cases with that dataset and model; those of a problem have one name."""
    return dataset.label, "" if problem else model.label, label


class Case(Frozen):
    """One configuration, to be trained once with each seed.

    Attributes:
        id: A path: `mnist/fc-bn/adam`, with swept parameters `mnist/fc/sgd/lr-0.1`; of a problem `ravine/3/adam`.
        schedule: What changes the learning rate after every step; None leaves it as it is.
        augmentation: What changes the training images at random, each time anew; None leaves them.
        task: What is learned; None for classification, in runs that did not record it.
        metrics: The metrics that plugins evaluate beside the task's, by the name that each is stored under.
        evaluates: All that is evaluated after an epoch; the first is what the case is judged by.
        problem: The suite's name of the problem that it is of; its dataset and its model then have that name, and
            the level as their variant. None if the suite names a dataset and a model.
        level: The level of the problem; None if it has none.
        rung: The place of the level among those of the problem, 0 for the easiest; None also in earlier runs.
        axes: What its id and its row say beside the optimizer: the schedule, where a suite sets several side by
            side or sweeps one.
        epochs: How often a trial sees the whole training set, at most.
        steps: Instead of whole epochs: the steps of a trial; the last epoch may then be cut short.
        seconds: Instead of whole epochs: the seconds of training of a trial; it ends at the first evaluation after
            them. `epochs` is then its limit.
        evaluate_every: Steps between two evaluations within an epoch; None evaluates after each epoch only.
        batch_size: Examples a step; the last step of an epoch takes what is left.
        seeds: One trial each.
        clip_grad_norm: The norm that the gradients of a step, all together, are cut down to; None leaves them.
        label_smoothing: How much of the training targets is spread over all classes; testing has none of it.
        init_seed: The initial weights are those of this seed in every trial; None takes each trial's own.
        normalise: Whether the images have the mean of the training images subtracted, by channel, and are divided
            by their standard deviation.
        evaluate_in: The mode that the model is tested in. `train` only reproduces published figures.
        engine: How the trials are executed; never changes what is computed.
        precision: What products and convolutions are computed in while training.
        train_size: Train on only the first so many examples; None for all.
        test_size: Test on only the first so many examples; None for all.
        validation_size: Test on so many of the training examples, which are then not trained on, and not on the
            test set: for choosing. None tests on the test set.
        dynamics: Whether norms of gradients, updates and weights are kept by layer, at each evaluation.
        costs: Whether the times of the parts of a step are measured after its training; None measures them where
            that takes little of its time.
        reference: Whether a fixed piece of work is timed beside every epoch, to measure the machine by.
        resources: What an executor that shares machines out has to reserve for each trial: `num_cpus`, `num_gpus`,
            and whatever else it knows.
        baseline: The `method` of the case that this one is compared with.
        compared_with: The ids of the cases that the suite names under [[compare]] for it; None if it names none at
            all.
        target_accuracy: The test accuracy, in %, that it is timed to.
        target_loss: Instead of it: the test loss that it is timed to.
        stop_at_target: Whether a trial ends at the first evaluation that reaches the target.
        patience: A trial ends after so many evaluations in a row without a better one, of the figure of its target
            or, without one, of its primary metric; None never gives up.
        margin: What difference of two accuracies is called none, in points; None does not say.
        spread: The standard deviation of its differences from another case over the seeds, in points, as its suite
            expects it: to say what a run can find.
        control: Whether it is the baseline once more, with other seeds, to see what differences are noise.
        tuned: Whether its settings were chosen by a search, on a validation split.
        untuned: Whether it is a tuned case once more, with the suite's own settings, to see what tuning gains.
        chosen: The fields that a search chose with the parameters of the optimizer, such as `label_smoothing`, or
            `model` for a parameter of the model. They belong to the method.
        search: Number of the search that chose its settings, from 1; None if the suite has only one. Its seeds
            are those of this search, also if its settings were not tuned.
        marks: The pytest marks of its item.
        expect: What the suite asserts: a comparison, `>= 97.0`, by the key of its metric.
        line: Where the suite asks for it.
    """

    id: str
    dataset: Component
    model: Component
    optimizer: Component
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]
    schedule: Component | None = None
    augmentation: Component | None = None
    task: Component | None = None
    metrics: tuple[Component, ...] = ()
    evaluates: tuple[Metric, ...] = OF_CLASSIFICATION
    problem: str | None = None
    level: str | None = None
    rung: int | None = None
    axes: tuple[str, ...] = ()
    steps: int | None = None
    seconds: float | None = None
    evaluate_every: int | None = None
    clip_grad_norm: float | None = None
    label_smoothing: float = 0.0
    init_seed: int | None = None
    normalise: bool = False
    evaluate_in: Literal["eval", "train"] = "eval"
    engine: str = "auto"
    precision: Precision = "float32"
    train_size: int | None = None
    test_size: int | None = None
    validation_size: int | None = None
    reference: bool = False
    costs: bool | None = None
    dynamics: bool = False
    resources: dict[str, float] = Field(default_factory=dict)
    baseline: str | None = None
    compared_with: tuple[str, ...] | None = None
    target_accuracy: float | None = None
    target_loss: float | None = None
    stop_at_target: bool = False
    patience: int | None = None
    margin: float | None = None
    spread: float | None = None
    control: bool = False
    tuned: bool = False
    untuned: bool = False
    search: int | None = None
    chosen: tuple[str, ...] = ()
    label: str = ""
    marks: tuple[str, ...] = ()
    expect: dict[str, Comparison] = Field(default_factory=dict)
    line: int | None = None

    @property
    def parts(self) -> dict[str, Component]:
        """Its dataset, model, optimizer, …: what it has of each kind of plugin, by the kind's name."""
        found = {kind.name: getattr(self, kind.name) for kind in PARTS}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def primary(self) -> Metric:
        """The metric that it is ranked and judged by."""
        return self.evaluates[0]

    @property
    def has_target(self) -> bool:
        """Tells whether it is timed to a target."""
        return self.target_accuracy is not None or self.target_loss is not None

    @property
    def ends_early(self) -> bool:
        """Tells whether its trials end by what they reach: at the target, or where they give up."""
        return self.stop_at_target or self.patience is not None

    @property
    def judged_by(self) -> Metric | None:
        """The metric of the verdicts on it: the primary one, unless its trials end at different lengths.

        These are judged by their steps to the target; by nothing, if they have none.
        """
        if not self.ends_early:
            return self.primary
        return TARGET_STEPS if self.has_target else None

    @property
    def measures(self) -> tuple[Metric, ...]:
        """Every metric that it is measured by."""
        return metrics_with((self.evaluates,))

    @property
    def components(self) -> list[tuple[Kind, Component]]:
        """Its components, each with its kind: its parts and its metrics."""
        parts = self.parts
        found = [(kind, parts[kind.name]) for kind in PARTS if kind.name in parts]
        return found + [(kind, part) for kind in SETS for part in getattr(self, kind.plural)]

    def deciding(self, *, stored: bool = False) -> dict[str, Any]:
        """Its fields as JSON, without what it is called, where it stands and what is made of its result.

        With `stored`, only those that were in the file that it was read from.
        """
        return self.model_dump(mode="json", exclude=self.not_deciding, exclude_unset=stored)

    @property
    def not_deciding(self) -> set[str]:
        """The names of its fields that have no part in its result."""
        unused = {name for name in ADDED_LATER if getattr(self, name) == type(self).model_fields[name].default}
        return (NOT_DECIDING | unused) - (TARGETS if self.ends_early else set())

    @property
    def rounds(self) -> int:
        """Number of epochs over all seeds."""
        return self.epochs * len(self.seeds)

    @property
    def method(self) -> str:
        """The method, which is compared within a group: the optimizer with what the suite varies beside it."""
        return "/".join((self.optimizer.label, *self.axes))

    @property
    def searched_method(self) -> str:
        """The method without the number of its search."""
        return "/".join((self.optimizer.label, *(self.axes if self.search is None else self.axes[:-1])))

    @property
    def aside(self) -> bool:
        """Tells whether it is trained beside the cases that the suite compares, and is not one of them."""
        return self.control or self.untuned

    @property
    def is_baseline(self) -> bool:
        """Tells whether it is the case that those of its group are compared with."""
        return self.method == self.baseline

    @property
    def group(self) -> Group:
        """The group within which it is compared: dataset, model and label."""
        return group_of(self.dataset, self.model, self.problem, self.label)

    @property
    def learned(self) -> tuple[str, str]:
        """The names of its dataset and model: the suite's, or for those of a problem their plugins'."""
        parts = self.dataset, self.model
        dataset, model = (part.label if self.problem is None else part.use for part in parts)
        return dataset, model

    def row(self, seed: int) -> tuple[Case, int]:
        """Returns the case and the seed of a trial of this task; those of a Bundle are its points'."""
        return self, seed

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first of its seeds; a Bundle has one for each of its points."""
        return self.seeds[:1]

    @property
    def file_stem(self) -> str:
        """The start of the names of its files. No id has `__` in it, so no two stems are the same."""
        return stem_of(self.id.replace("/", "__"))
