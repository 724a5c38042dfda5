"""Counts what a training step on a GPU consists of: kernels, and calls of the host. It needs no GPU.

Not part of the tests: `python -m pytest -n 0 -s tests/benchmarks/bench_launches.py`. The counts come from the
stand-in for `torch.cuda` (tests/cuda_standin): each operation of ATen that computes counts as one kernel, and each
operation or replay of a graph that the host starts as one call. A GPU's own kernels may be more (a fused optimizer
starts one for every few hundred thousand entries) or fewer (dropout is one there, and three here).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from standin_support import standin
from training_support import component, make_case, setting_of

from benchmnist.suites.bundles import Bundle
from benchmnist.training.fast_paths import find_fast_path

if TYPE_CHECKING:
    from benchmnist.suites.cases import Case

STEPS, BATCH = 120, 20


@pytest.mark.parametrize("points", [1, 10, 100])
def test_points(points: int) -> None:
    """Prints a row for as many learning rates in one stack."""
    cases = [
        make_case(
            id=f"a/{number}",
            model=component("fc", hidden_size=8),
            optimizer=component("adam", lr=1e-3 / (number + 1)),
            engine="stacked",
            train_size=STEPS * BATCH,
            batch_size=BATCH,
            epochs=3,
        )
        for number in range(points)
    ]
    how, trials, kernels, calls = count(Bundle.of(cases))
    sys.stdout.write(
        f"\n| fc / adam, {points} learning rates | | {how} | {trials} | {kernels:.2f} | {calls:.2f} |"
    )


def counted(**options: Any) -> tuple[str, int, float, float]:
    """Makes a case, and counts it."""
    return count(make_case(train_size=STEPS * BATCH, batch_size=BATCH, epochs=3, **options))


def count(case: Case) -> tuple[str, int, float, float]:
    """Trains a case; returns how, its number of trials, and kernels and calls for each step of the last epoch."""
    with standin() as machine, (setting := setting_of(case, "cuda")).session.current():
        way = find_fast_path(setting)
        trial = way.trial(setting, case.seeds if way.stacked else case.seeds[:1])
        kernels = calls = 0
        for epoch in (1, 2):
            trial.begin(epoch)
            order = way.engine.move(trial.order(STEPS * BATCH, epoch))
            kernels, calls = machine.kernels, machine.submissions
            way.engine.train_epoch(trial, order)
        found = " + ".join(way.remarks) or way.name, len(trial.seeds)
        return *found, (machine.kernels - kernels) / STEPS, (machine.submissions - calls) / STEPS


@pytest.mark.parametrize("schedule", [None, "cosine"])
@pytest.mark.parametrize("engine", ["resident", "auto", "stacked"])
@pytest.mark.parametrize("model", ["fc", "fc-bn", "fc-bn-dropout", "cnn"])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_launches(model: str, optimizer: str, engine: str, schedule: str | None) -> None:
    """Prints a row: the case, how it was trained, the kernels of a step, and the calls of the host for it."""
    how, trials, kernels, calls = counted(
        model=model if model == "cnn" else component(model, hidden_size=32),
        optimizer=component(optimizer, lr=1e-3),
        engine=engine,
        seeds=tuple(range(8)) if engine == "stacked" else (0,),
        schedule=schedule and component(schedule),
    )
    row = f"{model} / {optimizer} | {schedule or ''} | {how} | {trials} | {kernels:.2f} | {calls:.2f}"
    sys.stdout.write(f"\n| {row} |")
