"""One suite on every executor that there is: the same figures, and times that are replayed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import WITHOUT_COMPILER
from training_support import losses

from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SUITE = """
[suite]
name = "everywhere"
[defaults]
epochs = 2
seeds = [3, 0]
train_size = 1000
test_size = 500
resources = { num_cpus = 1 }
[[cases]]
models = ["fc-bn-dropout"]
optimizers = ["momentum"]
"""
# Where every step rounds otherwise, as with other threads, the losses of SGD end 1e-7 apart.
ROUNDING = 1e-4

PROGRAM = """
import sys
import benchmnist

if __name__ == "__main__":
    for name, options in {
        "inline": {},
        "local": {"jobs": 2},
        "ray": {"jobs": 2},
        "slurm": {"executor_options": {"cluster": "local", "array": 2}},
    }.items():
        benchmnist.run(sys.argv[1], device="cpu", executor=name, out=name, **options)
"""


def test_the_same_suite_comes_to_the_same_everywhere(
    write_suite: Callable[..., Path], pip_install: Callable[[Path], Path], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("submitit")
    sites = {str(pip_install(ROOT / "plugins" / f"benchmnist-{name}")) for name in ("ray", "slurm")}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*sites, os.environ.get("PYTHONPATH", "")]),
        "RAY_AUTH_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
    }
    del environment[WITHOUT_COMPILER]  # in all of these processes torch is as users have it
    command = [sys.executable, "-c", PROGRAM, str(write_suite(SUITE))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = {name: load_run(tmp_path / name) for name in ("inline", "local", "ray", "slurm")}
    inline = runs["inline"]
    for name, run in runs.items():
        assert [case.id for case in run.cases] == [case.id for case in inline.cases]
        timed = json.loads((run.path / "benchmark.json").read_text("utf-8"))["benchmarks"]
        for case, expected, measured in zip(run.cases, inline.cases, timed, strict=True):
            assert [trial.seed for trial in case.trials] == [3, 0]
            assert losses(case) == pytest.approx(losses(expected), rel=ROUNDING), name
            accuracies = [[e.test_accuracy for t in c.trials for e in t.epochs] for c in (case, expected)]
            assert accuracies[0] == pytest.approx(accuracies[1], abs=0.21), name  # one image of 500, in %
            seconds = [epoch.seconds for trial in case.trials for epoch in trial.epochs]
            assert sorted(measured["stats"]["data"]) == pytest.approx(sorted(seconds), rel=1e-9)
            assert case.side_by_side == (1 if name == "inline" else 2)
            assert measured["extra_info"]["measured"] == ("alone" if name == "inline" else "2 side by side")
            assert (run.path / str(case.trials[0].checkpoint)).is_file()
