"""The promises of a schedule."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from benchmnist.extensions.kinds import SCHEDULE
from benchmnist.testing import parameters
from benchmnist.testing.checks import Check, Miss, Subject, check

LENGTHS = (1, 2, 7, 100)
LR = 0.1


def _rates(subject: Subject, total_steps: int, **params: Any) -> list[float]:
    """Returns the learning rate of each step of a training of that length."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=LR)
    build = subject.offer.spec.load()
    schedule = build(optimizer, total_steps=total_steps, **{**subject.offer.spec.defaults, **params})
    if not isinstance(schedule, LRScheduler):
        raise Miss(f"build returned a {type(schedule).__name__}")
    rates = []
    for _ in range(total_steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        parameter.grad = torch.ones(3)
        optimizer.step()
        schedule.step()
    return rates


_ten_rates = partial(_rates, total_steps=10)


@check(
    "give every parameter of `build` a default that works; return one of torch.optim.lr_scheduler's kind",
    first=True,
)
def builds(subject: Subject) -> None:
    """Is built with its defaults, as an LRScheduler."""
    _rates(subject, 1)


@check("it is stepped once after every step of the optimizer, `total_steps` times: count in steps, not in epochs")
def lasts_for_all_steps(subject: Subject) -> None:
    """Has a learning rate for every step, finite and not negative, however few or many they are."""
    for total_steps in LENGTHS:
        rates = _rates(subject, total_steps)
        wrong = [(step, rate) for step, rate in enumerate(rates, 1) if not (math.isfinite(rate) and rate >= 0)]
        if wrong:
            raise Miss(f"of {total_steps} steps, step {wrong[0][0]} has the learning rate {wrong[0][1]}")


@check("a learning rate is a function of the step and of `total_steps` alone")
def is_deterministic(subject: Subject) -> None:
    """Has the same learning rates every time."""
    torch.manual_seed(1)
    one = _rates(subject, 100)
    torch.manual_seed(2)
    if _rates(subject, 100) != one:
        raise Miss("the second time it has other learning rates")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    builds,
    parameters.takes_its_parameters("built", SCHEDULE.harness, _ten_rates),
    parameters.refuses_unknown_parameters(_ten_rates),
    parameters.leaves_torch_alone(_ten_rates),
    lasts_for_all_steps,
    is_deterministic,
)
