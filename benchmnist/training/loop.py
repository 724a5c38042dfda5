"""The training loop. Read `train_case`, then `train_trial`: that is all there is.

It knows nothing of pytest, prints nothing and writes no files. Each epoch's training is yielded to the caller
as a PendingEpoch, to be run under whatever clock and progress display the caller has.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import CaptureError, TrialError, formatted_traceback
from benchmnist.extensions.isolation import not_exiting, put_back
from benchmnist.runs.results import CaseResult, EpochResult, Evaluation, Stack, TrialResult, now, worst
from benchmnist.suites.budgets import Ending, evaluation_steps, passes
from benchmnist.suites.bundles import Bundle
from benchmnist.tasks import require_scalar
from benchmnist.training import random_numbers
from benchmnist.training.clock import Clock
from benchmnist.training.costs import costs_of
from benchmnist.training.dynamics import dynamics_of
from benchmnist.training.engines import seconds_of
from benchmnist.training.environment import environment
from benchmnist.training.fast_paths import find_fast_path
from benchmnist.training.precision import precision_of
from benchmnist.training.reference import Reference
from benchmnist.training.trial import steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from torch import Tensor

    from benchmnist.runs.results import Dynamics, Status
    from benchmnist.suites.budgets import Ended
    from benchmnist.suites.cases import Case
    from benchmnist.training.fast_paths import FastPath, Setting
    from benchmnist.training.telling import Telling
    from benchmnist.training.trial import Trial

    Keep = Callable[[int, Callable[[], Mapping[str, Any]]], str | None]
    _Keeps = Callable[["_Row"], None]

STEP_INTERVAL = 100  # the notebook prints the loss of every hundredth step
# In eval() mode the size of a batch changes nothing but the speed: a CPU wants what fits its caches.
EVALUATION_BATCH, EVALUATION_BATCH_CPU = 1000, 100


class _Row:
    """The course of one trial, alone or in a stack.

    Attributes:
        seed, index: Its seed, and its place in the stack.
        epochs: Results of its ended epochs.
        status: How it has ended; None while it goes on.
        ended: Why it has ended, if it is completed.
        parts: Parts of the epoch under way after which it ended; None if it has not.
        evaluations: Evaluations of the epoch under way.
        state_bytes: See TrialResult.
        dynamics: Norms by layer of the epoch under way.
    """

    def __init__(self, case: Case, seed: int, index: int) -> None:
        self.case, self.seed, self.index = case, seed, index
        self.epochs: list[EpochResult] = []
        self.status: Status | None = None
        self.ended: Ended = "budget"
        self.parts: int | None = None
        self.state_bytes: int | None = None
        self.dynamics: list[Dynamics] = []
        self.evaluations: list[Evaluation] = []
        self._ending = Ending(case)
        self._before = 0.0  # seconds of the epochs before

    def evaluate(self, test: Callable[[], dict[str, float]], *, step: int, seconds: float, losses: Tensor) -> bool:
        """Evaluates the trial, unless it has diverged, and tells whether it goes on.

        Args:
            test: Returns its figures on the test set.
            step: Steps of the trial so far.
            seconds: Seconds of training in the epoch so far.
            losses: Losses of the steps since the evaluation before, [steps], on the CPU.
        """
        seconds += self._before
        metrics: dict[str, float] | None = None
        if losses.isfinite().all():
            with not_exiting():
                metrics = test()
        if metrics is None or not _are_finite(metrics, self.case):
            self.status = "diverged"
            return False
        loss = losses.mean().item()
        self.evaluations.append(Evaluation(step=step, seconds=seconds, train_loss=loss, metrics=metrics))
        if ended := self._ending.after(seconds, metrics):
            self.status, self.ended = "completed", ended
        return self.status is None

    def end_epoch(self, result: EpochResult) -> EpochResult:
        """Ends the epoch under way, and returns its result with its evaluations."""
        changed: dict[str, Any] = {}
        if self.evaluations and self.status != "diverged":
            changed["metrics"] = self.evaluations[-1].metrics
        if self.case.evaluate_every is not None:
            changed["evaluations"] = tuple(self.evaluations)
        if self.dynamics:
            changed["dynamics"] = tuple(self.dynamics)
        result = result.model_copy(update=changed)
        self._before += result.seconds
        self.epochs.append(result)
        self.evaluations, self.dynamics = [], []
        return result


class _Training:
    """The training of one epoch, of one seed or of several that are stacked: what is timed.

    Between its parts the rows are evaluated; after the last, that is left to the loop.

    Attributes:
        stops: Steps of the trial at the ends of its parts.
        last_whole: The last part with a whole batch.
    """

    def __init__(
        self,
        setting: Setting,
        way: FastPath,
        trial: Trial,
        number: int,
        *,
        clock: Clock,
        rows: Sequence[_Row],
        keep: _Keeps,
        telling: Telling | None,
    ) -> None:
        self.way, self.trial, self.number, self.clock, self.keep = way, trial, number, clock, keep
        self.rows, self.test, self.telling = rows, setting.session.data(setting.dataset).test, telling
        case, self.per_epoch = setting.case, steps_per_epoch(setting.case, setting.dataset)
        start = (number - 1) * self.per_epoch
        self.stops = evaluation_steps(case, number, self.per_epoch)
        order = way.engine.move(trial.order(len(setting.dataset.train_images), number))
        bounds = [(stop - start) * case.batch_size for stop in (start, *self.stops)]
        self.orders = [order[..., low:high] for low, high in itertools.pairwise(bounds)]
        sizes = [order.shape[-1] for order in self.orders]
        self.last_whole = max((part for part, size in enumerate(sizes, 1) if size >= case.batch_size), default=0)
        self.setting, self.dynamics = setting, dict[int, "list[Dynamics]"]()
        self.seconds: list[float] = []  # of each part
        self._losses: list[Tensor] = []  # of each part
        self._together: dict[int, list[dict[str, float]] | None] = {}  # figures of the rows after the last part
        self._error: Exception | None = None

    def run(self) -> None:
        """Trains. An exception is kept for `losses`, so that the loop, not its caller, deals with it.

        On a GPU an error may come to light only where the clock waits for it.
        """
        if self.telling is not None:
            self.telling.begin()
        try:
            for number, order in enumerate(self.orders, 1):
                self.way.engine.goes_on = number < self.last_whole
                self._train(order)
                if number < len(self.orders) and not self._goes_on(number):
                    break
        except Exception as error:  # noqa: BLE001 - it is raised again by `losses`
            self._error = error

    def _train(self, order: Tensor) -> None:
        """Trains a part."""
        start = self.clock()
        with not_exiting():
            losses = self.way.engine.train_epoch(self.trial, order)
        seconds = seconds_of(self.way.engine, self.clock() - start, losses.shape[-1])
        if not 0 <= seconds < math.inf:
            raise TrialError(f"the clock measured {seconds} s; the case must have changed it")
        self.seconds.append(seconds)
        self._losses.append(losses)

    def _goes_on(self, part: int) -> bool:
        """Evaluates the rows after a part that is not the last, and tells whether any of them goes on."""
        self._dynamics(self.stops[part - 1])  # before the trial is made ready to be tested
        resume = self.trial.pause()
        evaluated = [row for row in self.rows if row.status is None]
        for row in evaluated:
            self._evaluate(row, part)
        if self.telling is not None:
            self.telling.add((row.seed, row.evaluations[-1]) for row in evaluated if row.status != "diverged")
        going = {row.index for row in self.rows if row.status is None}
        if going:
            self.trial.leave({*range(len(self.trial.seeds))} - going)
        resume()
        if not going:
            with not_exiting():
                self.way.engine.check(self.trial)
        return bool(going)

    def _evaluate(self, row: _Row, part: int) -> None:
        """Evaluates a row after a part, and keeps its weights if it ends there."""
        step, losses = self.stops[part - 1], self._part(part)[row.index]
        row.dynamics += self._dynamics(step)[row.index : row.index + 1]
        test = partial(self._tested, row, part)
        if not row.evaluate(test, step=step, seconds=self.seconds_until(part), losses=losses):
            row.parts = part
            self.keep(row)

    def _tested(self, row: _Row, part: int) -> dict[str, float]:
        """Tests a row after a part; where the rows can be tested together, all of them when the first asks."""
        if part not in self._together:
            plain = row.case.evaluate_in == "eval"
            self._together = {part: self.trial.tested_together(*self.test) if plain else None}
        if (together := self._together[part]) is not None:
            return together[row.index]
        return evaluate(self.trial.alone(row.index), *self.test, row.case)

    def _dynamics(self, step: int) -> list[Dynamics]:
        """The norms of each row after that step, computed once; none if they were not asked for."""
        if not self.setting.case.dynamics:
            return []
        if step not in self.dynamics:
            batch = self.orders[0][..., : self.setting.case.batch_size]
            with not_exiting():
                self.dynamics[step] = dynamics_of(self.setting, self.trial, batch, step)
        return self.dynamics[step]

    def _part(self, part: int) -> Tensor:
        """The loss of each step of a part, counted from 1, [seeds, steps], float64, on the CPU."""
        losses = self._losses[part - 1].cpu().double()
        self._losses[part - 1] = losses  # every row asks for it
        return losses.view(len(self.trial.seeds), -1)

    def seconds_until(self, part: int | None) -> float:
        """Seconds that the parts up to that one took, or all; an equal share if seeds are stacked."""
        return sum(self.seconds[:part]) / len(self.trial.seeds)

    def end(self, row: _Row, learning_rate: float | None, reference_seconds: float | None) -> EpochResult:
        """Ends the epoch of a row: evaluates it, if it has not ended before. Returns the result.

        Raises:
            Exception: whatever the training raised.
        """
        parts = self.losses(row)
        losses, seconds = torch.cat(parts), self.seconds_until(row.parts)
        result = EpochResult(
            epoch=self.number,
            seconds=seconds,
            train_loss=losses.mean().item(),
            learning_rate=learning_rate,
            step_losses=_every_hundredth(losses),
            reference_seconds=reference_seconds,
            steps=None if len(losses) == self.per_epoch else len(losses),
        )
        if row.status is None:
            self._evaluate(row, len(parts))
        return row.end_epoch(result)

    def losses(self, row: _Row) -> list[Tensor]:
        """The loss of each step of each part that was trained of a row, [steps], float64, on the CPU.

        Raises:
            Exception: whatever the training raised.
        """
        if self._error is not None:
            raise self._error
        if not self._losses:
            raise RuntimeError("the epoch was not run before the next was asked for")
        return [self._part(part)[row.index] for part in range(1, (row.parts or len(self._losses)) + 1)]


class PendingEpoch:
    """One epoch, waiting to be trained: `run` trains, and may evaluate between two parts of the epoch.

    Attributes:
        seed: Of the trial.
        number: Counted from 1.
        result: Once the generator that yielded it has been resumed: what came of it.
    """

    def __init__(self, training: _Training, row: _Row, *, trains: bool) -> None:
        self.seed, self.number = row.seed, training.number
        self.result: EpochResult | None = None
        self._training, self._row, self._trains = training, row, trains

    @property
    def seconds(self) -> float:
        """Seconds that its training took, by the clock that waits for the device; a share if seeds are stacked."""
        return self._training.seconds_until(self._row.parts)

    def run(self) -> None:
        """Trains; where seeds are stacked, the first of them trains all."""
        if self._trains:
            self._training.run()


def train_case(
    setting: Setting, keep: Keep | None = None, telling: Telling | None = None
) -> Generator[PendingEpoch, None, CaseResult]:
    """Trains a case with each of its seeds in turn.

    Yields each epoch, which the caller has to `run` before it asks for the next; returns the result.
    An exception in a model, an optimizer or an engine ends the case as `failed`, with its traceback.
    `keep` is given the seed of each trial that ends, with a function that returns its `state_dict`; `telling` the
    evaluations within an epoch, as they happen.

    Raises:
        CaptureError: if a step could not be captured, and that was not noticed before: the case has to be trained
            again without graphs, and in another process.
    """
    case, session, data = setting.case, setting.session, setting.session.data(setting.dataset)
    started, start = now(), time.perf_counter()
    trials: list[TrialResult] = []
    found: dict[str, Any] = {}
    way, error, memory, changed, cost = None, None, 0, list[str](), None
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
                    ended, error = yield from train_trial(
                        setting, way, seeds, keep=keep, reference=reference, telling=telling
                    )
                    trials += ended
                    if error:
                        break
            finally:
                memory = session.peak_memory()
            if not error:
                with not_exiting():
                    cost = costs_of(setting, way, trials)
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
        costs=cost,
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
    telling: Telling | None = None,
) -> Generator[PendingEpoch, None, tuple[list[TrialResult], str | None]]:
    """Trains a case with one seed, or with several that are stacked.

    Yields each epoch, to be `run`; returns the result of each seed, and the traceback if training raised.

    Raises:
        CaptureError: as `train_case`.
    """
    case, device = setting.case, setting.device
    rows = [_Row(case, seed, index) for index, seed in enumerate(seeds)]
    checkpoints: dict[int, str | None] = {}
    setup_seconds, error = 0.0, None
    clock = Clock(device)
    start = clock()
    try:
        trial = way.trial(setting, seeds)
        _ = setting.session.data(setting.dataset).test
        setup_seconds = clock() - start
        per_epoch = steps_per_epoch(case, setting.dataset)

        def keep_row(row: _Row) -> None:
            """Keeps the weights of a row as it ends: in a stack, it may go on being trained."""
            if keep is not None:
                checkpoints[row.seed] = keep(row.seed, partial(_weights, trial, row.index))

        for number in range(1, passes(case, per_epoch) + 1):
            with not_exiting():
                trial.begin(number)
            rates = [trial.learning_rate_of(index) for index in range(len(seeds))]
            going = [row for row in rows if row.status is None]
            training = _Training(
                setting, way, trial, number, clock=clock, rows=going, keep=keep_row, telling=telling
            )
            before = reference() if reference else 0.0
            for row in going:
                epoch = PendingEpoch(training, row, trains=row is going[0])
                yield epoch

                after = reference() if reference else 0.0
                reference_seconds = (before + after) / 2 if reference else None
                epoch.result = training.end(row, rates[row.index], reference_seconds)
            if all(row.status is not None for row in rows):
                break
        for row in (row for row in rows if row.status is None):
            keep_row(row)
            row.status = "completed"
        for row in rows:
            row.state_bytes = trial.state_bytes_of(row.index)
    except CaptureError:
        raise
    except Exception as problem:  # noqa: BLE001 - a plugin's model or optimizer may raise anything
        error = formatted_traceback(problem)
    finally:
        way.engine.release()
    stack = Stack.of(map(case.row, seeds))
    results = [
        TrialResult(
            seed=row.seed,
            status=row.status or "failed",
            epochs=tuple(row.epochs),
            setup_seconds=setup_seconds,
            checkpoint=checkpoints.get(row.seed),
            stack=stack,
            ended=row.ended,
            state_bytes=row.state_bytes,
        )
        for row in rows
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
