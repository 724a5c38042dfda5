"""A run before its training: its cases, and which results need not be computed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmnist.analysis.looks import primary
from benchmnist.errors import BenchmnistError
from benchmnist.execution.bundling import only_chooses
from benchmnist.garbage import not_collecting
from benchmnist.preflight.prepare import prepare
from benchmnist.pytest_support.embedded import collect
from benchmnist.runs import store
from benchmnist.runs.index import earlier_results, with_other_seeds
from benchmnist.runs.packed import is_packed
from benchmnist.runs.resumption import as_asked_before, refuse_another_plan
from benchmnist.suites.looks import MOST_SEEDS, announce
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import Plan, beyond_limits
from benchmnist.suites.reader import read_suite
from benchmnist.suites.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from benchmnist.preflight.prepare import Prepared
    from benchmnist.runs.results import CaseResult, RunRecord
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks

OF_THE_PLAN = (
    *("seeds", "epochs", "steps", "optimizers", "keyword", "engine", "control", "dynamics", "until_told"),
    *("max_seeds", "set", "resume", "reuse"),
)
"""Options that would change the cases of a plan."""


@dataclass(frozen=True)
class PlannedRun:
    """A run before its training: what would be trained, and which results need not be.

    Attributes:
        prepared: The cases that are selected, checked.
        options: What it is asked for; where a run is resumed, what that was asked for when it began.
        folder: Its folder, which need not exist yet.
        begun: The record of the run that is resumed; None for a new one.
        known: The results of cases that need not be trained, by case id, each with the folder of its run.
        parts: What there is of other cases, by case id: whole trials of some of their seeds, each part with the
            folder of its run.
    """

    prepared: Prepared
    options: RunOptions
    folder: store.RunFolder
    begun: RunRecord | None = None
    known: Mapping[str, tuple[CaseResult, Path]] = field(default_factory=dict)
    parts: Mapping[str, Sequence[tuple[CaseResult, Path]]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The path of its folder."""
        return self.folder.path

    @property
    def plan(self) -> Plan:
        """The cases, in order."""
        return self.prepared.plan

    @property
    def interleaved(self) -> bool:
        """Tells whether the trials are executed seed by seed, and not case by case."""
        options = self.options
        order = options.order or ("interleaved" if options.control else self.plan.suite.order)
        return order != "suite"

    def seeds_left(self, case: Case) -> tuple[int, ...]:
        """The seeds of a case that would be trained."""
        if case.id in self.known:
            return ()
        done = {trial.seed for part, _ in self.parts.get(case.id, ()) for trial in part.trials}
        return tuple(seed for seed in case.seeds if seed not in done)


@not_collecting()
def plan_run(
    suite: str | Path | Suite | Plan, options: RunOptions | None = None, searches: Sequence[Search] = ()
) -> PlannedRun:
    """Does all of a run that comes before its training: what `--dry-run` shows. Writes nothing.

    Args:
        suite: As of `run`.
        options: As of `run`.
        searches: As of `run`.

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
        if is_packed(path):
            raise BenchmnistError(f"{path} is a packed run, which cannot be resumed; name a run folder")
        begun = store.load_record(path)
        asked, options = options.set, as_asked_before(begun, options)
        if options.set != asked:
            if file is None:
                raise BenchmnistError(
                    f"the run was begun with set = {[*options.set]}; set the same (--set, load_suite(set=…))"
                )
            suite = read_suite(file, options.set)
    folder = store.RunFolder(path)
    read = folder.whole_cases if begun is not None else lambda: None  # which keeps them for `_known`
    if suite.recorded_file:
        store.load_run(suite.recorded_file)  # what it lacks is better known now than after the training
    prepared = select(prepare(suite, options, meanwhile=read), options.keyword)
    looks = _looks(prepared.plan, options, begun)
    prepared = prepared.at(looks) if looks else prepared
    if begun is not None:
        refuse_another_plan(path, begun, prepared.plan.cases, searches)
    known = _known(folder, prepared, options)
    return PlannedRun(
        prepared,
        options,
        folder,
        begun,
        known=known,
        parts=_parts(folder, prepared, {*prepared.keys} - {*known}, options),
    )


def _as_planned(plan: Plan, options: RunOptions) -> PlannedRun:
    """Returns a new run of the cases of a plan.

    Raises:
        ValueError: if an option would change the cases.
    """
    if name := options.given(OF_THE_PLAN):
        raise ValueError(f"{name}: the suite is already planned; pass the suite instead of its plan")
    folder = store.RunFolder(store.new_run_path(options.out, plan.suite.name))
    return PlannedRun(prepare(plan, options), options, folder)


def _looks(plan: Plan, options: RunOptions, begun: RunRecord | None) -> Looks | None:
    """The looks that a run announces, or has announced; None without `until_told`.

    Raises:
        BenchmnistError: if there is nothing to be told, or the looks would be others than were announced.
    """
    if not options.until_told:
        if options.max_seeds is not None:
            raise BenchmnistError("--max-seeds needs --until-told, which adds seeds up to that number")
        return None
    if not primary(plan.cases):
        raise BenchmnistError(
            "--until-told needs cases to compare, and these are not compared with each other: add methods, or a "
            "baseline"
        )
    seeds = {case.seeds for case in plan.cases if not case.control}
    if len(seeds) > 1:
        raise BenchmnistError(
            "--until-told needs the same seeds for every case; remove `seeds` from [[cases]], or pass --seeds"
        )
    (first,) = seeds
    try:
        looks = announce(first, options.max_seeds or MOST_SEEDS)
    except ValueError as error:
        raise BenchmnistError(f"--max-seeds {error}") from None
    if beyond := beyond_limits(plan.cases, len(looks.seeds)):
        raise BenchmnistError(f"at the last look of --until-told, {beyond}, or lower --max-seeds")
    if begun is None or begun.looks is None:
        return looks
    if (begun.looks.seeds, begun.looks.counts) != (looks.seeds, looks.counts):
        raise BenchmnistError(
            f"the run announced looks at {begun.looks}, and the suite's seeds now make them {looks}; set the "
            "seeds as they were, or begin a new run"
        )
    return begun.looks.model_copy(update={"stopped": None})


def _known(folder: store.RunFolder, prepared: Prepared, options: RunOptions) -> dict[str, tuple[CaseResult, Path]]:
    """The results that need not be computed again, by case id: of the run itself, and of earlier ones."""
    keys = prepared.keys
    whole: dict[str, tuple[CaseResult, Path]] = {}
    if options.resume:
        whole = {key: (result, folder.path) for key, result in folder.whole_cases().items()}
    if options.reuse:
        whole = earlier_results(options.out, {*keys.values()} - {*whole}) | whole
    may_take, cases = _taken_over(prepared), {case.id: case for case in prepared.plan.cases}
    found = {case_id: whole[key] for case_id, key in keys.items() if key in whole}
    return {id_: each for id_, each in found.items() if may_take(each[0]) and _has_costs(each[0], cases[id_])}


def _has_costs(result: CaseResult, case: Case) -> bool:
    """Tells whether a result has the times of the parts of a step that its case asks for, or was itself asked."""
    return not case.costs or bool(result.case.costs) or result.cost_seconds is not None


def _taken_over(prepared: Prepared) -> Callable[[CaseResult], bool]:
    """Returns what tells whether a result may be taken over: one that shares times, if the run compares none."""
    chooses = only_chooses(prepared.plan.cases)
    return lambda result: chooses or not result.shares_times or result.case.engine != "auto"


def _parts(
    folder: store.RunFolder, prepared: Prepared, wanted: Collection[str], options: RunOptions
) -> dict[str, list[tuple[CaseResult, Path]]]:
    """Trials that need not be trained again, of cases that are not known, by case id.

    They are those of cases that were interrupted, or of the same cases with other seeds.
    """
    parts: dict[str, list[tuple[CaseResult, Path]]] = {}
    if options.resume:
        there = folder.parts()
        for case_id, key in prepared.keys.items():
            if case_id in wanted and key in there:
                parts[case_id] = [(part, folder.path) for part in there[key]]
    cases = [case for case in prepared.plan.cases if case.id in wanted and case.id not in parts]
    runs = store.runs_in(options.out) if options.reuse else []
    own = [folder.path] if options.resume else []
    others = [run for run in runs if run not in own]
    may_take = _taken_over(prepared)
    found = with_other_seeds(cases, [*others, *own], prepared.key_of, folder)
    of = {case.id: case for case in cases}
    for case_id, part in found.items():
        trains = len(part[0].trials) < len(of[case_id].seeds)  # which measures the times
        if may_take(part[0]) and (trains or _has_costs(part[0], of[case_id])):
            parts[case_id] = [part]
    return parts


def select(prepared: Prepared, keyword: str) -> Prepared:
    """The same with only the cases that pytest's own `-k` selects; all of them if the keyword is empty.

    Raises:
        BenchmnistError: if it selects none, or is no such expression.
    """
    if not keyword:
        return prepared
    return replace(prepared, plan=prepared.plan.only(collect(prepared.plan, keyword)))
