"""A plugin that kills the process, or hangs, when it is tried before the training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from training_support import limit

import benchmnist
from benchmnist.errors import SuiteError
from benchmnist.preflight import isolated
from benchmnist.preflight.prepare import prepare
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere plans are tried in the same process")

PLUGIN = """
import ctypes, os, signal, time
import torch
from torch import nn
from benchmnist import DatasetSpec, ModelSpec, OptimizerSpec, hookimpl

HOWS = {
    "exit": lambda: os._exit(7),
    "segfault": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: time.sleep(1000),
    "memory": lambda: (_ for _ in ()).throw(MemoryError),
}

def model(*, input_shape, num_classes, how):
    built = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    built.register_forward_pre_hook(lambda *_: HOWS[how]())
    return built

def optimizer(model):
    os._exit(3)

def dataset(*, root):
    os._exit(4)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name=how, summary="", build=model, defaults={"how": how}) for how in HOWS]

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="deadly", summary="", build=optimizer)]

@hookimpl
def benchmnist_datasets():
    return [DatasetSpec(name="deadly", summary="", build=dataset)]
"""
HEAD = '[suite]\nname = "s"\n[defaults]\nepochs = 1\nseeds = 1\ntrain_size = 200\ntest_size = 100\n'


def cases(models: str, optimizers: str = '"sgd"', datasets: str = '"mnist"') -> str:
    return f"[[cases]]\nmodels = [{models}]\noptimizers = [{optimizers}]\ndatasets = [{datasets}]\n"


def test_it_costs_its_own_cases_only(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("deadly", PLUGIN)
    monkeypatch.setattr(isolated, "patience", lambda trying, _: 0.5 if "'hang'" in trying else None)
    limit(monkeypatch, lambda case: case.model.name == "hang")
    text = HEAD + cases('"logistic", "exit", "segfault", "hang", "memory"')
    text += cases('"logistic"', '"deadly"') + cases('"logistic"', datasets='"deadly"')
    run = benchmnist.run(write_suite(text), device="cpu", jobs=2)
    assert {case.id: case.status for case in run.cases} == {
        "mnist/logistic/sgd": "completed",
        "mnist/exit/sgd": "crashed",
        "mnist/segfault/sgd": "crashed",
        "mnist/hang/sgd": "timed out",
        "mnist/memory/sgd": "failed",
        "mnist/logistic/deadly": "crashed",
        "deadly/logistic/sgd": "crashed",
    }
    assert "MemoryError" in str(run["mnist/memory/sgd"].error)
    notes = [note.partition(", when")[0] for note in run.record.notes]
    assert sorted(notes) == [
        "the dataset 'deadly' of benchmnist-deadly 1.0 ended its process (exit code 4)",
        "the model 'exit' of benchmnist-deadly 1.0 ended its process (exit code 7)",
        "the model 'hang' of benchmnist-deadly 1.0 took longer than 0.5 s",
        "the model 'segfault' of benchmnist-deadly 1.0 was ended by SIGSEGV",
        "the optimizer 'deadly' of benchmnist-deadly 1.0 ended its process (exit code 3)",
    ]


def test_mistakes_are_still_told(write_suite: Callable[..., Path], install_plugin: Callable[..., None]) -> None:
    install_plugin("deadly", PLUGIN)
    text = HEAD + "[optimizers.sgd]\nlr = -1.0\n" + cases('"kill", "logistic"')
    with pytest.raises(SuiteError, match=r"optimizers\.sgd\.lr: 'sgd' refuses: Invalid learning rate: -1.0"):
        prepare(write_suite(text), RunOptions(device="cpu"))
