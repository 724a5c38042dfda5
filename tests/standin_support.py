"""Work on the stand-in for torch.cuda, run aside or captured."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import cuda_standin
import torch

from benchmnist.training.device import lane_of, stream_of
from benchmnist.training.gpus import read_gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cuda_standin import Machine


@contextlib.contextmanager
def standin(**options: Any) -> Iterator[Machine]:
    """The stand-in for what BenchMNIST trains, which remembers the cards of a process: here they change."""
    with cuda_standin.standin(**options) as machine:
        for remembered in (stream_of, lane_of, read_gpus):
            remembered.cache_clear()
        yield machine
    for remembered in (stream_of, lane_of, read_gpus):
        remembered.cache_clear()


def aside(work: Callable[[], Any]) -> Any:
    """Runs work on a side stream, as what is to be captured has to be run first."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


def captured(work: Callable[[], Any], *registered: torch.Generator) -> tuple[torch.cuda.CUDAGraph, Any]:
    graph = torch.cuda.CUDAGraph()
    for generator in registered:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = work()
    return graph, result
