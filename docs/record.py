"""Records the results that come with a suite: `python docs/record.py [SUITE] [OPTION VALUE]...`.

It tunes and runs the suite as `benchmnist run` does, packs the run without its curves beside the suite, and writes
the parts of the documentation that are generated. Options are those of `benchmnist.tune`: `executor inline`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import benchmnist
from benchmnist.cli.display import make_display
from benchmnist.extensions.kinds import OPTIMIZER
from benchmnist.runs.packed import pack
from benchmnist.runs.results import RunResult
from benchmnist.suites.files import package_suites
from benchmnist.suites.reader import read_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmnist.suites.cases import Case, Group

AT_ONCE = 4
"""Optimizers of a run: a search of all of them has more cases than a suite may have."""

DOCS = Path(__file__).parent


def record(name: str, **options: str) -> Path:
    """Records a suite of the repository; returns the packed run."""
    path = package_suites()[name]
    packed = path.with_suffix(".zip")
    suite = replace(read_suite(path, ['suite.recorded=""']), assigned={})  # what is recorded is this run itself
    names = [*dict.fromkeys(name for block in suite.blocks for name in block.names(OPTIMIZER))]
    runs = []
    for some in (names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)):
        tuned = benchmnist.tune(
            suite, checkpoints=False, optimizers=tuple(some), watch=lambda: make_display(verbose=False), **options
        )
        runs.append(tuned.final)
    pack(joined(runs), packed, curves=False)
    return packed


def joined(runs: list[RunResult]) -> RunResult:
    """Returns the runs as one, problem by problem; those of some optimizers each."""
    first = runs[0].record
    plan = sorted((case for run in runs for case in run.record.plan), key=_place(first.plan))
    cases = {result.id: result for run in runs for result in run.cases}
    changed = {
        "plan": tuple(plan),
        "searches": tuple(search for run in runs for search in run.record.searches),
        "ended": runs[-1].record.ended,
        "status": "completed",
    }
    kept = tuple(cases[case.id] for case in plan if case.id in cases)
    return RunResult(path=runs[0].path, record=first.model_copy(update=changed), cases=kept)


def _place(cases: Iterable[Case]) -> Callable[[Case], int]:
    """Returns the place of the group of a case; one that only later runs have is last."""
    places: dict[Group, int] = {}
    for case in cases:
        places.setdefault(case.group, len(places))
    return lambda case: places.get(case.group, len(places))


if __name__ == "__main__":
    name, *rest = sys.argv[1:] or ["where-it-breaks"]
    print(record(name, **dict(zip(rest[::2], rest[1::2], strict=True))))  # noqa: T201 - a script
    subprocess.run([sys.executable, DOCS / "generate.py"], check=True)  # noqa: S603 - ours
