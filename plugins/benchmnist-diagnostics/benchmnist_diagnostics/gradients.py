"""Functions whose shape is easy, and whose gradients are noisy, rare, late or false, or whose minimum moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from benchmnist_diagnostics.objective import Bowl, Objective, away, require, with_gradient

if TYPE_CHECKING:
    from torch import Tensor

    Shape = tuple[int, int, int]

CONDITION = 10.0
"""Condition number of the functions whose shape is not what makes them hard."""

TINY = 2.0**-24
"""Step between the random numbers of the noise: it keeps them away from 0 and 1, where the noise is infinite."""


def _normal(noise: Tensor, x: Tensor) -> Tensor:
    """Returns a number of the normal distribution for each coordinate: the mean over the examples."""
    return torch.special.ndtri(noise[:, : len(x)].clamp(TINY, 1 - TINY)).mean(dim=0)


class GaussianNoise(Bowl):
    """`Bowl`, with independent normal noise of standard deviation `noise` on each coordinate of the gradient.

    Source: Schaul, Antonoglou and Silver, Unit tests for stochastic optimization, 2014 (arXiv 1312.6055).
    """

    def __init__(
        self, *, input_shape: Shape, noise: float = 1.0, condition: float = CONDITION, size: int = 8
    ) -> None:
        require(noise >= 0, f"noise must be at least 0, not {noise:g}")
        super().__init__(input_shape, condition, size, size)
        self.noise = noise

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:
        """See Objective."""
        return with_gradient(self.gap(x), x, self.noise * _normal(noise, x))


class HeavyTails(Bowl):
    """`Bowl`, with `noise` times Student's t with `freedom` degrees of freedom on the gradient.

    With 2 or fewer its variance is infinite; with 1 it is Cauchy's distribution, and has no mean. It is computed
    from two random numbers, √(n (U^(-2/n) - 1)) cos 2πV, as Bailey does: Polar generation of random variates with
    the t-distribution, Mathematics of Computation 62 (1994). That gradients of language models have such tails is
    shown by Zhang et al., Why are adaptive methods good for attention models?, 2020 (arXiv 1912.03194).
    """

    def __init__(
        self,
        *,
        input_shape: Shape,
        freedom: float = 3.0,
        noise: float = 0.3,
        condition: float = CONDITION,
        size: int = 8,
    ) -> None:
        require(freedom > 0, f"freedom must be above 0, not {freedom:g}")
        super().__init__(input_shape, condition, size, 2 * size)
        self.freedom, self.noise = freedom, noise

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:
        """See Objective."""
        size, n = len(x), self.freedom
        u, v = noise[:, :size].clamp(min=TINY), noise[:, size : 2 * size]
        t = (n * (u ** (-2 / n) - 1)).sqrt() * torch.cos(2 * math.pi * v)
        return with_gradient(self.gap(x), x, self.noise * t.mean(dim=0))


class Sparse(Bowl):
    """`Bowl`, in which each coordinate has a gradient in a `share` of the steps, like rare words.

    Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization,
    Journal of Machine Learning Research 12 (2011).
    """

    def __init__(
        self, *, input_shape: Shape, share: float = 0.1, condition: float = CONDITION, size: int = 8
    ) -> None:
        require(0 < share <= 1, f"share must be above 0 and at most 1, not {share:g}")
        super().__init__(input_shape, condition, size, size)
        self.share = share

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:
        """See Objective."""
        present = (noise[:, : len(x)] < self.share).float().mean(dim=0)
        return 0.5 * (present * self.curvature * (x - self.minimum).square()).sum()


class Delayed(Bowl):
    """`Bowl`, with the gradient at the point where the parameters were `delay` gradients ago; at first, the start.

    The value is the one at that point, too. Each gradient of a method that computes several in a step counts.
    Source: Zinkevich, Smola and Langford, Slow learners are fast, 2009 (arXiv 0911.0491).
    """

    history: Tensor

    def __init__(self, *, input_shape: Shape, delay: int = 4, condition: float = CONDITION, size: int = 8) -> None:
        require(delay >= 0, f"delay must be at least 0, not {delay}")
        super().__init__(input_shape, condition, size)
        self.delay = delay
        self.register_buffer("history", self.x.detach().repeat(delay, 1))

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:  # noqa: ARG002 - there is none
        """See Objective."""
        if not self.delay:
            return self.gap(x)
        now = x.detach()
        value = self.gap(x - now + self.history[-1])
        self.history.copy_(torch.cat([now[None], self.history[:-1]]))
        return value


class MovingTarget(Bowl):
    """`Bowl`, whose minimum goes round in circles of radius 1 in pairs of coordinates, by `speed` in a step.

    In testing the minimum is where it is in the next step. Source: Schaul, Antonoglou and Silver, Unit tests for
    stochastic optimization, 2014 (arXiv 1312.6055), non-stationary functions.
    """

    steps: Tensor

    def __init__(
        self, *, input_shape: Shape, speed: float = 0.01, condition: float = CONDITION, size: int = 8
    ) -> None:
        require(size % 2 == 0, f"size must be even, not {size}")
        super().__init__(input_shape, condition, size)
        self.speed = speed
        self.register_buffer("steps", torch.zeros(()))

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        angle = self.speed * self.steps
        circle = torch.stack([torch.cos(angle) - 1, torch.sin(angle)]).repeat(len(x) // 2)
        return 0.5 * (self.curvature * (x - self.minimum - circle).square()).sum()

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:  # noqa: ARG002 - there is none
        """See Objective."""
        value = self.gap(x)
        self.steps.add_(1)
        return value


class SignFlips(Bowl):
    """`Bowl`, whose whole gradient has the opposite sign in a `share` of the steps, as with corrupted batches.

    There is normal noise of standard deviation `noise` on each coordinate, too. Without it, any steps of random
    signs would end in the minimum: the logarithm of the distance is a random walk downwards, with the mean
    ½ ln(1 - (rate · curvature)²) even at a share of one half. Source: the adversary of Bernstein et al., signSGD
    with majority vote is communication efficient and fault tolerant, 2019 (arXiv 1810.05291), with one worker.
    """

    def __init__(
        self,
        *,
        input_shape: Shape,
        share: float = 0.1,
        noise: float = 0.5,
        condition: float = CONDITION,
        size: int = 8,
    ) -> None:
        require(0 <= share <= 1, f"share must be from 0 to 1, not {share:g}")
        require(noise >= 0, f"noise must be at least 0, not {noise:g}")
        super().__init__(input_shape, condition, size, 1 + size)
        self.share, self.noise = share, noise

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:
        """See Objective."""
        sign = torch.where(noise[:, 0] < self.share, -1.0, 1.0).mean()
        value = self.gap(x)
        return with_gradient(
            sign * value + ((1 - sign) * value).detach(), x, self.noise * _normal(noise[:, 1:], x)
        )


class MinMax(Objective):
    """The game g(a, b) = (a - a*)·(b - b*) + ½ m (‖a - a*‖² - ‖b - b*‖²), in which a minimises and b maximises.

    The optimizer is given the gradient of g for a, and that of -g for b. Its field turns around the equilibrium
    (a*, b*), and draws towards it by m, the `pull`: with m = 0, steps of gradient descent lead away from it. The
    value is half the squared distance to the equilibrium. Source: Mescheder, Geiger and Nowozin, Which training
    methods for GANs do actually converge?, 2018 (arXiv 1801.04406).
    """

    equilibrium: Tensor

    def __init__(self, *, input_shape: Shape, pull: float = 0.1, size: int = 8) -> None:
        require(pull >= 0, f"pull must be at least 0, not {pull:g}")
        require(size >= 1, f"size must be at least 1, not {size}")
        equilibrium = torch.randn(2, size)
        super().__init__(equilibrium + away(2, size), input_shape)
        self.pull = pull
        self.register_buffer("equilibrium", equilibrium)

    def gap(self, x: Tensor) -> Tensor:
        """See Objective; `x` has the rows a and b."""
        return 0.5 * (x - self.equilibrium).square().sum()

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:  # noqa: ARG002 - there is none
        """See Objective."""
        a, b = x.detach() - self.equilibrium
        field = torch.stack([b + self.pull * a, self.pull * b - a])
        return with_gradient(self.gap(x).detach(), x, field)
