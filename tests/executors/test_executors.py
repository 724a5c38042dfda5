"""What every executor has to do alike, and what happens when a worker dies."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest
import safetensors.torch
from hypothesis import given
from hypothesis import strategies as st
from training_support import component, losses, make_case, result_of

from benchmnist.dispatch import Dispatcher, Observer
from benchmnist.errors import BenchmnistError
from benchmnist.executors import Workplace
from benchmnist.executors.cores import auto_jobs, shares
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.results import CaseResult
from benchmnist.training.data import default_data_root
from benchmnist.training.preflight import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Executor
    from benchmnist.results import EpochResult

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


class Told(Observer):
    def __init__(self) -> None:
        self.log: list[str] = []
        self.epochs: list[tuple[str, int, EpochResult]] = []
        self.ended: list[CaseResult] = []

    def case_started(self, case: Case) -> None:
        self.log.append(f"{case.id} started")

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        self.log.append(f"{case.id} {seed}.{result.epoch}")
        self.epochs.append((case.id, seed, result))

    def case_ended(self, result: CaseResult) -> None:
        self.log.append(f"{result.id} {result.status}")
        self.ended.append(result)


def execute(executor: Executor, *cases: Case) -> tuple[list[CaseResult], Told]:
    """As a session does it."""
    told, results = Told(), []
    dispatcher = Dispatcher(executor, told)
    dispatcher.expect(cases)
    for case in cases:
        epochs = dispatcher.epochs(case)
        while True:
            try:
                next(epochs).run()
            except StopIteration as stop:
                results.append(stop.value)
                break
    return results, told


@pytest.mark.parametrize("build", EXECUTORS)
def test_every_executor_trains_the_same(build: Callable[[Workplace], Executor], workplace: Workplace) -> None:
    case = make_case(model="fc-bn-dropout", epochs=2, seeds=(0, 4))
    with build(workplace) as executor:
        (result, again), told = execute(executor, case, case)
    assert losses(result) == losses(again)
    assert losses(result) == pytest.approx(losses(result_of(case)), rel=1e-6)
    one = ["a/case started", "a/case 0.1", "a/case 0.2", "a/case 4.1", "a/case 4.2", "a/case completed"]
    assert told.log == one + one
    assert [e for *_, e in told.epochs[:4]] == [e for trial in result.trials for e in trial.epochs]
    assert result.side_by_side == 1


def test_workers_side_by_side_train_the_same(workplace: Workplace) -> None:
    """And several cases at a time: the first has more to do than the worker that it does not need."""
    cases = [
        make_case(id="a/long", model="fc-bn-dropout", epochs=4, seeds=(0, 4, 2)),
        make_case(id="a/short", seeds=(1, 0)),
        make_case(id="a/last", optimizer="adam", seeds=(3,)),
    ]
    with LocalExecutor(replace(workplace, jobs=2)) as executor:
        results, told = execute(executor, *cases)
    assert [result.case for result in results] == cases
    for case, result in zip(cases, results, strict=True):
        assert (result.status, result.side_by_side) == ("completed", 2)
        assert [trial.seed for trial in result.trials] == [*case.seeds]
        assert losses(result) == pytest.approx(losses(result_of(case)), rel=1e-3)
        mine = [(owner, seed, e) for owner, seed, e in told.epochs if owner == case.id]
        for trial in result.trials:
            assert [e for _, seed, e in mine if seed == trial.seed] == [*trial.epochs]
        steps = [line for line in told.log if line.startswith(case.id)]
        assert (steps[0], steps[-1]) == (f"{case.id} started", f"{case.id} completed")
        assert len(steps) == 2 + case.rounds
    assert told.ended == sorted(results, key=lambda result: told.log.index(f"{result.id} completed"))
    assert (workplace.run_folder / "worker-2.log").is_file()
    assert {result.environment["threads"] for result in results} == {max(1, auto_jobs("cpu", 99) // 2)}


class AtOnce:
    """An executor of two slots that has every task done as soon as it takes it."""

    slots = 2

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        for task in tasks:
            yield task, CaseResult(case=task, status="completed", engine="none")


def order_of(flop: Sequence[float]) -> list[str]:
    """In which order cases of one trial are begun."""
    cases = [make_case(id=f"a/{number}") for number in range(len(flop))]
    work = {case.id: Work(parameters=1, steps=1, flop=f) for case, f in zip(cases, flop, strict=True)}
    told = Told()
    dispatcher = Dispatcher(AtOnce(), told, work=work)
    dispatcher.expect(cases)
    for case in cases:
        assert [*dispatcher.epochs(case)] == []
    return [line.split()[0].removeprefix("a/") for line in told.log if line.endswith(" started")]


def test_a_long_trial_is_begun_before_the_run_would_end_waiting_for_it() -> None:
    assert order_of([1] * 6) == ["0", "1", "2", "3", "4", "5"]
    # The last, with the work of four, is begun when sixteen are left: two rounds of two.
    assert order_of([1] * 14 + [4]) == ["0", "1", "14", *map(str, range(2, 14))]
    assert order_of([1, 1, 9]) == ["2", "0", "1"]


@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=20))
def test_every_task_is_begun_once_whatever_its_work(flop: list[float]) -> None:
    assert sorted(map(int, order_of(flop))) == [*range(len(flop))]


def test_a_case_asked_for_without_notice(workplace: Workplace) -> None:
    with LocalExecutor(replace(workplace, jobs=2)) as executor:
        dispatcher = Dispatcher(executor, Observer())
        for seeds in ((0,), (0, 1)):
            epochs = [*dispatcher.epochs(make_case(seeds=seeds))]
            assert sorted(epoch.seed for epoch in epochs) == [*seeds]


def test_the_cores_are_shared_out() -> None:
    for jobs in (1, 2, 3, 64):
        given = shares(jobs)
        assert len(given) == jobs
        assert min(share.threads for share in given) >= 1
        cpus = [cpu for share in given for cpu in share.cpus]
        assert len(cpus) == len({*cpus})
        if hasattr(os, "sched_getaffinity"):
            assert {*cpus} in ({*os.sched_getaffinity(0)}, set())  # all of them, or nobody is kept anywhere
    assert auto_jobs("cpu", 1) == auto_jobs("cuda:0", 40) == auto_jobs("mps", 40) == 1
    assert 1 <= auto_jobs("cpu", 40) <= 40


@pytest.mark.parametrize("build", EXECUTORS)
def test_every_executor_keeps_the_weights(build: Callable[[Workplace], Executor], workplace: Workplace) -> None:
    with build(workplace) as executor:
        (result,), _ = execute(executor, make_case(model="fc-bn", seeds=(3,)))
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
        (broken, short, fine), told = execute(
            executor,
            make_case(id="a/broken", dataset="none", train_size=None, test_size=None),
            make_case(id="a/short", train_size=60001),
            make_case(),
        )
    assert (broken.status, fine.status) == ("failed", "completed")
    assert told.log[:3] == ["a/broken started", "a/broken failed", "a/short started"]
    assert "RuntimeError: no such data" in str(broken.error)
    assert short.error == "train_size = 60001, but mnist has only 60000 examples there"


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exit", "the worker process ended with exit code 7 while it trained this case"),
        ("kill", "the worker process was ended by SIGKILL while it trained this case"),
        ("system-exit", "the worker process ended with exit code 3 while it trained this case"),
    ],
)
def test_a_worker_that_dies_costs_its_case_only(
    workplace: Workplace, install_plugin: Callable[..., None], how: str, said: str, jobs: int
) -> None:
    install_plugin("deadly", DEADLY)
    with LocalExecutor(replace(workplace, jobs=jobs)) as executor:
        (dead, fine), told = execute(
            executor,
            make_case(id="a/dead", model=component("deadly", how=how), seeds=(0, 1, 2, 3)),
            make_case(epochs=2, seeds=(0, 1)),
        )
    assert (dead.status, fine.status, dead.trials, len(fine.trials)) == ("crashed", "completed", (), 2)
    assert [line for line in told.log if line.startswith("a/dead")] == ["a/dead started", "a/dead crashed"]
    assert str(dead.error).startswith(said)
    assert "the last words" in str(dead.error)


SLEEPY = """
import subprocess, sys, time
from torch import nn
from benchmnist import ModelSpec, hookimpl

def sleepy(*, input_shape, num_classes, after):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    steps = []
    def sleep(*_):
        steps.append(1)
        if len(steps) > after:
            subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
    model.register_forward_pre_hook(sleep)
    return model

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="sleepy", summary="", build=sleepy)]
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_case_that_hangs_is_ended_and_the_others_go_on(
    workplace: Workplace, install_plugin: Callable[..., None], jobs: int
) -> None:
    install_plugin("sleepy", SLEEPY)
    with LocalExecutor(replace(workplace, jobs=jobs, timeout=25)) as executor:
        (hung, fine), told = execute(
            executor,
            # It is built anew for each trial, and sleeps in the third epoch.
            make_case(id="a/hung", model=component("sleepy", after=25), epochs=9, seeds=(0, 1, 2)),
            make_case(seeds=(0, 1)),
        )
    assert (hung.status, fine.status) == ("timed out", "completed")
    assert hung.error == "it had not ended after 25 s, and was ended (--timeout)"
    assert [trial.status for trial in hung.trials] == ["timed out"] * jobs
    assert {len(trial.epochs) for trial in hung.trials} == {2}  # what was done is kept
    assert told.log[-1] == "a/case completed"


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_ends_the_workers_and_tells_what_was_done(workplace: Workplace, jobs: int) -> None:
    case = make_case(epochs=50, seeds=(0, 1))
    told = Told()
    with LocalExecutor(replace(workplace, jobs=jobs)) as executor:
        dispatcher = Dispatcher(executor, told)
        next(dispatcher.epochs(case))
        processes = [worker.process for worker in executor.workers.values()]
        assert len(processes) == jobs
        dispatcher.interrupt()
    assert all(process.poll() is not None for process in processes)
    (result,) = told.ended
    assert result.status == "interrupted"
    assert [trial.status for trial in result.trials] == ["interrupted"]
    assert 1 <= len(result.trials[0].epochs) < 50


def test_after_an_interruption_the_executor_serves_again(workplace: Workplace) -> None:
    with LocalExecutor(replace(workplace, jobs=2)) as executor:
        dispatcher = Dispatcher(executor, Observer())
        next(dispatcher.epochs(make_case(epochs=50, seeds=(0, 1))))
        dispatcher.interrupt()
        assert len([*dispatcher.epochs(make_case(seeds=(0, 1)))]) == 2


def test_the_worker_takes_no_module_from_the_current_folder(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(
        "raise SystemExit('a file of the user was taken for the standard library')"
    )
    with LocalExecutor(workplace) as executor:
        (result,), _ = execute(executor, make_case())
    assert result.status == "completed", result.error


def test_a_device_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmnistError, match="no device is called 'tpu'"),
        InlineExecutor(Workplace("tpu", default_data_root(), tmp_path)),
    ):
        pass


def test_inline_does_one_thing_at_a_time(workplace: Workplace) -> None:
    with pytest.raises(BenchmnistError, match="trains one thing at a time, not 2; leave --jobs out"):
        InlineExecutor(replace(workplace, jobs=2))
    with pytest.raises(BenchmnistError, match="cannot end what it trains itself; leave --timeout out"):
        InlineExecutor(replace(workplace, timeout=1))
