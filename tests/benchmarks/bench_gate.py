"""How often the interval of the gate holds, how often its words are wrong, and what it finds.

Not part of the tests: `python -m pytest -n 0 tests/benchmarks/bench_gate.py` writes the table of
docs/how-to-track-throughput.md anew (a minute). Made-up rounds go through `benchmnist.analysis.gate`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from noise_of_rounds import NOISES, seeds_of
from tabulate import tabulate

from benchmnist.analysis.gate import Benchmark, compare_benchmarks
from benchmnist.reports.document_blocks import read_document, replaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noise_of_rounds import Noise

    from benchmnist.analysis.gate import GateVerdict

PAGE = Path(__file__).parents[2] / "docs" / "how-to-track-throughput.md"
FILES = 2000


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
