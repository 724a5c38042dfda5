from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from standin_support import aside, captured
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

pytestmark = pytest.mark.usefixtures("machine")


def test_a_capture_executes_nothing_and_a_replay_all() -> None:
    x, total = torch.ones(3, device="cuda"), torch.zeros(3, device="cuda")

    def work() -> Tensor:
        doubled = x * 2
        total.add_(doubled)
        return doubled

    graph, doubled = captured(work)
    assert doubled.shape == (3,)
    assert doubled.isnan().all()
    assert total.tolist() == [0.0, 0.0, 0.0]
    address = doubled.data_ptr()
    graph.replay()
    assert doubled.tolist() == [2.0, 2.0, 2.0]
    x.fill_(3.0)
    graph.replay()
    assert doubled.tolist() == [6.0, 6.0, 6.0]
    assert doubled.data_ptr() == address
    assert total.tolist() == [8.0, 8.0, 8.0]


def test_numbers_are_captured_as_they_are() -> None:
    x = torch.zeros(1, device="cuda")
    rate: dict[str, Any] = {"number": 1.0, "host": torch.tensor(1.0), "device": torch.ones((), device="cuda")}

    def work() -> None:
        for value in rate.values():
            x.add_(value)

    graph, _ = captured(work)
    rate["number"] = 10.0
    rate["host"].fill_(10.0)
    rate["device"].fill_(10.0)
    graph.replay()
    assert x.item() == 12.0


def test_pinned_memory_is_read_at_each_replay() -> None:
    x, source = torch.zeros(1, device="cuda"), torch.ones(1, pin_memory=True)
    graph, _ = captured(lambda: x.copy_(source, non_blocking=True))
    source.fill_(5.0)
    graph.replay()
    assert x.item() == 5.0
    with (
        pytest.warns(UserWarning, match="empty"),  # which did not spoil it
        pytest.raises(RuntimeError, match="unless the CPU tensor is pinned"),
    ):
        captured(lambda: x.copy_(torch.ones(1)))


def test_a_replay_is_ordered_as_an_operation_of_the_stream_that_replays() -> None:
    x = torch.zeros(1, device="cuda")
    graph, _ = captured(lambda: x.add_(1))
    side = torch.cuda.Stream()
    x.add_(1)
    with torch.cuda.stream(side), pytest.raises(RuntimeError, match="race: a replay"):
        graph.replay()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        graph.replay()
    with pytest.raises(RuntimeError, match="race"):
        x.add_(1)


FORBIDDEN: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).all()),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "stream": lambda _: torch.cuda.current_stream().synchronize(),
    "synchronize": lambda _: torch.cuda.synchronize(),
    "query": lambda _: torch.cuda.current_stream().query(),
    "event": lambda _: _event().query(),
}


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record()
    return event


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_capture_that_failed_leaves_things_as_torch_does(name: str) -> None:
    x = torch.ones(3, device="cuda")
    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError, match="operation failed due to a previous error during capture") as caught:
        captured(lambda: FORBIDDEN[name](x))
    assert "operation not permitted when stream is capturing" in str(caught.value.__context__)
    assert torch.cuda.current_stream() != before  # it stays the capture's
    torch.cuda.set_stream(before)
    assert x.add_(1).tolist() == [2.0, 2.0, 2.0]  # what is executed still works
    with pytest.raises(RuntimeError, match=r"captures_underway.empty"):
        captured(lambda: x.add_(1))
    with pytest.raises(RuntimeError, match=r"captures_underway.empty"):
        torch.cuda.empty_cache()


def test_a_pool_that_a_failed_capture_left_cannot_be_recorded_to() -> None:
    x, pool = torch.ones(3, device="cuda"), torch.cuda.graph_pool_handle()
    stream = torch.cuda.Stream()
    torch.cuda.set_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin(pool)
    with pytest.raises(RuntimeError, match="not permitted"):
        x.sum().item()
    with pytest.raises(RuntimeError, match="previous error"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="previous error"):
        graph.capture_end()
    with pytest.raises(RuntimeError, match="beginAllocateToPool: already recording to mempool_id"):
        torch.cuda.CUDAGraph().capture_begin(pool)


def test_an_error_of_python_does_not_spoil_a_capture() -> None:
    x = torch.ones(3, device="cuda")

    def work() -> None:
        raise KeyError("mine")

    with pytest.warns(UserWarning, match="empty"), pytest.raises(KeyError, match="mine"):
        captured(work)
    graph, _ = captured(lambda: x.add_(1))
    graph.replay()
    assert x.tolist() == [2.0, 2.0, 2.0]


def test_where_and_when_captures_cannot_be_made() -> None:
    torch.cuda.init()
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="CUDA graphs must be captured on a non-default stream"):
        graph.capture_begin()
    with pytest.raises(RuntimeError, match="replay without a preceding successful capture"):
        graph.replay()
    graph, _ = captured(lambda: torch.ones(3, device="cuda"))
    with pytest.raises(RuntimeError, match="already owns a captured graph"), torch.cuda.graph(graph):
        pass


def test_streams_join_a_capture_and_have_to_come_back() -> None:
    x, y = torch.ones(1, device="cuda"), torch.ones(1, device="cuda")
    side = torch.cuda.Stream()

    def work(*, come_back: bool) -> None:
        x.add_(1)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            assert torch.cuda.is_current_stream_capturing()
            y.add_(x)
        if come_back:
            torch.cuda.current_stream().wait_stream(side)

    graph, _ = captured(lambda: work(come_back=True))
    assert not torch.cuda.is_current_stream_capturing()
    graph.replay()
    assert y.item() == 3.0
    with pytest.raises(RuntimeError, match="unjoined work"):
        captured(lambda: work(come_back=False))


def test_a_capture_does_not_wait_for_what_is_outside_of_it() -> None:
    torch.cuda.init()
    with pytest.raises(RuntimeError, match="previous error") as caught:
        captured(lambda: torch.cuda.current_stream().wait_stream(torch.cuda.default_stream()))
    assert "dependency created on uncaptured work" in str(caught.value.__context__)


def test_a_graph_must_not_outlive_what_it_reads() -> None:
    read = [torch.ones(3, device="cuda")]
    graph, y = captured(lambda: read[0] * 2)
    read.clear()
    with pytest.raises(RuntimeError, match="use after free"):
        graph.replay()
    assert y.isnan().all()


def test_graphs_may_share_a_pool() -> None:
    x, pool = torch.zeros(1, device="cuda"), torch.cuda.graph_pool_handle()
    graphs = [torch.cuda.CUDAGraph() for _ in range(2)]
    for graph in graphs:
        with torch.cuda.graph(graph, pool=pool):
            x.add_(1)
    assert graphs[0].pool() == graphs[1].pool() == pool
    for graph in graphs:
        graph.replay()
    assert x.item() == 2.0


def test_results_of_every_kind_are_captured() -> None:
    x, flat = torch.tensor([3.0, 1.0, 2.0], device="cuda"), torch.zeros(3, device="cuda")

    def work() -> dict[str, Tensor]:
        values, places = x.sort()
        torch.cumsum(x, 0, out=flat)
        one, other = torch._foreach_add([x, x], 1.0)
        return {"values": values, "places": places, "one": one, "other": other, "view": x[1:], "flat": flat}

    graph, made = captured(work)
    x.neg_()
    graph.replay()
    assert {name: tensor.tolist() for name, tensor in made.items()} == {
        "values": [-3.0, -2.0, -1.0],
        "places": [0, 2, 1],
        "one": [-2.0, 0.0, -1.0],
        "other": [-2.0, 0.0, -1.0],
        "view": [-1.0, -2.0],
        "flat": [-3.0, -4.0, -6.0],
    }


def test_a_schedule_of_betas_is_baked_in() -> None:
    weight = nn.Parameter(torch.ones(3, device="cuda"))
    weight.grad = torch.ones(3, device="cuda")
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.5)
    aside(optimizer.step)
    graph, _ = captured(optimizer.step)
    optimizer.param_groups[0]["momentum"] = 0.0
    graph.replay()
    assert weight.tolist() == [-1.5, -1.5, -1.5]  # 1 - 1 - (1 + 0.5): the momentum is as it was
