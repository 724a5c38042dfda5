"""How often `benchmnist versus` says of two optimizers that are the same that one is better.

Not part of the tests: `RUNS=200 pytest -n 0 -s tests/benchmarks/bench_versus_calibration.py`, with `-k` for one of
the places. It writes the rate, with its interval.

Both optimizers are Adam on noisy gradients, each with noise of its own, also in each run: so both have the same
distribution of results, and every "better" is wrong. By the level of the intervals, at most 5 % may be.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from scipy import stats

import benchmnist
from benchmnist.suites.pace import Sizes

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = int(os.environ.get("RUNS", "20"))
LONG = 24 * 3600
BETTER = ("is better by", "solves more", "as many as lucky")
"""Words of the answers that one of them is better."""
PLUGIN = """
import os

import torch

from benchmnist import OptimizerSpec, ProblemSpec, hookimpl


class Lucky(torch.optim.Adam):
    def __init__(self, params, lr, side, noise):
        super().__init__(params, lr=lr)
        run = int(os.environ.get("BENCH_RUN", "0"))
        self.noise, self.luck = noise, torch.Generator().manual_seed(
            hash((torch.initial_seed(), side, run)) % 2**63
        )

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.add_(torch.randn(p.shape, generator=self.luck), alpha=self.noise)
        return super().step(closure)


@hookimpl
def benchmnist_optimizers():
    build = lambda model, *, lr=0.01, side=0, noise=0.02: Lucky(model.parameters(), lr, side, noise)
    return [OptimizerSpec(name="lucky", summary="Adam on noisy gradients", build=build)]


@hookimpl
def benchmnist_problems():
    return [
        ProblemSpec(
            name="some",
            summary="solved by luck",
            model="logistic",
            dataset="few",
            settings={"steps": 20, "batch_size": 50, "evaluate_every": 2},
            levels={str(target): {"target_accuracy": target} for target in (60.0, 70.0, 75.0)},
            solved_by={"optimizer": "adam", "lr": 0.01},
        )
    ]
"""


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("on", ["few/logistic", "some"])
@pytest.mark.parametrize("searches", [3, 8], ids="{} searches".format)
def test_how_often_equals_are_told_apart(
    on: str, searches: int, install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("lucky", PLUGIN)
    said: Counter[str] = Counter()
    for run in range(RUNS):
        monkeypatch.setenv("BENCH_RUN", str(run))
        found = benchmnist.versus(
            "lucky:side=0",
            "lucky:side=1",
            on=on,
            sizes=Sizes(20, 3, searches, 200),
            executor="inline",
            budget=LONG,
        )
        (answer,) = found.answers
        better = any(word in answer.sentence for word in BETTER)
        said["better" if better else "told" if answer.told else "not told"] += 1
        sys.stdout.write(f"\r{dict(said)}" if run else f"\n{answer.sentence}\n")
        sys.stdout.flush()
    wrong_ones, number = said["better"], said.total()
    low, high = stats.binomtest(wrong_ones, number).proportion_ci(method="exact")
    sys.stdout.write(
        f"{on}, {searches} searches: {wrong_ones} of {number} runs say that one is better, "
        f"{wrong_ones / number:.1%} ({low:.1%} to {high:.1%}); {dict(said)}\n"
    )
