"""Each optimizer of pytorch_optimizer is offered, by its own parameters, and steps; or the reason is said."""

import inspect
from pathlib import Path

import benchmnist_pytorch_optimizer as plugin
import pytest
import pytorch_optimizer
import torch

from benchmnist.testing import conformance
from benchmnist.training.trial import Trial

SPECS = {spec.name.removeprefix("po-"): spec for spec in plugin.benchmnist_optimizers()}
README = Path(__file__).parents[1] / "README.md"

# One of each kind. Not po-adahessian: with its defaults it diverges from three of eight seeds.
test_adabelief = conformance("po-adabelief")
test_splus = conformance("po-splus")
test_alig = conformance("po-alig")
test_sam = conformance("po-sam")
test_wsam = conformance("po-wsam")
test_sophiah = conformance("po-sophiah")
test_muon = conformance("po-muon")
test_ranger21 = conformance("po-ranger21")


def test_each_is_offered_or_the_reason_is_said():
    around = {"sam", "wsam", "gsam", "looksam", "friendlysam"}
    assert {*SPECS} | {*plugin.NOT_OFFERED} == {*pytorch_optimizer.get_supported_optimizers()} | around
    assert not {*SPECS} & {*plugin.NOT_OFFERED}
    assert len(SPECS) > 100


def told(name):
    """What the harness tells an optimizer that asks."""
    return {"total_steps": 12} if "total_steps" in inspect.signature(SPECS[name].load()).parameters else {}


@pytest.mark.parametrize("name", SPECS)
def test_its_parameters_are_its_own(name):
    def named(function):
        return {n for n, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}

    own = named(plugin.class_of(name)) - {"params", "model", "base_optimizer", "optimizer", "num_iterations"}
    offered = named(SPECS[name].load()) - {"model", "total_steps"}
    sgd = {"lr", "momentum", "weight_decay", "nesterov"} if name in plugin.AROUND_SGD else set()
    assert offered == own | sgd
    with pytest.raises(TypeError, match="no_such_thing"):
        SPECS[name].load()(torch.nn.Linear(2, 2), no_such_thing=1, **told(name), **SPECS[name].defaults)


@pytest.mark.parametrize("name", SPECS)
def test_it_steps(name):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(20, 99), torch.nn.ReLU(), torch.nn.Linear(99, 3))
    optimizer = SPECS[name].load()(model, **told(name), **SPECS[name].defaults)
    trial = Trial(model, optimizer, SPECS[name])
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    trial.train()
    for _ in range(12):
        loss = trial.step(torch.randn(8, 20), torch.randint(3, (8,)))
        assert loss.isfinite()
    assert not torch.equal(before, torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_the_table_and_the_list_of_the_readme_are_whole():
    text = README.read_text("utf-8")
    for name in SPECS:
        assert f"| po-{name} " in text
    for name, reason in plugin.NOT_OFFERED.items():
        assert f"- `{name}` {reason}" in text
