"""Results: EpochResult < TrialResult < CaseResult < RunResult. Frozen, and strict JSON on disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from benchmnist.suites.cases import Case, Frozen, Space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmnist.metrics import Metric

SCHEMA = 3
"""Number of the format of run.json and cases/*.json.

1: the first. 2: files have a checksum; cases have a key and the earlier run that they were taken from.
3: the figures of an epoch's evaluation are a dict of metrics.
"""

Status = Literal["completed", "diverged", "failed", "crashed", "timed out", "interrupted"]
"""`failed` raised an exception, `crashed` ended its process, `timed out` was stopped at its time limit."""

FAILURES = frozenset({"failed", "crashed", "timed out"})


class Layer(Frozen):
    """A layer of a model.

    Attributes:
        name: Its name within the model, `features.0`.
        kind: Its class, `Conv2d`.
        settings: What it was made with, as torch prints it.
        output_shape: Of what comes out for one image.
        parameters: Its trainable parameters.
        multiply_adds: Of one image.
    """

    name: str
    kind: str
    settings: str = ""
    output_shape: tuple[int, ...] = ()
    parameters: int = 0
    multiply_adds: int = 0


class ModelDescription(Frozen):
    """What a model is made of, on a dataset.

    Attributes:
        dataset, model: Their labels.
        layers: In the order in which an image passes them.
    """

    dataset: str
    model: str
    layers: tuple[Layer, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The classes of its layers."""
        return tuple(layer.kind for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Trainable ones, in all."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of one image, in all."""
        return sum(layer.multiply_adds for layer in self.layers)


class Attempt(Frozen):
    """A point of a space, and what came of it.

    Attributes:
        params: The point.
        accuracy: On the validation examples after the last epoch, %, mean over the seeds; None where it diverged
            or failed.
    """

    params: dict[str, Any]
    accuracy: float | None = None


class Search(Frozen):
    """How an optimizer's hyperparameters were chosen, for a model on a dataset.

    Attributes:
        dataset, model, label: The labels of the dataset, the model and the block of cases.
        method: What was tuned: the optimizer, and what the suite varies beside it.
        sampler: `random`, `tpe` or `grid`.
        space: By hyperparameter.
        attempts: In the order in which they were made.
        run: The run that they are the cases of, `suite/run`.
    """

    dataset: str
    model: str
    label: str = ""
    method: str
    sampler: str
    space: dict[str, Space]
    attempts: tuple[Attempt, ...]
    run: str = ""

    @property
    def best(self) -> Attempt | None:
        """The first of those with the highest accuracy; None where all diverged or failed."""
        there = [attempt for attempt in self.attempts if attempt.accuracy is not None]
        return max(there, key=lambda attempt: attempt.accuracy or 0.0, default=None)


EVALUATED_BEFORE_3 = frozenset({"test_accuracy", "test_loss"})
"""Fields of an epoch in formats 1 and 2 that are in its `metrics` now."""


class EpochResult(Frozen):
    """One epoch of one trial.

    Attributes:
        epoch: Counted from 1.
        seconds: Of training: fetching, forward, backward, step; the device synchronised at both ends. Where steps
            are captured, the first two of a trial and the first smaller one count as the others do on average.
        train_loss: Mean over the steps of the epoch, of the loss before each step.
        learning_rate: Of the first parameter group, in the first step; None where there is none.
        step_losses: (step, loss of that step's batch) for every hundredth step and the last.
        reference_seconds: Of the reference work, the mean of just before and just after the epoch; None where
            the suite does not ask for it.
        metrics: Figures of the evaluation on the test set after the epoch, by the `field` of their
            benchmnist.metrics.Metric; empty where the trial diverged.
    """

    epoch: int
    seconds: float
    train_loss: float
    step_losses: tuple[tuple[int, float], ...]
    learning_rate: float | None = None
    reference_seconds: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_formats(cls, data: object) -> object:
        """Gathers the figures of evaluation, which formats 1 and 2 keep as fields of their own."""
        if not isinstance(data, dict) or not EVALUATED_BEFORE_3 & data.keys():
            return data
        found = {name: data[name] for name in sorted(EVALUATED_BEFORE_3) if data.get(name) is not None}
        kept = {name: value for name, value in data.items() if name not in EVALUATED_BEFORE_3}
        return kept | {"metrics": found | kept.get("metrics", {})}

    @property
    def test_loss(self) -> float | None:
        """Mean cross-entropy over the test set after the epoch; None where the trial diverged."""
        return self.metrics.get("test_loss")

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test set after the epoch, in %; None where the trial diverged."""
        return self.metrics.get("test_accuracy")

    def figure(self, metric: Metric) -> float | None:
        """The value of a metric of epochs; None where it was not measured."""
        found = self.metrics.get(metric.field, getattr(self, metric.field, None))
        return None if found is None else float(found)


class TrialResult(Frozen):
    """One case with one seed.

    Attributes:
        seed: The seed.
        status: `diverged` where a loss was not finite: that epoch is the last.
        epochs: In order.
        setup_seconds: Building the model, the optimizer and the engine, and warming up; not part of any epoch.
        checkpoint: The weights, relative to the run folder.
    """

    seed: int
    status: Status
    epochs: tuple[EpochResult, ...]
    setup_seconds: float = 0.0
    checkpoint: str | None = None


@dataclass
class MeasuredEpoch:
    """An epoch that was trained and timed somewhere else, or before."""

    seed: int
    result: EpochResult | None

    @property
    def seconds(self) -> float:
        """Of training, by the clock of whoever trained it."""
        return self.result.seconds if self.result else 0.0

    def run(self) -> None:
        """Nothing is left to do."""


class CaseResult(Frozen):
    """One case with all of its seeds.

    Attributes:
        schema_version: SCHEMA of the version that wrote it.
        case: What was trained.
        key: A hash of all that decides the result; empty where a plain pytest run trained it.
        status: The worst of its trials'.
        trials: One a seed, in order; fewer where it failed or was interrupted.
        engine: The engine that executed it.
        remarks: What it did for speed (`fused`, `channels_last`), and why it did not do what it was asked for.
        train_size: Examples an epoch.
        steps: Steps an epoch.
        parameters: Trainable parameters of the model.
        precision: What products were computed in, where the case says it; else the type of the weights.
        peak_memory: Bytes: on a GPU the most that torch had allocated for the case at any time, without the
            dataset, which all cases share there; else the most that the training process has ever had resident.
        side_by_side: How many trials the executor had in training at the same time, each in a process of its
            own; they slow each other down, so that times are comparable only with times taken likewise.
        environment: The machine, the versions and the flags that it ran with.
        misses: What the suite expected and was not so, in words.
        error: The traceback, where it failed; or how its process ended, and what that had said.
        reused_from: The earlier run that it was taken from, `suite/run`; None where this run trained it.
        started: UTC, ISO 8601.
        wall_seconds: From first to last, all included.
    """

    schema_version: int = SCHEMA
    case: Case
    key: str = ""
    status: Status
    trials: tuple[TrialResult, ...] = ()
    engine: str = ""
    remarks: tuple[str, ...] = ()
    train_size: int = 0
    steps: int = 0
    parameters: int = 0
    precision: str = ""
    peak_memory: int = 0
    side_by_side: int = 1
    environment: dict[str, Any] = Field(default_factory=dict)
    misses: tuple[str, ...] = ()
    error: str | None = None
    reused_from: str | None = None
    started: str = ""
    wall_seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than it should have, in whatever way."""
        return self.status in FAILURES

    @property
    def has_epochs(self) -> bool:
        """Whether any epoch of it ended: there is something to draw."""
        return any(trial.epochs for trial in self.trials)

    @property
    def id(self) -> str:
        """The id of the case."""
        return self.case.id


class RunRecord(Frozen):
    """What run.json holds: the run without its cases' results.

    Attributes:
        schema_version: SCHEMA of the version that wrote it.
        benchmnist: That version.
        hook_api: The version of the hooks that the plugins were called by.
        suite: The suite's name.
        title: The suite's title.
        suite_file: Where the suite was read from.
        suite_text: The suite, as read.
        plan: The cases, in order.
        options: What the run was asked for beside the suite: device, executor, ….
        notes: What to know of the run: what plugins did beside what they were asked for, all of it undone; that
            workers shared a GPU.
        models: What the models of the plan are made of, on their datasets.
        searches: How the optimizers' hyperparameters were chosen, where `benchmnist tune` chose them.
        status: `running` until it ends; a run that says so and does not run was killed.
        started, ended: UTC, ISO 8601.
    """

    schema_version: int = SCHEMA
    benchmnist: str
    hook_api: int = 1
    suite: str
    title: str
    suite_file: str
    suite_text: str
    plan: tuple[Case, ...]
    options: dict[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    models: tuple[ModelDescription, ...] = ()
    searches: tuple[Search, ...] = ()
    status: Literal["running", "completed", "failed", "interrupted"] = "running"
    started: str
    ended: str | None = None


class RunResult(Frozen):
    """A run, read whole: where it lies, its record and the results of the cases that ended."""

    path: Path
    record: RunRecord
    cases: tuple[CaseResult, ...]

    def __getitem__(self, case_id: str) -> CaseResult:
        """The result of the case of that id.

        Raises:
            KeyError: if no such case has ended; names those that have.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(f"{case_id!r}; known cases: {', '.join(case.id for case in self.cases)}")


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def worst(statuses: Iterable[Status]) -> Status:
    """The one that matters most: failed, crashed, timed out, interrupted, diverged, completed."""
    order: tuple[Status, ...] = ("failed", "crashed", "timed out", "interrupted", "diverged", "completed")
    return min(statuses, key=order.index, default="completed")
