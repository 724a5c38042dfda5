from __future__ import annotations

import gc
import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
from processes import HANGS

import benchmnist
from benchmnist.errors import BenchmnistError, PluginError, StoreError, SuiteError, UnknownNameError
from benchmnist.planned_run import select
from benchmnist.preflight.prepare import prepare
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import CaseResult, EpochResult, RunResult
    from benchmnist.suites.cases import Case
    from benchmnist.suites.plan import Plan

HEAD = """
[suite]
name = "x"
[defaults]
epochs = 2
seeds = 2
train_size = 300
test_size = 100
"""
SMALLEST = """[defaults]
epochs = 1
seeds = 1
train_size = 20
test_size = 10
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
"""
FC_SGD = '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n'

RAISES = """
from torch import nn
from benchmnist import ModelSpec, hookimpl

def build(*, input_shape, num_classes):
    raise RuntimeError("not today")

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="raises", summary="", build=build)]
"""


def run(path: Path, **options: Any) -> RunResult:
    return benchmnist.run(path, **{"device": "cpu", "executor": "inline", "out": path.parent / "runs", **options})


def strict_json(file: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {file}")

    return json.loads(file.read_text("utf-8"), parse_constant=refuse)


def test_a_run_leaves_everything_in_its_folder(small_run: RunResult) -> None:
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", small_run.path.name)
    assert small_run.path.parent.name == "small"
    files = {str(file.relative_to(small_run.path)) for file in small_run.path.rglob("*") if file.is_file()}
    assert files == {
        ".lock",  # taking it away would be a race for it
        "run.json",
        "benchmark.json",
        "session.log",
        "report.md",
        "report.html",
        "cases/mnist__fc__sgd.json",
        "cases/mnist__fc__adam.json",
        *(f"checkpoints/mnist__fc__{o}__seed-{s}.safetensors" for o in ("sgd", "adam") for s in (0, 1)),
        "plots/mnist__fc.train_loss.png",
        "plots/mnist__fc.test_accuracy.png",
        "plots/mnist__fc__sgd.png",
        "plots/mnist__fc__adam.png",
    }
    record = strict_json(small_run.path / "run.json")
    assert (record["status"], record["suite"], record["options"]["executor"]) == ("completed", "small", "inline")
    assert record["suite_text"].startswith("\n[suite]")


def test_the_weights_that_are_kept_are_those_that_were_tested(small_run: RunResult) -> None:
    from training_support import setting_of

    from benchmnist.training.data import to_unit
    from benchmnist.training.loop import evaluate
    from benchmnist.training.trial import build_trial

    result = small_run["mnist/fc/adam"]
    for trial in result.trials:
        setting = setting_of(result.case)
        rebuilt = build_trial(result.case, 99, setting.registry, setting.dataset, setting.device)
        rebuilt.model.load_state_dict(safetensors.torch.load_file(small_run.path / str(trial.checkpoint)))
        images = to_unit(setting.dataset.test_images, setting.device)
        tested = evaluate(rebuilt, images, setting.dataset.test_labels, result.case)
        assert tested == pytest.approx(trial.epochs[-1].metrics, rel=1e-5)


def test_pytest_benchmark_reports_what_the_results_say(small_run: RunResult) -> None:
    content = strict_json(small_run.path / "benchmark.json")
    assert [b["name"] for b in content["benchmarks"]] == ["mnist/fc/sgd", "mnist/fc/adam"]
    for measured, result in zip(content["benchmarks"], small_run.cases, strict=True):
        seconds = [epoch.seconds for trial in result.trials for epoch in trial.epochs]
        assert measured["stats"]["data"] == pytest.approx(seconds, rel=1e-9)
        assert measured["stats"]["rounds"] == 4
        assert measured["group"] == "fc"
        assert measured["extra_info"]["accuracy"] == pytest.approx(
            sum(t.epochs[-1].test_accuracy or 0 for t in result.trials) / 2
        )
    assert content["machine_info"]["benchmnist"]["device"] == "cpu"


def test_pytest_benchmark_compares_our_file(small_run: RunResult) -> None:
    file = str(small_run.path / "benchmark.json")
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", file], capture_output=True, text=True, check=True
    )
    assert "mnist/fc/adam" in done.stdout


def test_the_users_own_pytest_has_no_say(
    write_suite: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_suite(HEAD + FC_SGD)
    (tmp_path / "conftest.py").write_text("raise RuntimeError('the conftest was imported')", "utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--nonsense"]\nrequired_plugins = ["not-there"]\n', "utf-8"
    )
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    result = run(path)
    assert result.record.status == "completed"
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"
    assert not (tmp_path / ".benchmarks").exists()
    assert not (tmp_path / ".pytest_cache").exists()


@pytest.mark.parametrize("where", ["project", "project/suites"])
def test_names_are_relative_to_the_project(tmp_path: Path, where: str) -> None:
    folder = tmp_path / where
    folder.mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("", "utf-8")
    path = folder / "suite.toml"
    path.write_text(HEAD + FC_SGD, "utf-8")
    content = strict_json(run(path).path / "benchmark.json")
    expected = f"{path.relative_to(tmp_path / 'project')}::mnist/fc/sgd"
    assert [b["fullname"] for b in content["benchmarks"]] == [expected]


def test_the_observer_is_told_everything_in_order(write_suite: Callable[..., Path]) -> None:
    said: list[str] = []

    class Listener(benchmnist.Observer):
        def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
            said.append(f"run of {len(plan.cases)}, {work['mnist/fc/sgd'].steps} steps, {path.is_dir()}")

        def case_started(self, case: Case) -> None:
            said.append(case.id)

        def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:  # noqa: ARG002
            said.append(f"{seed}.{result.epoch}")

        def case_ended(self, result: CaseResult) -> None:
            said.append(result.status)

    run(write_suite(HEAD + FC_SGD), observer=Listener())
    assert said == ["run of 1, 3 steps, True", "mnist/fc/sgd", "0.1", "0.2", "1.1", "1.2", "completed"]


def test_a_case_that_raises_is_failed_and_the_others_go_on(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin("raises", RAISES)
    path = write_suite(HEAD + '[[cases]]\nmodels = ["raises", "fc"]\noptimizers = ["sgd"]\n')
    result = run(path)
    assert result.record.status == "failed"
    assert [case.status for case in result.cases] == ["failed", "completed"]
    assert "RuntimeError: not today" in str(result["mnist/raises/sgd"].error)
    content = strict_json(result.path / "benchmark.json")
    assert [b["name"] for b in content["benchmarks"]] == ["mnist/fc/sgd"]
    report = benchmnist.write_report(result).read_text("utf-8")
    assert "RuntimeError: not today" in report


def test_a_run_in_which_everything_fails_is_still_a_run(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin("raises", RAISES)
    result = run(write_suite(HEAD + '[[cases]]\nmodels = ["raises"]\noptimizers = ["sgd"]\n'))
    assert result.record.status == "failed"
    assert benchmnist.write_report(result).is_file()


def test_a_case_that_diverges_is_a_result(write_suite: Callable[..., Path]) -> None:
    result = run(write_suite(HEAD + "[optimizers.sgd]\nlr = 1e30\n" + FC_SGD))
    assert result.record.status == "completed"
    (case,) = result.cases
    assert case.status == "diverged"
    text = (result.path / "cases" / "mnist__fc__sgd.json").read_text("utf-8")
    assert '"train_loss": "NaN"' in text or '"train_loss": "Infinity"' in text
    (measured,) = strict_json(result.path / "benchmark.json")["benchmarks"]
    assert measured["stats"]["rounds"] == 2
    assert measured["extra_info"]["train_loss"] is None
    assert benchmnist.write_report(result).is_file()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("a[1]", "a::b.toml"),
        ("b::c", "a[1].toml"),
        ("$HOME é", "conftest.toml"),
        ("-x", "q'\"{} b"),
        ("n\n", "@-x\n"),
    ],
)
def test_what_lies_beside_a_suite_and_what_it_is_called_decide_nothing(
    tmp_path: Path, folder: str, name: str
) -> None:
    there = tmp_path / folder
    there.mkdir()
    (there / "conftest.py").write_text("raise RuntimeError")
    (there / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (there / "deep.toml").write_text(f"x = {'[' * 5000}")
    (there / "digits.toml").write_text(f"x = {'1' * 5000}")
    (there / "link.toml").symlink_to("nowhere")
    (there / "folder.toml").mkdir()
    os.mkfifo(there / "pipe.toml")
    (there / name).write_text(f'[suite]\nname = "x"\n{SMALLEST}')
    result = benchmnist.run(there / name, out=tmp_path / "runs", device="cpu", executor="inline")
    assert result.record.status == "completed"
    (measured,) = strict_json(result.path / "benchmark.json")["benchmarks"]
    assert measured["fullname"] == f"{name}::mnist/logistic/sgd"


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("adam", ["mnist/fc/adam", "mnist/logistic/adam"]),
        ("fc and not adam", ["mnist/fc/sgd"]),
        ("mnist/fc/sgd or logistic", ["mnist/fc/sgd", "mnist/logistic/sgd", "mnist/logistic/adam"]),
    ],
)
def test_k_selects_as_pytest_does(write_suite: Callable[..., Path], keyword: str, expected: list[str]) -> None:
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc", "logistic"]\noptimizers = ["sgd", "adam"]\n')
    prepared = select(prepare(path, RunOptions(device="cpu")), keyword)
    assert [case.id for case in prepared.plan.cases] == expected


def test_k_that_selects_nothing_or_is_no_expression(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    prepared = prepare(write_suite(HEAD + FC_SGD), RunOptions(device="cpu"))
    with pytest.raises(BenchmnistError, match="-k 'cnn' matches no case; known cases: mnist/fc/sgd"):
        select(prepared, "cnn")
    for word in ("suite", "toml", "benchmark", tmp_path.name, "CaseTraining"):  # names of pytest's and files
        with pytest.raises(BenchmnistError, match=rf"-k '{word}' matches no case"):
            select(prepared, word)
    for odd in ("-x", "fc(a=1)", "@x", "fc and\nnot", "(" * 2000):
        with pytest.raises(BenchmnistError, match=r"^-k [^\n]*$"):
            select(prepared, odd)
    with pytest.raises(BenchmnistError, match=r"-k 'fc and': must be names joined by and, or and not"):
        select(prepared, "fc and")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[optimizers.sgd]\nlr = -0.1\n" + FC_SGD,
            "10: optimizers.sgd.lr: 'sgd' refuses: Invalid learning rate: -0.1",
        ),
        (
            '[models.fc]\nhidden_size = "many"\n' + FC_SGD,
            "10: models.fc.hidden_size: must be a ",
        ),
        (
            '[[cases]]\nmodels = ["logistic"]\noptimizers = ["muon"]\n',
            "11: cases.optimizers: 'muon' refuses: muon wants a model with a matrix before its classifier",
        ),
        (
            '[optimizers.nesterov]\nmomentum = 0\n[[cases]]\nmodels = ["fc"]\noptimizers = ["nesterov"]\n',
            "optimizers.nesterov",
        ),
    ],
)
def test_what_a_build_refuses_is_a_mistake_in_the_suite(
    write_suite: Callable[..., Path], text: str, expected: str
) -> None:
    path = write_suite(HEAD + text)
    with pytest.raises(SuiteError) as caught:
        run(path)
    (problem,) = caught.value.problems
    assert expected in str(problem)
    assert not (path.parent / "runs").exists()


def test_more_examples_than_there_are(write_suite: Callable[..., Path]) -> None:
    path = write_suite(HEAD.replace("300", "60001") + FC_SGD)
    with pytest.raises(SuiteError, match="train_size = 60001, but mnist has only 60000 training examples"):
        run(path)


def test_a_precision_that_the_device_does_not_have(write_suite: Callable[..., Path]) -> None:
    path = write_suite(HEAD + FC_SGD + 'precision = "tf32"\n')
    with pytest.raises(SuiteError, match=r"12: cases.precision: .*needs an NVIDIA GPU, not cpu"):
        run(path)


def test_mistakes_of_every_stage_are_told_together_in_order(write_suite: Callable[..., Path]) -> None:
    path = write_suite(
        HEAD + "epoch = 1\n[optimizers.sgd]\nlr = -1\n[optimizers.adam]\nbeta = 1\n"
        '[[cases]]\nmodels = ["fc", "fcc"]\noptimizers = ["sgd", "adam"]\n'
    )
    with pytest.raises(SuiteError) as caught:
        run(path)
    keys = [(problem.line, problem.key) for problem in caught.value.problems]
    assert keys == [
        (9, "defaults.epoch"),
        (11, "optimizers.sgd.lr"),
        (13, "optimizers.adam.beta"),
        (15, "cases.models"),
    ]


def test_a_broken_plugin_is_fatal_only_to_a_suite_that_names_something_of_its(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin("broken", "import nothing_of_this_name")
    assert run(write_suite(HEAD + FC_SGD)).record.status == "completed"
    with pytest.raises(SuiteError, match=r"no model named 'mine'.*benchmnist-broken 1\.0 .* failed to load"):
        run(write_suite(HEAD + FC_SGD.replace("fc", "mine")))


def test_a_strangers_optimizer_trains_beside_ours_and_is_recorded(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin(
        "signed",
        """
        import torch
        from benchmnist import OptimizerSpec, hookimpl

        class SignSGD(torch.optim.Optimizer):
            def __init__(self, params, lr):
                super().__init__(params, {"lr": lr})

            @torch.no_grad()
            def step(self):
                for group in self.param_groups:
                    for p in group["params"]:
                        p -= group["lr"] * p.grad.sign()

        def build(model, *, lr=1e-3):
            return SignSGD(model.parameters(), lr)

        @hookimpl
        def benchmnist_optimizers():
            return [OptimizerSpec(name="signed", summary="SignSGD", build=build)]
        """,
        version="3.1",
    )
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "signed"]\n')
    for executor in ("inline", "local"):
        result = run(path, executor=executor)
        case = result["mnist/fc/signed"]
        assert case.status == "completed", case.error
        assert (case.case.optimizer.distribution, case.case.optimizer.version) == ("benchmnist-signed", "3.1")


def test_trials_side_by_side_are_stored_whole_and_marked(write_suite: Callable[..., Path]) -> None:
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc", "logistic"]\noptimizers = ["sgd"]\n')
    alone = run(path)
    told: list[str] = []

    class Listener(benchmnist.Observer):
        def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
            told.append(f"{case.id} {seed}.{result.epoch}")

    result = run(path, executor="local", jobs=2, observer=Listener())
    assert result.record.status == "completed"
    assert sorted(told) == sorted(f"{case.id} {s}.{e}" for case in alone.cases for s in (0, 1) for e in (1, 2))
    measured = {b["name"]: b for b in strict_json(result.path / "benchmark.json")["benchmarks"]}
    for case, other in zip(result.cases, alone.cases, strict=True):
        assert (case.side_by_side, case.case) == (2, other.case)
        seconds = {(t.seed, e.epoch): e.seconds for t in case.trials for e in t.epochs}
        rounds = [tuple(pair) for pair in measured[case.id]["extra_info"]["rounds"]]
        assert measured[case.id]["stats"]["data"] == pytest.approx([seconds[pair] for pair in rounds], rel=1e-9)
        for one, two in zip(case.trials, other.trials, strict=True):
            assert one.epochs[-1].test_loss == pytest.approx(two.epochs[-1].test_loss, rel=1e-3)
            assert (result.path / str(one.checkpoint)).is_file()
    report = benchmnist.write_report(result).read_text("utf-8")
    assert "times were taken with 2 trials side by side" in report
    assert "side by side" not in benchmnist.write_report(alone).read_text("utf-8")
    with pytest.raises(ValueError, match="jobs must be greater than 0"):
        run(path, jobs=0)
    with pytest.raises(BenchmnistError, match="the executor inline trains one trial at a time, not 2"):
        run(path, jobs=2, out=path.parent / "none")
    assert not (path.parent / "none").exists()


def test_an_interruption_keeps_what_was_done_side_by_side(write_suite: Callable[..., Path]) -> None:
    # So many epochs that neither case ends while the other's worker is still starting.
    text = '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam"]\nepochs = 100_000\n'
    path = write_suite(HEAD.replace("seeds = 2", "seeds = 1") + text)
    seen: set[str] = set()

    class Impatient(benchmnist.Observer):
        def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:  # noqa: ARG002
            seen.add(case.id)
            if len(seen) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, executor="local", jobs=2, timeout=HANGS, observer=Impatient())
    result = benchmnist.load_run(path.parent / "runs")
    assert [case.id for case in result.cases] == ["mnist/fc/sgd", "mnist/fc/adam"]
    for case in result.cases:
        assert case.status == "interrupted"
        assert [trial.status for trial in case.trials] == ["interrupted"]
        assert 1 <= len(case.trials[0].epochs) < 100_000


def test_a_case_that_is_called_otherwise_is_not_trained_again(write_suite: Callable[..., Path]) -> None:
    text = (
        '[optimizers.first]\nuse = "sgd"\nlr = 0.1\n[[cases]]\nmodels = ["fc"]\noptimizers = ["first", "adam"]\n'
    )
    begun = run(write_suite(HEAD + text))
    started: list[str] = []

    class Listener(benchmnist.Observer):
        def case_started(self, case: Case) -> None:
            started.append(case.id)

    changed = (
        text.replace("first", "renamed").replace('"adam"]', '"adam", "rmsprop"]') + 'expect.accuracy = "> 100"\n'
    )
    gone_on = run(write_suite(HEAD + changed), resume=begun.path, observer=Listener())
    assert gone_on.path == begun.path
    assert started == ["mnist/fc/rmsprop"]
    assert [case.id for case in gone_on.cases] == ["mnist/fc/renamed", "mnist/fc/adam", "mnist/fc/rmsprop"]
    for trial, before in zip(gone_on["mnist/fc/renamed"].trials, begun["mnist/fc/first"].trials, strict=True):
        assert trial.epochs == before.epochs
        weights = [begun.path / str(each.checkpoint) for each in (trial, before)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    assert all(case.misses for case in gone_on.cases)
    measured = strict_json(gone_on.path / "benchmark.json")["benchmarks"]
    assert [b["name"] for b in measured] == [case.id for case in gone_on.cases]
    assert gone_on.record.started == begun.record.started


def test_nothing_of_a_case_is_held_on_to_when_it_has_ended(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin(
        "mortal",
        """
        import weakref
        from torch import nn
        from benchmnist import ModelSpec, hookimpl

        ALIVE = weakref.WeakSet()

        def build(*, input_shape, num_classes, number):
            model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
            ALIVE.add(model)
            return model

        @hookimpl
        def benchmnist_models():
            return [ModelSpec(name="mortal", summary="", build=build)]
        """,
    )
    left: list[int] = []

    class Counter(benchmnist.Observer):
        def case_started(self, case: Case) -> None:  # noqa: ARG002
            gc.collect()
            left.append(len(importlib.import_module("benchmnist_mortal").ALIVE))

    sweep = (
        '[models.mortal]\nsweep.number = [1, 2, 3, 4, 5]\n[[cases]]\nmodels = ["mortal"]\noptimizers = ["sgd"]\n'
    )
    assert run(write_suite(HEAD + sweep), observer=Counter()).record.status == "completed"
    assert len(left) == 5
    assert max(left[1:]) <= left[0] + 1


def test_an_executor_that_there_is_not(write_suite: Callable[..., Path]) -> None:
    with pytest.raises(UnknownNameError, match=r"no executor named 'locl'\. Did you mean 'local'\?"):
        run(write_suite(HEAD + FC_SGD), executor="locl")


def test_a_contested_name(write_suite: Callable[..., Path], install_plugin: Callable[..., None]) -> None:
    install_plugin("rival", RAISES.replace('"raises"', '"fc"'))
    with pytest.raises(SuiteError, match=r"the model 'fc' is offered by benchmnist .* and benchmnist-rival"):
        run(write_suite(HEAD + FC_SGD))
    assert issubclass(PluginError, BenchmnistError)


@pytest.mark.parametrize(("order", "before"), [("suite", ["sgd"]), ("interleaved", ["sgd", "adam"])])
def test_a_result_that_cannot_be_stored_ends_the_run(
    write_suite: Callable[..., Path], order: str, before: list[str]
) -> None:
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam"]\n')
    started: list[str] = []

    class InTheWay(benchmnist.Observer):
        def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:  # noqa: ARG002
            (path / "cases").rmdir()
            (path / "cases").write_text("a file where a folder should be", "utf-8")

        def case_started(self, case: Case) -> None:
            started.append(case.id)

    with pytest.raises(StoreError, match=rf"cannot write .*mnist__fc__{before[-1]}\.json"):  # the first to end
        run(path, observer=InTheWay(), order=order)
    assert started == [f"mnist/fc/{name}" for name in before]


@pytest.mark.parametrize(
    ("order", "others", "again"),
    [
        ("suite", {"sgd": 2}, [("adam", 0), ("adam", 1), ("rmsprop", 0), ("rmsprop", 1)]),
        ("interleaved", {"sgd": 1, "rmsprop": 2}, [("adam", 1), ("sgd", 1)]),  # whole trials are kept, too
    ],
)
def test_an_interruption_keeps_what_was_done(
    write_suite: Callable[..., Path], order: str, others: dict[str, int], again: list[tuple[str, int]]
) -> None:
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam", "rmsprop"]\n')

    class Impatient(benchmnist.Observer):
        def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
            if (case.optimizer.name, seed, result.epoch) == ("adam", 1, 1):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, observer=Impatient(), order=order)
    result = benchmnist.load_run(path.parent / "runs")
    assert result.record.status == "interrupted"
    statuses = {case.case.optimizer.name: case.status for case in result.cases}
    whole = {name: "completed" if trials == 2 else "interrupted" for name, trials in others.items()}
    assert statuses == whole | {"adam": "interrupted"}
    kept = {
        case.case.optimizer.name: [(trial.status, len(trial.epochs)) for trial in case.trials]
        for case in result.cases
    }
    trials = {name: [("completed", 2)] * count for name, count in others.items()}
    assert kept == trials | {"adam": [("completed", 2), ("interrupted", 1)]}
    benchmarks = strict_json(result.path / "benchmark.json")["benchmarks"]
    timed = {b["extra_info"]["optimizer"]: (b["extra_info"]["status"], b["stats"]["data"]) for b in benchmarks}
    assert timed == {  # also of the cases that pytest had not come to
        case.case.optimizer.name: (case.status, [e.seconds for trial in case.trials for e in trial.epochs])
        for case in result.cases
    }
    assert {b["fullname"] for b in benchmarks} == {f"{path.name}::{case.id}" for case in result.cases}
    seen: list[tuple[str, int, int]] = []

    class Listener(benchmnist.Observer):
        def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
            seen.append((case.optimizer.name, seed, result.epoch))

    other = "interleaved" if order == "suite" else "suite"
    with pytest.raises(BenchmnistError, match=f"begun with order = '{order}', and cannot go on with '{other}'"):
        run(path, resume=True, order=other)
    ended = run(path, resume=True, observer=Listener())
    assert (ended.record.order, ended.record.status) == (order, "completed")
    assert seen == [(*trial, epoch) for trial in again for epoch in (1, 2)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"seeds": 0}, "at least one seed"),
        ({"seeds": [1, 1]}, "duplicate seed 1"),
        ({"epochs": 0}, "greater than 0"),
    ],
)
def test_overrides_are_held_to_what_a_suite_may_say(
    write_suite: Callable[..., Path], options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        run(write_suite(HEAD + FC_SGD), **options)


def test_overrides(write_suite: Callable[..., Path]) -> None:
    suite = benchmnist.load_suite(write_suite(HEAD + FC_SGD))
    result = run(Path(suite.file), seeds=[5], epochs=1, engine="dataloader", checkpoints=False)
    (case,) = result.cases
    assert [(trial.seed, len(trial.epochs)) for trial in case.trials] == [(5, 1)]
    assert case.engine == "dataloader"
    assert not (result.path / "checkpoints").exists()


def test_a_plan_is_trained_as_it_is(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    suite = benchmnist.load_suite(write_suite())
    plan = prepare(suite, RunOptions(device="cpu")).plan
    case = plan.cases[1].model_copy(update={"seeds": (5,), "epochs": 1})
    plan = replace(plan, cases=(case,))
    run = benchmnist.run(plan, device="cpu", executor="inline", out=tmp_path / "runs")
    assert [result.case for result in run.cases] == [case] == [*run.record.plan]
    assert [trial.seed for trial in run.cases[0].trials] == [5]
    changes: dict[str, Any] = {"seeds": (1,), "set": "defaults.epochs=2", "resume": True, "control": True}
    for name, value in changes.items():
        with pytest.raises(ValueError, match=f"{name}: the suite is already planned; pass the suite"):
            benchmnist.run(plan, device="cpu", **{name: value})


def test_a_run_records_the_contents_of_its_datasets(small_run: RunResult) -> None:
    assert {*small_run.record.data} == {"mnist"}
    assert re.fullmatch(r"[0-9a-f]{32}", small_run.record.data["mnist"])


UNUSUAL = """
import torch
from torch import nn
from benchmnist import ModelSpec, hookimpl

class Silent(nn.Linear):
    def forward(self, x): return super().forward(x.flatten(1))
    def train(self, mode=True): super().train(mode)  # returns nothing
    def eval(self): super().eval()

class Complex(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(inputs, outputs, dtype=torch.complex64))
    def forward(self, x): return (x.flatten(1).to(torch.complex64) @ self.weight).real

class Sparse(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.table, self.last = nn.EmbeddingBag(256, 8, sparse=True), nn.Linear(8, outputs)
    def forward(self, x): return self.last(self.table((255 * x).flatten(1).long()))

def made(kind):
    return lambda input_shape, num_classes: kind(784, num_classes)

@hookimpl
def benchmnist_models():
    kinds = {"silent": Silent, "complex": Complex, "sparse": Sparse}
    return [ModelSpec(name=name, summary="", build=made(kind)) for name, kind in kinds.items()]
"""


def test_unusual_models_train_alike_on_every_plain_engine(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin("unusual", UNUSUAL)
    models = 'models = ["silent", "complex", "sparse"]\noptimizers = ["sgd"]\nengines = ["dataloader", "resident"]'
    path = write_suite(f"{HEAD}[[cases]]\n{models}\n")
    found = benchmnist.run(path, device="cpu", executor="inline", seeds=1)
    assert [(case.id, case.error) for case in found.cases if case.status != "completed"] == []
    figures = [[epoch.train_loss for epoch in case.trials[0].epochs] for case in found.cases]
    assert figures[::2] == [pytest.approx(losses, rel=1e-5) for losses in figures[1::2]]


def test_a_last_batch_of_one_is_refused_before_training_where_the_model_refuses_it(
    write_suite: Callable[..., Path],
) -> None:
    text = HEAD.replace("train_size = 300", "batch_size = 100\ntrain_size = 301")
    path = write_suite(f'{text}[[cases]]\nmodels = ["fc-bn", "fc"]\noptimizers = ["sgd"]\n')
    with pytest.raises(SuiteError, match=r":7: defaults.batch_size: the last batch has one of the 301 training"):
        prepare(path, RunOptions(device="cpu"))
    prepare(path, RunOptions(device="cpu", set=("cases.0.models=['fc']",)))
    tested = ("defaults.train_size=300", "defaults.test_size=101", "defaults.evaluate_in='train'")
    with pytest.raises(SuiteError, match="the last batch has one of the 101 test images, and 'fc-bn' cannot"):
        prepare(path, RunOptions(device="cpu", set=tested))
