"""A run: read `run`, which is its steps in order."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.looks import standing
from benchmnist.analysis.verdicts import judge
from benchmnist.errors import BenchmnistError, StoreError
from benchmnist.execution.bundling import together
from benchmnist.execution.dispatch import Dispatcher, Observer, called
from benchmnist.execution.estimates import epoch_seconds
from benchmnist.execution.interruption import interrupted_once
from benchmnist.execution.recorder import Recorder
from benchmnist.executors import Workplace, build_executor
from benchmnist.extensions.hookspecs import HOOK_API
from benchmnist.forking.fork_server import start_importing
from benchmnist.garbage import not_collecting, spared
from benchmnist.planned_run import plan_run
from benchmnist.pytest_support.embedded import train
from benchmnist.pytest_support.harness import Harness
from benchmnist.runs import store
from benchmnist.runs.index import taken_over
from benchmnist.runs.results import RunRecord, now
from benchmnist.suites.options import RunOptions
from benchmnist.training.environment import public_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmnist.executors import Executor
    from benchmnist.planned_run import PlannedRun
    from benchmnist.preflight.prepare import Prepared
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.looks import Reason
    from benchmnist.suites.plan import Plan
    from benchmnist.suites.suite import Suite


def run(
    suite: str | Path | Suite | Plan,
    options: RunOptions | None = None,
    *,
    observer: Observer | None = None,
    searches: Sequence[Search] = (),
    **changes: Any,
) -> RunResult:
    """Trains the cases of a suite and returns the run.

    Args:
        suite: A suite, or the path of one; or a plan, whose cases are trained as they are.
        options: What the run is asked for beside the suite.
        observer: Is notified of what happens, as it happens.
        searches: How the optimizers' hyperparameters were chosen, to be kept with the run.
        changes: Attributes of RunOptions that override those of `options`: `device="cpu", seeds=3`.

    Raises:
        SuiteError: with everything that is wrong with the suite; nothing was trained.
        BenchmnistError: if the device, the executor or the run folder is unavailable, or if the suite has
            `always` under [tune]; nothing was trained.
        ValueError: if an option has a value that it may not have.
        TypeError: if RunOptions has no such attribute.
        KeyboardInterrupt: after what was done has been saved.
    """
    options = replace(options or RunOptions(), **changes)
    if options.executor == "local":
        start_importing()
    with contextlib.ExitStack() as stack:
        with not_collecting():
            planned = plan_run(suite, options, searches)
            _refuse_untuned(planned.plan.suite)
            if planned.known:
                stack.enter_context(spared())
        folder = planned.folder
        executing = build_executor(
            planned.prepared.executor, _workplace(planned), planned.options.executor_options
        )
        stack.enter_context(interrupted_once())
        stack.enter_context(executing)  # before there is a folder: it may say that it cannot
        if planned.begun is None:
            folder.make()
        stack.enter_context(folder.lock())
        folder.set_aside(planned.plan.cases)
        if file := planned.plan.suite.recorded_file:
            folder.write_recorded(file)
        record = _record(planned, executing, searches)
        recorder = Recorder(folder, record, observer or Observer())
        recorder.run_started(planned.plan, planned.prepared.work, planned.path)
        try:
            interrupted = _trained_until_told(planned, executing, recorder)
        except BaseException as error:
            with contextlib.suppress(StoreError):  # the disk may be full: then the run counts as killed
                recorder.run_ended(interrupted=isinstance(error, KeyboardInterrupt))
            raise
        recorder.run_ended(interrupted=interrupted)
    if interrupted:
        raise KeyboardInterrupt
    return store.load_run(planned.path)


def _refuse_untuned(suite: Suite) -> None:
    """Refuses a suite that has to be tuned and was not.

    Raises:
        BenchmnistError: if it is one.
    """
    if suite.tune.always and not suite.points:
        raise BenchmnistError(f"{suite.file} has always = true under [tune]; call benchmnist.tune instead of run")


def _trained(planned: PlannedRun, executing: Executor, recorder: Recorder) -> bool:
    """Trains the cases of a plan; returns whether it was interrupted."""
    recorder.begin(planned.plan, planned.prepared.keys)
    known = _taken_over(planned, recorder.folder)
    for result in known.values():
        recorder.known(result)
    dispatcher = _dispatcher(planned, executing, recorder, known)
    return train(Harness(planned.plan, dispatcher), recorder, planned.path)


def _trained_until_told(planned: PlannedRun, executing: Executor, recorder: Recorder) -> bool:
    """Trains the cases, and all of them again with more seeds until a look is the last; as `_trained`."""
    while True:
        if _trained(planned, executing, recorder):
            return True
        try:
            following = _next_look(planned, recorder)
        except KeyboardInterrupt:
            return True
        if following is None:
            return False
        planned = following


def _next_look(planned: PlannedRun, recorder: Recorder) -> PlannedRun | None:
    """The same run with the seeds of the next look; None if there is none, which is recorded.

    What was trained becomes a part of the larger cases, on disk too, where an interruption cannot replace it. A
    case that failed is not trained further.
    """
    looks = planned.plan.looks
    if looks is None:
        return None
    results = store.load_run(planned.path).cases
    if _lacking(planned, results):  # something of ours went wrong: this is no look that was announced
        return None
    found = standing(judge(results, looks=looks.number, most=sys.maxsize), looks)  # each comparison counts
    reason: Reason | None = "settled" if found.settled else "all seeds" if looks.last else None
    looks = looks.model_copy(update={"stopped": reason, "reached": looks.reached + (reason is None)})
    recorder.looked(looks, found)
    if reason:
        return None
    prepared = planned.prepared.at(looks)
    known = {result.id: (result, planned.path) for result in results if result.failed}
    parts = {result.id: [(result, planned.path)] for result in results if result.id not in known}
    for case_id, [(result, _)] in parts.items():
        recorder.folder.write_part(result.model_copy(update={"key": prepared.keys.get(case_id, "")}))
    return replace(planned, prepared=prepared, known=known, parts=parts)


def _lacking(planned: PlannedRun, results: Sequence[CaseResult]) -> bool:
    """Tells whether a seed is missing that this look planned; a case that failed has no more of them."""
    there = {result.id: result for result in results}
    return any(
        case.id not in there or not (there[case.id].failed or there[case.id].ended_seeds >= {*case.seeds})
        for case in planned.plan.cases
    )


def _workplace(planned: PlannedRun) -> Workplace:
    """Returns the workplace of the executor: where and how it trains the run."""
    prepared, options = planned.prepared, planned.options
    return Workplace(
        prepared.device,
        prepared.data_root,
        planned.path.absolute(),  # a plugin may change the current folder
        options.checkpoints,
        options.block,
        jobs=options.jobs,
        timeout=options.timeout,
        trials=sum(len((planned.plan.looks or case).seeds) for case in planned.plan.cases),
        gpus=prepared.gpus,
        threads=options.threads,
        versions=tuple((name, public_version(name)) for name in ("benchmnist", "torch")),
        data=tuple(prepared.data.items()),
        recorded=prepared.only_built_in,
    )


def _record(planned: PlannedRun, executing: Executor, searches: Sequence[Search]) -> RunRecord:
    """The record of a run that begins, or goes on."""
    prepared, options, suite = planned.prepared, planned.options, planned.plan.suite
    notes = [*prepared.notes, planned.plan.left_out, _sharing(prepared, executing), _overridden(options)]
    return RunRecord(
        benchmnist=version("benchmnist"),
        suite=suite.name,
        title=suite.title,
        suite_file=suite.file,
        suite_text=suite.text,
        plan=planned.plan.cases,
        hook_api=HOOK_API,
        notes=tuple(note for note in notes if note),
        models=prepared.models,
        data=dict(prepared.data),
        searches=tuple(searches),
        looks=planned.plan.looks,
        # Looks that a run announced were made, or may have been, also if it is gone on with as one that has none.
        announced=max(suite.announced, planned.begun.announced if planned.begun else 1),
        recorded=bool(suite.recorded),
        options={
            "device": prepared.device,
            "executor": options.executor,
            "reuse": options.reuse,
            **options.cases,
            **({"max_seeds": len(planned.plan.looks.seeds)} if planned.plan.looks else {}),
            "order": "interleaved" if planned.interleaved else "suite",
        },
        started=planned.begun.started if planned.begun else now(),
    )


def _overridden(options: RunOptions) -> str:
    """Returns the values that override the suite's, for the reports."""
    return f"overridden in the suite by --set: {', '.join(options.set)}" if options.set else ""


def _dispatcher(
    planned: PlannedRun, executing: Executor, recorder: Recorder, known: Mapping[str, CaseResult]
) -> Dispatcher:
    """Returns the dispatcher, which feeds the cases to the executor, the longest first."""
    seconds = None
    if executing.slots > 1:
        seconds = epoch_seconds(planned.plan.cases, planned.prepared.work, planned.options.out)
    return Dispatcher(
        executing,
        recorder,
        known,
        parts=_parts_taken_over(planned),
        seconds=seconds,
        interleaved=planned.interleaved,
        together=together(planned.prepared.registry, planned.plan.cases),
    )


def _sharing(prepared: Prepared, executing: Executor) -> str:
    """Returns the notes for a run in which several workers of this machine share a GPU."""
    from benchmnist.executors.cores import taking_turns

    return "" if prepared.executor.remote else taking_turns(prepared.device, executing.slots, prepared.gpus)


def _taken_over(planned: PlannedRun, folder: store.RunFolder) -> dict[str, CaseResult]:
    """The known results as those of this run's cases."""
    known = {}
    for case in planned.plan.cases:
        if case.id in planned.known:
            result, run = planned.known[case.id]
            if run != folder.path or result.id != case.id:
                result = taken_over(result, case, folder, run)
            known[case.id] = called(result, case)
    return known


def _parts_taken_over(planned: PlannedRun) -> dict[str, list[CaseResult]]:
    """The parts of cases as those of this run's cases."""
    folder = planned.folder
    return {
        case.id: [
            part if run == folder.path else taken_over(part, case, folder, run)
            for part, run in planned.parts[case.id]
        ]
        for case in planned.plan.cases
        if case.id in planned.parts
    }
