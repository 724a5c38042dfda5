"""Problems in suites: their levels, what overrides what, their keys, and mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from problem_plugin import SPECS, problem, registry_with

from benchmnist.extensions.specs import FUNCTION
from benchmnist.suites.keys import case_key
from benchmnist.suites.plan import Plan, make_plan
from benchmnist.suites.reader import read_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import ProblemSpec

    Planner = Callable[..., Plan]

HEAD = '[suite]\nname = "x"\n'
REGISTRY = registry_with()


@pytest.fixture
def plan(tmp_path: Path) -> Planner:
    """Plans a suite with that text."""

    def plan_of(text: str, *assignments: str, registry: Registry = REGISTRY) -> Plan:
        file = tmp_path / "x.toml"
        file.write_text(HEAD + text, "utf-8")
        return make_plan(read_suite(file, assignments), registry)

    return plan_of


def cases(*names: str, more: str = "") -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f'[[cases]]\nproblems = [{listed}]\noptimizers = ["sgd", "adam"]\n{more}'


def test_a_problem_has_a_case_for_each_level_and_optimizer(plan: Planner) -> None:
    found = plan(cases("bowl"))
    assert not found.problems
    assert [(case.id, case.problem, case.level) for case in found.cases] == [
        ("bowl/easy/sgd", "bowl", "easy"),
        ("bowl/easy/adam", "bowl", "easy"),
        ("bowl/hard/sgd", "bowl", "hard"),
        ("bowl/hard/adam", "bowl", "hard"),
    ]
    easy, _, hard, _ = found.cases
    assert easy.group == ("bowl/easy", "", "")
    assert (easy.model.use, easy.model.params, hard.model.params) == ("bowl", {"scale": 1.0}, {"scale": 1e4})
    assert (easy.steps, hard.steps, easy.batch_size, easy.target_loss) == (60, 40, 1, 0.01)
    assert easy.task is not None
    assert easy.task.use == "value"
    assert [case.id for case in plan(cases("bowl/hard")).cases] == ["bowl/hard/sgd", "bowl/hard/adam"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cases("bowl"), (60, 5, 0.01, None)),
        ("[defaults]\nepochs = 9\n" + cases("bowl"), (60, 9, 0.01, None)),
        ('[problems.mine]\nuse = "bowl"\nsteps = 30\n' + cases("mine"), (30, 5, 0.01, None)),
        ('[problems.mine]\nuse = "bowl"\nepochs = 2\n' + cases("mine"), (None, 2, 0.01, None)),
        (cases("bowl", more="steps = 10\n"), (10, 5, 0.01, None)),
        (cases("bowl", more="epochs = 3\n"), (None, 3, 0.01, None)),
        (cases("bowl", more="target_loss = 0.5\n"), (60, 5, 0.5, None)),
        (
            '[problems.mine]\nuse = "bowl"\nsteps = 30\n' + cases("mine", more="epochs = 3\n"),
            (None, 3, 0.01, None),
        ),
    ],
)
def test_what_a_block_says_overrides_the_suites_problem_and_that_its_plugins(
    plan: Planner, text: str, expected: tuple[object, ...]
) -> None:
    found = plan(text)
    assert not found.problems
    case = found.cases[0]
    assert (case.steps, case.epochs, case.target_loss, case.target_accuracy) == expected


def test_a_parameter_that_makes_the_levels_leaves_one_problem_without_levels(plan: Planner) -> None:
    found = plan('[problems.mine]\nuse = "bowl"\nmodel.scale = 3.0\n' + cases("mine"))
    assert [(case.id, case.level, case.model.params) for case in found.cases] == [
        ("mine/sgd", None, {"scale": 3.0}),
        ("mine/adam", None, {"scale": 3.0}),
    ]
    assert [case.model.params["scale"] for case in plan(cases("bowl"), "problems.bowl.model.scale=4.0").cases] == [
        4.0,
        4.0,
    ]


def test_parameters_and_settings_of_a_problem_are_swept(plan: Planner) -> None:
    text = '[problems.mine]\nuse = "bowl"\nsweep.model.scale = [2.0, 3.0]\nsweep.steps = [5, 6]\n'
    found = plan(text + cases("mine"))
    assert not found.problems
    assert [(case.id, case.model.params["scale"], case.steps) for case in found.cases[::2]] == [
        ("mine/sgd/scale-2.0/steps-5", 2.0, 5),
        ("mine/sgd/scale-2.0/steps-6", 2.0, 6),
        ("mine/sgd/scale-3.0/steps-5", 3.0, 5),
        ("mine/sgd/scale-3.0/steps-6", 3.0, 6),
    ]
    assert len({case.group for case in found.cases}) == 4


def test_the_key_does_not_depend_on_the_name_of_a_problem(plan: Planner) -> None:
    bundled = plan(cases("mnist-logistic"))
    crossed = plan(
        '[[cases]]\nmodels = ["logistic"]\noptimizers = ["sgd", "adam"]\nepochs = 1\nevaluate_every = 50\n'
        "target_accuracy = 91.5\n"
    )
    renamed = plan('[problems.mine]\nuse = "mnist-logistic"\n' + cases("mine"))
    keys = [[case_key(case, "data", {}) for case in found.cases] for found in (bundled, crossed, renamed)]
    assert keys[0] == keys[1] == keys[2]
    assert len({*keys[0]}) == 2


def test_comparisons_name_problems_and_their_levels_as_they_name_models(plan: Planner) -> None:
    compare = '[[compare]]\noptimizers = ["adam"]\nwith = "sgd"\non = [{}]\n'
    for on, expected in (('"bowl"', {"bowl/easy/adam", "bowl/hard/adam"}), ('"bowl/hard"', {"bowl/hard/adam"})):
        found = plan(cases("bowl", "mnist-fc") + compare.format(on))
        assert not found.problems
        assert {case.id for case in found.cases if case.compared_with} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cases("bawl"), "x.toml:4: cases.problems: no problem named 'bawl'. Did you mean 'bowl'? Choose from: "),
        (cases("bowl/heard"), "x.toml:4: cases.problems: no level of 'bowl' named 'heard'. Did you mean 'hard'?"),
        (cases("mnist-fc/1"), "x.toml:4: cases.problems: the problem 'mnist-fc' has no levels; write 'mnist-fc'"),
        (cases("bowl/"), "x.toml:4: cases.problems: no level of 'bowl' named ''"),
        (
            '[problems.mine]\nuse = "bowl"\nbaseline = "nope"\n' + cases("mine"),
            "x.toml:5: problems.mine.baseline: is no setting of a problem; set it in [defaults] or [[cases]]",
        ),
        (
            cases("bowl", more='models = ["fc"]\ndataset = "mnist"\n'),
            "x.toml:7: cases.dataset: is decided by the problems",
        ),
        (cases("bowl", more='models = ["fc"]\n'), "x.toml:6: cases.models: is decided by the problems; remove it"),
        ('[[cases]]\noptimizers = ["sgd"]\n', 'x.toml:3: cases.models: is missing; write models = ["fc"]'),
        (
            '[problems.mine]\nuse = "bowl"\nmodel.scala = 1.0\n' + cases("mine"),
            "x.toml:5: problems.mine.model.scala: 'bowl' takes no parameter 'scala'. Did you mean 'scale'?",
        ),
        (
            '[problems.mine]\nuse = "bowl"\nmodel = "fc"\n' + cases("mine"),
            'x.toml:5: problems.mine.model: must be a table, not "fc"',
        ),
        (
            '[problems.mine]\nuse = "bowl"\nstepps = 1\n' + cases("mine"),
            "x.toml:5: problems.mine.stepps: unknown key. Did you mean 'steps'?",
        ),
        (
            '[problems.mine]\nuse = "bowl"\nsteps = 0\n' + cases("mine"),
            "x.toml:5: problems.mine.steps: must be greater than 0, not 0",
        ),
        ("[problems.mine]\nsteps = 1\n" + cases("mine"), "x.toml:3: problems.mine: no problem named 'mine'"),
        ('[problems.mine]\nuse = "bowl"\n' + cases("bowl"), "x.toml:3: problems.mine: unused"),
        (
            '[problems.mnist]\nuse = "bowl"\nmodel.scale = 2.0\n'
            + cases("mnist")
            + '[[cases]]\nmodels = ["logistic"]\noptimizers = ["sgd"]\n',
            "x.toml:6: cases: mnist/sgd and mnist/logistic/sgd have different data under the name 'mnist'; rename",
        ),
    ],
)
def test_a_mistake_is_one_line_with_what_to_do(plan: Planner, text: str, expected: str) -> None:
    found = [str(each).removeprefix(each.file.removesuffix("x.toml")) for each in plan(text).problems]
    assert any(each.startswith(expected) for each in found), found


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"levels": {"1": {"model.scala": 1.0}}},
            "the problem 'bowl' of benchmnist-bowls 1.0 (plugin 'bowls') at level '1': model.scala: 'bowl' takes",
        ),
        ({"settings": {"steps": 0, "target_loss": 0.1}}, "steps: must be greater than 0, not 0"),
        (
            {"settings": {"stepps": 1, "steps": 1, "target_loss": 0.1}},
            "stepps: unknown key. Did you mean 'steps'?",
        ),
        ({"model": "ball"}, "(plugin 'bowls'): no model named 'ball'. Choose from: "),
        ({"dataset": "mnits"}, "(plugin 'bowls'): no dataset named 'mnits'. Did you mean 'mnist'?"),
    ],
)
def test_a_mistake_of_a_plugin_names_it(plan: Planner, changed: dict[str, object], expected: str) -> None:
    found = plan(cases("bowl"), registry=registry_with(problem=(problem(**changed),))).problems
    assert found
    assert expected in str(found[0])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"levels": {"Easy": {}}}, "the name 'Easy' must be lower-case"),
        ({"levels": {"1": {"optimizer.lr": 1}}}, "'optimizer.lr' in the level '1' of 'bowl' must be model.NAME"),
        ({"settings": {"steps": 1}}, "must have one target"),
        ({"settings": {"steps": 1, "target_loss": 1.0, "target_accuracy": 1.0}}, "must have one target"),
        ({"settings": {"target_loss": 1.0}, "levels": {}}, "has no budget"),
        ({"settings": {"seconds": 1.0, "target_loss": 1.0}, "levels": {}}, "has no budget"),
        ({"settings": {"steps": 1, "target_accuracy": "50"}, "levels": {}}, "must be a number, not '50'"),
        ({"levels": {1: {}}}, "levels of 'bowl' must be a mapping from names"),
        ({"levels": ["a"]}, "levels of 'bowl' must be a mapping from names"),
        ({"levels": {"a": 1}}, "the level 'a' of 'bowl' must be a mapping from names"),
        ({"levels": {"a": {"schedule": "cosine"}}}, "'schedule' of 'bowl' is no setting of a problem; the suite"),
        ({"levels": {"a": {"dataset": "mnist"}}}, "pass it to ProblemSpec: dataset=…"),
        ({"levels": {"a": {"baseline": "nope"}}}, "'baseline' of 'bowl' is no setting of a problem; the suite"),
        ({"solved_by": {"optimizer": "sgd", "sweep": {}}}, "'sweep' in solved_by of 'bowl' is no parameter"),
        ({"solved_by": {"optimizer": "sgd", "use": "adam"}}, "'use' in solved_by of 'bowl' is no parameter"),
        ({"solved_by": {"optimizer": "sgd", "lr": None}}, "'lr' in solved_by of 'bowl' is None; leave it out"),
        ({"solved_by": {"lr": 0.1}}, "names no optimizer"),
        ({"solved_by": {"optimizer": "sgd", "levels": "some"}}, 'must be "first" or "all"'),
    ],
)
def test_a_spec_refuses_what_cannot_be_a_problem(changed: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=r"bowl|Easy") as error:
        problem(**changed)
    assert expected in str(error.value)


def test_a_problem_is_described_for_a_list() -> None:
    assert problem().facts == {"levels": "easy, hard", "budget": "60 steps", "target": "loss 0.01"}
    fc: ProblemSpec = REGISTRY.problems["mnist-fc"].spec
    assert fc.facts == {"levels": "", "budget": "3 epochs", "target": "97 %"}


def test_a_problem_without_data_has_nothing_to_hold_out(plan: Planner) -> None:
    task = replace(SPECS["task"][0], name=FUNCTION)
    data = replace(SPECS["dataset"][0], task=FUNCTION)  # type: ignore[call-arg]
    registry = registry_with(task=(task,), dataset=(data,))
    found = plan("[defaults]\nvalidation_size = 10\n" + cases("bowl/easy", "mnist-fc"), registry=registry)
    assert not found.problems
    assert [case.validation_size for case in found.cases] == [None, None, 10, 10]
    refused = plan(cases("bowl", more="validation_size = 10\n"), registry=registry).problems
    assert [each.message for each in refused] == ["the task 'function' has no examples to hold out; remove it"]
