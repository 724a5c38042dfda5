"""What is missing in `torch._C` where torch was built without CUDA; `torch.cuda`'s own Python code runs on it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from cuda_standin import graphs
from cuda_standin.machine import current
from cuda_standin.parts import CONTEXT, WORKSPACE, Card
from cuda_standin.streams import CUDA, EventBase, StreamBase, initialised

if TYPE_CHECKING:
    from cuda_standin.parts import Queue


def _set_device(index: int) -> None:
    here = current()
    before, here.current_device = here.current_device, index  # the context that initialising makes is there
    try:
        initialised().context(index)
    except RuntimeError:
        here.current_device = before
        raise


def exchange_device(index: int) -> int:
    here = initialised()
    before = here.current_device
    if index >= 0:
        here.context(index)
        here.current_device = index
    return before


def maybe_exchange_device(index: int) -> int:
    """Makes no context there."""
    here = initialised()
    before = here.current_device
    if index >= 0:
        here.current_device = index
    return before


def _stream_data(queue: Queue) -> tuple[int, int, int]:
    return queue.ident, queue.card, CUDA


def _set_stream(stream_id: int, device_index: int, device_type: int = CUDA) -> None:  # noqa: ARG001 - passed by name
    here = initialised()
    if here.current_device != device_index:
        _set_device(device_index)
    here.set_queue(here.find_queue(device_index, stream_id))


def _set_sync_debug_mode(mode: int) -> None:
    current().sync_debug = mode


def is_capturing() -> bool:
    here = current()
    return here.initialised and here.queue(here.current_device).capture is not None


def _allocator(index: int) -> Card:
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
    here = initialised()
    card, memory = here.context(index), here.options.memory
    return max(0, memory - CONTEXT - max(card.used, card.reserved)), memory


def properties(index: int) -> SimpleNamespace:
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
                card.allocated -= WORKSPACE
                queue.workspace = False


def of_c() -> dict[str, Any]:
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
        "_cuda_exchangeDevice": exchange_device,
        "_cuda_maybeExchangeDevice": maybe_exchange_device,
        "_cuda_hasPrimaryContext": lambda index: bool(current().cards) and current().cards[index].context,
        "_cuda_synchronize": lambda: current().synchronise(current().current_device),
        "_cuda_getCurrentStream": lambda index: _stream_data(current().queue(index)),
        "_cuda_getCurrentRawStream": lambda index: current().queue(index).ident,
        "_cuda_getDefaultStream": lambda index: _stream_data(current().context(index).default),
        "_cuda_setStream": _set_stream,
        "_cuda_isCurrentStreamCapturing": is_capturing,
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


def cudart() -> Any:
    return SimpleNamespace(
        cudaError=SimpleNamespace(success=0),
        cudaGetErrorString=str,
        cudaMemGetInfo=_memory_info,
        cudaDeviceSynchronize=lambda: current().synchronise(current().current_device),
        cudaProfilerStart=lambda: 0,
        cudaProfilerStop=lambda: 0,
    )
