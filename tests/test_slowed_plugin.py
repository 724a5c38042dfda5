"""The plugin `benchmnist-slowed`, installed for real, and the page that shows how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from test_docs import blocks
from torch import nn

from benchmnist.preflight.prepare import prepare
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


@pytest.fixture
def slowed(pip_install: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pip install it from its folder."""
    monkeypatch.syspath_prepend(str(pip_install(ROOT / "plugins" / "benchmnist-slowed")))


@pytest.mark.usefixtures("slowed")
def test_the_suite_of_the_page_puts_it_in_the_place_of_adam(write_suite: Callable[..., Path]) -> None:
    page = blocks(ROOT / "docs" / "how-to-track-throughput.md")
    (block,) = [b for b in page if b.kind == "toml" and "slowed" in b.text]
    plan = prepare(write_suite(block.text), RunOptions(device="cpu")).plan
    real = prepare(ROOT / "suites" / "throughput.toml", RunOptions(device="cpu")).plan
    ours = [case for case in real.cases if case.model.name == "fc"]
    for case, other in zip(plan.cases, ours, strict=True):
        assert case.model_dump(exclude={"optimizer", "line"}) == other.model_dump(exclude={"optimizer", "line"})
    assert plan.cases[1].optimizer.use == "slowed"


@pytest.mark.usefixtures("slowed")
def test_it_computes_what_adam_computes() -> None:
    from importlib import import_module

    slowed_adam = import_module("benchmnist_slowed")

    def trained(build: Callable[[nn.Module], torch.optim.Optimizer]) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        optimizer = build(model)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 4)).square().sum().backward()
            optimizer.step()
        return model.weight.detach()

    ours = trained(lambda model: slowed_adam.build(model, factor=1.1, lr=0.1))
    assert ours.equal(trained(lambda model: torch.optim.Adam(model.parameters(), lr=0.1)))
    with pytest.raises(ValueError, match=r"factor=0\.9 is below 1"):
        slowed_adam.build(nn.Linear(1, 1), factor=0.9)
