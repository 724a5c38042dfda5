"""Setting of the tries: device, cases and judgement of results, which never depends on time."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.doctor.lines import Line, TryFailed
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.runs.results import CaseResult
from benchmnist.suites.cases import Case, Component

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmnist.executors import Epoch

    Tell = Callable[[Line], None]

ExecutorName = Literal["inline", "local"]

EXECUTORS: Mapping[str, type[InlineExecutor | LocalExecutor]] = {"inline": InlineExecutor, "local": LocalExecutor}
LEARNED = 40.0
"""Test accuracy, %, that every trial here must reach: chance is 10 %; a CPU reached 67 % and more."""
TOLERANCE = 0.02
"""Largest relative difference of losses on two devices; between two processors, it was 0.0014."""
SAME = 0.005
"""Largest relative difference of losses of two engines on one device."""


@dataclass(frozen=True)
class TryContext:
    """Setting in which a try trains.

    Attributes:
        device: Device, such as `cpu` or `cuda:0`.
        data_root: Folder of the datasets.
        tell: Function that stores an interim line in case the process is killed.
    """

    device: str
    data_root: str
    tell: Tell

    @property
    def on_cuda(self) -> bool:
        """Tells whether the device is an NVIDIA GPU."""
        return self.device.startswith("cuda")

    def train(
        self, *cases: Case, device: str = "", executor: ExecutorName = "inline", plugins: tuple[str, ...] = ()
    ) -> list[CaseResult]:
        """Trains cases with an executor, one after the other."""
        return [
            s
            for s in self.steps(*cases, device=device, executor=executor, plugins=plugins)
            if isinstance(s, CaseResult)
        ]

    def steps(
        self,
        *cases: Case,
        device: str = "",
        executor: ExecutorName = "inline",
        plugins: tuple[str, ...] = (),
        run_epoch: Callable[[Epoch], None] = lambda epoch: epoch.run(),
    ) -> Iterator[Epoch | CaseResult]:
        """Trains like `train`, and also yields the epochs."""
        workplace = Workplace(
            device or self.device, Path(self.data_root), Path.cwd(), checkpoints=False, plugins=plugins
        )
        with EXECUTORS[executor](workplace) as executing:
            for _, step in executing.execute(iter(cases)):
                if not isinstance(step, CaseResult):
                    run_epoch(step)
                yield step


def small_case(
    model: str | Component = "fc",
    optimizer: str = "adam",
    *,
    params: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Case:
    """Returns a case of 32 steps, in which the last step of each epoch is smaller."""
    default = {"lr": 2e-3} if optimizer == "adam" else {}
    trained = component(model) if isinstance(model, str) else model
    return Case(
        id=f"doctor/{trained.name}/{optimizer}",
        dataset=component("mnist"),
        model=trained,
        optimizer=component(optimizer, **(default if params is None else params)),
        **{"epochs": 2, "batch_size": 64, "seeds": (0,), "train_size": 1000, "test_size": 500, **changes},
    )


def component(use: str, **params: Any) -> Component:
    """Returns a built-in component of a case."""
    return Component(name=use, use=use, params=params, distribution="benchmnist", version="")


def passed(said: str, **figures: Any) -> Line:
    """Returns the line of a try that passed."""
    return Line(name="", state="ok", said=said, figures=figures)


def warned(said: str, remedy: str, **figures: Any) -> Line:
    """Returns the line of a try with correct results and a flaw."""
    return Line(name="", state="warning", said=said, remedy=remedy, figures=figures)


def completed(result: CaseResult) -> CaseResult:
    """Returns the result if its training was completed with finite losses.

    Raises:
        TryFailed: if not; the error of the case goes to standard error.
    """
    if result.status != "completed":
        sys.stderr.write(result.error or "")
        raise TryFailed(f"{result.id} {result.status}: {reason(result.error)}")
    return result


def reason(error: str | None) -> str:
    """Returns the line of a traceback that names the exception; CUDA errors have advice after it."""
    lines = (error or "no reason given").strip().splitlines()
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), lines[-1])


def learned(result: CaseResult) -> float:
    """Returns the lowest accuracy of the trials of a case.

    Raises:
        TryFailed: if it is near chance, or the case failed.
    """
    worst = min(trial.epochs[-1].test_accuracy or 0.0 for trial in completed(result).trials)
    if worst < LEARNED:
        raise TryFailed(
            f"{result.id} reached only {worst:.1f} %; chance is 10 %, and it must reach {LEARNED:.0f} %"
        )
    return worst


def losses(result: CaseResult) -> list[float]:
    """Returns the training and the test loss of each epoch of each seed.

    Raises:
        TryFailed: if the case failed.
    """
    epochs = [epoch for trial in completed(result).trials for epoch in trial.epochs]
    return [loss for epoch in epochs for loss in (epoch.train_loss, epoch.test_loss or math.nan)]


def largest_difference(seen: CaseResult, expected: CaseResult, tolerance: float) -> float:
    """Returns the largest relative difference of the losses from the expected ones.

    Raises:
        TryFailed: if it exceeds the tolerance, or a case failed.
    """
    one, other = losses(seen), losses(expected)
    most = max((abs(a / b - 1) for a, b in zip(one, other, strict=True)), key=lambda x: (math.isnan(x), x))
    if not most <= tolerance:
        shown = [" ".join(f"{loss:.4g}" for loss in each) for each in (one, other)]
        raise TryFailed(f"losses of {seen.id}: expected {shown[1]}, got {shown[0]}")
    return most


def correct(result: CaseResult, most: float, accuracy: float, *, capturable: bool = True) -> Line:
    """Returns the line of a case with correct figures; a warning if it could be captured and was not."""
    figures = {"accuracy": accuracy, "apart": most, "engine": result.engine, "remarks": result.remarks}
    said = f"{result.engine}, {accuracy:.0f} %, losses within {most:.0e}"
    refused = next((remark for remark in result.remarks if remark.startswith("not graph")), "")
    if refused and capturable:
        return warned(f"{said}; {refused}", "training is correct but slow: report this", **figures)
    return passed(said, **figures)
