"""Records what a step does with tensors, which a graph repeats with the same tensors."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.training.torch_internals import FakeTensor, TorchDispatchMode, tree_leaves, without_modes

if TYPE_CHECKING:
    from collections.abc import Sequence

    Call = tuple[str, tuple[object, ...]]
    """An operation with its numbers, and those of its tensors that the step has not made itself."""

SMALL = 4096
"""Entries of a tensor on the host that is compared by its values; of a larger one, only where it lies."""

PLAIN = (bool, int, float, complex, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
"""Arguments that are what they read as; of others, such as generators, only the type is compared."""


class Trace(TorchDispatchMode):
    """Writes down every operation, with its numbers and with which tensors are from outside of the step.

    Args:
        device: Where the step is made. Tensors on the host are compared by their values, unless that is it.

    Attributes:
        calls: The operations, in order.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.calls: list[Call] = []
        self.outside: set[int] = set()
        self.made: set[int] = set()  # within the step; in the next they may lie elsewhere

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See TorchDispatchMode."""
        flat = tree_leaves((args, kwargs or {}))
        numbers = [_named(value) for value in flat if not isinstance(value, torch.Tensor)]
        tensors = tuple(self._which(value) for value in flat if isinstance(value, torch.Tensor))
        if func.namespace != "profiler":  # torch's own marks around a step
            self.calls.append((f"{func}({', '.join(numbers)})", tensors))
        result = self.run(func, args, kwargs or {})
        made = {_memory(value) for value in tree_leaves(result) if isinstance(value, torch.Tensor)}
        self.made |= made - self.outside
        return result

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Carries it out."""
        return func(*args, **kwargs)

    def _which(self, tensor: torch.Tensor) -> object:
        """Its place or its values; None for a tensor that the step has made itself, and for a fake one."""
        if isinstance(tensor, FakeTensor):
            return None
        on_host = tensor.device.type == "cpu" != self.device.type
        if on_host and tensor.layout == torch.strided and tensor.numel() <= SMALL:
            with without_modes():
                return repr(tensor.tolist())
        memory = _memory(tensor)
        if memory in self.made:
            return None
        self.outside.add(memory)
        return memory, tensor.storage_offset() if memory else 0, tuple(tensor.shape)


def _named(value: object) -> str:
    return repr(value) if isinstance(value, PLAIN) else type(value).__name__


def _memory(tensor: torch.Tensor) -> int:
    """The address of its memory; 0 where it has none: it is fake, or sparse."""
    if isinstance(tensor, FakeTensor):
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def difference(first: Sequence[Call], second: Sequence[Call]) -> str:
    """Returns the first difference between two steps, in words; empty if they do the same."""
    for one, other in zip_longest(first, second):
        if one == other:
            continue
        if one is None or other is None or one[0] != other[0]:
            here, there = (call[0] if call else "no more" for call in (one, other))
            return f"one step does {here} where the next does {there}"
        return f"one step does {one[0]} with other tensors than the next"
    return ""
