"""An exception in our own process fails its case and the run, and is named; no other case is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import benchmnist
from benchmnist.executors import inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import CaseResult, EpochResult, RunResult
    from benchmnist.suites.cases import Case

SUITE = """
[suite]
name = "own-errors"
[defaults]
epochs = 1
seeds = 1
train_size = 100
test_size = 100
[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam", "momentum"]
"""
CASES = ["mnist/logistic/sgd", "mnist/logistic/adam", "mnist/logistic/momentum"]


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


class Broken(benchmnist.Observer):
    """Raises in one of its methods, for one of the cases."""

    def __init__(self, where: str, error: BaseException) -> None:
        self.where, self.error = where, error

    def happens(self, where: str, case_id: str) -> None:
        if (where, case_id) == (self.where, CASES[1]):
            raise self.error

    def case_started(self, case: Case) -> None:
        self.happens("case_started", case.id)

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:  # noqa: ARG002
        self.happens("epoch_ended", case.id)

    def case_ended(self, result: CaseResult) -> None:
        self.happens("case_ended", result.id)


def statuses(run: RunResult) -> list[str]:
    return [run[case].status for case in CASES]


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ("case_started", ValueError("cannot read \udcff\0\x1b\nmore"), "ValueError: cannot read \\udcff"),
        ("epoch_ended", UnprintableError(), "UnprintableError: UnprintableError"),
        ("case_ended", ExceptionGroup("several", [KeyError("x" * 10**6)]), "ExceptionGroup: several"),
        ("case_ended", SystemExit(0), "SystemExit: 0"),
    ],
)
def test_an_observer_that_raises(
    write_suite: Callable[..., Path], where: str, error: BaseException, said: str
) -> None:
    run = benchmnist.run(write_suite(SUITE), device="cpu", executor="inline", observer=Broken(where, error))
    recorded = "completed" if where == "case_ended" else "failed"  # it was stored before it was told
    assert (run.record.status, statuses(run)) == ("failed", ["completed", recorded, "completed"])
    assert any(f"an error of BenchMNIST itself at {CASES[1]}: {said}" in note for note in run.record.notes)
    if recorded == "failed":
        assert str(run[CASES[1]].error).startswith(said)


def test_an_executor_that_raises_is_named_by_the_command(
    write_suite: Callable[..., Path], invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(self: Any, tasks: Iterator[Case]) -> Any:
        for task in tasks:
            if task.id == CASES[1]:
                raise OverflowError("timeout is too large")
            yield from self._train(task)

    monkeypatch.setattr(inline.InlineExecutor, "execute", execute)
    done = invoke("run", write_suite(SUITE), "--device=cpu", "--executor=inline")
    assert done.exit_code == 1, done.output
    assert "OverflowError: timeout is too large" in done.output
    (path,) = (file.parent for file in (write_suite(SUITE).parent / "runs").rglob("run.json"))
    assert statuses(benchmnist.load_run(path)) == ["completed", "failed", "completed"]
