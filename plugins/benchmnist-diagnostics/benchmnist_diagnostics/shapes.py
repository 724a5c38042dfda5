"""Functions that are hard because of their shape. None of them has noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from benchmnist_diagnostics.objective import Bowl, Objective, Plane, require

if TYPE_CHECKING:
    from torch import Tensor

    Shape = tuple[int, int, int]


class Quadratic(Bowl):
    """f(x) = ½ Σ cᵢ zᵢ² with z = R (x - x*): `Bowl`, turned by a random rotation R if it is `rotated`.

    Without a rotation, a method that scales each coordinate by itself sees no condition at all; with one it does.
    Source: Nocedal and Wright, Numerical Optimization, 2nd edition 2006, sections 3.3 and 5.1; R is the Q of a
    normal matrix with the signs of Mezzadri, How to generate random matrices from the classical compact groups,
    2007 (arXiv math-ph/0609050).
    """

    rotation: Tensor

    def __init__(
        self, *, input_shape: Shape, condition: float = 10.0, size: int = 16, rotated: bool = False
    ) -> None:
        super().__init__(input_shape, condition, size)
        self.rotated = rotated
        if rotated:
            q, r = torch.linalg.qr(torch.randn(size, size))
            self.register_buffer("rotation", q * r.diagonal().sign())

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        away = x - self.minimum
        z = self.rotation @ away if self.rotated else away
        return 0.5 * (self.curvature * z.square()).sum()


class Ravine(Plane):
    """f(x, y) = ½ (s u² + v²) with u = (x - y)/√2 across the ravine, v = (x + y)/√2 along it, and s the steepness.

    The gradient is large where the way is short, and small where it is long. The start is 2 away along the ravine
    and up to 1 across. Source: Hinton, Srivastava and Swersky, Neural Networks for Machine Learning
    (2012), lecture 6, "Overview of mini-batch gradient descent".
    """

    def __init__(self, *, input_shape: Shape, steepness: float = 10.0) -> None:
        require(steepness > 0, f"steepness must be above 0, not {steepness:g}")
        across = torch.rand(1).item() * 2 - 1
        half = math.sqrt(0.5)
        super().__init__(torch.tensor([half * (across - 2), half * (-across - 2)]), input_shape)
        self.steepness = steepness

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        return 0.25 * (self.steepness * (x[0] - x[1]).square() + (x[0] + x[1]).square())


class Rosenbrock(Plane):
    """f(x, y) = (1 - x)² + b (y - x²)², whose narrow valley is curved; the minimum is at (1, 1).

    The start is the usual (-1.2, 1), moved by a tenth of a normal number. Source: Rosenbrock, An automatic method
    for finding the greatest or least value of a function, The Computer Journal 3 (1960), where b = 100.
    """

    def __init__(self, *, input_shape: Shape, b: float = 10.0) -> None:
        require(b > 0, f"b must be above 0, not {b:g}")
        super().__init__(torch.tensor([-1.2, 1.0]) + 0.1 * torch.randn(2), input_shape)
        self.b = b

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        return (1 - x[0]).square() + self.b * (x[1] - x[0].square()).square()


class Beale(Plane):
    """f(x, y) = (1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)², with its minimum at (3, 0.5).

    Around y = 1 it is flat, and towards the corners of the plane it is steep. The start is `distance` away
    in a random direction, of which the y coordinate is halved. Source: Beale, On an iterative method for finding
    a local minimum of a function of more than one variable, 1958; as listed by Jamil and Yang, A literature survey
    of benchmark functions for global optimisation problems, 2013 (arXiv 1308.4008).
    """

    def __init__(self, *, input_shape: Shape, distance: float = 1.0) -> None:
        require(distance > 0, f"distance must be above 0, not {distance:g}")
        angle = torch.rand(1).item() * 2 * math.pi
        start = [3 + distance * math.cos(angle), 0.5 + 0.5 * distance * math.sin(angle)]
        super().__init__(torch.tensor(start), input_shape)

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        a, y = x[0], x[1]
        first, second, third = 1.5 - a + a * y, 2.25 - a + a * y**2, 2.625 - a + a * y**3
        return first.square() + second.square() + third.square()


class Saddle(Plane):
    """f(x, y) = ½ x² + ¼ (y² - 1)², with a saddle at the origin and minima at (0, ±1).

    The start is 1 away from the saddle along x, and `offset` along y, so the gradient away from it is as small
    as that. Source: the saddle of Dauphin et al., Identifying and attacking the saddle point problem in
    high-dimensional non-convex optimization, 2014 (arXiv 1406.2572), bounded by a fourth power.
    """

    def __init__(self, *, input_shape: Shape, offset: float = 0.1) -> None:
        require(offset >= 0, f"offset must be at least 0, not {offset:g}")
        sign = torch.randint(2, (1,)).item() * 2 - 1
        x = 1 + 0.1 * torch.randn(1).item()
        super().__init__(torch.tensor([x, sign * offset]), input_shape)

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        return 0.5 * x[0].square() + 0.25 * (x[1].square() - 1).square()


class Plateau(Plane):
    """f(x, y) = 1 - exp(-½ (x² + y²)): a hole in a plain, whose gradient vanishes with the distance.

    The start is `distance` away in a random direction; at 6 the gradient is 1e-7, at 10 it is 2e-21. Source: the
    flat regions of Schaul, Antonoglou and Silver, Unit tests for stochastic optimization, 2014 (arXiv 1312.6055).
    """

    def __init__(self, *, input_shape: Shape, distance: float = 1.0) -> None:
        require(distance > 0, f"distance must be above 0, not {distance:g}")
        angle = torch.rand(1).item() * 2 * math.pi
        super().__init__(distance * torch.tensor([math.cos(angle), math.sin(angle)]), input_shape)

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        return -torch.expm1(-0.5 * x.square().sum())


class LayerScale(Objective):
    """f = ½ ‖W₃ W₂ W₁ - T‖² of a deep linear network with Wₖ = sₖ Vₖ, whose parameters are the Vₖ.

    The scales are s₁ = √r, s₂ = 1 and s₃ = 1/√r: parameters of the first layer are small and have large gradients,
    and those of the last are large and have small ones, by a ratio of r each, for the same network. The
    Wₖ begin near the identity, and T is the identity with noise, so that the minimum is 0. Source: the ratio of
    weights to gradients that differs between layers, You, Gitman and Ginsburg, Large batch training of
    convolutional networks, 2017 (arXiv 1708.03888).
    """

    target: Tensor

    def __init__(self, *, input_shape: Shape, ratio: float = 10.0, size: int = 4) -> None:
        require(ratio > 0, f"ratio must be above 0, not {ratio:g}")
        require(size >= 1, f"size must be at least 1, not {size}")
        self.scales = ratio**0.5, 1.0, ratio**-0.5
        first, second, third = (torch.eye(size) + 0.1 * torch.randn(size, size) for _ in range(3))
        super().__init__(first / self.scales[0], input_shape)
        self.second = torch.nn.Parameter(second / self.scales[1])
        self.third = torch.nn.Parameter(third / self.scales[2])
        self.register_buffer("target", torch.eye(size) + 0.3 * torch.randn(size, size))

    def gap(self, x: Tensor) -> Tensor:
        """See Objective; `x` is V₁."""
        first, _, last = self.scales
        product = (last * self.third) @ self.second @ (first * x)
        return 0.5 * (product - self.target).square().sum()
