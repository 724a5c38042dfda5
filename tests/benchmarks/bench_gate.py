"""How often the intervals of the gate hold, how often its words are wrong, and what it finds.

Not part of the tests: `python -m pytest -n 0 tests/benchmarks/bench_gate.py` writes the tables of
docs/how-to-track-throughput.md anew (some minutes). Made-up rounds go through `benchmnist.analysis.gate`, and
made-up runs through `benchmnist.analysis.non_inferiority`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_up import made_up_run, seeds_result
from noise_of_rounds import NOISES, seeds_of
from tabulate import tabulate

from benchmnist.analysis.gate import Benchmark, compare_benchmarks
from benchmnist.analysis.non_inferiority import non_inferior
from benchmnist.analysis.statistics import detectable
from benchmnist.reports.document_blocks import read_document, replaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noise_of_rounds import Noise
    from numpy.typing import NDArray

    from benchmnist.analysis.gate import GateVerdict
    from benchmnist.runs.results import RunResult

PAGE = Path(__file__).parents[2] / "docs" / "how-to-track-throughput.md"
FILES = 2000
RUNS = 500
SPREAD = 0.1


def judged(noise: Noise, seeds: int, rounds: int, factor: float) -> list[GateVerdict]:
    """Compares FILES pairs of files of one noise; the code of the second takes `factor` times as long."""
    rng = np.random.default_rng(0)
    of = tuple(map(int, seeds_of(seeds, rounds)))
    files = [np.exp(noise(rng, FILES, rounds)) for _ in range(2)]

    def benchmarks(times: Sequence[Sequence[float]]) -> dict[str, Benchmark]:
        return {str(i): Benchmark(str(i), tuple(row), {}, seeds=of) for i, row in enumerate(times)}

    return compare_benchmarks(benchmarks(files[0].tolist()), benchmarks((files[1] * factor).tolist()))


def shares(noise: Noise, seeds: int, rounds: int) -> list[str]:
    """Returns how often the interval holds, and the words: of equal code, and of code that is 1.3 times slower."""
    same, slowed = judged(noise, seeds, rounds, 1), judged(noise, seeds, rounds, 1.3)
    holds = sum((v.low or 0) <= 1 <= (v.high or 0) for v in same)
    found = [
        holds,
        sum(v.word == "no change" for v in same),
        sum(v.word in ("slower", "faster") for v in same),
        sum(v.word == "slower" for v in slowed),
    ]
    return [f"{100 * number / FILES:.3g}" for number in found]


@pytest.mark.benchmark(group="gate")
def test_what_the_gate_says() -> None:
    rows = []
    for name, (seeds, noise) in NOISES.items():
        columns = zip(*(shares(noise, seeds, rounds) for rounds in (16, 40, 200)), strict=True)
        rows.append([name, *(" / ".join(column) for column in columns)])
    heads = [
        "rounds",
        "interval holds",
        "equal code: no change",
        "equal code: slower or faster",
        "code 1.3 times slower: slower",
    ]
    table = tabulate(rows, heads, "github", disable_numparse=True, colalign=["left", *["right"] * 4])
    PAGE.write_text(replaced(read_document(PAGE), table, "gate-rates", PAGE), "utf-8")


def words(change: float, margin: float, cases: int, seeds: int) -> list[list[str]]:
    """Returns the words of RUNS pairs of runs; each case of the second has that change, in points of accuracy."""
    rng = np.random.default_rng(0)
    found: list[list[str]] = []

    def run(accuracies: NDArray[np.float64]) -> RunResult:
        return made_up_run([seeds_result("fc", f"m{i}", row) for i, row in enumerate(accuracies.tolist())])

    for _ in range(RUNS):
        before = 97 + 3 * SPREAD * rng.normal(0, 1, (cases, seeds))
        after = before + change + SPREAD * rng.normal(0, 1, (cases, seeds))
        found.append([verdict.word for verdict in non_inferior(run(before), run(after), "accuracy", margin)])
    return found


@pytest.mark.benchmark(group="gate")
def test_what_is_shown_to_learn_the_same() -> None:
    rows = []
    for cases in (1, 4, 13):
        for seeds in (3, 5, 10, 20, 30):
            margin = detectable(seeds, cases, SPREAD)
            same = [word for run in words(0, margin, cases, seeds) for word in run]
            edge = words(-margin, margin, cases, seeds)
            shown = 100 * same.count("no worse") / len(same)
            wrong = 100 * sum("no worse" in run for run in edge) / RUNS
            rows.append([str(cases), str(seeds), f"{margin / SPREAD:.2f}", f"{shown:.0f}", f"{wrong:.1f}"])
    heads = [
        "cases",
        "seeds",
        "margin ÷ spread",
        "no change: learns the same",
        "worse by the margin: learns the same",
    ]
    table = tabulate(rows, heads, "github", disable_numparse=True, colalign=["right"] * 5)
    PAGE.write_text(replaced(read_document(PAGE), table, "same-margins", PAGE), "utf-8")
