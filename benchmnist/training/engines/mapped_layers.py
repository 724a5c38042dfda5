"""Layers of a model that torch.func maps over the rows of a stack: nn's own would be slow or draw otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from benchmnist.errors import TrialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


class Noise:
    """A stream of random numbers for each seed: the one that it has when it is trained alone.

    On a CPU the state of the default generator is exchanged for each draw. On CUDA that would be a copy to the
    host, which cannot be captured: there each seed has a generator, whose state the default one borrows.
    """

    def __init__(self, seeds: int, device: torch.device) -> None:
        self.device = device
        cuda = device.type == "cuda"
        self.generators = tuple(torch.Generator(device) for _ in range(seeds if cuda else 0))
        self.states: list[Tensor] = []  # written in place

    def seed(self, seeds: Sequence[int]) -> None:
        """Begins the stream of each seed anew."""
        if self.generators:
            for generator, seed in zip(self.generators, seeds, strict=True):
                generator.manual_seed(seed)
            return
        if not self.states:
            self.states = [torch.get_rng_state() for _ in seeds]
        for state, seed in zip(self.states, seeds, strict=True):
            torch.manual_seed(seed)
            state.copy_(torch.get_rng_state())

    def lend(self, index: int) -> None:
        """Has the default generator go on as the stream of one seed would."""
        if self.generators:
            default = torch.cuda.default_generators[self.device.index or 0]
            default.set_state(self.generators[index].get_state())
        elif self.states:
            torch.set_rng_state(self.states[index])

    def dropped(self, shape: Sequence[int], like: Tensor, p: float) -> Tensor:
        """Draws what each seed's dropout multiplies by, [seeds, *shape], as nn.Dropout draws it."""
        ones = torch.ones(*shape, dtype=like.dtype, device=like.device)

        def draw() -> Tensor:
            return functional.dropout(ones, p)

        if self.generators:
            default = torch.cuda.default_generators[self.device.index or 0]
            own = default.graphsafe_get_state()
            drawn = []
            try:
                for generator in self.generators:
                    default.graphsafe_set_state(generator)
                    drawn.append(draw())
            finally:
                default.graphsafe_set_state(own)
            return torch.stack(drawn)
        drawn = []
        for index, state in enumerate(self.states):
            torch.set_rng_state(state)
            drawn.append(draw())
            self.states[index].copy_(torch.get_rng_state())
        return torch.stack(drawn)


class Dropout(nn.Dropout):
    """nn.Dropout in a mapped model: every seed draws from its own stream."""

    noise: Noise

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output of one seed, within the map."""
        if not self.training:
            return x
        mask: Tensor = _Mask.apply(x, self.p, self.noise)  # type: ignore[no-untyped-call]
        return x.mul_(mask) if self.inplace else x * mask


class Linear(nn.Linear):
    """The same product, from the other side: the gradient of the weights then comes out as they lie in memory.

    nn.Linear's, mapped, is copied in every step; on two cores that made eight stacked seeds 1.3 times as slow.
    On a GPU every operation costs its launch, so there the product adds the bias; on a CPU that is slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output of one seed, within the map."""
        bias: Tensor | None = self.bias
        device = self.weight.device.type
        if bias is None or device == "cpu" or torch.is_autocast_enabled(device):
            product = (self.weight @ x.mT).mT
            return product if bias is None else product + bias
        out: Tensor = _MappedProduct.apply(x, self.weight, bias)  # type: ignore[no-untyped-call]
        return out


class _Mapped(torch.autograd.Function):
    """A function that `vmap` computes for several seeds at once: subclasses say how."""

    @staticmethod
    def forward(*_: Any) -> Tensor:
        """Without a map there are no seeds to compute it for."""
        raise TrialError("a stack is called by its `losses`")

    @staticmethod
    def setup_context(*_: Any, **__: Any) -> None:
        """Keeps nothing."""


def _by_seed(info: Any, in_dims: Sequence[int | None], given: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yields tensors with the seeds as their first dimension; those that seeds share are repeated, not copied."""
    for tensor, where in zip(given, in_dims, strict=True):
        yield tensor.expand(info.batch_size, *tensor.shape) if where is None else tensor.movedim(where, 0)


class _MappedProduct(_Mapped):
    """`x @ weight.T + bias`."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Tensor) -> tuple[Tensor, int]:
        """Computes the outputs of all seeds."""
        x, weight, bias = _by_seed(info, in_dims, given)
        rows = x.flatten(1, -2) if x.ndim > 2 else x.unsqueeze(1)  # noqa: PLR2004 - a seed may give one vector
        out: Tensor = _Product.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
        return out.view(*x.shape[:-1], out.shape[-1]), 0


class _Product(torch.autograd.Function):
    """`x @ weight.mT + bias` of stacked matrices, with the gradient of the weights as they lie in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Computes the outputs, [stack, N, out], of x [stack, N, in] and weights [stack, out, in]."""
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Computes the gradients that are asked for."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if of_x else None,
            torch.bmm(gradient.mT, x) if of_weight else None,
            gradient.sum(1) if of_bias else None,
        )


def _normalised(layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, x: Tensor) -> Tensor | None:
    """The output of a batch normalisation for one seed, within the map; None where nn's own is right.

    The channels of all seeds are normalised as those of one. torch.func's own rule takes ten kernels, forward and
    backward, where this takes four; on a CPU it is as fast.
    """
    own, count = x.device.type == "cpu" or torch.is_autocast_enabled(x.device.type), layer.num_batches_tracked
    if own or not layer.affine or not layer.momentum or count is None or x.ndim not in DIMENSIONS[type(layer)]:
        return None
    if layer.training:
        count.add_(1)
    tensors = x, layer.weight, layer.bias, layer.running_mean, layer.running_var
    how = layer.training, layer.momentum, layer.eps
    out: Tensor = _MappedBatchNorm.apply(*tensors, *how)  # type: ignore[no-untyped-call]
    return out


class _Normalises(nn.Module):
    """Stands before nn's batch normalisations in a mapped model."""

    def forward(self, x: Tensor) -> Tensor:
        out = _normalised(self, x)  # type: ignore[arg-type]
        return super().forward(x) if out is None else out


class _BatchNorm1d(_Normalises, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_Normalises, nn.BatchNorm2d):
    pass


class _BatchNorm3d(_Normalises, nn.BatchNorm3d):
    pass


DIMENSIONS: dict[type[nn.Module], tuple[int, ...]] = {_BatchNorm1d: (2, 3), _BatchNorm2d: (4,), _BatchNorm3d: (5,)}
"""Number of dimensions of the input of a batch normalisation has."""

MAPPED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: Dropout,
    nn.Linear: Linear,
    nn.BatchNorm1d: _BatchNorm1d,
    nn.BatchNorm2d: _BatchNorm2d,
    nn.BatchNorm3d: _BatchNorm3d,
}
"""The classes of the layers of a mapped model, by nn's own."""


class _MappedBatchNorm(_Mapped):
    """Batch normalisation."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Any) -> tuple[Tensor, int]:
        """Computes the outputs of all seeds, and moves their running statistics."""
        x, weight, bias, mean, var = _by_seed(info, in_dims[:5], given[:5])
        training, momentum, eps = given[5:]
        together = x.transpose(0, 1).flatten(1, 2)  # [N, seeds * channels, …]
        flat = (mean.view(-1), var.view(-1), weight.view(-1), bias.view(-1))
        out = functional.batch_norm(together, *flat, training, momentum, eps)
        return out.unflatten(1, x.shape[:1] + x.shape[2:3]).transpose(0, 1), 0


class _Mask(_Mapped):
    """The factors of dropout."""

    @staticmethod
    def backward(*_: Any) -> Any:
        """It does not depend on what is dropped."""
        return None, None, None

    @staticmethod
    def vmap(_: Any, in_dims: Any, x: Tensor, p: float, noise: Noise) -> tuple[Tensor, int]:
        """Draws the factors of all seeds."""
        batched = x.movedim(in_dims[0], 0)
        return noise.dropped(batched.shape[1:], batched, p), 0
