"""Measures, on trials that are discarded, whether a change makes the steps of a case faster here."""

from __future__ import annotations

import math
import os
import statistics
from itertools import cycle
from time import get_clock_info, perf_counter, thread_time  # by their own names: plugins may replace the module's
from typing import TYPE_CHECKING

import torch

from benchmnist.suites.bundles import has_built_in_step
from benchmnist.training.engines import seconds_of
from benchmnist.training.trial import steps_of_trial, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.suites.cases import Case
    from benchmnist.training.fast_paths import FastPath, Setting

ONEDNN, RECORDED = "BENCHMNIST_ONEDNN", "BENCHMNIST_RECORDED"
"""Variables of the environment that decide, `1` or `0`, whether products are computed by oneDNN and whether steps
are recorded, unmeasured.
"""

FEWEST_STEPS = {ONEDNN: 200, RECORDED: 1000}
"""Steps of a trial from which on it can pay to try a change. To try a recorded step takes a fifth of a second."""

FEWEST_IN_EPOCH = 50
"""Steps of an epoch from which on it pays to record one of them each time."""

ROUNDS, SECONDS = 7, 0.1
"""A measurement takes so many rounds, and then as many as there are in so many seconds."""

BLOCK_SECONDS = 0.004
"""A round times each way once, for at least so long: what is timed must be long to the clock and to what an epoch
costs besides its steps, and short to what else the machine does.
"""

FEWEST_IN_BLOCK = 4
"""A block has so many steps at least: of recorded ones, the last is not timed."""

MIN_SPEEDUP = 1.05
"""A change must be so many times as fast: less is not worth another rounding, and could be noise."""

STACK_SECONDS = 0.2
"""A measurement of a stack takes two rounds, and then as many as there are in so many seconds."""

MIN_GAIN = 1.1
"""A stack must train so many times as many trials in the same time, or they are trained one by one."""

FEWEST_STEPS_OF_STACK = 10_000
"""Steps of all trials of a stack, one by one, from which on a measurement can pay."""

HOPELESS = 0.7
"""A stack that a single step shows to be so slow is measured no further."""


def may_try(setting: Setting, variable: str) -> bool:
    """Tells whether to try a change for a case: its trials are long enough to measure it, or it is decided."""
    steps = steps_per_epoch(setting.case, setting.dataset)
    long = steps_of_trial(setting.case, setting.dataset) >= FEWEST_STEPS[variable]
    if variable == RECORDED:  # a stranger's step may depend on what no record shows, and its author need not know
        known = setting.recorded and has_built_in_step(setting.case, setting.registry)
        long = long and steps >= FEWEST_IN_EPOCH and known
    return {"0": False, "1": True}.get(os.environ.get(variable, ""), long)


def is_faster(setting: Setting, plain: FastPath, changed: FastPath, variable: str) -> bool:
    """Measures whether a change makes the steps of a case faster, unless it is decided.

    A process measures a model once, so that all its cases with the same batches are executed alike; recorded steps
    once for each of its optimizers, whose code they save.
    """
    if os.environ.get(variable) == "1":
        return True
    optimizer = setting.case.optimizer.use if variable == RECORDED else ""
    measured, key = setting.session.speedups, f"{variable} {plain.build} {_steps_of(setting.case)} {optimizer}"
    if key not in measured:
        measured[key] = _speedup(setting, plain, changed)
    return measured[key] >= MIN_SPEEDUP


def may_stack(setting: Setting) -> bool:
    """Tells whether to measure a stack: its trials are long enough to gain more than that takes."""
    case = setting.case
    return len(case.seeds) * steps_of_trial(case, setting.dataset) >= FEWEST_STEPS_OF_STACK


def gain_of_stack(setting: Setting, alone: FastPath, stacked: FastPath) -> float:
    """Measures how many times as many trials a stack trains in the same time as one by one, in this process.

    A process measures a model and a number of trials once.

    Args:
        setting: The stack's: its case has a seed for each row.
        alone: Execution of one trial.
        stacked: Execution of the stack.
    """
    case, rows = setting.case, len(setting.case.seeds)
    measured, key = setting.session.speedups, f"{alone.build} {stacked.build} {rows} {_steps_of(case)}"
    if key in measured:
        return measured[key]
    one, all_rows = _trainer(setting, alone, _clock()), _trainer(setting, stacked, _clock())
    for each in (one, all_rows):
        each(1)  # which completes the one-time work of a way
    left = steps_of_trial(case, setting.dataset) - 2  # a schedule may end there
    most = max(left // ROUNDS, 1)
    once = one(1), all_rows(1)
    short, long = (max(1, min(math.ceil(BLOCK_SECONDS / seconds), most)) for seconds in once)
    short = max(short, min(FEWEST_IN_BLOCK, most))
    ratios = [rows * once[0] / once[1]]
    if ratios[0] < HOPELESS:  # and it would take long to measure
        measured[key] = ratios[0]
        return ratios[0]
    start = perf_counter()
    while len(ratios) < 2 or (  # noqa: PLR2004 - of a slow stack, each takes long
        perf_counter() - start < STACK_SECONDS and (len(ratios) + 1) * max(short, long) <= left
    ):
        ratios.append(rows * (one(short) / short) / (all_rows(long) / long))
    measured[key] = statistics.median(ratios)
    return measured[key]


def _clock() -> Callable[[], float]:
    """Returns the clock: with one thread that of its processor time, so that other processes do not count."""
    fine = get_clock_info("thread_time").resolution < BLOCK_SECONDS / 100  # it is not on Windows
    return thread_time if fine and torch.get_num_threads() == 1 else perf_counter


def _steps_of(case: Case) -> str:
    """Returns what decides how long the forward and backward pass of a step take."""
    parts = (case.dataset, case.model, case.task)
    named = [(part.use, part.params) for part in parts if part is not None]
    clips = case.clip_grad_norm is not None
    return repr((named, case.batch_size, case.precision, clips))


def _speedup(setting: Setting, plain: FastPath, changed: FastPath) -> float:
    """Returns the median ratio of the seconds of both ways in interleaved blocks of steps."""
    slow, fast = (_trainer(setting, way, _clock()) for way in (plain, changed))
    for each in (slow, fast):
        each(1)  # which completes the one-time work of a way
    left = steps_of_trial(setting.case, setting.dataset) - 2  # a schedule may end there
    steps = min(max(math.ceil(BLOCK_SECONDS / min(slow(1), fast(1))), FEWEST_IN_BLOCK), left // ROUNDS)
    ratios: list[float] = []
    start = perf_counter()
    while len(ratios) < ROUNDS or (perf_counter() - start < SECONDS and (len(ratios) + 1) * steps <= left):
        ratios.append(slow(steps) / fast(steps))
    plain.engine.release()
    changed.engine.release()
    return statistics.median(ratios)


def _trainer(setting: Setting, way: FastPath, clock: Callable[[], float]) -> Callable[[int], float]:
    """Returns a function that trains a new trial on so many more whole batches, and returns the seconds."""
    case, size = setting.case, len(setting.dataset.train_images)
    trial = way.trial(setting, case.seeds[:1])
    trial.begin(0)
    order = way.engine.move(trial.order(size, 0))
    whole = size // case.batch_size * case.batch_size or size
    batches = cycle(order[..., :whole].split(case.batch_size, dim=-1))

    usual = way.engine.clock

    def train(steps: int) -> float:
        chosen = torch.cat([next(batches) for _ in range(steps)], dim=-1)
        way.engine.clock = clock
        try:
            start = clock()
            losses = way.engine.train_epoch(trial, chosen)
            return seconds_of(way.engine, clock() - start, losses.shape[-1])
        finally:
            way.engine.clock = usual

    return train
