"""How often our verdicts are wrong, and how often they find what is there.

Not part of the tests: `python -m pytest -n 0 tests/benchmarks/bench_verdicts.py` writes the tables of
docs/how-to-judge.md anew (some minutes). Made-up results go through `benchmnist.analysis.verdicts.judge`.

A run has a baseline and so many equal cases: every `better` or `worse` is wrong. One case of each run has the
noise that the column names; the others are normal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_up import seeds_result
from tabulate import tabulate

from benchmnist.analysis.verdicts import judge
from benchmnist.reports.document_blocks import read_document, replaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmnist.runs.results import CaseResult

    Noise = Callable[[Generator, int, int], list[list[float | None]]]

PAGE = Path(__file__).parents[2] / "docs" / "how-to-judge.md"
CASES, SEEDS = (2, 4, 13, 30), (3, 5, 10, 20, 30)
RUNS = 200
SPREAD = 0.2


def accuracies(noise: NDArray[np.float64]) -> list[list[float | None]]:
    """Returns the accuracies of each case, in %: a row of `noise` each, in units of the spread."""
    return [[97 + SPREAD * float(value) for value in row] for row in noise]


def one_case(draw: Callable[[Generator, int], NDArray[np.float64]]) -> Noise:
    """The last case, which is no baseline, has noise of its own kind, with a mean of 0."""

    def values(rng: Generator, cases: int, seeds: int) -> list[list[float | None]]:
        found = rng.normal(0, 1, (cases, seeds))
        found[-1] = draw(rng, seeds)
        return accuracies(found)

    return values


def every_case(draw: Callable[[Generator, tuple[int, int]], NDArray[np.float64]]) -> Noise:
    """All cases have the same noise."""
    return lambda rng, cases, seeds: accuracies(draw(rng, (cases, seeds)))


def stepped(rng: Generator, cases: int, seeds: int) -> list[list[float | None]]:
    """Accuracies on a test set of 1,000 images."""
    rounded = np.round(97 + SPREAD * rng.normal(0, 1, (cases, seeds)), 1)
    return [[float(value) for value in row] for row in rounded]


def loses_its_worst(rng: Generator, cases: int, seeds: int) -> list[list[float | None]]:
    """The last case diverges on the worst of its seeds, one in five or more."""
    found: list[list[float | None]] = (97 + SPREAD * rng.normal(0, 1, (cases, seeds))).tolist()
    bound = np.quantile(np.array(found[-1], float), 0.2)
    found[-1] = [value if value is not None and value > bound else None for value in found[-1]]
    return found


def of_these_images(rng: Generator, cases: int, seeds: int) -> list[list[float | None]]:
    """The cases are equal on all images, and one test set of 10,000 is drawn.

    Two cases disagree on 1.3 % of them, so their difference there has a standard deviation of 0.11 points, which
    is the same for every seed.
    """
    luck = rng.normal(0, 100 * (0.013 / 2 / 10_000) ** 0.5 / SPREAD, (cases, 1))
    return accuracies(rng.normal(0, 1, (cases, seeds)) + luck)


def bad_tenth(rng: Generator, seeds: int) -> NDArray[np.float64]:
    """A tenth of the seeds lose 5 points; the mean is that of the others all the same."""
    return np.asarray(rng.normal(0, 1, seeds) - (rng.random(seeds) < 0.1) * 25 + 2.5)


NOISES: dict[str, Noise] = {
    "normal": every_case(lambda rng, size: rng.normal(0, 1, size)),
    "heavy tails": every_case(lambda rng, size: rng.standard_t(3, size)),
    "steps of 0.1": stepped,
    "spread × 5": one_case(lambda rng, seeds: rng.normal(0, 5, seeds)),
    "worst seeds lost": loses_its_worst,
    "skewed": one_case(lambda rng, seeds: 1 - rng.exponential(1, seeds)),
    "a bad tenth": one_case(bad_tenth),
    "other images": of_these_images,
}
"""Noise by the head of its column; the last three break the assumption of the test."""


def made(values: list[list[float | None]], baseline: str | None = "m0") -> list[CaseResult]:
    return [seeds_result("fc", f"m{i}", each, baseline=baseline) for i, each in enumerate(values)]


def wrong(noise: Noise, cases: int, seeds: int) -> str:
    """The share of runs with a wrong word vs the baseline, and with one among all pairs."""
    rng, primary, anywhere = np.random.default_rng(0), 0, 0
    for _ in range(RUNS):
        false = {v.family for v in judge(made(noise(rng, cases, seeds))) if v.word in ("better", "worse")}
        primary += "primary" in false
        anywhere += "exploratory" in false
    return f"{100 * primary / RUNS:.0f}" + (f" / {100 * anywhere / RUNS:.0f}" if cases > 2 else "")


def found(effect: float, cases: int, seeds: int) -> str:
    """The share of runs that show a difference of so many spreads: against the baseline, and among all pairs."""
    shares = []
    for baseline in ("m0", None):
        rng, shown = np.random.default_rng(0), 0
        for _ in range(RUNS):
            values = 97 + SPREAD * rng.normal(0, 1, (cases, seeds))
            values[1] += effect * SPREAD
            (verdict,) = (
                v
                for v in judge(made(values.tolist(), baseline))
                if {v.one.case.method, v.other.case.method} == {"m0", "m1"}
            )
            shown += verdict.word == "better"
        shares.append(f"{100 * shown / RUNS:.0f}")
    return " / ".join(dict.fromkeys(shares))


def written(name: str, heads: list[str], rows: list[list[str]]) -> None:
    table = tabulate(rows, heads, "github", disable_numparse=True, colalign=["right"] * len(heads))
    PAGE.write_text(replaced(read_document(PAGE), table, name, PAGE), "utf-8")


@pytest.mark.benchmark(group="verdicts")
def test_wrong_words() -> None:
    rows = [
        [str(cases), str(seeds), *(wrong(noise, cases, seeds) for noise in NOISES.values())]
        for cases in CASES
        for seeds in SEEDS
    ]
    written("wrong-words", ["cases", "seeds", *NOISES], rows)


@pytest.mark.benchmark(group="verdicts")
def test_found_differences() -> None:
    effects = (1, 2, 3, 5)
    rows = [
        [str(cases), str(seeds), *(found(effect, cases, seeds) for effect in effects)]
        for cases in CASES
        for seeds in SEEDS
    ]
    written("found-differences", ["cases", "seeds", *(f"{effect} × spread" for effect in effects)], rows)
