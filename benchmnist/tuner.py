"""Choosing hyperparameters: each optimizer gets the same budget, judged on a validation split; then all are run.

A search is a run as any other, of cases that are judged on held-out training examples: it can be gone on with,
and its results are found again by their keys. What comes of it is a second run, of the suite itself with what was
chosen, with seeds that the search has not seen, on the test set.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmnist import runner
from benchmnist.errors import BenchmnistError, Problem, StoreError, SuiteError
from benchmnist.extensions.kinds import OPTIMIZER
from benchmnist.extensions.registry import find_plugins
from benchmnist.optimizer_search import OptimizerSearch
from benchmnist.runs import store
from benchmnist.runs.results import RunResult
from benchmnist.runs.resumption import lost_cases
from benchmnist.suites.budgets import target_of
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.samplers import rehearse
from benchmnist.suites.schema import Tune
from benchmnist.suites.suite import Point, SearchScope, Suite
from benchmnist.text import alternatives, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmnist.execution.dispatch import Observer
    from benchmnist.metrics import Metric
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Case, Space
    from benchmnist.suites.plan import Plan

NOT_TUNED = (
    *("seeds", "epochs", "steps", "keyword", "engine", "order", "control", "until_told"),
    *("max_seeds", "reuse"),
)
"""Options of a run that a search does not have."""
OF_SEARCH = frozenset({"seeds", "baseline", "margin", "spread", "expect"})
"""Settings of cases that a search decides, also for the problems of a suite."""


@dataclass(frozen=True)
class Tuned:
    """The outcome of a tuning: the run of the search, and the run of the suite with the chosen parameters."""

    search: RunResult
    final: RunResult


def tune(
    suite: str | Path | Suite,
    options: RunOptions | None = None,
    *,
    trials: int | None = None,
    searches: int | None = None,
    sampler: str | None = None,
    watch: Callable[[], AbstractContextManager[Observer | None]] | None = None,
    **changes: Any,
) -> Tuned:
    """Searches the space of each optimizer that has one, on each model, and runs the suite with what it finds.

    Args:
        suite: A suite, or the path of one.
        options: As of `benchmnist.run`, without those in NOT_TUNED. The run folders of the search are in
            `SUITE-search`. `resume` goes on with the newest search of the suite, and with the run that followed
            it, if it did. `checkpoints` is for the final trials; the weights of a search are not kept.
        trials: Override the suite's: how many points each optimizer may try, on each model.
        searches: Override the suite's: how often each search is repeated, with other points and seeds.
        sampler: Override the suite's.
        watch: Is called for each run that is begun; what it returns is entered, and notified of what happens.
        changes: Attributes of RunOptions that override those of `options`.

    Raises:
        SuiteError: with everything that is wrong with the suite, or if no optimizer of it has a space.
        BenchmnistError: if nothing that was tried could be trained; the search is kept.
        ValueError: if an option has a value that it may not have, or is in NOT_TUNED.
        KeyboardInterrupt: after what was done has been saved.
    """
    options = replace(options or RunOptions(), **changes)
    if name := options.given(NOT_TUNED):
        raise ValueError(f"tune has no option {name}: the suite decides it")
    if options.resume not in (True, False):
        raise ValueError("tune resumes the newest search of the suite; pass resume=True")
    if not isinstance(suite, Suite):
        suite = read_suite(suite, options.set)
    options_of_tune = {"trials": trials, "searches": searches, "sampler": sampler}
    changed = {key: value for key, value in options_of_tune.items() if value is not None}
    suite = replace(suite, tune=Tune.model_validate({**dict(suite.tune), **changed}))
    plan = make_plan(suite, find_plugins(options.block), RunOptions(optimizers=options.optimizers))
    if plan.problems:
        raise SuiteError([*plan.problems])
    suite = _with_optimizers(plan.suite, options.optimizers)
    planned = [
        OptimizerSearch(scope, space, suite.tune, metric, number, target=target)
        for scope, (space, metric, target) in searched_scopes(plan).items()
        for number in range(1, suite.tune.searches + 1)
    ]
    # The seeds of the final run, then those of the search, then the next search: however many there are.
    step = max(seed for case in plan.cases for seed in case.seeds) + 1 + suite.tune.seeds
    suite = replace(suite, searches=suite.tune.searches, seed_step=step)
    for each in planned:
        if each.guided and each.number == 1:
            rehearse(each.space, suite.tune.sampler)
    run = _Runner(replace(options, set=(), optimizers=None), watch)  # they are in the suite by now
    search_suite = _search_suite(suite)
    begun = _begun(options.out, search_suite.name) if options.resume else None
    if begun is not None:  # what it trained was looked at, or may have been
        suite = replace(suite, announced=max(suite.announced, begun.record.announced))
    search = run.search(search_suite, planned, begun)
    found = tuple(each.outcome(search) for each in planned)
    chosen = [(each.scope, _best(outcome)) for each, outcome in zip(planned, found, strict=True)]
    if not any(points for _, points in chosen):
        rows = dict.fromkeys(f"{each.method} on {each.model or each.dataset}" for each in found)
        tried = alternatives(rows, "and")
        raise BenchmnistError(
            f"every attempt of {tried} diverged or failed; change its space (the search is in {found[0].run})"
        )
    final = replace(_at(suite, chosen), tuned=True)
    cases = make_plan(final, find_plugins(options.block)).cases
    before = _followed(options.out, suite.name, found, cases) if options.resume else None
    # One that cannot go on, because searches were added, still need not train again what an earlier one has.
    return Tuned(search, run.run(final, found, resume=before or False, reuse=bool(options.resume and not before)))


class _Runner:
    """Begins runs, each with the same options and a display of its own."""

    def __init__(
        self, options: RunOptions, watch: Callable[[], AbstractContextManager[Observer | None]] | None
    ) -> None:
        self.options, self.watch = options, watch or contextlib.nullcontext

    def run(self, suite: Suite, searches: Sequence[Search] = (), **changes: Any) -> RunResult:
        with self.watch() as observer:
            return runner.run(suite, self.options, observer=observer, searches=searches, **changes)

    def search(self, suite: Suite, searches: Sequence[OptimizerSearch], begun: RunResult | None) -> RunResult:
        """Asks for points and trains them, until the budget is used up: a random search asks once.

        Args:
            suite: The suite of the search, without points.
            searches: The searches.
            begun: The run that is resumed; a guided search asks again by its results.
        """
        path = begun.path if begun else None
        for each in searches:
            each.ask(None)
        if begun is not None and any(each.guided for each in searches):
            found = self._completed(begun, suite, searches)
            for each in searches:
                while each.ended(found) and each.ask(found):
                    pass
        while True:
            found = self._search(suite, [(each.scope, each.points) for each in searches], path)
            path = found.path
            more = [each.ask(found) for each in searches]  # whether or not another had more
            if not any(more):
                return found

    def _completed(self, begun: RunResult, suite: Suite, searches: Sequence[OptimizerSearch]) -> RunResult:
        """Returns the results of all points that a run planned, after training those that it lacks.

        So it asks for what comes next by all results, and no plan of it has fewer points than it had.
        """
        planned = [each.planned(begun.record.plan) for each in searches]
        ended = {result.id for result in begun.cases if result.status != "interrupted"}
        if all(planned) and ended >= {case.id for case in begun.record.plan}:
            return begun
        points = [(each.scope, there or each.points) for each, there in zip(searches, planned, strict=True)]
        return self._search(replace(suite, title=begun.record.title), points, begun.path)

    def _search(
        self, suite: Suite, points: Sequence[tuple[SearchScope, tuple[Point, ...]]], path: Path | None
    ) -> RunResult:
        return self.run(_at(suite, points), resume=path or False, checkpoints=False)


def _at(suite: Suite, points: Sequence[tuple[SearchScope, tuple[Point, ...]]]) -> Suite:
    """Returns a suite with these points, of which several searches may have some of one scope."""
    found: dict[SearchScope, tuple[Point, ...]] = {}
    for scope, more in points:
        found[scope] = (*found.get(scope, ()), *more)
    return replace(suite, points=found)


def searched_scopes(plan: Plan) -> dict[SearchScope, tuple[Mapping[str, Space], Metric, str]]:
    """Returns what each search of a suite chooses from and is judged by.

    There is one for each optimizer that has a space, on each model or problem that it is used with.

    Raises:
        SuiteError: if there is none.
    """
    scopes: dict[SearchScope, tuple[Mapping[str, Space], Metric, str]] = {}
    for case in plan.cases:
        table = plan.suite.optimizers.get(case.optimizer.name)
        if table is not None and table.space:
            scope = SearchScope(*case.group, case.method)
            target = str(target_of(case)) if case.stop_at_target else ""
            scopes.setdefault(scope, (table.space, case.primary, target))
    if not scopes:
        message = "no optimizer has a space to tune; add [optimizers.NAME.space] with lr = { low = …, high = … }"
        raise SuiteError([Problem(message, plan.suite.file)])
    return scopes


def said_of_searches(plan: Plan) -> str:
    """Describes what is trained before a suite that is always tuned: `tuned first: 3 searches of 11 points …`."""
    how = plan.suite.tune
    number = len(searched_scopes(plan)) * how.searches
    return (
        f"tuned first ([tune] always): {counted(number, 'search')} of {counted(how.trials, 'point')} each "
        f"({how.sampler}), {counted(how.seeds, 'seed')} per point"
    )


def _with_optimizers(suite: Suite, optimizers: Sequence[str] | None) -> Suite:
    """Returns a suite to tune, whose cases have other optimizers if any are named."""
    changed = {} if optimizers is None else {"optimizers": [*optimizers]}
    blocks = tuple(block.model_copy(update=changed) for block in suite.blocks)
    return replace(suite, blocks=blocks)


def _search_suite(suite: Suite) -> Suite:
    """The suite that a search runs: what is tuned, on held-out examples, with seeds that the suite has not."""
    searched = {name for name, table in suite.optimizers.items() if table.space}
    how = suite.tune
    first = suite.seed_step - how.seeds  # the last of those of one step
    decided = OF_SEARCH | ({"epochs"} if how.epochs else set())
    kept = [(index, block) for index, block in enumerate(suite.blocks) if searched & {*block.names(OPTIMIZER)}]
    blocks = tuple(
        block.model_copy(
            update={
                "optimizers": [name for name in block.names(OPTIMIZER) if name in searched],
                "seeds": tuple(range(first, first + how.seeds)),
                "epochs": how.epochs or block.epochs,
                "steps": None if how.epochs else block.steps,
                "validation_size": how.validation_size,
                "baseline": None,
                "margin": None,
                "spread": None,
                "expect": {},
            }
        )
        for _, block in kept
    )
    return replace(
        suite,
        name=f"{suite.name}-search",
        title=f"{suite.title}: {counted(how.trials, 'point')} each ({how.sampler})",
        order="suite",
        chooses=True,
        blocks=blocks,
        block_indices=tuple(suite.block_indices[index] for index, _ in kept),
        own_keys={index: keys | decided for index, keys in suite.own_keys.items()},
        comparisons={},
        recorded="",
        expect={},
        tables={
            kind: {name: table.model_copy(update={"expect": {}}) for name, table in tables.items()}
            for kind, tables in suite.tables.items()
        },
    )


def _best(search: Search) -> tuple[Point, ...]:
    """Returns the point that a search has found; none if every attempt diverged or failed."""
    return (Point(search.best.params, search=search.number or 1),) if search.best else ()


def _begun(out: Path, suite: str) -> RunResult:
    """Returns the newest run of the suite, without damaged results.

    Raises:
        StoreError: if there is none.
    """
    path = store.newest_run(out, suite)
    return RunResult(
        path=path,
        record=store.load_record(path),
        cases=tuple(result for _, result in store.readable_cases(path)),
    )


def _followed(out: Path, suite: str, searches: Sequence[Search], cases: Sequence[Case]) -> Path | None:
    """Returns the newest run of the suite that used what these searches found and has no other cases."""
    for run in reversed(store.runs_in(out / suite)):
        with contextlib.suppress(StoreError):  # of a damaged run, which is not gone on with
            record = store.load_record(run)
            if record.searches == tuple(searches) and not lost_cases(run, record, cases):
                return run
    return None
