"""The built-in learning-rate schedules: torch's own, with torch's own parameter names.

Each is told how many steps there are, and starts from the learning rate that the optimizer was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch.optim import lr_scheduler

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def constant(optimizer: Optimizer, *, total_steps: int) -> LRScheduler:  # noqa: ARG001 - each is told
    """Keeps the learning rate, at the cost of a schedule: the one with which to compare others."""
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)


def cosine(optimizer: Optimizer, *, total_steps: int, eta_min: float = 0.0) -> LRScheduler:
    """Lowers the learning rate along half a cosine, to `eta_min` after the last step (Loshchilov, Hutter 2017)."""
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=eta_min)


def onecycle(
    optimizer: Optimizer,
    *,
    total_steps: int,
    max_lr: float | None = None,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = False,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> LRScheduler:
    """Raises the learning rate to `max_lr` and lowers it again, in one cycle (Smith, Topin 2018).

    `max_lr` is the optimizer's own learning rate unless it is given. Unlike torch's OneCycleLR this leaves the
    momentum alone unless it is asked to move it: what is compared is a schedule of the learning rate.
    """
    return lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups] if max_lr is None else max_lr,
        total_steps=total_steps,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        cycle_momentum=cycle_momentum,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
    )


def linear_warmup_cosine(
    optimizer: Optimizer,
    *,
    total_steps: int,
    warmup: float = 0.1,
    start_factor: float = 0.01,
    eta_min: float = 0.0,
) -> LRScheduler:
    """Raises the rate linearly over the share `warmup` of the steps, then lowers it along half a cosine.

    It starts from `start_factor` times the learning rate, and ends at `eta_min`.

    Raises:
        ValueError: if `warmup` is not between 0 and 1.
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup={warmup} is not a share of the steps, from 0 to less than 1")
    warm_steps = round(warmup * total_steps)
    if warm_steps == 0:
        return cosine(optimizer, total_steps=total_steps, eta_min=eta_min)
    rise = lr_scheduler.LinearLR(optimizer, start_factor, total_iters=warm_steps)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, total_steps - warm_steps), eta_min=eta_min)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[warm_steps])


def step(
    optimizer: Optimizer, *, total_steps: int, step_size: int | None = None, gamma: float = 0.1
) -> LRScheduler:
    """Multiplies the learning rate by `gamma` after every `step_size` steps; by default after each third.

    Raises:
        ValueError: if `step_size` is not positive.
    """
    if step_size is not None and step_size < 1:
        raise ValueError(f"step_size={step_size} is not a number of steps, 1 or more")
    return lr_scheduler.StepLR(optimizer, step_size or max(1, -(-total_steps // 3)), gamma)
