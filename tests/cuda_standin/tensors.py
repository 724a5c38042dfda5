"""Tensors that Python sees on a card: the values lie in the CPU's memory, and are computed there.

For C++ such a tensor is one of the CPU, of a subclass of torch.Tensor; so autograd, vmap, the optimizers' kernels and
everything else of torch works on it. What is above C++ sees `device` and `is_cuda` as on a card. Every operation
comes by `execute`, which holds it to the rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from cuda_standin.generators import state_of
from cuda_standin.machine import Machine, current
from cuda_standin.plans import ADOPTING, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from cuda_standin.machine import Block, Queue

aten = torch.ops.aten
OUT_OF_RANGE = re.compile(r"out of (range|bounds)|exceeds|index .* is out")
CPU = torch.device("cpu")
AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)


class on_the_cpu:  # noqa: N801 - it is used as a function
    """Within it operations are those of the CPU: they neither come here, nor are differentiated or cast."""

    __slots__ = ("guards",)

    def __enter__(self) -> None:
        self.guards = (
            torch._C._DisableTorchDispatch(),
            torch._C._AutoDispatchBelowAutograd(),
            torch._C._ExcludeDispatchKeyGuard(AUTOCAST),
        )
        for guard in self.guards:
            guard.__enter__()

    def __exit__(self, *error: Any) -> None:
        for guard in reversed(self.guards):
            guard.__exit__(*error)


class CudaTensor(torch.Tensor):
    """A tensor on a card."""

    _block: Block
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, _: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return execute(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self._block.card)

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    @property
    def data(self) -> Tensor:
        return torch._C.TensorBase.data.__get__(self)  # type: ignore[attr-defined,no-any-return]

    @data.setter
    def data(self, value: Tensor) -> None:
        torch._C.TensorBase.data.__set__(self, value)  # type: ignore[attr-defined]
        self._block = value._block  # type: ignore[attr-defined]

    def get_device(self) -> int:
        return self._block.card

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        return to(self, *args, **kwargs)

    def cpu(self, memory_format: Any = torch.preserve_format) -> Tensor:
        return move(self, CPU, memory_format=memory_format)

    def cuda(self, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> Tensor:
        target = torch.device("cuda", current().current_device) if device is None else card_of(device)
        return move(self, target, non_blocking=non_blocking, **kwargs)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.cpu().numpy(force=True)
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def new_tensor(self, data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
        return torch.tensor(data, device=self.device if device is None else device, dtype=kwargs.pop("dtype", self.dtype))

    def pin_memory(self, *_: Any) -> Tensor:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")

    def is_pinned(self, *_: Any) -> bool:
        return False

    def record_stream(self, stream: Any) -> None:
        """The memory is not reused before that stream has done its work; here nothing has to be done for it."""

    def __repr__(self, **_: Any) -> str:
        text = repr(self.detach().cpu())
        return f"{text[:-1]}, device='{self.device}')"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) in memo:
            return memo[id(self)]  # type: ignore[no-any-return]
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")
        with torch.no_grad():
            copied = self.detach().clone(memory_format=torch.preserve_format)
        copied.requires_grad_(self.requires_grad)
        memo[id(self)] = copied
        copied.__dict__.update({key: value for key, value in self.__dict__.items() if key != "_block"})
        if self.grad is not None:
            copied.grad = self.grad.__deepcopy__(memo)
        return copied

    def __reduce_ex__(self, _: Any) -> Any:
        attributes = {key: value for key, value in self.__dict__.items() if key != "_block"}
        return rebuilt, (self.detach().cpu(), str(self.device), self.requires_grad, attributes)


def rebuilt(values: Tensor, device: str, requires_grad: bool, attributes: dict[str, Any]) -> Tensor:
    """A tensor that was pickled."""
    made = move(values, card_of(device)).requires_grad_(requires_grad)
    made.__dict__.update(attributes)
    return made


def plain(tensor: Tensor) -> Tensor:
    """The same memory as an ordinary tensor of the CPU."""
    with on_the_cpu():
        return tensor.detach()


def card_of(device: Any) -> torch.device:
    """A device, with its index if it is a card."""
    found = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if found.type == "cuda" and found.index is None:
        torch.cuda.init()
        return torch.device("cuda", current().current_device)
    return found


def wrap(result: Any, machine: Machine, queue: Queue) -> Any:
    """Gives what was computed its place on the card: a block of its own, or that of what it is a view of."""
    if isinstance(result, CudaTensor):
        return result
    if isinstance(result, torch.Tensor):
        made: CudaTensor = torch.Tensor._make_subclass(CudaTensor, result)  # type: ignore[assignment]
        storage = result.untyped_storage()
        block = machine.blocks.get(storage._cdata)
        made._block = machine.allocate(queue, storage) if block is None else block
        return made
    if isinstance(result, (list, tuple)):
        return type(result)(wrap(one, machine, queue) for one in result)
    return result


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of an argument, which may be a list."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from tensors_in(one)


def changed(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """An argument with each of its tensors changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(changed(one, change) for one in value)
    return value


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
        return changed(call.compute(), spoil)


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


def spoil(tensor: Tensor) -> Tensor:
    """Fills the memory of a new tensor with garbage: NaN, or zero where there is none."""
    with on_the_cpu():
        whole = tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.itemsize,), (1,), 0)
        whole.fill_(float("nan") if tensor.is_floating_point() or tensor.is_complex() else 0)
    return tensor


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
            tensor._block = _block_of(tensor, machine, queue)  # type: ignore[attr-defined]
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
        key = plan.generator
        given = None if key is None else dict(call.items()).get(key)
        call.with_generator(state_of(given, queue.card).draw(queue))
    if plan.product:
        machine.workspace(queue)
    if queue.capture is not None:
        return queue.capture.record(call)
    machine.launch(queue, call.reads, call.writes, str(call.func))
    try:
        result = call.compute()
    except (IndexError, RuntimeError) as error:
        if not plan.indexing or not OUT_OF_RANGE.search(str(error)):
            raise
        machine.fault = machine.fault or "device-side assert triggered"
        result = call.imagine()
    if plan.waiting:
        machine.host_waits(queue.moment())
    for key in plan.out:
        for tensor in tensors_in(call.argument(key)):
            tensor._block = _block_of(tensor, machine, queue)  # type: ignore[attr-defined]
    return wrap(result, machine, queue)


def _block_of(tensor: Tensor, machine: Machine, queue: Queue) -> Block:
    """The block of a tensor that may have been resized, or been given another storage."""
    storage = tensor.untyped_storage()
    block = machine.blocks.get(storage._cdata)
    if block is None or block.size < storage.nbytes():
        return machine.allocate(queue, storage)
    return block


# --- from one device to another


def device_of(tensor: Tensor) -> torch.device:
    """The device, also of what vmap and grad wrap."""
    while type(tensor) is torch.Tensor and torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.device if type(tensor) is CudaTensor else torch._C.TensorBase.device.__get__(tensor)  # type: ignore[attr-defined,no-any-return]


def pinned(tensor: Tensor) -> bool:
    """Whether it lies in the host's pinned memory."""
    found = current().pinned.get(tensor.untyped_storage()._cdata)
    return found is not None and not found.expired()


def pin(tensor: Tensor) -> Tensor:
    """Says of the memory of a tensor that it is pinned."""
    torch.cuda.init()
    storage = tensor.untyped_storage()
    current().pinned[storage._cdata] = StorageWeakRef(storage)
    return tensor


def copy_(machine: Machine, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """As `aten::copy_` does it, to, from and between cards."""
    machine.check()
    if type(target) is CudaTensor and type(source) is CudaTensor and target._block.card == source._block.card:
        launched(machine, machine.queue(target._block.card), Call(aten.copy_.default, (target, source), {}))
    elif type(target) is CudaTensor and type(source) is CudaTensor:
        _between(machine, target, source)
    elif type(target) is CudaTensor:
        _from_host(machine, target, source, non_blocking)
    else:
        _to_host(machine, target, source, non_blocking)  # type: ignore[arg-type]
    return target


def _between(machine: Machine, target: CudaTensor, source: CudaTensor) -> None:
    """On the stream of the source, with a barrier between both before and after."""
    here, there = machine.queue(source._block.card), machine.queue(target._block.card)
    if here.capture is not None or there.capture is not None:
        machine.not_while_capturing()
    here.wait(there.moment())
    machine.launch(here, [source._block], [target._block], "a copy to another card")
    with on_the_cpu():
        plain(target).copy_(plain(source))
    there.wait(here.moment())


def _capturing(queue: Queue, host: Tensor) -> bool:
    if queue.capture is not None and not pinned(host):
        raise RuntimeError(
            "Cannot copy between CPU and CUDA tensors during CUDA graph capture unless the CPU tensor is pinned. "
            "Please use tensor.pin_memory() or allocate the tensor with pin_memory=True."
        )
    return queue.capture is not None


def _from_host(machine: Machine, target: CudaTensor, source: Tensor, non_blocking: bool) -> None:
    queue = machine.queue(target._block.card)
    capturing = _capturing(queue, source)
    if not non_blocking:
        machine.warn_of_sync()
        machine.not_while_capturing()
    if capturing and queue.capture is not None:
        queue.capture.record_copy(target, source)
        return
    machine.launch(queue, [], [target._block], "a copy from the host")
    with on_the_cpu():
        plain(target).copy_(source)
    if not non_blocking:
        machine.host_waits(queue.moment())


def _to_host(machine: Machine, target: Tensor, source: CudaTensor, non_blocking: bool) -> None:
    queue = machine.queue(source._block.card)
    capturing = _capturing(queue, target)
    if not non_blocking:
        machine.warn_of_sync()
        machine.not_while_capturing()
    if capturing and queue.capture is not None:
        queue.capture.record_copy(target, source)
        return
    now = machine.launch(queue, [source._block], [], "a copy to the host")
    with on_the_cpu():
        value = plain(source).clone()
        if non_blocking:  # it arrives when the host waits for it, not before
            machine.arriving.append((queue, now, target.detach(), value))
            return
        target.copy_(value)
    machine.host_waits(queue.moment())


def _to_copy(
    machine: Machine, source: Tensor, *, device: Any = None, non_blocking: bool = False, **how: Any
) -> Tensor:
    """As `aten::_to_copy`. C++, for which it lies on the CPU already, names the CPU where it means the same device."""
    if device is not None and torch.device(device).type == "cuda" and card_of(device) != source.device:
        return move(source, card_of(device), non_blocking=non_blocking, dtype=how.get("dtype"))
    call = Call(aten._to_copy.default, (source,), {**how, "device": CPU})
    return launched(machine, machine.queue(source._block.card), call)  # type: ignore[attr-defined,no-any-return]


def move(
    tensor: Tensor,
    target: torch.device,
    *,
    dtype: torch.dtype | None = None,
    non_blocking: bool = False,
    memory_format: Any = torch.preserve_format,
) -> Tensor:
    """A tensor on another device; the same one if it is there already."""
    if device_of(tensor) == target:
        there: Tensor = _plain_to(tensor, dtype=dtype or tensor.dtype, memory_format=memory_format)
        return there
    if tensor.requires_grad and torch.is_grad_enabled():
        return _Move.apply(tensor, target, dtype, non_blocking, memory_format)  # type: ignore[no-untyped-call,no-any-return]
    return _moved(tensor, target, dtype, non_blocking, memory_format)


def _moved(tensor: Tensor, target: torch.device, dtype: Any, non_blocking: bool, memory_format: Any) -> Tensor:
    machine = current()
    with torch.no_grad(), on_the_cpu():
        made = torch.empty_like(plain(tensor), dtype=dtype, memory_format=memory_format)
    if target.type == "cuda":
        torch.cuda.init()
        machine.context(target.index)
        made = wrap(made, machine, machine.queue(target.index))
    elif non_blocking:
        made = pin(spoil(made))
    with torch.no_grad():
        return copy_(machine, made, tensor.detach(), non_blocking)


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, *how: Any) -> Tensor:
        ctx.origin, ctx.dtype = device_of(tensor), tensor.dtype
        return _moved(tensor, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        return move(gradient, ctx.origin, dtype=ctx.dtype), None, None, None, None


_plain_to = torch.Tensor.to


def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `Tensor.to`."""
    if "other" in kwargs:
        args = (kwargs.pop("other"), *args)
    if args and isinstance(args[0], torch.Tensor):
        args = (device_of(args[0]), args[0].dtype, *args[1:])
    elif args and isinstance(args[0], torch.dtype):
        args = (None, *args)
    copy = kwargs.pop("copy", args[3] if len(args) > 3 else False)  # noqa: PLR2004 - device, dtype, non_blocking, copy
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args[:3], **kwargs)
    here = device_of(tensor)
    target = here if device is None else card_of(device)
    how = {} if memory_format is None else {"memory_format": memory_format}
    if target != here and {target.type, here.type} <= {"cuda", "cpu"}:
        return move(tensor, target, dtype=dtype, non_blocking=non_blocking, **how)
    there: Tensor = _plain_to(
        tensor, None if target == here else target, dtype or tensor.dtype, non_blocking, copy, **how
    )
    return there


def item(machine: Machine, tensor: CudaTensor) -> Any:
    """As `aten::_local_scalar_dense`: the value of a scalar, which the host waits for."""
    queue = machine.queue(tensor._block.card)
    machine.warn_of_sync()
    machine.not_while_capturing()
    machine.launch(queue, [tensor._block], [], "a read by the host")
    machine.host_waits(queue.moment())
    with on_the_cpu():
        return aten._local_scalar_dense.default(plain(tensor))


def indexed(func: Any) -> Callable[..., Any]:
    """Indexing by a tensor of the CPU moves it to the card; by a mask, the host waits for the number of its entries."""

    def run(machine: Machine, source: Tensor, indices: Any, *args: Any, **kwargs: Any) -> Any:
        if type(source) is not CudaTensor:
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        given = [
            index if index is None or type(index) is CudaTensor else move(index, source.device) for index in indices
        ]
        masks = [index for index in given if index is not None and index.dtype in (torch.bool, torch.uint8)]
        fills = len(given) == len(masks) == 1 and bool(args) and args[0].ndim == 0 and type(args[0]) is not CudaTensor
        if masks and not fills:  # a number under one mask is masked_fill_, which waits for nothing
            machine.warn_of_sync()
            machine.not_while_capturing()
        queue = machine.queue(source._block.card)
        result = launched(machine, queue, Call(func, (source, given, *args), kwargs))
        if masks and not fills:
            machine.host_waits(queue.moment())
        return result

    return run


SPECIAL: dict[Any, Callable[..., Any]] = {
    aten.copy_.default: copy_,
    aten._to_copy.default: _to_copy,
    aten._local_scalar_dense.default: item,
    **{
        func: indexed(func)
        for func in (
            aten.index.Tensor,
            aten.index_put_.default,
            aten.index_put.default,
            aten._index_put_impl_.default,
            aten._unsafe_index.Tensor,
        )
    },
}
"""Operations that are not executed as their schema says."""
