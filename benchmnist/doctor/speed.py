"""Measurements of `--speed`.

Each runs in its own process, and stores its results after every figure, so that they remain if it is stopped.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.doctor.context import TryContext, completed, passed, small_case
from benchmnist.doctor.lines import NotHere
from benchmnist.execution.dispatch import Observer
from benchmnist.extensions.registry import find_plugins
from benchmnist.runner import run
from benchmnist.runs.results import CaseResult
from benchmnist.suites.files import package_suites
from benchmnist.suites.schema import AT_ONCE
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmnist.doctor.lines import Line
    from benchmnist.executors import Epoch
    from benchmnist.suites.cases import Case

    Tell = Callable[[Line], None]

PROFILED = (("fc", "adam"), ("fc-bn-dropout", "adam"), ("cnn", "adam"))
"""Models and optimizers whose steps are profiled."""
SHOWN = 20
"""Number of the slowest kernels of a step to keep."""
STACKS = (1, 2, 4, 8, 16, 32)
"""Numbers of seeds to stack."""
SPEEDRUN_SEEDS = 3
"""Seeds of the speedrun, fewer than its 30: this measures the time, and does not prove the accuracy."""


def make(tell: Tell, trial: str, device: str, data_root: str) -> Line:
    """Makes a measurement of this module."""
    made: Line = globals()[trial](TryContext(device, data_root, tell))
    return made


def start(context: TryContext) -> Line:
    """Measures the start of a program, in seconds."""
    figures: dict[str, float] = {}
    for name, arguments in (
        ("help", ["-m", "benchmnist", "--help"]),
        ("import_torch", ["-c", "import torch"]),
        ("import_session", ["-c", "import benchmnist.runner"]),
    ):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)  # noqa: S603 - ourselves
        figures[name] = time.perf_counter() - begun
        context.tell(_measured(figures))
    begun = time.perf_counter()
    for step in context.steps(small_case(epochs=1), executor="local"):
        figures.setdefault("first_epoch", time.perf_counter() - begun)
        if isinstance(step, CaseResult):
            completed(step)
    return _measured(figures)


def _measured(figures: Mapping[str, Any]) -> Line:
    return passed(", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items()), **figures)


def kernels(context: TryContext) -> Line:
    """Measures a step in microseconds: in total, and by kernel on a GPU or by operator on a CPU."""
    figures: dict[str, Any] = {}
    for model, optimizer in PROFILED:
        case = small_case(model, optimizer, batch_size=100, train_size=5000, epochs=4)
        figures[f"{model}/{optimizer}"] = _profile(context, case)
        context.tell(_steps(figures))
    return _steps(figures)


def _steps(figures: Mapping[str, Any]) -> Line:
    said = []
    for name, found in figures.items():
        longest = "".join(f" ({each['name'][:40]} {each['us_per_step']:.0f})" for each in found["kernels"][:1])
        said.append(f"{name} {found['us_per_step']:.0f} µs{longest}")
    return passed(", ".join(said), **figures)


def _profile(context: TryContext, case: Case) -> dict[str, Any]:
    """Times the third epoch of a case, and profiles the fourth with torch's profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if context.on_cuda else []
    profiler = torch.profiler.profile(activities=activities)
    seconds: list[float] = []

    def timed(epoch: Epoch) -> None:
        if len(seconds) == case.epochs - 1:
            with profiler:
                epoch.run()
        else:
            epoch.run()
        seconds.append(epoch.seconds)

    *_, result = context.steps(case, run_epoch=timed)
    assert isinstance(result, CaseResult)  # noqa: S101 - it comes last
    completed(result)
    steps, found = result.steps, []
    for event in profiler.key_averages():
        on_gpu = event.device_type.name == "CUDA"
        if on_gpu == context.on_cuda and not (on_gpu and event.is_user_annotation):  # it spans kernels
            spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            found.append({"name": event.key, "us_per_step": spent / steps, "calls_per_step": event.count / steps})
    found.sort(key=lambda kernel: -kernel["us_per_step"])
    return {
        "engine": result.engine,
        "us_per_step": seconds[-2] / steps * 1e6,
        "kernels_us_per_step": sum(kernel["us_per_step"] for kernel in found),
        "kernels": found[:SHOWN],
    }


def stacks(context: TryContext) -> Line:
    """Measures trials per second, one by one, stacked and on streams; a trial is an epoch of 6,000 images."""
    figures: dict[str, Any] = {}
    engines = ("auto", *AT_ONCE) if context.on_cuda else ("auto", "stacked")
    for name, hidden in (("fc", 500), ("fc-50", 50)):
        figures[name] = {}
        for seeds in STACKS:
            figures[name][str(seeds)] = {
                engine: _trials_a_second(context, hidden, seeds, engine) for engine in engines
            }
            context.tell(_ratios(figures))
    return _ratios(figures)


def _ratios(figures: Mapping[str, Any]) -> Line:
    said = "; ".join(
        f"{name}: "
        + ", ".join(
            f"{n} seeds " + " and ".join(f"{engine} {each[engine] / each['auto']:.1f}×" for engine in [*each][1:])
            for n, each in found.items()
        )
        for name, found in figures.items()
    )
    return passed(said, **figures)


def _trials_a_second(context: TryContext, hidden: int, seeds: int, engine: str) -> float:
    """Measures the second epoch, since the first includes the captures."""
    case = small_case(engine=engine, seeds=tuple(range(seeds)), batch_size=100, train_size=6000)
    model = case.model.model_copy(update={"params": {"hidden_size": hidden}})
    (result,) = context.train(case.model_copy(update={"model": model}))
    return seeds / sum(trial.epochs[1].seconds for trial in completed(result).trials)


class _Cases(Observer):
    """Observer that reports each case that ends."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.figures, self.started = tell, dict[str, Any](), time.perf_counter()

    def run_started(self, *_: Any) -> None:
        self.figures["until_trained"] = time.perf_counter() - self.started

    def epoch_ended(self, *_: Any) -> None:
        self.figures.setdefault("until_first_epoch", time.perf_counter() - self.started)

    def case_ended(self, result: CaseResult) -> None:
        epochs = [epoch.seconds for trial in result.trials for epoch in trial.epochs]
        self.figures[result.id] = {
            "status": result.status,
            "engine": result.engine,
            "remarks": result.remarks,
            "seconds": result.wall_seconds,
            "epoch_seconds": statistics.median(epochs) if epochs else None,
            "accuracy": [trial.epochs[-1].test_accuracy for trial in result.trials if trial.epochs],
        }
        self.tell(self.line())

    def line(self) -> Line:
        """Returns a line with the results so far."""
        self.figures["seconds"] = time.perf_counter() - self.started
        cases = sum(isinstance(each, dict) for each in self.figures.values())
        return passed(f"{counted(cases, 'case')} in {self.figures['seconds']:.1f} s", **self.figures)


def _suite(context: TryContext, name: str, seeds: int) -> Line:
    """Runs a suite of the package."""
    observer = _Cases(context.tell)
    run(
        package_suites()[name],
        device=context.device,
        seeds=seeds,
        data_root=context.data_root,
        checkpoints=False,
        observer=observer,
    )
    return observer.line()


def assignment4(context: TryContext) -> Line:
    """Measures the suite assignment4 with one seed, case by case, in seconds."""
    return _suite(context, "assignment4", 1)


def speedrun(context: TryContext) -> Line:
    """Measures the suite speedrun with a few seeds, in seconds."""
    if "speedrun" not in find_plugins().models:
        raise NotHere("its model is missing: python -m pip install ./plugins/benchmnist-speedrun")
    return _suite(context, "speedrun", SPEEDRUN_SEEDS)
