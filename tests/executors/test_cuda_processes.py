"""Whole runs on CUDA, in worker processes that see a stand-in for it (tests/cuda_standin)."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cuda_standin.processes import contexts
from standin_support import standin
from training_support import built_in_datasets, component, execute, losses, make_case, result_of

import benchmnist
from benchmnist.doctor.context import TryContext
from benchmnist.doctor.lines import NotHere
from benchmnist.doctor.trials import misbehaving_model
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.extensions.registry import find_plugins
from benchmnist.testing.checks import Subject, make
from benchmnist.testing.optimizers import is_capturable_as_it_says, is_fused_as_it_says
from benchmnist.training.data import default_data_root
from benchmnist.training.device import TAKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmnist.executors import Executor
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

    See = Callable[..., dict[str, str]]

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: `benchmnist doctor` tries it")

SAME = 1e-3

# What the doctor's own misbehaving models do, and one that no look before a capture notices.
MISBEHAVING = "benchmnist.doctor.misbehaving"
SYNCHRONISING = """
import torch
from torch import nn
from benchmnist import ModelSpec, hookimpl

class Synchronising(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 10)
    def forward(self, x):
        if x.device.type == "cuda" and self.training:
            torch.cuda.synchronize()
        return self.linear(x.flatten(1))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="synchronising", summary="", build=lambda *, input_shape, num_classes: Synchronising())]
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace("cuda:0", default_data_root(), tmp_path, checkpoints=False, plugins=(MISBEHAVING,))


def trained(workplace: Workplace, *cases: Case, inline: bool = False, **options: Any) -> list[CaseResult]:
    """Trains cases by an executor. With inline this process sees the stand-in, too."""
    executor: Executor = (InlineExecutor if inline else LocalExecutor)(workplace)
    with standin(**options) if inline else contextlib.nullcontext(), executor as executing:
        results, _ = execute(executing, *cases)
    return results


@pytest.mark.parametrize("inline", [False, True])
def test_a_capture_that_fails_is_done_again_without_in_another_worker(
    standin_processes: See,
    workplace: Workplace,
    install_plugin: Callable[..., None],
    tmp_path: Path,
    *,
    inline: bool,
) -> None:
    install_plugin("synchronising", SYNCHRONISING)
    standin_processes(generators_stay_capturing=True)
    spoiling = make_case(id="a/spoiling", model="synchronising", seeds=(0, 1), epochs=2)
    dropping = make_case(id="a/dropping", model="fc-bn-dropout", epochs=2)
    seen, after = trained(workplace, spoiling, dropping, inline=inline, generators_stay_capturing=True)
    assert (seen.status, seen.engine) == ("completed", "resident"), seen.error
    (remark,) = seen.remarks
    assert remark.startswith("not graph: CUDA error: operation not permitted when stream is capturing, at ")
    assert losses(seen) == pytest.approx(losses(result_of(spoiling)), rel=SAME)
    assert (after.status, after.engine) == ("completed", "graph"), after.error
    workers = {context.pid for context in contexts(tmp_path / "contexts.jsonl")}
    assert len(workers) == (1 if inline else 2)


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("model", "says"), [("asserts", "device-side assert triggered"), ("hoards", "out of memory")]
)
def test_what_breaks_the_device_costs_its_case_only(
    standin_processes: See, workplace: Workplace, tmp_path: Path, model: str, says: str, *, inline: bool
) -> None:
    standin_processes(memory=1 << 30)
    ordinary = make_case(id="a/after", epochs=2)
    wrong = make_case(id="a/broken", model=f"doctor-{model}")
    broken, after = trained(workplace, wrong, ordinary, inline=inline, memory=1 << 30)
    assert broken.status == "failed"
    assert says in str(broken.error)
    assert (after.status, after.engine) == ("completed", "graph"), after.error
    assert losses(after) == pytest.approx(losses(result_of(ordinary)), rel=SAME)
    workers = {context.pid for context in contexts(tmp_path / "contexts.jsonl")}
    # Memory can be given back, a broken context cannot.
    assert len(workers) == (2 if model == "asserts" else 1) - inline


SUITE = """
[suite]
name = "cards"
[defaults]
epochs = 2
seeds = 2
train_size = 230
test_size = 100
batch_size = 50
precision = "tf32"
[[cases]]
models = ["fc-bn-dropout"]
optimizers = ["adam"]
"""


def test_the_parent_of_a_run_makes_no_context(
    standin_processes: See, write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    """Where only one process may have one (EXCLUSIVE_PROCESS), nothing would train otherwise."""
    standin_processes(exclusive=True)
    log = tmp_path / "contexts.jsonl"
    with standin(exclusive=True, log=str(log)):
        run = benchmnist.run(write_suite(SUITE), device="cuda", executor="local", jobs=1, out=tmp_path / "runs")
    (case,) = run.cases
    assert (case.status, case.engine, case.precision) == ("completed", "graph", "tf32"), case.error
    assert case.environment["tf32"] is True
    assert case.environment["device_name"] == "NVIDIA Stand-in 100"
    assert os.getpid() not in {context.pid for context in contexts(log)}
    assert len(contexts(log)) == 1


def test_training_on_the_cpu_leaves_the_cards_alone(
    standin_processes: See, workplace: Workplace, tmp_path: Path
) -> None:
    standin_processes()
    adam = make_case(id="a/adam", optimizer=component("adam", fused=False))
    results = trained(replace(workplace, device="cpu"), adam, make_case(model="doctor-avoids-cuda"))
    assert [result.status for result in results] == ["completed"] * 2, results[1].error
    assert contexts(tmp_path / "contexts.jsonl") == []


def test_a_card_that_is_taken_is_said_and_nothing_hangs(standin_processes: See, workplace: Workplace) -> None:
    standin_processes(exclusive=True)
    (result,) = trained(replace(workplace, jobs=2, trials=2), make_case(seeds=(0, 1)))
    assert result.status == "failed"
    assert "cuda:0 cannot be used: CUDA error: CUDA-capable device(s) is/are busy or unavailable" in str(
        result.error
    )


def test_a_broken_process_may_keep_the_card_to_itself(
    standin_processes: See, workplace: Workplace, tmp_path: Path
) -> None:
    """In EXCLUSIVE_PROCESS mode only the end of a process frees a card; that is no fault of the card's."""
    standin_processes(exclusive=True)
    options = {"exclusive": True, "log": str(tmp_path / "contexts.jsonl")}
    cases = [make_case(id="a/broken", model="doctor-asserts"), make_case(id="a/after")]
    _, after = trained(workplace, *cases, inline=True, **options)
    assert (after.status, TAKEN in (after.error or "")) == ("failed", True)
    (tmp_path / "contexts.jsonl").unlink()
    with standin(**options), pytest.raises(NotHere, match="use the executor local there"):
        misbehaving_model(
            TryContext("cuda:0", str(default_data_root()), lambda _: None), "asserts", "inline", "assert|index"
        )


UNLIKE = """
import torch
from benchmnist import OptimizerSpec, hookimpl

def unlike(model, *, lr=0.1, fused=False):
    return torch.optim.SGD(model.parameters(), lr=2 * lr if fused else lr)

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="unlike", summary="", build=unlike, fused=("cuda",))]
"""


def checked(name: str) -> list[tuple[str, str]]:
    """What comes of the checks of an optimizer that are made on a GPU."""
    subject = Subject("optimizer", find_plugins().optimizers[name], built_in_datasets())
    made = [make(check, subject) for check in (is_capturable_as_it_says, is_fused_as_it_says)]
    return [(outcome.state, outcome.said) for outcome in made]


def test_an_optimizer_is_checked_on_the_card_by_workers_only(
    standin_processes: See, install_plugin: Callable[..., None], tmp_path: Path
) -> None:
    standin_processes(exclusive=True)
    install_plugin("unlike", UNLIKE)
    log = tmp_path / "contexts.jsonl"
    with standin(exclusive=True, log=str(log)):
        assert checked("adam") == [("kept", ""), ("kept", "")]
        _, (state, said) = checked("unlike")
        assert state == "missed"
        assert said.startswith("on cuda it trains to the losses [")
        assert os.getpid() not in {context.pid for context in contexts(log)}
        log.write_text(json.dumps({"pid": os.getppid(), "ppid": 1, "argv": [], "card": 0}) + "\n", "utf-8")
        for state, said in checked("adam"):
            assert state == "does not apply"
            assert said.startswith("cuda:0 cannot be used: CUDA error: CUDA-capable device(s) is/are busy")
