"""Costs of an optimizer: the bytes of its state are counted, and the parts of a step timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import made_up_run
from torch import nn, optim
from training_support import component, losses, make_case, result_of

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.expectations import missed
from benchmnist.analysis.figures import case_figure
from benchmnist.builtin.optimizers import muon
from benchmnist.reports.cost_table import duration
from benchmnist.reports.extra_tables import extra_tables
from benchmnist.training.optimizer_state import state_bytes

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

TENSORS = 4  # of `small`
WEIGHTS = 784 * 8 + 8 + 8 * 10 + 10


def small(optimizer: Any, **options: Any) -> CaseResult:
    result = result_of(
        make_case(
            model=component("fc", hidden_size=8),
            optimizer=optimizer,
            **{"train_size": 150, "test_size": 50, "engine": "resident", **options},
        )
    )
    assert not result.error
    return result


@given(shapes=st.lists(st.lists(st.integers(1, 5), max_size=3), min_size=1, max_size=4))
@settings(max_examples=20)
def test_adam_keeps_two_numbers_for_each_weight_and_one_for_each_tensor(shapes: list[list[int]]) -> None:
    weights = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = optim.Adam(weights)
    assert state_bytes(optimizer) == 0
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert state_bytes(optimizer) == 4 * (2 * sum(weight.numel() for weight in weights) + len(weights))


def test_nested_states_and_those_of_parts_count() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = muon(model)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    others = 3 + 6 + 2
    assert state_bytes(optimizer) == 4 * (9 + 2 * others + 3)
    weight = nn.Parameter(torch.ones(3, 3))
    lbfgs = optim.LBFGS([weight], max_iter=3)
    before = state_bytes(lbfgs)

    def loss() -> float:
        weight.grad = 2 * weight.detach()
        return weight.square().sum().item()

    lbfgs.step(loss)
    assert before == 0
    assert state_bytes(lbfgs) >= 4 * 2 * 9  # a direction and a gradient, of its lists among others


@pytest.mark.parametrize("engine", ["dataloader", "resident", "stacked"])
def test_every_engine_counts_the_same_bytes(engine: str) -> None:
    result = small("adam", engine=engine, seeds=(0, 1))
    assert result.engine == engine
    assert [trial.state_bytes for trial in result.trials] == [4 * (2 * WEIGHTS + TENSORS)] * 2
    figure = case_figure(result, "optimizer_state_bytes")
    assert figure is not None
    assert figure.mean == 4 * (2 * WEIGHTS + TENSORS)


def test_no_state_is_a_figure_too() -> None:
    result = small("sgd", expect={"optimizer_state_bytes": "<= 0"})
    assert missed(result) == ()
    assert missed(small("momentum", expect={"optimizer_state_bytes": "<= 0"})) == (
        f"expected optimizer_state_bytes <= 0, got {4 * WEIGHTS:,} B",
    )


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_timing_the_parts_of_a_step_changes_no_result(optimizer: str) -> None:
    timed, other = (
        small(component(optimizer, max_iter=3) if optimizer == "lbfgs" else optimizer, costs=costs, train_size=100)
        for costs in (True, False)
    )
    assert losses(timed) == losses(other)
    assert other.costs is not None
    assert other.costs.seconds is None
    assert timed.costs is not None
    assert timed.costs.seconds is not None
    assert min(timed.costs.seconds.forward, timed.costs.seconds.backward, timed.costs.seconds.update) > 0
    if optimizer == "adam":
        assert timed.costs.fused
        assert (timed.costs.passes, timed.costs.seconds.passes) == (1, 1)
    else:  # one, and one for each further iteration
        assert not timed.costs.may_stack
        assert timed.costs.passes is not None
        assert 1 <= timed.costs.passes <= 4
        assert other.costs.passes is None


def test_short_trainings_are_not_timed_unless_the_suite_asks_for_it() -> None:
    result = small("sgd")
    assert result.costs is not None
    assert result.costs.seconds is None


def test_the_table() -> None:
    run = made_up_run([small("adam", costs=True), small("lbfgs", costs=False, train_size=50, id="b/case")])
    (table,) = extra_tables(Analysis(run), "costs")
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    assert rows[0]["may be"] == "fused, captured, stacked"
    assert rows[0]["state"] == "51.0 kB"
    assert rows[0]["B/weight"] == "8"
    assert rows[0]["update"].endswith("*")
    assert (rows[1]["may be"], rows[1]["passes"], rows[1]["update"]) == ("–", "–", "–")


def test_durations() -> None:
    assert [duration(each) for each in (4.12e-4, 3.2e-3, 1.25)] == ["412 µs", "3.20 ms", "1.25 s"]
