"""The training loop. Read `train_case`, then `train_trial`: that is all there is.

It knows nothing of pytest, prints nothing and writes no files. Each epoch's training is yielded to the caller
as a PendingEpoch, to be run under whatever clock and progress display the caller has.
"""

from __future__ import annotations

import copy
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import CaptureError, TrialError, formatted_traceback
from benchmnist.extensions.isolation import not_exiting, put_back
from benchmnist.runs.results import CaseResult, EpochResult, Stack, TrialResult, now, worst
from benchmnist.suites.bundles import Bundle
from benchmnist.tasks import require_scalar
from benchmnist.training import random_numbers
from benchmnist.training.clock import Clock
from benchmnist.training.engines import seconds_of
from benchmnist.training.environment import environment
from benchmnist.training.fast_paths import find_fast_path
from benchmnist.training.precision import precision_of
from benchmnist.training.reference import Reference
from benchmnist.training.trial import steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from torch import Tensor

    from benchmnist.runs.results import Status
    from benchmnist.suites.cases import Case
    from benchmnist.training.fast_paths import FastPath, Setting
    from benchmnist.training.trial import Trial

    Keep = Callable[[int, Callable[[], Mapping[str, Any]]], str | None]

STEP_INTERVAL = 100  # the notebook prints the loss of every hundredth step
# In eval() mode the size of a batch changes nothing but the speed: a CPU wants what fits its caches.
EVALUATION_BATCH, EVALUATION_BATCH_CPU = 1000, 100


class _Training:
    """The training of one epoch, of one seed or of several that are stacked: what is timed."""

    def __init__(self, setting: Setting, way: FastPath, trial: Trial, number: int, clock: Clock) -> None:
        self.way, self.trial, self.number, self.clock = way, trial, number, clock
        self.order = way.engine.move(trial.order(len(setting.dataset.train_images), number))
        self.seconds = 0.0
        self._losses: Tensor | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Trains. An exception is kept for `losses`, so that the loop, not its caller, deals with it.

        On a GPU an error may come to light only where the clock waits for it.
        """
        try:
            start = self.clock()
            with not_exiting():
                self._losses = self.way.engine.train_epoch(self.trial, self.order)
            self.seconds = seconds_of(self.way.engine, self.clock() - start, self._losses.shape[-1])
            if not 0 <= self.seconds < math.inf:
                raise TrialError(f"the clock measured {self.seconds} s; the case must have changed it")
        except Exception as error:  # noqa: BLE001 - it is raised again by `losses`
            self._error = error

    def losses(self) -> Tensor:
        """The loss of each step, [seeds, steps], float64, on the CPU.

        Raises:
            Exception: whatever the training raised.
        """
        if self._error is not None:
            raise self._error
        if self._losses is None:
            raise RuntimeError("the epoch was not run before the next was asked for")
        return self._losses.cpu().double().view(len(self.trial.seeds), -1)


class PendingEpoch:
    """One epoch, waiting to be trained: `run` is the timed region.

    Attributes:
        seed: Of the trial.
        number: Counted from 1.
        result: Once the generator that yielded it has been resumed: what came of it.
    """

    def __init__(self, training: _Training, seed: int, index: int, *, trains: bool) -> None:
        self.seed, self.number = seed, training.number
        self.result: EpochResult | None = None
        self._training, self._index, self._trains = training, index, trains

    @property
    def seconds(self) -> float:
        """Seconds that `run` took, by the clock that waits for the device; an equal share if seeds are stacked."""
        return self._training.seconds / len(self._training.trial.seeds)

    def run(self) -> None:
        """Trains; where seeds are stacked, the first of them trains all."""
        if self._trains:
            self._training.run()

    def losses(self) -> Tensor:
        """The loss of each step, [steps]; see _Training."""
        return self._training.losses()[self._index]


def train_case(setting: Setting, keep: Keep | None = None) -> Generator[PendingEpoch, None, CaseResult]:
    """Trains a case with each of its seeds in turn.

    Yields each epoch, which the caller has to `run` before it asks for the next; returns the result.
    An exception in a model, an optimizer or an engine ends the case as `failed`, with its traceback.
    `keep` is given the seed of each trial that ends, with a function that returns its `state_dict`.

    Raises:
        CaptureError: if a step could not be captured, and that was not noticed before: the case has to be trained
            again without graphs, and in another process.
    """
    case, session, data = setting.case, setting.session, setting.session.data(setting.dataset)
    started, start = now(), time.perf_counter()
    trials: list[TrialResult] = []
    found: dict[str, Any] = {}
    way, error, memory, changed = None, None, 0, list[str]()
    try:
        with (
            session.current(),
            random_numbers.put_back_afterwards(session.device),
            precision_of(case.precision, session.device),
            put_back() as changed,
        ):
            found = environment(session.device)  # within, so that the flags are those that it is trained with
            with not_exiting():
                way = find_fast_path(setting)
            trained, error = _trained_together(case, way)
            _ = data.test  # as the reference's, its memory is not the case's
            reference = Reference(session) if case.reference else None
            session.measure_memory()
            try:
                for seeds in trained:
                    ended, error = yield from train_trial(setting, way, seeds, keep=keep, reference=reference)
                    trials += ended
                    if error:
                        break
            finally:
                memory = session.peak_memory()
    except CaptureError:
        raise
    except Exception as problem:  # noqa: BLE001 - a plugin's model or optimizer may raise anything
        error = error or formatted_traceback(problem)  # of what came first, if the device is broken since
    return CaseResult(
        case=case,
        status="failed" if error else worst(trial.status for trial in trials),
        trials=tuple(trials),
        engine=way.name if way else "",
        remarks=(
            *(way.remarks if way else ()),
            *(f"it changed torch's {each}, which was put back after the case" for each in changed),
        ),
        train_size=len(setting.dataset.train_images),
        steps=steps_per_epoch(case, setting.dataset),
        parameters=way.parameters if way else 0,
        precision=case.precision if case.precision != "float32" or not way else way.types,
        peak_memory=memory,
        environment=found,
        error=error,
        started=started,
        wall_seconds=time.perf_counter() - start,
    )


def _trained_together(case: Case, way: FastPath) -> tuple[Sequence[tuple[int, ...]], str | None]:
    """Returns the seeds of each trial or stack, or the reason why there are none.

    The cases of a bundle that cannot be stacked are trained by themselves, side by side: who sent it sends them.
    """
    if isinstance(case, Bundle) and not way.stacked:
        return [], next(remark for remark in way.remarks if remark.startswith("not stacked"))
    return way.groups(case.seeds), None


def train_trial(
    setting: Setting,
    way: FastPath,
    seeds: tuple[int, ...],
    *,
    keep: Keep | None,
    reference: Reference | None,
) -> Generator[PendingEpoch, None, tuple[list[TrialResult], str | None]]:
    """Trains a case with one seed, or with several that are stacked.

    Yields each epoch, to be `run`; returns the result of each seed, and the traceback if training raised.

    Raises:
        CaptureError: as `train_case`.
    """
    case, device = setting.case, setting.device
    epochs: dict[int, list[EpochResult]] = {seed: [] for seed in seeds}
    statuses: dict[int, Status] = dict.fromkeys(seeds, "failed")
    checkpoints: dict[int, str | None] = {}
    setup_seconds, error = 0.0, None
    clock = Clock(device)
    start = clock()
    try:
        trial = way.trial(setting, seeds)
        test_images, test_labels = setting.session.data(setting.dataset).test
        setup_seconds = clock() - start
        for number in range(1, case.epochs + 1):
            with not_exiting():
                trial.begin(number)
            rates = [trial.learning_rate_of(index) for index in range(len(seeds))]
            training = _Training(setting, way, trial, number, clock)
            before = reference() if reference else 0.0
            alive = [index for index, seed in enumerate(seeds) if statuses[seed] != "diverged"]
            for index in alive:
                seed = seeds[index]
                epoch = PendingEpoch(training, seed, index, trains=index == alive[0])
                yield epoch

                after = reference() if reference else 0.0
                losses = epoch.losses()
                result = EpochResult(
                    epoch=number,
                    seconds=epoch.seconds,
                    train_loss=losses.mean().item(),
                    learning_rate=rates[index],
                    step_losses=_every_hundredth(losses),
                    reference_seconds=(before + after) / 2 if reference else None,
                )
                metrics: dict[str, float] | None = None
                if losses.isfinite().all():
                    with not_exiting():
                        metrics = evaluate(trial.alone(index), test_images, test_labels, case)
                if metrics is not None and _are_finite(metrics, case):
                    result = result.model_copy(update={"metrics": metrics})
                else:
                    statuses[seed] = "diverged"
                epochs[seed].append(result)
                epoch.result = result
            if all(status == "diverged" for status in statuses.values()):
                break
        for index, seed in enumerate(seeds):
            if keep is not None:
                checkpoints[seed] = keep(seed, partial(_weights, trial, index))
            statuses[seed] = "diverged" if statuses[seed] == "diverged" else "completed"
    except CaptureError:
        raise
    except Exception as problem:  # noqa: BLE001 - a plugin's model or optimizer may raise anything
        error = formatted_traceback(problem)
    finally:
        way.engine.release()
    stack = Stack.of(map(case.row, seeds))
    results = [
        TrialResult(
            seed=seed,
            status=statuses[seed],
            epochs=tuple(epochs[seed]),
            setup_seconds=setup_seconds,
            checkpoint=checkpoints.get(seed),
            stack=stack,
        )
        for seed in seeds
    ]
    return results, error


def _weights(trial: Trial, index: int) -> Mapping[str, Any]:
    return trial.alone(index).model.state_dict()


def evaluate(trial: Trial, images: Tensor, labels: Tensor, case: Case) -> dict[str, float]:
    """Tests a model, and leaves it as it was. Returns figures by the `field` of their benchmnist.metrics.Metric.

    `images` are float32 [N, C, H, W] on the device, `labels` [N, …] as the task has them.

    Raises:
        TrialError: if the task does not evaluate what it promised.
    """
    trial.eval()
    model, batch_size = trial.model, EVALUATION_BATCH_CPU if images.device.type == "cpu" else EVALUATION_BATCH
    if case.evaluate_in == "train":
        # A copy: in train() mode the test images would move the running statistics of batch normalisation.
        model, batch_size = copy.deepcopy(trial.model), case.batch_size
        model.train()  # which need not return the model
    sums: dict[str, list[Tensor]] = {}  # on the device until the last: a GPU is not waited for after every batch
    with torch.no_grad(), trial.products():
        for batch, answers in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(batch.clone())  # the images are everybody's: a model may change what it is given
            for name, value in trial.task.evaluate(logits, answers.clone()).items():  # as the images
                scalar = require_scalar(value, f"the metric {name!r}", "the sum over the batch")
                sums.setdefault(name, []).append(scalar)
    if lost := {metric.field for metric in case.evaluates} - {*sums}:
        raise TrialError(f"the evaluation of the task has no {' and no '.join(sorted(lost))}")
    return {name: torch.stack(each).cpu().double().sum().item() / len(labels) for name, each in sums.items()}


def _are_finite(metrics: Mapping[str, float], case: Case) -> bool:
    """Tells whether the task's own figures of a test are finite: the last step may have broken the weights.

    Those of metrics that a suite lists beside them may be undefined, such as a precision without a positive.
    """
    beside = {each.name for each in case.metrics}
    return all(math.isfinite(value) for name, value in metrics.items() if name not in beside)


def _every_hundredth(losses: Tensor) -> tuple[tuple[int, float], ...]:
    """(step, loss) of every hundredth step and of the last, the steps counted from 1."""
    steps = sorted({*range(STEP_INTERVAL, len(losses) + 1, STEP_INTERVAL), len(losses)})
    return tuple((step, losses[step - 1].item()) for step in steps)
