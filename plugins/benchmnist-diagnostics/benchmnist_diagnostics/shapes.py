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
    and up to 1 across; the minimum is drawn from the normal distribution. Source: Hinton, Srivastava and Swersky,
    Neural Networks for Machine Learning (2012), lecture 6, "Overview of mini-batch gradient descent".
    """

    def __init__(self, *, input_shape: Shape, steepness: float = 10.0) -> None:
        require(steepness > 0, f"steepness must be above 0, not {steepness:g}")
        super().__init__(_turned(torch.rand(1).item() * 2 - 1, -2.0), input_shape, torch.randn(2))
        self.steepness = steepness

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """See Plane."""
        return 0.25 * (self.steepness * (x - y).square() + (x + y).square())


class Rosenbrock(Plane):
    """f(x, y) = (1 - x)² + b (y - x²)², whose narrow valley is curved; the minimum is at (1, 1).

    The start is the usual (-1.2, 1), moved by a tenth of a normal number. Source: Rosenbrock, An automatic method
    for finding the greatest or least value of a function, The Computer Journal 3 (1960), where b = 100.
    """

    def __init__(self, *, input_shape: Shape, b: float = 10.0) -> None:
        require(b > 0, f"b must be above 0, not {b:g}")
        super().__init__(torch.tensor([-1.2, 1.0]) + 0.1 * torch.randn(2), input_shape)
        self.b = b

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """See Plane."""
        return (1 - x).square() + self.b * (y - x.square()).square()


class Beale(Plane):
    """f(x, y) = (1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)², with its minimum at (3, 0.5).

    Around y = 1 it is flat, and towards the corners of the plane it is steep. The start is `distance` away
    in a random direction, of which the y coordinate is halved. Source: Beale, On an iterative method for finding
    a local minimum of a function of more than one variable, 1958; as listed by Jamil and Yang, A literature survey
    of benchmark functions for global optimisation problems, 2013 (arXiv 1308.4008).
    """

    def __init__(self, *, input_shape: Shape, distance: float = 1.0) -> None:
        require(distance > 0, f"distance must be above 0, not {distance:g}")
        start = torch.tensor([3.0, 0.5]) + torch.tensor([1.0, 0.5]) * _somewhere(distance)
        super().__init__(start, input_shape)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """See Plane."""
        first, second, third = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
        return first.square() + second.square() + third.square()


class Saddle(Plane):
    """f(x, y) = ½ s u² + ¼ (v² - 1)², with u = (x - y)/√2 and v = (x + y)/√2: a saddle at 0, and minima at v = ±1.

    The start is about 1 away from the saddle along u, and `offset` away along v, where the gradient is as small as
    that: a method has to get out along v at a rate at which it does not diverge along u, whose curvature is s, the
    `sharpness`. Source: the saddle of Dauphin et al., Identifying and attacking the saddle point problem in
    high-dimensional non-convex optimization, 2014 (arXiv 1406.2572), bounded by a fourth power.
    """

    def __init__(self, *, input_shape: Shape, sharpness: float = 10.0, offset: float = 1e-3) -> None:
        require(sharpness > 0, f"sharpness must be above 0, not {sharpness:g}")
        require(offset >= 0, f"offset must be at least 0, not {offset:g}")
        sign = torch.randint(2, (1,)).item() * 2 - 1
        super().__init__(_turned(1 + 0.1 * torch.randn(1).item(), sign * offset), input_shape)
        self.sharpness = sharpness

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """See Plane."""
        return 0.25 * (self.sharpness * (x - y).square() + (0.5 * (x + y).square() - 1).square())


FAR = 20.0
"""Distance of the hole of `Plateau` from the point whose parameters are 0."""


class Plateau(Plane):
    """f(x, y) = 1 - exp(-½ (x² + y²)): a hole in a plain, whose gradient vanishes with the distance.

    The start is `distance` away from the hole in a random direction. The hole is FAR away from where the
    parameters are 0, so that a weight decay does not lead to it. At 6 the gradient is 1e-7, at 10 it is 2e-21, and
    from 15 on it is 0 in float32. Source: the flat regions of Schaul, Antonoglou and Silver, Unit tests for
    stochastic optimization, 2014 (arXiv 1312.6055).
    """

    def __init__(self, *, input_shape: Shape, distance: float = 1.0) -> None:
        require(distance > 0, f"distance must be above 0, not {distance:g}")
        start, origin = _somewhere(distance), _somewhere(FAR)
        super().__init__(start, input_shape, origin)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """See Plane. The gradient of expm1 would be rounded to 0 from a distance of 6 on."""
        return 1 - torch.exp(-0.5 * (x.square() + y.square()))


def _somewhere(distance: float) -> Tensor:
    """Draws a point so far away from 0, in any direction."""
    angle = torch.rand(1).item() * 2 * math.pi
    return distance * torch.tensor([math.cos(angle), math.sin(angle)])


def _turned(u: float, v: float) -> Tensor:
    """Returns the point (x, y) with (x - y)/√2 = u and (x + y)/√2 = v."""
    return math.sqrt(0.5) * torch.tensor([v + u, v - u])


class LayerScale(Objective):
    """f = ½ ‖W₃ W₂ W₁ - T‖² of a deep linear network with Wₖ = sₖ Vₖ, whose parameters are the Vₖ.

    The scales are s₁ = √r, s₂ = 1 and s₃ = 1/√r: parameters of the first layer are small and have large gradients,
    and those of the last are large and have small ones, by a ratio of r each, for the same network. Its hidden
    layers are half as wide as the others, so that the first and the last have to learn, both. The Wₖ begin near
    the identity, and T is a product of two such matrices with more noise, so that the minimum is 0. Source: the
    ratio of weights to gradients that differs between layers, You, Gitman and Ginsburg, Large batch training of
    convolutional networks, 2017 (arXiv 1708.03888).
    """

    target: Tensor

    def __init__(self, *, input_shape: Shape, ratio: float = 10.0, size: int = 4) -> None:
        require(ratio > 0, f"ratio must be above 0, not {ratio:g}")
        require(size >= 2, f"size must be at least 2, not {size}")  # noqa: PLR2004 - and half of it at least 1
        self.scales = ratio**0.5, 1.0, ratio**-0.5
        hidden = size // 2
        shapes = (hidden, size), (hidden, hidden), (size, hidden)
        first, second, third = (torch.eye(*shape) + 0.1 * torch.randn(shape) for shape in shapes)
        super().__init__(first / self.scales[0], input_shape)
        self.second = torch.nn.Parameter(second / self.scales[1])
        self.third = torch.nn.Parameter(third / self.scales[2])
        last, begin = (torch.eye(*shape) + 0.3 * torch.randn(shape) for shape in (shapes[2], shapes[0]))
        self.register_buffer("target", last @ begin)

    def gap(self, x: Tensor) -> Tensor:
        """See Objective; `x` is V₁."""
        first, _, last = self.scales
        product = (last * self.third) @ self.second @ (first * x)
        return 0.5 * (product - self.target).square().sum()
