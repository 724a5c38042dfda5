"""What large runs cost, untrained, as no part of the tests: `pytest -n 0 -s tests/benchmarks/bench_large_runs.py`.

Everything is measured in a process of its own: seconds from its start to its end, and the most memory that it had.
LARGE_CASES (10,000), LARGE_SEEDS (5), LARGE_PAGE (cases of a smaller run, 2,000) and LARGE_RUNS (1,000 runs in a
list) set the sizes; LARGE_FOLDER names a folder to make the runs in once and keep them. The results are made up:
five epochs of six stored losses each, as of MNIST.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from benchmnist.preflight.prepare import prepare
from benchmnist.runs.files import encoded
from benchmnist.runs.models import ModelDescription
from benchmnist.runs.results import CaseResult, EpochResult, RunRecord, TrialResult, now
from benchmnist.runs.store import load_run
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from benchmnist.preflight.prepare import Prepared
    from benchmnist.suites.cases import Case

ROOT = Path(__file__).parents[2]
CASES, SEEDS, PAGE, RUNS = (
    int(os.environ.get(f"LARGE_{name}", default))
    for name, default in (("CASES", 10_000), ("SEEDS", 5), ("PAGE", 2000), ("RUNS", 1000))
)
EPOCHS = 5
ROUNDS = int(os.environ.get("LARGE_ROUNDS", "1"))


def write_suite(path: Path, cases: int, seeds: int) -> Path:
    """Writes a suite of so many cases of one model: half with Adam, half with SGD, each at another rate."""
    rates = [round(1e-5 * (number + 1), 6) for number in range(cases // 2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'[suite]\nname = "{path.stem}"\n[defaults]\nepochs = {EPOCHS}\nseeds = {seeds}\n'
        f'baseline = "sgd/lr-{rates[-1]:g}"\n'
        f"[optimizers.adam]\nsweep.lr = {rates}\n[optimizers.sgd]\nsweep.lr = {rates}\n"
        '[[cases]]\nmodels = ["logistic"]\noptimizers = ["adam", "sgd"]\n',
        "utf-8",
    )
    return path


def made_up_result(case: Case, key: str, environment: dict[str, Any]) -> CaseResult:
    """A result of a case as long as one of MNIST: its accuracy has a peak at one learning rate."""
    chance = random.Random(case.id)  # noqa: S311 - no secret
    rate = case.optimizer.params["lr"]
    peak = 92 - abs(math.log10(rate / 5e-3)) * (1 + 2 * (case.optimizer.name == "sgd"))

    def epoch(number: int) -> EpochResult:
        reached = peak - 8 / number + chance.gauss(0, 0.2)
        losses = tuple((step, 2 / number + chance.random()) for step in range(100, 700, 100))
        return EpochResult(
            epoch=number,
            seconds=0.2 + chance.random() / 50,
            train_loss=2 / number + chance.random() / 10,
            step_losses=losses,
            learning_rate=rate,
            metrics={"test_loss": 2 / number + chance.random() / 10, "test_accuracy": round(reached, 2)},
        )

    trials = tuple(
        TrialResult(seed=seed, status="completed", epochs=tuple(epoch(n + 1) for n in range(case.epochs)))
        for seed in case.seeds
    )
    return CaseResult(
        case=case,
        key=key,
        status="completed",
        trials=trials,
        engine="resident",
        remarks=("fused",),
        train_size=60_000,
        steps=600,
        parameters=7850,
        precision="float32",
        peak_memory=600_000_000,
        side_by_side=2,
        environment=environment,
        started=now(),
        wall_seconds=8.0,
    )


def write_run(path: Path, prepared: Prepared) -> Path:
    """Writes the folder of a whole run of a suite that was made up."""
    environment = load_run(ROOT / "docs" / "runs" / "assignment4").cases[0].environment
    plan, suite = prepared.plan, prepared.plan.suite
    (path / "cases").mkdir(parents=True)
    record = RunRecord(
        benchmnist="0.1.0",
        suite=suite.name,
        title=suite.title,
        suite_file=suite.file,
        suite_text=suite.text,
        plan=plan.cases,
        options={"device": prepared.device, "order": "interleaved"},
        models=tuple(ModelDescription.model_validate(model) for model in prepared.models),
        data=dict(prepared.data),
        status="completed",
        started=now(),
        ended=now(),
    )
    (path / "run.json").write_text(encoded(record), "utf-8")
    for case in plan.cases:
        result = made_up_result(case, prepared.keys[case.id], environment)
        (path / "cases" / f"{case.file_stem}.json").write_text(encoded(result), "utf-8")
    return path


class Cost(NamedTuple):
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        cpu: Seconds of processor time, which a busy machine changes less.
        megabytes: The most memory that it held.
        out: Its standard output.
    """

    seconds: float
    cpu: float
    megabytes: float
    out: str


def cost(*arguments: str | Path, code: str = "") -> Cost:
    """Runs `benchmnist ARGUMENTS`, or Python code with them, in a fresh process."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "benchmnist"]), *map(str, arguments)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, process.stderr.read()
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000, out)


def measure(benchmark: Any, *arguments: str | Path, code: str = "") -> None:
    costs: list[Cost] = []
    benchmark.pedantic(lambda: costs.append(cost(*arguments, code=code)), rounds=ROUNDS)
    benchmark.extra_info["CPU seconds"] = round(min(each.cpu for each in costs), 2)
    benchmark.extra_info["MB at most"] = round(max(each.megabytes for each in costs))
    benchmark.extra_info["output, MB"] = round(len(costs[0].out) / 1e6, 2)
    said = costs[0].out if code else ""
    sys.stderr.write(f"\n{costs[0].seconds:.2f} s, {benchmark.extra_info}\n{said}")


class Large(NamedTuple):
    suite: Path
    run: Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(os.environ.get("LARGE_FOLDER") or tmp_path_factory.mktemp("large"))


def large(folder: Path, name: str, cases: int, seeds: int) -> Large:
    """A suite of that size and its run, made up unless they are there."""
    made = Large(folder / f"{name}.toml", folder / "runs" / name / "20261101-000000-aaaa")
    if not (made.run / "run.json").exists():
        write_suite(made.suite, cases, seeds)
        write_run(made.run, prepare(made.suite, RunOptions(device="cpu")))
    return made


@pytest.fixture(scope="module")
def whole(folder: Path) -> Large:
    return large(folder, f"large-{CASES}x{SEEDS}", CASES, SEEDS)


@pytest.fixture(scope="module")
def paged(folder: Path) -> Large:
    return large(folder, f"large-{PAGE}x{SEEDS}", PAGE, SEEDS)


@pytest.fixture(scope="module")
def many(folder: Path) -> Path:
    """A folder of many runs, of four cases each."""
    out = folder / f"many-{RUNS}"
    if not out.exists():
        prepared = prepare(write_suite(folder / "small.toml", 4, 3), RunOptions(device="cpu"))
        for number in range(RUNS):
            write_run(out / "small" / f"20261101-{number:06}-{number:04x}", prepared)
    return out


READ_AND_PLAN = """
import sys, time
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
registry = find_plugins()
began = time.perf_counter()
suite = read_suite(sys.argv[1])
read = time.perf_counter()
plan = make_plan(suite, registry)
print(f"{read - began:.2f} s to read, {time.perf_counter() - read:.2f} s to plan {len(plan.cases)}")
"""
PREPARE = """
import sys, time
import torch
from benchmnist.planned_run import plan_run
from benchmnist.suites.options import RunOptions
began = time.perf_counter()
planned = plan_run(sys.argv[1], RunOptions(device="cpu"))
prepared = time.perf_counter()
planned.prepared.keys
print(f"{prepared - began:.2f} s, {time.perf_counter() - prepared:.2f} s more for the keys")
"""
RESUME = """
import os, sys, time
from pathlib import Path
import torch
import benchmnist
out = os.dup(1)  # the session redirects what it prints
def say(what):
    os.write(out, f"{time.perf_counter() - began:.2f} s until {what}\\n".encode())
class Until(benchmnist.Observer):
    def run_started(self, *_):
        say("the run starts")
    def case_started(self, case):
        if case.id == missing:
            say("the first training starts")
            os._exit(0)
run, missing = Path(sys.argv[2]), sys.argv[3]
began = time.perf_counter()
benchmnist.run(sys.argv[1], resume=str(run), device="cpu", executor="inline", observer=Until())
"""


def test_reading_and_planning(benchmark: Any, whole: Large) -> None:
    measure(benchmark, whole.suite, code=READ_AND_PLAN)


def test_dry_run(benchmark: Any, whole: Large, tmp_path: Path) -> None:
    measure(benchmark, "run", whole.suite, "--dry-run", "--device", "cpu", "--out", tmp_path)


def test_preparing(benchmark: Any, whole: Large) -> None:
    """With every model and optimizer built once, and the keys; without the import of torch."""
    measure(benchmark, whole.suite, code=PREPARE)


def test_resuming(benchmark: Any, whole: Large) -> None:
    """All cases but the first are done; the process ends when that one starts."""
    first = load_case_ids(whole.run)[0]
    file = whole.run / "cases" / f"{first.replace('/', '__')}.json"
    content = file.read_bytes()
    file.unlink()
    try:
        measure(benchmark, whole.suite, whole.run, first, code=RESUME)
    finally:
        file.write_bytes(content)
        for left in (whole.run / "trials").glob("*.json"):
            left.unlink()


def load_case_ids(run: Path) -> list[str]:
    from benchmnist.runs.store import load_record

    return [case.id for case in load_record(run).plan]


FORMATS = (
    *("--format rich", "--format markdown", "--format csv", "--format json", "--format latex", "--format html"),
    *("--show findings", "--show verdicts"),
)


@pytest.mark.parametrize("options", FORMATS)
def test_reporting(benchmark: Any, whole: Large, options: str) -> None:
    measure(benchmark, "report", whole.run, *options.split())


@pytest.mark.parametrize("options", FORMATS)
def test_reporting_a_page_of_cases(benchmark: Any, paged: Large, options: str) -> None:
    measure(benchmark, "report", paged.run, *options.split())


def test_listing_runs(benchmark: Any, many: Path) -> None:
    measure(benchmark, "runs", "--out", many)
