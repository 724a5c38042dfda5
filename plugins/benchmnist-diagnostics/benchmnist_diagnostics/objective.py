"""The base class of the functions: a model whose parameters are the point, and what is done to its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


def require(condition: bool, text: str) -> None:
    """Refuses a parameter.

    Raises:
        ValueError: if the condition does not hold.
    """
    if not condition:
        raise ValueError(text)


class Objective(nn.Module):
    """A function of one vector, the parameter `x`; the task `function` describes what it returns.

    Subclasses have `gap`, and `surrogate` where training differs from it. What they remember from step to step
    lies in buffers, which change in place and in training only, so that seeds can be stacked and steps
    captured. They draw the starting point, and all else that differs between seeds, from torch's generator.

    Args:
        start: Starting point, [size].
        input_shape: Shape of an example of noise, (1, 1, width).
        width: Numbers of the noise that the function reads.

    Raises:
        ValueError: if an example has fewer.
    """

    def __init__(self, start: Tensor, input_shape: tuple[int, int, int], width: int = 0) -> None:
        super().__init__()
        there = input_shape[0] * input_shape[1] * input_shape[2]
        require(
            there >= width, f"it reads {width} random numbers per step, and the dataset has {there}; set its width"
        )
        self.x = nn.Parameter(start.clone())

    def gap(self, x: Tensor) -> Tensor:
        """Computes the value at a point without noise, less the minimum: a scalar."""
        raise NotImplementedError

    def surrogate(self, x: Tensor, noise: Tensor) -> Tensor:  # noqa: ARG002 - for subclasses
        """Computes the scalar whose gradient is used in training.

        Args:
            x: The point.
            noise: Numbers in [0, 1), [N, width]: those of the examples of a batch.
        """
        return self.gap(x)

    def forward(self, examples: Tensor) -> Tensor:
        """Returns a row for each example; see the task `function`."""
        if self.training:
            return self.surrogate(self.x, examples.flatten(1)).expand(len(examples), 1)
        return self.gap(self.x).expand(len(examples), 1)


class Plane(Objective):
    """A function of two parameters, whose path is drawn: in testing it returns its coordinates, too.

    Args:
        start: Starting point, [2].
        input_shape: As of Objective.
        origin: The origin of the formula among the parameters, [2]; 0 by default. It is drawn where the minimum
            is at the origin: a weight decay must not find it.
    """

    origin: Tensor

    def __init__(self, start: Tensor, input_shape: tuple[int, int, int], origin: Tensor | None = None) -> None:
        origin = torch.zeros(2) if origin is None else origin
        super().__init__(start + origin, input_shape)
        self.register_buffer("origin", origin)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """Computes the formula."""
        raise NotImplementedError

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        return self.height(*(x - self.origin))

    def forward(self, examples: Tensor) -> Tensor:
        """See Objective."""
        if self.training:
            return super().forward(examples)
        return torch.cat([self.gap(self.x).view(1), self.x - self.origin]).expand(len(examples), -1)


class Bowl(Objective):
    """f(x) = ½ Σ cᵢ (xᵢ - x*ᵢ)² with curvatures c from 1 to `condition`, evenly spaced in the logarithm.

    The minimum x* is drawn from the normal distribution, and the start lies 0.5 to 1.5 away from it in each
    coordinate: were it always 1, the first step of Adagrad at a rate of 1 would lead to the minimum. Functions
    that are hard for another reason than their shape are made from it.
    """

    curvature: Tensor
    minimum: Tensor

    def __init__(self, input_shape: tuple[int, int, int], condition: float, size: int, width: int = 0) -> None:
        require(condition >= 1, f"condition must be at least 1, not {condition:g}")
        require(size >= 1, f"size must be at least 1, not {size}")
        minimum = torch.randn(size)
        super().__init__(minimum + away(size), input_shape, width)
        self.register_buffer("minimum", minimum)
        self.register_buffer("curvature", condition ** torch.linspace(0, 1, size))

    def gap(self, x: Tensor) -> Tensor:
        """See Objective."""
        return 0.5 * (self.curvature * (x - self.minimum).square()).sum()


def away(*shape: int) -> Tensor:
    """Draws distances from 0.5 to 1.5, each with a random sign."""
    signs = torch.randint(2, shape) * 2.0 - 1
    return signs * (0.5 + torch.rand(shape))


def with_gradient(value: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
    """Returns a scalar with this value, whose gradient in `x` is `gradient` in addition to that of the value."""
    return value + (gradient * (x - x.detach())).sum()
