"""How many times as many trials a stack trains in the same time as one by one, as `auto` measures it.

    pytest -n 0 -q tests/benchmarks/bench_stacks.py

One thread, Adam, batches of 100 digits. A row is of one model: 4 and 8 seeds, 8 learning rates, 10 of 3 seeds.
Then the processor seconds of whole trainings of 6 learning rates and 3 seeds, stacked or not as `auto` decides,
and never.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from training_support import component, make_case, setting_of

from benchmnist.execution.bundling import together
from benchmnist.execution.dispatch import Dispatcher, Observer
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.bundles import Bundle
from benchmnist.training.data import default_data_root
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.fast_paths import FastPath, find_fast_path
from benchmnist.training.speed import gain_of_stack
from benchmnist.training.trial import Build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmnist.suites.cases import Component

SHAPES = ((1, 4), (1, 8), (8, 1), (10, 3))
"""Numbers of learning rates and of seeds."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


of_each_model = pytest.mark.parametrize(
    "model",
    [
        component("logistic"),
        component("fc", hidden_size=20),
        component("fc", hidden_size=50),
        component("fc-bn-dropout", hidden_size=50),
        component("fc", hidden_size=150),
        component("fc"),
        component("cnn"),
    ],
    ids=lambda model: model.identity,
)


@of_each_model
def test_gains(model: Component) -> None:
    """Prints the row of a model."""
    found = [gain(model, *shape) for shape in SHAPES]
    sys.stdout.write(f"\n| {model.identity} | {' | '.join(f'{each:.2f}' for each in found)} |")


@of_each_model
def test_whole_trainings(model: Component, tmp_path: Path) -> None:
    """Prints the seconds of both in turn."""
    took: dict[str, list[float]] = {"auto": [], "resident": []}
    for engine in ("auto", "resident", "resident", "auto"):
        took[engine].append(seconds(model, engine, tmp_path))
    sys.stdout.write(f"\n| {model.identity} | {took} |")


def seconds(model: Component, engine: str, folder: Path) -> float:
    """Trains the cases as a session does."""
    cases = [
        make_case(
            id=f"a/{number}",
            model=model,
            optimizer=component("adam", lr=1e-3 * 1.2**number),
            seeds=(0, 1, 2),
            epochs=10,
            train_size=6000,
            batch_size=100,
            engine=engine,
            validation_size=1000,
        )
        for number in range(6)
    ]
    with InlineExecutor(Workplace("cpu", default_data_root(), folder, checkpoints=False)) as executing:
        dispatcher = Dispatcher(executing, Observer(), together=together(find_plugins(), cases))
        start = time.process_time()
        dispatcher.expect(cases)
        for case in cases:
            for epoch in dispatcher.epochs(case):
                epoch.run()
        return time.process_time() - start


def gain(model: Component, points: int, seeds: int) -> float:
    """Measures the gain of a stack over the fastest way of one trial."""
    cases = [
        make_case(
            id=f"a/{number}",
            model=model,
            optimizer=component("adam", lr=1e-3 / (number + 1)),
            seeds=tuple(range(seeds)),
            epochs=5,
            train_size=10_000,
            batch_size=100,
        )
        for number in range(points)
    ]
    setting = setting_of(Bundle.of(cases))
    alone = find_fast_path(replace(setting, case=cases[0]))
    engine = ResidentEngine(setting.dataset, setting.session, setting.case.batch_size)
    return gain_of_stack(setting, alone, FastPath(engine, Build(fused=True), stacked=True))
