from __future__ import annotations

from typing import TYPE_CHECKING

from made_up import seeds_result

from benchmnist.analysis.grid import full_grid

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

MODELS, METHODS = ("fc", "fc-bn", "cnn"), ("sgd", "momentum", "adam")


def suite() -> list[CaseResult]:
    return [seeds_result(model, method, [90.0, 91.0, 92.0]) for model in MODELS for method in METHODS]


def test_a_grid_has_a_case_for_each_method_in_each_group() -> None:
    grid = full_grid(suite())
    assert grid is not None
    assert (grid.methods, [model for _, model, _ in grid.groups]) == (METHODS, [*MODELS])
    assert [[result.id for result in row] for row in grid.rows] == [
        [f"mnist/{model}/{method}" for method in METHODS] for model in MODELS
    ]
    assert (grid.methods_left_out, grid.groups_left_out) == ((), ())


def test_a_method_that_some_group_lacks_is_left_out_and_named() -> None:
    grid = full_grid([*suite(), seeds_result("fc", "new", [99.0] * 3)])
    assert grid is not None
    assert (grid.methods, grid.methods_left_out) == (METHODS, ("new",))


def test_a_group_of_few_methods_does_not_leave_the_others_out() -> None:
    grid = full_grid([*suite(), seeds_result("resnet", "adam", [99.0] * 3)])
    assert grid is not None
    assert (grid.methods, len(grid.groups)) == (METHODS, 3)
    assert grid.groups_left_out == (("mnist", "resnet", ""),)


def test_a_group_whose_cases_differ_in_more_than_the_method_is_left_out_and_named() -> None:
    longer = [
        seeds_result("resnet", method, [99.0] * 3, epochs=epochs)
        for method, epochs in zip(METHODS, (1, 1, 5), strict=True)
    ]
    grid = full_grid([*suite(), *longer])
    assert grid is not None
    assert grid.groups_left_out == (("mnist", "resnet", ""),)
    assert full_grid([*suite()[3:], *longer]) is None


def test_a_case_that_lost_all_of_its_seeds_was_tried_and_one_that_was_not_reached_was_not() -> None:
    cases = suite()
    lost = seeds_result("cnn", "adam", [None] * 3)
    assert full_grid([*cases[:-1], lost]) is not None
    failed = lost.model_copy(update={"trials": (), "status": "failed"})
    assert full_grid([*cases[:-1], failed]) is not None
    interrupted = lost.model_copy(update={"trials": (), "status": "interrupted"})
    assert full_grid([*cases[:-1], interrupted]) is None
    assert full_grid(cases[:-1]) is None


def test_controls_are_left_out() -> None:
    control = seeds_result("fc", "sgd", [10.0] * 3, control=True, axes=("control",), first_seed=3)
    assert full_grid([*suite(), control]) == full_grid(suite())


def test_two_methods_or_two_groups_are_too_few() -> None:
    assert full_grid([result for result in suite() if result.case.method != "adam"]) is None
    assert full_grid([result for result in suite() if result.case.model.label != "cnn"]) is None
    assert full_grid([]) is None
