"""The built-in schedules are what their names say, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from benchmnist.extensions.registry import find_plugins

SCHEDULES = find_plugins().schedules


def rates(name: str, steps: int, lr: float = 0.1, **params: Any) -> list[float]:
    """The learning rate of each step of a training."""
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=lr, momentum=0.9)
    schedule = SCHEDULES[name].spec.load()(optimizer, total_steps=steps, **params)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        parameter.grad = torch.ones(1)
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["momentum"] == 0.9 or params.get("cycle_momentum")
    return found


def test_constant_and_cosine() -> None:
    assert rates("constant", 5) == [0.1] * 5
    expected = [0.01 + 0.09 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates("cosine", 8, eta_min=0.01) == pytest.approx(expected)


def test_a_warm_up_is_a_straight_line_and_then_a_cosine() -> None:
    found = rates("linear-warmup-cosine", 20, warmup=0.2, start_factor=0.5)
    assert found[:5] == pytest.approx([0.05, 0.0625, 0.075, 0.0875, 0.1])
    assert found[4:] == pytest.approx([0.1 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)])
    assert rates("linear-warmup-cosine", 5, warmup=0.0) == rates("cosine", 5)
    with pytest.raises(ValueError, match=r"warmup=1.5 is not a share of the steps"):
        rates("linear-warmup-cosine", 5, warmup=1.5)


def test_onecycle_peaks_at_the_optimizers_own_learning_rate() -> None:
    found = rates("onecycle", 100)
    assert max(found) == pytest.approx(0.1)
    assert found.index(max(found)) == 29  # the thirtieth step: `pct_start` is 0.3
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[-1] == pytest.approx(0.1 / 25 / 1e4)
    assert max(rates("onecycle", 50, max_lr=0.7)) == pytest.approx(0.7, rel=1e-2)
    rates("onecycle", 10, cycle_momentum=True)


def test_step_falls_by_gamma_after_each_third() -> None:
    assert rates("step", 7) == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001])
    assert rates("step", 5, step_size=2, gamma=0.5) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])
    with pytest.raises(ValueError, match="step_size=0 is not a number of steps"):
        rates("step", 5, step_size=0)
