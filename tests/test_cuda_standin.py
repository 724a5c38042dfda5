"""Each rule of CUDA that the stand-in holds code to, in a few lines."""

from __future__ import annotations

import copy
import gc
import io
import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cuda_standin import CudaTensor, Machine, standin
from cuda_standin.machine import CONTEXT, WORKSPACE
from cuda_standin.processes import contexts
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

Environment = "Callable[..., dict[str, str]]"


@pytest.fixture
def machine() -> Iterator[Machine]:
    with standin(devices=2) as made:
        yield made


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


# --- tensors


def test_tensors_are_on_a_card_for_python_and_have_real_values(machine: Machine) -> None:
    for made in (
        torch.zeros(3, device="cuda"),
        torch.zeros(3).cuda(),
        torch.zeros(3).to("cuda"),
        torch.zeros(3).to(torch.randn(2, device="cuda")),
        torch.tensor([0.0, 0.0, 0.0], device="cuda:0"),
        torch.arange(3.0, device="cuda") * 0,
        torch.randperm(3, device="cuda").float() * 0,
        torch.zeros(3).to(torch.float64).to("cuda", torch.float32),
    ):
        assert type(made) is CudaTensor
        assert made.device == torch.device("cuda:0")
        assert made.is_cuda
        assert made.get_device() == 0
        assert made.cpu().is_cpu
        assert made.tolist() == [0.0, 0.0, 0.0]
    assert torch.zeros(3, device="cuda:1").device.index == 1
    with torch.cuda.device(1):
        assert torch.zeros(3, device="cuda").device.index == 1
    assert repr(torch.zeros(2, device="cuda")) == "tensor([0., 0.], device='cuda:0')"
    assert torch.zeros(3).device.type == "cpu"


def test_tensors_of_several_devices_do_not_mix(machine: Machine) -> None:
    here = torch.ones(3, device="cuda")
    assert (here * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]
    for other in (torch.ones(3), torch.ones(3, device="cuda:1")):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but found at least two"):
            here + other
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        here.numpy()


def test_a_module_is_moved_as_it_is_with_cuda(machine: Machine) -> None:
    net = nn.Linear(3, 2)
    weight = net.weight
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.to("cuda")
    assert net.weight is weight
    assert isinstance(weight, nn.Parameter)
    assert weight.device.type == "cuda"
    net(torch.ones(1, 3, device="cuda")).sum().backward()
    assert weight.grad is not None
    assert weight.grad.device.type == "cuda"
    optimizer.step()
    copied = copy.deepcopy(net)
    assert copied.weight.device.type == "cuda"
    assert torch.equal(copied.weight, net.weight)
    net.cpu()
    assert type(net.weight) is nn.Parameter
    assert weight.device.type == "cpu"


def test_tensors_are_saved_and_loaded(machine: Machine) -> None:
    file = io.BytesIO()
    torch.save({"x": torch.arange(3, device="cuda:1")}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)["x"]
    assert loaded.device == torch.device("cuda:1")
    assert loaded.tolist() == [0, 1, 2]


def test_gradients_cross_devices(machine: Machine) -> None:
    here = torch.ones(3, requires_grad=True)
    (here.cuda() * 2).cpu().sum().backward()
    assert here.grad is not None
    assert here.grad.device.type == "cpu"
    assert here.grad.tolist() == [2.0, 2.0, 2.0]


def test_vmap_goes_over_stacked_models(machine: Machine) -> None:
    models = [nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).cuda() for _ in range(3)]
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]
    shown = []

    def loss(weights: Any, state: Any, x: Tensor) -> Tensor:
        shown.append(x.device)
        result: Tensor = functional_call(models[0], (weights, state), (x,)).sum()
        return result

    x = torch.randn(3, 6, 5, device="cuda")
    each = vmap(loss)(parameters, buffers, x)
    each.sum().backward()
    assert shown == [torch.device("cuda:0")]
    assert each.device.type == "cuda"
    expected = [functional_call(model, dict(model.named_parameters()), (one,)).sum() for model, one in zip(models, x, strict=True)]
    assert torch.allclose(each.cpu(), torch.stack(expected).cpu(), atol=1e-4)


def test_autocast_for_a_card_rounds_there(machine: Machine) -> None:
    here = torch.ones(3, 3, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert (here @ here).dtype == torch.bfloat16
    assert (here @ here).dtype == torch.float32
    assert torch.cuda.is_bf16_supported()


def test_optimizers_take_the_path_that_they_take_on_a_gpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.optim import adam

    taken: list[str] = []
    for name in ("_single_tensor_adam", "_multi_tensor_adam", "_fused_adam"):
        original = getattr(adam, name)
        monkeypatch.setattr(adam, name, lambda *a, _n=name, _o=original, **k: (taken.append(_n), _o(*a, **k)))
    weight = nn.Parameter(torch.ones(3, device="cuda"))
    weight.grad = torch.ones(3, device="cuda")
    for told in ({}, {"fused": True}, {"foreach": False}):
        torch.optim.Adam([weight], **told).step()  # type: ignore[arg-type]
    assert taken == ["_multi_tensor_adam", "_fused_adam", "_single_tensor_adam"]


# --- a: initialisation


def test_asking_which_cards_there_are_initialises_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with standin(devices=2, log=str(log)) as machine:
        assert torch.cuda.is_available()
        assert torch.cuda.device_count() == 2
        torch.manual_seed(0)
        torch.cuda.empty_cache()
        assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated(0) == 0
        assert not torch.cuda.is_initialized()
        assert not machine.initialised
        assert contexts(log) == []
        torch.cuda.set_device(1)
        assert torch.cuda.is_initialized()
        (made,) = contexts(log)
        assert (made.pid, made.ppid, made.card) == (os.getpid(), os.getppid(), 1)
        assert made.argv
    assert not torch.cuda.is_available()
    assert not torch.cuda.is_initialized()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.zeros(1, device="cuda")


@pytest.mark.parametrize(
    "use",
    [
        torch.cuda.init,
        torch.cuda.current_device,
        torch.cuda.synchronize,
        torch.cuda.get_device_name,
        torch.cuda.get_device_properties,
        torch.cuda.mem_get_info,
        torch.cuda.current_stream,
        torch.cuda.get_rng_state,
        lambda: torch.cuda.Stream(),
        lambda: torch.zeros(1, device="cuda"),
        lambda: torch.zeros(1).cuda(),
        lambda: torch.zeros(1).pin_memory(),
        lambda: torch.Generator("cuda"),
        lambda: torch.cuda.set_sync_debug_mode("default"),
    ],
)
def test_using_a_card_initialises_it(use: Callable[[], Any]) -> None:
    with standin() as machine:
        use()
        assert machine.initialised
        assert machine.cards[0].context


@pytest.mark.parametrize("reset", [torch.cuda.reset_peak_memory_stats, torch.cuda.reset_accumulated_memory_stats])
def test_statistics_of_the_allocator_are_not_there_before(machine: Machine, reset: Callable[[Any], None]) -> None:
    with pytest.raises(RuntimeError, match="Invalid device argument"):
        reset(torch.device("cuda", 0))
    torch.cuda.init()
    reset(torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("visible", "expected"), [("", []), ("1", [1]), ("1,0", [1, 0]), ("0,7,1", [0]), ("-1", []), ("1,1", [])]
)
def test_cuda_visible_devices(monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[int]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with standin(devices=2) as machine:
        assert torch.cuda.device_count() == len(expected)
        assert torch.cuda.is_available() is bool(expected)
        if not expected:
            with pytest.raises(RuntimeError, match="No CUDA GPUs are available"):
                torch.zeros(1, device="cuda")
            return
        torch.cuda.init()
        assert [card.physical for card in machine.cards] == expected
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            torch.zeros(1, device=f"cuda:{len(expected)}")


def test_cuda_visible_devices_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    with standin(devices=2) as machine:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", machine.uuid(1))
        assert torch.cuda.device_count() == 1
        torch.cuda.init()
        assert machine.cards[0].physical == 1


def python(code: str, environment: dict[str, str]) -> str:
    """What a process prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    return done.stdout.strip()


FORKED = """
import os, torch
{before}
if os.fork() == 0:
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        print(error, flush=True)
    else:
        print("it works", flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("torch.cuda.init()", "Cannot re-initialize CUDA in forked subprocess."),
        ("torch.cuda.is_available()", "Cannot re-initialize CUDA in forked subprocess."),  # it asks the runtime
        ("torch.cuda.device_count()", "it works"),  # it asks NVML
    ],
)
def test_what_is_forked_cannot_use_cuda(
    standin_processes: Callable[..., dict[str, str]], before: str, expected: str
) -> None:
    assert python(FORKED.format(before=before), standin_processes()).startswith(expected)


def test_processes_exclude_each_other(standin_processes: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    environment = standin_processes(exclusive=True)
    code = """
import os, subprocess, sys, torch
if "nested" in sys.argv:
    try:
        torch.cuda.init()
    except RuntimeError as error:
        print(str(error).partition(chr(10))[0])
else:
    if "alone" not in sys.argv:
        torch.cuda.init()
    print(subprocess.run([sys.executable, "-P", *sys.orig_argv[2:4], "nested"], capture_output=True, text=True).stdout)
"""
    assert python(code, environment) == "CUDA error: CUDA-capable device(s) is/are busy or unavailable"
    assert [context.card for context in contexts(tmp_path / "contexts.jsonl")] == [0]
    assert python(code.replace('"alone" not in sys.argv', "False"), environment) == ""


# --- b: the current device


def test_a_capture_records_what_is_done_on_the_current_device_only(machine: Machine) -> None:
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


# --- c: streams


def test_streams_wait_for_each_other_or_race(machine: Machine) -> None:
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()
    made = torch.zeros(3, device="cuda")
    with torch.cuda.stream(side), pytest.raises(RuntimeError, match="race: aten.add.Tensor on stream 1"):
        made + 1
    side.wait_stream(here)
    with torch.cuda.stream(side):
        other = made + 1
    with pytest.raises(RuntimeError, match="race: aten.add_.Tensor .* overwrites what stream 1 of cuda:0 reads"):
        made.add_(1)
    with pytest.raises(RuntimeError, match="race: a read by the host"):
        other[0].item()
    with pytest.raises(RuntimeError, match="race: a copy to the host"):
        other.cpu()
    here.wait_stream(side)
    made.add_(1)
    assert other.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("how", ["synchronize", "event", "stream", "event wait"])
def test_ways_to_wait(machine: Machine, how: str) -> None:
    side = torch.cuda.Stream()
    made = torch.zeros(3, device="cuda")
    event = torch.cuda.Event()
    event.record()
    {
        "synchronize": torch.cuda.synchronize,
        "event": event.synchronize,
        "stream": torch.cuda.current_stream().synchronize,
        "event wait": lambda: event.wait(side),
    }[how]()
    with torch.cuda.stream(side):
        assert (made + 1).tolist() == [1.0, 1.0, 1.0]


def test_a_copy_that_does_not_block_arrives_when_it_is_waited_for(machine: Machine) -> None:
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


def test_events_measure_time_once_they_have_come(machine: Machine) -> None:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    torch.ones(3, device="cuda").add_(1)
    end.record()
    with pytest.raises(ValueError, match="completed"):
        start.elapsed_time(end)
    end.synchronize()
    assert start.elapsed_time(end) >= 0


# --- d: what the host waits for

WAITING: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).all()),
    "float": lambda x: float(x[0]),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "list as index": lambda x: x[[0, 1]],
    "tensor": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "scalar tensor": lambda x: torch.tensor(1.0, device=x.device),
    "from the host": lambda x: torch.ones(3).to(x.device),
    "copy_": lambda x: x.copy_(torch.ones(3)),
    "element": lambda x: x.__setitem__(0, 1.0),
    "print": repr,
    "allclose": lambda x: torch.allclose(x, x),
    "stream": lambda _: torch.cuda.current_stream().synchronize(),
}
NOT_WAITING: dict[str, Callable[[Tensor], Any]] = {
    "synchronize": lambda _: torch.cuda.synchronize(),  # torch checks only its own copies
    "factories": lambda x: torch.full((3,), 2.0, device=x.device) + torch.arange(3, device=x.device),
    "pinned": lambda x: x.copy_(torch.ones(3, pin_memory=True), non_blocking=True),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "masked fill": lambda x: x.masked_fill(x > 0, 1.0),
    "fill by mask": lambda x: x.__setitem__(x > 0, 2.0),
    "index": lambda x: x[torch.arange(2, device=x.device)],
    "slice": lambda x: x.__setitem__(slice(2), 1.0),
    "between cards": lambda x: x.to("cuda:1"),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_for_the_device(machine: Machine, name: str) -> None:
    here = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match="^called a synchronizing CUDA operation$"):
        WAITING[name](here)
    torch.cuda.set_sync_debug_mode("warn")
    with pytest.warns(UserWarning, match="called a synchronizing CUDA operation"):
        WAITING[name](here)
    torch.cuda.set_sync_debug_mode("default")
    WAITING[name](here)


@pytest.mark.parametrize("name", NOT_WAITING)
def test_what_does_not_wait_for_the_device(machine: Machine, name: str) -> None:
    here = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    NOT_WAITING[name](here)


# --- e: capture


def test_a_capture_executes_nothing_and_a_replay_all(machine: Machine) -> None:
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


def test_numbers_are_captured_as_they_are(machine: Machine) -> None:
    x = torch.zeros(1, device="cuda")
    rate = {"number": 1.0, "host": torch.tensor(1.0), "device": torch.ones((), device="cuda")}

    def work() -> None:
        for value in rate.values():
            x.add_(value)

    graph, _ = captured(work)
    rate["number"] = 10.0
    rate["host"].fill_(10.0)  # type: ignore[attr-defined]
    rate["device"].fill_(10.0)  # type: ignore[attr-defined]
    graph.replay()
    assert x.item() == 12.0


def test_pinned_memory_is_read_at_each_replay(machine: Machine) -> None:
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


def test_a_replay_is_ordered_as_an_operation_of_the_stream_that_replays(machine: Machine) -> None:
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
    **{name: WAITING[name] for name in ("item", "bool", "nonzero", "mask", "stream")},
    "synchronize": lambda _: torch.cuda.synchronize(),
    "query": lambda _: torch.cuda.current_stream().query(),
    "event": lambda _: _event().query(),
}


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record()
    return event


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_capture_that_failed_leaves_things_as_torch_does(machine: Machine, name: str) -> None:
    x = torch.ones(3, device="cuda")
    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError, match="operation failed due to a previous error during capture") as caught:
        captured(lambda: FORBIDDEN[name](x))
    assert "operation not permitted when stream is capturing" in str(caught.value.__context__)
    assert torch.cuda.current_stream() != before  # it stays the capture's
    torch.cuda.set_stream(before)
    assert x.add_(1).tolist() == [2.0, 2.0, 2.0]  # what is executed still works
    with pytest.raises(RuntimeError, match="captures_underway.empty"):
        captured(lambda: x.add_(1))
    with pytest.raises(RuntimeError, match="captures_underway.empty"):
        torch.cuda.empty_cache()


def test_a_pool_that_a_failed_capture_left_cannot_be_recorded_to(machine: Machine) -> None:
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


def test_an_error_of_python_does_not_spoil_a_capture(machine: Machine) -> None:
    x = torch.ones(3, device="cuda")

    def work() -> None:
        raise KeyError("mine")

    with pytest.warns(UserWarning, match="empty"), pytest.raises(KeyError, match="mine"):
        captured(work)
    graph, _ = captured(lambda: x.add_(1))
    graph.replay()
    assert x.tolist() == [2.0, 2.0, 2.0]


def test_where_and_when_captures_cannot_be_made(machine: Machine) -> None:
    torch.cuda.init()
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="CUDA graphs must be captured on a non-default stream"):
        graph.capture_begin()
    with pytest.raises(RuntimeError, match="replay without a preceding successful capture"):
        graph.replay()
    graph, _ = captured(lambda: torch.ones(3, device="cuda"))
    with pytest.raises(RuntimeError, match="already owns a captured graph"), torch.cuda.graph(graph):
        pass


def test_streams_join_a_capture_and_have_to_come_back(machine: Machine) -> None:
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


def test_a_capture_does_not_wait_for_what_is_outside_of_it(machine: Machine) -> None:
    torch.cuda.init()
    with pytest.raises(RuntimeError, match="previous error") as caught:
        captured(lambda: torch.cuda.current_stream().wait_stream(torch.cuda.default_stream()))
    assert "dependency created on uncaptured work" in str(caught.value.__context__)


def test_a_graph_must_not_outlive_what_it_reads(machine: Machine) -> None:
    x = torch.ones(3, device="cuda")
    graph, y = captured(lambda: x * 2)
    del x
    with pytest.raises(RuntimeError, match="use after free"):
        graph.replay()
    assert y.isnan().all()


def test_a_schedule_of_betas_is_baked_in(machine: Machine) -> None:
    weight = nn.Parameter(torch.ones(3, device="cuda"))
    weight.grad = torch.ones(3, device="cuda")
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.5)
    aside(optimizer.step)
    graph, _ = captured(optimizer.step)
    optimizer.param_groups[0]["momentum"] = 0.0
    graph.replay()
    assert weight.tolist() == [-1.5, -1.5, -1.5]  # 1 - 1 - (1 + 0.5): the momentum is as it was


# --- f: random numbers


def test_generators_of_cards_are_not_those_of_the_cpu(machine: Machine) -> None:
    torch.manual_seed(3)
    on_the_cpu = torch.rand(4)
    torch.manual_seed(3)
    assert torch.rand(4, device="cuda").tolist() == on_the_cpu.tolist()  # the CPU's was not drawn from …
    assert torch.rand(4).tolist() == on_the_cpu.tolist()  # … and both are seeded
    torch.cuda.manual_seed(3)
    assert torch.rand(4, device="cuda").tolist() == on_the_cpu.tolist()
    torch.cuda.manual_seed_all(3)
    assert torch.rand(4, device="cuda:1").tolist() == on_the_cpu.tolist()
    state = torch.cuda.get_rng_state()
    dropped = functional.dropout(torch.ones(50, device="cuda"))
    torch.cuda.set_rng_state(state)
    assert torch.equal(functional.dropout(torch.ones(50, device="cuda")), dropped)
    with torch.random.fork_rng(devices=[0]):
        torch.rand(3, device="cuda")
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.rand(3, device="cuda", generator=torch.Generator())


def test_a_seed_before_cuda_is_initialised_is_remembered(machine: Machine) -> None:
    torch.cuda.manual_seed(5)
    assert not torch.cuda.is_initialized()
    assert torch.rand(3, device="cuda").tolist() == torch.rand(3, generator=torch.Generator().manual_seed(5)).tolist()


def test_states_are_cloned_or_shared(machine: Machine) -> None:
    one = torch.Generator(device="cuda").manual_seed(1)
    assert one.device == torch.device("cuda:0")
    assert isinstance(one, torch.Generator)
    clone = one.clone_state()
    first = torch.rand(3, device="cuda", generator=one).tolist()
    assert torch.rand(3, device="cuda", generator=clone).tolist() == first
    other = torch.Generator(device="cuda")
    other.graphsafe_set_state(one.graphsafe_get_state())
    second = torch.rand(3, device="cuda", generator=other).tolist()
    assert second != first
    assert torch.rand(3, device="cuda", generator=clone).tolist() == second
    assert torch.equal(one.get_state(), other.get_state())


def test_replays_draw_what_the_same_steps_would_draw(machine: Machine) -> None:
    one = torch.Generator(device="cuda")
    default = torch.cuda.default_generators
    torch.cuda.init()

    def work() -> Tensor:
        dropped = functional.dropout(torch.ones(20, device="cuda"))
        return torch.cat([dropped, torch.rand(3, device="cuda", generator=one)])

    def seed() -> None:
        torch.manual_seed(1)
        one.manual_seed(2)

    del default
    seed()
    expected = [work().tolist() for _ in range(3)]
    graph, drawn = captured(work, one)
    seed()
    seen = []
    for _ in range(3):
        graph.replay()
        seen.append(drawn.tolist())
    assert seen == expected
    assert work().tolist() not in expected


def test_what_cannot_be_done_with_generators_in_a_capture(machine: Machine) -> None:
    one = torch.Generator(device="cuda")
    state = torch.cuda.get_rng_state()
    for forbidden in (
        lambda: torch.manual_seed(1),
        lambda: torch.cuda.manual_seed(1),
        lambda: torch.cuda.set_rng_state(state),
        torch.cuda.get_rng_state,
        lambda: torch.Generator(device="cuda"),
        lambda: torch.cuda.CUDAGraph().register_generator_state(one),
    ):
        with (
            pytest.warns(UserWarning, match="empty"),
            pytest.raises(RuntimeError, match="during CUDA graph capture. If you need this call to be captured"),
        ):
            captured(forbidden)
    with pytest.raises(RuntimeError, match="for a CUDA generator not in capture mode"):
        captured(lambda: torch.ones(3, device="cuda").bernoulli_(generator=one))
    captured(lambda: torch.ones(3, device="cuda").bernoulli_(generator=one), one)


def test_a_generator_is_registered_when_it_is_drawn_from_as_torch_2_13_does() -> None:
    with standin(lazy_generators=True):
        one = torch.Generator(device="cuda").manual_seed(2)
        expected = torch.rand(3, device="cuda", generator=one).tolist()
        graph, drawn = captured(lambda: torch.rand(3, device="cuda", generator=one))
        one.manual_seed(2)
        graph.replay()
        assert drawn.tolist() == expected


@pytest.mark.parametrize("stay", [False, True])
def test_generators_after_a_capture_that_failed(stay: bool) -> None:
    with standin(generators_stay_capturing=stay):
        x = torch.ones(30, device="cuda")
        before = torch.cuda.current_stream()
        with pytest.raises(RuntimeError, match="previous error"):
            captured(lambda: x.sum().item())
        torch.cuda.set_stream(before)
        if stay:
            with pytest.raises(RuntimeError, match="Offset increment outside graph capture encountered unexpectedly"):
                functional.dropout(x)
        else:
            functional.dropout(x)


# --- g: errors of the device

OUT_OF_RANGE: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "index_select": lambda x, i: x.index_select(0, i),
    "gather": lambda x, i: x.gather(0, i),
    "index": lambda x, i: x[i],
    "embedding": lambda x, i: functional.embedding(i, x.unsqueeze(1)),
    "cross_entropy": lambda x, i: functional.cross_entropy(x.expand(len(i), -1), i),
    "nll_loss": lambda x, i: functional.nll_loss(x.expand(len(i), -1), i),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_an_index_out_of_range_is_found_late_and_stays(machine: Machine, name: str) -> None:
    x, index = torch.ones(3, device="cuda"), torch.tensor([0, 3], device="cuda")
    result = OUT_OF_RANGE[name](x, index)
    assert result.device.type == "cuda"
    y = x * 2
    for use in (y.sum().item, torch.cuda.synchronize, lambda: x + 1, lambda: x.cpu(), torch.cuda.Stream):
        with pytest.raises(RuntimeError, match="CUDA error: device-side assert triggered"):
            use()


def test_an_index_out_of_range_in_a_replay(machine: Machine) -> None:
    x, index = torch.ones(3, device="cuda"), torch.tensor([0, 1], device="cuda")
    graph, _ = captured(lambda: x.index_select(0, index))
    index.fill_(7)
    graph.replay()
    with pytest.raises(torch.AcceleratorError, match="device-side assert triggered"):
        torch.cuda.synchronize()


# --- h: memory


def test_memory_is_counted(machine: Machine) -> None:
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


def test_a_graph_of_autograd_keeps_memory_and_lets_it_go(machine: Machine) -> None:
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


def test_each_stream_that_multiplies_has_a_workspace(machine: Machine) -> None:
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
        with pytest.raises(torch.cuda.OutOfMemoryError, match="Tried to allocate 1.00 MiB"):
            x.expand(4, -1).contiguous()
        assert (x + 1).sum().item() == 1 << 18
        free, total = torch.cuda.mem_get_info()
        assert total == CONTEXT + (1 << 20)
        assert free < total


def test_memory_of_a_graph_is_held_as_long_as_the_graph(machine: Machine) -> None:
    x = torch.zeros(1 << 20, device="cuda")
    graph, y = captured(lambda: (x * 2 * 3).sum())
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


# --- i: NVML, and j: versions


def test_nvml_knows_the_cards_and_makes_no_context(tmp_path: Path) -> None:
    with standin(devices=2, exclusive=True, log=str(tmp_path / "log")) as machine:
        import pynvml

        with pytest.raises(pynvml.NVMLError):
            pynvml.nvmlDeviceGetCount()
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 2
        handle = pynvml.nvmlDeviceGetHandleByIndex(1)
        assert pynvml.nvmlDeviceGetName(handle) == machine.options.name
        assert pynvml.nvmlDeviceGetUUID(handle) == machine.uuid(1)
        assert pynvml.nvmlSystemGetDriverVersion() == machine.options.driver
        assert pynvml.nvmlDeviceGetMemoryInfo(handle).total == machine.options.memory
        assert pynvml.nvmlDeviceGetComputeMode(handle) == pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
        clocks = [
            ask(handle, pynvml.NVML_CLOCK_SM) for ask in (pynvml.nvmlDeviceGetClockInfo, pynvml.nvmlDeviceGetMaxClockInfo)
        ]
        assert clocks == [396, 1980]
        assert pynvml.nvmlDeviceGetCudaComputeCapability(handle) == (9, 0)
        assert pynvml.nvmlDeviceGetPciInfo(handle).busId == "00000000:02:00.0"
        assert pynvml.nvmlDeviceGetPowerUsage(handle) > 0
        assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) > 0
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(handle) == []
        assert not machine.initialised
        torch.cuda.set_device(1)
        assert [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)] == [os.getpid()]
        with pytest.raises(pynvml.NVMLError):
            pynvml.nvmlDeviceGetHandleByIndex(2)
        pynvml.nvmlShutdown()
    assert "pynvml" not in sys.modules


def test_versions_are_plausible(machine: Machine) -> None:
    assert torch.version.cuda == "13.0"
    assert torch.backends.cudnn.version() == 91300
    assert torch.cuda.get_device_capability() == (9, 0)
    assert "sm_90" in torch.cuda.get_arch_list()
    assert torch.cuda.get_device_name("cuda:1") == machine.options.name
    assert torch.cuda.get_device_properties(0).total_memory == machine.options.memory
    assert torch.backends.cuda.is_built()


def test_nothing_is_left_behind() -> None:
    def state() -> list[object]:
        return [torch.cuda.Stream, torch.cuda.CUDAGraph, torch.tensor, torch.Tensor.to, torch.Generator, torch.empty]

    before = state()
    with warnings.catch_warnings(), standin():
        assert state() != before
        torch.zeros(1, device="cuda")
    assert state() == before
    assert torch.zeros(2).to(torch.float64).device.type == "cpu"
    assert not hasattr(torch._C, "_cuda_getDeviceCount")
    assert torch.version.cuda is None
