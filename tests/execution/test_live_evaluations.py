"""Evaluations within an epoch are told as they happen, by every executor of ours, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from training_support import Told, component, execute, make_case

from benchmnist.execution.bundling import together
from benchmnist.execution.dispatch import Dispatcher
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.extensions.isolation import read_precision
from benchmnist.extensions.registry import find_plugins
from benchmnist.runs.results import Evaluation
from benchmnist.training import telling
from benchmnist.training.data import default_data_root

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

CASE = make_case(epochs=2, seeds=(3, 0), evaluate_every=4)  # of 10 steps an epoch
FIRST = "a/case 3: 4"


def within(result: CaseResult) -> list[tuple[str, int, Evaluation]]:
    """The evaluations of a case that are not those after its epochs."""
    return [
        (result.id, trial.seed, evaluation)
        for trial in result.trials
        for epoch in trial.epochs
        for evaluation in epoch.evaluations[:-1]
    ]


def workplace(folder: Path) -> Workplace:
    return Workplace("cpu", default_data_root(), folder, checkpoints=False)


def run_all(dispatcher: Dispatcher, case: Case) -> None:
    for epoch in dispatcher.epochs(case):
        epoch.run()


def test_every_evaluation_is_told_before_the_epoch_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "INTERVAL", 0.0)
    with InlineExecutor(workplace(tmp_path)) as executor:
        (result,), told = execute(executor, CASE)
    steps = [4, 8, None, 12, 16, None]
    ends = iter([f"a/case {seed}.{epoch}" for seed in (3, 0) for epoch in (1, 2)])
    expected = [f"a/case {seed}: {step}" if step else next(ends) for seed in (3, 0) for step in steps]
    assert told.log == ["a/case started", *expected, "a/case completed"]
    assert told.evaluations == within(result)


@pytest.mark.parametrize("executor", [InlineExecutor, LocalExecutor])
def test_a_case_tells_of_some_of_its_evaluations_however_fast_it_is(
    tmp_path: Path, executor: type[InlineExecutor | LocalExecutor]
) -> None:
    with executor(workplace(tmp_path)) as executing:
        (result,), told = execute(executing, CASE)
    assert told.log.index(FIRST) < told.log.index("a/case 3.1")
    known = iter(within(result))
    assert all(each in known for each in told.evaluations)  # in their order, each once


@pytest.mark.parametrize("executor", [InlineExecutor, LocalExecutor])
def test_the_rows_of_a_stack_are_told_as_trials_of_their_cases(
    tmp_path: Path, executor: type[InlineExecutor | LocalExecutor]
) -> None:
    options = {"engine": "stacked", "evaluate_every": 4, "seeds": (3, 0)}
    cases = [make_case(id=f"a/{lr}", optimizer=component("sgd", lr=lr), **options) for lr in (0.1, 0.01)]
    told = Told()
    with executor(workplace(tmp_path)) as executing:
        dispatcher = Dispatcher(executing, told, together=together(find_plugins()))
        dispatcher.expect(cases)
        for case in cases:
            run_all(dispatcher, case)
    first = [(case.id, seed) for case in cases for seed in case.seeds]
    assert [(case_id, seed) for case_id, seed, each in told.evaluations if each.step == 4] == first
    known = [each for result in told.ended for each in within(result)]
    assert all(each in known for each in told.evaluations)


def test_of_very_many_evaluations_the_last_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "INTERVAL", 0.0)
    told: list[object] = []
    teller = telling.Telling(told.append)
    rows = [(seed, Evaluation(step=4, seconds=0.1, train_loss=1.0)) for seed in range(3 * telling.MOST)]
    teller.add(rows)
    teller.add(rows[:2])
    assert told == [tuple(rows[-telling.MOST :]), tuple(rows[:2])]


class Broken(Told):
    def evaluation_ended(self, case: Case, seed: int, evaluation: Evaluation) -> None:
        raise ZeroDivisionError(f"{case.id} {seed} {evaluation.step}")


@pytest.mark.parametrize("executor", [InlineExecutor, LocalExecutor])
def test_an_error_of_the_observer_is_not_one_of_the_training(
    tmp_path: Path, executor: type[InlineExecutor | LocalExecutor]
) -> None:
    told, before = Broken(), read_precision(torch)
    with executor(workplace(tmp_path)) as executing:
        dispatcher = Dispatcher(executing, told)
        dispatcher.expect([CASE])
        with pytest.raises(ZeroDivisionError, match="a/case 3 4"):
            run_all(dispatcher, CASE)
        assert read_precision(torch) == before, "the training under way has put it back"
    assert told.ended == []
