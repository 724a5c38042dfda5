"""Measures what an optimizer costs: the time of an update beside the two passes.

The times are those of a trial of their own, which is made after the case was trained and then discarded, so that
neither the results nor the times of the case change. They are those of a plain step with the construction of the
case (fused or not): a captured, recorded or stacked step has no parts that could be timed.
"""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmnist.runs.results import Costs, CostSeconds
from benchmnist.suites.bundles import Bundle, why_not_elementwise
from benchmnist.training.clock import Clock
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.trial import Trial, fuses, steps_of_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, optim

    from benchmnist.extensions.specs import OptimizerSpec
    from benchmnist.runs.results import TrialResult
    from benchmnist.suites.cases import Case
    from benchmnist.training.fast_paths import FastPath, Setting

SECONDS = 0.1
"""Time that the steps of a measurement take together, at most, if three of them take no longer."""
STEPS = 30
"""Steps that are timed, at most."""
FEWEST = 2
SHARE = 0.02
"""Share of the training of a case that the measurement may take, unless the suite asks for it."""


def costs_of(setting: Setting, way: FastPath, trials: Sequence[TrialResult]) -> Costs:
    """Returns what the optimizer of a case costs; its times if the suite asks for them, or they take little."""
    case, seed = setting.case.row(setting.case.seeds[0])
    spec = setting.registry.optimizers[case.optimizer.use].spec
    device = setting.device.type
    seconds = None
    if _is_worth(setting, trials):
        with contextlib.suppress(Exception):  # the case is trained; a step of another trial may raise anything
            seconds = _times(setting, way, case, seed)
    return Costs(
        passes=_passes(spec, seconds),
        fused=fuses(case, spec, way.build, {device}),
        may_fuse=device in spec.fused,
        may_capture=spec.capturable and not spec.needs_closure and not spec.needs_create_graph,
        may_stack=not why_not_elementwise(case, setting.registry),
        seconds=seconds,
    )


def _passes(spec: OptimizerSpec, seconds: CostSeconds | None) -> float | None:
    """Returns the passes of a step as an optimizer says them, or as they were counted."""
    if spec.passes is not None:
        return float(spec.passes)
    return None if seconds is None else seconds.passes


def _is_worth(setting: Setting, trials: Sequence[TrialResult]) -> bool:
    """Tells whether the times are measured: cases of a bundle share a stack, and short ones would take as long."""
    case = setting.case
    if isinstance(case, Bundle):
        return False
    if case.costs is not None:
        return case.costs
    trained = sum(epoch.seconds for trial in trials for epoch in trial.epochs)
    steps = sum(len(trial.epochs) for trial in trials) * steps_of_trial(case, setting.dataset) / case.epochs
    return steps > 0 and max(SECONDS, (FEWEST + 1) * trained / steps) <= SHARE * trained


def _times(setting: Setting, way: FastPath, case: Case, seed: int) -> CostSeconds:
    """Times some steps of a new trial of a case with that seed."""
    alone = replace(way, stacked=False, abreast=False)
    trial = alone.trial(replace(setting, case=case.model_copy(update={"seeds": (seed,)})), (seed,))
    watched = _Watched(trial, Clock(setting.device))
    engine = ResidentEngine(setting.dataset, setting.session, case.batch_size)
    batches = engine.move(trial.order(len(setting.dataset.train_images), 1)).split(case.batch_size)
    batches = [each for each in batches if len(each) == len(batches[0])]
    trial.begin(1)
    found: list[dict[str, float]] = []
    start = perf_counter()
    most = max(min(STEPS, steps_of_trial(case, setting.dataset) - 1), 1)
    with trial.products():
        watched.step(*engine.fetch(trial, batches[0]), moves_schedule=False)  # which completes the one-time work
        while len(found) < most and (len(found) < FEWEST or perf_counter() - start < SECONDS):
            watched.spent = dict.fromkeys(_Watched.parts, 0.0)
            watched.passes = 0
            watched.step(*engine.fetch(trial, batches[(len(found) + 1) % len(batches)]), moves_schedule=False)
            found.append({**watched.spent, "passes": watched.passes})
    median = {part: statistics.median(each[part] for each in found) for part in _Watched.parts}
    passes = statistics.fmean(each["passes"] for each in found)
    return CostSeconds(**median, passes=passes, steps=len(found))


class _Watched(Trial):
    """A trial whose steps are timed in parts, each without those within it: a closure is called by the update."""

    parts = ("forward", "backward", "update")

    def __init__(self, trial: Trial, clock: Clock) -> None:
        vars(self).update(vars(trial))
        self.clock, self.passes = clock, 0
        self.spent = dict.fromkeys(self.parts, 0.0)
        self._under_way: list[str] = []
        self._since = 0.0
        self.optimizer: Any = _WatchedOptimizer(trial.optimizer, self)

    def turn(self, part: str | None) -> None:
        """Begins a part, or with None ends the one that was begun last."""
        now = self.clock()
        if self._under_way:
            self.spent[self._under_way[-1]] += now - self._since
        if part is None:
            self._under_way.pop()
        else:
            self._under_way.append(part)
        self._since = now

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """See Trial."""
        self.passes += 1
        self.turn("forward")
        found = super().losses(images, labels)
        self.turn(None)
        return found

    def _backward(self, loss: Tensor) -> None:
        self.turn("backward")
        super()._backward(loss)
        self.turn(None)


class _WatchedOptimizer:
    """Passes on what a step asks of an optimizer, and times the update."""

    def __init__(self, optimizer: optim.Optimizer, watched: _Watched) -> None:
        self._optimizer, self._watched = optimizer, watched

    def zero_grad(self) -> None:
        """See torch.optim.Optimizer."""
        self._optimizer.zero_grad()

    def step(self, *closure: Any) -> None:
        """See torch.optim.Optimizer."""
        self._watched.turn("update")
        self._optimizer.step(*closure)
        self._watched.turn(None)
