"""The training loop. Read `train_case`, then `train_trial`: that is all there is.

It knows nothing of pytest, prints nothing and writes no files. Each epoch's training is yielded to the caller
as an Epoch, to be run under whatever clock and progress display the caller has.
"""

from __future__ import annotations

import copy
import time
import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from benchmnist.guard import contained
from benchmnist.results import CaseResult, EpochResult, TrialResult, now, worst
from benchmnist.training.clock import Clock, synchronise
from benchmnist.training.data import epoch_order, seed_for, to_unit
from benchmnist.training.engines import find_engine
from benchmnist.training.environment import environment, peak_memory, reset_peak_memory
from benchmnist.training.reference import Reference
from benchmnist.training.trial import build_trial, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from torch import Tensor

    from benchmnist.cases import Case
    from benchmnist.plugins import Registry
    from benchmnist.results import Status
    from benchmnist.specs import Dataset
    from benchmnist.training.engines import Engine
    from benchmnist.training.trial import Trial

    Keep = Callable[[int, dict[str, Tensor]], str | None]

STEP_INTERVAL = 100  # the notebook prints the loss of every hundredth step
EVALUATION_BATCH = 1000  # in eval() mode the size of a batch changes nothing but the speed


class Epoch:
    """One epoch, waiting to be trained: `run` is the timed region.

    Attributes:
        seed: Of the trial.
        number: Counted from 1.
        seconds: How long `run` took, by the clock that waits for the device.
        result: Once the generator that yielded it has been resumed: what came of it.
    """

    def __init__(self, seed: int, number: int, train: Callable[[], Tensor], clock: Clock) -> None:
        self.seed, self.number = seed, number
        self.seconds = 0.0
        self.result: EpochResult | None = None
        self._train, self._clock = train, clock
        self._losses: Tensor | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Trains. An exception is kept for `losses`, so that the loop, not its caller, deals with it."""
        start = self._clock()
        try:
            self._losses = self._train()
        except Exception as error:  # noqa: BLE001 - it is raised again by `losses`
            self._error = error
        self.seconds = self._clock() - start

    def losses(self) -> Tensor:
        """The loss of each step, [steps], float64, on the CPU.

        Raises:
            Exception: whatever the training raised.
        """
        if self._error is not None:
            raise self._error
        if self._losses is None:
            raise RuntimeError("the epoch was not run before the next was asked for")
        return self._losses.cpu().double()


@dataclass(frozen=True)
class Setting:
    """What all trials of a case share."""

    case: Case
    registry: Registry
    dataset: Dataset
    device: torch.device
    keep: Keep | None = None


def train_case(setting: Setting) -> Generator[Epoch, None, CaseResult]:
    """Trains a case with each of its seeds in turn.

    Yields each epoch, which the caller has to `run` before it asks for the next; returns the result.
    An exception in a model, an optimizer or an engine ends the case as `failed`, with its traceback.
    """
    case, dataset, device = setting.case, setting.dataset, setting.device
    started, start = now(), time.perf_counter()
    trials: list[TrialResult] = []
    engine_name, parameters, precision, error = "", 0, "", None
    reset_peak_memory(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            engine = find_engine(case.engine)(dataset, device, case.batch_size)
            engine_name = engine.name
            parameters, precision = _warm_up(setting, engine)
            for seed in case.seeds:
                yield from train_trial(setting, engine, seed, trials)
        except Exception:  # noqa: BLE001 - a plugin's model or optimizer may raise anything
            error = traceback.format_exc()
    return CaseResult(
        case=case,
        status="failed" if error else worst(trial.status for trial in trials),
        trials=tuple(trials),
        engine=engine_name,
        train_size=len(dataset.train_images),
        steps=steps_per_epoch(case, dataset),
        parameters=parameters,
        precision=precision,
        peak_memory=peak_memory(device),
        environment=environment(device),
        error=error,
        started=started,
        wall_seconds=time.perf_counter() - start,
    )


def train_trial(
    setting: Setting, engine: Engine, seed: int, trials: list[TrialResult]
) -> Generator[Epoch, None, None]:
    """Trains a case with one seed, and adds what came of it to `trials`, however it ends."""
    case, dataset, device = setting.case, setting.dataset, setting.device
    epochs: list[EpochResult] = []
    status: Status = "failed"
    setup_seconds, checkpoint = 0.0, None
    clock = Clock(device)
    start = clock()
    reference = Reference(device) if case.reference else None
    try:
        with contained():
            trial = build_trial(case, seed, setting.registry, dataset, device, fused=engine.fused)
        test_images, test_labels = to_unit(dataset.test_images, device), dataset.test_labels.to(device)
        setup_seconds = clock() - start
        for number in range(1, case.epochs + 1):
            torch.manual_seed(seed_for("noise", seed, number))  # dropout: the same on every engine
            trial.train()
            epoch = Epoch(seed, number, partial(_train_epoch, engine, trial, dataset, seed, number), clock)
            learning_rate = trial.learning_rate
            before = reference() if reference else 0.0
            yield epoch

            after = reference() if reference else 0.0
            losses = epoch.losses()
            result = EpochResult(
                epoch=number,
                seconds=epoch.seconds,
                train_loss=losses.mean().item(),
                learning_rate=learning_rate,
                step_losses=_every_hundredth(losses),
                reference_seconds=(before + after) / 2 if reference else None,
            )
            if losses.isfinite().all():
                loss, accuracy = evaluate(trial, test_images, test_labels, case)
                result = result.model_copy(update={"test_loss": loss, "test_accuracy": accuracy})
            epochs.append(result)
            epoch.result = result
            if result.test_loss is None:
                break
        if setting.keep is not None:
            checkpoint = setting.keep(seed, trial.model.state_dict())
        status = "completed" if result.test_loss is not None else "diverged"
    finally:
        trials.append(
            TrialResult(
                seed=seed,
                status=status,
                epochs=tuple(epochs),
                setup_seconds=setup_seconds,
                checkpoint=checkpoint,
            )
        )


def _train_epoch(engine: Engine, trial: Trial, dataset: Dataset, seed: int, number: int) -> Tensor:
    """What is timed."""
    return engine.train_epoch(trial, epoch_order(len(dataset.train_images), seed, number))


def _warm_up(setting: Setting, engine: Engine) -> tuple[int, str]:
    """One step of a trial that is then thrown away: what a device does only once is not timed.

    Returns the number of trainable parameters, and their type.
    """
    case = setting.case
    with contained():
        trial = build_trial(
            case, case.seeds[0], setting.registry, setting.dataset, setting.device, fused=engine.fused
        )
    trial.train()
    engine.train_epoch(trial, epoch_order(min(case.batch_size, len(setting.dataset.train_images)), 0, 0))
    synchronise(setting.device)
    weights = [p for p in trial.model.parameters() if p.requires_grad]
    types = {str(p.dtype).removeprefix("torch.") for p in weights}
    return sum(p.numel() for p in weights), " and ".join(sorted(types))


def evaluate(trial: Trial, images: Tensor, labels: Tensor, case: Case) -> tuple[float, float]:
    """Tests a model, and leaves it as it was. Returns the mean cross-entropy and the accuracy in %.

    `images` are float32 [N, C, H, W] on the device, `labels` int64 [N].
    """
    trial.eval()
    model, batch_size = trial.model, EVALUATION_BATCH
    if case.evaluate_in == "train":
        # A copy: in train() mode the test images would move the running statistics of batch normalisation.
        model, batch_size = copy.deepcopy(trial.model).train(), case.batch_size
    loss = correct = 0.0
    with torch.no_grad():
        for batch, answers in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(batch)
            loss += functional.cross_entropy(logits, answers, reduction="sum").item()
            correct += (logits.argmax(dim=1) == answers).sum().item()
    return loss / len(labels), 100 * correct / len(labels)


def _every_hundredth(losses: Tensor) -> tuple[tuple[int, float], ...]:
    """(step, loss) of every hundredth step and of the last, the steps counted from 1."""
    steps = sorted({*range(STEP_INTERVAL, len(losses) + 1, STEP_INTERVAL), len(losses)})
    return tuple((step, losses[step - 1].item()) for step in steps)
