"""How the stand-in is put in place, and removed."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch._utils import _LazySeedTracker
from torch.utils._device import _device_constructors

from cuda_standin import generators, machine, nvml, runtime
from cuda_standin.machine import Machine, Options, current
from cuda_standin.moves import card_of, move, pin, pinned, to
from cuda_standin.tensors import CudaTensor, device_of, spoil, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MISSING = object()


class Patches:
    """Attributes that were changed, to be put back."""

    def __init__(self) -> None:
        self.before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        self.before.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, value)

    def undo(self) -> None:
        for owner, name, value in reversed(self.before):
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


def _loaded_anew(name: str) -> dict[str, Any]:
    """A module's names, made again on what stands in for C++ now."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == name}


def install(options: Options) -> Callable[[], None]:
    """Puts a machine in place; returns what removes it again."""
    importlib.import_module("torch.utils.flop_counter")  # with CUDA it would look for triton, and complain
    here, patches = Machine(options), Patches()
    machine._current.append(here)
    for name, value in runtime.of_c().items():
        patches.set(torch._C, name, value)
    cuda = torch.cuda
    for name, value in {
        "_cudart": runtime.cudart(),
        "_is_in_bad_fork": lambda: here.forked,
        "_exchange_device": runtime.exchange_device,
        "_maybe_exchange_device": runtime.maybe_exchange_device,
        "_get_device_properties": runtime.properties,
        "_raw_device_count_nvml": lambda: options.devices,
        "_raw_device_uuid_nvml": lambda: [here.uuid(index) for index in range(options.devices)],
        "_initialized": False,
        "_cached_device_count": None,
        "_queued_calls": [*cuda._queued_calls],
        "_lazy_seed_tracker": _LazySeedTracker(),
        "default_generators": (),
        "pynvml": nvml.module(here),
        "_HAS_PYNVML": True,
    }.items():
        patches.set(cuda, name, value)
    for module in ("torch.cuda.streams", "torch.cuda.graphs"):
        for name, value in _loaded_anew(module).items():
            for owner in (sys.modules[module], cuda):
                if name in vars(owner):
                    patches.set(owner, name, value)
    patches.set(sys.modules["torch.cuda.graphs"], "_cuda_isCurrentStreamCapturing", runtime.is_capturing)
    patches.set(torch.version, "cuda", "13.0")
    patches.set(torch.backends.cudnn, "version", lambda: 91300)
    _patch_tensors(patches)
    modules = {"pynvml": sys.modules.get("pynvml")}
    sys.modules["pynvml"] = cuda.pynvml  # type: ignore[attr-defined]
    swapping = torch.__future__.get_swap_module_params_on_conversion()
    # A parameter that is moved becomes one of the card and stays the same object, as it does with CUDA.
    torch.__future__.set_swap_module_params_on_conversion(True)

    def remove() -> None:
        torch.__future__.set_swap_module_params_on_conversion(swapping)
        for name, value in modules.items():
            if value is None:
                del sys.modules[name]
            else:
                sys.modules[name] = value
        patches.undo()
        machine._current.remove(here)

    return remove


def _patch_tensors(patches: Patches) -> None:
    from torch.optim import optimizer
    from torch.utils import _foreach_utils

    _device_constructors()  # torch keeps them: the real ones, which those below call
    base = torch._C.TensorBase
    plain = torch.Tensor
    patches.set(plain, "device", property(device_of))
    patches.set(plain, "is_cuda", property(lambda self: device_of(self).type == "cuda"))
    patches.set(plain, "to", to)
    patches.set(plain, "type_as", to)
    patches.set(plain, "data", property(base.data.__get__, _set_data))  # type: ignore[attr-defined]
    patches.set(plain, "cuda", CudaTensor.cuda)
    patches.set(plain, "pin_memory", lambda self, *_: self if pinned(self) else pin(base.clone(self)))
    patches.set(plain, "is_pinned", lambda self, *_: pinned(self))
    patches.set(torch, "Generator", generators.Generator)
    patches.set(torch, "tensor", _tensor(torch.tensor))
    patches.set(torch, "as_tensor", _as_tensor(torch.as_tensor))
    patches.set(torch, "asarray", _as_tensor(torch.asarray))
    for name in ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "arange", "randperm"):
        patches.set(torch, name, _pinning(getattr(torch, name)))
    for name in ("empty_like", "zeros_like", "ones_like", "full_like"):
        patches.set(torch, name, _pinning(getattr(torch, name)))
    for name in ("set_autocast_enabled", "set_autocast_dtype"):
        patches.set(torch, name, _for_both(getattr(torch, name)))
    patches.set(torch._C, "_group_tensors_by_device_and_dtype", _grouped)
    for module in (optimizer, _foreach_utils):
        patches.set(module, "_foreach_supported_types", [*module._foreach_supported_types, CudaTensor])
    _register_factories()


def _set_data(tensor: torch.Tensor, value: torch.Tensor) -> None:
    if (type(tensor) is CudaTensor) != (type(value) is CudaTensor):
        raise NotImplementedError("the stand-in cannot move a tensor to another device by setting its `data`")
    torch._C.TensorBase.data.__set__(tensor, value)  # type: ignore[attr-defined]
    if isinstance(tensor, CudaTensor) and isinstance(value, CudaTensor):
        tensor._block = value._block


def _tensor(original: Callable[..., Any]) -> Callable[..., Any]:
    def tensor(
        data: Any, *, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **how: Any
    ) -> Any:
        target = card_of(torch.get_default_device() if device is None else device)
        if isinstance(data, CudaTensor):
            made = data.detach().clone().to(target if device is not None else data.device, **how)
        elif target.type == "cuda":
            made = move(original(data, device="cpu", **how), target)
        else:
            made = original(data, device=target, **how)
        if pin_memory:
            pin(made)
        return made.requires_grad_(requires_grad)

    return tensor


def _as_tensor(original: Callable[..., Any]) -> Callable[..., Any]:
    def as_tensor(data: Any, *args: Any, device: Any = None, **how: Any) -> Any:
        if device is not None and torch.device(device).type == "cuda":
            return move(original(data, *args, device=getattr(data, "device", "cpu"), **how), card_of(device))
        return original(data, *args, device=device, **how)

    return as_tensor


def _pinning(original: Callable[..., Any]) -> Callable[..., Any]:
    """A factory that can make pinned tensors."""

    def make(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        return pin(made) if pin_memory else made

    return make


def _for_both(original: Callable[..., Any]) -> Callable[..., Any]:
    """What is set for a card is set for the CPU too, which computes for it."""

    def set_for(device_type: str, value: Any) -> None:
        original(device_type, value)
        if device_type == "cuda":
            original("cpu", value)

    return set_for


def _grouped(lists: list[list[Any]], with_indices: bool = False) -> dict[Any, Any]:
    """As `torch._C._group_tensors_by_device_and_dtype`, which does not see the cards."""
    found: dict[Any, Any] = {}
    for index, first in enumerate(lists[0]):
        key = (device_of(first), first.dtype)
        group, indices = found.setdefault(key, ([[] for _ in lists], []))
        for into, values in zip(group, lists, strict=True):
            if values:
                into.append(values[index])
        if with_indices:
            indices.append(index)
    return found


_library: list[torch.library.Library] = []


def _register_factories() -> None:
    """Lets C++ make tensors on a card: everything that makes one begins with one of these."""
    if _library:
        return
    library = torch.library.Library("aten", "IMPL", "CUDA")
    _library.append(library)

    def made(device: Any, size: int, make: Callable[[], torch.Tensor]) -> Any:
        torch.cuda.init()
        here = current()
        here.check()
        queue = here.queue(here.current_device if device.index is None else device.index)
        here.would_fit(queue.card, size)  # before this machine's own memory is taken
        return spoil(wrap(make(), here, queue))

    def empty(size: Any, *, dtype: Any = None, device: Any, memory_format: Any = None, **_: Any) -> Any:
        dtype = dtype or torch.get_default_dtype()
        total = dtype.itemsize
        for length in size:
            total *= length
        how = {} if memory_format is None else {"memory_format": memory_format}
        return made(device, total, lambda: _cpu_empty(size, dtype=dtype, **how))

    def empty_strided(size: Any, stride: Any, *, dtype: Any = None, device: Any, **_: Any) -> Any:
        return made(device, 0, lambda: torch.empty_strided(size, stride, dtype=dtype))

    library.impl("empty.memory_format", empty)
    library.impl("empty_strided", empty_strided)
    for name in ("tril_indices", "triu_indices"):
        original = getattr(torch, name)
        library.impl(
            name,
            lambda *args, device, original=original, dtype=None, **_: move(
                original(*args, dtype=dtype), card_of(device)
            ),
        )


def _then_moved(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def make(*args: Any, device: Any, dtype: Any = None, **_: Any) -> torch.Tensor:
        return move(original(*args, dtype=dtype), card_of(device))

    return make


_cpu_empty = torch.empty


@contextlib.contextmanager
def standin(**options: Any) -> Iterator[Machine]:
    """Within it torch sees imitated cards; yields the machine. The options are those of `Options`."""
    remove, rounding = install(Options(**options)), torch.get_autocast_dtype("cpu")
    try:
        yield current()
    finally:
        remove()
        torch.set_autocast_dtype("cpu", rounding)  # autocast for a card set it for both
