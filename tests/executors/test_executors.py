"""What every executor has to do alike, and what happens when a worker dies."""

from __future__ import annotations

import importlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from processes import HANGS
from training_support import Told, component, execute, limit, losses, make_case, result_of

import benchmnist
from benchmnist.errors import BenchmnistError
from benchmnist.execution.dispatch import Dispatcher
from benchmnist.executors import Deadlines, Workplace, build_executor, local, worker_process
from benchmnist.executors.cores import auto_jobs, shares, taking_turns
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.executors.worker_process import Lost
from benchmnist.extensions.specs import ExecutorOption, ExecutorSpec
from benchmnist.runs.results import CaseResult
from benchmnist.testing import conformance, faulty
from benchmnist.training.data import default_data_root
from benchmnist.training.environment import public_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.executors import Executor
    from benchmnist.runs.results import EpochResult
    from benchmnist.suites.cases import Case

EXECUTORS = [InlineExecutor, LocalExecutor]

DEADLY = """
import os, signal, time
from torch import nn
from benchmnist import DatasetSpec, ModelSpec, hookimpl

def deadly(*, input_shape, num_classes, how):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    print("said by the model")
    def die(*_):
        print("the last words", flush=True)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fork":  # what it leaves holds its pipe
            if os.fork() == 0:
                time.sleep(600)
            os._exit(3)
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


test_inline = conformance("inline")
test_local = conformance("local")


def test_a_dataset_with_other_contents_than_planned_is_not_trained_on(workplace: Workplace) -> None:
    other = replace(workplace, data=(("mnist", "0" * 32),))
    with InlineExecutor(other) as executor:
        (result,), _ = execute(executor, make_case())
    assert result.status == "failed"
    assert str(result.error).startswith(
        "the dataset 'mnist' has other contents here than where the run was planned"
    )


def test_it_is_told_in_order(workplace: Workplace) -> None:
    case = make_case(epochs=2, seeds=(0, 4))
    with InlineExecutor(workplace) as executor:
        (result, _), told = execute(executor, case, case)
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
    assert auto_jobs("cpu", 40, threads=4) == max(1, auto_jobs("cpu", 10_000) // 4)
    assert auto_jobs("cuda:0", 40, gpus=2, threads=4) == 2


@pytest.mark.parametrize("jobs", [1, 2, None])
def test_workers_have_the_threads_that_are_asked_for(workplace: Workplace, jobs: int | None) -> None:
    """If they are more than a worker's part of the cores, no worker is pinned."""
    assert [share.threads for share in shares(2, threads=64)] == [64, 64]
    assert [share.cpus for share in shares(2, threads=64)] == [(), ()]
    with LocalExecutor(replace(workplace, jobs=jobs, threads=2)) as executor:
        (result,), _ = execute(executor, make_case())
    assert result.environment["threads"] == min(2, os.cpu_count() or 1)  # torch takes no more than there are


@pytest.mark.parametrize(("seen", "names"), [(None, "01"), ("", "01"), ("3,5", "35"), ("GPU-8,GPU-9", None)])
def test_the_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch, seen: str | None, names: str | None) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    expected = [*names] if names else ["GPU-8", "GPU-9"]
    assert [share.gpu for share in shares(2, gpus=2)] == expected
    assert [share.gpu for share in shares(5, gpus=2)] == [*expected, *expected, expected[0]]
    assert [share.gpu for share in shares(3, gpus=1)] == [None] * 3
    assert [auto_jobs("cuda:0", trials, gpus=2) for trials in (1, 2, 9)] == [1, 2, 2]


def test_each_worker_sees_its_gpu_only(workplace: Workplace, install_plugin: Callable[..., None]) -> None:
    install_plugin("seer", SEER)
    with LocalExecutor(replace(workplace, jobs=2, gpus=2)) as executor:
        execute(executor, make_case(model="seer", seeds=(0, 1)))
    logs = [workplace.run_folder / name for name in ("worker.log", "worker-2.log")]
    seen = [{line for line in log.read_text("utf-8").splitlines() if line.startswith("sees")} for log in logs]
    assert seen == [{"sees 0"}, {"sees 1"}]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs here")
def test_a_trial_on_each_gpu(workplace: Workplace) -> None:
    with LocalExecutor(replace(workplace, device="cuda:0", jobs=None, trials=4, gpus=2)) as executor:
        assert executor.slots == 2
        (result,), _ = execute(executor, make_case(seeds=(0, 1, 2, 3)))
    assert (result.status, result.side_by_side) == ("completed", 2)


def test_what_is_not_as_it_was_planned_with_is_not_trained(workplace: Workplace) -> None:
    case = make_case()
    for versions, said in (
        ((("torch", "1.0"),), "the run was planned with torch 1.0; install the same version on every machine"),
        ((("torch", public_version("torch")),), "the run was planned with benchmnist 0; install the same"),
    ):
        with InlineExecutor(replace(workplace, versions=versions)) as executor:
            (result,), _ = execute(executor, case)
        assert result.status == "failed"
        assert said in str(result.error)


OPTIONS = (
    ExecutorOption(name="address", summary=""),
    ExecutorOption(name="num_cpus", summary="", type=float, default=1.0),
    ExecutorOption(name="most", summary="", type=int),
)


def test_options_of_an_executor(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(workplace: Workplace, **options: object) -> Any:  # noqa: ARG001
        return options

    spec = ExecutorSpec(name="my-own", summary="", build=build, options=OPTIONS)
    built: Any = build_executor(spec, workplace)
    assert built == {"address": None, "num_cpus": 1.0, "most": None}
    monkeypatch.setenv("BENCHMNIST_MY_OWN_NUM_CPUS", "0.5")
    monkeypatch.setenv("BENCHMNIST_MY_OWN_ADDRESS", "there")
    built = build_executor(spec, workplace, {"most": 3, "address": "here"})
    assert built == {"address": "here", "num_cpus": 0.5, "most": 3}
    monkeypatch.setenv("BENCHMNIST_MY_OWN_MOST", "many")
    with pytest.raises(BenchmnistError, match="BENCHMNIST_MY_OWN_MOST=many must be a whole number"):
        build_executor(spec, workplace)
    with pytest.raises(BenchmnistError, match=r"has no option 'num_cpu'\. Did you mean 'num_cpus'"):
        build_executor(spec, workplace, {"num_cpu": 1})


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
    assert short.error == "train_size = 60001, but mnist has only 60000 training examples"


def test_a_worker_that_dies_costs_its_case_only(workplace: Workplace, install_plugin: Callable[..., None]) -> None:
    install_plugin("deadly", DEADLY)
    deaths = {
        "kill": "the worker process was killed by SIGKILL while it trained this case",
        "fork": "the worker process ended with exit code 3 while it trained this case",
    }
    cases = [make_case(id=f"a/{how}", model=component("deadly", how=how), seeds=(0, 1, 2, 3)) for how in deaths]
    with LocalExecutor(replace(workplace, jobs=2)) as executor:
        (*dead, fine), told = execute(executor, *cases, make_case(epochs=2, seeds=(0, 1)))
    assert (fine.status, len(fine.trials)) == ("completed", 2)
    for result, said in zip(dead, deaths.values(), strict=True):
        assert (result.status, result.trials) == ("crashed", ())
        assert [line for line in told.log if line.startswith(result.id)] == [
            f"{result.id} started",
            f"{result.id} crashed",
        ]
        assert str(result.error).startswith(said)
        assert "the last words" in str(result.error)


def test_what_an_earlier_case_left_in_a_worker_does_not_cost_a_case(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndsWithTheSecondCase:
        """A worker, as LocalExecutor has it: `a/deadly` ends it, and so does any case after another."""

        no_graph, usable, spoiled = "", True, False

        def __init__(self, *options: Any) -> None:
            self.inbox, self.cases = options[-1], set[str]()

        def begin(self, case: Case, no_graph: str) -> None:  # noqa: ARG002
            self.cases.add(case.id)
            ended = case.id == "a/deadly" or len(self.cases) > 1
            result = Lost("wrote garbage") if ended else CaseResult(case=case, status="failed")
            self.inbox.put((self, result))

        def kill(self) -> None:
            pass

        def epitaph(self, why: str) -> str:
            return f"the worker process {why} while it trained this case\nits output"

    monkeypatch.setattr(local, "Worker", EndsWithTheSecondCase)
    with LocalExecutor(workplace) as executor:
        results, _ = execute(executor, *(make_case(id=f"a/{name}") for name in ("one", "two", "deadly", "last")))
    assert [result.status for result in results] == ["failed", "failed", "crashed", "failed"]
    anew = "begun anew in a fresh worker, since the worker process wrote garbage while it trained this case"
    assert [result.remarks for result in results] == [(), (f"{anew}, after other cases",), (), ()]


def test_a_death_is_told_whatever_goes_wrong_in_noticing_it(
    workplace: Workplace, install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a run waited for ever for a worker that had been killed."""

    def fails(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(worker_process, "kill_started", fails)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # it is told otherwise
    install_plugin("dies", DIES_AT_ONCE)
    with LocalExecutor(workplace) as executor:
        (result,), _ = execute(executor, make_case(model=component("dies")))
    assert result.status == "crashed"
    assert str(result.error).startswith("the worker process was killed by SIGKILL while it trained this case")


DIES_AT_ONCE = """
import os
from benchmnist import ModelSpec, hookimpl

def dies(*, input_shape, num_classes):
    os.kill(os.getpid(), 9)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="dies", summary="", build=dies)]
"""


LEAVES_SOMETHING = """
import os, resource, signal, tempfile, torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from benchmnist import ModelSpec, hookimpl

class NoError(BaseException):
    pass

class Leaves(nn.Sequential):
    def __init__(self, how):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.how = how
    def forward(self, x):
        if self.how == "text":
            raise ValueError("cannot read bad-\\udcff")
        if self.how == "no-error":
            raise NoError
        if self.how == "folder":
            os.chdir(tempfile.gettempdir())
        if self.how == "files":
            os.kept = [open(os.devnull) for _ in range(300)]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            signal.alarm(100)
        if self.how == "hook":
            register_module_forward_hook(lambda module, given, out: out * 0)
        return super().forward(x)

def leaves(*, input_shape, num_classes, how):
    return Leaves(how)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="leaves", summary="", build=leaves)]
"""


@pytest.mark.parametrize("build", [InlineExecutor, LocalExecutor])
def test_what_a_case_leaves_behind_costs_no_other(
    build: Callable[[Workplace], Executor],
    workplace: Workplace,
    install_plugin: Callable[..., None],
    request: pytest.FixtureRequest,
) -> None:
    install_plugin("leaves", LEAVES_SOMETHING)
    kinds = ("text", "no-error", "folder", "hook", *(["files"] if build is LocalExecutor else []))
    evil = [make_case(id=f"a/{how}", model=component("leaves", how=how)) for how in kinds]
    before, hooks = Path.cwd(), vars(importlib.import_module("torch.nn.modules.module"))["_global_forward_hooks"]
    request.addfinalizer(hooks.clear)  # inline it is this process that is left with one
    with build(workplace) as executor:
        (first, *left, last), _ = execute(executor, make_case(id="a/first"), *evil, make_case(id="a/last"))
    assert Path.cwd() == before
    assert [result.status for result in left] == ["failed", "failed", *["completed"] * (len(kinds) - 2)]
    assert r"cannot read bad-\udcff" in str(left[0].error)
    assert "raises NoError, which is not an Exception" in str(left[1].error)
    assert "the case changed the current folder, which was restored afterwards" in left[2].remarks
    assert any(remark.startswith("the case left a hook on all modules behind") for remark in left[3].remarks)
    assert all(
        trial.checkpoint and (workplace.run_folder / trial.checkpoint).is_file() for trial in left[2].trials
    )
    for result in left[4:]:
        (remark,) = (each for each in result.remarks if each.startswith("the case left"))
        assert "left many open files behind" in remark
        assert "the case changed limits of the process and a timer, put back afterwards" in result.remarks
    assert [trial.epochs[-1].train_loss for trial in last.trials] == pytest.approx(
        [trial.epochs[-1].train_loss for trial in first.trials], rel=1e-6
    )


SEER = """
import os
from torch import nn
from benchmnist import ModelSpec, hookimpl

def seer(*, input_shape, num_classes):
    os.write(1, f"sees {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n".encode())
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="seer", summary="", build=seer)]
"""


SLEEPY = """
import os, pathlib, subprocess, sys
from torch import nn
from benchmnist import ModelSpec, hookimpl

def sleepy(*, input_shape, num_classes, after, asleep):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    steps = []
    def sleep(*_):
        steps.append(1)
        if len(steps) > after:
            pathlib.Path(asleep, str(os.getpid())).touch()
            subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
    model.register_forward_pre_hook(sleep)
    return model

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="sleepy", summary="", build=sleepy)]
"""


def test_a_case_that_hangs_is_ended_and_what_it_did_is_kept(
    workplace: Workplace, install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_plugin("sleepy", SLEEPY)
    asleep = tmp_path / "asleep"
    asleep.mkdir()
    limit(monkeypatch, lambda case: case.id == "a/hung" and len([*asleep.iterdir()]) == 2)
    with LocalExecutor(replace(workplace, jobs=2)) as executor:
        (hung, fine), told = execute(
            executor,
            # It is built anew for each trial, and sleeps in the third epoch.
            make_case(
                id="a/hung",
                model=component("sleepy", after=25, asleep=str(asleep)),
                epochs=9,
                seeds=(0, 1, 2),
            ),
            make_case(seeds=(0, 1)),
        )
    assert (hung.status, fine.status) == ("timed out", "completed")
    assert hung.error == "stopped after 25 s, before it had finished (--timeout)"
    assert [trial.status for trial in hung.trials] == ["timed out"] * 2
    # What was done is kept, but for the last epoch where the news of it is still on its way.
    assert {len(trial.epochs) for trial in hung.trials} <= {1, 2}
    assert told.log[-1] == "a/case completed"


def test_what_ended_in_time_counts_however_late_it_is_heard(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("benchmnist.executors.time", SimpleNamespace(monotonic=lambda: now))
    with LocalExecutor(replace(workplace, timeout=30)) as executor:
        steps = executor.execute(iter([make_case(epochs=2)]))
        next(steps)
        while executor.inbox.qsize() < 2:  # it has heard the second epoch and the result
            sleep(0.01)
        now = 60.0
        *_, (_, result) = steps
    assert isinstance(result, CaseResult)
    assert (result.status, len(result.trials[0].epochs)) == ("completed", 2)


def test_a_time_limit_counts_the_training_of_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("benchmnist.executors.time", SimpleNamespace(monotonic=lambda: now))
    first, second = make_case(id="a/first"), make_case(id="a/second")
    deadlines = Deadlines(25)
    assert deadlines.left([first]) is None
    deadlines.begin(first)
    now = 110.0
    deadlines.begin(first)  # its next trial
    deadlines.begin(second)
    assert (deadlines.left([first, second]), deadlines.left([second])) == (15.0, 25.0)
    now = 125.0
    ended = deadlines.overdue(first)
    assert ended is not None
    assert (ended.status, ended.error) == (
        "timed out",
        "stopped after 25 s, before it had finished (--timeout)",
    )
    assert deadlines.overdue(second) is None
    unlimited = Deadlines(None)
    unlimited.begin(first)
    unlimited.end(first)
    assert (unlimited.left([first]), unlimited.overdue(first)) == (None, None)


def test_a_time_limit_stops_while_other_cases_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("benchmnist.executors.time", SimpleNamespace(monotonic=lambda: now))
    case = make_case(id="a/first")
    deadlines = Deadlines(25)
    deadlines.begin(case)
    deadlines.begin(case)
    now = 105.0
    deadlines.end(case)  # the other one goes on
    now = 110.0
    deadlines.end(case)
    now = 1000.0
    assert (deadlines.left([case]), deadlines.overdue(case)) == (None, None)
    deadlines.begin(case)
    assert deadlines.left([case]) == 15.0
    now = 1015.0
    assert deadlines.overdue(case) is not None


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_ends_the_workers_and_tells_what_was_done(workplace: Workplace, jobs: int) -> None:
    class Stop(Told):
        def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
            super().epoch_ended(case, seed, result)
            raise KeyboardInterrupt

    told = Stop()
    with LocalExecutor(replace(workplace, jobs=jobs)) as executor:
        dispatcher = Dispatcher(executor, told)
        with pytest.raises(KeyboardInterrupt):
            next(dispatcher.epochs(make_case(epochs=50, seeds=(0, 1))))
        processes = [worker.process for worker in executor.workers.values()]
        assert len(processes) == jobs
        dispatcher.interrupt()
    assert all(process.poll() is not None for process in processes)
    (result,) = told.ended
    assert result.status == "interrupted"
    assert [trial.status for trial in result.trials] == ["interrupted"]
    assert 1 <= len(result.trials[0].epochs) < 50


def test_a_parent_that_dies_takes_what_hangs_with_it(
    workplace: Workplace, install_plugin: Callable[..., None], tmp_path: Path
) -> None:
    """Whoever waits for nothing but the next word of its parent does not notice."""
    install_plugin("faulty", Path(faulty.__file__).read_text("utf-8"))
    beats = tmp_path / "beats"
    case = make_case(model=component("faulty-sleeps", seconds=0.01, beats=str(beats)), epochs=100_000)
    with LocalExecutor(workplace) as executor:
        steps = executor.execute(iter([case]))
        next(steps)
        (worker,) = executor.workers.values()
        worker.words.put(None)  # closes its pipe, as a process that is killed closes all that it has open
        assert worker.process.wait(HANGS) == 0
        _, result = next(steps)
    assert isinstance(result, CaseResult)
    assert result.status == "crashed"


def test_the_worker_takes_no_module_from_the_current_folder(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(
        "raise SystemExit('a file of the user was taken for the standard library')"
    )
    with LocalExecutor(workplace) as executor:
        (result,), _ = execute(executor, make_case())
    assert result.status == "completed", result.error


def test_a_device_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmnistError, match="no device named 'tpu'"),
        InlineExecutor(Workplace("tpu", default_data_root(), tmp_path)),
    ):
        pass


def test_inline_does_one_thing_at_a_time(workplace: Workplace) -> None:
    with pytest.raises(BenchmnistError, match="trains one trial at a time, not 2; remove --jobs"):
        InlineExecutor(replace(workplace, jobs=2))
    with pytest.raises(BenchmnistError, match="cannot stop a training in its own process; remove --timeout"):
        InlineExecutor(replace(workplace, timeout=1))


UNCAPTURABLE = """
import os
from pathlib import Path
from torch import nn
from benchmnist import ModelSpec, hookimpl
from benchmnist.errors import CaptureError

def uncapturable(*, input_shape, num_classes, marker, after=0, always=False):
    "Fails as a capture does, the first time or always, after so many passes in training."
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    passes = []
    def fail(*_):
        passes.append(1)
        if model.training and len(passes) > after and (always or not Path(marker).exists()):
            Path(marker).write_text(str(os.getpid()))
            raise CaptureError("the stream is capturing", spoiled=True)
    model.register_forward_pre_hook(fail)
    return model

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="uncapturable", summary="", build=uncapturable)]
"""


@pytest.mark.parametrize("executor", [LocalExecutor, InlineExecutor])
def test_what_failed_to_be_captured_is_done_again_in_another_process(
    workplace: Workplace, install_plugin: Callable[..., None], executor: type[LocalExecutor | InlineExecutor]
) -> None:
    install_plugin("uncapturable", UNCAPTURABLE)
    marker = str(workplace.run_folder / "marker")
    case = make_case(id="a/once", model=component("uncapturable", marker=marker), seeds=(0, 1), epochs=2)
    always = make_case(id="a/always", model=component("uncapturable", marker=marker, always=True))
    plain = make_case(id="a/plain", model="logistic", seeds=(0, 1), epochs=2)
    with executor(workplace) as executing:
        (once, never, fine), told = execute(executing, case, always, plain)
    assert (once.status, never.status, fine.status) == ("completed", "failed", "completed")
    assert never.error == "the stream is capturing"
    assert [len(trial.epochs) for trial in once.trials] == [2, 2]
    assert losses(fine) == pytest.approx(losses(result_of(plain)), rel=1e-3)
    assert told.log.count("a/once started") == 1


def test_inline_a_capture_that_fails_late_has_its_case_begun_anew(
    workplace: Workplace, install_plugin: Callable[..., None]
) -> None:
    install_plugin("uncapturable", UNCAPTURABLE)
    marker = str(workplace.run_folder / "marker")
    late = make_case(id="a/late", model=component("uncapturable", marker=marker, after=15), epochs=2)
    with InlineExecutor(workplace) as executing:
        (result, fine), told = execute(executing, late, make_case(epochs=2))
    assert (result.status, fine.status) == ("completed", "completed"), result.error
    assert [epoch.epoch for epoch in result.trials[0].epochs] == [1, 2]
    assert [epoch for case, _, epoch in told.epochs if case == "a/late"][-2:] == [*result.trials[0].epochs]


def test_rounds_before_a_case_was_begun_anew_do_not_count(
    install_plugin: Callable[..., None], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    install_plugin("uncapturable", UNCAPTURABLE)
    suite = write_suite(f"""
        [suite]
        name = "anew"
        [defaults]
        epochs = 2
        train_size = 500
        test_size = 100
        batch_size = 50
        [models.late]
        use = "uncapturable"
        marker = {str(tmp_path / "marker")!r}
        after = 15
        [[cases]]
        models = ["late", "fc"]
        optimizers = ["sgd"]
    """)
    run = benchmnist.run(suite, executor="inline", out=tmp_path / "runs")
    assert [case.status for case in run.cases] == ["completed"] * 2
    (file,) = (tmp_path / "runs").rglob("benchmark.json")
    measured = json.loads(file.read_text("utf-8"))["benchmarks"]
    seconds = {case.case.id: [e.seconds for trial in case.trials for e in trial.epochs] for case in run.cases}
    assert {one["param"]: one["stats"]["data"] for one in measured} == seconds
    assert all(one["stats"]["rounds"] == 6 and one["stats"]["min"] > 0 for one in measured)


def test_a_cpus_worker_sees_no_gpu(
    workplace: Workplace, install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    install_plugin("seer", SEER)
    with LocalExecutor(workplace) as executor:
        execute(executor, make_case(model="seer"))
    assert "sees \n" in (workplace.run_folder / "worker.log").read_text("utf-8")


def test_that_workers_share_a_gpu_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert taking_turns("cpu", 8, 1) == taking_turns("cuda:0", 2, 2) == taking_turns("cuda:0", 1, 1) == ""
    assert taking_turns("cuda:0", 3, 2).startswith(
        "3 workers share 2 GPUs and take turns because MPS is not running"
    )
    (tmp_path / "control").touch()  # MPS listens there
    assert taking_turns("cuda:0", 3, 2) == ""
