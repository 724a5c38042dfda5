"""Which cases are trained together, as bundles, and what comes back of a bundle for each of its cases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.runs.results import worst
from benchmnist.suites.bundles import alike
from benchmnist.text import cause_of, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmnist.executors import Epoch
    from benchmnist.extensions.registry import Registry
    from benchmnist.runs.results import CaseResult, EpochResult
    from benchmnist.suites.bundles import Bundle
    from benchmnist.suites.cases import Case

ROWS = 256
"""Trials of a bundle, at most: of `fc` with Adam they take 3 GB."""


@dataclass(frozen=True)
class OfRow:
    """An epoch of a row, told as that of a seed of its case."""

    epoch: Epoch
    seed: int

    @property
    def seconds(self) -> float:
        """See Epoch."""
        return self.epoch.seconds

    @property
    def result(self) -> EpochResult | None:
        """See Epoch."""
        return self.epoch.result

    def run(self) -> None:
        """See Epoch."""
        self.epoch.run()


def together(registry: Registry) -> Callable[[Case], str]:
    """Returns a function for the key of a case: cases with the same one may be trained in one stack.

    The key is empty for a case that would be refused: it is trained by itself, as it is.
    """

    def key(case: Case) -> str:
        spec = registry.optimizers[case.optimizer.use].spec
        by_step = case.schedule is None or registry.schedules[case.schedule.use].plugin.name == "builtin"
        pure = case.task is None or registry.tasks[case.task.use].spec.pure
        may = spec.elementwise and not spec.needs_closure and not spec.needs_create_graph and by_step and pure
        return json.dumps(alike(case), sort_keys=True, default=str) if may and case.engine == "stacked" else ""

    return key


def bundled(cases: Iterable[Case], key: Callable[[Case], str], slots: int) -> dict[str, list[Case]]:
    """Returns the cases that each case is trained together with, by its id: as many bundles as there are slots."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        if name := key(case):
            found.setdefault(name, []).append(case)
    companions: dict[str, list[Case]] = {}
    for alike_cases in found.values():
        rows = sum(len(case.seeds) for case in alike_cases)
        number = min(max(slots, -(-rows // ROWS)), len(alike_cases))
        for start in range(number):
            group = alike_cases[start::number]
            if len(group) > 1:
                companions |= {case.id: group for case in group}
    return companions


def results_of(bundle: Bundle, result: CaseResult) -> Sequence[CaseResult]:
    """Returns the result of each case of a bundle that was trained to its end."""
    trials = {trial.seed: trial for trial in result.trials}
    found: list[CaseResult] = []
    rows = iter(bundle.seeds)
    for point in bundle.points:
        mine = tuple(trials[next(rows)].model_copy(update={"seed": seed}) for seed in point.seeds)
        # With other trials beside them, their bits may be others: `verify` then reads another remark.
        remarks = (*result.remarks, *(f"in the stack {trial.stack}" for trial in mine[:1] if trial.stack))
        changed = {
            "case": point,
            "trials": mine,
            "status": worst(trial.status for trial in mine),
            "remarks": remarks,
        }
        found.append(result.model_copy(update=changed))
    return found


def smaller(bundle: Bundle, failure: CaseResult) -> int:
    """Returns how many cases are to be trained together after a bundle failed, so that the culprit fails alone.

    An exception ends a stack at once, so halves of it are tried; a worker that died may have run out of memory,
    and what was too slow took its time: these cases are trained one by one, as are those that cannot be stacked.
    """
    raised = failure.status == "failed" and failure.engine in ("", "stacked")
    return -(-len(bundle.points) // 2) if raised else 1


def why_dissolved(bundle: Bundle, failure: CaseResult) -> str:
    """Returns the remark of the cases of a bundle that are trained again in smaller ones."""
    reason = cause_of(failure.error or "") or failure.status
    if failure.engine not in ("", "stacked"):
        return f"{reason} (of {counted(len(bundle.points), 'case')})"
    return f"begun again, since the stack of {counted(len(bundle.points), 'case')} {failure.status}: {reason}"
