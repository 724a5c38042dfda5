"""On a real cluster of several nodes, all of them on this machine."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

os.environ["RAY_AUTH_MODE"] = "disabled"

ray = pytest.importorskip("ray", reason="Ray is not installed")
from benchmnist_ray.executor import RayExecutor  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from benchmnist.errors import BenchmnistError  # noqa: E402
from benchmnist.executors import Workplace  # noqa: E402
from benchmnist.runs.results import CaseResult  # noqa: E402
from benchmnist.runs.store import load_run  # noqa: E402
from benchmnist.testing import conformance  # noqa: E402
from benchmnist.testing.executors import FAULTY, figures, small_case  # noqa: E402
from benchmnist.training.data import default_data_root  # noqa: E402

long = pytest.mark.skipif("BENCHMNIST_LONG" not in os.environ, reason="takes long; BENCHMNIST_LONG=1 has it run")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A head that trains nothing, and two nodes of one processor each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            found.add_node(num_cpus=1)
        ray.init(address=found.address, log_to_driver=False, logging_level=logging.CRITICAL)
        yield found
        ray.shutdown()
        found.shutdown()


IN_CI = ("survives-what-dies", "refuses-in-words")


@pytest.fixture
def _in_ci(check):
    if check.name not in IN_CI and "BENCHMNIST_LONG" not in os.environ:
        pytest.skip("takes long; BENCHMNIST_LONG=1 has it run")


test_ray = pytest.mark.usefixtures("_in_ci")(conformance("ray"))


@pytest.fixture
def workplace(tmp_path):
    return Workplace("cpu", default_data_root(), tmp_path, jobs=None, trials=9, plugins=(FAULTY,))


def held(name, tmp_path):
    """A case of six epochs that waits in the third, of 10 steps and 2 of testing each, for the file `go`."""
    return small_case(name, "faulty-waits", epochs=6, passes=30, until=str(tmp_path / "go"))


def where(executor, task):
    return next(attempt.at for attempt in executor.running.values() if attempt.task == task)


def execute(executor, tasks, disturb=lambda *_: None):
    """The results by id, and the epochs as they came; whoever disturbs is told of every epoch."""
    results, epochs = {}, {task.id: [] for task in tasks}
    for task, step in executor.execute(iter(tasks)):
        if isinstance(step, CaseResult):
            assert task.id not in results
            results[task.id] = step
        else:
            epochs[task.id].append(step.result.epoch)
            disturb(task, step.result.epoch)
    return results, epochs


def test_a_worker_that_is_killed_costs_no_result(workplace, tmp_path):
    tasks = [held("hit", tmp_path), held("missed", tmp_path)]
    killed = []

    def kill(task, epoch):
        if task == tasks[0] and epoch == 2 and not killed:
            killed.append(where(executor, task).pid)
            os.kill(killed[0], signal.SIGKILL)
            (tmp_path / "go").touch()

    with RayExecutor(workplace) as executor:
        results, epochs = execute(executor, tasks, kill)
    hit, missed = (results[task.id] for task in tasks)
    assert figures(hit) == figures(missed)
    assert epochs[tasks[0].id] == [1, 2, *range(1, 7)]  # once, and from the beginning
    assert epochs[tasks[1].id] == [*range(1, 7)]  # nobody else was disturbed
    (remark,) = [remark for remark in hit.remarks if remark.startswith("begun anew: ")]
    assert f"process {killed[0]}" in remark
    assert not [remark for remark in missed.remarks if "anew" in remark]


@long
def test_a_node_that_leaves_costs_no_result(workplace, tmp_path, cluster):
    tasks = [held("leaves", tmp_path), held("stays", tmp_path)]
    left = []

    def leave(task, epoch):
        if task == tasks[0] and epoch == 2 and not left:
            left.extend(n for n in cluster.worker_nodes if n.node_id == where(executor, task).node)
            cluster.remove_node(left[0], allow_graceful=False)
            (tmp_path / "go").touch()

    try:
        with RayExecutor(workplace) as executor:
            results, _ = execute(executor, tasks, leave)
    finally:
        cluster.add_node(num_cpus=1)
    assert left
    assert figures(results["check/leaves"]) == figures(results["check/stays"])
    assert any(remark.startswith("begun anew: ") for remark in results["check/leaves"].remarks)


@long
def test_what_is_killed_again_and_again_crashes(workplace, tmp_path):
    def kill(task, epoch):
        if task.id == "check/hunted" and epoch == 1:
            os.kill(where(executor, task).pid, signal.SIGKILL)

    with RayExecutor(workplace, retries=1) as executor:
        results, epochs = execute(executor, [held("hunted", tmp_path), small_case("next")], kill)
    hunted = results["check/hunted"]
    assert hunted.status == "crashed"
    assert hunted.error.startswith("its Ray worker went away 2 times while it trained this case")
    assert epochs["check/hunted"].count(1) == 2
    figures(results["check/next"])


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"num_gpus": 1.0}, "no node of the Ray cluster has what a trial asks for, CPU 1, GPU 1"),
        pytest.param(
            {"num_cpus": 64.0},
            "what a trial asks for, CPU 64; the nodes have: CPU 0; CPU 1; CPU 1.",
            marks=long,
        ),
        pytest.param({"tpu-v9": 2.0}, "what a trial asks for, CPU 1, tpu-v9 2; the nodes have:", marks=long),
    ],
)
def test_what_nobody_can_offer_is_said_at_once(workplace, resources, said):
    with RayExecutor(workplace) as executor:
        results, _ = execute(executor, [small_case("too-much", resources=resources), small_case("fine")])
    assert results["check/too-much"].status == "failed"
    assert said in results["check/too-much"].error
    assert "--ray-wait" in results["check/too-much"].error
    figures(results["check/fine"])


@long
def test_a_node_that_comes_later_is_waited_for(workplace, cluster):
    task = small_case("rare", resources={"rare": 1.0})
    with RayExecutor(workplace, wait=120.0) as executor:
        steps = executor.execute(iter([small_case("first"), task]))
        for done, step in steps:
            if isinstance(step, CaseResult) and done.id == "check/first":
                node = cluster.add_node(num_cpus=1, resources={"rare": 1})
            elif isinstance(step, CaseResult):
                figures(step)
                assert done == task
    cluster.remove_node(node)


def test_it_takes_what_there_is_room_for(workplace):
    with RayExecutor(workplace, num_cpus=0.5) as executor:
        slots = executor.slots
        # A node that left in another test may not have been missed yet.
        cpus = sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
        assert slots == 2 * cpus >= 4
        results, _ = execute(executor, [small_case(str(n), resources={"num_cpus": 0.25}) for n in range(6)])
        assert {result.environment["threads"] for result in results.values()} == {1}
    with RayExecutor(workplace, num_cpus=2) as executor:
        assert executor.slots == 1
    with RayExecutor(replace(workplace, jobs=3)) as executor:
        assert executor.slots == 3
    with pytest.raises(BenchmnistError, match="--ray-num-cpus should not be negative, as -1 is"):
        RayExecutor(workplace, num_cpus=-1)


SUITE = """
[suite]
name = "ray"
[defaults]
epochs = 3
seeds = 3
train_size = 2000
test_size = 200
[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam", "momentum"]
"""


@long
def test_a_driver_that_dies_goes_on_where_it_was(tmp_path, cluster):
    """Nothing that had ended is trained again, and it all comes out as if nothing had happened."""
    (tmp_path / "suite.toml").write_text(SUITE, "utf-8")
    command = [sys.executable, "-m", "benchmnist", "run", "suite.toml", "--device=cpu"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "BENCHMNIST_RAY_ADDRESS": cluster.address,
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

    code, said = run("--executor=ray", stop="ok: accuracy")
    assert code == -signal.SIGKILL, said
    (folder,) = (tmp_path / "runs" / "ray").iterdir()
    before = {file: file.read_text("utf-8") for file in folder.glob("cases/*.json")}
    trials = [file.stem for file in folder.glob("trials/*.json")]
    assert before
    code, said = run("--executor=ray", "--resume")
    assert code == 0, said
    again = [line for line in said if "epoch 3/3" in line]
    assert len(again) == 9 - 3 * len(before) - len(trials)
    assert {file: file.read_text("utf-8") for file in before} == before
    assert run("--executor=inline", "--out=plain")[0] == 0
    plain, result = load_run(tmp_path / "plain"), load_run(folder)
    for case in plain.cases:
        seen = [x for epoch in figures(result[case.id]) for x in epoch]
        assert seen == pytest.approx([x for epoch in figures(case) for x in epoch], rel=1e-3)
    timed = json.loads((folder / "benchmark.json").read_text("utf-8"))["benchmarks"]
    assert {b["name"]: sorted(b["stats"]["data"]) for b in timed} == {
        case.id: pytest.approx(sorted(e.seconds for t in case.trials for e in t.epochs)) for case in result.cases
    }


def test_where_there_is_no_cluster_it_says_so(workplace):
    ray_there, message = ray.is_initialized, "nothing answers at 127.0.0.1:1, where a Ray cluster should be"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "is_initialized", lambda: False)
        with pytest.raises(BenchmnistError, match=message), RayExecutor(workplace, address="127.0.0.1:1"):
            pass
    assert ray_there()


@long
def test_a_ray_of_its_own_is_ended_with_it(tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE, "utf-8")
    (tmp_path / "ray").mkdir()
    command = [
        sys.executable,
        "-m",
        "benchmnist",
        "run",
        "suite.toml",
        "--executor=ray",
        "--jobs=2",
        "--device=cpu",
    ]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "BENCHMNIST_RAY_ADDRESS")
    }
    # Ray's sockets want short names. There is no `ray_current_cluster` in a folder of its own.
    short = Path(f"/tmp/bmr{os.getpid()}")  # noqa: S108
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RAY_TMPDIR": str(short)}
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: subprocess.run(["rm", "-rf", str(short)], check=False))
        short.mkdir()
        done = subprocess.run(
            [*command, "-k", "sgd"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "times were taken with 2 trials side by side" in done.stdout
        left = subprocess.run(["pgrep", "-f", f"--session-dir={short}"], capture_output=True, check=False)
        assert left.stdout == b""
