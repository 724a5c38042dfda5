"""A fixed piece of work, timed beside every epoch: what the machine gives at that moment.

Shared machines change their speed by tens of percent within seconds, in every process at once. The time of an
epoch in units of a reference taken just before and just after it does not: in eight runs on such a machine, with a
prototype of this work, the
median epoch ranged over 46 %, and the median in these units over 7 % (docs/performance.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.training.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmnist.training.device import DeviceSession

BATCH, INPUTS, HIDDEN = 100, 784, 500  # the shape of the work of a small network
REPEATS = 40
REPLAYS = 10
"""Number of times that a GPU does it, for which once is about a millisecond (estimated: it has not run on one)."""


class Reference:
    """Matrix products and passes over weights, like a training step, without a real model or optimizer.

    On CUDA they are captured as a graph: launched one by one they would measure the host.
    """

    def __init__(self, session: DeviceSession) -> None:
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator).to(session.device)

        self.clock = Clock(session.device)
        self.images, self.weights = random(BATCH, INPUTS), random(INPUTS, HIDDEN)
        self.errors, self.mean = random(BATCH, HIDDEN), random(INPUTS, HIDDEN)
        self.work: Callable[[], object] = self._work
        self.times = 1
        if session.device.type == "cuda":
            self._work()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=session.stream):
                self._work()
            self.work, self.times = graph.replay, REPLAYS

    def __call__(self) -> float:
        """Does the work once, or on CUDA several times; returns the total seconds."""
        start = self.clock()
        for _ in range(self.times):
            self.work()
        return self.clock() - start

    @torch.no_grad()
    def _work(self) -> None:
        for _ in range(REPEATS):
            (self.images @ self.weights).relu_()
            self.mean.mul_(0.9).add_(self.images.t() @ self.errors, alpha=0.1).sqrt()
