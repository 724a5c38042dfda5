"""Streams and events, in place of what `torch.cuda.Stream` and `torch.cuda.Event` are built on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import torch

from cuda_standin.machine import Machine, current
from cuda_standin.parts import cuda_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cuda_standin.graphs import Capture
    from cuda_standin.parts import Queue

CUDA = 1
"""The number of the type of device."""


class StreamBase:
    """In place of `torch._C._CudaStreamBase`."""

    queue: Queue
    priority: int

    def __new__(
        cls, priority: int = 0, stream_id: int = 0, device_index: int = -1, device_type: int = 0, **_: Any
    ) -> Self:
        self = super().__new__(cls)
        here = initialised()
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

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)


def _done(here: Machine, moment: Mapping[Queue, int]) -> bool:
    """Whether the host knows that all was done by a moment. Asked again it will be: time passes."""
    done = all(here.host.get(queue, 0) >= point for queue, point in moment.items())
    if not done:
        here.host_waits(moment)
    return done


class EventBase:
    """In place of `torch._C._CudaEventBase`."""

    def __new__(cls, **_: object) -> Self:
        return super().__new__(cls)

    def __init__(self, enable_timing: bool = False, *_: object, **__: object) -> None:
        self.enable_timing = enable_timing
        self.moment: dict[Queue, int] | None = None
        self.queue: Queue | None = None
        self.capture: Capture | None = None
        self.time = 0.0

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
            raise cuda_error("dependency created on uncaptured work in another stream")
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
        if any(
            known.get(queue, 0) < point for event in (self, end) for queue, point in (event.moment or {}).items()
        ):
            raise ValueError("Both events must be completed before calculating elapsed time.")
        return 1000 * (end.time - self.time)


def initialised() -> Machine:
    torch.cuda.init()
    here = current()
    here.check()
    return here
