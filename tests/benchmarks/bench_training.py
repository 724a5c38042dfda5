"""What an epoch costs, by engine, seeds, batch size and width, and the least that it could cost.

Not part of the tests: `pytest -n 0 tests/benchmarks/bench_training.py`, with `-k` for a part of it and
BENCHMNIST_DEVICE=cuda for a GPU. Each epoch is of 12,000 digits; a round is an epoch.
"""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
import torch
from training_support import component, make_case, setting_of

from benchmnist.training.clock import Clock
from benchmnist.training.environment import resolve_device
from benchmnist.training.ways import Setting, find_way

DEVICE = resolve_device(os.environ.get("BENCHMNIST_DEVICE", "cpu"))
DIGITS = 12_000
ROUNDS = 5


def of(
    engine: str = "auto", model: Any = "fc", optimizer: str = "adam", seeds: int = 1, batch: int = 100
) -> Setting:
    case = make_case(
        model=model,
        optimizer=component(optimizer, lr=1e-3),
        engine=engine,
        seeds=tuple(range(seeds)),
        batch_size=batch,
        train_size=DIGITS,
    )
    return setting_of(case, str(DEVICE))


def train(benchmark: Any, setting: Setting) -> None:
    """Times epochs of all seeds of a case, one after the other or stacked; extra_info says what of."""
    way = find_way(setting)
    seeds = setting.case.seeds
    trials = [way.trial(setting, group) for group in ([seeds] if way.stacked else [(seed,) for seed in seeds])]
    clock = Clock(DEVICE)
    epoch = 0

    def run() -> None:
        nonlocal epoch
        epoch += 1
        for trial in trials:
            trial.begin(epoch)
            way.engine.train_epoch(trial, trial.order(DIGITS, epoch))
        clock()

    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)
    median = benchmark.stats["median"]
    benchmark.extra_info |= {
        "engine": way.name,
        "remarks": way.remarks,
        "threads": torch.get_num_threads(),
        "trials per second": len(seeds) / median,
        "images per second": len(seeds) * DIGITS / median,
    }


@pytest.mark.benchmark(group="engine")
@pytest.mark.parametrize("engine", ["dataloader", "resident", "graph"])
@pytest.mark.parametrize("case", ["fc/sgd", "fc/adam", "fc/rmsprop", "fc-bn-dropout/adam", "cnn/adam"])
def test_engine(benchmark: Any, case: str, engine: str) -> None:
    model, _, optimizer = case.partition("/")
    train(benchmark, of(engine, model, optimizer, batch=64 if model == "cnn" else 100))


@pytest.mark.benchmark(group="seeds")
@pytest.mark.parametrize("engine", ["resident", "stacked"])
@pytest.mark.parametrize("seeds", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("width", [50, 500])
def test_seeds(benchmark: Any, width: int, seeds: int, engine: str) -> None:
    train(benchmark, of(engine, component("fc", hidden_size=width), seeds=seeds))


@pytest.mark.benchmark(group="batch size")
@pytest.mark.parametrize("batch", [10, 30, 100, 300, 1000])
def test_batch_size(benchmark: Any, batch: int) -> None:
    train(benchmark, of(batch=batch))


@pytest.mark.benchmark(group="width")
@pytest.mark.parametrize("width", [50, 150, 500, 1500])
def test_width(benchmark: Any, width: int) -> None:
    train(benchmark, of(model=component("fc", hidden_size=width)))


@pytest.mark.benchmark(group="least")
@pytest.mark.parametrize("size", [(100, 784, 500), (500, 100, 784), (1024, 1024, 1024)], ids=str)
def test_matrix_product(benchmark: Any, size: tuple[int, int, int]) -> None:
    """The forward product of fc, that of its gradient, and a large one: the rate is in extra_info."""
    n, k, m = size
    a, b = torch.rand(n, k, device=DEVICE), torch.rand(k, m, device=DEVICE)
    clock, repeats = Clock(DEVICE), 20

    def run() -> None:
        for _ in range(repeats):
            a @ b
        clock()

    benchmark.pedantic(run, rounds=20, warmup_rounds=3)
    benchmark.extra_info["GFLOP/s"] = repeats * 2 * math.prod(size) / benchmark.stats["median"] / 1e9


@pytest.mark.benchmark(group="least")
def test_copy(benchmark: Any) -> None:
    """As many bytes as fc's weights have: read and written."""
    source = torch.rand(784 * 500, device=DEVICE)
    target = torch.empty_like(source)
    clock, repeats = Clock(DEVICE), 100

    def run() -> None:
        for _ in range(repeats):
            target.copy_(source)
        clock()

    benchmark.pedantic(run, rounds=20, warmup_rounds=3)
    benchmark.extra_info["GB/s"] = repeats * 2 * source.nbytes / benchmark.stats["median"] / 1e9
