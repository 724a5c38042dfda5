from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmnist.errors import UnknownNameError
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.components import variant_of
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import Plan, make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.suite import Point, SearchScope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = '[suite]\nname = "x"\n'
REGISTRY = find_plugins()


def plan_of(path: Path, options: RunOptions | None = None) -> Plan:
    return make_plan(read_suite(path), REGISTRY, options)


def test_every_combination_in_order(write_suite: Callable[..., Path]) -> None:
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc", "cnn"]\noptimizers = ["sgd", "adam"]\n')
    plan = plan_of(path)
    assert not plan.problems
    expected = ["mnist/fc/sgd", "mnist/fc/adam", "mnist/cnn/sgd", "mnist/cnn/adam"]
    assert [case.id for case in plan.cases] == expected
    assert plan.cases[0].line == 3
    assert plan.cases[0].optimizer.distribution == "benchmnist"


def test_a_sweep_is_a_case_for_each_of_its_points(write_suite: Callable[..., Path]) -> None:
    path = write_suite(
        HEAD + "[optimizers.sgd]\nmomentum = 0.9\nsweep.lr = [1e-3, 0.1]\n"
        '[models.fc]\nsweep.hidden_size = [10]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n'
    )
    plan = plan_of(path)
    assert [case.id for case in plan.cases] == [
        "mnist/fc/sgd/hidden_size-10/lr-0.001",
        "mnist/fc/sgd/hidden_size-10/lr-0.1",
    ]
    first = plan.cases[0]
    assert first.optimizer.params == {"momentum": 0.9, "lr": 0.001}
    assert (first.optimizer.label, first.model.label) == ("sgd/lr-0.001", "fc/hidden_size-10")


def test_a_named_configuration_has_its_own_defaults_under_the_suites(write_suite: Callable[..., Path]) -> None:
    path = write_suite(
        HEAD + '[optimizers.nesterov]\nlr = 0.1\n[[cases]]\nmodels = ["fc"]\noptimizers = ["nesterov"]\n'
    )
    assert plan_of(path).cases[0].optimizer.params == {"momentum": 0.9, "nesterov": True, "lr": 0.1}


def test_options_override_the_suites_own(write_suite: Callable[..., Path]) -> None:
    plan = plan_of(write_suite(), RunOptions(seeds=(7,), epochs=9, engine="dataloader"))
    assert {(case.seeds, case.epochs, case.engine) for case in plan.cases} == {((7,), 9, "dataloader")}
    with pytest.raises(UnknownNameError, match=r"no engine named 'residnt'\. Did you mean 'resident'\?"):
        plan_of(write_suite(), RunOptions(engine="residnt"))


def test_a_control_is_the_baseline_once_more_with_other_seeds(write_suite: Callable[..., Path]) -> None:
    sgd, control, adam = plan_of(write_suite(), RunOptions(seeds=(0, 5), control=True)).cases
    assert (control.id, control.method, control.seeds) == ("mnist/fc/sgd/control", "sgd/control", (6, 11))
    assert control.group == sgd.group == adam.group
    assert [case.control for case in (sgd, control, adam)] == [False, True, False]
    assert {**control.deciding(), "seeds": [0, 5]} == sgd.deciding()


def test_a_control_wants_a_baseline(write_suite: Callable[..., Path]) -> None:
    path = write_suite(HEAD + '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n')
    (problem,) = plan_of(path, RunOptions(control=True)).problems
    assert "--control needs a baseline to train once more" in str(problem)


def test_what_is_made_of_a_result_does_not_decide_it(write_suite: Callable[..., Path]) -> None:
    plain = 'models = ["fc"]\noptimizers = ["sgd"]\n'
    judged = plan_of(write_suite(HEAD + f"[[cases]]\ntarget_accuracy = 97\nmargin = 0.5\n{plain}")).cases[0]
    other = plan_of(write_suite(HEAD + f"[[cases]]\n{plain}")).cases[0]
    assert (judged.target_accuracy, judged.margin) == (97.0, 0.5)
    assert judged.deciding() == other.deciding()


def test_points_are_cases_of_their_place_and_of_no_other(write_suite: Callable[..., Path]) -> None:
    suite = read_suite(write_suite())
    scope = SearchScope("mnist", "fc", "", "sgd")
    points = {scope: (Point({"lr": 0.1}, "lr-0.1"), Point({"lr": 0.2}, "lr-0.2"))}
    found = make_plan(replace(suite, points=points), REGISTRY).cases
    assert [case.id for case in found] == ["mnist/fc/sgd/lr-0.1", "mnist/fc/sgd/lr-0.2", "mnist/fc/adam"]
    chosen = replace(suite, points={scope: (Point({"lr": 0.3}),)}, tuned=True)
    sgd, own, adam = make_plan(chosen, REGISTRY).cases
    assert (sgd.id, sgd.optimizer.params["lr"], sgd.tuned) == ("mnist/fc/sgd", 0.3, True)
    assert (own.id, own.optimizer.params, own.tuned, own.untuned) == (
        "mnist/fc/sgd/untuned", make_plan(suite, REGISTRY).cases[0].optimizer.params, False, True
    )  # fmt: skip
    assert not adam.tuned


def test_only_keeps_the_order(write_suite: Callable[..., Path]) -> None:
    plan = plan_of(write_suite())
    assert plan.only([case.id for case in reversed(plan.cases)]) == plan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[[cases]]\nmodels = ["fc"]\noptimizers = ["adamm"]\n',
            "5: cases.optimizers: no optimizer named 'adamm'. Did you mean 'adam'? Choose from: adadelta,",
        ),
        (
            '[[cases]]\nmodels = ["fcc"]\noptimizers = ["adam"]\n',
            "4: cases.models: no model named 'fcc'. Did you mean 'fc'? Choose from: 2c2d, badly-scaled, cnn,",
        ),
        (
            '[optimizers.mine]\nuse = "adamm"\n[[cases]]\nmodels = ["fc"]\noptimizers = ["mine"]\n',
            "4: optimizers.mine.use: no optimizer named 'adamm'. Did you mean 'adam'?",
        ),
        (
            '[defaults]\ndataset = "mnits"\n[[cases]]\nmodels = ["fc"]\noptimizers = ["adam"]\n',
            "4: defaults.dataset: no dataset named 'mnits'. Did you mean 'mnist'?",
        ),
        (
            '[optimizers.sgd]\nlearning_rate = 1\nlr = 1\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "4: optimizers.sgd.learning_rate: 'sgd' takes no parameter 'learning_rate'. Did you mean 'lr'? It",
        ),
        (
            '[optimizers.sgd]\nsweep.momentun = [0.9]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "4: optimizers.sgd.sweep.momentun: 'sgd' takes no parameter 'momentun'. Did you mean 'momentum'?",
        ),
        (
            '[models.fc]\ninput_shape = 1\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "4: models.fc.input_shape: 'fc' takes no parameter 'input_shape'.",
        ),
        (
            '[optimizers.muon]\nns_step = 1\n[[cases]]\nmodels = ["fc"]\noptimizers = ["muon"]\n',
            "4: optimizers.muon.ns_step: 'muon' takes no parameter 'ns_step'. Did you mean 'ns_steps'?",
        ),
        (
            '[optimizers.sgd]\nlr = 1\nsweep.lr = [1]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "5: optimizers.sgd.sweep.lr: has both a value and a sweep",
        ),
        (
            '[optimizers.sgd]\nspace.momentun = [0.9]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "4: optimizers.sgd.space.momentun: 'sgd' takes no parameter 'momentun'. Did you mean 'momentum'?",
        ),
        (
            '[optimizers.sgd]\nsweep.lr=[1]\nspace.momentum=[0.9]\n[[cases]]\nmodels=["fc"]\noptimizers=["sgd"]\n',
            "5: optimizers.sgd.space: the optimizer has both a sweep and a space; remove one",
        ),
        (
            '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "6: cases: the case mnist/fc/sgd is a duplicate of the one on line 3; remove one, or give this",
        ),
        (
            '[[cases]]\nmodels = ["fc", "fc"]\noptimizers = ["sgd"]\n',
            '4: cases.models: duplicate "fc"; remove one',
        ),
        (
            '[defaults]\nbaseline = "sdg"\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "4: defaults.baseline: no optimizer of this suite named 'sdg'. Did you mean 'sgd'? Choose from: sgd",
        ),
        (
            '[optimizers.adam-wd]\nuse = "adam"\n[[cases]]\nmodels = ["fc"]\noptimizers = ["adam"]\n',
            "3: optimizers.adam-wd: unused; list it in optimizers",
        ),
        (
            '[[cases]]\nengine = "gpu"\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
            "4: cases.engine: no engine named 'gpu'. Choose from: auto, dataloader, resident",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(write_suite: Callable[..., Path], text: str, expected: str) -> None:
    path = write_suite(HEAD + text)
    (problem,) = plan_of(path).problems
    assert str(problem).removeprefix(f"{path}:").startswith(expected)


def test_the_suites_own_mistakes_are_told_with_the_plans(write_suite: Callable[..., Path]) -> None:
    path = write_suite(HEAD + '[defaults]\nepoch = 3\n[[cases]]\nmodels = ["fc"]\noptimizers = ["adamm"]\n')
    assert [problem.line for problem in plan_of(path).problems] == [4, 7]


def test_one_mistake_does_not_cause_others_nor_hide_them(write_suite: Callable[..., Path]) -> None:
    path = write_suite(
        HEAD
        + '[defaults]\nbaseline = "sgdd"\nengine = "gpu"\n[optimizers.sgd]\nlr = 1\n[models.spare]\nuse = "fc"\n'
        '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n[[cases]]\nmodels = ["cnn"]\noptimizers = ["sgd"]\n'
    )
    assert [(problem.line, problem.key) for problem in plan_of(path).problems] == [
        (5, "defaults.engine"),
        (4, "defaults.baseline"),
        (8, "models.spare"),
    ]
    meant = write_suite(path.read_text("utf-8").replace("lr =", "lrr ="))
    assert [problem.key for problem in plan_of(meant).problems] == [
        "defaults.engine",
        "optimizers.sgd.lrr",
        "models.spare",
    ]


def test_a_label_tells_two_blocks_apart(write_suite: Callable[..., Path]) -> None:
    block = '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n'
    plan = plan_of(write_suite(HEAD + block + block + 'epochs = 9\nlabel = "long"\n'))
    assert not plan.problems
    assert [case.id for case in plan.cases] == ["mnist/fc/sgd", "mnist/fc/sgd/long"]


SCHEDULED = """
[schedules.warm]
use = "linear-warmup-cosine"
sweep.warmup = [0.1, 0.2]
[optimizers.steady]
use = "adam"
schedule = "constant"
clip_grad_norm = 2
"""


def test_a_schedule_stands_in_the_defaults_the_block_or_the_optimizers_own_table(
    write_suite: Callable[..., Path],
) -> None:
    block = '[[cases]]\nmodels = ["fc"]\noptimizers = ["adam", "steady"]\n'
    plan = plan_of(
        write_suite(
            HEAD
            + '[defaults]\nschedule = "cosine"\nclip_grad_norm = 1.5\nlabel_smoothing = 0.1\ninit_seed = 7\n'
            + SCHEDULED
            + block
            + block
            + 'schedule = "warm"\nlabel = "warm"\n'
        )
    )
    assert not plan.problems
    found = {case.id: (case.schedule, case.clip_grad_norm) for case in plan.cases}
    assert {
        key: (schedule and schedule.use, schedule and schedule.params, norm)
        for key, (schedule, norm) in found.items()
    } == {
        "mnist/fc/adam": ("cosine", {}, 1.5),
        "mnist/fc/steady": ("constant", {}, 2.0),
        "mnist/fc/adam/warmup-0.1/warm": ("linear-warmup-cosine", {"warmup": 0.1}, 1.5),
        "mnist/fc/adam/warmup-0.2/warm": ("linear-warmup-cosine", {"warmup": 0.2}, 1.5),
        "mnist/fc/steady/warm": ("constant", {}, 2.0),
    }
    assert {(case.label_smoothing, case.init_seed) for case in plan.cases} == {(0.1, 7)}
    assert [case.method for case in plan.cases[2:4]] == ["adam/warmup-0.1", "adam/warmup-0.2"]


def test_schedules_may_be_an_axis_of_their_own(write_suite: Callable[..., Path]) -> None:
    axis = '[[cases]]\nmodels = ["fc"]\noptimizers = ["adam"]\nschedules = ["constant", "warm"]\n'
    plan = plan_of(
        write_suite(HEAD + '[defaults]\nbaseline = "adam/constant"\n' + SCHEDULED.partition("[opt")[0] + axis)
    )
    assert not plan.problems
    assert [case.id for case in plan.cases] == [
        "mnist/fc/adam/constant",
        "mnist/fc/adam/warm/warmup-0.1",
        "mnist/fc/adam/warm/warmup-0.2",
    ]
    twice = plan_of(write_suite(HEAD + SCHEDULED + axis.replace('"adam"', '"steady"')))
    (problem,) = twice.problems
    assert problem.key == "cases.schedules"
    assert "'steady' has a schedule of its own" in problem.message


def test_engines_may_be_an_axis_of_their_own(write_suite: Callable[..., Path]) -> None:
    path = write_suite(
        HEAD + '[[cases]]\nmodels = ["fc"]\noptimizers = ["adam"]\nengines = ["dataloader", "resident"]\n'
        'schedules = ["cosine"]\nbaseline = "adam/cosine/dataloader"\n'
    )
    plan = plan_of(path)
    assert not plan.problems
    assert [(case.id, case.engine) for case in plan.cases] == [
        ("mnist/fc/adam/cosine/dataloader", "dataloader"),
        ("mnist/fc/adam/cosine/resident", "resident"),
    ]
    wrong = plan_of(write_suite(path.read_text("utf-8").replace('"resident"', '"residnet"')))
    assert {(problem.line, problem.key) for problem in wrong.problems} >= {(6, "cases.engines")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('schedule = "cosin"', "no schedule named 'cosin'. Did you mean 'cosine'?"),
        ("clip_grad_norm = 0", "must be greater than 0, not 0"),
        ("clip_grad_norm = inf", "must be a finite number, not inf"),
        ("label_smoothing = 1", "must be less than 1, not 1"),
        ("init_seed = -1", "must be at least 0, not -1"),
    ],
)
def test_a_mistake_in_how_to_train_is_told(write_suite: Callable[..., Path], line: str, expected: str) -> None:
    path = write_suite(f'{HEAD}[defaults]\n{line}\n[[cases]]\nmodels = ["fc"]\noptimizers = ["adam"]\n')
    (problem,) = plan_of(path).problems
    assert expected in problem.message
    assert problem.line == 4


VALUES = st.lists(
    st.floats(-1e9, 1e9) | st.integers() | st.booleans() | st.text("a[]/_ -.", max_size=4), min_size=1, max_size=4
)


@settings(max_examples=50)
@given(values=VALUES)
def test_ids_are_unique_and_safe(tmp_path_factory: pytest.TempPathFactory, values: list[object]) -> None:
    def toml(value: object) -> str:
        return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')

    path = tmp_path_factory.mktemp("plan") / "suite.toml"
    swept = ", ".join(map(toml, values))
    path.write_text(
        f'{HEAD}[optimizers.sgd]\nsweep.lr = [{swept}]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n',
        "utf-8",
    )
    plan = plan_of(path)
    ids = [case.id for case in plan.cases]
    assert len(set(ids)) == len(ids)
    assert len({case.file_stem for case in plan.cases}) == len(ids)
    assert len(ids) == len(values) or plan.problems  # two values that read the same are told, not dropped
    for one in ids:
        assert "[" not in one
        assert "__" not in one
        assert not one.endswith("/")
        assert "//" not in one


def test_every_table_of_a_plugin_may_expect_something(write_suite: Callable[..., Path]) -> None:
    """What a case expects comes of the defaults, its tables and its block, the later ones first."""
    tables = "".join(
        f'[{table}.mine]\nuse = "{use}"\nexpect.accuracy = ">= {bound}"\n'
        for bound, (table, use) in enumerate(
            {
                "datasets": "mnist",
                "models": "fc",
                "optimizers": "sgd",
                "schedules": "cosine",
                "tasks": "classification",
                "metrics": "top-k",
            }.items()
        )
    )
    cases = '[[cases]]\nmodels = ["mine"]\noptimizers = ["mine"]\ndatasets = ["mine"]\nschedules = ["mine"]\n'
    whole = HEAD + '[defaults]\nexpect.accuracy = ">= 99"\ntask = "mine"\nmetrics = ["mine"]\n' + tables + cases
    for table, bound in (("metrics", 5), ("tasks", 4), ("schedules", 3), ("optimizers", 2), ("models", 1)):
        plan = plan_of(write_suite(whole))
        assert plan.problems == ()
        assert [case.expect for case in plan.cases] == [{"accuracy": f">= {bound}"}]
        whole = whole.replace(f'expect.accuracy = ">= {bound}"\n', "")
        assert table in whole
    (case,) = plan_of(write_suite(whole + 'expect.accuracy = "< 50"\n')).cases
    assert case.expect == {"accuracy": "< 50"}


def test_a_sweep_keeps_the_signs_of_its_values() -> None:
    values: list[object] = [-0.5, 0.5, [-0.5, 0.9], [0.5, 0.9], [0.5, -0.9], "-a", "a", "[a]b", [], [[-1]], [[1]]]
    variants = [variant_of({"x": value}) for value in values]
    assert len({*variants}) == len(values)
    assert variants[:5] == ["x--0.5", "x-0.5", "x--0.5-0.9", "x-0.5-0.9", "x-0.5--0.9"]
