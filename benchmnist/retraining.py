"""Trains trials of a run again, with everything that decides their bits as in the run, as far as possible here."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmnist import runner
from benchmnist.errors import BenchmnistError, StoreError, SuiteError, first_line
from benchmnist.extensions.kinds import IN_SUITES, PARTS, SETS, Kind
from benchmnist.extensions.registry import find_plugins
from benchmnist.pytest_support.embedded import collect
from benchmnist.suites.plan import Plan
from benchmnist.suites.schema import AT_ONCE, ENGINES, Tune
from benchmnist.suites.suite import Suite
from benchmnist.training.environment import available_threads, cpu_capability
from benchmnist.training.speed import ONEDNN
from benchmnist.variables import changed_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmnist.execution.dispatch import Observer
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case, Component
    from benchmnist.suites.options import RunOptions

    Watch = Callable[[], AbstractContextManager[Observer | None]]

OURS = "benchmnist"
"""The distribution of the built-in plugins: they may be of another version, as torch may be."""

CAPABILITY = "ATEN_CPU_CAPABILITY"
"""Torch's variable for the instruction set of its kernels."""

CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")
"""Those of x86 processors: each has those before it, too."""


class _Place(NamedTuple):
    """Device and settings to train a trial with.

    Attributes:
        device: The device.
        threads: Number of threads; None for all.
        capability: Instruction set, if not all of the machine's; else empty.
        onednn: `1` with products by oneDNN, `0` without; empty if the seeds of the run differ in it.
    """

    device: str
    threads: int | None
    capability: str
    onednn: str


class Drawn(NamedTuple):
    """A trial to train again."""

    case_id: str
    seed: int


class Retrainer:
    """Trains trials of a run again.

    Args:
        run: The run.
        options: Options of the new runs; the parent of `out` is a temporary folder.
        watch: Is called for each training that is begun; what it returns is entered, and notified of what happens.
    """

    def __init__(self, run: RunResult, options: RunOptions, watch: Watch) -> None:
        self.run, self.options, self.watch = run, options, watch
        self.registry = find_plugins(options.block)

    def selected(self, keyword: str) -> set[str]:
        """Returns the ids of the planned cases that a keyword selects.

        Raises:
            BenchmnistError: if it selects none, or is no such expression.
        """
        plan = self.run.record.plan
        return {*collect(self.plan(plan), keyword)} if keyword else {case.id for case in plan}

    def plan(self, cases: Sequence[Case]) -> Plan:
        """Returns a plan of some cases of the run, with the suite's text in a temporary file: pytest needs one."""
        record = self.run.record
        file = self.options.out.parent / (Path(record.suite_file).stem or "suite")
        file = file.with_name(f"{file.name}.toml")
        file.write_text(record.suite_text, "utf-8")
        suite = Suite(
            name=record.suite,
            title=f"{record.title}, again",
            order="suite",
            blocks=(),
            tables={kind.plural: {} for kind in IN_SUITES},
            tune=Tune(),
            expect={},
            file=str(file),
            text=record.suite_text,
            problems=(),
            lines={},
            block_indices=(),
        )
        return Plan(suite, tuple(cases))

    def trained_here(self) -> bool:
        """Tells whether the run was trained on the machine that planned it, which its keys name."""
        executors, name = self.registry.executors, str(self.run.record.options.get("executor"))
        return name in executors and not executors[name].spec.remote

    def train(self, drawn: Iterable[Drawn]) -> tuple[dict[Drawn, CaseResult], dict[Drawn, str]]:
        """Trains trials; returns their results, and the reasons why others cannot be trained."""
        why_not: dict[Drawn, str] = {}
        groups: dict[_Place, dict[tuple[str, int | None], list[Drawn]]] = defaultdict(lambda: defaultdict(list))
        for each in drawn:
            result = self.run[each.case_id]
            if reason := self._obstacle(result.case):
                why_not[each] = reason
            else:
                groups[self._where(result)][each.case_id, _steps_made(result, each.seed)].append(each)
        again: dict[Drawn, CaseResult] = {}
        for place, of_place in groups.items():
            variables = {CAPABILITY: place.capability.lower(), ONEDNN: place.onednn}
            with changed_variables({name: value for name, value in variables.items() if value}):
                options = replace(self.options, device=place.device, threads=place.threads)
                for by_case in _of_different_cases(of_place):
                    self._train(by_case, options, again, why_not)
        return again, why_not

    def _train(
        self,
        by_case: Sequence[Sequence[Drawn]],
        options: RunOptions,
        again: dict[Drawn, CaseResult],
        why_not: dict[Drawn, str],
    ) -> None:
        """Trains the trials of some cases, and adds their results and reasons."""
        plan = self.plan([self._case(drawn) for drawn in by_case])
        try:
            with self.watch() as observer:
                found = runner.run(plan, options, observer=observer)
        except StoreError:
            raise
        except BenchmnistError as error:
            if len(by_case) > 1:  # it may concern one of them
                for each in by_case:
                    self._train([each], options, again, why_not)
            else:
                problem = error.problems[0].message if isinstance(error, SuiteError) else first_line(error)
                why_not |= dict.fromkeys(by_case[0], problem)
            return
        trained = {result.id: result for result in found.cases}
        for drawn in by_case:
            case_id = drawn[0].case_id
            label = self.run[case_id].case.dataset.label
            there, here = self.run.record.data.get(label), found.record.data.get(label)
            if there and here and there != here:
                why_not |= dict.fromkeys(drawn, f"the dataset {label!r} has other contents here")
            elif case_id not in trained:  # its pytest marks may skip it
                why_not |= dict.fromkeys(drawn, "it was not trained")
            else:
                again |= dict.fromkeys(drawn, trained[case_id])

    def _case(self, drawn: Sequence[Drawn]) -> Case:
        """Returns the case of some trials with their seeds only, and with the versions that are installed."""
        result = self.run[drawn[0].case_id]
        case = result.case
        changed: dict[str, Any] = {"expect": {}}
        if case.seconds is not None:  # how many steps these were is of that machine in that moment
            changed |= {"seconds": None, "steps": _steps_made(result, drawn[0].seed)}
        # A stack computes all its seeds at once: with others, its sums may be rounded in another way. Streams do
        # not, but a single seed would not be on one.
        if result.engine not in AT_ONCE:
            changed["seeds"] = tuple(seed for _, seed in drawn)
        if case.engine == "auto" and result.engine:  # as the run did, which may have measured
            changed["engine"] = result.engine
        for kind in PARTS:
            if (part := case.parts.get(kind.name)) is not None:
                changed[kind.name] = self._installed(kind, part)
        for kind in SETS:
            changed[kind.plural] = tuple(self._installed(kind, part) for part in getattr(case, kind.plural))
        return case.model_copy(update=changed)

    def _installed(self, kind: Kind, component: Component) -> Component:
        offered = self.registry.by_kind[kind.name][component.use].plugin
        return component.model_copy(update={"version": offered.version})

    def _obstacle(self, case: Case) -> str:
        """Returns the reason why a case cannot be trained here; empty if none is known."""
        if case.engine not in ENGINES:
            return f"the engine {case.engine!r} is unavailable"
        for kind, component in case.components:
            try:
                offered = self.registry.by_kind[kind.name][component.use].plugin
            except BenchmnistError as error:
                return f"{first_line(error)} (in the run, of {component.distribution} {component.version})"
            there, here = component.distribution, offered.distribution
            if there != here:
                return f"the {kind.name} {component.use!r} is of {there} in the run, of {here} here"
            if component.version != offered.version and there != OURS:
                return f"{there} {component.version} in the run, {offered.version} here; install that version"
        if case.task and case.primary != (ours := self.registry.tasks[case.task.use].spec.metrics[0]):
            return f"it is judged by {case.primary.title} in the run, by {ours.title} here"
        return ""

    def _where(self, result: CaseResult) -> _Place:
        """Returns where to train a case: as in the run, if possible."""
        environment = result.environment
        device, threads = self.options.device, self.options.threads
        if device == "auto":
            device = str(environment.get("device", device)).partition(":")[0]
        if threads is None and 0 < environment.get("threads", 0) <= available_threads():
            threads = environment["threads"]
        there, here = environment.get("capability"), cpu_capability()
        known = there in CAPABILITIES and here in CAPABILITIES
        less = known and CAPABILITIES.index(there) < CAPABILITIES.index(here)
        onednn = {(): "0", ("onednn",): "1"}.get(result.measured_changes, "")
        return _Place(device, threads, str(there) if less else "", onednn)


def _steps_made(result: CaseResult, seed: int) -> int | None:
    """Returns the number of steps of a trial that was given seconds; None if its case decides it."""
    if result.case.seconds is None:
        return None
    trial = next(trial for trial in result.trials if trial.seed == seed)
    return sum(epoch.steps or result.steps for epoch in trial.epochs) or None


def _of_different_cases(groups: Mapping[tuple[str, int | None], list[Drawn]]) -> Iterator[list[list[Drawn]]]:
    """Yields the trials by case, so that no plan has a case twice: it may have trials of different lengths."""
    by_case: dict[str, list[list[Drawn]]] = defaultdict(list)
    for (case_id, _), drawn in groups.items():
        by_case[case_id].append(drawn)
    for turn in itertools.zip_longest(*by_case.values()):
        yield [drawn for drawn in turn if drawn]
