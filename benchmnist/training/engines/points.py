"""Hyperparameter points in a stack: each has an optimizer of its own, for its rows of the stacked weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmnist.errors import TrialError
from benchmnist.training.optimizer_state import state_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from torch import Tensor


class Rows:
    """The rows of one point: leaves that share their memory with the stacked weights.

    Args:
        one: The model of a row.
        stacked: The stacked parameters, by name.
        rows: The rows of the point.

    Attributes:
        model: A model with these leaves, for the optimizer; it cannot be called.
    """

    def __init__(self, one: nn.Module, stacked: Mapping[str, Tensor], rows: slice) -> None:
        self.rows = rows
        self.pairs: list[tuple[Tensor, nn.Parameter]] = []
        instead: dict[int, Any] = {}
        for name, parameter in one.named_parameters():
            leaf = nn.Parameter(stacked[name].detach()[rows], requires_grad=parameter.requires_grad)
            self.pairs.append((stacked[name], leaf))
            instead[id(parameter)] = leaf
        self.model = copy.deepcopy(one, instead)

    def take_gradients(self) -> None:
        """Gives each leaf its rows of the stacked gradient; nothing is copied."""
        for whole, leaf in self.pairs:
            leaf.grad = None if whole.grad is None else whole.grad[self.rows]


class PointsOptimizer(torch.optim.Optimizer):
    """The optimizers of the points, each on its own rows, with what the point says.

    Args:
        stacked: The stacked parameters.
        parts: The optimizers.
        rows: The rows of each.

    Raises:
        TrialError: if one of them clears gradients in a way of its own, which would not be called.
    """

    def __init__(
        self, stacked: Sequence[Tensor], parts: Sequence[torch.optim.Optimizer], rows: Sequence[Rows]
    ) -> None:
        super().__init__([*stacked], {})
        if any(type(part).zero_grad is not torch.optim.Optimizer.zero_grad for part in parts):
            raise TrialError("the optimizer clears gradients in a way of its own")
        self.parts, self.rows = [*parts], [*rows]
        self.whole = [*stacked]
        self.going = [True] * len(self.parts)
        self.param_groups = [group for part in parts for group in part.param_groups]  # the same dicts

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the stacked gradients, of which those of the points are views."""
        for parameter in self.whole:
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.zero_()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # noqa: ARG002
        """Makes a step of each point; none asks for a closure, or it would not be stacked."""
        for part, rows, going in zip(self.parts, self.rows, self.going, strict=True):
            if going:
                rows.take_gradients()
                part.step()

    def leave(self, ended: AbstractSet[int]) -> None:
        """Makes no further step of points all of whose rows have ended."""
        self.going = [not ended >= {*range(rows.rows.stop)[rows.rows]} for rows in self.rows]

    def require_rows(self) -> None:
        """Checks that the weights of each point are its rows still.

        Raises:
            TrialError: if an optimizer has put other tensors in their place: those would be trained or tested.
        """
        for rows in self.rows:
            if any(leaf.data_ptr() != whole[rows.rows].data_ptr() for whole, leaf in rows.pairs):
                raise TrialError("the optimizer puts other tensors in the place of its weights")

    def learning_rate_of(self, row: int) -> float | None:
        """Learning rate of a row in the next step; None if it has none."""
        part, _ = self._of(row)
        rate = part.param_groups[0].get("lr")
        return None if rate is None else float(rate)

    def state_bytes_of(self, row: int) -> int:
        """Bytes of the state that the optimizer of a row has for it."""
        part, rows = self._of(row)
        return state_bytes(part, rows.rows.stop - rows.rows.start)

    def _of(self, row: int) -> tuple[torch.optim.Optimizer, Rows]:
        """Returns the optimizer of a row, and all rows of its point."""
        return next(each for each in zip(self.parts, self.rows, strict=True) if row < each[1].rows.stop)

    def train(self) -> None:
        """Makes optimizers that have modes ready to train."""
        for part in self.parts:
            part.train()  # type: ignore[attr-defined]

    def eval(self) -> None:
        """Makes optimizers that have modes ready to be tested."""
        for part in self.parts:
            part.eval()  # type: ignore[attr-defined]


class PointsSchedule:
    """The schedules of the points."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = [*parts]

    def step(self) -> None:
        """Makes a step of each."""
        for part in self.parts:
            part.step()
