from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmnist.execution.estimates import epoch_seconds
from benchmnist.preflight.check import Work
from benchmnist.runs.store import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.runs.results import RunResult


def works(**flop: float) -> dict[str, Work]:
    return {f"mnist/fc/{name}": Work(parameters=1, steps=10, flop=value) for name, value in flop.items()}


def test_without_an_earlier_run_the_work_says_it(small_run: RunResult, tmp_path: Path) -> None:
    cases = small_run.record.plan
    seconds = epoch_seconds(cases, works(sgd=1e12, adam=2e12), tmp_path)
    assert list(seconds) == ["mnist/fc/sgd", "mnist/fc/adam"]
    assert seconds["mnist/fc/adam"] == pytest.approx(2 * seconds["mnist/fc/sgd"], rel=0.01)
    # What is not known is taken to be as long as the longest: it is begun early.
    assert epoch_seconds(cases, works(sgd=1e12), tmp_path)["mnist/fc/adam"] == pytest.approx(5.0, rel=0.01)
    assert epoch_seconds(cases, {}, tmp_path) == {"mnist/fc/sgd": 0.0, "mnist/fc/adam": 0.0}


def test_what_was_measured_is_believed_and_the_rest_scaled_by_it(small_run: RunResult) -> None:
    sgd, adam = small_run.cases
    work = works(sgd=1e12, adam=2e12)
    measured = [epoch.seconds for trial in sgd.trials for epoch in trial.epochs]
    seconds = epoch_seconds(small_run.record.plan, work, small_run.path.parents[1])
    assert seconds[sgd.id] == pytest.approx(sum(measured) / len(measured))
    longer = sgd.case.model_copy(update={"epochs": 9, "seeds": (7,)})
    assert epoch_seconds([longer], work, small_run.path.parents[1]) == {sgd.id: seconds[sgd.id]}
    other = adam.case.model_copy(update={"batch_size": 10})
    scaled = epoch_seconds([sgd.case, other], work, small_run.path.parents[1])
    assert scaled[other.id] == pytest.approx(2 * seconds[sgd.id], rel=0.01)


def test_of_several_runs_the_newest_counts_and_what_is_damaged_does_not(
    small_run: RunResult, tmp_path: Path
) -> None:
    sgd = small_run.cases[0]
    for name, factor in (("20260101-000000-aaaa", 1.0), ("20260102-000000-bbbb", 3.0)):
        folder = RunFolder(tmp_path / "small" / name)
        folder.make()
        folder.write_record(small_run.record)
        trials = tuple(
            trial.model_copy(
                update={"epochs": tuple(e.model_copy(update={"seconds": factor}) for e in trial.epochs)}
            )
            for trial in sgd.trials
        )
        folder.write_case(sgd.model_copy(update={"trials": trials}))
    assert epoch_seconds([sgd.case], {}, tmp_path) == {sgd.id: 3.0}
    (tmp_path / "small" / "20260102-000000-bbbb" / "cases" / "mnist__fc__sgd.json").write_text("{", "utf-8")
    assert epoch_seconds([sgd.case], {}, tmp_path) == {sgd.id: 1.0}
