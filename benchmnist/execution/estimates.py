"""Estimates the time of an epoch of each case, which determines the order of the trials."""

from __future__ import annotations

from itertools import islice
from statistics import fmean, median
from typing import TYPE_CHECKING

from benchmnist.runs.store import runs_in, stored_case
from benchmnist.suites.cases import TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

RUNS_READ = 10
"""Number of the newest runs to search for a case."""

STEP, FLOPS = 5e-4, 2e11
"""Seconds that a step takes beside its arithmetic, and floating-point operations a second: of one core of the
machine in docs/performance.md. What they are elsewhere changes the estimates, but hardly their order."""


def epoch_seconds(cases: Sequence[Case], work: Mapping[str, Work], out: Path) -> dict[str, float]:
    """Estimates the seconds of an epoch, by case id, from an earlier run in `out`, or from the work of an epoch.

    The work comes from the preflight, scaled to fit the measured cases, if any. A case for which neither is known
    counts like the longest.
    """
    measured = _measured(cases, out)
    worked = {case_id: STEP * w.steps + w.flop / FLOPS for case_id, w in work.items()}
    scale = median([measured[case_id] / worked[case_id] for case_id in measured if case_id in worked] or [1.0])
    known = {case_id: seconds * scale for case_id, seconds in worked.items()} | measured
    longest = max(known.values(), default=0.0)
    return {case.id: known.get(case.id, longest) for case in cases}


def _measured(cases: Sequence[Case], out: Path) -> dict[str, float]:
    """Returns the mean training time of an epoch in the newest run that has a case with the same work."""
    found: dict[str, float] = {}
    for run in islice(reversed(runs_in(out)), RUNS_READ):
        for case in cases:
            result = stored_case(run, case) if case.id not in found else None
            if result is not None and _same_work(result, case):
                epochs = [epoch for trial in result.trials for epoch in trial.epochs]
                whole = [epoch.seconds * result.steps / (epoch.steps or result.steps) for epoch in epochs]
                found[case.id] = fmean(whole)
    return found


def _same_work(result: CaseResult, case: Case) -> bool:
    """Tells whether an epoch of a stored case takes as long as one of this case, on the same machine."""
    ends = {"epochs", "steps", "seconds", "stop_at_target", "patience", *TARGETS}
    of_the_work = {"seeds", "init_seed", "evaluate_in", "evaluate_every", "expect", *ends}
    there, here = ({k: v for k, v in c.deciding().items() if k not in of_the_work} for c in (result.case, case))
    return result.has_epochs and there == here
