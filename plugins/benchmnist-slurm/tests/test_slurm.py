"""On submitit's local executor, and on a real SLURM where there is one (single_node.sh makes one)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("submitit", reason="submitit is not installed")
import benchmnist_slurm.executor as module
from benchmnist_slurm.executor import SlurmExecutor
from benchmnist_slurm.job import Words

from benchmnist.errors import BenchmnistError
from benchmnist.executors import Workplace
from benchmnist.runs.results import CaseResult
from benchmnist.runs.store import load_run
from benchmnist.testing import conformance
from benchmnist.testing.executors import FAULTY, figures, small_case
from benchmnist.training.data import default_data_root


def _slurm_is_here():
    if not shutil.which("sinfo"):
        return False
    try:
        said = subprocess.run(["sinfo", "--noheader"], capture_output=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return False
    return said.returncode == 0 and bool(said.stdout.strip())


needs_slurm = pytest.mark.skipif(not _slurm_is_here(), reason="no SLURM here; tests/single_node.sh makes one")
long = pytest.mark.skipif("BENCHMNIST_LONG" not in os.environ, reason="takes long; BENCHMNIST_LONG=1 has it run")
CLUSTERS = ["local", pytest.param("slurm", marks=needs_slurm)]


IN_CI = ("survives-what-dies", "refuses-in-words")
"""The checks that are made in CI: every job of submitit's local executor is three new processes."""


@pytest.fixture
def locally(monkeypatch, check):
    if check.name not in IN_CI and "BENCHMNIST_LONG" not in os.environ:
        pytest.skip("takes long; BENCHMNIST_LONG=1 has it run")
    monkeypatch.setenv("BENCHMNIST_SLURM_CLUSTER", "local")


test_local = pytest.mark.usefixtures("locally")(conformance("slurm"))
test_slurm = needs_slurm(conformance("slurm"))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(module, "LATE", 2.0)
    monkeypatch.setattr(module, "LOOKS", 1.0)


@pytest.fixture
def workplace(tmp_path):
    return Workplace("cpu", default_data_root(), tmp_path, jobs=None, trials=9, plugins=(FAULTY,))


def held(name, tmp_path):
    """A case of six epochs that waits in the third, of 10 steps and 2 of testing each, for the file `go`."""
    return small_case(name, "faulty-waits", epochs=6, passes=30, until=str(tmp_path / "go"))


def execute(executor, tasks, disturb=lambda *_: None):
    results = {}
    for task, step in executor.execute(iter(tasks)):
        if isinstance(step, CaseResult):
            assert task.id not in results
            results[task.id] = step
        else:
            disturb(task, step.result.epoch)
    return results


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_that_is_killed_costs_no_result(workplace, tmp_path, cluster):
    tasks = [held("hit", tmp_path), held("missed", tmp_path), small_case("other", resources={"num_cpus": 1})]
    killed = []

    def kill(task, epoch):
        if task == tasks[0] and epoch == 2 and not killed:
            killed.extend(job.process for job in executor.jobs if job.task == task)
            os.kill(killed[0], signal.SIGKILL)
            (tmp_path / "go").touch()

    with SlurmExecutor(workplace, cluster=cluster) as executor:
        results = execute(executor, tasks, kill)
    assert figures(results["check/hit"]) == figures(results["check/missed"])
    (remark,) = [remark for remark in results["check/hit"].remarks if remark.startswith("begun anew: job ")]
    assert remark.endswith({"local": "GONE", "slurm": "FAILED"}[cluster])
    figures(results["check/other"])


@needs_slurm
def test_a_node_that_fails_costs_no_result(workplace, tmp_path):
    """SLURM itself puts the job back into the queue."""
    task, failed = held("fails", tmp_path), []

    def fail(_, epoch):
        if epoch == 2 and not failed:
            failed.append(executor.jobs[0].words.path)
            node = os.uname().nodename.partition(".")[0]
            for state in (["state=down", "reason=test"], ["state=resume"]):  # it may have come back by itself
                subprocess.run(
                    ["scontrol", "update", f"nodename={node}", *state], capture_output=True, check=False
                )
                time.sleep(2)
            (tmp_path / "go").touch()

    with SlurmExecutor(workplace) as executor:
        (result,) = execute(executor, [task], fail).values()
    assert [epoch for epoch, *_ in figures(result)] == [1, 2, 3, 4, 5, 6]
    assert sum("begins" in word for word in Words(failed[0]).new()) == 2


@needs_slurm
def test_what_slurm_refuses_is_told_in_a_line(workplace):
    with SlurmExecutor(workplace, partition="nowhere") as executor:
        (result,) = execute(executor, [small_case("refused")]).values()
    assert result.status == "failed"
    assert result.error.startswith("SLURM refuses the job: ")
    assert "nvalid partition" in result.error


def test_what_slurm_has_no_word_for_is_told(workplace):
    cases = {
        "num_gpus = 0.5: SLURM has no fractions of a GPU; ask for 0 or 1": {"num_gpus": 0.5},
        "SLURM is told of num_cpus, num_gpus, memory, not of 'tpu'; leave it out of the resources": {"tpu": 1.0},
    }
    tasks = [small_case(str(number), resources=resources) for number, resources in enumerate(cases.values())]
    with SlurmExecutor(workplace, cluster="local") as executor:
        results = execute(executor, tasks)
    assert [result.error for result in results.values()] == [*cases]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": 0}, "--slurm-time should be at least 1, not 0"),
        ({"cluster": "pbs"}, "--slurm-cluster should be slurm or local, not 'pbs'"),
        ({"cluster": "slurm"}, "there is no SLURM on this machine: sbatch, srun, squeue cannot be found"),
    ],
)
def test_what_cannot_be_is_said_at_once(workplace, monkeypatch, options, said):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchmnistError, match=said):
        SlurmExecutor(workplace, **options)


SUITE = """
[suite]
name = "slurm"
[defaults]
epochs = 3
seeds = 3
train_size = 2000
test_size = 200
[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam"]
"""


@long
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_driver_that_dies_takes_its_jobs_up_again(tmp_path, cluster):
    """They go on without it; none is submitted twice, and it all comes out as if nothing had happened."""
    (tmp_path / "suite.toml").write_text(SUITE, "utf-8")
    command = [sys.executable, "-m", "benchmnist", "run", "suite.toml", "--device=cpu"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "BENCHMNIST_SLURM_CLUSTER": cluster,
        "BENCHMNIST_SLURM_ARRAY": "3",
    }

    def run(*options, stop=None):
        said = []
        with subprocess.Popen(
            [*command, *options], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            for line in process.stdout:
                said.append(line.decode())
                if stop and stop in said[-1]:
                    process.kill()
        return process.returncode, said

    code, said = run("--executor=slurm", stop="epoch 1/3")
    assert code == -signal.SIGKILL, said
    (folder,) = (tmp_path / "runs" / "slurm").iterdir()
    assert not [*folder.glob("cases/*.json")]
    code, said = run("--executor=slurm", "--resume")
    assert code == 0, said
    begun = {
        file.name: sum("begins" in word for word in Words(file).new()) for file in folder.glob("slurm/*.jsonl")
    }
    assert list(begun.values()) == [1] * 6, begun
    assert run("--executor=inline", "--out=plain")[0] == 0
    plain, result = load_run(tmp_path / "plain"), load_run(folder)
    for case in plain.cases:
        seen = [x for epoch in figures(result[case.id]) for x in epoch]
        assert seen == pytest.approx([x for epoch in figures(case) for x in epoch], rel=1e-3)
    timed = json.loads((folder / "benchmark.json").read_text("utf-8"))["benchmarks"]
    assert {b["name"]: sorted(b["stats"]["data"]) for b in timed} == {
        case.id: pytest.approx(sorted(e.seconds for t in case.trials for e in t.epochs)) for case in result.cases
    }
