from __future__ import annotations

from typing import TYPE_CHECKING, Any

from made_up import made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.profiles import profiles, unit_of_efforts
from benchmnist.analysis.targets import times_to_target
from benchmnist.reports.extra_tables import EXTRA_TABLES

if TYPE_CHECKING:
    from benchmnist.analysis.profiles import Profile
    from benchmnist.runs.results import CaseResult


def case(accuracies: list[float | None], seconds: float = 2.0, **options: Any) -> CaseResult:
    """Five epochs that rise evenly: a seed that ends with 100 % is at 60 % after the third."""
    model, method = str(options.pop("model", "fc")), str(options.pop("method", "adam"))
    return seeds_result(
        model, method, accuracies, epochs=5, seconds=seconds, target_accuracy=60.0, baseline="sgd", **options
    )


def found(*cases: CaseResult) -> dict[str, Profile]:
    return {profile.method: profile for profile in profiles(times_to_target(cases)).compared}


def test_a_profile_is_by_the_whole_training_of_the_baseline() -> None:
    by_method = found(case([100.0, 50.0], 2.0, method="sgd"), case([100.0, 75.0], 4.0))
    assert by_method["sgd"].points == ((0.6, 0.5),)  # 6 of 10 s; the other seed never
    assert by_method["adam"].points == ((1.2, 0.5), (1.6, 1.0))
    assert [by_method["adam"].share(time) for time in (0.5, 1.2, 1.5, 1.6, 9)] == [0.0, 0.5, 0.5, 1.0, 1.0]


def test_a_profile_does_not_change_with_whom_it_stands_beside() -> None:
    sgd, adam, faster = case([100.0], method="sgd"), case([100.0]), case([100.0], 0.1, method="new")
    assert found(sgd, adam)["adam"] == found(sgd, adam, faster)["adam"]


def test_a_profile_gathers_the_groups_each_by_its_own_reference() -> None:
    groups = [
        case([100.0], seconds, model=model, method=method)
        for model, times in (("fc", (1.0, 2.0)), ("cnn", (10.0, 10.0)))
        for method, seconds in zip(("sgd", "adam"), times, strict=True)
    ]
    adam = found(*groups)["adam"]
    assert (adam.problems, adam.points) == (2, ((0.6, 0.5), (1.2, 1.0)))


def test_a_baseline_that_misses_the_target_is_a_unit_and_one_that_diverges_lends_that_of_the_next() -> None:
    adam, momentum = case([100.0, 100.0], 4.0), case([75.0, 75.0], 2.0, method="momentum")
    missed = found(case([50.0, 50.0], 2.0, method="sgd"), adam, momentum)
    assert missed["adam"].points == ((1.2, 1.0),)  # 12 s, of the baseline's 10
    diverged = found(case([None, None], 2.0, method="sgd"), adam, momentum)
    assert diverged["adam"].points == ((0.6, 1.0),)  # of its own 20
    assert diverged["momentum"].points == ((0.4, 1.0),)
    assert diverged["sgd"].points == ()


def test_without_a_whole_training_the_unit_is_that_of_as_many_epochs() -> None:
    diverged = case([None, None], 2.0, method="sgd")  # in the first epoch of five
    assert unit_of_efforts([case([None], 4.0), diverged]) == 10.0
    assert unit_of_efforts([diverged, case([None, 100.0], 4.0)]) == 20.0


def test_only_methods_that_were_tried_on_the_same_problems_are_compared() -> None:
    """One that was tried on the easy model only would be at 100 %."""
    easy = [case([100.0] * 3, method=method) for method in ("sgd", "adam", "easy")]
    hard = [case([accuracy] * 3, model="cnn", method=m) for m, accuracy in (("sgd", 50.0), ("adam", 100.0))]
    shown = profiles(times_to_target([*easy, *hard]))
    assert [(p.method, p.problems, p.share(9)) for p in shown.compared] == [("sgd", 6, 0.5), ("adam", 6, 1.0)]
    assert shown.left_out == (("easy", 3),)
    (table,) = EXTRA_TABLES["profiles"](Analysis(made_up_run([*easy, *hard])))
    assert [row[0] for row in table.rows] == ["sgd", "adam"]
    assert "left out, since not tried on the same problems: easy (3 problems)" in table.about


def test_the_problems_are_those_that_give_most_trials() -> None:
    first = [case([100.0] * 3, method=method) for method in ("sgd", "adam", "momentum")]
    alone = case([100.0] * 3, model="cnn", method="adam-wd")
    more = case([100.0] * 3, model="cnn", method="adam")  # tried on both, compared on the first
    shown = profiles(times_to_target([*first, alone, more]))
    assert [(p.method, p.problems) for p in shown.compared] == [("sgd", 3), ("adam", 3), ("momentum", 3)]
    assert shown.left_out == (("adam-wd", 3),)
    assert profiles([]).compared == ()
    only = profiles(times_to_target([alone]))
    assert ([(p.method, p.problems) for p in only.compared], only.left_out) == ([("adam-wd", 3)], ())


def test_a_seed_that_one_of_them_was_not_trained_with_is_no_common_problem() -> None:
    adam = case([100.0] * 3)
    cut = adam.model_copy(update={"status": "interrupted", "trials": adam.trials[:2]})
    assert [p.problems for p in found(case([100.0] * 3, method="sgd"), cut).values()] == [2, 2]
