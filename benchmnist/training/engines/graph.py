"""The engine `graph`: a step is captured once as a CUDA graph, and an epoch is so many replays of it.

Everything that changes from step to step lies on the device: the order of the examples, the place in it, the
losses. So the host has nothing to do but to say "again", and waits for the device only when the epoch is over.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.training.clock import Clock
from benchmnist.training.engines.resident import ResidentEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmnist.specs import Dataset
    from benchmnist.training.trial import Trial


class GraphEngine(ResidentEngine):
    """Replays a captured step.

    The first step of a trial is executed as it stands, for that is when optimizers make their state. The batch at
    the end of an epoch that is smaller than the others, too.
    """

    name = "graph"

    def __init__(self, dataset: Dataset, device: torch.device, batch_size: int) -> None:
        super().__init__(dataset, device, batch_size)
        self.device = device
        self.places = torch.arange(batch_size, device=device)
        self.clock = Clock(device)
        self.trial: Trial | None = None
        self.replay: Callable[[], Any] | None = None

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """See Engine."""
        self.untimed_seconds = 0.0
        steps, rest = divmod(order.shape[-1], self.batch_size)
        if trial is not self.trial or order.shape != self.order.shape:
            self._forget(trial, order, steps)
        self.order.copy_(order)
        self.step.zero_()
        self.rates.lend()
        for number in range(steps):
            if self.replay is not None:
                self.replay()
            else:
                with self._aside():
                    self._step()
                if number + 1 < steps:
                    self._capture()
            self.rates.step()
        losses = self.losses.clone()
        if rest:
            last = trial.update(*self.fetch(self.order[..., -rest:]))
            losses = torch.cat([losses, last.unsqueeze(-1)], dim=-1)
            self.rates.step()
        self.rates.take_back()
        return losses

    def _forget(self, trial: Trial, order: Tensor, steps: int) -> None:
        """Makes new buffers; what was captured reads and writes the old ones."""
        self.trial, self.replay = trial, None
        self.order = torch.empty_like(order, device=self.device)
        self.step = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.losses = torch.zeros(*order.shape[:-1], steps, device=self.device)
        self.rates = _Rates(trial, self.device)

    def _step(self) -> None:
        """What is captured: nothing in it depends on the host."""
        assert self.trial is not None  # noqa: S101 - that is when it is called
        chosen = self.order.index_select(-1, self.places + self.step * self.batch_size)
        loss = self.trial.update(*self.fetch(chosen))
        self.losses.index_copy_(-1, self.step, loss.float().unsqueeze(-1))
        self.step.add_(1)

    def _capture(self) -> None:
        start = self.clock()
        if self.device.type == "cuda":
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._step()
            self.replay = graph.replay
        else:  # there is nothing to capture with, but what would be captured can be held against the other engines
            self.replay = self._step
        self.untimed_seconds += self.clock() - start

    @contextlib.contextmanager
    def _aside(self) -> Any:
        """On a stream of its own, as CUDA wants the steps before a capture to be."""
        if self.device.type != "cuda":
            yield
            return
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream), warnings.catch_warnings():
            # That it was not captured this time is so: it is about to be.
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            yield
        torch.cuda.current_stream(self.device).wait_stream(stream)


class _Rates:
    """The learning rates of a trial that has a schedule, on the device: a number would be captured as it is now.

    The schedule sees numbers all the same, since many compute the next rate from the last, and a GPU would have to
    be waited for.
    """

    def __init__(self, trial: Trial, device: torch.device) -> None:
        self.schedule = trial.schedule
        self.groups = trial.optimizer.param_groups if self.schedule is not None else []
        self.tensors = [torch.zeros((), device=device) for _ in self.groups]
        self.numbers: list[float] = []

    def lend(self) -> None:
        """To the optimizer."""
        self.numbers = [group["lr"] for group in self.groups]
        for group, tensor, number in zip(self.groups, self.tensors, self.numbers, strict=True):
            group["lr"] = tensor.fill_(number)

    def take_back(self) -> None:
        """From the optimizer, which has numbers again."""
        for group, number in zip(self.groups, self.numbers, strict=True):
            group["lr"] = number

    def step(self) -> None:
        """A step of the schedule, if there is one."""
        if self.schedule is not None:
            self.take_back()
            self.schedule.step()
            self.lend()
