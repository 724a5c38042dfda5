from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import torch
from cuda_standin import standin
from cuda_standin.parts import CONTEXT, WORKSPACE
from standin_support import aside, captured
from torch import nn

if TYPE_CHECKING:
    from cuda_standin import Machine


@pytest.mark.usefixtures("machine")
def test_memory_is_counted() -> None:
    torch.cuda.init()
    assert torch.cuda.memory_allocated() == 0
    x = torch.zeros(1000, device="cuda")
    view = x[10:]
    assert torch.cuda.memory_allocated() == 4096
    del x
    assert torch.cuda.memory_allocated() == 4096
    del view
    assert torch.cuda.memory_allocated() == 0
    assert torch.cuda.max_memory_allocated() == 4096
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == 0
    assert torch.cuda.memory_reserved() == 2 << 20
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == 0
    assert torch.cuda.memory_allocated(1) == 0


@pytest.mark.usefixtures("machine")
def test_a_graph_of_autograd_keeps_memory_and_lets_it_go() -> None:
    net = nn.Linear(1000, 1000).cuda()
    x = torch.randn(100, 1000, device="cuda")
    loss = net(x).relu().sum()
    loss.backward()
    net.zero_grad()
    held = torch.cuda.memory_allocated()
    del loss
    gc.collect()
    left = torch.cuda.memory_allocated()
    assert left < held
    assert left == 1000 * 1000 * 4 + 256 + 4096 + 100 * 1000 * 4 + 384 + WORKSPACE


@pytest.mark.usefixtures("machine")
def test_each_stream_that_multiplies_has_a_workspace() -> None:
    x = torch.ones(8, 8, device="cuda")
    for _ in range(3):
        x @ x
    assert torch.cuda.memory_allocated() == 512 + WORKSPACE
    for expected in (2, 3, 4):
        aside(lambda: x @ x)
        assert torch.cuda.memory_allocated() == 512 + expected * WORKSPACE


def test_memory_runs_out() -> None:
    with standin(memory=CONTEXT + (1 << 20)):
        x = torch.zeros(1 << 18, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.cuda.OutOfMemoryError, match=r"CUDA out of memory. Tried to allocate 16.00 GiB"):
            torch.zeros(1 << 32, device="cuda")
        with pytest.raises(torch.cuda.OutOfMemoryError, match=r"Tried to allocate 1.00 MiB"):
            x.expand(4, -1).contiguous()
        assert (x + 1).sum().item() == 1 << 18
        free, total = torch.cuda.mem_get_info()
        assert total == CONTEXT + (1 << 20)
        assert free < total


@pytest.mark.usefixtures("machine")
def test_memory_of_a_graph_is_held_as_long_as_the_graph() -> None:
    x = torch.zeros(1 << 20, device="cuda")
    graph, y = captured(lambda: torch.sum(x * 2 * 3))
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() == (4 << 20) + 512
    assert torch.cuda.memory_reserved() >= 3 * (4 << 20)
    graph.replay()
    del graph, y
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == 4 << 20


def test_memory_that_another_stream_still_uses_is_a_hazard(machine: Machine) -> None:
    side = torch.cuda.Stream()
    for come_back in (True, False):
        x = torch.zeros(3, device="cuda")
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            y = x + 1
        if come_back:
            torch.cuda.current_stream().wait_stream(side)
        del x, y
        assert bool(machine.hazards) is not come_back
