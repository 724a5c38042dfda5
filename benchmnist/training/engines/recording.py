"""Records the operations of a step on the CPU, to repeat them without Python, autograd and the optimizer."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.overrides import TorchFunctionMode

from benchmnist.errors import CaptureError
from benchmnist.training.products import computed_by_onednn
from benchmnist.training.torch_internals import (
    ONEDNN_PRODUCT,
    Number,
    Program,
    Ref,
    TorchDispatchMode,
    WeakTensorKeyDictionary,
    arguments_of,
    tree_leaves,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

ATEN = torch.ops.aten

READERS = frozenset({"numpy", "tolist", "data_ptr", "untyped_storage", "__array__", "__dlpack__"})
"""Functions of a tensor that give its values, or where they lie, to Python: what is done with them is not seen."""

SHAPED_BY_VALUES, RESHAPING = torch.Tag.dynamic_output_shape, torch.Tag.inplace_view


@dataclass(frozen=True)
class Call:
    """An operation.

    Attributes:
        func: The operation, with its overload.
        args: Arguments in the order of its schema, with a Ref for each tensor.
        results: Numbers of the tensors that it makes; None for one that was there before.
    """

    func: Any
    args: tuple[object, ...]
    results: tuple[int | None, ...]


class Recording(TorchDispatchMode):
    """Writes down the operations of a step while it is executed, backward and update included.

    Args:
        inputs: Tensors that differ from step to step.
        onednn: Whether products are computed by oneDNN.
        rates: Learning rates of the step by parameter group, if they differ from step to step.

    Attributes:
        calls: The operations, in order.
        outside: Tensors that the step has not made: the inputs, then parameters, data and states by first use.
        refused: Reason why the step must not be repeated; empty if there is none.
    """

    def __init__(self, inputs: Sequence[Tensor], *, onednn: bool, rates: Sequence[float] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.outside: list[Tensor] = [*inputs]
        self.refused = ""
        self.inputs, self.onednn, self.rates = len(inputs), onednn, [*rates]
        self.numbers = {rate: number for number, rate in enumerate(dict.fromkeys(rates))}
        # By weak references: autograd copies a gradient that anything else refers to.
        self._refs = WeakTensorKeyDictionary()
        for index, tensor in enumerate(inputs):
            self._refs[tensor] = Ref(outside=True, number=index)
        self._made = 0
        self._transposed: dict[int | None, Ref] = {}
        self._reads = ExitStack()

    def __enter__(self) -> Self:
        """Begins to record."""
        self._reads.enter_context(_Reads(self))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._reads.close()

    def refuse(self, reason: str) -> None:
        """Keeps the first reason. Raising it could meet a model that catches everything."""
        self.refused = self.refused or reason

    def program(self, loss: Tensor) -> Callable[..., Tensor]:
        """Returns a function that repeats the step and returns the loss.

        It is given the tensors from outside, and then the `distinct` learning rates of the step.

        Raises:
            Exception: whatever torch raises if it has no such operation in a program.
        """
        program = Program(len(self.outside), len(self.numbers))
        for call in self.calls:
            program.add(call.func, call.args, call.results)
        return program.returning(self._refs[loss])

    def distinct(self, rates: Sequence[float]) -> list[float]:
        """Returns the learning rates of another step, one for each of those that differ in the recorded one.

        Raises:
            CaptureError: if groups that had the same rate when the step was recorded have it no more.
        """
        found: dict[int, float] = {}
        for recorded, rate in zip(self.rates, rates, strict=True):
            if found.setdefault(self.numbers[recorded], rate) != rate:
                raise CaptureError("parameter groups had the same learning rate when the step was recorded")
        return [*found.values()]

    def difference(self, other: Recording) -> str:
        """Returns what a later step of the trial does otherwise, in words; empty if it does the same."""
        for one, other_one in zip_longest(self.calls, other.calls):
            here, there = (call.func if call else "no more" for call in (one, other_one))
            if here != there:
                return f"one step does {here} where the next does {there}"
            if one != other_one:
                return f"one step does {here} with other numbers or other tensors than the next"
        pairs = [*zip_longest(self.outside, other.outside)][self.inputs :]
        return "" if all(one is two for one, two in pairs) else "one step works with other tensors than the next"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See TorchDispatchMode."""
        kwargs = kwargs or {}
        if func.namespace == "profiler":  # torch's own marks around a step
            return func(*args, **kwargs)
        given = [*tree_leaves((args, kwargs))]
        self._look_at(func, given)
        written: tuple[Any, ...] = tuple(
            Number(self.numbers[value])
            if name == "lr" and type(value) is float and value in self.numbers
            else self._written(value)
            for name, value in arguments_of(func, args, kwargs).items()
        )
        result = func(*args, **kwargs)
        if func is ATEN.detach.default:  # autograd's own: the same memory, and nothing here asks for gradients
            self._refs[result] = written[0]
            return result
        if self.onednn and computed_by_onednn(func, args, kwargs):
            bias, a, b = (None, *written) if func is ATEN.mm.default else written[:3]
            func, written = ONEDNN_PRODUCT, (a, self._transpose(b), bias, "none", [], "")
        results = tuple(self._results(func, result))
        self.calls.append(Call(func, written, results))
        if func is ATEN.t.default:
            self._transposed[results[0]] = written[0]
        return result

    def _look_at(self, func: Any, given: list[object]) -> None:
        by_values = SHAPED_BY_VALUES in func.tags
        if by_values and func is ATEN.index.Tensor:  # only a mask decides how many there are
            by_values = any(isinstance(each, torch.Tensor) and each.dtype in MASKS for each in given)
        if by_values or RESHAPING in func.tags:
            self.refuse(f"a step changes shapes by {func}")
        if func is ATEN.lift_fresh.default:
            self.refuse("a step makes a tensor of numbers on the host")
        for each in given:
            if isinstance(each, torch.Generator):
                self.refuse("a step draws from a generator of its own")
            if isinstance(each, torch.Tensor) and type(each) not in (torch.Tensor, torch.nn.Parameter):
                self.refuse(f"a step computes with a {type(each).__name__}")

    def _transpose(self, matrix: Ref) -> Ref:
        """Transposes a matrix; one that is a transpose already is undone."""
        if not matrix.outside and matrix.number in self._transposed:
            return self._transposed[matrix.number]
        self.calls.append(Call(ATEN.t.default, (matrix,), (self._made,)))
        self._made += 1
        return Ref(outside=False, number=self._made - 1)

    def _written(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if value not in self._refs:
                self._refs[value] = Ref(outside=True, number=len(self.outside))
                self.outside.append(value)
            return self._refs[value]
        return [self._written(each) for each in value] if isinstance(value, (list, tuple)) else value

    def _results(self, func: Any, result: Any) -> list[int | None]:
        results: list[int | None] = []
        for each in result if isinstance(result, (list, tuple)) else (result,):
            if each is None or (isinstance(each, torch.Tensor) and each in self._refs):
                results.append(None)
            elif isinstance(each, torch.Tensor):
                self._refs[each] = Ref(outside=False, number=self._made)
                results.append(self._made)
                self._made += 1
            else:
                self.refuse(f"a step reads a value by {func}")
        return results


MASKS = (torch.bool, torch.uint8)


class _Reads(TorchFunctionMode):
    """Notices what Python reads of a tensor without an operation."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See TorchFunctionMode."""
        if getattr(func, "__name__", "") in READERS:
            self.recording.refuse(f"a step reads a value by {func.__name__}")
        return func(*args, **(kwargs or {}))
