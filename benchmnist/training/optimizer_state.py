"""Looks into optimizers: those that one is made of, and the bytes of its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, optim

if TYPE_CHECKING:
    from collections.abc import Iterator


def parts_of(optimizer: optim.Optimizer) -> Iterator[tuple[tuple[str, int | None], optim.Optimizer]]:
    """Yields the optimizers among the attributes of an optimizer, each with where it is.

    That is an attribute, and an index if the attribute is a sequence.
    """
    for name, value in vars(optimizer).items():
        if isinstance(value, optim.Optimizer):
            yield (name, None), value
        elif isinstance(value, (list, tuple)):
            yield from (((name, i), each) for i, each in enumerate(value) if isinstance(each, optim.Optimizer))


def state_bytes(optimizer: optim.Optimizer, rows: int = 1) -> int:
    """Returns the bytes of all tensors in the state of an optimizer and of its parts, for one trial.

    The weights themselves do not count.

    Args:
        optimizer: The optimizer.
        rows: Trials in its stack: whatever has a dimension is stacked.
    """
    weights = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    tensors = {id(each): each for each in _state(optimizer) if id(each) not in weights}
    return sum(each.numel() * each.element_size() // (rows if each.ndim else 1) for each in tensors.values())


def _state(optimizer: optim.Optimizer) -> Iterator[Tensor]:
    yield from _tensors(optimizer.state)
    for _, part in parts_of(optimizer):
        yield from _state(part)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in a value, however deep in its dicts and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)
