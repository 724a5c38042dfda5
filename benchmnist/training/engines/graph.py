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

import numpy as np
import torch

from benchmnist.errors import CaptureError, first_line
from benchmnist.training.clock import Clock
from benchmnist.training.engines.resident import ResidentEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from benchmnist.specs import Dataset
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.trial import Trial


NO_CAUSES = (torch.__path__[0], str(Path(__file__).parents[1]), "<")
"""Where the files lie in which nobody looks for the cause of an error: torch's, and ours that train."""


class GraphEngine(ResidentEngine):
    """Replays captured steps: one of a whole batch, and one of what is left at the end of an epoch."""

    name = "graph"

    def __init__(self, dataset: Dataset, session: DeviceSession, batch_size: int) -> None:
        super().__init__(dataset, session, batch_size)
        self.recording: _Recording | None = None

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine.

        Raises:
            CaptureError: if the step cannot be captured.
        """
        if self.recording is None or not self.recording.fits(trial, order):
            self.release()
            self.recording = _Recording(self, trial, order)
        return self.recording.train_epoch(order)

    def release(self) -> None:
        """See Engine."""
        self.recording = None


class _Recording:
    """The captured steps of one trial, and the buffers on the device that they read and write.

    The first step of a trial is executed as it stands, for that is when optimizers make their state. The next of
    each size is looked at while it is executed, and then captured. Neither is timed: an epoch takes what its
    replayed steps take, each counted once more for every step that was not one.
    """

    def __init__(self, engine: GraphEngine, trial: Trial, order: Tensor) -> None:
        device = engine.session.device
        self.engine, self.trial, self.clock = engine, trial, Clock(device)
        self.whole, self.rest = divmod(order.shape[-1], engine.batch_size)
        self.order = torch.empty_like(order, device=device)
        self.places = torch.arange(engine.batch_size, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(*order.shape[:-1], self.whole + (self.rest > 0), device=device)
        self.groups = _Groups(trial, device)
        self.replays: dict[int, Callable[[], Any]] = {}  # by the size of the batch
        self.started = False

    def fits(self, trial: Trial, order: Tensor) -> bool:
        """Whether it is of that trial, and for orders of that shape."""
        return trial is self.trial and order.shape == self.order.shape

    def train_epoch(self, order: Tensor) -> Tensor:
        """See Engine."""
        self.engine.untimed_seconds, self.engine.untimed_steps = 0.0, 0
        self.order.copy_(order)
        self.step.zero_()
        self.groups.lend_rates()
        for size in [self.engine.batch_size] * self.whole + [self.rest] * (self.rest > 0):
            if size in self.replays:
                self.replays[size]()
            else:
                self._first_step(size)
            self.groups.step_schedule()
        self.groups.take_back_rates()
        return self.losses.clone()

    def _first_step(self, size: int) -> None:
        """Makes a step of which there is no graph; where it is not the first of the trial, makes the graph too."""
        start = self.clock()
        with warnings.catch_warnings():
            # Built to be captured, some optimizers warn where they are not; the next time they will be.
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
            if self.started:
                with self._without_waiting():
                    self._step(size)
                self.groups.require_unchanged("the optimizer", state=True)
                self.replays[size] = self._captured(size)
            else:
                self._step(size)
                self.groups.remember()
                self.started = True
        self.engine.untimed_steps += 1
        self.engine.untimed_seconds += self.clock() - start

    def _step(self, size: int) -> None:
        """Makes a step; this is what is captured: nothing in it depends on the host."""
        chosen = self.order.index_select(-1, self.places[:size] + self.step * self.engine.batch_size)
        loss = self.trial.update(*self.engine.fetch(chosen))
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
            with torch.cuda.graph(graph, stream=session.stream):
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


class _Groups:
    """The parameter groups of a trial's optimizer: the learning rates on the device, and what must not move.

    A number would be captured as it is now. So a schedule's learning rates are tensors while the optimizer has
    them; the schedule itself sees numbers, since many compute the next rate from the last, and a GPU would have to
    be waited for. Whatever else the optimizer has on the host has to stay as it is.
    """

    def __init__(self, trial: Trial, device: torch.device) -> None:
        self.schedule, self.optimizer = trial.schedule, trial.optimizer
        self.lent = [*self.optimizer.param_groups] if self.schedule is not None else []
        self.tensors = [torch.zeros((), device=device) for _ in self.lent]
        self.rates: list[float] = []
        self.remembered: dict[tuple[str, str], object] = {}
        self.state: dict[tuple[str, str], object] = {}

    def lend_rates(self) -> None:
        """Gives the optimizer the learning rates on the device."""
        self.rates = [group["lr"] for group in self.lent]
        for group, tensor, rate in zip(self.lent, self.tensors, self.rates, strict=True):
            group["lr"] = tensor.fill_(rate)

    def take_back_rates(self) -> None:
        """Gives the optimizer numbers again."""
        for group, rate in zip(self.lent, self.rates, strict=True):
            group["lr"] = rate

    def step_schedule(self) -> None:
        """Makes a step of the schedule, if there is one.

        Raises:
            CaptureError: if it moves anything but the learning rate.
        """
        if self.schedule is not None:
            self.take_back_rates()
            self.schedule.step()
            self.require_unchanged("the schedule", state=False)
            self.lend_rates()

    def remember(self) -> None:
        """Remembers what a graph will have as it is now."""
        self.remembered, self.state = self._host(), self._state()

    def require_unchanged(self, who: str, *, state: bool) -> None:
        """Holds what is on the host against what was remembered.

        Args:
            who: Whose doing a change is.
            state: Whether to look at the state of each parameter, too, which takes longest.

        Raises:
            CaptureError: if anything is another; says whose doing that is.
        """
        now, before = self._host(), self.remembered
        if state:
            now, before = now | self._state(), before | self.state
        if now != before:
            moved = sorted(key for key in {*now, *before} if now.get(key) != before.get(key))
            named = " and ".join(dict.fromkeys(name for name, _ in moved))
            raise CaptureError(f"{who} changes {named} from step to step, which a graph cannot see")

    def _host(self) -> dict[tuple[str, str], object]:
        """All that the optimizer and its groups have on the host, by name and place."""
        apart = {"params", "lr"} if self.lent else {"params"}
        found: dict[tuple[str, str], object] = {
            (name, "itself"): _fixed(value)
            for name, value in vars(self.optimizer).items()
            if name not in ("state", "param_groups")
        }
        for place, group in enumerate(self.optimizer.param_groups):
            found["param_groups", str(place)] = id(group)
            found["requires_grad", str(place)] = tuple(p.requires_grad for p in group["params"])
            found |= {(key, str(place)): _fixed(value) for key, value in group.items() if key not in apart}
        return found

    def _state(self) -> dict[tuple[str, str], object]:
        """The same of the state that it keeps of each parameter."""
        return {
            (str(key), f"state {place}"): _fixed(value)
            for place, state in enumerate(self.optimizer.state.values())
            if isinstance(state, dict)
            for key, value in state.items()
        }


def _fixed(value: object) -> object:
    """A value as it is now, to be compared with what it is later; of a tensor only which one it is."""
    if isinstance(value, dict):
        return tuple((repr(key), _fixed(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(map(_fixed, value))
    if isinstance(value, np.ndarray):
        return value.tobytes()
    # repr, since NaN is not equal to itself.
    plain = value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic))
    return repr(value) if plain else id(value)
