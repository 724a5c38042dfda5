"""How long it takes to begin, in seconds on a clock: `pytest -n 0 tests/benchmarks/bench_start.py`.

Not part of the tests. It needs a quiet machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training_support import make_case

from benchmnist.executors import Workplace
from benchmnist.executors.local import LocalExecutor
from benchmnist.runs.results import CaseResult
from benchmnist.training.data import default_data_root

QUICK = Path(__file__).parents[2] / "suites" / "quick.toml"
UNTIL = {"the first line": "2 cases", "the first epoch": "epoch 1/1", "the end": ""}
ROUNDS = 7


@pytest.mark.benchmark(group="benchmnist run suites/quick.toml")
@pytest.mark.parametrize("until", UNTIL)
def test_run(benchmark: Any, tmp_path: Path, until: str) -> None:
    command = [sys.executable, "-m", "benchmnist", "run", str(QUICK), "--out", str(tmp_path)]
    time_until(benchmark, command, UNTIL[until])


@pytest.mark.benchmark(group="pytest suites/quick.toml")
def test_pytest(benchmark: Any) -> None:
    time_until(benchmark, [sys.executable, "-m", "pytest", str(QUICK), "-n0", "-pno:cacheprovider"], "")


def time_until(benchmark: Any, command: list[str], words: str) -> None:
    """Times a command from its start to the line that has these words; without words, to its end."""
    begun: list[subprocess.Popen[str]] = []

    def begin() -> None:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        begun.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if words and words in line:
                return
        assert not words

    def end() -> None:
        process = begun.pop()
        process.communicate()
        assert process.returncode == 0

    benchmark.pedantic(begin, teardown=end, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.benchmark(group="a worker in place of one that died")
def test_replacing_a_worker(benchmark: Any, tmp_path: Path) -> None:
    """Until it has loaded MNIST, built a model, and trained it on 100 digits."""
    case = make_case(train_size=100)
    (tmp_path / "checkpoints").mkdir()
    with LocalExecutor(Workplace("cpu", default_data_root(), tmp_path)) as executor:

        def train() -> None:
            results = [step for _, step in executor.execute(iter([case])) if isinstance(step, CaseResult)]
            assert [result.status for result in results] == ["completed"]

        def kill() -> None:
            for worker in executor.workers.values():
                worker.process.kill()
                worker.process.wait()

        benchmark.pedantic(train, setup=kill, rounds=ROUNDS, warmup_rounds=1)
