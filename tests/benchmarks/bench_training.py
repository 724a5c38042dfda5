"""What an epoch costs, by engine, seeds, batch size and width, and the least that it could cost.

Not part of the tests: `pytest -n 0 tests/benchmarks/bench_training.py`, with `-k` for a part of it and
BENCHMNIST_DEVICE=cuda for a GPU. Each epoch is of 12,000 digits; a round is an epoch.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
import torch
from training_support import component, make_case, setting_of

from benchmnist.training.clock import Clock
from benchmnist.training.engines import seconds_of
from benchmnist.training.engines.recorded import RecordedEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.environment import resolve_device
from benchmnist.training.fast_paths import Setting, find_fast_path
from benchmnist.training.loop import train_case

DEVICE = resolve_device(os.environ.get("BENCHMNIST_DEVICE", "cpu"))
DIGITS = 12_000
ROUNDS = 5
EVERY = (None, 10, 20, 50, 100)


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
    way = find_fast_path(setting)
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


@pytest.mark.benchmark(group="engines in turn")
@pytest.mark.parametrize(
    "case", ["fc/sgd", "fc/momentum", "fc/rmsprop", "fc/adam", "fc-bn/adam", "fc-bn-dropout/adam", "cnn/adam"]
)
def test_engines(benchmark: Any, case: str) -> None:
    """A round is an epoch of each engine in turn, so that what else the machine does meets all of them.

    In extra_info: the seconds of each engine, and by how much it was faster than `dataloader` in the same round.
    """
    model, _, optimizer = case.partition("/")
    engines = ["dataloader", "resident", *(["graph"] if DEVICE.type == "cuda" else [])]
    settings = [of(engine, model, optimizer, batch=64 if model == "cnn" else 100) for engine in engines]
    ways = {engine: find_fast_path(setting) for engine, setting in zip(engines, settings, strict=True)}
    trials = {way: way.trial(setting, (0,)) for way, setting in zip(ways.values(), settings, strict=True)}
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    clock = Clock(DEVICE)

    def run() -> None:
        for engine, way in ways.items():
            trial, epoch = trials[way], len(seconds[engine]) + 1
            trial.begin(epoch)
            start = clock()
            way.engine.train_epoch(trial, trial.order(DIGITS, epoch))
            seconds[engine].append(clock() - start - way.engine.untimed_seconds)

    benchmark.pedantic(run, rounds=2 * ROUNDS)
    ratios = {
        engine: sorted(slow / fast for slow, fast in zip(seconds["dataloader"], mine, strict=True))
        for engine, mine in seconds.items()
    }
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "seconds": seconds}
    benchmark.extra_info |= {
        f"{engine}, times faster": f"{found[ROUNDS]:.1f} ({found[0]:.1f} to {found[-1]:.1f})"
        for engine, found in ratios.items()
    }


@pytest.mark.skipif(DEVICE.type != "cpu", reason="it is for CPUs")
@pytest.mark.benchmark(group="recorded")
@pytest.mark.parametrize(
    "case",
    [
        *(f"fc/{optimizer}" for optimizer in ("adam", "adamw", "rmsprop", "sgd", "momentum")),
        *("fc-bn/adam", "fc-bn-dropout/adam", "logistic/adam", "logistic/sgd", "cnn/adam"),
    ],
)
def test_recorded(benchmark: Any, case: str) -> None:
    """A round is an epoch of steps as they are, and one of recorded steps, in one thread.

    In extra_info: milliseconds of a step of both by the time of the processor, and by how much they differ.
    """
    model, _, optimizer = case.partition("/")
    setting = of("resident", model, optimizer, batch=64 if model == "cnn" else 100)
    setting = replace(setting, case=setting.case.model_copy(update={"epochs": 5}))
    torch.set_num_threads(1)
    way = find_fast_path(setting)  # which has enough steps to try oneDNN, and too few to be recorded
    parts = setting.dataset, setting.session, setting.case.batch_size
    engines = [ResidentEngine(*parts), RecordedEngine(*parts)]
    trials = [way.trial(setting, (0,)) for _ in engines]
    found: list[list[float]] = [[], []]

    def run() -> None:
        for engine, trial, mine in zip(engines, trials, found, strict=True):
            engine.clock = thread_time
            trial.begin(len(mine))
            start = thread_time()
            losses = engine.train_epoch(trial, trial.order(DIGITS, len(mine)))
            mine.append(1e3 * seconds_of(engine, thread_time() - start, len(losses)) / len(losses))

    benchmark.pedantic(run, rounds=2 * ROUNDS, warmup_rounds=1)
    ratios = sorted(plain / recorded for plain, recorded in zip(*found, strict=True))
    plain, recorded = (statistics.median(each) for each in found)
    times = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    benchmark.extra_info |= {"ms": f"{plain:.2f}, {recorded:.2f}", "times as fast": times, "remarks": way.remarks}


@pytest.mark.skipif(DEVICE.type != "cpu", reason="it is for CPUs")
@pytest.mark.benchmark(group="parts")
@pytest.mark.parametrize("case", ["logistic/adam", "fc/adam", "fc-bn-dropout/sgd"])
@pytest.mark.parametrize("recorded", ["0", "1"])
def test_parts(benchmark: Any, case: str, recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round is an epoch of 600 steps without evaluations within it, and one with `evaluate_every` of 10 to 100.

    In extra_info: what a step takes by the clock of the results, and with all that is done between the parts, the
    evaluations of 100 images included; both by the time of the processor, as multiples of the epoch without.
    """
    monkeypatch.setattr("benchmnist.training.clock.perf_counter", thread_time)
    monkeypatch.setenv("BENCHMNIST_RECORDED", recorded)
    torch.set_num_threads(1)
    model, _, optimizer = case.partition("/")
    plain = of("auto", model, optimizer, batch=20).case
    changes = [{"evaluate_every": each, "epochs": 2 * ROUNDS + 1, "test_size": 100} for each in EVERY]
    epochs = [train_case(setting_of(plain.model_copy(update=each))) for each in changes]
    found: list[list[tuple[float, float]]] = []

    def run() -> None:
        found.append([])
        for each in epochs:
            epoch = next(each)
            start = thread_time()
            epoch.run()
            found[-1].append((1e3 * epoch.seconds / 600, 1e3 * (thread_time() - start) / 600))

    benchmark.pedantic(run, rounds=2 * ROUNDS, warmup_rounds=1)
    told = benchmark.extra_info["ms"] = {}
    for way, every in enumerate(EVERY):
        ratios = [[each[way][of_what] / each[0][of_what] for each in found[1:]] for of_what in (0, 1)]
        shown = (f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in ratios)
        told[str(every)] = (f"{statistics.median(each[way][0] for each in found[1:]):.3f}", *shown)


@pytest.mark.skipif(DEVICE.type != "cpu", reason="it is for CPUs")
@pytest.mark.benchmark(group="others")
@pytest.mark.parametrize("processes", [1, 2])
def test_others(benchmark: Any, processes: int) -> None:
    """A round is an epoch of each way in turn, in so many processes at the same time: see others.py.

    In extra_info: the median seconds of an epoch of each way, and by how much it was faster than the notebook's
    loop in the same round and process, by the clock and by the time of the processor. On a busy machine only the
    latter means something.
    """
    program = str(Path(__file__).with_name("others.py"))
    started = [
        subprocess.Popen(
            [sys.executable, program, str(core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"},
        )
        for core in range(processes)
    ]
    pipes = [(process.stdin, process.stdout) for process in started if process.stdin and process.stdout]
    (ways, *_) = [answer.readline().strip().split("\t") for _, answer in pipes]
    seconds: dict[str, list[list[float]]] = {way: [] for way in ways}

    def run() -> None:
        for way, found in seconds.items():
            for ask, _ in pipes:
                ask.write(f"{way}\n")
                ask.flush()
            found.extend([float(each) for each in answer.readline().split()] for _, answer in pipes)

    try:
        benchmark.pedantic(run, rounds=2 * ROUNDS)
    finally:
        for process in started:
            process.communicate()
    for (way, mine), (index, clock) in product(seconds.items(), enumerate(("clock", "processor"))):
        ratios = sorted(slow[index] / fast[index] for slow, fast in zip(seconds["notebook"], mine, strict=True))
        benchmark.extra_info[f"{way}, by the {clock}"] = (
            f"{statistics.median(each[index] for each in mine):.3f} s, {statistics.median(ratios):.2f} times "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


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
