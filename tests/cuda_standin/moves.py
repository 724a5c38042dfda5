"""What goes from one device to another: copies, values that the host reads, indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from cuda_standin.execution import SPECIAL, Call, launched
from cuda_standin.machine import current
from cuda_standin.tensors import CPU, CudaTensor, device_of, on_the_cpu, plain, spoil, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from cuda_standin.machine import Machine
    from cuda_standin.parts import Queue

aten = torch.ops.aten


def card_of(device: Any) -> torch.device:
    """A device, with its index if it is a card."""
    found = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if found.type == "cuda" and found.index is None:
        torch.cuda.init()
        return torch.device("cuda", current().current_device)
    return found


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
    """As `aten::_to_copy`. Where C++ names the CPU it means the same device: for it the tensor lies there."""
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
        there: Tensor = _plain_to(tensor, dtype=dtype, memory_format=memory_format)
        return there
    if tensor.requires_grad and torch.is_grad_enabled():
        moved: Tensor = _Move.apply(tensor, target, dtype, non_blocking, memory_format)  # type: ignore[no-untyped-call]
        return moved
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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return move(gradient, ctx.origin, dtype=ctx.dtype), None, None, None, None


_plain_to: Any = torch.Tensor.to


def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `Tensor.to`."""
    if "other" in kwargs:
        args = (kwargs.pop("other"), *args)
    if args and isinstance(args[0], torch.Tensor):
        args = (device_of(args[0]), args[0].dtype, *args[1:])
    elif args and isinstance(args[0], torch.dtype):
        args = (None, *args)
    copy = kwargs.pop("copy", len(args) > 3 and args[3])
    parsed: Any = torch._C._nn._parse_to(*args[:3], **kwargs)
    device, dtype, non_blocking, memory_format = parsed
    here = device_of(tensor)
    target = here if device is None else card_of(device)
    how = {} if memory_format is None else {"memory_format": memory_format}
    if target != here and {target.type, here.type} <= {"cuda", "cpu"}:
        return move(tensor, target, dtype=dtype, non_blocking=non_blocking, **how)
    there: Tensor = _plain_to(tensor, None if target == here else target, dtype, non_blocking, copy, **how)
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
    """Indices of the CPU are moved to the card; for a mask, the host waits for the number of its entries."""

    def run(machine: Machine, source: Tensor, indices: Any, *args: Any, **kwargs: Any) -> Any:
        if type(source) is not CudaTensor:
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        given = [
            index if index is None or type(index) is CudaTensor else move(index, source.device)
            for index in indices
        ]
        masks = [index for index in given if index is not None and index.dtype in (torch.bool, torch.uint8)]
        number = bool(args) and args[0].ndim == 0 and type(args[0]) is not CudaTensor
        waits = bool(masks) and not (number and len(given) == 1)  # a number under one mask is masked_fill_
        if waits:
            machine.warn_of_sync()
            machine.not_while_capturing()
        queue = machine.queue(source._block.card)
        result = launched(machine, queue, Call(func, (source, given, *args), kwargs))
        if waits:
            machine.host_waits(queue.moment())
        return result

    return run


SPECIAL[aten.copy_.default] = copy_
SPECIAL[aten._to_copy.default] = _to_copy
SPECIAL[aten._local_scalar_dense.default] = item
for _func in (
    aten.index.Tensor,
    aten.index_put_.default,
    aten.index_put.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
):
    SPECIAL[_func] = indexed(_func)
