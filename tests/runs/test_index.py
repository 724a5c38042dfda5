"""The runs that there are: found, listed, taken over from, removed."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import benchmnist
from benchmnist.errors import StoreError
from benchmnist.runs.index import remove_run, size_of, stored_runs
from benchmnist.runs.store import RunFolder, find_run, load_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case


@pytest.fixture
def runs(small_run: RunResult, tmp_path: Path) -> Path:
    """A folder with two runs, the older of them without its first case."""
    out = tmp_path / "runs"
    for name in ("20200101-000000-aaaa", "20300101-000000-bbbb"):
        shutil.copytree(small_run.path, out / "small" / name)
    (out / "small" / "20200101-000000-aaaa" / "cases" / "mnist__fc__sgd.json").unlink()
    return out


def test_a_run_is_found_by_its_path_its_name_or_the_end_of_it(runs: Path) -> None:
    old, new = runs / "small" / "20200101-000000-aaaa", runs / "small" / "20300101-000000-bbbb"
    assert find_run(str(old), runs) == find_run("20200101-000000-aaaa", runs) == find_run("aaaa", runs) == old
    assert find_run(runs) == find_run(runs / "small", runs) == find_run("bbbb", runs) == new
    with pytest.raises(StoreError, match=r"no run named '.*' in .*; `benchmnist runs` lists them"):
        find_run("cccc", runs)
    shutil.copytree(old, runs / "other" / "20200202-000000-aaaa")
    with pytest.raises(StoreError, match=r"ambiguous run name aaaa: .*; name one of them"):
        find_run("aaaa", runs)


def test_runs_are_listed_the_newest_first(runs: Path, small_run: RunResult) -> None:
    new, old = stored_runs(runs)
    assert (new.path.name, old.path.name) == ("20300101-000000-bbbb", "20200101-000000-aaaa")
    assert (new.suite, new.status, new.done, new.planned) == ("small", "completed", 2, 2)
    assert (old.done, old.planned) == (1, 2)
    finals = [trial.epochs[-1].test_accuracy or 0 for trial in small_run["mnist/fc/adam"].trials]
    assert new.best is not None
    assert new.best[0] == pytest.approx(sum(finals) / 2)
    assert new.best[1] == "mnist/fc/adam"
    assert new.bytes == size_of(new.path) > 100_000
    assert stored_runs(runs / "nothing") == []


def record_of(run: Path, **change: object) -> None:
    """A record as an earlier version would have written it: without a checksum."""
    content = json.loads((run / "run.json").read_text("utf-8")) | {"schema_version": 1, **change}
    del content["checksum"]
    (run / "run.json").write_text(json.dumps(content), "utf-8")


def test_a_run_that_was_killed_and_one_that_is_damaged_are_listed_as_that(runs: Path) -> None:
    old, new = runs / "small" / "20200101-000000-aaaa", runs / "small" / "20300101-000000-bbbb"
    record_of(old, status="running")
    (new / "run.json").write_text("{", "utf-8")
    assert [run.status for run in stored_runs(runs)] == ["damaged", "killed"]
    with RunFolder(old).lock():
        assert [run.status for run in stored_runs(runs)] == ["damaged", "running"]
        with pytest.raises(StoreError, match="is being written by another process"):
            remove_run(old)
    assert load_run(old).cases


def test_a_run_that_is_removed_is_gone(runs: Path) -> None:
    new, old = stored_runs(runs)
    remove_run(new.path)
    assert not new.path.exists()
    assert [run.path for run in stored_runs(runs)] == [old.path]


SUITE = """
[suite]
name = "again"
[defaults]
epochs = 1
seeds = 2
train_size = 200
test_size = 100
[optimizers.sgd]
lr = 0.1
[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam"]
"""


def assert_same(result: CaseResult, run: RunResult, expected: CaseResult, of: RunResult) -> None:
    """Every figure, and the weights."""
    for trial, other in zip(result.trials, expected.trials, strict=True):
        assert (trial.seed, trial.status, trial.epochs) == (other.seed, other.status, other.epochs)
        weights = [folder.path / str(t.checkpoint) for folder, t in ((run, trial), (of, other))]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize("how", ["resume", "reuse"])
def test_cases_that_change_names_keep_their_weights(write_suite: Callable[..., Path], how: str) -> None:
    """One is called as another was, which has a third one's parameters now."""

    def run(*rates: float, **options: Any) -> RunResult:
        text = SUITE.partition("[optimizers.sgd]")[0]
        names = [*"abc"[: len(rates)]]
        for name, lr in zip(names, rates, strict=True):
            text += f'[optimizers.{name}]\nuse = "sgd"\nlr = {lr}\n'
        text += f'[[cases]]\nmodels = ["logistic"]\noptimizers = {names}\n'
        return benchmnist.run(write_suite(text), device="cpu", executor="inline", **options)

    first = run(0.1, 0.2)
    kept = {name: first.path.parent / f"kept-{name}" for name in "ab"}
    for name, path in kept.items():
        shutil.copyfile(first.path / str(first[f"mnist/logistic/{name}"].trials[0].checkpoint), path)
    changed = run(0.3, 0.1, 0.2, **({"resume": first.path} if how == "resume" else {"reuse": True}))
    weights = [changed.path / str(case.trials[0].checkpoint) for case in changed.cases]
    assert weights[1].read_bytes() == kept["a"].read_bytes()
    assert weights[2].read_bytes() == kept["b"].read_bytes()
    assert weights[0].read_bytes() not in [path.read_bytes() for path in kept.values()]
    assert changed["mnist/logistic/b"].trials[0].epochs == first["mnist/logistic/a"].trials[0].epochs


def test_a_result_without_the_times_that_are_asked_for_is_not_taken_over(write_suite: Callable[..., Path]) -> None:
    def run(seeds: int, *assignments: str) -> RunResult:
        options: Any = {"seeds": tuple(range(seeds)), "set": assignments, "reuse": True}
        return benchmnist.run(write_suite(SUITE), device="cpu", executor="inline", **options)

    run(2, "defaults.costs=false")
    for seeds in (1, 2, 2):  # of fewer seeds, of the same; and what has the times is taken over
        found = run(seeds, "defaults.costs=true")
        assert all(case.cost_seconds for case in found.cases)
    assert all(case.reused_from for case in found.cases)


def test_what_has_not_changed_is_taken_over_and_says_so(write_suite: Callable[..., Path]) -> None:
    started: list[str] = []

    class Listener(benchmnist.Observer):
        def case_started(self, case: Case) -> None:
            started.append(case.id)

    def run(text: str, *, reuse: bool = True) -> RunResult:
        started.clear()
        return benchmnist.run(write_suite(text), device="cpu", executor="inline", reuse=reuse, observer=Listener())

    first = run(SUITE)
    assert started == ["mnist/logistic/sgd", "mnist/logistic/adam"]
    changed = SUITE.replace("0.1", "0.2").replace("again", "renamed")
    second = run(changed)
    assert started == ["mnist/logistic/sgd"]
    name = f"again/{first.path.name}"
    adam = second["mnist/logistic/adam"]
    assert (adam.reused_from, second["mnist/logistic/sgd"].reused_from) == (name, None)
    assert_same(adam, second, first["mnist/logistic/adam"], first)
    third = run(changed)  # what was taken over once is of the run that trained it
    assert started == []
    assert third["mnist/logistic/adam"].reused_from == name
    assert third["mnist/logistic/sgd"].reused_from == f"renamed/{second.path.name}"
    measured = json.loads((third.path / "benchmark.json").read_text("utf-8"))["benchmarks"]
    assert measured[1]["extra_info"]["reused_from"] == name
    report = benchmnist.write_report(third).read_text("utf-8")
    assert f"`mnist/logistic/adam` was reused from `{name}`." in report
    assert "| reused " in report
    run(changed, reuse=False)
    assert len(started) == 2


def test_a_damaged_result_is_not_taken_over_and_left_where_it_is(write_suite: Callable[..., Path]) -> None:
    def run() -> RunResult:
        return benchmnist.run(write_suite(SUITE), device="cpu", executor="inline", reuse=True)

    first = run()
    file = first.path / "cases" / "mnist__logistic__sgd.json"
    file.write_text(file.read_text("utf-8").replace('"completed"', '"diverged"'), "utf-8")
    again = run()
    assert [case.reused_from is None for case in again.cases] == [True, False]
    assert file.is_file()
