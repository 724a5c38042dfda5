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
    from torch import Tensor

BATCH, INPUTS, HIDDEN = 100, 784, 500  # the shape of the work of a small network
REPEATS = 40


class Reference:
    """Products of matrices and passes over weights, as in a training step; no model or optimizer of anybody's."""

    def __init__(self, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator).to(device)

        self.clock = Clock(device)
        self.images, self.weights = random(BATCH, INPUTS), random(INPUTS, HIDDEN)
        self.errors, self.mean = random(BATCH, HIDDEN), random(INPUTS, HIDDEN)

    @torch.no_grad()
    def __call__(self) -> float:
        """Does the work once; returns its seconds."""
        start = self.clock()
        for _ in range(REPEATS):
            (self.images @ self.weights).relu_()
            self.mean.mul_(0.9).add_(self.images.t() @ self.errors, alpha=0.1).sqrt()
        return self.clock() - start
