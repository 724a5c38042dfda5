"""About how long an epoch of each case will take: what the order of trials is chosen by."""

from __future__ import annotations

from itertools import islice
from statistics import fmean, median
from typing import TYPE_CHECKING

from benchmnist.runs.store import runs_in, stored_case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

RUNS_READ = 10
"""How many of the newest runs are looked through for a case."""

STEP, FLOPS = 5e-4, 2e11
"""Seconds that a step takes beside its arithmetic, and floating-point operations a second: of one core of the
machine in docs/performance.md. What they are elsewhere changes the estimates, but hardly their order."""


def epoch_seconds(cases: Sequence[Case], work: Mapping[str, Work], out: Path) -> dict[str, float]:
    """By case id: as measured in an earlier run in `out`; else by the work of an epoch.

    The work is that of the preflight. It is scaled so that it fits the cases that were measured, if there are any;
    a case of which neither is known is taken to be as long as the longest.
    """
    measured = _measured(cases, out)
    worked = {case_id: STEP * w.steps + w.flop / FLOPS for case_id, w in work.items()}
    scale = median([measured[case_id] / worked[case_id] for case_id in measured if case_id in worked] or [1.0])
    known = {case_id: seconds * scale for case_id, seconds in worked.items()} | measured
    longest = max(known.values(), default=0.0)
    return {case.id: known.get(case.id, longest) for case in cases}


def _measured(cases: Sequence[Case], out: Path) -> dict[str, float]:
    """Mean seconds of an epoch's training in the newest run that has a case which does the same work."""
    found: dict[str, float] = {}
    for run in islice(reversed(runs_in(out)), RUNS_READ):
        for case in cases:
            result = stored_case(run, case) if case.id not in found else None
            if result is not None and _same_work(result, case):
                found[case.id] = fmean(epoch.seconds for trial in result.trials for epoch in trial.epochs)
    return found


def _same_work(result: CaseResult, case: Case) -> bool:
    """Whether an epoch of a stored case was as long as one of this will be, on the same machine."""
    of_the_work = {"seeds", "epochs", "init_seed", "evaluate_in", "expect"}
    there, here = ({k: v for k, v in c.deciding().items() if k not in of_the_work} for c in (result.case, case))
    return result.has_epochs and there == here
