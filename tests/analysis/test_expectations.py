from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_up import made_up_trial
from training_support import make_case

from benchmnist.analysis.expectations import missed
from benchmnist.errors import SuiteError
from benchmnist.preflight.prepare import prepare
from benchmnist.runs.results import CaseResult
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


def result(**expect: str) -> CaseResult:
    """Accuracies of 90 and 80 %, losses of 0.1 and 0.2, 200 images a second; and one seed that diverged."""
    trials = tuple(made_up_trial(s, 90.0 - 10 * s, loss=0.1 * (s + 1), seconds=0.5) for s in (0, 1))
    case = make_case(seeds=(0, 1), expect=expect)
    return CaseResult(case=case, status="completed", trials=trials, train_size=100)


@pytest.mark.parametrize(
    ("expect", "sentences"),
    [
        ({}, []),
        ({"accuracy": ">= 80"}, []),
        ({"accuracy": "> 80"}, ["expected accuracy > 80, got 80.00 % for seed 1"]),
        ({"accuracy": ">=95.5"}, ["expected accuracy >=95.5, got 90.00 % for seed 0, 80.00 % for seed 1"]),
        ({"train_loss": "< 0.15"}, ["expected train_loss < 0.15, got 0.2000 nats for seed 1"]),
        ({"train_loss": "<= 2e-1"}, []),
        ({"images_per_second": ">= 200"}, []),
        (
            {"images_per_second": "> 1e6", "train_loss": "< 1"},
            ["expected images_per_second > 1e6, got 200 images/s"],
        ),
    ],
)
def test_what_is_missed_is_said_with_the_seeds(expect: dict[str, str], sentences: list[str]) -> None:
    assert list(missed(result(**expect))) == sentences


def test_a_seed_without_the_figure_has_missed_it() -> None:
    whole = result(accuracy=">= 1")
    diverged = whole.trials[1].model_copy(update={"status": "diverged"})
    case = whole.model_copy(update={"trials": (whole.trials[0], diverged)})
    assert missed(case) == ("expected accuracy >= 1, got no value for seed 1",)


SUITE = """
[suite]
name = "x"
[defaults]
epochs = 1
seeds = 1
train_size = 200
test_size = 100
expect.accuracy = ">= 1"
expect.train_loss = "< 50"
[models.fc]
expect.accuracy = ">= 2"
[optimizers.adam]
expect.accuracy = ">= 3"
[[cases]]
models = ["fc", "logistic"]
optimizers = ["sgd", "adam"]
[[cases]]
models = ["cnn"]
optimizers = ["adam"]
expect.accuracy = ">= 101"
"""


def test_the_nearest_expectation_counts(write_suite: Callable[..., Path]) -> None:
    plan = prepare(write_suite(SUITE), RunOptions(device="cpu")).plan
    assert {case.id: case.expect for case in plan.cases} == {
        "mnist/fc/sgd": {"accuracy": ">= 2", "train_loss": "< 50"},
        "mnist/fc/adam": {"accuracy": ">= 3", "train_loss": "< 50"},
        "mnist/logistic/sgd": {"accuracy": ">= 1", "train_loss": "< 50"},
        "mnist/logistic/adam": {"accuracy": ">= 3", "train_loss": "< 50"},
        "mnist/cnn/adam": {"accuracy": ">= 101", "train_loss": "< 50"},
    }


def test_run_honours_expectations(invoke: Callable[..., Result], write_suite: Callable[..., Path]) -> None:
    done = invoke("run", write_suite(SUITE), "--device", "cpu", "--executor", "inline", "--no-checkpoints")
    assert done.exit_code == 1
    assert "mnist/cnn/adam missed: expected accuracy >= 101, got " in done.stdout
    assert done.stdout.count(" missed") == 2  # in the table, and in words
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("expect.accuracy = 97.0", 'expect.accuracy: must be a comparison, such as ">= 97.0", not 97.0'),
        ('expect.accuracy = "97.0"', "must be a comparison"),
        ('expect.accuracy = "== 97"', "must be a comparison"),
        (
            'expect.acuracy = ">= 97.0"',
            "expect.acuracy: no metric named 'acuracy'. Did you mean 'accuracy'? Choose from: ",
        ),
    ],
)
def test_bad_expectations(write_suite: Callable[..., Path], line: str, expected: str) -> None:
    path = write_suite(SUITE.replace('expect.accuracy = ">= 1"', line))
    with pytest.raises(SuiteError, match=r"defaults\.expect") as caught:
        prepare(path, RunOptions(device="cpu"))
    (problem,) = caught.value.problems
    assert problem.line == 9
    assert expected in str(problem)
