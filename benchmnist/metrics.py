"""The only list of what is measured.

Columns, CSV and JSON, expectations, comparisons, plots, pages and verdicts derive from METRICS, and from what the
task of a case and plugins evaluate beside it: see `metrics_with`. A new metric of classification is an entry here
and a figure of that name in `benchmnist/tasks/classification.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from benchmnist.errors import BenchmnistError, unknown
from benchmnist.text import decimals, with_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

Level = Literal["case", "seed", "epoch", "step", "layer"]
"""Frequency of a measurement: once a case, a trial, an epoch, at every stored step, or by layer."""
RowLevel = Level | Literal["evaluation"]
"""Kinds of the rows of CSV and JSON: of a measurement, or of each evaluation, within an epoch or after it."""
LEVELS: tuple[RowLevel, ...] = (*get_args(Level)[:3], "evaluation", *get_args(Level)[3:])


@dataclass(frozen=True)
class Metric:
    """One kind of figure.

    Attributes:
        key: Its name in suites, options, columns, CSV and JSON.
        title: Its name in plots and pages, in words.
        unit: Its unit; empty for a ratio or a number of things.
        better: Which values are better; None where the figure is shown and never judged.
        level: How often it is measured.
        digits: Decimals in text.
        form: How a table shows it: with `digits` decimals, three significant figures, a short number of things
            (`66.2k`), or a size in bytes.
        heading: The head of its column in tables; `title` by default.
        about: What exactly a table shows of a case; `title` after the last epoch by default.
        stored: Its name in the results, where that is not `key`.
        over_epochs: Which of a seed's epochs count: the last, or the median of all.
        spread: Whether tables show the standard deviation beside the mean.
        ratio: Whether two values are compared by their ratio, not by their difference.
        main: Whether tables, plots and comparisons show it by default; others are shown on request.
    """

    key: str
    title: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    level: Level = "epoch"
    digits: int = 2
    form: Literal["decimals", "figures", "count", "bytes"] = "decimals"
    heading: str = ""
    about: str = ""
    stored: str = ""
    over_epochs: Literal["last", "median"] = "last"
    spread: bool = True
    ratio: bool = False
    main: bool = True

    def __hash__(self) -> int:
        """Hashes its key, which no other metric of a case has: tables ask for it all the time."""
        return hash(self.key)

    @functools.cached_property
    def field(self) -> str:
        """Its name in the results."""
        return self.stored or self.key

    @property
    def name(self) -> str:
        """Its short name for people: `accuracy`."""
        return self.heading or self.title

    @property
    def head(self) -> str:
        """The head of its column: `accuracy, %`."""
        return f"{self.name}, %" if self.unit == "%" else self.name

    @property
    def is_share(self) -> bool:
        """True if it approaches 100 %: plots then stretch what is near."""
        return self.unit == "%" and self.better == "higher"

    @property
    def says(self) -> str:
        """The figure of a case in a table, in words: `test accuracy after the last epoch`."""
        return self.about or f"{self.title} after the last epoch"

    @property
    def label(self) -> str:
        """Its title with its unit: `test accuracy (%)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def points(self) -> str:
        """The unit of a difference between two values."""
        return "points" if self.unit == "%" else self.unit or "units"

    def text(self, value: float) -> str:
        """A value in a sentence: `97.84 %`."""
        return f"{decimals(value, self.digits, ',')} {self.unit}".strip()

    def change(self, value: float, digits: int | None = None) -> str:
        """A difference, `+0.12`, or of a `ratio` a factor, `1.25×`; with other decimals than its own, if given."""
        if self.ratio:
            return f"{decimals(value, 2 if digits is None else digits)}×"
        return decimals(value, self.digits if digits is None else digits, "+z")

    def margin(self, value: float) -> str:
        """A margin in words: `0.5 points`, `1 point`."""
        return with_unit(f"{value:g}", self.points)


METRICS = (
    Metric("accuracy", "test accuracy", "%", "higher", heading="accuracy", stored="test_accuracy"),
    Metric(
        "train_loss",
        "training loss",
        "nats",
        "lower",
        digits=4,
        heading="loss",
        about="mean training loss of the last epoch",
        spread=False,
    ),
    Metric("test_loss", "test loss", "nats", "lower", digits=4, spread=False, main=False),
    Metric(
        "epoch_seconds",
        "training time of an epoch",
        "s",
        "lower",
        digits=3,
        form="figures",
        heading="s/epoch",
        about="median training time of an epoch",
        stored="seconds",
        over_epochs="median",
        spread=False,
        ratio=True,
    ),
    Metric(
        "target_steps",
        "steps to the target",
        "steps",
        "lower",
        "seed",
        digits=0,
        form="count",
        heading="steps to target",
        about="steps to the first evaluation that reaches the target, median over the seeds",
        spread=False,
        ratio=True,
        main=False,
    ),
    Metric(
        "target_seconds",
        "training time to the target",
        "s",
        "lower",
        "seed",
        form="figures",
        heading="s to target",
        about="training time to the first evaluation that reaches the target, median over the seeds",
        spread=False,
        ratio=True,
        main=False,
    ),
    Metric(
        "images_per_second",
        "training images a second",
        "images/s",
        "higher",
        "case",
        digits=0,
        form="count",
        heading="img/s",
        about="training images by that time",
        ratio=True,
    ),
    Metric(
        "peak_memory",
        "peak memory",
        "B",
        "lower",
        "case",
        digits=0,
        form="bytes",
        heading="memory",
        about="peak memory",
        ratio=True,
        main=False,
    ),
    Metric(
        "wall_seconds",
        "time of a case, set-up and tests included",
        "s",
        "lower",
        "case",
        digits=1,
        form="figures",
        heading="wall s",
        about="time in training, set-up and tests included",
        ratio=True,
        main=False,
    ),
    Metric(
        "optimizer_state_bytes",
        "state of the optimizer",
        "B",
        "lower",
        "case",
        digits=0,
        form="bytes",
        heading="state",
        about="bytes that the optimizer keeps at the end of a trial, beside the weights",
        ratio=True,
        main=False,
    ),
    *(
        Metric(
            f"{part}_seconds",
            f"time of {what} in a step",
            "s",
            level="case",
            digits=6,
            form="figures",
            heading=f"{part} s",
            about=f"median time of {what} in a plain step that was made only to be timed",
            main=False,
        )
        for part, what in (
            ("forward", "the forward pass"),
            ("backward", "the backward pass"),
            ("update", "the update by the optimizer"),
        )
    ),
    Metric(
        "setup_seconds",
        "time to build a trial",
        "s",
        level="seed",
        digits=3,
        form="figures",
        heading="set-up s",
        about="time to build a trial",
        spread=False,
        main=False,
    ),
    Metric(
        "learning_rate",
        "learning rate",
        digits=6,
        form="figures",
        about="learning rate in the first step of the last epoch",
        spread=False,
        main=False,
    ),
    Metric(
        "reference_seconds",
        "time of the reference work",
        "s",
        digits=4,
        form="figures",
        heading="reference s",
        about="median time of the reference work",
        over_epochs="median",
        spread=False,
        main=False,
    ),
    Metric("step_loss", "loss of a step", "nats", level="step", digits=4, stored="step_losses", main=False),
)
"""Every metric, in the order of columns and tables; targets, gains and rankings are about the first."""

PRIMARY = METRICS[0]


def judged(metrics: Sequence[Metric] = METRICS) -> tuple[Metric, ...]:
    """Selects the metrics that a suite can `expect` something of."""
    return tuple(metric for metric in metrics if metric.better is not None)


def comparable(metrics: Sequence[Metric] = METRICS) -> tuple[Metric, ...]:
    """Selects the metrics with a figure for each seed, whose spread tells what a difference is worth."""
    return tuple(metric for metric in judged(metrics) if metric.level in ("seed", "epoch"))


def curves(metrics: Sequence[Metric] = METRICS) -> tuple[Metric, ...]:
    """Selects the metrics that are drawn over epochs."""
    return tuple(metric for metric in comparable(metrics) if metric.main and metric.over_epochs == "last")


def find_metric(wanted: str | Metric, among: Sequence[Metric] = METRICS) -> Metric:
    """Finds a metric by its key.

    Raises:
        BenchmnistError: if none of `among` has it; lists them.
    """
    key = wanted if isinstance(wanted, str) else wanted.key
    for metric in among:
        if metric.key == key:
            return metric
    keys = [metric.key for metric in among]
    raise BenchmnistError(unknown("metric", key, keys))


TEST_LOSS = find_metric("test_loss")
"""The figure of the test set that the loss of training stands for; every built-in task evaluates it."""

OF_CLASSIFICATION = (PRIMARY, TEST_LOSS)
"""Metrics that the task `classification` evaluates; of other tasks these are not shown."""

RANKING_TEST_LOSS = replace(TEST_LOSS, main=True)
"""The test loss as the first metric of a task, which tables and plots show."""

RESERVED = frozenset(
    {
        *("case", "dataset", "model", "optimizer", "method", "label", "schedule", "task", "params"),
        *("seed", "epoch", "step", "status", "checkpoint", "speedup", "weights", "epochs", "batch_size", "seeds"),
        *("side_by_side", "engine", "stack", "precision", "device", "source", "clip_grad_norm", "label_smoothing"),
        *("layer", "gradient_norm", "update_norm", "weight_norm", "update_ratio"),
        *("init_seed", "evaluate_in", "train_size", "steps", "reused_from", "started", "key"),
        *("seconds", "examples", "ended", "steps_saved", "problem", "level", "augmentation", "normalise"),
    }
)
"""Keys of tables, CSV and JSON that are no metrics; a test holds the list to what they have."""


def require_evaluated(metric: Metric) -> Metric:
    """Returns a metric that a task or a plugin evaluates after each epoch.

    Raises:
        ValueError: if its name or its field is in use for something else, or its level is another.
    """
    others = [each for each in METRICS if each not in OF_CLASSIFICATION]
    is_test_loss = (metric.key, metric.field, metric.better) == (TEST_LOSS.key, TEST_LOSS.field, TEST_LOSS.better)
    if metric not in OF_CLASSIFICATION and not is_test_loss:  # of which a task may say the unit
        others += OF_CLASSIFICATION
    taken = {*RESERVED, *(each.key for each in others), *(each.field for each in others)}
    table = metric.key.partition(".")[0]  # as the hyperparameter optimizer.lr
    if not taken.isdisjoint({metric.key, metric.field, table}):
        raise ValueError(f"the metric name {metric.key!r} is in use for something else; choose another name")
    if metric.key.startswith("best_") or metric.key.endswith(("_gain", "_iqm", "_std")):
        raise ValueError(
            f"the metric name {metric.key!r} must not begin with best_ nor end with _gain, _iqm or _std"
        )
    if metric.level != "epoch":
        raise ValueError(f"the metric {metric.key!r} must have the level 'epoch', not {metric.level!r}")
    return metric


@functools.lru_cache(maxsize=64)
def metrics_with(evaluated: tuple[tuple[Metric, ...], ...]) -> tuple[Metric, ...]:
    """Every metric of some cases, those that they are ranked by first, given what each of them evaluates."""
    own = {metric.key: metric for metrics in evaluated for metric in metrics}
    first = {metrics[0].key: metrics[0] for metrics in evaluated if metrics}
    left_out = {metric.key for metric in OF_CLASSIFICATION} - {*own} if own else set()
    others = {metric.key: metric for metric in METRICS if metric.key not in left_out}
    return tuple((first | others | own | first).values())


EPOCH_SECONDS = find_metric("epoch_seconds")
TARGET_STEPS = find_metric("target_steps")
TARGET_SECONDS = find_metric("target_seconds")
"""Has a value for each seed that reaches the target of its case, as TARGET_STEPS; the other seeds are lost."""
TO_TARGET = frozenset({TARGET_STEPS, TARGET_SECONDS})
TRAINING_TIMES = frozenset({EPOCH_SECONDS, TARGET_SECONDS})
"""Trials of a stack have equal shares of its times, so these are compared only for cases without one."""
IMAGES_PER_SECOND = find_metric("images_per_second")
PEAK_MEMORY = find_metric("peak_memory")
OPTIMIZER_STATE_BYTES = find_metric("optimizer_state_bytes")
