"""Where a try trains, what it trains, and how its results are judged: never by the time that they took."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.doctor.lines import Line, Miss
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
"""Test accuracy, %, that every trial here reaches: chance is 10 %, what was seen on a CPU 67 % and more."""
TOLERANCE = 0.02
"""How far losses on two devices may be apart, relative: between two processors they were by 0.0014 at most."""
SAME = 0.005
"""How far losses of two engines on one device may be apart, relative."""


@dataclass(frozen=True)
class Place:
    """Where a try trains.

    Attributes:
        device: `cpu`, `cuda:0`.
        data_root: The folder of the datasets.
        tell: Keeps a line in case that the process is killed.
    """

    device: str
    data_root: str
    tell: Tell

    @property
    def on_cuda(self) -> bool:
        """Whether it is a GPU of NVIDIA's kind."""
        return self.device.startswith("cuda")

    def train(
        self, *cases: Case, device: str = "", executor: ExecutorName = "inline", plugins: tuple[str, ...] = ()
    ) -> list[CaseResult]:
        """Has an executor train cases, one after the other."""
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
        """As `train`, with the epochs."""
        workplace = Workplace(
            device or self.device, Path(self.data_root), Path.cwd(), checkpoints=False, plugins=plugins
        )
        with EXECUTORS[executor](workplace) as executing:
            for _, step in executing.execute(iter(cases)):
                if not isinstance(step, CaseResult):
                    run_epoch(step)
                yield step


def small_case(
    model: str = "fc", optimizer: str = "adam", *, params: Mapping[str, Any] | None = None, **changes: Any
) -> Case:
    """A case of 32 steps, the last of each epoch smaller than the others."""
    default = {"lr": 2e-3} if optimizer == "adam" else {}
    return Case(
        id=f"doctor/{model}/{optimizer}",
        dataset=component("mnist"),
        model=component(model),
        optimizer=component(optimizer, **(default if params is None else params)),
        **{"epochs": 2, "batch_size": 64, "seeds": (0,), "train_size": 1000, "test_size": 500, **changes},
    )


def component(use: str, **params: Any) -> Component:
    """A part of a case."""
    return Component(name=use, use=use, params=params, distribution="benchmnist", version="")


def passed(said: str, **figures: Any) -> Line:
    """The line of a try that went well."""
    return Line(name="", state="ok", said=said, figures=figures)


def warned(said: str, remedy: str, **figures: Any) -> Line:
    """The line of a try whose results are right, but not all is as it should be."""
    return Line(name="", state="warning", said=said, remedy=remedy, figures=figures)


def completed(result: CaseResult) -> CaseResult:
    """The same, if it was trained to its end with finite losses.

    Raises:
        Miss: if not; its error goes to standard error.
    """
    if result.status != "completed":
        sys.stderr.write(result.error or "")
        raise Miss(f"{result.id} {result.status}: {reason(result.error)}")
    return result


def reason(error: str | None) -> str:
    """The line of a traceback that names the exception: CUDA's have advice after it."""
    lines = (error or "no reason given").strip().splitlines()
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), lines[-1])


def learned(result: CaseResult) -> float:
    """The lowest accuracy of the trials of a case.

    Raises:
        Miss: if it is not far from chance, or the case did not end well.
    """
    worst = min(trial.epochs[-1].test_accuracy or 0.0 for trial in completed(result).trials)
    if worst < LEARNED:
        raise Miss(f"{result.id} reached only {worst:.1f} %; chance is 10 %, and it must reach {LEARNED:.0f} %")
    return worst


def losses(result: CaseResult) -> list[float]:
    """The training and the test loss of each epoch of each seed.

    Raises:
        Miss: if the case did not end well.
    """
    epochs = [epoch for trial in completed(result).trials for epoch in trial.epochs]
    return [loss for epoch in epochs for loss in (epoch.train_loss, epoch.test_loss or math.nan)]


def apart(seen: CaseResult, expected: CaseResult, tolerance: float) -> float:
    """How far the losses of a case are from those that they should be, relative, at most.

    Raises:
        Miss: if that is more than the tolerance, or a case did not end well.
    """
    one, other = losses(seen), losses(expected)
    most = max((abs(a / b - 1) for a, b in zip(one, other, strict=True)), key=lambda x: (math.isnan(x), x))
    if not most <= tolerance:
        shown = [" ".join(f"{loss:.4g}" for loss in each) for each in (one, other)]
        raise Miss(f"losses of {seen.id}: expected {shown[1]}, got {shown[0]}")
    return most


def judged(result: CaseResult, most: float, accuracy: float, *, capturable: bool = True) -> Line:
    """The line of a case whose figures are right; a warning where it was not captured although it may be."""
    figures = {"accuracy": accuracy, "apart": most, "engine": result.engine, "remarks": result.remarks}
    said = f"{result.engine}, {accuracy:.0f} %, losses within {most:.0e}"
    refused = next((remark for remark in result.remarks if remark.startswith("not graph")), "")
    if refused and capturable:
        return warned(f"{said}; {refused}", "training is correct but slow: report this", **figures)
    return passed(said, **figures)
