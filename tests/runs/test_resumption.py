"""What may be resumed, by its plan: nothing is trained here."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from made_up import made_up_run, seeds_result

from benchmnist.errors import BenchmnistError
from benchmnist.runs.resumption import lost_cases, refuse_another_plan
from benchmnist.runs.searches import Search
from benchmnist.runs.store import RunFolder, load_record

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case

SGD, ADAM = (seeds_result("fc", name, [90.0, 91.0, 92.0]) for name in ("sgd", "adam"))


def changed(result: CaseResult, **fields: Any) -> Case:
    return result.case.model_copy(update=fields)


def stored(path: Path, *results: CaseResult) -> RunResult:
    run = made_up_run(results).model_copy(update={"path": path})
    folder = RunFolder(path)
    folder.make()
    folder.write_record(run.record)
    for result in results:
        folder.write_case(result)
    return run


def refusal(run: RunResult, *cases: Case) -> str:
    with pytest.raises(BenchmnistError) as refused:
        refuse_another_plan(run.path, run.record, cases)
    return str(refused.value)


def test_more_cases_more_seeds_and_other_names_go_on(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", SGD)
    sgd = SGD.case
    renamed = sgd.model_copy(
        update={
            "id": "mnist/fc/other",
            "optimizer": sgd.optimizer.model_copy(update={"name": "other", "version": "9"}),
        }
    )
    for cases in (
        [sgd],
        [ADAM.case, sgd],
        [changed(SGD, seeds=(2, 0, 1, 5))],
        [changed(SGD, expect={"accuracy": ">= 90"}, baseline="adam", margin=0.1)],
        [renamed],
    ):
        refuse_another_plan(run.path, run.record, cases)


@pytest.mark.parametrize("value", [math.inf, math.nan, (1, (2,)), 1.0, date(2026, 1, 1), None])
def test_any_parameter_is_the_same_when_it_is_read_again(tmp_path: Path, value: object) -> None:
    optimizer = SGD.case.optimizer.model_copy(update={"params": {"x": value}})
    case = changed(SGD, optimizer=optimizer)
    run = stored(tmp_path / "run", SGD.model_copy(update={"case": case}))
    refuse_another_plan(run.path, load_record(run.path), [case])


@pytest.mark.parametrize(
    ("fields", "difference"),
    [
        ({"epochs": 3}, "epochs was 1, is now 3"),
        ({"seeds": (0, 1)}, "seeds was [0, 1, 2], is now [0, 1]"),
        ({"seeds": (0, 1, 7)}, "seeds was [0, 1, 2], is now [0, 1, 7]"),
        ({"label_smoothing": 0.1, "epochs": 2}, "epochs was 1, is now 2; label smoothing was 0.0, is now 0.1"),
    ],
)
def test_a_case_that_has_changed_is_named_with_its_difference(
    tmp_path: Path, fields: dict[str, Any], difference: str
) -> None:
    run = stored(tmp_path / "run", SGD, ADAM)
    said = refusal(run, changed(SGD, **fields), ADAM.case)
    assert said == (
        f"{run.path} cannot be resumed: 1 of its 2 cases is no longer planned: mnist/fc/sgd ({difference}); pass "
        "the suite and the options that it was begun with, or remove --resume to begin a new run"
    )


def test_a_case_that_is_missing_is_named(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", SGD, ADAM)
    assert "2 of its 2 cases are no longer planned, such as mnist/fc/sgd; pass" in refusal(run)


def test_a_case_that_failed_may_be_mended(tmp_path: Path) -> None:
    failed = SGD.model_copy(update={"status": "crashed", "trials": ()})
    run = stored(tmp_path / "run", failed, ADAM)
    assert lost_cases(run.path, run.record, [changed(SGD, epochs=3), ADAM.case]) == []
    assert lost_cases(run.path, run.record, [SGD.case]) == [ADAM.case]


def test_a_run_of_tune_is_not_resumed_as_another(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", SGD)
    search = Search(dataset="mnist", model="fc", method="sgd", sampler="grid", space={}, attempts=())
    tuned = run.record.model_copy(update={"searches": (search,)})
    refuse_another_plan(run.path, tuned, [SGD.case], [search])
    with pytest.raises(
        BenchmnistError, match="pass --resume to `benchmnist tune`, or remove it to begin a new run"
    ):
        refuse_another_plan(run.path, tuned, [SGD.case])
