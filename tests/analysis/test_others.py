"""Results of others beside a run's own: in ladders only, where they were trained in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import benchmnist
from benchmnist.analysis.analysis import Analysis
from benchmnist.errors import StoreError, SuiteError
from benchmnist.reports.heat_map import heat_table
from benchmnist.reports.markdown import report
from benchmnist.runs.packed import pack
from benchmnist.runs.store import RECORDED, load_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import RunResult

SUITE = """
[suite]
name = "few"

[defaults]
seeds = 2
test_size = 50
stop_at_target = true

[[cases]]
problems = ["mnist-few"]
optimizers = ["sgd", "adam"]
train_size = 100
steps = 4
evaluate_every = 2
target_accuracy = 3.0
"""
OPTIONS = benchmnist.RunOptions(device="cpu", executor="inline", checkpoints=False)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with recorded results beside it, of sgd and adam."""
    folder = tmp_path_factory.mktemp("few")
    path = folder / "few.toml"
    path.write_text(SUITE, "utf-8")
    pack(benchmnist.run(path, OPTIONS, out=folder / "runs"), folder / "few.zip", curves=False)
    path.write_text(SUITE.replace('name = "few"', 'name = "few"\nrecorded = "few.zip"'), "utf-8")
    return path


@pytest.fixture(scope="module")
def mine(suite: Path) -> RunResult:
    """A run of momentum and adam, which is recorded, too."""
    return benchmnist.run(suite, OPTIONS, out=suite.parent / "runs", optimizers=("momentum", "adam"))


def test_methods_that_a_run_has_not_are_in_its_ladders_and_nowhere_else(mine: RunResult) -> None:
    analysis = Analysis(mine)
    assert analysis.ladders is not None
    recorded = {method: ladder["mnist-few"].recorded for method, ladder in analysis.ladders.by_method.items()}
    assert recorded == {"momentum": False, "adam": False, "sgd": True}
    assert {score.method: score.recorded for score in analysis.ladders.scores} == recorded
    judged = {each.case.method for verdict in analysis.verdicts() for each in (verdict.one, verdict.other)}
    assert judged == {"momentum", "adam"}
    assert {summary.result.case.method for summary in analysis.summaries} == {"momentum", "adam"}
    environment = mine.cases[0].environment
    versions = f"BenchMNIST {mine.record.benchmnist} and torch {environment['torch']}"
    assert analysis.others.source.endswith(f" with {versions} on {environment['device_name']}")
    assert analysis.others.left_out == ""
    table = heat_table(analysis)
    assert table is None  # three cells say no more than the ladders
    assert "sgd (recorded)" in report(analysis, None)


def test_those_that_were_trained_otherwise_are_left_out_with_a_word(suite: Path, mine: RunResult) -> None:
    other = benchmnist.run(suite, OPTIONS, out=suite.parent / "other", optimizers=("momentum",),
                           set=("cases.0.steps=2", "cases.0.evaluate_every=1"))  # fmt: skip
    found = Analysis(other).others
    assert (found.results, found.searches, found.source) == ((), (), "")
    assert found.left_out == "recorded results of sgd, adam are left out: steps (2 here, 4 there) differ"
    assert mine.record.recorded


def test_a_run_keeps_a_copy_and_a_packed_one_does_not(suite: Path, mine: RunResult) -> None:
    assert (mine.path / RECORDED).read_bytes() == (suite.parent / "few.zip").read_bytes()
    packed = suite.parent / "mine.zip"
    pack(mine, packed)
    assert Analysis(load_run(packed)).others.results == ()
    (mine.path / RECORDED).write_bytes(b"damaged")
    with pytest.raises(StoreError, match="it is no zip file, or damaged"):
        _ = Analysis(mine).ladders
    (mine.path / RECORDED).write_bytes((suite.parent / "few.zip").read_bytes())


def test_recorded_results_are_trained_again_by_the_name_of_their_suite(
    suite: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmnist.suites.files.PACKAGE_SUITES", (suite.parent,))
    done = invoke("verify", "few", "--trials", "2", "--seed", "3", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert "consistent: 2 of 12 trials" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"few.zip"', '"none.zip"', "suite.recorded: 'none.zip' is not beside the suite; remove the line"),
        ('"few.zip"', '"../few.zip"', "suite.recorded: "),
        (
            'problems = ["mnist-few"]',
            'models = ["logistic"]',
            "suite.recorded: is shown beside results of problems",
        ),
    ],
)
def test_mistakes_are_said_before_any_training(suite: Path, old: str, new: str, said: str) -> None:
    path = suite.with_name("wrong.toml")
    path.write_text(suite.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(SuiteError) as error:
        benchmnist.run(path, OPTIONS, out=suite.parent / "wrong")
    assert said in str(error.value)
    assert not (suite.parent / "wrong").exists()
