"""Results: EpochResult < TrialResult < CaseResult < RunResult. Frozen, and strict JSON on disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator

from benchmnist.runs.models import ModelDescription
from benchmnist.runs.searches import Search
from benchmnist.suites.budgets import Ended
from benchmnist.suites.cases import Case, Frozen
from benchmnist.suites.looks import Looks
from benchmnist.text import counted, kept

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

ForeignText = Annotated[str, AfterValidator(kept)]
"""Text that a plugin may have written: printable, and not longer than anybody reads."""

FAILURES = frozenset({"failed", "crashed", "timed out"})


def figure_of(measured: EpochResult | Evaluation, metric: Metric) -> float | None:
    """Returns the value of a metric of epochs for an epoch or an evaluation; None if it was not measured."""
    found = measured.metrics.get(metric.field)
    if found is None:
        found = getattr(measured, metric.field, None)
    return None if found is None else float(found)


class Evaluation(Frozen):
    """One evaluation within an epoch, where a case asks for it with `evaluate_every`.

    Attributes:
        step: Steps of the trial before it, counted over all of its epochs.
        seconds: Seconds of training of the trial before it, without this and all other evaluations.
        train_loss: Mean of the losses of the steps since the evaluation before, or since the start.
        metrics: Figures on the test set, by the `field` of their benchmnist.metrics.Metric.
    """

    step: int = Field(ge=1)
    seconds: float
    train_loss: float
    metrics: dict[str, float] = Field(default_factory=dict)


class LayerNorms(Frozen):
    """Euclidean norms of one layer.

    Attributes:
        gradient: Of the gradient of its weights, before it is clipped.
        update: Of what the step adds to its weights.
        weight: Of its weights before the step.
    """

    gradient: float
    update: float
    weight: float

    @property
    def ratio(self) -> float | None:
        """The update in units of the weights; None where these are all zero."""
        return self.update / self.weight if self.weight else None


class Dynamics(Frozen):
    """Norms by layer of the step that a trial would make after an evaluation; benchmnist/training/dynamics.py.

    Attributes:
        step: Steps of the trial before it, counted over all of its epochs.
        layers: The norms of each layer, in the order of the model.
    """

    step: int = Field(ge=1)
    layers: dict[str, LayerNorms]


class EpochResult(Frozen):
    """One epoch of one trial.

    Attributes:
        epoch: Counted from 1.
        seconds: Training time: fetching, forward, backward, step; the device synchronised at both ends. If steps
            are captured, the first two of a trial and the first smaller one count as the others do on average.
        train_loss: Mean of the losses before each step of the epoch.
        learning_rate: Learning rate of the first parameter group in the first step; None if it has none.
        step_losses: (step, loss of that step's batch) for every hundredth step and the last.
        reference_seconds: Time of the reference work, mean of just before and just after the epoch; None if the
            suite does not enable it.
        metrics: Figures of the evaluation on the test set after the epoch, by the `field` of their
            benchmnist.metrics.Metric; empty where the trial diverged.
        evaluations: All evaluations of the epoch in their order, where the case has `evaluate_every`; the last is
            that after the epoch.
        steps: Steps of the epoch, where it is not a whole one: the last of a budget, or cut short at a target.
        dynamics: Norms by layer at each of its evaluations, where the run has `--dynamics`.
    """

    epoch: int = Field(ge=1)
    seconds: float
    train_loss: float
    step_losses: tuple[tuple[int, float], ...]
    learning_rate: float | None = None
    reference_seconds: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    evaluations: tuple[Evaluation, ...] = ()
    steps: int | None = None
    dynamics: tuple[Dynamics, ...] = ()

    def model_post_init(self, _: object) -> None:
        """Shares the set of the fields that were given, which nothing asks for: it is a third of the memory."""
        object.__setattr__(self, "__pydantic_fields_set__", EPOCH_FIELDS)

    @property
    def test_loss(self) -> float | None:
        """Mean cross-entropy over the test set after the epoch; None if the trial diverged."""
        return self.metrics.get("test_loss")

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test set after the epoch, in %; None if the trial diverged."""
        return self.metrics.get("test_accuracy")

    def figure(self, metric: Metric) -> float | None:
        """Returns the value of a metric of epochs; None if it was not measured."""
        return figure_of(self, metric)


EPOCH_FIELDS = {*EpochResult.model_fields}


class Stack(Frozen):
    """The trials that were trained together, stacked or on streams: their time is divided equally among them.

    Attributes:
        name: Hash of the cases and seeds that are in it.
        cases: Number of cases.
        trials: Number of trials.
    """

    name: str = Field(pattern="^[0-9a-f]{8}$")
    cases: int = Field(ge=1)
    trials: int = Field(ge=2)

    @classmethod
    def of(cls, trials: Iterable[tuple[Case, int]]) -> Self | None:
        """Returns the stack of some trials; None for a single one, which has a time of its own."""
        names = sorted((case.id, seed) for case, seed in trials)
        if len(names) < 2:  # noqa: PLR2004 - a stack of one is none
            return None
        name = hashlib.blake2b(json.dumps(names).encode(), digest_size=4).hexdigest()
        return cls(name=name, cases=len({case for case, _ in names}), trials=len(names))

    def __str__(self) -> str:
        """Describes it: `1f0c92aa (3 cases, 6 trials)`."""
        return f"{self.name} ({counted(self.cases, 'case')}, {self.trials} trials)"


class TrialResult(Frozen):
    """One case with one seed.

    Attributes:
        seed: The seed.
        status: `diverged` if a loss of training, or a figure of the test, was not finite; that epoch is the last.
        epochs: Epochs in their order.
        setup_seconds: Time to build model, optimizer and engine, and to warm up; not part of any epoch.
        checkpoint: File of the weights, relative to the run folder.
        stack: Trials that it was trained together with; None if it was trained by itself.
        ended: Reason why a completed trial ended.
        state_bytes: Bytes of the state of its optimizer at the end; None if it was not counted.
    """

    seed: int
    status: Status
    epochs: tuple[EpochResult, ...]
    setup_seconds: float = 0.0
    checkpoint: str | None = Field(default=None, pattern=r"^checkpoints/[^/\\\x00]+$")
    stack: Stack | None = None
    ended: Ended = "budget"
    state_bytes: int | None = Field(default=None, ge=0)


class CostSeconds(Frozen):
    """Medians over some plain steps of a trial that was made for nothing else; benchmnist/training/costs.py.

    Attributes:
        forward: Seconds of the forward passes and the loss of a step.
        backward: Seconds of its backward passes.
        update: Seconds of the `step()` of the optimizer, without the passes that it asks for.
        passes: Mean number of passes of a step.
        steps: Number of steps.
    """

    forward: float
    backward: float
    update: float
    passes: float
    steps: int


class Costs(Frozen):
    """Costs of an optimizer on a case, besides the bytes of its state.

    Attributes:
        passes: Forward and backward passes of a step; None if they vary and were not counted.
        fused: Whether its update was made by one kernel.
        may_fuse: Whether it can be, on that type of device.
        may_capture: Whether its step may be captured or recorded.
        may_stack: Whether its trials may be stacked.
        seconds: Times of its steps; None if they were not measured.
    """

    passes: float | None
    fused: bool
    may_fuse: bool
    may_capture: bool
    may_stack: bool
    seconds: CostSeconds | None = None


@dataclass
class MeasuredEpoch:
    """An epoch that was trained and timed in another process or run."""

    seed: int
    result: EpochResult | None

    @property
    def seconds(self) -> float:
        """Training time, by the clock of the process that trained it."""
        return self.result.seconds if self.result else 0.0

    def run(self) -> None:
        """Does nothing: the epoch is trained."""


MEASURED_CHANGES = frozenset({"onednn", "recorded"})
"""Changes for speed that a worker adopts if it measures them to be faster: another one may decide otherwise."""


def measured_change(remark: str) -> str:
    """Returns the change of MEASURED_CHANGES that a remark is about; empty if it is about none."""
    change = remark.partition(": ")[0]
    return change if change in MEASURED_CHANGES else ""


class CaseResult(Frozen):
    """One case with all of its seeds.

    Attributes:
        schema_version: SCHEMA of the version that wrote it.
        case: The case.
        key: Hash of everything that decides the result; empty after a plain pytest run.
        status: Worst status of its trials.
        trials: One trial per seed, in order; fewer if it failed or was interrupted.
        engine: Engine that executed it.
        remarks: Its changes for speed (`channels_last`, `onednn`, `recorded`), and reasons for refused ones.
        train_size: Examples per epoch.
        steps: Steps per epoch.
        parameters: Trainable parameters of the model.
        precision: Precision of matrix products, if the case sets it; else the type of the weights.
        peak_memory: Bytes: on a GPU, the maximum that torch allocated for the case, without the dataset, which all
            cases share; else the maximum resident memory of the training process so far.
        side_by_side: Number of trials that the executor trained at the same time, each in its own process; they
            slow each other down, so times are comparable only with times measured likewise.
        environment: Machine, versions and flags of its training.
        misses: Missed expectations of the suite, in words.
        error: Traceback of its failure; or the end of its process, with the last output.
        reused_from: Earlier run that it was taken from, `suite/run`; None if this run trained it.
        started: UTC, ISO 8601.
        wall_seconds: Time in which at least one of its trials was in training, with everything included.
        costs: What its optimizer costs; None if it was not trained to its end.
    """

    schema_version: int = SCHEMA
    case: Case
    key: str = ""
    status: Status
    trials: tuple[TrialResult, ...] = ()
    engine: str = ""
    remarks: tuple[ForeignText, ...] = ()
    train_size: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0)
    parameters: int = Field(default=0, ge=0)
    precision: str = ""
    peak_memory: int = 0
    side_by_side: int = Field(default=1, ge=1)
    environment: dict[str, Any] = Field(default_factory=dict)
    misses: tuple[str, ...] = ()
    error: ForeignText | None = None
    reused_from: str | None = None
    started: str = ""
    wall_seconds: float = 0.0
    costs: Costs | None = None

    @cached_property
    def calculated(self) -> dict[str, Any]:
        """Figures that were calculated from it, and are kept, since it does not change."""
        return {}

    def __copy__(self) -> Self:
        """Copies it without what was calculated: `model_copy` may change something."""
        copied = super().__copy__()
        copied.__dict__.pop("calculated", None)
        return copied

    @property
    def optimizer_state_bytes(self) -> int | None:
        """Bytes of the state of the optimizer at the end of a trial, the largest of its seeds."""
        return max((trial.state_bytes for trial in self.trials if trial.state_bytes is not None), default=None)

    @property
    def cost_seconds(self) -> CostSeconds | None:
        """Times of the parts of a step; None if they were not measured."""
        return None if self.costs is None else self.costs.seconds

    @property
    def forward_seconds(self) -> float | None:
        """Median time of the forward passes of a step."""
        return None if self.cost_seconds is None else self.cost_seconds.forward

    @property
    def backward_seconds(self) -> float | None:
        """Median time of the backward passes of a step."""
        return None if self.cost_seconds is None else self.cost_seconds.backward

    @property
    def update_seconds(self) -> float | None:
        """Median time of the update of a step."""
        return None if self.cost_seconds is None else self.cost_seconds.update

    @property
    def failed(self) -> bool:
        """Tells whether it failed, crashed or timed out."""
        return self.status in FAILURES

    @property
    def measured_changes(self) -> tuple[str, ...]:
        """The remarks on changes of MEASURED_CHANGES: `onednn`, or `onednn: 2 of 3 seeds`."""
        return tuple(filter(measured_change, self.remarks))

    @property
    def ended_seeds(self) -> frozenset[int]:
        """The seeds whose training has ended, also by a failure: after it, no other seed was trained."""
        ended = {trial.seed for trial in self.trials if trial.status != "interrupted"}
        never_begun = {*self.case.seeds} - {trial.seed for trial in self.trials} if self.failed else set()
        return frozenset(ended | never_begun)

    @property
    def has_epochs(self) -> bool:
        """Tells whether any of its epochs ended, so that it can be drawn."""
        return any(trial.epochs for trial in self.trials)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The stacks that its trials were trained in."""
        return tuple(dict.fromkeys(trial.stack for trial in self.trials if trial.stack is not None))

    @property
    def shares_times(self) -> bool:
        """Tells whether the times of its trials are shares of those of a stack, in which is nothing to compare.

        Earlier versions did not record the stacks.
        """
        return bool(self.stacks) or (self.engine == "stacked" and len(self.trials) > 1)

    @property
    def id(self) -> str:
        """Id of the case."""
        return self.case.id


def _moment(text: str) -> str:
    """Returns a moment as it is.

    Raises:
        ValueError: if it is none, or has no time zone.
    """
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no time zone")
    return text


Moment = Annotated[str, AfterValidator(_moment)]
"""UTC, ISO 8601."""


class RunRecord(Frozen):
    """Content of run.json: the run without the results of its cases.

    Attributes:
        schema_version: SCHEMA of the version that wrote it.
        benchmnist: Version of BenchMNIST that wrote it.
        hook_api: Version of the hooks with which plugins were called.
        suite: Name of the suite.
        title: Title of the suite.
        suite_file: File of the suite.
        suite_text: Text of the suite, as read.
        plan: Cases in their order.
        options: Options of the run besides the suite: device, executor and others.
        notes: Notes on the run: undone side effects of plugins, workers that shared a GPU.
        models: Layers of the models of the plan, on their datasets.
        data: Hash of the contents of each dataset, by its label; none in runs that did not record it.
        searches: Searches of `benchmnist tune` for the hyperparameters of the optimizers.
        looks: The looks that the run announced; None if it has one number of seeds. `plan` has the seeds of the
            look that was begun last.
        announced: Number of looks at a growing number of searches, of which this run is one; 1 without them.
        recorded: Whether the folder has a packed run with results of others, which ladders show beside its own.
        curves: Whether the results have all their evaluations; a packed run may have left them out.
        status: `running` until it ends; a run with this status and no process was killed.
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
    data: dict[str, str] = Field(default_factory=dict)
    searches: tuple[Search, ...] = ()
    looks: Looks | None = None
    announced: int = Field(default=1, ge=1)
    recorded: bool = False
    curves: bool = True
    status: Literal["running", "completed", "failed", "interrupted"] = "running"
    started: Moment
    ended: Moment | None = None

    @field_validator("plan")
    @classmethod
    def _one_file_each(cls, plan: tuple[Case, ...]) -> tuple[Case, ...]:
        if twice := [stem for stem, times in Counter(case.file_stem for case in plan).items() if times > 1]:
            raise ValueError(f"two cases have the file {twice[0]}.json")
        return plan

    @property
    def order(self) -> Literal["suite", "interleaved"]:
        """Order of the trials: case by case, or seed by seed. Earlier versions did not write the first of them."""
        return "interleaved" if self.options.get("order") == "interleaved" else "suite"

    @property
    def number_of_looks(self) -> int:
        """Number of looks that share the chance of a wrong verdict; 1 if the run has one number of seeds."""
        return self.looks.number if self.looks else self.announced


class RunResult(Frozen):
    """A complete run: its folder, its record and the results of the ended cases."""

    path: Path
    record: RunRecord
    cases: tuple[CaseResult, ...]

    def __getitem__(self, case_id: str) -> CaseResult:
        """Returns the result of a case by its id.

        Raises:
            KeyError: if no such case has ended; lists the ended ones.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(f"{case_id!r}; known cases: {', '.join(case.id for case in self.cases)}")


def now() -> str:
    """Returns the current time in UTC, as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def worst(statuses: Iterable[Status]) -> Status:
    """Returns the worst status: failed, crashed, timed out, interrupted, diverged, completed."""
    order: tuple[Status, ...] = ("failed", "crashed", "timed out", "interrupted", "diverged", "completed")
    return min(statuses, key=order.index, default="completed")
