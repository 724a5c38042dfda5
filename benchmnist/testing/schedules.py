"""What a schedule promises."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from benchmnist.testing import parameters
from benchmnist.testing.checks import Check, Miss, Subject, check

HARNESS = ("optimizer", "total_steps")
LENGTHS = (1, 2, 7, 100)
LR = 0.1


def _rates(subject: Subject, total_steps: int, **params: Any) -> list[float]:
    """The learning rate of each step of a training of that length."""
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


@check(
    "give every parameter of `build` a default that works; return one of torch.optim.lr_scheduler's kind",
    first=True,
)
def builds(subject: Subject) -> None:
    """Is built with its defaults, as an LRScheduler."""
    _rates(subject, 1)


@check("name what a suite may set in the signature of `build`, and let each default be one that it takes")
def takes_its_parameters(subject: Subject) -> None:
    """Is built with each parameter that it declares."""
    parameters.tries_its_parameters(subject, HARNESS, lambda **params: _rates(subject, 10, **params))


@check("take only the parameters that you know, not any `**params`; or pass them on to what refuses them")
def refuses_unknown_parameters(subject: Subject) -> None:
    """Refuses a parameter that it does not know."""
    parameters.refuses_unknown(lambda **params: _rates(subject, 10, **params))


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


@check("set nothing for all of torch: no default dtype or device, no number of threads, no gradient mode")
def leaves_torch_alone(subject: Subject) -> None:
    """Changes no global setting of torch."""
    parameters.leaves_torch_alone(lambda: _rates(subject, 10))


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    builds,
    takes_its_parameters,
    refuses_unknown_parameters,
    leaves_torch_alone,
    lasts_for_all_steps,
    is_deterministic,
)
