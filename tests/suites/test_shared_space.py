"""The space that [tune] gives to every optimizer, and a suite that is always tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from problem_plugin import registry_with

import benchmnist
from benchmnist.errors import BenchmnistError, SuiteError
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import OptimizerSpec
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from torch import nn, optim

    from benchmnist.suites.plan import Plan

SUITE = """
[suite]
name = "always"

[defaults]
epochs = 1
seeds = 2
train_size = 100
test_size = 50
batch_size = 50

[tune]
always = true
untuned = false
trials = 2
sampler = "grid"
validation_size = 50
space.lr = { low = 1e-3, high = 1e-1, log = true }
space.momentum = [0.0, 0.9]

[optimizers.adam]
space.lr = [1e-4, 1e-3]

[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam"]
"""


def plan_of(path: Path, optimizers: tuple[str, ...] | None = None) -> Plan:
    return make_plan(read_suite(path), find_plugins(), RunOptions(optimizers=optimizers))


def test_each_optimizer_without_a_space_has_that_of_tune_as_far_as_it_takes_it(
    write_suite: Callable[..., Path],
) -> None:
    plan = plan_of(write_suite(SUITE), optimizers=("sgd", "adam", "adamw"))
    assert plan.problems == ()
    spaces = {name: {*table.space} for name, table in plan.suite.optimizers.items()}
    assert spaces == {"sgd": {"lr", "momentum"}, "adam": {"lr"}, "adamw": {"lr"}}
    assert plan.suite.optimizers["adam"].space["lr"].values == (1e-4, 1e-3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "momentum = [",
            "momentm = [",
            "momentm: no optimizer of the suite takes the parameter 'momentm'. Did you",
        ),
        ("space.momentum =", "space.model.dropout =", "model.dropout: is no parameter of an optimizer; move"),
        ("[0.0, 0.9]", '["a"]', "tune.space.momentum: must be a number"),
        ("low = 1e-3", "low = 1", "tune.space.lr: low must be less than high"),
        ("always = true", 'always = "yes"', "tune.always: must be true or false"),
    ],
)
def test_mistakes_in_it_are_said_where_they_are(
    write_suite: Callable[..., Path], old: str, new: str, said: str
) -> None:
    path = write_suite(SUITE.replace(old, new))
    problems = plan_of(path).problems
    assert len(problems) == 1
    assert said in str(problems[0])
    assert str(problems[0]).startswith(f"{path}:{SUITE[: SUITE.index(old)].count(chr(10)) + 1}: ")


def test_an_optimizer_whose_rate_is_always_chosen_needs_no_default(write_suite: Callable[..., Path]) -> None:
    def build(model: nn.Module, *, lr: float) -> optim.Optimizer:
        raise NotImplementedError

    registry = registry_with(optimizer=(OptimizerSpec(name="mine", summary="", build=build),))
    always = make_plan(read_suite(write_suite(SUITE)), registry, RunOptions(optimizers=("mine",)))
    assert always.problems == ()
    path = write_suite(SUITE.replace("untuned = false", "untuned = true"))
    untuned = make_plan(read_suite(path), registry, RunOptions(optimizers=("mine",)))
    assert "'mine' needs the parameter 'lr'" in str(untuned.problems[0])


def test_it_is_tuned_by_run_and_by_nothing_else_without_a_word(
    write_suite: Callable[..., Path], invoke: Callable[..., Result]
) -> None:
    path = write_suite(SUITE, "always.toml")
    options = ("run", path, "--optimizers", "momentum", "--executor", "inline", "--no-checkpoints")
    ran = invoke(*options)
    assert ran.exit_code == 0, ran.output
    found = benchmnist.load_run("runs/always")
    (search,) = found.record.searches
    assert (search.method, len(search.attempts), search.sampler) == ("momentum", 2, "grid")
    assert [(case.id, case.case.tuned) for case in found.cases] == [("mnist/logistic/momentum", True)]
    again = invoke(*options, "--resume")
    assert (again.exit_code, benchmnist.load_run("runs/always").path) == (0, found.path)

    planned = " ".join(invoke("run", path, "--dry-run").stdout.split())
    assert "tuned first ([tune] always): 2 searches of 2 points each (grid), 1 seed per point" in planned
    refused = invoke("run", path, "--seeds", "3")
    assert refused.exit_code == 2
    assert "tuned first, and tuning has no --seeds" in " ".join(refused.stderr.split())
    with pytest.raises(BenchmnistError, match=r"always = true under \[tune\]; call benchmnist\.tune"):
        benchmnist.run(path)
    with pytest.raises(SuiteError, match="no optimizer has a space"):
        benchmnist.tune(write_suite(SUITE.replace("space.", "# ")))
