"""The engine `streams`: the seeds of a case at the same time, each with captured steps on a stream of its own.

Small kernels leave most of a GPU idle. A stack fills it by wider kernels, but not every model and optimizer can be
stacked. Here each seed keeps its own model, optimizer and graphs; the GPU takes its kernels from several streams.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmnist.training.device import lane_of
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.random_numbers import RandomNumbers
from benchmnist.training.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset
    from benchmnist.training.device import DeviceSession

LANES = 8
"""Seeds at the same time, at most: as many as there are queues that a GPU takes work from, if nothing else is set
(CUDA_DEVICE_MAX_CONNECTIONS). Each has cuBLAS take 32 MiB of workspace."""


class Abreast(Trial):
    """Trials of several seeds of a case that are trained at the same time. Each draws random numbers of its own.

    Args:
        trials: The trials.
        device: Where they are trained.
    """

    def __init__(self, trials: Sequence[Trial], device: torch.device) -> None:
        first = trials[0]
        super().__init__(first.model, first.optimizer, first.spec, schedule=first.schedule, task=first.task)
        self.trials = trials
        self.seeds = tuple(seed for trial in trials for seed in trial.seeds)
        self.random_numbers = [RandomNumbers(device) for _ in trials]

    def order(self, size: int, epoch: int) -> Tensor:
        """Each seed's own, [seeds, size]."""
        return torch.stack([trial.order(size, epoch) for trial in self.trials])

    def begin(self, epoch: int) -> None:
        """See Trial."""
        for trial, numbers in zip(self.trials, self.random_numbers, strict=True):
            trial.begin(epoch)
            numbers.keep()

    def pause(self) -> Callable[[], None]:
        """See Trial."""
        each = [trial.pause() for trial in self.trials]

        def resume() -> None:
            for one in each:
                one()

        return resume

    def learning_rate_of(self, index: int) -> float | None:
        """See Trial."""
        return self.trials[index].learning_rate

    def state_bytes_of(self, index: int) -> int:
        """See Trial."""
        return self.trials[index].state_bytes_of(0)

    def alone(self, index: int) -> Trial:
        """See Trial; the random numbers go on as they do for it alone."""
        self.random_numbers[index].put_back()
        return self.trials[index]


class StreamsEngine(ResidentEngine):
    """Has a GraphEngine for each seed, and lets each run ahead until its next step has to wait for the device.

    Args:
        dataset: The data.
        session: The device.
        batch_size: Examples of a whole batch.
        lanes: Number of seeds at the same time, at most.
        ahead: See GraphEngine.
        every: See GraphEngine.
    """

    name = "streams"

    def __init__(
        self,
        dataset: Dataset,
        session: DeviceSession,
        batch_size: int,
        *,
        lanes: int = LANES,
        ahead: bool = False,
        every: int | None = None,
    ) -> None:
        super().__init__(dataset, session, batch_size)
        streams = [lane_of(session.device, lane) if session.stream else None for lane in range(lanes)]
        self.engines = [
            GraphEngine(dataset, session.on(each), batch_size, ahead=ahead, every=every) for each in streams
        ]

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine.

        Raises:
            CaptureError: if a step cannot be captured.
        """
        assert isinstance(trial, Abreast)  # noqa: S101 - FastPath builds both
        engines = self.engines[: len(trial.trials)]
        lanes = [*zip(engines, trial.trials, trial.random_numbers, order, strict=True)]
        steps = -(-order.shape[-1] // self.batch_size)
        losses = [torch.empty(steps, device=order.device) for _ in engines]
        with self._beside(engines):
            under_way = [_Lane(engine, engine.parts(each, its), numbers) for engine, each, numbers, its in lanes]
            while under_way:
                under_way = [lane for lane in under_way if lane.goes_on()]
            for engine, its in zip(engines, losses, strict=True):
                with _current(engine):
                    its.copy_(engine.losses())
        self.untimed_seconds = sum(engine.untimed_seconds for engine in engines)
        self.untimed_steps = engines[0].untimed_steps
        return torch.stack(losses)

    @contextlib.contextmanager
    def _beside(self, engines: Sequence[GraphEngine]) -> Iterator[None]:
        """Has the streams of engines begin after what is before it, and what comes after it wait for them."""
        streams = [engine.session.stream for engine in engines if engine.session.stream is not None]
        for stream in streams:
            stream.wait_stream(torch.cuda.current_stream(stream.device))
        yield
        for stream in streams:
            torch.cuda.current_stream(stream.device).wait_stream(stream)

    def rehearse(self) -> None:
        """See Engine."""
        for engine in self.engines:
            engine.rehearse()

    def foresee(self, trial: Trial, steps: int, *, wholly: bool) -> None:
        """See Engine."""
        assert isinstance(trial, Abreast)  # noqa: S101 - FastPath builds both
        for engine, each in zip(self.engines, trial.trials, strict=False):
            engine.foresee(each, steps, wholly=wholly)

    def release(self) -> None:
        """See Engine."""
        for engine in self.engines:
            engine.release()


@dataclass
class _Lane:
    """A seed whose epoch is under way."""

    engine: GraphEngine
    parts: Iterator[str]
    random_numbers: RandomNumbers
    next: str = ""

    def goes_on(self) -> bool:
        """Goes on to where it has to wait for the device. Returns False if the epoch is over."""
        # Replays draw nothing, and of the schedules only those of plugins may: they are stepped between replays.
        draws = self.next in ("a launch", "a capture") or not self.engine.ahead
        with _current(self.engine), self.random_numbers.lent() if draws else contextlib.nullcontext():
            self.next = next(self.parts, "")
        return bool(self.next)


def _current(engine: GraphEngine) -> contextlib.AbstractContextManager[object]:
    """Makes the stream of an engine the current one."""
    stream = engine.session.stream
    return contextlib.nullcontext() if stream is None else torch.cuda.stream(stream)
