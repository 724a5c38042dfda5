"""A device in use: initialised once, with one stream to train on and one copy of the data, kept between cases."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import sys
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from benchmnist.errors import DeviceError, first_line
from benchmnist.training.clock import Clock
from benchmnist.training.data import to_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from benchmnist.extensions.specs import Dataset

WARM_UP_SECONDS = 0.3
"""Seconds of multiplications on a GPU before the first case: an idle GPU clocks at a fifth of its maximum."""


TAKEN = "another process has it, and it takes one at a time (EXCLUSIVE_PROCESS)"
"""Reason why an intact GPU may be unavailable."""


class DeviceData:
    """A dataset on a device: float32 images with pixels in [0, 1], moved there at their first use."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device

    @cached_property
    def train(self) -> tuple[Tensor, Tensor]:
        """Images [N, C, H, W] and labels [N], int64."""
        return to_unit(self.dataset.train_images, self.device), self.dataset.train_labels.to(self.device)

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        """Images [M, C, H, W] and labels [M], int64."""
        return to_unit(self.dataset.test_images, self.device), self.dataset.test_labels.to(self.device)


@functools.cache
def stream_of(device: torch.device) -> torch.cuda.Stream:
    """Returns the training stream of this process on a GPU: a single one, warmed up.

    It is not the default stream, since a captured step must first run on a side stream; and every stream that
    multiplies matrices costs 32 MiB of cuBLAS workspace permanently.

    Raises:
        RuntimeError: if the GPU cannot be used.
    """
    torch.cuda.init()
    with torch.cuda.device(device), torch.cuda.stream(stream := torch.cuda.Stream(device)):
        # The clocks rise and cuBLAS takes its workspace, so that neither is part of any case.
        clock = Clock(device)
        square = torch.ones(1024, 1024, device=device)
        start = clock()
        while clock() - start < WARM_UP_SECONDS:
            for _ in range(10):
                torch.mm(square, square)
    return stream


@functools.cache
def lane_of(device: torch.device, lane: int) -> torch.cuda.Stream:  # noqa: ARG001 - one for each number
    """Returns one of the streams of this process on which trials are trained at the same time, counted from 0."""
    with torch.cuda.device(device):
        return torch.cuda.Stream(device)


class DeviceSession:
    """A device in one process, for all cases that the process trains on it.

    Attributes:
        device: The device.
        stream: Stream of all work, see `stream_of`; None except on CUDA.
        speedups: How many times as fast steps are with a change, see `training.speed`.

    Raises:
        DeviceError: if the device cannot be used.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.speedups: dict[str, float] = {}
        self.stream: torch.cuda.Stream | None = None
        self._data: DeviceData | None = None
        self._memory = 0
        if device.type == "cuda":
            try:
                self.stream = stream_of(device)
            except RuntimeError as error:
                why = TAKEN if "busy or unavailable" in str(error) else "`benchmnist doctor` looks for the cause"
                raise DeviceError(f"{device} cannot be used: {first_line(error)}; {why}") from error

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Makes the device and its stream current, for `cuda` without a number and for captures.

        The stream waits for earlier work on the outer stream, and afterwards the outer stream waits for it.
        """
        if self.stream is None:
            yield
            return
        with torch.cuda.device(self.device):
            outside = torch.cuda.current_stream(self.device)
            self.stream.wait_stream(outside)
            with torch.cuda.stream(self.stream):
                yield
            outside.wait_stream(self.stream)

    def on(self, stream: torch.cuda.Stream | None) -> DeviceSession:
        """Returns the same session with another stream."""
        other = copy.copy(self)
        other.stream = stream
        return other

    def data(self, dataset: Dataset) -> DeviceData:
        """Returns a dataset on the device; only the last one is kept."""
        if self._data is None or self._data.dataset is not dataset:
            self._data = None  # before the next is made, so that there is never room for two needed
            self._data = DeviceData(dataset, self.device)
        return self._data

    def measure_memory(self) -> None:
        """Starts to measure the memory of a case; memory in use so far, such as the data, does not count."""
        if self.device.type == "cuda":
            gc.collect()  # what other cases left behind, if it is in cycles
            self._memory = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int:
        """Returns bytes: on CUDA, the maximum that torch allocated since `measure_memory` beyond that before.

        Elsewhere, the maximum resident memory of this process so far.
        """
        if self.device.type == "cuda":
            return max(0, torch.cuda.max_memory_allocated(self.device) - self._memory)
        try:
            import resource
        except ImportError:  # Windows
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def broken(self) -> str:
        """Returns the reason why the device no longer works; empty if it works.

        GPU errors are detected late and persist: after one, every later call in this process fails.
        """
        if self.device.type != "cuda":
            return ""
        try:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()  # what ran out of memory must not be short of it in pieces afterwards
        except RuntimeError as error:
            return first_line(error)
        return ""
