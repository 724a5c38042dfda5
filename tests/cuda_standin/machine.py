"""The imitated machine: which cards there are, contexts, the order of their work, memory, and late errors."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cuda_standin.parts import (
    CONTEXT,
    NOT_PERMITTED,
    ROUNDING,
    SEGMENT,
    STREAMS,
    WORKSPACE,
    Block,
    Card,
    Queue,
    cuda_error,
    merge,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cuda_standin.generators import CudaGenerator
    from cuda_standin.graphs import Capture


@dataclass(frozen=True)
class Options:
    """What kind of machine is imitated.

    Attributes:
        devices: Number of cards, before CUDA_VISIBLE_DEVICES hides some.
        memory: Bytes of each card.
        name: What each card is called.
        capability: Compute capability.
        driver: Version of the driver.
        exclusive: EXCLUSIVE_PROCESS: only one process at a time may have a context on a card. Needs `log`.
        lazy_generators: As torch 2.13: a capture registers a generator when it first draws from it. False is as
            before: drawing from one that was not registered raises.
        generators_stay_capturing: As up to torch 2.12: after a capture that failed, its generators raise.
        log: File that every context is written to; empty for none.
    """

    devices: int = 1
    memory: int = 8 << 30
    name: str = "NVIDIA Stand-in 100"
    capability: tuple[int, int] = (9, 0)
    driver: str = "580.65.06"
    exclusive: bool = False
    lazy_generators: bool = False
    generators_stay_capturing: bool = False
    log: str = ""

    def __post_init__(self) -> None:
        if self.exclusive and not self.log:
            raise ValueError("exclusive=True needs log=…: the processes see each other's contexts there")


class Machine:
    """All the state there is; one of them is current while the stand-in is installed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.initialised = False
        self.counted = False  # by the runtime, not by NVML: what is forked from now on cannot use CUDA
        self.forked = False  # from a process that had initialised CUDA
        self.cards: list[Card] = []
        self.generators: tuple[CudaGenerator, ...] = ()
        self.blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()
        self.pinned: dict[int, Any] = {}
        self.host: dict[Queue, int] = {}  # what this process has waited for
        self.arriving: list[tuple[Queue, int, torch.Tensor, torch.Tensor]] = []  # copies to the host, under way
        self.captures: list[Capture] = []
        self.recording: list[tuple[int, tuple[int, int]]] = []  # pools that the allocator takes for capturing
        self.pool_count = 0
        self.sync_debug = 0
        self.hazards: list[str] = []
        self.kernels = 0  # that ran, those of replays too
        self.submissions = 0  # what the host put into streams: a replay is one
        self.fault = ""  # of the device, not reported yet
        self.dead = False  # it was reported: the context is lost
        self._local = threading.local()
        os.register_at_fork(after_in_child=_forked(weakref.ref(self)))

    # --- which cards there are, and contexts on them

    def visible(self) -> list[int]:
        """The cards that CUDA_VISIBLE_DEVICES shows, in its order."""
        if self.cards:
            return [card.physical for card in self.cards]
        wanted: list[Any] = list(torch.cuda._parse_visible_devices())
        if wanted and isinstance(wanted[0], str):
            wanted = torch.cuda._transform_uuid_to_ordinals(
                wanted, [self.uuid(i) for i in range(self.options.devices)]
            )
        known = [index < self.options.devices for index in wanted]
        return wanted[: known.index(False)] if False in known else wanted  # CUDA stops at the first unknown one

    def uuid(self, physical: int) -> str:
        """What NVML calls a card."""
        return f"GPU-5ca1ab1e-0000-4000-8000-{physical:012x}"

    def count(self) -> int:
        """As cudaGetDeviceCount: it makes no context, but what is forked afterwards cannot use CUDA."""
        self.counted = True
        return len(self.visible())

    def initialise(self) -> None:
        """As `torch._C._cuda_init`. It counts as a context on the current card: the strict reading."""
        if self.initialised:
            return
        visible = self.visible()
        if not visible:
            raise RuntimeError("No CUDA GPUs are available")
        self.cards = [Card(physical, Queue(index, 0)) for index, physical in enumerate(visible)]
        try:
            self.context(self.current_device)
        except RuntimeError:
            self.cards = []
            raise
        from cuda_standin.generators import CudaGenerator

        self.initialised = True
        self.generators = tuple(CudaGenerator(torch.device("cuda", index)) for index in range(len(visible)))
        for generator in self.generators:
            generator.state.engine.seed()

    def context(self, index: int) -> Card:
        """The card, with a context of this process on it.

        Raises:
            RuntimeError: if there is no such card, or another process has it for itself.
        """
        if not 0 <= index < len(self.cards):
            raise cuda_error("invalid device ordinal")
        card = self.cards[index]
        if not card.context:
            self._enter(card)
            card.context = True
        return card

    def _enter(self, card: Card) -> None:
        if not self.options.log:
            return
        me = {"pid": os.getpid(), "ppid": os.getppid(), "argv": sys.orig_argv, "card": card.physical}
        with Path(self.options.log).open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            others = [json.loads(line) for line in file]
            if self.options.exclusive and any(
                other["card"] == card.physical and other["pid"] != me["pid"] and alive(other["pid"])
                for other in others
            ):
                raise cuda_error("CUDA-capable device(s) is/are busy or unavailable")
            file.write(json.dumps(me) + "\n")

    # --- current device and streams, of each thread

    @property
    def current_device(self) -> int:
        """Index of the current device."""
        return int(getattr(self._local, "device", 0))

    @current_device.setter
    def current_device(self, index: int) -> None:
        self._local.device = index

    def _current(self) -> dict[int, Queue]:
        found: dict[int, Queue] | None = getattr(self._local, "queues", None)
        if found is None:
            found = self._local.queues = {}
        return found

    def queue(self, index: int) -> Queue:
        """The current stream of a card."""
        return self._current().get(index) or self.context(index).default

    def set_queue(self, queue: Queue) -> None:
        """Makes it the current stream of its card."""
        self._current()[queue.card] = queue

    def new_queue(self, index: int) -> Queue:
        """A stream of the card's pool."""
        card = self.context(index)
        if len(card.streams) < STREAMS:
            card.streams.append(Queue(index, len(card.streams) + 1))
        found = card.streams[card.asked_for % STREAMS]
        card.asked_for += 1
        return found

    def find_queue(self, index: int, ident: int) -> Queue:
        """The stream of that number."""
        card = self.context(index)
        return card.streams[ident - 1] if ident else card.default

    # --- errors

    def check(self) -> None:
        """Raises what every call raises once the context is lost."""
        if self.dead:
            raise cuda_error(self.fault)

    def arrive(self) -> None:
        """Where the host waits for a device it learns what went wrong there."""
        if self.fault:
            self.dead = True
        self.check()

    def not_while_capturing(self) -> None:
        """For what CUDA does not allow during a capture: it raises, and the captures are lost.

        A capture in mode `global` forbids it to every thread, `thread_local` to its own, `relaxed` to none.
        """
        me = threading.get_ident()
        lost = [c for c in self.captures if c.mode == "global" or (c.mode == "thread_local" and c.thread == me)]
        for capture in lost:
            capture.valid = False
        if lost:
            raise cuda_error(NOT_PERMITTED)

    def warn_of_sync(self) -> None:
        """What torch does before it waits for a device: raises or warns as set_sync_debug_mode says."""
        self.check()
        if self.sync_debug == 2:  # "error"
            raise RuntimeError("called a synchronizing CUDA operation")
        if self.sync_debug:
            warnings.warn("called a synchronizing CUDA operation", stacklevel=5)

    # --- order

    def launch(self, queue: Queue, reads: list[Block], writes: list[Block], what: str, *, kernels: int = 1) -> int:
        """Puts a kernel, or several at once, into a stream; returns when it is there.

        Raises:
            RuntimeError: ("race: …") if it touches memory that another stream uses, and does not wait for that.
        """
        for block in reads:
            if block.wrote[0] is not queue and not self._after(queue, *block.wrote):
                raise RuntimeError(
                    f"race: {what} on {queue} reads what {block.wrote[0]} writes; it has to wait for it"
                )
        for block in writes:
            if block.wrote[0] is not queue and not self._after(queue, *block.wrote):
                raise RuntimeError(f"race: {what} on {queue} overwrites what {block.wrote[0]} writes")
            for other, point in block.reads.items():
                if other is not queue and not self._after(queue, other, point):
                    raise RuntimeError(f"race: {what} on {queue} overwrites what {other} reads")
        queue.now = now = queue.now + 1
        self.submissions += 1
        self.kernels += kernels
        for block in reads:
            block.reads[queue] = now
        for block in writes:
            block.wrote = (queue, now)
            block.reads.clear()
        return now

    def _after(self, queue: Queue, other: Queue, point: int) -> bool:
        return queue.clock.get(other, 0) >= point or self.host.get(other, 0) >= point

    def host_waits(self, moment: Mapping[Queue, int]) -> None:
        """The process has waited: what was done by that moment is done, and copies to the host have arrived."""
        self.arrive()
        merge(self.host, moment)
        under_way = []
        for copy in self.arriving:
            queue, point, target, value = copy
            if self.host.get(queue, 0) >= point:
                target.copy_(value)
            else:
                under_way.append(copy)
        self.arriving = under_way

    def synchronise(self, index: int) -> None:
        """As cudaDeviceSynchronize."""
        self.check()
        card = self.context(index)
        self.not_while_capturing()
        for queue in (card.default, *card.streams):
            self.host_waits(queue.moment())

    # --- memory

    def allocate(self, queue: Queue, storage: Any) -> Block:
        """Memory of a card for a storage.

        Raises:
            torch.OutOfMemoryError: if the card has not so much left.
        """
        size = -(-storage.nbytes() // ROUNDING) * ROUNDING
        self.take(queue, size)
        block = Block(self, queue, storage, size)
        if block.pool is not None:
            block.pool.live += size
            block.pool.most = max(block.pool.most, block.pool.live)
        self.blocks[storage._cdata] = block
        return block

    def take(self, queue: Queue, size: int) -> None:
        """Counts so many bytes; see `allocate`."""
        card = self.would_fit(queue.card, size)
        card.allocated += size
        card.allocations += 1
        card.most_allocated = max(card.most_allocated, card.allocated)
        card.reserved = max(card.reserved, -(-card.used // SEGMENT) * SEGMENT)
        card.most_reserved = max(card.most_reserved, card.reserved)

    def would_fit(self, index: int, size: int) -> Card:
        """The card, if so many bytes are left on it; see `allocate`."""
        card, there = self.context(index), self.options.memory - CONTEXT
        if card.used + size > there:
            card.out_of_memory += 1
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {_amount(size)}. GPU {index} has a total capacity of "
                f"{_amount(self.options.memory)} of which {_amount(max(0, there - card.used))} is free."
            )
        return card

    def free(self, block: Block) -> None:
        """Gives memory back; it goes to whatever its stream allocates next."""
        if block.card >= len(self.cards):
            return
        self.cards[block.card].allocated -= block.size
        if block.pool is not None:
            block.pool.live -= block.size
        for queue, point in (block.wrote, *block.reads.items()):
            if queue is not block.home and not self._after(block.home, queue, point):
                self.hazards.append(f"memory of {block.home} was freed while {queue} may still use it")

    def workspace(self, queue: Queue) -> None:
        """Takes cuBLAS's workspace for a stream that multiplies matrices for the first time; it keeps it."""
        if not queue.workspace:
            self.take(queue, WORKSPACE)
            queue.workspace = True

    def empty_cache(self) -> None:
        """Gives back what no tensor lies in."""
        self.check()
        if self.recording:
            raise RuntimeError(
                'captures_underway.empty() INTERNAL ASSERT FAILED at "CUDACachingAllocator.cpp", please report a '
                "bug to PyTorch."
            )
        for card in self.cards:
            card.pools = {ident: pool for ident, pool in card.pools.items() if pool.graphs or pool.live}
            card.reserved = -(-card.used // SEGMENT) * SEGMENT


def _amount(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} bytes"


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _forked(machine: weakref.ref[Machine]) -> Any:
    def after_in_child() -> None:
        if (here := machine()) is not None and (here.initialised or here.counted):
            here.forked = True

    return after_in_child


_current: list[Machine] = []


def current() -> Machine:
    """The machine that is imitated now.

    Raises:
        AssertionError: if none is, as torch without CUDA raises.
    """
    if not _current:
        raise AssertionError("Torch not compiled with CUDA enabled")
    return _current[-1]
