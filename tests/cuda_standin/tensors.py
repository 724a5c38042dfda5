"""Tensors that Python sees on a card: the values lie in the CPU's memory, and are computed there.

For C++ such a tensor is one of the CPU, of a subclass of torch.Tensor; so autograd, vmap, the optimizers' kernels
and everything else of torch works on it. What is above C++ sees `device` and `is_cuda` as on a card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from cuda_standin.machine import Machine
    from cuda_standin.parts import Block, Queue

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
            guard.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: object) -> None:
        for guard in reversed(self.guards):
            guard.__exit__(*error)


class CudaTensor(torch.Tensor):
    """A tensor on a card."""

    _block: Block
    execute: ClassVar[Callable[..., Any]]  # of execution.py, which needs this class
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return cls.execute(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda", self._block.card)

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def get_device(self) -> int:
        return self._block.card

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        from cuda_standin import moves

        return moves.to(self, *args, **kwargs)

    def cpu(self, memory_format: Any = torch.preserve_format) -> Tensor:
        from cuda_standin import moves

        return moves.move(self, CPU, memory_format=memory_format)

    def cuda(
        self, device: Any = None, non_blocking: bool = False, memory_format: Any = torch.preserve_format
    ) -> Tensor:
        from cuda_standin import moves

        target = moves.card_of("cuda" if device is None else device)
        return moves.move(self, target, non_blocking=non_blocking, memory_format=memory_format)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.cpu().numpy(force=True)
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
            "host memory first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def new_tensor(  # type: ignore[override]
        self, data: Any, dtype: Any = None, device: Any = None, **how: Any
    ) -> Tensor:
        device = self.device if device is None else device
        return torch.tensor(data, device=device, dtype=dtype or self.dtype, **how)

    def pin_memory(self, *_: Any) -> Tensor:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")

    def is_pinned(self, *_: Any) -> bool:
        return False

    def record_stream(self, stream: Any) -> None:
        """The memory is not reused before that stream has done its work; here nothing has to be done for it."""

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
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
    from cuda_standin import moves

    made = moves.move(values, moves.card_of(device)).requires_grad_(requires_grad)
    made.__dict__.update(attributes)
    return made


def plain(tensor: Tensor) -> Tensor:
    """The same memory as an ordinary tensor of the CPU."""
    with on_the_cpu():
        return tensor.detach()


def spoil(tensor: Tensor) -> Tensor:
    """Fills the memory of a new tensor with garbage: NaN, or zero where there is none."""
    with on_the_cpu():
        whole = tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.itemsize,), (1,), 0)
        whole.fill_(float("nan") if tensor.is_floating_point() or tensor.is_complex() else 0)
    return tensor


def wrap(result: Any, machine: Machine, queue: Queue) -> Any:
    """Gives what was computed its place on the card: a block of its own, or that of what it is a view of."""
    if isinstance(result, CudaTensor):
        return result
    if isinstance(result, torch.Tensor):
        made: CudaTensor = torch.Tensor._make_subclass(CudaTensor, result)
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


def block_of(tensor: Tensor, machine: Machine, queue: Queue) -> Block:
    """The block of a tensor that may have been resized, or been given another storage."""
    storage = tensor.untyped_storage()
    block = machine.blocks.get(storage._cdata)
    if block is None or block.size < storage.nbytes():
        return machine.allocate(queue, storage)
    return block


def device_of(tensor: Tensor) -> torch.device:
    """The device, also of what vmap and grad wrap."""
    while type(tensor) is torch.Tensor and torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    getter: Any = CudaTensor.device if type(tensor) is CudaTensor else torch._C.TensorBase.device
    device: torch.device = getter.__get__(tensor)
    return device
