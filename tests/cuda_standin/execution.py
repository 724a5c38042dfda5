"""How an operation on a card is executed: by the rules of the stream that it is put into."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from cuda_standin.generators import state_of
from cuda_standin.machine import current
from cuda_standin.plans import ADOPTING, plan_of
from cuda_standin.tensors import CudaTensor, block_of, changed, on_the_cpu, plain, spoil, tensors_in, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from cuda_standin.machine import Machine
    from cuda_standin.parts import Block, Queue

OUT_OF_RANGE = re.compile(r"out of (DATA )?(range|bounds)")

SPECIAL: dict[Any, Callable[..., Any]] = {}
"""Operations that are not executed as their schema says, and how they are; see moves.py."""


class Call:
    """An operation with its arguments, on its way to a card."""

    __slots__ = ("args", "func", "kwargs", "plan", "reads", "writes")

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func, self.args, self.kwargs, self.plan = func, args, kwargs, plan_of(func)
        self.reads: list[Block] = []
        self.writes: list[Block] = []
        strange = None
        for key, value in self.items():
            into = self.writes if key in self.plan.writes else self.reads
            for tensor in (value,) if type(value) is CudaTensor else tensors_in(value):
                if type(tensor) is CudaTensor:
                    into.append(tensor._block)
                elif tensor.ndim and self.plan.name not in ADOPTING:
                    strange = tensor
        cards = {block.card for block in self.blocks()}
        if len(cards) > 1 or (strange is not None and cards):
            other = "cpu" if strange is not None else f"cuda:{max(cards)}"
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:{min(cards)} and {other}! (when executing {func})"
            )

    def items(self) -> Iterator[tuple[int | str, Any]]:
        """The arguments by position or name."""
        yield from enumerate(self.args)
        yield from self.kwargs.items()

    def blocks(self) -> Iterator[Block]:
        """Every block that it touches."""
        yield from self.reads
        yield from self.writes

    def argument(self, key: int | str) -> Any:
        """An argument by position or name."""
        return self.kwargs.get(key) if isinstance(key, str) else self.args[key]

    def with_generator(self, engine: torch._C.Generator) -> Call:
        """The same, drawing from an engine."""
        key = self.plan.generator
        if key is None:
            self.func = _Borrowing(self.func, engine)
        elif isinstance(key, str):
            self.kwargs = {**self.kwargs, key: engine}
        else:
            self.args = (*self.args[:key], engine, *self.args[key + 1 :])
        return self

    def compute(self) -> Any:
        """Executes it on the CPU."""
        with on_the_cpu():
            return self.func(*self.args, **self.kwargs)

    def imagine(self, capture: object = None) -> Any:
        """What it would return, of the right shapes, with no sensible values; changes nothing.

        What has no values yet, since it was made in the capture, is taken to be one, or index zero.
        """

        def harmless(tensor: Tensor) -> Tensor:
            if type(tensor) is CudaTensor and (capture is None or tensor._block.capture is capture):
                value = 1 if tensor.is_floating_point() else 0
                with on_the_cpu():
                    made = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype)
                    return made.fill_(value)
            return plain(tensor)

        def unwritten(key: int | str, value: Any) -> Any:
            if key in self.plan.out:
                return changed(value, lambda tensor: plain(tensor).new_empty(0))
            made = changed(value, harmless)
            return changed(made, lambda tensor: tensor.clone()) if key in self.plan.writes else made

        args = tuple(unwritten(key, value) for key, value in enumerate(self.args))
        kwargs = {key: unwritten(key, value) for key, value in self.kwargs.items()}
        call = Call.__new__(Call)
        call.func, call.args, call.kwargs, call.plan = self.func, args, kwargs, self.plan
        if self.plan.random:
            call.with_generator(torch._C.Generator())
        known = current().blocks

        def garbage(tensor: Tensor) -> Tensor:  # unless it is one of the arguments
            return tensor if tensor.untyped_storage()._cdata in known else spoil(tensor)

        return changed(call.compute(), garbage)


class _Borrowing:
    """An operation that draws from torch's default generator, given another engine for it."""

    def __init__(self, func: Any, engine: torch._C.Generator) -> None:
        self.func, self.engine = func, engine

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        default = torch.default_generator
        before = default.get_state()
        default.set_state(self.engine.get_state())
        try:
            return self.func(*args, **kwargs)
        finally:
            self.engine.set_state(default.get_state())
            default.set_state(before)


def execute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Executes an operation on a card, or records it where the card's stream is capturing."""
    machine = current()
    special = SPECIAL.get(func)
    if special is not None:
        return special(machine, *args, **kwargs)
    call = Call(func, args, kwargs)
    plan = call.plan
    card = next(call.blocks()).card
    queue = machine.queue(card)
    if plan.view:
        result = wrap(call.compute(), machine, queue)
        for tensor in tensors_in([call.argument(key) for key in plan.writes]):
            tensor._block = block_of(tensor, machine, queue)  # type: ignore[attr-defined]
        return result
    return launched(machine, queue, call)


def launched(machine: Machine, queue: Queue, call: Call) -> Any:
    """Executes or records what runs on a device, by the rules of its stream."""
    plan = call.plan
    machine.check()
    if plan.allocating:
        return spoil(wrap(call.compute(), machine, queue))
    if plan.waiting:
        machine.warn_of_sync()
        machine.not_while_capturing()
    if plan.random:
        given = None if plan.generator is None else dict(call.items()).get(plan.generator)
        call.with_generator(state_of(given, queue.card).draw(queue))
    if plan.product:
        machine.workspace(queue)
    if queue.capture is not None:
        return queue.capture.record(call)
    machine.launch(queue, call.reads, call.writes, str(call.func))
    result = _computed(machine, call)
    if plan.waiting:
        machine.host_waits(queue.moment())
    for tensor in tensors_in([call.argument(key) for key in plan.out]):
        tensor._block = block_of(tensor, machine, queue)  # type: ignore[attr-defined]
    return wrap(result, machine, queue)


def _computed(machine: Machine, call: Call) -> Any:
    """What it comes to; an index out of range is a fault of the device, which the host learns of later."""
    try:
        return call.compute()
    except (IndexError, RuntimeError) as error:
        if not call.plan.indexing or not OUT_OF_RANGE.search(str(error)):
            raise
        machine.fault = machine.fault or "device-side assert triggered"
        return call.imagine()


CudaTensor.execute = staticmethod(execute)
