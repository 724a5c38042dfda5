"""Suites in real pytest sessions: what anyone who knows pytest and pytest-benchmark would try."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import pytest_in_a_process

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.contract
SUITE = """
[suite]
name = "small"

[defaults]
epochs = 3
seeds = 2
train_size = 300
test_size = 100
batch_size = 50

[[cases]]
models = ["fc"]
optimizers = ["sgd", "adam"]

[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
marks = ["slow"]
"""
IDS = ["suite.toml::mnist/fc/sgd", "suite.toml::mnist/fc/adam", "suite.toml::mnist/logistic/sgd"]
FAILS = SUITE.replace(
    '[[cases]]\nmodels = ["logistic"]',
    '[optimizers.adam]\nexpect.accuracy = "> 100"\n\n[[cases]]\nmodels = ["logistic"]',
)


def session(*arguments: str, text: str | None = SUITE, code: int = 0, **environment: str) -> str:
    """A pytest session in the current folder, in a process of its own; returns what it printed."""
    if text is not None:
        Path("suite.toml").write_text(text, "utf-8")
        Path("pyproject.toml").write_text("[tool.pytest.ini_options]\n", "utf-8")
    env = {**os.environ, "BENCHMNIST_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
    output = Path("session-output.txt")
    ended = pytest_in_a_process(arguments, env, output)
    said = output.read_text("utf-8")
    assert ended == code, said
    return said


def benchmarks(file: str = "out.json") -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content: dict[str, Any] = json.loads(Path(file).read_text("utf-8"), parse_constant=refuse)
    return content


def test_a_suite_is_collected_and_selected_from() -> None:
    assert session("suite.toml", "--collect-only", "-q").splitlines()[:3] == IDS
    said = session(IDS[1], IDS[2], "-v", "-p", "no:cacheprovider", "-W", "error", "--strict-markers")
    assert "2 passed" in said
    assert [line.split()[0] for line in said.splitlines() if "PASSED" in line] == IDS[1:]
    assert "1 passed, 2 deselected" in session("suite.toml", "-m", "slow", "--strict-markers")
    assert "1 passed, 2 deselected" in session("suite.toml", "-k", "fc and not adam")
    assert session("suite.toml", "--fixtures-per-test").count("fixtures used by mnist/") == 3


def test_a_suite_that_is_always_tuned_is_refused() -> None:
    said = session("suite.toml", text=SUITE.replace("[[cases]]", "[tune]\nalways = true\n\n[[cases]]", 1), code=2)
    assert "has always = true under [tune], and pytest does not tune; use `benchmnist run suite.toml`" in said


def test_a_plugin_that_is_not_quiet_is_a_warning(install_plugin: Callable[..., None]) -> None:
    install_plugin("loud", "print('hello')")
    path = next(path for path in sys.path if path.endswith("site-packages") and "pytest-of" in path)
    path = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    said = session("suite.toml", "-k", "logistic", "-p", "no:cacheprovider", PYTHONPATH=path)
    assert "PytestWarning: benchmnist-loud 1.0 (plugin 'loud') prints 'hello'; take the print away" in said
    assert "1 passed, 2 deselected, 1 warning" in said
    assert not said.startswith("hello")


def test_a_failure_is_told_and_can_be_run_again() -> None:
    said = session("suite.toml", "-x", "--junitxml=out.xml", text=FAILS, code=1)
    assert "1 failed, 1 passed" in said
    assert re.search(r"expected accuracy > 100, got \d\d\.\d\d % for seed 0, \d\d\.\d\d % for seed 1", said)
    assert "Traceback" not in said
    assert "suite.toml" in said
    cases = {case.get("name"): case for case in ET.parse("out.xml").iter("testcase")}  # noqa: S314 - our own
    assert list(cases) == ["mnist/fc/sgd", "mnist/fc/adam"]
    assert cases["mnist/fc/adam"].find("failure") is not None
    assert "1 failed, 1 passed" in session("suite.toml", "--sw", text=None, code=2)
    assert "1 failed, 1 deselected" in session("suite.toml", "--sw", text=None, code=2)
    assert "1 failed" in session("suite.toml", "--lf", text=None, code=1)
    said = session("suite.toml", "--ff", "-v", text=None, code=1)
    assert [line.split()[0] for line in said.splitlines() if re.search(r"(PASSED|FAILED) +\[", line)] == [
        IDS[1],
        IDS[0],
        IDS[2],
    ]


def test_a_traceback_is_that_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "raises-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: raises\nVersion: 1\n", "utf-8")
    (info / "entry_points.txt").write_text("[benchmnist]\nraises = raises_plugin\n", "utf-8")
    (site / "raises_plugin.py").write_text(
        "from benchmnist import ModelSpec, hookimpl\n"
        "def build(*, input_shape, num_classes):\n    raise RuntimeError('not today')\n"
        "@hookimpl\ndef benchmnist_models():\n    return [ModelSpec(name='raises', summary='', build=build)]\n",
        "utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    said = session("suite.toml", "--benchmark-json=out.json", text=SUITE.replace("logistic", "raises"), code=1)
    assert "1 failed, 2 passed" in said
    assert "raise RuntimeError('not today')" in said
    assert not {"hooks.py", "items.py"} & {*re.findall(r"\w+\.py", said)}
    assert len(benchmarks()["benchmarks"]) == 2


def test_the_json_has_what_a_maintainer_tracks() -> None:
    said = session("suite.toml", "--benchmark-json=out.json", "--benchmark-group-by=param:optimizer")
    assert "benchmark 'optimizer=sgd': 2 tests" in said
    content = benchmarks()
    assert [b["fullname"] for b in content["benchmarks"]] == IDS
    measured = content["benchmarks"][1]
    assert measured["stats"]["rounds"] == 6
    assert measured["params"] == {"dataset": "mnist", "model": "fc", "optimizer": "adam"}
    info = measured["extra_info"]
    assert (info["epochs"], info["seeds"], info["batch_size"], info["status"]) == (3, [0, 1], 50, "completed")
    assert (info["device"], info["engine"], info["precision"], info["measured"]) == (
        "cpu",
        "resident",
        "float32",
        "alone",
    )
    assert info["images_per_second"] == pytest.approx(300 / measured["stats"]["median"])
    assert 50 < info["accuracy"] < 100
    assert 0 < info["train_loss"] < 2
    assert info["peak_memory"] > 1e8
    # What benchmark-action/github-action-benchmark reads of each benchmark.
    assert all(measured["stats"][key] > 0 for key in ("ops", "stddev", "mean", "rounds"))
    machine = content["machine_info"]["benchmnist"]
    assert machine["fingerprint"] == info["fingerprint"]
    assert machine["threads"] == 1
    assert {"torch", "torchvision", "device_name", "deterministic", "python"} <= set(machine)


def test_benchmarks_are_saved_compared_and_gated() -> None:
    session("suite.toml", "--benchmark-autosave", "-k", "logistic")
    (saved,) = Path(".benchmarks").rglob("*.json")
    content = json.loads(saved.read_text("utf-8"))
    stats = content["benchmarks"][0]["stats"]
    gate = ("-k", "logistic", "--benchmark-compare", "--benchmark-compare-fail=median:10%")
    for before, code in ((1e6, 0), (1e-6, 1)):  # seconds that no epoch takes
        stats |= dict.fromkeys(("min", "max", "mean", "median"), before)
        saved.write_text(json.dumps(content), "utf-8")
        said = session("suite.toml", *gate, code=code)
        assert "mnist/logistic/sgd (NOW)" in said
        assert "machine_info is different" not in said
        assert ("Performance has regressed" in said) == bool(code)


def test_without_benchmarks_everything_is_trained_all_the_same() -> None:
    needs_all_epochs = SUITE.replace("batch_size = 50", 'batch_size = 10\nexpect.train_loss = "< 0.45"')
    said = session("suite.toml", "--benchmark-disable", "-k", "fc/adam", text=needs_all_epochs)
    assert "Rounds" not in said
    said = session(
        "suite.toml", "--benchmark-disable", "-k", "fc/adam", BENCHMNIST_PYTEST_EPOCHS="1", text=None, code=1
    )
    assert "expected train_loss < 0.45" in said
    said = session("suite.toml", "--benchmnist-set", "cases.0.epochs=0", text=None, code=2)
    assert "--set cases.0.epochs=0: must be greater than 0" in said
    assert "3 skipped" in session("suite.toml", "--benchmark-skip")


def test_profiles_and_histograms() -> None:
    said = session(
        "suite.toml",
        "-k",
        "fc",
        "--benchmark-cprofile=tottime",
        "--benchmark-json=out.json",
        "--benchmark-histogram=plots/h",
    )
    assert "trial.py" in said[said.index("cProfile") :]
    assert [b["stats"]["rounds"] for b in benchmarks()["benchmarks"]] == [6, 6]  # the profile is no round
    assert list(Path("plots").glob("*.svg"))


NOTED = """
import torch
from benchmnist import OptimizerSpec, hookimpl

def build(model, *, name):
    with open("begun.txt", "a") as file:
        file.write(name)
    return torch.optim.SGD(model.parameters(), lr=0.01)

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="noted", summary="Notes when it is built.", build=build)]
"""
TWO = """
[suite]
name = "two"

[defaults]
epochs = 1
seeds = 2
train_size = 100
test_size = 100

[optimizers.a]
use = "noted"
name = "a"

[optimizers.b]
use = "noted"
name = "b"

[[cases]]
models = ["logistic"]
optimizers = ["a", "b"]
engines = ["dataloader"]
"""


@pytest.mark.parametrize(
    ("order", "begun"), [("", "aabb"), ('order = "suite"', "aabb"), ('order = "interleaved"', "abba")]
)
def test_a_session_trains_case_by_case_unless_the_suite_says_otherwise(
    install_plugin: Callable[..., None], order: str, begun: str
) -> None:
    install_plugin("noted", NOTED)
    path = next(path for path in sys.path if path.endswith("site-packages") and "pytest-of" in path)
    path = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    said = session("suite.toml", text=TWO.replace('"two"', f'"two"\n{order}'), PYTHONPATH=path)
    assert "2 passed" in said
    # Before, each is built once to check the suite; each trial builds it for its warm-up, too.
    assert re.sub(r"(.)\1+", r"\1", Path("begun.txt").read_text("utf-8")).endswith(re.sub(r"(.)\1+", r"\1", begun))


def test_trials_side_by_side_are_timed_and_marked() -> None:
    said = session(
        "suite.toml", "-k", "fc", "--benchmnist-executor=local", "--benchmnist-jobs=2", "--benchmark-json=out.json"
    )
    assert "2 passed" in said
    for measured in benchmarks()["benchmarks"]:
        assert measured["stats"]["rounds"] == 6
        told = measured["extra_info"]
        assert told["measured"] == "2 side by side"
        assert sorted(map(tuple, told["rounds"])) == [(seed, epoch) for seed in (0, 1) for epoch in (1, 2, 3)]
    said = session("suite.toml", "--benchmnist-jobs=2", code=2)
    assert "the executor inline trains one trial at a time, not 2" in said
    assert "--benchmnist-jobs: must be a whole number, not" in session(
        "suite.toml", "--benchmnist-jobs=many", code=2
    )


@pytest.mark.parametrize("flags", [("-n", "2"), ("-n", "1", "--dist", "loadfile")])
def test_under_xdist_timings_are_kept_and_marked(flags: tuple[str, ...]) -> None:
    said = session("suite.toml", *flags, "--benchmark-json=out.json")
    assert "3 passed" in said
    assert "3 cases were timed side by side by xdist workers" in said
    assert "benchmark 'fc (measured in parallel)': 2 tests" in said
    content = benchmarks()
    assert sorted(b["fullname"] for b in content["benchmarks"]) == sorted(IDS)
    assert {b["stats"]["rounds"] for b in content["benchmarks"]} == {6}
    assert {b["extra_info"]["measured"] for b in content["benchmarks"]} == {"in parallel"}
    assert {b["params"]["dataset"] for b in content["benchmarks"]} == {"mnist"}
    assert content["machine_info"]["benchmnist"]["device"] == "cpu"


def test_under_xdist_the_gate_of_pytest_benchmark_trips() -> None:
    session("suite.toml", "-k", "fc/sgd", "--benchmark-autosave")
    (saved,) = Path(".benchmarks").rglob("*.json")
    content = json.loads(saved.read_text("utf-8"))
    content["benchmarks"][0]["stats"]["median"] = 1e-9
    saved.write_text(json.dumps(content), "utf-8")
    gate = ("--benchmark-compare", "--benchmark-compare-fail=median:10%")
    assert "Performance has regressed" in session("suite.toml", "-k", "fc/sgd", "-n", "1", *gate, code=1)
    assert "Rounds" not in session("suite.toml", "-k", "fc/sgd", "-n", "1", "--benchmark-disable")


def test_what_is_no_suite_is_left_alone() -> None:
    said = session("pyproject.toml", code=4)
    assert "Error" not in said.replace("ERROR: not found", "")
    Path("test_own.py").write_text("def test_own(): pass\n", "utf-8")
    assert "1 passed" in session(".")  # a folder's suites are not run unless one asks for them
    Path("pyproject.toml").write_text("[tool.pytest.ini_options]\nbenchmnist_suites = ['su*.toml']\n", "utf-8")
    assert session(".", "--collect-only", "-q", text=None).splitlines()[:4] == [*IDS, "test_own.py::test_own"]


def test_mistakes_in_a_suite_are_a_line_each() -> None:
    said = session("suite.toml", text=SUITE.replace('"adam"', '"adamm"') + "epoch = 3\n", code=2)
    assert "suite.toml:14: cases.optimizers: no optimizer named 'adamm'. Did you mean 'adam'?" in said
    assert "suite.toml:20: cases.epoch: unknown key. Did you mean 'epochs'?" in said
    assert "Traceback" not in said
    said = session("suite.toml", text="[[cases]]\nmodels = [", code=2)
    assert "suite.toml:2: not TOML: models = [: missing ] at the end of the list" in said
    said = session("suite.toml", text="dataset = mnist", code=2)
    assert 'suite.toml:1: not TOML: dataset = mnist: a string needs quotes; write dataset = "mnist"' in said
    assert "suite.toml: empty; a suite has [suite]" in session("suite.toml", text="\n", code=2)
    Path("suite.toml").write_text(SUITE, "utf-16")
    assert "suite.toml:1: not UTF-8 text (byte 0xff at" in session("suite.toml", text=None, code=2)


def test_options_are_told_on_the_command_line_too() -> None:
    options = ("--benchmnist-seeds=4,6", "--benchmnist-epochs=2", "--benchmnist-engine=dataloader")
    session(IDS[2], "--benchmark-json=out.json", *options, "--benchmnist-executor=local")
    (measured,) = benchmarks()["benchmarks"]
    info = measured["extra_info"]
    assert (info["seeds"], info["epochs"], info["engine"], measured["stats"]["rounds"]) == (
        [4, 6],
        2,
        "dataloader",
        4,
    )


PYTHON_TEST = """
import pytest
import torch
from torch import nn

def own():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

@pytest.mark.parametrize("model", ["fc", own()], ids=["fc", "own"])
def test_epoch(benchmark, benchmnist_train, model):
    training = benchmnist_train(model=model, optimizer="adam", train_size=300, test_size=100)
    first = training.epoch()
    benchmark.pedantic(training.epoch, rounds=3)
    assert training.epoch() < first
    assert training.evaluate()["test_accuracy"] > 20

def test_step(benchmark, benchmnist_train):
    training = benchmnist_train(
        model="fc", model_params={"hidden_size": 20}, train_size=120,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    )
    assert training.model[1].out_features == 20
    assert training.step() > 0
    benchmark(training.step)
"""


def test_a_python_test_times_a_training_of_its_own() -> None:
    Path("test_own.py").write_text(PYTHON_TEST, "utf-8")
    said = session("test_own.py", "--benchmark-json=out.json", "-W", "error")
    assert "3 passed" in said
    assert [b["name"] for b in benchmarks()["benchmarks"]] == ["test_epoch[fc]", "test_epoch[own]", "test_step"]


def test_a_strangers_pytest_run_does_not_pay_for_us() -> None:
    program = (
        "import sys, benchmnist.pytest_support.hooks\n"
        "heavy = {'torch', 'rich', 'pydantic', 'numpy', 'matplotlib', 'pluggy'} - {'pluggy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    Path("test_own.py").write_text(
        "import sys\ndef test_own():\n    assert not {'torch', 'rich', 'pydantic', 'numpy'} & set(sys.modules)\n",
        "utf-8",
    )
    own = [sys.executable, "-m", "pytest", "test_own.py", "-p", "no:hypothesispytest"]
    assert "1 passed" in subprocess.run(own, capture_output=True, text=True, check=True).stdout
