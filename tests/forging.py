"""Changes runs as their authors could: with checksums that are right, and with keys that fit if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import benchmnist
from benchmnist.runs.store import RunFolder
from benchmnist.suites.keys import case_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.runs.results import CaseResult, EpochResult, RunResult, TrialResult


def rewrite(run: RunResult, case_id: str, *, planned: bool = True, **update: Any) -> RunResult:
    """Writes a case of a run again, with other values; with `planned`, the plan and the key fit them."""
    folder, result = RunFolder(run.path), run[case_id].model_copy(update=update)
    if planned:
        plan = tuple(result.case if case.id == case_id else case for case in run.record.plan)
        folder.write_record(run.record.model_copy(update={"plan": plan}))
        there = {
            name: result.environment[name] for name in ("device_name", "torch", "benchmnist", "deterministic")
        }
        there["device"] = result.environment["device"].partition(":")[0]
        key = case_key(result.case, run.record.data[result.case.dataset.label], there)
        result = result.model_copy(update={"key": key})
    folder.write_case(result)
    return benchmnist.load_run(run.path)


def with_trials(result: CaseResult, change: Callable[[TrialResult], dict[str, Any]]) -> dict[str, Any]:
    """Returns its trials, with other values."""
    return {"trials": tuple(trial.model_copy(update=change(trial)) for trial in result.trials)}


def with_epochs(result: CaseResult, change: Callable[[int, EpochResult], dict[str, Any]]) -> dict[str, Any]:
    """Returns its trials, with other values in every epoch."""

    def changed(trial: TrialResult) -> dict[str, Any]:
        return {"epochs": tuple(epoch.model_copy(update=change(trial.seed, epoch)) for epoch in trial.epochs)}

    return with_trials(result, changed)
