"""Rehearses a run of the size of a paper: `python tests/benchmarks/rehearsal.py [TRAININGS [OF]]`.

Trains so many small trials for real (2,000), and says what that cost, and what so many more (50,000) would cost.
The error is that of the mean time of a trial in the blocks of the run.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scipy import stats

from benchmnist.execution.dispatch import Observer
from benchmnist.planned_run import plan_run
from benchmnist.reports import write_report
from benchmnist.runner import run
from benchmnist.runs.store import load_run
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.runs.results import EpochResult, RunResult
    from benchmnist.suites.cases import Case

SEEDS = 5
BLOCKS = 20


class Watch(Observer):
    """When each trial ended, in seconds on the monotonic clock; each has one epoch."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:  # noqa: ARG002
        """See Observer."""
        self.ends.append(time.monotonic())


def suite_of(trainings: int, folder: Path) -> Path:
    """Writes a suite of so many small trials: learning rates of four optimizers, five seeds each."""
    optimizers = ("sgd", "momentum", "adam", "rmsprop")
    rates = [float(f"{1e-5 * 1.01**step:.6g}") for step in range(trainings // SEEDS // len(optimizers))]
    tables = "".join(f"[optimizers.{name}]\nsweep.lr = {rates}\n" for name in optimizers)
    path = folder / "paper.toml"
    path.write_text(
        f'[suite]\nname = "paper"\n[defaults]\nepochs = 1\nseeds = {SEEDS}\ntrain_size = 1000\ntest_size = 1000\n'
        f'{tables}[[cases]]\nmodels = ["logistic"]\noptimizers = {[*optimizers]}\n',
        "utf-8",
    )
    return path


def main() -> None:
    """Rehearses, and prints what it cost."""
    trainings, wanted = (int(given) for given in [*sys.argv[1:], *("2000", "50000")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        suite, watch = suite_of(trainings, Path(name)), Watch()
        options = RunOptions(device="cpu", out=Path(name, "runs"), checkpoints=False)
        begun = time.monotonic()
        plan_run(suite, options)
        planned = time.monotonic()
        result = run(suite, options, observer=watch)
        trained = time.monotonic()
        write_report(load_run(result.path))
        parts = [
            ("planning", begun, planned),
            ("the run", planned, trained),
            ("the report", trained, time.monotonic()),
        ]
        took = [f"{what} {there - before:.2f} s" for what, before, there in parts]
        lines = [*course(result, watch.ends, wanted), ", ".join(took), *storage(result, wanted)]
    print("\n".join(lines))  # noqa: T201 - its result


def course(result: RunResult, ends: list[float], wanted: int) -> Iterator[str]:
    """Yields what a trial took in the course of the run, without the first and the last block of trials."""
    slots = max(case.side_by_side for case in result.cases)
    size = len(ends) // BLOCKS
    each = [(ends[k * size + size] - ends[k * size]) / size for k in range(1, BLOCKS - 1)]
    mean = statistics.fmean(each)
    half = float(stats.t.ppf(0.975, len(each) - 1)) * statistics.stdev(each) / len(each) ** 0.5
    line = stats.linregress(range(len(each)), each)
    epochs = [epoch.seconds for case in result.cases for trial in case.trials for epoch in trial.epochs]
    epoch = statistics.fmean(epochs) / slots
    yield f"{len(ends):,} trials, {slots} at a time; 95 % intervals from {len(each)} blocks of {size}:"
    yield f"a trial takes {1000 * mean:.1f} ± {1000 * half:.1f} ms, of which its epoch {1000 * epoch:.1f} ms"
    yield f"it grows by {100 * line.slope / mean:+.2f} ± {200 * line.stderr / mean:.2f} % from block to block"
    yield f"{wanted:,} trials: {wanted * mean:,.0f} ± {wanted * half:,.0f} s if it does not grow"


def storage(result: RunResult, wanted: int) -> Iterator[str]:
    """Yields what is on disk and in memory, and what would be."""
    count = sum(len(case.trials) for case in result.cases)
    stored = sum(file.stat().st_size for file in result.path.rglob("*") if file.is_file())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
    for what, number in (("on disk", stored), ("in memory of the main process", memory)):
        yield f"{what}: {number / 2**20:.0f} MiB; in proportion, {number / count * wanted / 2**20:,.0f} MiB"


if __name__ == "__main__":
    main()
