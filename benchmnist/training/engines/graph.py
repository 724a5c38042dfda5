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
import gc
import traceback
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import CaptureError, first_line
from benchmnist.training.clock import Clock
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


NO_CAUSES = (torch.__path__[0], str(Path(__file__).parents[1]), "<")
"""Where the files lie in which nobody looks for the cause of an error: torch's, and ours that train."""


class GraphEngine(ResidentEngine):
    """Replays captured steps: one of a whole batch, and one of what is left at the end of an epoch.

    Args:
        dataset: The data.
        session: The device.
        batch_size: Examples of a whole batch.
        ahead: Whether schedules depend on the number of the step alone, so that they may be stepped ahead.
    """

    name = "graph"

    def __init__(self, dataset: Dataset, session: DeviceSession, batch_size: int, *, ahead: bool = False) -> None:
        super().__init__(dataset, session, batch_size)
        self.ahead = ahead
        self.clock = Clock(session.device)
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
        start = self.clock()
        if self.recording is None or not self.recording.fits(trial, order):
            self.recording = None  # lets go of its memory first
            self.recording = _Recording(self, trial, order)
        self.untimed_seconds, self.untimed_steps = self.clock() - start, 0
        return self.recording.train_epoch(order)

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
        whole, rest = divmod(order.shape[-1], engine.batch_size)
        self.sizes = [engine.batch_size] * whole + [rest] * (rest > 0)
        self.order = torch.empty_like(order, device=device)
        self.offsets = torch.arange(engine.batch_size, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(*order.shape[:-1], len(self.sizes), device=device)
        self.rates = Rates(trial, len(self.sizes), device, ahead=engine.ahead)
        self.host = Host(trial.modules, device, trial.optimizer, lent=trial.schedule is not None)
        self.ready: set[int] = set()  # the sizes of batches of which the next step may be captured
        self.replays: dict[int, Callable[[], Any]] = {}  # by the size of the batch
        self.gradients: dict[int, list[Tensor | None]] = {}  # where the graph of that size leaves them
        self.last: int | None = None  # the size of the graph that the parameters' gradients are of
        self.seen: dict[int, list[Call]] = {}  # what a step of that size did
        self.started = False
        self.launched_seconds, self.launched_steps = 0.0, 0

    def fits(self, trial: Trial, order: Tensor) -> bool:
        """Whether it is of that trial, as it still is, and for orders of that shape."""
        return trial is self.trial and order.shape == self.order.shape and not self.host.moved()

    def train_epoch(self, order: Tensor) -> Tensor:
        """See Engine."""
        self.launched_seconds, self.launched_steps = 0.0, 0
        self.order.copy_(order)
        self.step.zero_()
        replayed = False
        for step, size in enumerate(self.sizes):
            self.rates.reach(step, first=not self.started)
            if size in self.ready:
                self._capture(size)
            if size in self.replays:
                self.replays[size]()
                self._show_gradients(size)
                replayed |= size == self.sizes[0]
            else:
                self._launch(step, size)
                self.last = None
        self.rates.end()
        if self.trial.schedule is not None:
            end = self.clock()
            self.host.require_schedule(wholly=True)
            self.engine.untimed_seconds += self.clock() - end
        if replayed:
            self.engine.untimed_seconds += self.launched_seconds
            self.engine.untimed_steps += self.launched_steps
        return self.losses.clone()

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
                    looking.enter_context(self._without_waiting())
                    looking.enter_context(without_entropy())
                looking.enter_context(trace)
                self._step(size)
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

    def _capture(self, size: int) -> None:
        """Makes the graph of a step, which has not been executed then."""
        begun = self.clock()
        self.host.require_schedule(wholly=True)
        self.ready.remove(size)
        self.replays[size] = self._captured(size)
        self.gradients[size] = [parameter.grad for parameter in self.trial.model.parameters()]
        self.last = size
        self.engine.untimed_seconds += self.clock() - begun

    def _show_gradients(self, size: int) -> None:
        """Gives the parameters the gradients of the last step, as they would have them without graphs."""
        if self.last != size:
            for parameter, gradient in zip(self.trial.model.parameters(), self.gradients[size], strict=True):
                parameter.grad = gradient
            self.last = size

    def _is_the_same_again(self, size: int, trace: Trace) -> bool:
        """Compares a step with the one of that size before it. Returns False if there was none to compare with.

        Raises:
            CaptureError: if the two did not do the same.
        """
        before, self.seen[size] = self.seen.get(size), trace.calls
        if before is not None and (said := difference(before, trace.calls)):
            raise CaptureError(said)
        return before is not None

    def _step(self, size: int) -> None:
        """Makes a step; this is what is captured: nothing in it depends on the host."""
        self.rates.set(self.step)
        chosen = self.order.index_select(-1, self.offsets[:size] + self.step * self.engine.batch_size)
        loss = self.trial.step(*self.engine.fetch(chosen), moves_schedule=False)
        self.losses.index_copy_(-1, self.step, loss.float().unsqueeze(-1))
        self.step.add_(1)

    @contextlib.contextmanager
    def _without_waiting(self) -> Iterator[None]:
        """Turns every wait for the device into a CaptureError that says where it is."""
        if self.engine.session.device.type != "cuda":
            yield
            return
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        except RuntimeError as error:
            if "synchronizing CUDA operation" not in str(error):
                raise
            raise CaptureError(f"a step waits for the device, {_where(error)}") from error
        finally:
            torch.cuda.set_sync_debug_mode(mode)

    def _captured(self, size: int) -> Callable[[], Any]:
        """Captures a step; returns what replays it."""
        session = self.engine.session
        if session.device.type != "cuda":
            # There is nothing to capture with, but what would be captured can be held against the other engines.
            return partial(self._step, size)
        graph = torch.cuda.CUDAGraph()
        for generator in self.trial.generators:
            graph.register_generator_state(generator)
        collects = gc.isenabled()
        gc.disable()  # what is collected during a capture may free memory, which is not allowed then
        try:
            with warnings.catch_warnings(), torch.cuda.graph(graph, stream=session.stream):
                warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
                self._step(size)
        except Exception as error:
            # Where the capture was spoiled, its end raises too, and says nothing of the cause.
            cause = error.__context__ or error
            raise CaptureError(f"{first_line(cause)}, {_where(cause)}", spoiled=True) from error
        finally:
            if collects:
                gc.enable()
        return graph.replay


def _where(error: BaseException) -> str:
    """Names the last line of an exception's traceback that is neither ours nor torch's, if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    strangers = [frame for frame in frames if not frame.filename.startswith(NO_CAUSES)]
    frame = (strangers or frames)[-1]
    return f"at {frame.filename}:{frame.lineno}: {frame.line or frame.name}"
