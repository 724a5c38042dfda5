"""A run: read `run`, which is its steps in order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError
from benchmnist.execution.dispatch import Dispatcher, Observer, called
from benchmnist.execution.estimates import epoch_seconds
from benchmnist.execution.recorder import Recorder
from benchmnist.executors import Workplace, build_executor
from benchmnist.extensions.hookspecs import HOOK_API
from benchmnist.preflight.prepare import prepare
from benchmnist.pytest_support.embedded import collect, train
from benchmnist.pytest_support.harness import Harness
from benchmnist.runs import store
from benchmnist.runs.index import earlier_results, taken_over
from benchmnist.runs.results import RunRecord, now
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import Plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.schema import Suite
from benchmnist.training.environment import public_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmnist.executors import Executor
    from benchmnist.preflight.prepare import Prepared
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Case


@dataclass(frozen=True)
class PlannedRun:
    """A run before its training: what would be trained, and which results need not be.

    Attributes:
        prepared: The cases that are selected, checked.
        options: What it is asked for; where a run is resumed, what that was asked for when it began.
        path: Its folder, which need not exist yet.
        begun: The record of the run that is resumed; None for a new one.
        known: The results of cases that need not be trained, by case id, each with the folder of its run.
        parts: What there is of cases that were interrupted, by case id: whole trials of some of their seeds.
    """

    prepared: Prepared
    options: RunOptions
    path: Path
    begun: RunRecord | None = None
    known: Mapping[str, tuple[CaseResult, Path]] = field(default_factory=dict)
    parts: Mapping[str, Sequence[CaseResult]] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The cases, in order."""
        return self.prepared.plan

    @property
    def interleaved(self) -> bool:
        """Whether the trials are executed seed by seed, and not case by case."""
        options = self.options
        order = options.order or ("interleaved" if options.control else self.plan.suite.order)
        return order != "suite"

    def seeds_left(self, case: Case) -> tuple[int, ...]:
        """The seeds of a case that would be trained."""
        if case.id in self.known:
            return ()
        done = {trial.seed for part in self.parts.get(case.id, ()) for trial in part.trials}
        return tuple(seed for seed in case.seeds if seed not in done)


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
        BenchmnistError: if the device, the executor or the run folder is unavailable; nothing was trained.
        ValueError: if an option has a value that it may not have.
        TypeError: if RunOptions has no such attribute.
        KeyboardInterrupt: after what was done has been saved.
    """
    planned = plan_run(suite, replace(options or RunOptions(), **changes))
    executing = build_executor(planned.prepared.executor, _workplace(planned), planned.options.executor_options)
    folder = store.RunFolder(planned.path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(executing)  # before there is a folder: it may say that it cannot
        if planned.begun is None:
            folder.make()
        stack.enter_context(folder.lock())
        record = _record(planned, executing, searches)
        recorder = Recorder(folder, record, observer or Observer(), planned.prepared.keys)
        recorder.run_started(planned.plan, planned.prepared.work, planned.path)
        known = _taken_over(planned, folder)
        for result in known.values():
            recorder.known(result)
        dispatcher = _dispatcher(planned, executing, recorder, known)
        interrupted = train(Harness(planned.plan, dispatcher), recorder, planned.path)
        recorder.run_ended(interrupted=interrupted)
    if interrupted:
        raise KeyboardInterrupt
    return store.load_run(planned.path)


def plan_run(suite: str | Path | Suite | Plan, options: RunOptions | None = None) -> PlannedRun:
    """Does all of a run that comes before its training: what `--dry-run` shows. Writes nothing.

    Raises:
        SuiteError, BenchmnistError: as `run` does.
        ValueError: if a suite that was read already has to be read again, to override values in it; or a plan has
            to be made again.
    """
    options = options or RunOptions()
    if isinstance(suite, Plan):
        return _as_planned(suite, options)
    file = None if isinstance(suite, Suite) else suite
    if isinstance(suite, Suite):
        if options.set:
            raise ValueError("set: the suite is already read; pass `set` to load_suite, or pass the suite's path")
        options = replace(options, set=tuple(suite.assigned.values()))
    else:
        suite = read_suite(suite, options.set)
    path, begun = store.new_run_path(options.out, suite.name), None
    if options.resume:
        named, out = options.resume, options.out
        path = store.newest_run(out, suite.name) if named is True else store.find_run(named, out)
        begun = store.load_record(path)
        asked, options = options.set, _as_asked_before(begun, options)
        if options.set != asked:
            if file is None:
                raise BenchmnistError(
                    f"the run was begun with set = {[*options.set]}; pass that to load_suite, too"
                )
            suite = read_suite(file, options.set)
    prepared = select(prepare(suite, options), options.keyword)
    folder = store.RunFolder(path)
    parts = folder.parts() if begun else {}
    keys = {case.id: prepared.keys[case.id] for case in prepared.plan.cases if case.id in prepared.keys}
    return PlannedRun(
        prepared,
        options,
        path,
        begun,
        known=_known(folder, keys, options),
        parts={case_id: parts[key] for case_id, key in keys.items() if key in parts},
    )


def _as_planned(plan: Plan, options: RunOptions) -> PlannedRun:
    """Returns a new run of the cases of a plan.

    Raises:
        ValueError: if an option would change the cases.
    """
    default = RunOptions()
    for name in ("seeds", "epochs", "keyword", "engine", "control", "set", "resume", "reuse"):
        if getattr(options, name) != getattr(default, name):
            raise ValueError(f"{name}: the suite is already planned; pass the suite instead of its plan")
    return PlannedRun(prepare(plan, options), options, store.new_run_path(options.out, plan.suite.name))


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
        trials=sum(len(case.seeds) for case in planned.plan.cases),
        gpus=prepared.gpus,
        threads=options.threads,
        versions=tuple((name, public_version(name)) for name in ("benchmnist", "torch")),
    )


def _record(planned: PlannedRun, executing: Executor, searches: Sequence[Search]) -> RunRecord:
    """The record of a run that begins, or goes on."""
    prepared, options, suite = planned.prepared, planned.options, planned.plan.suite
    notes = [*prepared.notes, _sharing(prepared, executing), _overridden(options)]
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
        options={
            "device": prepared.device,
            "executor": options.executor,
            "reuse": options.reuse,
            **options.cases,
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
        parts=planned.parts,
        seconds=seconds,
        interleaved=planned.interleaved,
    )


def _sharing(prepared: Prepared, executing: Executor) -> str:
    """Returns the notes for a run in which several workers of this machine share a GPU."""
    from benchmnist.executors.cores import taking_turns

    return "" if prepared.executor.remote else taking_turns(prepared.device, executing.slots, prepared.gpus)


def _known(
    folder: store.RunFolder, keys: Mapping[str, str], options: RunOptions
) -> dict[str, tuple[CaseResult, Path]]:
    """The results that need not be computed again, by case id: of the run itself, and of earlier ones."""
    whole: dict[str, tuple[CaseResult, Path]] = {}
    if options.resume:
        whole = {key: (result, folder.path) for key, result in folder.whole_cases().items()}
    if options.reuse:
        whole = earlier_results(options.out, {*keys.values()} - {*whole}) | whole
    return {case_id: whole[key] for case_id, key in keys.items() if key in whole}


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


def _as_asked_before(record: RunRecord, options: RunOptions) -> RunOptions:
    """The options of a run that goes on: those that decide its cases are as they were when it began.

    Raises:
        BenchmnistError: if it is asked for something else now.
    """
    default = RunOptions().cases
    before = {name: record.options.get(name, value) for name, value in default.items()} | {"order": record.order}
    for name, value in options.cases.items():
        if value not in (before[name], default[name]):
            raise BenchmnistError(
                f"the run was begun with {name} = {before[name]!r}, and cannot go on with {value!r}; "
                "remove the option, or begin a new run"
            )
    return replace(options, **before)


def select(prepared: Prepared, keyword: str) -> Prepared:
    """The same with only the cases that pytest's own `-k` selects; all of them if the keyword is empty.

    Raises:
        BenchmnistError: if it selects none, or is no such expression.
    """
    if not keyword:
        return prepared
    return replace(prepared, plan=prepared.plan.only(collect(prepared.plan, keyword)))
