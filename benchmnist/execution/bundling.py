"""Puts cases together in bundles, and takes apart what comes back of a bundle."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.metrics import IMAGES_PER_SECOND, TRAINING_TIMES, find_metric
from benchmnist.runs.results import worst
from benchmnist.suites.bundles import Bundle, alike, has_built_in_step, why_not_stacked
from benchmnist.text import cause_of, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchmnist.executors import Epoch
    from benchmnist.extensions.registry import Registry
    from benchmnist.runs.results import CaseResult, EpochResult
    from benchmnist.suites.cases import Case

WALL_SECONDS, PEAK_MEMORY = map(find_metric, ("wall_seconds", "peak_memory"))
ROWS = 256
"""Trials of a bundle, at most: of `fc` with Adam they take 3 GB."""

LEAST_ROWS_OF_AUTO, ROWS_OF_AUTO = 8, 64
"""Trials of a stack that is measured to be faster: with fewer, no model gains much on a CPU, and 90 of 150 hidden
units gain less again.
"""


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


def together(registry: Registry, plan: Sequence[Case] = ()) -> Callable[[Case], str]:
    """Returns a function for the key of a case: cases with the same one may be trained in one stack.

    The key is empty for a case that would be refused, and for one that its engine does not stack: it is trained by
    itself. The engine `auto` stacks only if the run `only_chooses`, and only what is built in: nobody asked for
    it, and what a stranger's code does is known by its first steps and its promises only.

    Args:
        registry: The plugins.
        plan: The cases of the run.
    """
    chooses = bool(plan) and only_chooses(plan)

    def key(case: Case) -> str:
        may = case.engine == "stacked" or (case.engine == "auto" and chooses and has_built_in_step(case, registry))
        if not may or why_not_stacked(case, registry):
            return ""
        return json.dumps(alike(case), sort_keys=True, default=str)

    return key


def only_chooses(plan: Sequence[Case]) -> bool:
    """Tells whether a run is there to choose settings by what is learned, so that its times are of no interest.

    Each case is tested on a validation split, or is a point of a sweep over an optimizer. None has a baseline, to
    whose speed its own is compared, nor anything else that asks for a time, or for memory, which a stack shares.
    """
    shared = {metric.key for metric in (*TRAINING_TIMES, IMAGES_PER_SECOND, WALL_SECONDS, PEAK_MEMORY)}
    return all(
        (case.validation_size is not None or case.optimizer.variant)
        and case.baseline is None
        and case.compared_with is None
        and (not case.has_target or (case.stop_at_target and case.validation_size is not None))
        and case.seconds is None
        and not case.reference
        and not case.control
        and shared.isdisjoint(case.expect)
        for case in plan
    )


def bundled(cases: Iterable[Case], key: Callable[[Case], str], slots: int) -> list[list[Bundle]]:
    """Returns the groups of cases that may be trained together, each as bundles for all slots.

    Args:
        cases: The cases, with the seeds that are left to train.
        key: See `together`.
        slots: Number of tasks at the same time.
    """
    found: dict[str, list[Case]] = {}
    trials = 0
    for case in cases:
        trials += len(case.seeds)
        if case.seeds and (name := key(case)):
            found.setdefault(name, []).append(case)
    made = []
    stacks = sum(group[0].engine == "stacked" and len(group) > 1 for group in found.values())
    for group in found.values():
        if group[0].engine == "stacked":
            share = -(-slots // max(1, stacks))  # a stack takes hardly longer than half of it
            made.append([Bundle.of(points) for points in _whole_cases(group, share) if len(points) > 1])
        elif trials > slots:
            made.append([Bundle.of(points) for points in _equal_shares(group, slots)])
    return [*filter(None, made)]


def _whole_cases(cases: Sequence[Case], slots: int) -> Iterator[Sequence[Case]]:
    """Yields the cases of each stack, for so many slots: all seeds of a case are in one, as its engine says."""
    rows = sum(len(case.seeds) for case in cases)
    number = min(max(slots, -(-rows // ROWS)), len(cases))
    yield from (cases[start::number] for start in range(number))


def _equal_shares(cases: Sequence[Case], slots: int) -> Iterator[Sequence[Case]]:
    """Yields the cases of each stack with some of their seeds, so that no slot has more trials than another."""
    rows = [(case, seed) for case in cases for seed in case.seeds]
    number = max(slots, -(-len(rows) // ROWS_OF_AUTO))
    bounds = [len(rows) * i // number for i in range(number + 1)]
    for low, high in itertools.pairwise(bounds):
        if high - low < LEAST_ROWS_OF_AUTO:
            continue
        parts = itertools.groupby(rows[low:high], key=lambda row: row[0].id)
        yield [
            each[0][0].model_copy(update={"seeds": tuple(seed for _, seed in each)})
            for each in ([*members] for _, members in parts)
        ]


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
