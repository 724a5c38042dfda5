"""The engine `graph`: a step is captured once as a CUDA graph, and an epoch is so many replays of it.

Everything that changes from step to step lies on the device: the order of the examples, the place in it, the
losses, the learning rate. So the host has nothing to do but to say "again", and waits for the device only when the
epoch is over.

A capture that fails leaves its process unable to capture again, and up to torch 2.12 to draw random numbers. So a
step is looked at before it is captured: it is run once more with every wait for the device forbidden, and whatever
it changes on the host is noticed.
"""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import CaptureError
from benchmnist.training.engines.capture import captured, without_waiting
from benchmnist.training.engines.host import Host, without_entropy
from benchmnist.training.engines.rates import Rates
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.engines.trace import Trace, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.engines.trace import Call
    from benchmnist.training.trial import Trial

    Steps = tuple[int, int]
    """The size of a batch, and the number of steps that are made with as many of them."""


TOGETHER = 40
"""Steps that one graph makes at most. Half of them is enough: what they share costs less than a step then."""

BYTES_TOGETHER = 256 << 20
"""Bytes of the images of these steps, at most."""


class GraphEngine(ResidentEngine):
    """Replays captured steps: many of a whole batch, one, and one of what is left at the end of an epoch.

    Args:
        dataset: The data.
        session: The device.
        batch_size: Examples of a whole batch.
        ahead: Whether schedules depend on the number of the step alone, so that they may be stepped ahead.
        every: Steps between two evaluations; None if they follow epochs.
    """

    name = "graph"

    def __init__(
        self,
        dataset: Dataset,
        session: DeviceSession,
        batch_size: int,
        *,
        ahead: bool = False,
        every: int | None = None,
    ) -> None:
        super().__init__(dataset, session, batch_size)
        self.ahead, self.every = ahead, every
        self.recording: _Recording | None = None
        self.rehearses = False

    def rehearse(self) -> None:
        """See Engine: a step is then captured only where two of its size were seen to do the same."""
        self.rehearses = True

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine.

        Raises:
            CaptureError: if the step cannot be captured.
        """
        for _ in self.parts(trial, order):
            pass
        return self.losses()

    def losses(self) -> Tensor:
        """The loss of each step of the last epoch; see `train_epoch`."""
        assert self.recording is not None  # noqa: S101 - `parts` has made one
        return self.recording.losses[..., : len(self.recording.sizes)].clone()

    def parts(self, trial: Trial, order: Tensor) -> Iterator[str]:
        """Trains an epoch as `train_epoch`, in parts. Yields what comes next, if that waits for the device.

        Meanwhile other trials can be made to go on to where they wait.

        Raises:
            CaptureError: if the step cannot be captured.
        """
        start = self.clock()
        if self.recording is None or not self.recording.fits(trial, order):
            self.recording = None  # lets go of its memory first
            self.recording = _Recording(self, trial, order)
        self.untimed_seconds, self.untimed_steps = self.clock() - start, 0
        yield "an epoch"
        yield from self.recording.parts(order)

    def together(self, trial: Trial) -> int:
        """The number of steps of a whole batch that one graph makes for a trial: where possible, 20 to 40.

        Of these, the one that leaves the fewest steps before an evaluation over. Between such steps nobody can
        look at the gradients: it is 1 for a schedule that may. In a rehearsal, which makes a few steps only, it
        is at most 2.
        """
        steps = min(len(self.labels) // self.batch_size, self.every or len(self.labels))
        bytes_each = self.images[0].nbytes * self.batch_size * len(trial.seeds)
        most = min(steps, TOGETHER, BYTES_TOGETHER // max(bytes_each, 1))
        if steps < TOGETHER // 2 or most <= 1 or (trial.schedule is not None and not self.ahead):
            return 1
        return 2 if self.rehearses else min(range(-(-most // 2), most + 1), key=lambda count: steps % count)

    def foresee(self, trial: Trial, steps: int, *, wholly: bool) -> None:
        """See Engine.

        Raises:
            CaptureError: if the schedule moves anything but the learning rate.
        """
        if trial.schedule is not None and self.recording is not None:
            for step in range(1, steps + 1):
                trial.schedule.step()
                self.recording.host.require_schedule(wholly=wholly or step == steps)

    def release(self) -> None:
        """See Engine."""
        self.recording, self.rehearses = None, False


class _Recording:
    """The captured steps of one trial, and the buffers on the device that they read and write.

    The first step of a trial is executed as it stands, for that is when optimizers make their state. The next of
    each size is looked at while it is executed, in a rehearsal the second next too, whether it does the same. What
    comes after it is captured, and replayed at once: what a graph leaves in memory (gradients, for one) is of no
    use before. Steps that are launched are not timed where others of the epoch are replayed: they then take what
    these take, each counted once more for every step that was not one. An epoch of which no whole batch is
    replayed takes what its steps take as they are launched.
    """

    def __init__(self, engine: GraphEngine, trial: Trial, order: Tensor) -> None:
        device = engine.session.device
        self.engine, self.trial, self.clock = engine, trial, engine.clock
        self.sizes: list[int] = []  # of the batches of the steps under way
        self.together = engine.together(trial)
        # With room for a whole epoch: between evaluations there may be now more steps, now fewer.
        room = max(order.shape[-1], len(engine.labels))
        steps = -(-room // engine.batch_size)
        self.order = torch.empty(*order.shape[:-1], room, dtype=order.dtype, device=device)
        self.offsets = torch.arange(engine.batch_size * self.together, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(*order.shape[:-1], steps, device=device)
        self.rates = Rates(trial, steps, device, ahead=engine.ahead)
        self.host = Host(trial.modules, device, trial.optimizer, lent=trial.schedule is not None)
        self.ready: set[int] = set()  # the sizes of batches of which steps may be captured
        self.replays: dict[Steps, Callable[[], Any]] = {}
        self.gradients: dict[Steps, list[Tensor | None]] = {}  # where the graph of these steps leaves them
        self.last: Steps | None = None  # those of the graph that the parameters' gradients are of
        self.seen: dict[int, list[Call]] = {}  # what a step of that size did
        self.started = False
        self.launched_seconds, self.launched_steps = 0.0, 0

    def fits(self, trial: Trial, order: Tensor) -> bool:
        """Tells whether it is of that trial, as it still is, and has room for that order."""
        room = self.order.shape
        there = order.shape[:-1] == room[:-1] and order.shape[-1] <= room[-1]
        return trial is self.trial and there and not self.host.moved()

    def parts(self, order: Tensor) -> Iterator[str]:
        """See GraphEngine."""
        self.launched_seconds, self.launched_steps = 0.0, 0
        whole, rest = divmod(order.shape[-1], self.engine.batch_size)
        self.sizes = [self.engine.batch_size] * whole + [rest] * (rest > 0)
        self.order[..., : order.shape[-1]].copy_(order)
        self.step.zero_()
        self.rates.begin(len(self.sizes))
        replayed, step = False, 0
        while step < len(self.sizes):
            size, count = steps = self._next(step)
            self.rates.reach(step, count, first=not self.started)
            if size in self.ready and steps not in self.replays:
                yield "a capture"
                self._capture(steps)
                yield "replays"
            if steps in self.replays:
                self.replays[steps]()
                self._show_gradients(steps)
                replayed |= size == self.sizes[0]
            else:
                yield "a launch"
                self._launch(step, size)
                self.last = None
            step += count
        self.rates.end()
        if self.trial.schedule is not None:
            yield "the end"
            end = self.clock()
            self.host.require_schedule(wholly=True)
            self.engine.untimed_seconds += self.clock() - end
        if replayed:
            self.engine.untimed_seconds += self.launched_seconds
            self.engine.untimed_steps += self.launched_steps

    def _launch(self, step: int, size: int) -> None:
        """Makes a step of which there is no graph; where it is not the first of the trial, looks at it."""
        begun = self.clock()
        numbers = b""
        if self.started:
            self.host.require_schedule(wholly=True)  # or what it has changed would pass for the step's doing
            numbers = self.host.random_numbers()
        start = self.clock()
        with warnings.catch_warnings():
            # Built to be captured, some optimizers warn where they are not; the next time they will be.
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
            trace = Trace(self.engine.session.device) if self.engine.rehearses else contextlib.nullcontext()
            with contextlib.ExitStack() as looking:
                if self.started:
                    looking.enter_context(without_waiting(self.engine.session.device))
                    looking.enter_context(without_entropy())
                looking.enter_context(trace)
                self._make(size)
            launched = self.clock()
        self.rates.require_kept(step)
        if self.started:
            self.host.require_step(numbers)
            if not isinstance(trace, Trace) or self._is_the_same_again(size, trace):
                self.ready.add(size)
        else:
            self.host.remember()
            self.started = True
        self.launched_seconds += launched - start
        self.launched_steps += 1
        self.engine.untimed_seconds += self.clock() - launched + start - begun

    def _next(self, step: int) -> Steps:
        """Returns the steps that come next: many, where they may be captured and the epoch has as many left."""
        size = self.sizes[step]
        many = size in self.ready and [size] * self.together == self.sizes[step : step + self.together]
        return size, self.together if many else 1

    def _capture(self, steps: Steps) -> None:
        """Makes the graph of steps, which have not been executed then.

        Raises:
            CaptureError: if it cannot be made, or if anything on the host has become another by making it.
        """
        begun = self.clock()
        self.host.require_schedule(wholly=True)
        numbers = self.host.random_numbers()
        self.replays[steps] = captured(partial(self._make, *steps), self.engine.session, self.trial.generators)
        self.host.require_step(numbers)
        self.gradients[steps] = [parameter.grad for parameter in self.trial.model.parameters()]
        self.last = steps
        self.engine.untimed_seconds += self.clock() - begun

    def _show_gradients(self, steps: Steps) -> None:
        """Gives the parameters the gradients of the last step, as they would have them without graphs."""
        if self.last != steps:
            for parameter, gradient in zip(self.trial.model.parameters(), self.gradients[steps], strict=True):
                parameter.grad = gradient
            self.last = steps

    def _is_the_same_again(self, size: int, trace: Trace) -> bool:
        """Compares a step with the one of that size before it. Returns False if there was none to compare with.

        Raises:
            CaptureError: if the two did not do the same.
        """
        before, self.seen[size] = self.seen.get(size), trace.calls
        if before is not None and (said := difference(before, trace.calls)):
            raise CaptureError(said)
        return before is not None

    def _make(self, size: int, count: int = 1) -> None:
        """Makes steps; this is what is captured: nothing in it depends on the host."""
        chosen = self.order.index_select(-1, self.offsets[: size * count] + self.step * self.engine.batch_size)
        batches = self.engine.fetch(self.trial, chosen.unflatten(-1, (count, size)).movedim(-2, 0))
        steps = self.step if count == 1 else self.offsets[:count] + self.step
        losses = []
        for index, batch in enumerate(zip(*batches, strict=True)):
            self.rates.set(steps[index : index + 1])
            losses.append(self.trial.step(*batch, moves_schedule=False).float())
        self.losses.index_copy_(-1, steps, losses[0].unsqueeze(-1) if count == 1 else torch.stack(losses, dim=-1))
        self.step.add_(count)
