"""The engine `resident` with a recorded step: one step of a trial is written down, and the others repeat it.

A repeated step executes the operations of the recorded one, in their order and with their numbers, so its results
have the same bits. It saves Python, autograd and the optimizer's code. Whatever a step decides on the host must
therefore be the same in all steps: this is examined when a step is recorded, and again at the end of every epoch,
also of one that is evaluated in between or not trained to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmnist.errors import CaptureError, first_line
from benchmnist.training.engines.host import Host, without_entropy
from benchmnist.training.engines.recording import Recording
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.torch_internals import running_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.engines.recording import Call
    from benchmnist.training.trial import Trial


@dataclass
class _Begun:
    """A trial that has made its first step.

    Attributes:
        trial: The trial.
        host: Its state on the host after that step.
        recording: Record of its second step, once it is made.
        seconds: Time of a repeated step in the last part of an epoch that had some; None before.
        unexamined: Examples of the last repeated step, if none was examined since.
    """

    trial: Trial
    host: Host
    recording: Recording | None = None
    seconds: float | None = None
    unexamined: Tensor | None = None


class RecordedEngine(ResidentEngine):
    """Executes the first step of a trial, records the second, and repeats it in the others.

    The last step of whole batches in an epoch is recorded again: it leaves the gradients, and shows whether a step
    still does the same. Then comes what is left of the examples. If an epoch repeats steps, only these are timed;
    a part of it without any is taken to last as long as they did before.
    """

    def __init__(self, dataset: Dataset, session: DeviceSession, batch_size: int) -> None:
        super().__init__(dataset, session, batch_size)
        self.begun: _Begun | None = None
        self.calls: list[Call] = []  # of the program
        self.program: Callable[..., Tensor] | None = None

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine.

        Raises:
            CaptureError: if the steps of the trial do not all do the same.
        """
        start = self.clock()
        if self.begun is not None and self.begun.trial is not trial:
            self.begun = None
        if self.begun is not None and (moved := self.begun.host.moved()):
            if self.begun.unexamined is not None:
                raise CaptureError(f"a test changes {moved}, which a record cannot follow")
            self.begun = None
        batches = order.split(self.batch_size)
        whole = len(order) // self.batch_size
        last = whole if self.goes_on else whole - 1
        losses: list[Tensor] = []
        repeated, seconds = 0, 0.0
        with trial.products():
            while (step := len(losses)) < len(batches):
                if self.begun is None:
                    losses.append(self._begin(trial, batches[step]))
                elif step >= whole:
                    losses.append(trial.step(*self.fetch(trial, batches[step])))
                elif step == last or self.begun.recording is None:
                    losses.append(self._record(self.begun, batches[step]))
                else:
                    begun = self.clock()
                    losses += self._repeat(trial, self.begun.recording, batches[step:last])
                    repeated, seconds = last - step, self.clock() - begun
                    self.begun.seconds, self.begun.unexamined = seconds / repeated, batches[last - 1]
        self.untimed_steps, self.untimed_seconds = 0, 0.0
        if repeated:
            self.untimed_steps, self.untimed_seconds = len(losses) - repeated, self.clock() - start - seconds
        elif self.begun is not None and self.begun.seconds is not None:
            self.untimed_seconds = self.clock() - start - self.begun.seconds * len(losses)
        return torch.stack(losses)

    def check(self, trial: Trial) -> None:
        """See Engine: records one more step."""
        begun = self.begun
        if begun is not None and begun.trial is trial and begun.unexamined is not None:
            with trial.products():
                self._record(begun, begun.unexamined)

    def _begin(self, trial: Trial, chosen: Tensor) -> Tensor:
        """Makes the first step of a trial, in which optimizers make their states."""
        host = Host(trial.modules, self.session.device, trial.optimizer, lent=trial.schedule is not None)
        loss = trial.step(*self.fetch(trial, chosen))
        host.remember()
        self.begun = _Begun(trial, host)
        return loss

    def _record(self, begun: _Begun, chosen: Tensor) -> Tensor:
        """Makes a step as it is, and records it.

        Raises:
            CaptureError: if it must not be repeated, or differs from the one that was recorded before.
        """
        numbers = begun.host.random_numbers()
        rates = [] if begun.trial.schedule is None else _rates(begun.trial)
        recording = Recording([chosen], onednn=begun.trial.onednn, rates=rates)
        with without_entropy(), recording:
            loss = begun.trial.step(*self.fetch(begun.trial, chosen))
        begun.host.require_step(numbers)
        begun.unexamined = None
        if recording.refused:
            raise CaptureError(f"{recording.refused}, which a record cannot follow")
        if begun.recording is None:
            if self.program is None or self.calls != recording.calls:  # another trial's may be the same
                self.calls, self.program = recording.calls, recording.program(loss)
            begun.recording = recording
        elif said := begun.recording.difference(recording):
            raise CaptureError(said)
        return loss

    def _repeat(self, trial: Trial, recording: Recording, batches: Sequence[Tensor]) -> list[Tensor]:
        """Makes steps by the program.

        Raises:
            CaptureError: if an operation fails.
        """
        if self.program is None:
            raise RuntimeError("no step was recorded")
        _, *others = recording.outside
        losses = []
        with running_programs():
            for chosen in batches:
                rates = [] if trial.schedule is None else recording.distinct(_rates(trial))
                try:
                    losses.append(self.program(chosen, *others, *rates))
                except RuntimeError as error:  # which the step itself may deal with
                    raise CaptureError(f"a repeated step raises {first_line(error)}") from error
                if trial.schedule is not None:
                    trial.schedule.step()
        return losses

    def release(self) -> None:
        """See Engine."""
        self.begun, self.goes_on = None, False


def _rates(trial: Trial) -> list[float]:
    """Returns the learning rates of the next step, one for each parameter group."""
    return [float(group["lr"]) for group in trial.optimizer.param_groups]
