from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from mutated_runs import attack, in_a_folder, make_good_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its pipes and links are those of Linux")

KNOWN = (523, 673, 689, 5244, 5869)
"""Seeds that once ended in a traceback."""


@pytest.fixture(scope="module")
def good() -> Iterator[list[Path]]:
    with in_a_folder() as folder:
        yield make_good_runs(folder)


@pytest.mark.parametrize(
    "seeds", [(*KNOWN, *range(12)), pytest.param(range(12, 1012), marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_no_command_fails_on_a_run_of_a_stranger(
    good: list[Path], monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, ...]
) -> None:
    """The long form is also `python tests/mutated_runs.py 1000`."""
    monkeypatch.chdir(good[0].parents[2])
    monkeypatch.setenv("BENCHMNIST_RUN_EXECUTOR", "inline")
    counts = Counter[str]()
    assert [failure for seed in seeds for failure in attack(good, seed, counts)] == []
    assert counts["exit 0"] > len(seeds)
    assert counts["exit 2"] > len(seeds)
