from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cuda_standin import standin
from cuda_standin.processes import contexts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
        lambda: torch.cuda.Stream(0),
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


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("reset", [torch.cuda.reset_peak_memory_stats, torch.cuda.reset_accumulated_memory_stats])
def test_statistics_of_the_allocator_are_not_there_before(reset: Callable[[Any], None]) -> None:
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


FORKS = """
import os
import torch

def use(when):
    if os.fork() == 0:
        try:
            torch.zeros(1, device="cuda")
        except RuntimeError as error:
            print(f"{when}: {error}", flush=True)
        else:
            print(f"{when}: it works", flush=True)
        os._exit(0)
    os.wait()

torch.cuda.device_count()
use("NVML was asked")
torch.cuda.is_available()
use("the runtime was asked")
"""


def test_processes_see_cards_and_what_is_forked_may_not_use_them(
    standin_processes: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", FORKS],
        env=standin_processes(),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.splitlines() == [
        "NVML was asked: it works",
        (
            "the runtime was asked: Cannot re-initialize CUDA in forked subprocess. To use CUDA with "
            "multiprocessing, you must use the 'spawn' start method"
        ),
    ]
    (context,) = contexts(tmp_path / "contexts.jsonl")
    assert context.argv[1:3] == ("-P", "-c")


def test_what_is_forked_from_a_process_that_uses_cuda(tmp_path: Path) -> None:
    with standin(log=str(tmp_path / "log")):
        torch.cuda.init()
        child = os.fork()
        if not child:
            try:
                torch.zeros(1, device="cuda")
            except RuntimeError as error:
                os._exit(7 if "Cannot re-initialize CUDA in forked subprocess" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    entry = {"pid": os.getppid(), "ppid": 1, "argv": ["another"], "card": 1}
    log.write_text(json.dumps(entry) + "\n", "utf-8")
    with standin(devices=2, exclusive=True, log=str(log)):
        with pytest.raises(RuntimeError, match=r"device.s. is/are busy or unavailable"):
            torch.cuda.set_device(1)
        torch.cuda.set_device(0)
    assert [context.card for context in contexts(log)] == [1, 0]
    log.write_text(json.dumps({**entry, "pid": 2**22 + 1}) + "\n", "utf-8")  # which has ended
    with standin(devices=2, exclusive=True, log=str(log)):
        torch.cuda.set_device(1)
    with pytest.raises(ValueError, match="needs log"), standin(exclusive=True):
        pass
