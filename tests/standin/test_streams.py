from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from cuda_standin import standin

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.usefixtures("machine")
def test_a_capture_records_what_is_done_on_the_current_device_only() -> None:
    there = torch.zeros(3, device="cuda:1")
    graph = torch.cuda.CUDAGraph()
    with pytest.warns(UserWarning, match="The CUDA Graph is empty"), torch.cuda.graph(graph):
        there.add_(1)
    assert there.tolist() == [1.0, 1.0, 1.0]
    graph.replay()
    assert there.tolist() == [1.0, 1.0, 1.0]
    with torch.cuda.device(1):
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        with pytest.warns(UserWarning, match="empty"), torch.cuda.graph(torch.cuda.CUDAGraph()):
            there.add_(1)  # torch.cuda.graph keeps the stream of its first capture, which is on the other card
        with torch.cuda.graph(graph, stream=stream):
            there.add_(1)
    graph.replay()
    assert there.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.usefixtures("machine")
def test_streams_wait_for_each_other_or_race() -> None:
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()
    made = torch.zeros(3, device="cuda")
    with torch.cuda.stream(side), pytest.raises(RuntimeError, match=r"race: aten.add.Tensor on stream 1"):
        made + 1
    side.wait_stream(here)
    with torch.cuda.stream(side):
        other = made + 1
    with pytest.raises(RuntimeError, match=r"race: aten.add_.Tensor .* overwrites what stream 1 of cuda:0 reads"):
        made.add_(1)
    with pytest.raises(RuntimeError, match="race: a read by the host"):
        other[0].item()
    with pytest.raises(RuntimeError, match="race: a copy to the host"):
        other.cpu()
    here.wait_stream(side)
    made.add_(1)
    assert other.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("how", ["synchronize", "event", "stream", "event wait"])
def test_ways_to_wait(how: str) -> None:
    side = torch.cuda.Stream()
    made = torch.zeros(3, device="cuda")
    event = torch.cuda.Event()
    event.record()
    ways: dict[str, Callable[[], None]] = {
        "synchronize": torch.cuda.synchronize,
        "event": event.synchronize,
        "stream": torch.cuda.current_stream().synchronize,
        "event wait": lambda: event.wait(side),
    }
    ways[how]()
    with torch.cuda.stream(side):
        assert (made + 1).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.usefixtures("machine")
def test_a_copy_that_does_not_block_arrives_when_it_is_waited_for() -> None:
    here = torch.ones(3, device="cuda")
    there = torch.zeros(3, pin_memory=True)
    assert there.is_pinned()
    there.copy_(here, non_blocking=True)
    assert there.tolist() == [0.0, 0.0, 0.0]
    torch.cuda.synchronize()
    assert there.tolist() == [1.0, 1.0, 1.0]


def test_a_pool_has_32_streams() -> None:
    with standin():
        streams = [torch.cuda.Stream() for _ in range(33)]
        assert streams[0] == streams[32]
        assert len({*streams}) == 32


@pytest.mark.usefixtures("machine")
def test_events_measure_time_once_they_have_come() -> None:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    torch.ones(3, device="cuda").add_(1)
    end.record()
    with pytest.raises(ValueError, match="completed"):
        start.elapsed_time(end)
    end.synchronize()
    assert start.elapsed_time(end) >= 0
