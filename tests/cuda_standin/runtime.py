"""The part of torch that is missing where torch was built without CUDA, and how it is put in place.

`torch.cuda`'s own Python code runs, on what stands in here for its C++: `torch._C._cuda_*`, streams, events, graphs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch._utils import _LazySeedTracker

from cuda_standin import generators, graphs, machine, nvml, tensors
from cuda_standin.machine import Machine, Options, current
from cuda_standin.tensors import CudaTensor, card_of, device_of, move, pin, pinned, spoil, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cuda_standin.machine import Queue

_MISSING = object()
CUDA = 1
"""The number of the type of device."""


class StreamBase:
    """In place of `torch._C._CudaStreamBase`."""

    queue: Queue

    def __new__(
        cls, priority: int = 0, stream_id: int = 0, device_index: int = -1, device_type: int = 0, **_: Any
    ) -> Self:
        self = super().__new__(cls)
        here = _initialised()
        if device_type:
            self.queue = here.find_queue(device_index, stream_id)
        else:
            self.queue = here.new_queue(here.current_device)
        self.priority = priority
        return self

    device_type = CUDA

    @property
    def stream_id(self) -> int:
        return self.queue.ident

    @property
    def device_index(self) -> int:
        return self.queue.card

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.queue.card)

    @property
    def cuda_stream(self) -> int:
        return 0x5EA0000 + 0x100 * self.queue.card + self.queue.ident if self.queue.ident else 0

    def query(self) -> bool:
        here = current()
        here.check()
        here.not_while_capturing()
        return _done(here, self.queue.moment())

    def synchronize(self) -> None:
        here = current()
        here.warn_of_sync()
        here.not_while_capturing()
        here.host_waits(self.queue.moment())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamBase) and other.queue is self.queue

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __enter__(self) -> Self:
        self._context = torch.cuda.stream(self)  # type: ignore[arg-type]
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _done(here: Machine, moment: Mapping[Queue, int]) -> bool:
    """Whether the host knows that all was done by a moment. Asked again it will be: time passes."""
    done = all(here.host.get(queue, 0) >= point for queue, point in moment.items())
    if not done:
        here.host_waits(moment)
    return done


class EventBase:
    """In place of `torch._C._CudaEventBase`."""

    def __new__(cls, enable_timing: bool = False, **_: Any) -> Self:
        self = super().__new__(cls)
        self.enable_timing = enable_timing
        self.moment: dict[Queue, int] | None = None
        self.queue: Queue | None = None
        self.capture: graphs.Capture | None = None
        self.time = 0.0
        return self

    @property
    def cuda_event(self) -> int:
        return id(self) if self.moment is not None else 0

    @property
    def device(self) -> torch.device | None:
        return None if self.queue is None else torch.device("cuda", self.queue.card)

    def record(self, stream: StreamBase) -> None:
        current().check()
        self.queue, self.moment, self.time = stream.queue, stream.queue.moment(), time.perf_counter()
        self.capture = stream.queue.capture

    def wait(self, stream: StreamBase) -> None:
        current().check()
        queue = stream.queue
        if self.moment is None or self.queue is None or queue is self.queue:
            return
        if self.capture is not None and self.capture.graph.capture is self.capture:
            if queue.capture is None:  # it joins the capture
                queue.capture = self.capture
                self.capture.joined.add(queue)
                self.capture.unmerged.add(queue)
            elif self.queue in self.capture.unmerged:
                self.capture.unmerged.discard(self.queue)
        elif queue.capture is not None:
            queue.capture.valid = False
            raise machine.cuda_error("dependency created on uncaptured work in another stream")
        queue.wait(self.moment)

    def query(self) -> bool:
        here = current()
        here.check()
        here.not_while_capturing()
        return self.moment is None or _done(here, self.moment)

    def synchronize(self) -> None:
        here = current()
        here.check()
        here.not_while_capturing()
        if self.moment is not None:
            here.host_waits(self.moment)

    def elapsed_time(self, end: EventBase) -> float:
        if not (self.enable_timing and end.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self.moment is None or end.moment is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        known = current().host
        if any(known.get(queue, 0) < point for event in (self, end) for queue, point in (event.moment or {}).items()):
            raise ValueError("Both events must be completed before calculating elapsed time.")
        return 1000 * (end.time - self.time)


def _initialised() -> Machine:
    torch.cuda.init()
    here = current()
    here.check()
    return here


def _set_device(index: int) -> None:
    here = current()
    before, here.current_device = here.current_device, index  # the context that initialising makes is there
    try:
        _initialised().context(index)
    except RuntimeError:
        here.current_device = before
        raise


def _exchange_device(index: int) -> int:
    here = _initialised()
    before = here.current_device
    if index >= 0:
        here.context(index)
        here.current_device = index
    return before


def _maybe_exchange_device(index: int) -> int:
    """Makes no context there."""
    here = _initialised()
    before = here.current_device
    if index >= 0:
        here.current_device = index
    return before


def _stream_data(queue: Queue) -> tuple[int, int, int]:
    return queue.ident, queue.card, CUDA


def _set_stream(stream_id: int, device_index: int, device_type: int = CUDA) -> None:
    here = _initialised()
    if here.current_device != device_index:
        _set_device(device_index)
    here.set_queue(here.find_queue(device_index, stream_id))


def _set_sync_debug_mode(mode: int) -> None:
    current().sync_debug = mode


def _is_capturing() -> bool:
    here = current()
    return here.initialised and here.queue(here.current_device).capture is not None


def _allocator(index: int) -> machine.Card:
    """A card as the caching allocator knows it, which does not initialise anything.

    Raises:
        RuntimeError: if CUDA is not initialised. (torch prints the index as a character.)
    """
    here = current()
    if not 0 <= index < len(here.cards):
        raise RuntimeError(f"Invalid device argument {chr(max(index, 0))}: did you call init?")
    return here.cards[index]


def _memory_stats(index: int) -> dict[str, Any]:
    card = _allocator(index)

    def pools(now: int, most: int) -> dict[str, dict[str, int]]:
        one = {"current": now, "peak": most, "allocated": most, "freed": most - now}
        return {"all": one, "large_pool": one, "small_pool": one}

    return {
        "allocated_bytes": pools(card.allocated, card.most_allocated),
        "active_bytes": pools(card.used, max(card.used, card.most_allocated)),
        "reserved_bytes": pools(card.reserved, card.most_reserved),
        "allocation": pools(card.allocations, card.allocations),
        "num_alloc_retries": 0,
        "num_ooms": card.out_of_memory,
    }


def _reset_peak(index: int) -> None:
    card = _allocator(index)
    card.most_allocated, card.most_reserved = card.allocated, card.reserved


def _memory_info(index: int) -> tuple[int, int]:
    here = _initialised()
    card, memory = here.context(index), here.options.memory
    return max(0, memory - machine.CONTEXT - max(card.used, card.reserved)), memory


def _properties(index: int) -> SimpleNamespace:
    here = current()
    major, minor = here.options.capability
    return SimpleNamespace(
        name=here.options.name,
        major=major,
        minor=minor,
        total_memory=here.options.memory,
        multi_processor_count=132,
        warp_size=32,
        max_threads_per_multi_processor=2048,
        L2_cache_size=50 << 20,
        is_integrated=False,
        is_multi_gpu_board=False,
        uuid=here.uuid(here.cards[index].physical).removeprefix("GPU-"),
        pci_bus_id=here.cards[index].physical,
        pci_device_id=0,
        pci_domain_id=0,
        gcnArchName=here.options.name,
    )


def _initialise() -> None:
    here = current()
    here.initialise()
    torch.cuda.default_generators = here.generators  # type: ignore[assignment]


def _end_allocating(index: int, pool: tuple[int, int]) -> None:
    current().recording.remove((index, (int(pool[0]), int(pool[1]))))


def _clear_workspaces() -> None:
    for card in current().cards:
        for queue in (card.default, *card.streams):
            if queue.workspace:
                card.allocated -= machine.WORKSPACE
                queue.workspace = False


def _of_c() -> dict[str, Any]:
    """What is missing in `torch._C`."""
    return {
        "_has_cuda": True,
        "_CudaStreamBase": StreamBase,
        "_CudaEventBase": EventBase,
        "_CUDAGraph": graphs.GraphBase,
        "_graph_pool_handle": graphs.graph_pool_handle,
        "_cuda_init": _initialise,
        "_cuda_getDeviceCount": lambda: current().count(),
        "_cuda_isInBadFork": lambda: current().forked,
        "_cuda_getDevice": lambda: current().current_device,
        "_cuda_setDevice": _set_device,
        "_cuda_exchangeDevice": _exchange_device,
        "_cuda_maybeExchangeDevice": _maybe_exchange_device,
        "_cuda_hasPrimaryContext": lambda index: bool(current().cards) and current().cards[index].context,
        "_cuda_synchronize": lambda: current().synchronise(current().current_device),
        "_cuda_getCurrentStream": lambda index: _stream_data(current().queue(index)),
        "_cuda_getCurrentRawStream": lambda index: current().queue(index).ident,
        "_cuda_getDefaultStream": lambda index: _stream_data(current().context(index).default),
        "_cuda_setStream": _set_stream,
        "_cuda_isCurrentStreamCapturing": _is_capturing,
        "_cuda_set_sync_debug_mode": _set_sync_debug_mode,
        "_cuda_get_sync_debug_mode": lambda: current().sync_debug,
        "_cuda_memoryStats": _memory_stats,
        "_cuda_resetPeakMemoryStats": _reset_peak,
        "_cuda_resetAccumulatedMemoryStats": _allocator,
        "_cuda_emptyCache": lambda: current().empty_cache(),
        "_cuda_getAllocatorBackend": lambda: "native",
        "_cuda_clearCublasWorkspaces": _clear_workspaces,
        "_cuda_endAllocateToPool": _end_allocating,
        "_cuda_releasePool": lambda *_: None,
        "_cuda_getArchFlags": lambda: "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120",
        "_cuda_getCompiledVersion": lambda: 13000,
        "_cuda_canDeviceAccessPeer": lambda *_: True,
        "_cuda_ipc_collect": lambda: None,
        "_cuda_sleep": lambda _: None,
        "_host_emptyCache": lambda: None,
    }


def _cudart() -> Any:
    return SimpleNamespace(
        cudaError=SimpleNamespace(success=0),
        cudaGetErrorString=str,
        cudaMemGetInfo=_memory_info,
        cudaDeviceSynchronize=lambda: current().synchronise(current().current_device),
        cudaProfilerStart=lambda: 0,
        cudaProfilerStop=lambda: 0,
    )


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
    for name, value in _of_c().items():
        patches.set(torch._C, name, value)
    cuda = torch.cuda
    for name, value in {
        "_cudart": _cudart(),
        "_is_in_bad_fork": lambda: here.forked,
        "_exchange_device": _exchange_device,
        "_maybe_exchange_device": _maybe_exchange_device,
        "_get_device_properties": _properties,
        "_raw_device_count_nvml": lambda: options.devices,
        "_raw_device_uuid_nvml": lambda: [here.uuid(index) for index in range(options.devices)],
        "_initialized": False,
        "_cached_device_count": None,
        "_queued_calls": [*cuda._queued_calls],
        "_lazy_seed_tracker": _LazySeedTracker(),  # type: ignore[no-untyped-call]
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
    patches.set(sys.modules["torch.cuda.graphs"], "_cuda_isCurrentStreamCapturing", _is_capturing)
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

    base = torch._C.TensorBase
    plain = torch.Tensor
    patches.set(plain, "device", property(device_of))
    patches.set(plain, "is_cuda", property(lambda self: device_of(self).type == "cuda"))
    patches.set(plain, "to", tensors.to)
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


def _tensor(original: Callable[..., Any]) -> Callable[..., Any]:
    def tensor(data: Any, *, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **how: Any) -> Any:
        target = torch.device("cpu") if device is None else card_of(device)
        if isinstance(data, CudaTensor):
            made = data.detach().clone().to(target if device is not None else data.device, **how)
        elif target.type == "cuda":
            made = move(original(data, **how), target)
        else:
            made = original(data, device=device, **how)
        if pin_memory:
            pin(made)
        return made.requires_grad_(requires_grad)

    return tensor


def _as_tensor(original: Callable[..., Any]) -> Callable[..., Any]:
    def as_tensor(data: Any, *args: Any, device: Any = None, **how: Any) -> Any:
        if device is not None and torch.device(device).type == "cuda":
            return move(original(data, *args, **how), card_of(device))
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
            lambda *args, device, original=original, dtype=None, **_: move(original(*args, dtype=dtype), card_of(device)),
        )


_cpu_empty = torch.empty


@contextlib.contextmanager
def standin(**options: Any) -> Iterator[Machine]:
    """Within it torch sees imitated cards; yields the machine. The options are those of `Options`."""
    remove = install(Options(**options))
    try:
        yield current()
    finally:
        remove()
