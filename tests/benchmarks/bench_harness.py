"""What the harness itself costs. Not part of the tests: `pytest -n 0 tests/benchmarks/bench_harness.py`.

Commands are timed in CPU seconds of the process; the rest in seconds.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

import benchmnist
from benchmnist.cli.display import LiveDisplay
from benchmnist.extensions.registry import find_plugins
from benchmnist.preflight.prepare import prepare
from benchmnist.runs.store import RunFolder, load_run
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

ROOT = Path(__file__).parents[2]


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.benchmark(group="CPU seconds of a command", timer=cpu_of_children)
@pytest.mark.parametrize("arguments", [["--help"], ["plugins"]], ids=" ".join)
def test_command(benchmark: Any, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "benchmnist", *arguments]
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, capture_output=True), rounds=20, warmup_rounds=1
    )


def suite_of(cases: int, folder: Path, settings: str = "") -> Path:
    """So many cases: half with Adam and half with SGD, each at another learning rate."""
    rates = [round(1e-5 * (number + 1), 6) for number in range(cases // 2)]
    path = folder / "large.toml"
    path.write_text(
        f'[suite]\nname = "large"\n[defaults]\nepochs = 1\nseeds = 1\n{settings}\n'
        f"[optimizers.adam]\nsweep.lr = {rates}\n[optimizers.sgd]\nsweep.lr = {rates}\n"
        '[[cases]]\nmodels = ["logistic"]\noptimizers = ["adam", "sgd"]\n',
        "utf-8",
    )
    return path


def test_planning_2000_cases(benchmark: Any, tmp_path: Path) -> None:
    """Reading and planning."""
    path, registry = suite_of(2000, tmp_path), find_plugins()
    plan = benchmark(lambda: make_plan(read_suite(path), registry))
    assert len(plan.cases) == 2000


def test_preparing_2000_cases(benchmark: Any, tmp_path: Path) -> None:
    """With finding the plugins, loading MNIST, and building every model and optimizer once."""
    path = suite_of(2000, tmp_path)
    benchmark.pedantic(lambda: prepare(path, RunOptions(device="cpu")), rounds=5, warmup_rounds=1)


@pytest.fixture(scope="module")
def stored() -> list[CaseResult]:
    return list(load_run(ROOT / "docs" / "runs" / "assignment4").cases)


def test_storing_a_case(benchmark: Any, stored: list[CaseResult], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "suite" / "run")
    folder.make()
    benchmark(lambda: folder.write_case(stored[0]))


def test_showing_an_epoch(benchmark: Any, stored: list[CaseResult], tmp_path: Path) -> None:
    """On a terminal of 100 by 50, with the table of the other cases below."""
    suite = make_plan(read_suite(ROOT / "suites" / "assignment4.toml"), find_plugins())
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=50)
    with LiveDisplay(console, verbose=False) as display:
        display.run_started(suite, {}, tmp_path)
        for result in stored[:-1]:
            display.case_ended(result)
        case = stored[-1].case
        display.case_started(case)
        benchmark(lambda: display.epoch_ended(case, 0, stored[-1].trials[0].epochs[0]))


def test_memory_over_1000_cases(benchmark: Any, tmp_path: Path) -> None:
    """Resident memory of one process that trains 1,000 small cases; the figures are in extra_info, in MB."""
    path = suite_of(1000, tmp_path, "train_size = 200\ntest_size = 100")
    resident: list[float] = []

    class Watch(benchmnist.Observer):
        def case_ended(self, _: CaseResult) -> None:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
            resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    options: dict[str, Any] = {"device": "cpu", "executor": "inline", "checkpoints": False, "observer": Watch()}
    benchmark.pedantic(lambda: benchmnist.run(path, out=tmp_path / "runs", **options), rounds=1)
    benchmark.extra_info["MB after 100, 200, … cases"] = [round(megabytes, 1) for megabytes in resident[99::100]]
    assert len(resident) == 1000
