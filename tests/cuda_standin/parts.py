"""The parts of the imitated machine: streams, memory and cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cuda_standin.graphs import Capture
    from cuda_standin.machine import Machine

ROUNDING = 512
"""Bytes: the caching allocator hands out multiples of this."""

SEGMENT = 2 << 20
"""Bytes: what it takes from the card, a small segment at a time."""

WORKSPACE = 32 << 20
"""Bytes of cuBLAS's workspace, for each stream that has multiplied matrices (Hopper's; others have 8.1 MiB)."""

CONTEXT = 400 << 20
"""Bytes of a card that a process takes before it has any tensor; some hundred MB on real ones."""

STREAMS = 32
"""Streams of a card's pool: the 33rd that is asked for is the first again."""

NOT_PERMITTED = "operation not permitted when stream is capturing"
INVALIDATED = "operation failed due to a previous error during capture"


def cuda_error(text: str) -> RuntimeError:
    """An error of the CUDA runtime as torch words it."""
    return torch.AcceleratorError(
        f"CUDA error: {text}\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
        "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
        "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
    )


class Queue:
    """A stream: the order of its work, and the work of other streams that it has waited for (a vector clock)."""

    __slots__ = ("capture", "card", "clock", "ident", "now", "workspace")

    def __init__(self, card: int, ident: int) -> None:
        self.card, self.ident, self.now = card, ident, 0
        self.clock: dict[Queue, int] = {}
        self.capture: Capture | None = None
        self.workspace = False

    def __str__(self) -> str:
        return (
            f"stream {self.ident} of cuda:{self.card}" if self.ident else f"the default stream of cuda:{self.card}"
        )

    def moment(self) -> dict[Queue, int]:
        """All that has been done once its work so far is done."""
        return {**self.clock, self: self.now}

    def wait(self, moment: Mapping[Queue, int]) -> None:
        """Work from now on begins after that moment."""
        merge(self.clock, moment)


def merge(clock: dict[Queue, int], moment: Mapping[Queue, int]) -> None:
    for queue, point in moment.items():
        if clock.get(queue, 0) < point:
            clock[queue] = point


@dataclass(eq=False)
class Pool:
    """The private memory of graphs: what their tensors needed at most stays taken while one of them lives."""

    ident: tuple[int, int]
    card: int
    live: int = 0
    most: int = 0
    graphs: int = 0

    @property
    def held(self) -> int:
        """Bytes that are taken although no tensor lies there."""
        return self.most - self.live if self.graphs else 0


class Block:
    """A piece of a card's memory, shared by a tensor and its views; freed with the last of them.

    Attributes:
        wrote: The stream that wrote it last, and when.
        reads: When each stream read it last, since then.
        capture: The capture that it was allocated in.
    """

    __slots__ = ("__weakref__", "capture", "card", "home", "machine", "pool", "reads", "size", "storage", "wrote")

    def __init__(self, machine: Machine, queue: Queue, storage: Any, size: int) -> None:
        self.machine, self.card, self.home, self.storage, self.size = machine, queue.card, queue, storage, size
        self.wrote: tuple[Queue, int] = (queue, queue.now)
        self.reads: dict[Queue, int] = {}
        self.capture = queue.capture
        self.pool = queue.capture.pool if queue.capture is not None else None

    def __del__(self) -> None:
        self.machine.free(self)


@dataclass(eq=False)
class Card:
    """One card, as this process sees it."""

    physical: int
    default: Queue
    streams: list[Queue] = field(default_factory=list)
    asked_for: int = 0
    context: bool = False
    allocated: int = 0
    most_allocated: int = 0
    reserved: int = 0
    most_reserved: int = 0
    allocations: int = 0
    out_of_memory: int = 0
    pools: dict[tuple[int, int], Pool] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """Bytes of tensors, and of graphs that hold on to what was theirs."""
        return self.allocated + sum(pool.held for pool in self.pools.values())
