"""Prepares a run: reads its suite, plans it with the installed plugins, and tries it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmnist.errors import DataError, SuiteError
from benchmnist.extensions.isolation import contained
from benchmnist.extensions.registry import find_plugins
from benchmnist.preflight.isolated import preflight_apart
from benchmnist.suites.budgets import passes
from benchmnist.suites.bundles import has_built_in_step
from benchmnist.suites.keys import case_key
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import Plan, beyond_limits, make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.suite import Suite
from benchmnist.training.data import default_data_root
from benchmnist.training.environment import gpus_of, platform_of, resolve_device

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import ExecutorSpec
    from benchmnist.preflight.check import Work
    from benchmnist.preflight.parameter_groups import Grouped
    from benchmnist.runs.models import ModelDescription
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks


@dataclass(frozen=True)
class Prepared:
    """A plan in which nothing is known to be wrong.

    Attributes:
        plan: The cases that were selected.
        work: What an epoch of each takes, by case id; without those that will fail when they are built.
        device: The device, `cuda:0`.
        gpus: How many GPUs there are to train on, where the device is one and none in particular was asked for.
        executor: What will execute it.
        data_root: Where datasets are kept.
        registry: The plugins that it was planned with.
        models: What the models are made of.
        grouped: What is in which parameter group, for each model and optimizer with groups.
        data: The digest of the contents of each dataset, by its label.
        platform: What else decides results: the device, the versions of torch and of BenchMNIST.
        notes: What plugins did, when they were loaded and tried, that they should not do; all of it undone.
    """

    plan: Plan
    work: Mapping[str, Work]
    device: str
    gpus: int
    executor: ExecutorSpec
    data_root: Path
    registry: Registry
    data: Mapping[str, str]
    platform: Mapping[str, Any]
    models: tuple[ModelDescription, ...] = ()
    grouped: tuple[Grouped, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def keys(self) -> dict[str, str]:
        """The key of each case, by its id; those that have the same have the same result."""
        return {case.id: self.key_of(case) for case in self.plan.cases if case.dataset.label in self.data}

    @property
    def only_built_in(self) -> bool:
        """Tells whether nothing of a plugin takes part in a step of any case."""
        return all(has_built_in_step(case, self.registry) for case in self.plan.cases)

    def key_of(self, case: Case) -> str:
        """The key of a case of the plan, which may have other seeds here."""
        return case_key(case, self.data[case.dataset.label], self.platform)

    def at(self, looks: Looks) -> Prepared:
        """The same with the seeds of a look."""
        return replace(self, plan=self.plan.at(looks))


def prepare(
    suite: str | Path | Suite | Plan,
    options: RunOptions | None = None,
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> Prepared:
    """Reads, plans and tries a suite: everything but the training. A plan is only tried.

    Args:
        suite: As of `run`.
        options: As of `run`.
        meanwhile: What this process may do while another one tries the suite; not called if this one does.

    Raises:
        SuiteError: with everything that is wrong with the suite.
        BenchmnistError: if the device, the engine or the executor is missing.
    """
    options = options or RunOptions()
    if not isinstance(suite, (Suite, Plan)):
        suite = read_suite(suite, options.set)
    registry = find_plugins(options.block)
    executing = registry.executors[options.executor].spec
    there = resolve_device(options.device, elsewhere=executing.remote)
    root = options.data_root or default_data_root()
    if root.exists() and not root.is_dir():
        raise DataError(f"the data root {root} is not a folder; set --data-root or BENCHMNIST_DATA to a folder")
    with contained() as noticed:  # planning imports what builds
        plan = suite if isinstance(suite, Plan) else make_plan(suite, registry, options)
    tried = preflight_apart(plan, registry, root, there, timeout=options.timeout, meanwhile=meanwhile)
    if problems := [*plan.problems, *tried.problems]:
        raise SuiteError(sorted(problems, key=lambda problem: problem.line or 0))
    plan = replace(plan, cases=tuple(_with_epochs(case, tried.work.get(case.id)) for case in plan.cases))
    if beyond := beyond_limits(plan.cases):
        raise SuiteError([plan.suite.problem(beyond)])
    notes = [f"{plugin} {note}" for plugin in registry.plugins for note in plugin.notes]
    notes += [f"what this suite builds {note}" for note in noticed]
    return Prepared(
        plan=plan,
        work=tried.work,
        device=str(there),
        gpus=1 if executing.remote else gpus_of(options.device, there),
        executor=executing,
        data_root=root,
        registry=registry,
        data={case.dataset.label: tried.data[case.id] for case in plan.cases if case.id in tried.data},
        platform=platform_of(there, elsewhere=executing.remote),
        models=tried.models,
        grouped=tried.grouped,
        notes=(*notes, *tried.notes),
    )


def _with_epochs(case: Case, work: Work | None) -> Case:
    """Returns a case with the number of epochs that its budget of steps takes."""
    if case.steps is None or work is None:
        return case
    return case.model_copy(update={"epochs": passes(case, work.steps)})
