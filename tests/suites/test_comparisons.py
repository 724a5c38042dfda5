"""[[compare]]: which comparisons a suite names. Its wrong inputs are in test_wrong_inputs.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmnist.analysis.pairs import compared_cases
from benchmnist.analysis.verdicts import judge
from benchmnist.extensions.registry import find_plugins
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.runs.results import CaseResult
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import Plan, make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.suite import Point, SearchScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.suites.cases import Case

ROOT = Path(__file__).parents[2]
REGISTRY = find_plugins()
HEAD = '[suite]\nname = "x"\n'
CASES = '[[cases]]\nmodels = ["fc", "fc-bn"]\noptimizers = ["sgd", "adam", "momentum"]\n'
WITH_SGD = '[[compare]]\noptimizers = ["adam", "momentum"]\nwith = "sgd"\n'
WITH_FC = '[[compare]]\nmodels = ["fc-bn"]\nwith = "fc"\n'


def plan_of(text: str, options: RunOptions | None = None) -> Plan:
    path = Path("suite.toml")
    path.write_text(HEAD + text, "utf-8")
    plan = make_plan(read_suite(path), REGISTRY, options)
    assert plan.problems == ()
    return plan


def named(cases: Sequence[Case]) -> list[tuple[str, str]]:
    return [
        (case.id.removeprefix("mnist/"), other.removeprefix("mnist/"))
        for case in cases
        for other in case.compared_with or ()
    ]


def primary(cases: Sequence[Case]) -> list[tuple[str, str]]:
    pairs = [(pair.one, pair.other) for pair in compared_cases(cases) if pair.family == "primary"]
    return [(one.id.removeprefix("mnist/"), other.id.removeprefix("mnist/")) for one, other in pairs]


def test_a_suite_that_names_nothing_has_no_names() -> None:
    assert {case.compared_with for case in plan_of(CASES).cases} == {None}


def test_optimizers_are_compared_on_every_model_and_models_with_every_optimizer() -> None:
    cases = plan_of(WITH_SGD + WITH_FC + 'on = ["adam"]\n' + CASES).cases
    assert named(cases) == [
        ("fc/adam", "fc/sgd"),
        ("fc/momentum", "fc/sgd"),
        ("fc-bn/adam", "fc-bn/sgd"),
        ("fc-bn/adam", "fc/adam"),
        ("fc-bn/momentum", "fc-bn/sgd"),
    ]
    assert {case.compared_with for case in cases if case.method == "sgd"} == {()}
    assert primary(cases) == named(cases)
    assert len(compared_cases(cases)) == 3 + 3 + 3


def test_the_verdicts_are_of_these_comparisons_whatever_the_baseline() -> None:
    text = '[defaults]\nbaseline = "sgd"\n' + WITH_FC + CASES
    assert primary(plan_of(text).cases) == [
        (f"fc-bn/{name}", f"fc/{name}") for name in ("sgd", "adam", "momentum")
    ]
    assert ("fc/adam", "fc/sgd") in primary(plan_of(text.replace(WITH_FC, "")).cases)


def test_a_model_may_be_compared_with_one_that_is_not_the_last_before_it() -> None:
    text = '[[compare]]\nmodels = ["cnn", "fc-bn"]\nwith = "fc"\n[[cases]]\nmodels = ["fc", "fc-bn", "cnn"]\n'
    assert primary(plan_of(text + 'optimizers = ["sgd"]\n').cases) == [
        ("fc-bn/sgd", "fc/sgd"),
        ("cnn/sgd", "fc/sgd"),
    ]


SWEPT = '[optimizers.sgd]\nsweep.lr = [0.1, 0.01]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam"]\n'


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("adam", "sgd", [("fc/adam", "fc/sgd/lr-0.1"), ("fc/adam", "fc/sgd/lr-0.01")]),
        ("sgd", "adam", [("fc/sgd/lr-0.1", "fc/adam"), ("fc/sgd/lr-0.01", "fc/adam")]),
        ("adam", "sgd/lr-0.1", [("fc/adam", "fc/sgd/lr-0.1")]),
        ("sgd/lr-0.1", "sgd/lr-0.01", [("fc/sgd/lr-0.1", "fc/sgd/lr-0.01")]),
    ],
)
def test_a_name_is_that_of_a_point_or_of_every_point(
    one: str, other: str, expected: list[tuple[str, str]]
) -> None:
    cases = plan_of(f'[[compare]]\noptimizers = ["{one}"]\nwith = "{other}"\n{SWEPT}').cases
    assert named(cases) == primary(cases) == expected


def test_where_schedules_are_side_by_side_equal_ones_are_compared_unless_they_are_named() -> None:
    block = '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam"]\nschedules = ["constant", "cosine"]\n'
    text = '[[compare]]\noptimizers = ["adam"]\nwith = "sgd"\n' + block
    assert named(plan_of(text).cases) == [
        ("fc/adam/constant", "fc/sgd/constant"),
        ("fc/adam/cosine", "fc/sgd/cosine"),
    ]
    within = text.replace('"adam"]\nwith = "sgd"', '"adam/cosine"]\nwith = "adam/constant"')
    assert named(plan_of(within).cases) == [("fc/adam/cosine", "fc/adam/constant")]


def test_what_differs_in_more_is_left_out() -> None:
    block = '[[cases]]\nmodels = ["{}"]\noptimizers = ["sgd", "adam"]\nepochs = {}\n'
    text = (
        WITH_FC + block.format("fc", 5) + block.format("fc-bn", 5).replace('"sgd", ', "") + block.format("cnn", 1)
    )
    assert named(plan_of(text + 'label = "short"\n').cases) == [("fc-bn/adam", "fc/adam")]


LABELLED = """
[[cases]]
models = ["fc"]
optimizers = ["sgd", "adam"]
[[cases]]
models = ["fc", "fc-bn"]
optimizers = ["sgd", "adam"]
epochs = 3
label = "long"
[[cases]]
models = ["cnn"]
optimizers = ["adam"]
label = "wide"
"""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (  # without a label: within every label
            'optimizers = ["adam"]\nwith = "sgd"',
            [
                ("fc/adam", "fc/sgd"),
                ("fc/adam/long", "fc/sgd/long"),
                ("fc-bn/adam/long", "fc-bn/sgd/long"),
            ],
        ),
        (
            'optimizers = ["adam/long"]\nwith = "sgd/long"',
            [("fc/adam/long", "fc/sgd/long"), ("fc-bn/adam/long", "fc-bn/sgd/long")],
        ),
        ('optimizers = ["adam"]\nwith = "sgd"\non = ["fc-bn/long"]', [("fc-bn/adam/long", "fc-bn/sgd/long")]),
        ('models = ["fc-bn/long"]\nwith = "fc/long"\non = ["adam/long"]', [("fc-bn/adam/long", "fc/adam/long")]),
        ('models = ["cnn/wide"]\nwith = "fc"', [("cnn/adam/wide", "fc/adam")]),  # beside a label: without one
    ],
)
def test_labelled_cases_are_named_with_their_labels(lines: str, expected: list[tuple[str, str]]) -> None:
    cases = plan_of(f"[[compare]]\n{lines}\n{LABELLED}").cases
    assert named(cases) == primary(cases) == expected


def test_the_points_of_labelled_cases_and_a_label_that_is_called_as_a_schedule() -> None:
    swept = SWEPT + 'schedules = ["constant", "cosine"]\nlabel = "cosine"\n'
    text = '[[compare]]\noptimizers = ["sgd/lr-0.1/constant/cosine"]\nwith = "adam/constant/cosine"\n'
    assert named(plan_of(text + swept).cases) == [("fc/sgd/lr-0.1/constant/cosine", "fc/adam/constant/cosine")]
    text = '[[compare]]\noptimizers = ["sgd/cosine"]\nwith = "adam/cosine"\n'
    assert named(plan_of(text + SWEPT + 'label = "cosine"\n').cases) == [
        ("fc/sgd/lr-0.1/cosine", "fc/adam/cosine"),
        ("fc/sgd/lr-0.01/cosine", "fc/adam/cosine"),
    ]


def test_times_of_two_engines_are_not_compared_though_the_suite_names_the_pair() -> None:
    one, other = plan_of(WITH_SGD + CASES).cases[:2]
    resident = other.model_copy(update={"engine": "resident"})
    assert len(compared_cases([one, resident])) == 1
    assert len(compared_cases([one, other], EPOCH_SECONDS)) == 1
    assert compared_cases([one, resident], EPOCH_SECONDS) == []


def test_a_control_is_compared_with_nothing() -> None:
    text = '[defaults]\nbaseline = "sgd"\n' + WITH_SGD + CASES
    cases = plan_of(text, RunOptions(control=True)).cases
    assert [case.compared_with for case in cases if case.control] == [(), ()]
    assert named(cases) == named(plan_of(text).cases)


def test_a_selection_has_those_comparisons_of_which_both_cases_are_selected() -> None:
    plan = plan_of(WITH_SGD + CASES).only(["mnist/fc/adam", "mnist/fc/sgd", "mnist/fc-bn/momentum"])
    assert primary(plan.cases) == [("fc/adam", "fc/sgd")]
    assert plan.left_out == (
        "-k leaves out 3 of the 4 comparisons in [[compare]]: mnist/fc/momentum vs mnist/fc/sgd, "
        "mnist/fc-bn/adam vs mnist/fc-bn/sgd, mnist/fc-bn/momentum vs mnist/fc-bn/sgd"
    )


def test_a_selection_that_leaves_out_no_comparison_says_nothing_and_many_are_counted() -> None:
    assert plan_of(WITH_SGD + CASES).only([case.id for case in plan_of(CASES).cases]).left_out == ""
    assert plan_of(CASES).only(["mnist/fc/adam"]).left_out == ""
    rates = ", ".join(str(1 / (n + 2)) for n in range(50))
    swept = f'[optimizers.adam]\nsweep.lr = [{rates}]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam"]\n'
    plan = plan_of('[[compare]]\noptimizers = ["adam"]\nwith = "sgd"\n' + swept)
    assert len(named(plan.cases)) == 50
    assert plan.only(["mnist/fc/sgd"]).left_out.endswith(
        "adam/lr-0.16666666666666666 vs mnist/fc/sgd, and 45 others"
    )


def test_chosen_parameters_are_compared_as_the_suite_names_them() -> None:
    path = Path("suite.toml")
    path.write_text(HEAD + WITH_SGD + WITH_FC + CASES, "utf-8")
    suite = read_suite(path)
    scopes = [SearchScope("mnist", model, "", name) for model in ("fc", "fc-bn") for name in ("sgd", "adam")]
    points = {scope: (Point({"lr": 0.1 + i / 10}),) for i, scope in enumerate(scopes)}
    plan = make_plan(replace(suite, points=points, tuned=True), REGISTRY)
    assert plan.problems == ()
    assert len(primary(plan.cases)) == 4 + 3  # fc-bn and fc each with the learning rate that it chose


def test_each_search_is_compared_within_itself_and_untuned_cases_with_nothing() -> None:
    path = Path("suite.toml")
    path.write_text(HEAD + WITH_SGD + WITH_FC + CASES, "utf-8")
    scopes = [SearchScope("mnist", model, "", name) for model in ("fc", "fc-bn") for name in ("sgd", "adam")]
    points = {scope: tuple(Point({"lr": 0.1 / k}, search=k) for k in (1, 2)) for scope in scopes}
    suite = replace(read_suite(path), points=points, tuned=True, searches=2, seed_step=10)
    plan = make_plan(suite, REGISTRY)
    assert plan.problems == ()
    assert any(case.untuned for case in plan.cases)
    assert {case.compared_with for case in plan.cases if case.untuned} == {()}
    assert ("fc/adam/search-2", "fc/sgd/search-2") in named(plan.cases)
    for one, other in named(plan.cases):
        assert one[-1] == other[-1]
    results = [CaseResult(case=case, status="completed") for case in plan.cases]
    rules, models = ("adam", "momentum"), ("fc", "fc-bn")
    assert {(v.one.id, v.other.id) for v in judge(results) if v.family == "primary"} == {
        *((f"mnist/{model}/{rule}", f"mnist/{model}/sgd") for model in models for rule in rules),
        *((f"mnist/fc-bn/{rule}", f"mnist/fc/{rule}") for rule in ("sgd", *rules)),
    }


def test_the_assignment_names_its_three_questions() -> None:
    cases = make_plan(read_suite(ROOT / "suites" / "assignment4.toml"), REGISTRY).cases
    rules, models = ("momentum", "rmsprop", "adam"), ("fc", "fc-bn", "fc-bn-dropout")
    assert {*primary(cases)} == {
        *((f"{model}/{rule}", f"{model}/sgd") for model in models for rule in rules),
        *((f"fc-bn/{rule}", f"fc/{rule}") for rule in ("sgd", *rules)),
        *((f"fc-bn-dropout/{rule}", f"fc-bn/{rule}") for rule in ("sgd", *rules)),
    }
