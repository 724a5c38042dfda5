"""Parameter groups: which parameters are in which, on every engine, and what they change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim
from training_support import component, losses, make_case, result_of

from benchmnist.builtin.optimizers import Together, muon
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.cases import ParameterGroup
from benchmnist.training.parameter_groups import GroupError, kinds_of, selection, split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

NO_DECAY = ParameterGroup(kind=("bias", "norm"), options={"weight_decay": 0.0})
WITH_GROUPS = sorted(offer.spec.name for offer in find_plugins().optimizers if offer.spec.groups)


def trained(optimizer: str, *groups: ParameterGroup, engine: str = "resident", **options: Any) -> list[float]:
    params = options.pop("params", {})
    part = component(optimizer, **params).model_copy(update={"groups": groups})
    settings = {"model": component("fc", hidden_size=8), "train_size": 150, "test_size": 50, **options}
    result = result_of(make_case(optimizer=part, engine=engine, **settings))
    assert not result.error
    return losses(result)


def test_kinds() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Embedding(3, 2), nn.GRU(2, 2), nn.LayerNorm((2, 2)), nn.PReLU()
    )
    kinds = {name: {*kinds} for name, kinds in kinds_of(model).items()}
    assert kinds["0.weight"] == {"convolution"}
    assert kinds["0.bias"] == {"bias", "vector"}
    assert kinds["1.weight"] == {"norm", "vector"}
    assert kinds["1.bias"] == {"bias", "norm", "vector"}
    assert kinds["2.weight"] == {"embedding"}
    assert kinds["3.weight_hh_l0"] == {"matrix"}
    assert kinds["3.bias_hh_l0"] == {"bias", "vector"}
    assert kinds["4.weight"] == {"norm"}
    assert kinds["5.weight"] == {"vector"}


def test_the_first_group_that_selects_a_parameter_has_it() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first = ParameterGroup(match=("0.*",), kind=("bias",), options={"lr": 1.0})
    assert selection([first, NO_DECAY], model) == {"0.weight": -1, "0.bias": 0, "1.weight": -1, "1.bias": 1}


@pytest.mark.parametrize("name", WITH_GROUPS)
def test_groups_with_the_same_options_train_to_the_same_bits(name: str) -> None:
    plain = trained(name, engine="dataloader")
    assert trained(name, ParameterGroup(kind=("bias",), lr_scale=1.0), engine="dataloader") == plain
    assert trained(name) == trained(
        name, ParameterGroup(match=("*.weight",), lr_scale=1.0)
    )  # fused, where it can be


@given(divided=st.lists(st.sampled_from(["*", "1.*", "3.weight", "*.bias", "*.weight", "none"]), max_size=3))
@settings(max_examples=8)
def test_however_the_parameters_are_divided(divided: list[str]) -> None:
    groups = [ParameterGroup(match=(each,), options={"momentum": 0.9}) for each in divided]
    params = {"lr": 0.1, "momentum": 0.9}
    assert trained("sgd", *groups, params=params) == trained("sgd", params=params)


@pytest.mark.parametrize("schedule", [None, component("linear-warmup-cosine")])
def test_the_engines_agree_on_groups(schedule: Any) -> None:
    groups = (ParameterGroup(match=("1.*",), lr_scale=0.1), NO_DECAY)
    params = {"lr": 0.01, "weight_decay": 10.0}
    common: dict[str, Any] = {"params": params, "schedule": schedule, "seeds": (0, 1), "epochs": 2}
    expected = trained("adamw", *groups, engine="dataloader", **common)
    for engine in ("resident", "stacked"):
        assert trained("adamw", *groups, engine=engine, **common) == pytest.approx(expected, rel=1e-3)
    without = trained("adamw", engine="dataloader", **common)
    only_decay = trained("adamw", NO_DECAY, engine="dataloader", **common)
    assert len({tuple(expected), tuple(without), tuple(only_decay)}) == 3


def test_a_group_begins_with_the_state_that_its_options_make() -> None:
    model = nn.Linear(2, 2)

    def build(model: nn.Module, **options: Any) -> optim.Optimizer:
        return optim.Adagrad(model.parameters(), **options)

    made = build(model)
    split(made, model, [ParameterGroup(kind=("bias",), options={"initial_accumulator_value": 3.0})], build)
    assert made.state[model.bias]["sum"].tolist() == [3.0, 3.0]
    assert made.state[model.weight]["sum"].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_each_part_of_an_optimizer_of_parts_is_divided() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    made = muon(model, lr=0.1)
    assert isinstance(made, Together)
    groups = [
        ParameterGroup(match=("0.*",), lr_scale=0.5),
        ParameterGroup(kind=("bias",), options={"adamw_lr": 7.0}),
    ]
    split(made, model, groups, muon)
    names = {id(p): name for name, p in model.named_parameters()}
    found = [([names[id(p)] for p in group["params"]], group["lr"]) for group in made.param_groups]
    assert found == [
        (["1.weight"], 0.1),
        (["0.weight"], 5e-4),
        (["2.weight"], 1e-3),
        (["0.bias"], 5e-4),
        (["1.bias", "2.bias"], 7.0),
    ]
    assert [group for part in made.parts for group in part.param_groups] == made.param_groups


def test_an_optimizer_that_hides_its_parts_is_refused() -> None:
    class Hides(optim.SGD):
        def __init__(self, params: Any) -> None:
            super().__init__(params)
            self.inner = optim.SGD(self.param_groups[0]["params"])

    model = nn.Linear(2, 2)
    with pytest.raises(GroupError, match="Hides has other parameter groups"):
        split(Hides(model.parameters()), model, [NO_DECAY], lambda model, **_: Hides(model.parameters()))


SUITE = """
[suite]
name = "groups"
[defaults]
epochs = 1
train_size = 100
test_size = 50
seeds = 1
[optimizers.plain]
use = "adamw"
[optimizers.no-decay]
use = "adamw"
groups = [{ kind = ["bias", "norm"], weight_decay = 0.0 }]
[[cases]]
models = ["fc-bn"]
optimizers = ["plain", "no-decay"]
"""


def test_a_dry_run_lists_the_groups(write_suite: Callable[..., Path], invoke: Callable[..., Result]) -> None:
    out = invoke("run", write_suite(SUITE), "--dry-run").output
    assert "parameter groups of no-decay on mnist/fc-bn:\n" in out
    assert "  bias or norm: weight_decay=0.0: 1.bias, 3.weight, 3.bias, 4.bias\n" in out
    assert "  the rest: 1.weight, 4.weight\n" in out


def test_a_run_records_groups_and_resumes_only_the_same(
    write_suite: Callable[..., Path], invoke: Callable[..., Result]
) -> None:
    assert invoke("run", write_suite(SUITE), "--executor", "inline").exit_code == 0
    reused = invoke("run", write_suite(SUITE), "--executor", "inline", "--reuse", "--dry-run").output
    assert "reused: 2 results" in reused
    changed = write_suite(SUITE.replace("weight_decay = 0.0", "weight_decay = 0.1"))
    reused = invoke("run", changed, "--executor", "inline", "--reuse", "--dry-run").output
    assert "reused: 1 result\n  mnist/fc-bn/plain" in reused
    table = json.loads(invoke("report", "runs", "--format", "json").stdout)
    groups = [row["optimizer.groups"] for row in table["rows"]]
    assert groups == [None, "bias or norm: weight_decay=0.0"]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ('match = "1.wieght"', "'1.wieght' matches no parameter of fc. Did you mean '1.weight'?"),
        ('kind = "norm"', "selects no parameter of fc: none is norm"),
        ('kind = "biases"', 'must be "bias", '),
        ('kind = "bias"\nmomentom = 1', "'sgd' takes no parameter 'momentom'. Did you mean 'momentum'?"),
        ('kind = "bias"\nmomentum = "a"', "must be a number"),
        ('kind = "bias"\nmomentum = -1', "'sgd' refuses: Invalid momentum value: -1"),
        ('kind = "bias"\nlr = 1\nlr_scale = 1', "has both lr and lr_scale; remove one"),
    ],
)
def test_wrong_groups(
    group: str, said: str, write_suite: Callable[..., Path], invoke: Callable[..., Result]
) -> None:
    changes = "" if "mom" in group or "lr" in group else "momentum = 0.5\n"
    text = SUITE.replace("fc-bn", "fc").replace('["plain", "no-decay"]', '["sgd"]')
    text = (
        text.split("[optimizers.plain]")[0]
        + f"[[optimizers.sgd.groups]]\n{group}\n{changes}[[cases]]"
        + (text.split("[[cases]]")[1])
    )
    result = invoke("run", write_suite(text), "--dry-run")
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert said in " ".join(result.stderr.split())
    assert "optimizers.sgd.groups" in errors[0]


def test_other_wrong_groups(write_suite: Callable[..., Path], invoke: Callable[..., Result]) -> None:
    text = SUITE.replace('use = "adamw"\ngroups', 'use = "lbfgs"\ngroups').replace(", weight_decay = 0.0", "")
    assert "changes nothing; add an option" in invoke("run", write_suite(text), "--dry-run").stderr
    text = text.replace('["bias", "norm"]', '"bias", lr = 1.0')
    assert "'lbfgs' has one set of options for all parameters" in " ".join(
        invoke("run", write_suite(text), "--dry-run").stderr.split()
    )
    text = SUITE.replace("{ kind", '{ match = "*", lr_scale = 2.0 }, { kind')
    assert "earlier groups have all that it selects" in invoke("run", write_suite(text), "--dry-run").stderr


def test_a_schedule_scales_each_group_from_its_own_rate() -> None:
    model = nn.Linear(2, 2)

    def build(model: nn.Module, **options: Any) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=0.5, **options)

    for name in ("constant", "cosine", "linear-warmup-cosine", "onecycle", "step"):
        made = build(model)
        split(made, model, [ParameterGroup(kind=("bias",), lr_scale=0.5)], build)
        schedule = find_plugins().schedules[name].spec.load()(made, total_steps=9)
        for _ in range(8):
            rest, biases = (group["lr"] for group in made.param_groups)
            assert biases == pytest.approx(0.5 * rest)
            made.step()
            schedule.step()
