"""What every executor has to do alike, and what happens when a worker dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import safetensors.torch
from training_support import component, losses, make_case, result_of

from benchmnist.errors import BenchmnistError
from benchmnist.executors import Walk, Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.training.data import default_data_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmnist.cases import Case
    from benchmnist.executors import Executor
    from benchmnist.results import CaseResult, EpochResult

EXECUTORS = [InlineExecutor, LocalExecutor]

DEADLY = """
import os, signal, sys
from torch import nn
from benchmnist import DatasetSpec, ModelSpec, hookimpl

def deadly(*, input_shape, num_classes, how="exit"):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    print("said by the model")
    def die(*_):
        print("the last words", flush=True)
        if how == "exit":
            os._exit(7)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "system-exit":
            sys.exit(3)
    model.register_forward_pre_hook(die)
    return model

def no_dataset(*, root):
    raise RuntimeError("no such data")

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="deadly", summary="", build=deadly)]

@hookimpl
def benchmnist_datasets():
    return [DatasetSpec(name="none", summary="", build=no_dataset)]
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace("cpu", default_data_root(), tmp_path)


def execute(executor: Executor, case: Case) -> tuple[CaseResult, list[tuple[int, EpochResult]]]:
    told: list[tuple[int, EpochResult]] = []
    walk = Walk(executor.epochs(case), lambda seed, result: told.append((seed, result)))
    while (epoch := walk.next()) is not None:
        epoch.run()
    assert walk.result is not None
    return walk.result, told


@pytest.mark.parametrize("build", EXECUTORS)
def test_every_executor_trains_the_same(build: Callable[[Workplace], Executor], workplace: Workplace) -> None:
    case = make_case(model="fc-bn-dropout", epochs=2, seeds=(0, 4))
    with build(workplace) as executor:
        result, told = execute(executor, case)
        again, _ = execute(executor, case)
    assert losses(result) == losses(again)
    assert losses(result) == pytest.approx(losses(result_of(case)), rel=1e-6)
    assert [(seed, e.epoch) for seed, e in told] == [(0, 1), (0, 2), (4, 1), (4, 2)]
    assert [e for _, e in told] == [e for trial in result.trials for e in trial.epochs]


@pytest.mark.parametrize("build", EXECUTORS)
def test_every_executor_keeps_the_weights(build: Callable[[Workplace], Executor], workplace: Workplace) -> None:
    with build(workplace) as executor:
        result, _ = execute(executor, make_case(model="fc-bn", seeds=(3,)))
    (trial,) = result.trials
    assert trial.checkpoint == "checkpoints/a__case__seed-3.safetensors"
    weights = safetensors.torch.load_file(workplace.run_folder / trial.checkpoint)
    assert weights["1.weight"].shape == (500, 784)
    assert weights["3.num_batches_tracked"] == 10


@pytest.mark.parametrize("build", EXECUTORS)
def test_a_dataset_that_cannot_be_had_fails_its_case_only(
    build: Callable[[Workplace], Executor], workplace: Workplace, install_plugin: Callable[..., None]
) -> None:
    install_plugin("deadly", DEADLY)
    with build(workplace) as executor:
        broken, told = execute(executor, make_case(dataset="none", train_size=None, test_size=None))
        short, _ = execute(executor, make_case(train_size=60001))
        fine, _ = execute(executor, make_case())
    assert (broken.status, told, fine.status) == ("failed", [], "completed")
    assert "RuntimeError: no such data" in str(broken.error)
    assert short.error == "train_size = 60001, but mnist has only 60000 examples there"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exit", "the worker process ended with exit code 7 while it trained this case"),
        ("kill", "the worker process was ended by SIGKILL while it trained this case"),
        ("system-exit", "the worker process ended with exit code 3 while it trained this case"),
    ],
)
def test_a_worker_that_dies_costs_its_case_only(
    workplace: Workplace, install_plugin: Callable[..., None], how: str, said: str
) -> None:
    install_plugin("deadly", DEADLY)
    with LocalExecutor(workplace) as executor:
        dead, _ = execute(executor, make_case(model=component("deadly", how=how)))
        fine, _ = execute(executor, make_case())
    assert (dead.status, fine.status) == ("failed", "completed")
    assert str(dead.error).startswith(said)
    assert "the last words" in str(dead.error)


def test_the_worker_is_gone_when_the_executor_ends(workplace: Workplace) -> None:
    with LocalExecutor(workplace) as executor:
        epochs = executor.epochs(make_case(epochs=50))
        next(epochs)
        worker = executor.worker
        assert worker is not None
        assert worker.poll() is None
    assert worker.poll() is not None


def test_the_worker_takes_no_module_from_the_current_folder(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(
        "raise SystemExit('a file of the user was taken for the standard library')"
    )
    with LocalExecutor(workplace) as executor:
        result, _ = execute(executor, make_case())
    assert result.status == "completed", result.error


def test_a_device_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmnistError, match="no device is called 'tpu'"),
        InlineExecutor(Workplace("tpu", default_data_root(), tmp_path)),
    ):
        pass
