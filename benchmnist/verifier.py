"""Verification of a run: trains some of its trials again, and compares them with what the run reports.

The cases are those of the run's record, as they were planned: neither the suite file is needed, nor a search that
chose hyperparameters. They are trained as `run` trains any plan, in a temporary folder.
"""

from __future__ import annotations

import random
import secrets
import tempfile
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmnist import runner
from benchmnist.analysis.reproduction import Reproduction, must_repeat, reproduction
from benchmnist.errors import BenchmnistError, StoreError, SuiteError, first_line
from benchmnist.extensions.kinds import IN_SUITES, PARTS, SETS, Kind
from benchmnist.extensions.registry import find_plugins
from benchmnist.pytest_support.embedded import collect
from benchmnist.runs.results import RunResult
from benchmnist.runs.store import load_run
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import Plan
from benchmnist.suites.schema import ENGINES, Suite, Tune
from benchmnist.text import counted
from benchmnist.training.environment import available_threads, resolve_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from benchmnist.execution.dispatch import Observer
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case, Component

    Watch = Callable[[], AbstractContextManager[Observer | None]]

TRIALS = 5
"""So many trials are drawn by default."""

DRAWN = ("completed", "diverged", "failed")
"""Statuses of trials that are drawn: a process that crashed, or was stopped, says nothing of the training."""

OURS = "benchmnist"
"""The distribution of the built-in plugins: they may be of another version, as torch may be."""

NOT_OPTIONS = ("seeds", "epochs", "keyword", "engine", "order", "control", "set", "resume", "reuse", "out")
"""Options of a run that a verification does not have."""


@dataclass(frozen=True)
class Verification:
    """The outcome of a verification.

    Attributes:
        run: Folder of the run.
        seed: Seed of the draw: with it, the same trials are drawn again.
        pool: Number of trials that could be drawn.
        trials: The drawn trials, in the order of the run.
        notes: What else a reader must know: the run is not complete, trials that were not drawn.
    """

    run: Path
    seed: int
    pool: int
    trials: tuple[Reproduction, ...]
    notes: tuple[str, ...] = ()

    @property
    def word(self) -> Literal["consistent", "not consistent", "inconclusive"]:
        """The verdict on all trials; inconclusive if one could not be checked, and no other is not consistent."""
        words = {trial.word for trial in self.trials}
        if "not consistent" in words:
            return "not consistent"
        return "inconclusive" if "cannot be checked" in words or not words else "consistent"


class _Drawn(NamedTuple):
    """A trial that was drawn."""

    case_id: str
    seed: int


def verify(
    run: str | Path | RunResult,
    options: RunOptions | None = None,
    *,
    trials: int = TRIALS,
    seed: int | None = None,
    keyword: str = "",
    watch: Watch | None = None,
    **changes: Any,
) -> Verification:
    """Trains some trials of a run again, drawn at random, and compares them with what it reports.

    Args:
        run: A run, or its folder; a folder of runs stands for its newest run.
        options: As of `benchmnist.run`, without those in NOT_OPTIONS. `device="auto"` trains each case on a device
            of the type that it was trained on, and `threads=None` with as many threads.
        trials: How many trials to draw; all, if the run has fewer.
        seed: What to draw from; None chooses one.
        keyword: Draw only from the cases that pytest's `-k` selects with this expression.
        watch: Is called for each training that is begun; what it returns is entered, and notified of what happens.
        changes: Attributes of RunOptions that override those of `options`.

    Raises:
        StoreError: if the run cannot be read.
        DeviceError: if the requested device is unavailable.
        BenchmnistError: if the keyword selects no case, or the run has no trial to draw.
        ValueError: if an option has a value that it may not have, or is in NOT_OPTIONS.
        KeyboardInterrupt: if it was interrupted; nothing is kept.
    """
    options = replace(options or RunOptions(), **changes)
    for name in NOT_OPTIONS:
        if getattr(options, name) != getattr(RunOptions(), name):
            raise ValueError(f"verify has no option {name}: the run decides it")
    if trials < 1:
        raise ValueError(f"trials must be greater than 0, not {trials}")
    if options.device != "auto":
        resolve_device(options.device)  # what nobody asked for may be missing; see `_Trainer._where`
    run = run if isinstance(run, RunResult) else load_run(run)
    with tempfile.TemporaryDirectory(prefix="benchmnist-verify-") as folder:
        options = replace(options, out=Path(folder) / "runs", checkpoints=False)
        trainer = _Trainer(run, options, watch or nullcontext)
        pool, notes = _pool(run, trainer.selected(keyword))
        if seed is None:
            seed = secrets.randbelow(1_000_000)
        chosen = sorted(random.Random(seed).sample(range(len(pool)), min(trials, len(pool))))  # noqa: S311
        drawn = [pool[index] for index in chosen]
        again, why_not = trainer.train(drawn)
        doubtful = [
            each for each in drawn if each in again and must_repeat(run[each.case_id], each.seed, again[each])
        ]
        repeated = trainer.train(doubtful)[0] if doubtful else {}
    found = tuple(
        reproduction(
            run[each.case_id],
            each.seed,
            again.get(each),
            repeated=repeated.get(each),
            of=len(drawn),
            why_not=why_not.get(each, ""),
        )
        for each in drawn
    )
    if not run.record.data and any(trial.word in ("consistent", "not consistent") for trial in found):
        notes.append("the run did not record the contents of its datasets; they may be others here")
    return Verification(run.path, seed, len(pool), found, tuple(notes))


def _pool(run: RunResult, selected: set[str]) -> tuple[list[_Drawn], list[str]]:
    """Returns the trials that can be drawn, in the order of the run, and notes on the others.

    Raises:
        BenchmnistError: if there is none.
    """
    results = [result for result in run.cases if result.id in selected]
    pool = [_Drawn(r.id, trial.seed) for r in results for trial in r.trials if trial.status in DRAWN]
    left_out = Counter(trial.status for r in results for trial in r.trials if trial.status not in DRAWN)
    notes = [f"not drawn: {counted(number, 'trial')} ({status})" for status, number in left_out.items()]
    bare = [result for result in results if not result.trials]
    notes += [f"not drawn: {result.id} ({result.status}, without a trial)" for result in bare]
    missing = len(selected) - len(results)
    if missing:
        notes.append(f"not drawn: {counted(missing, 'case')} without a result; the run is {run.record.status}")
    if not pool:
        raise BenchmnistError(f"{run.path} has no trial to verify" + "".join(f"; {note}" for note in notes))
    return pool, notes


class _Trainer:
    """Trains trials of a run again.

    Attributes:
        run: The run.
        options: Options of the new runs.
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

    def train(self, drawn: Iterable[_Drawn]) -> tuple[dict[_Drawn, CaseResult], dict[_Drawn, str]]:
        """Trains trials; returns their results, and the reasons why others cannot be trained."""
        why_not: dict[_Drawn, str] = {}
        groups: dict[tuple[str, int | None], dict[str, list[_Drawn]]] = defaultdict(lambda: defaultdict(list))
        for each in drawn:
            result = self.run[each.case_id]
            if reason := self._obstacle(result.case):
                why_not[each] = reason
            else:
                groups[self._where(result)][each.case_id].append(each)
        again: dict[_Drawn, CaseResult] = {}
        for (device, threads), by_case in groups.items():
            options = replace(self.options, device=device, threads=threads)
            self._train([*by_case.values()], options, again, why_not)
        return again, why_not

    def _train(
        self,
        by_case: Sequence[Sequence[_Drawn]],
        options: RunOptions,
        again: dict[_Drawn, CaseResult],
        why_not: dict[_Drawn, str],
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
        for drawn in by_case:
            case_id = drawn[0].case_id
            label = self.run[case_id].case.dataset.label
            there, here = self.run.record.data.get(label), found.record.data.get(label)
            if there and here and there != here:
                why_not |= dict.fromkeys(drawn, f"the dataset {label!r} has other contents here")
            else:
                again |= dict.fromkeys(drawn, found[case_id])

    def _case(self, drawn: Sequence[_Drawn]) -> Case:
        """Returns the case of some trials with their seeds only, and with the versions that are installed."""
        result = self.run[drawn[0].case_id]
        case = result.case
        changed: dict[str, Any] = {"expect": {}}
        # A stack computes all its seeds at once: with others, its sums may be rounded in another way.
        if result.engine != "stacked":
            changed["seeds"] = tuple(seed for _, seed in drawn)
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
        return ""

    def _where(self, result: CaseResult) -> tuple[str, int | None]:
        """Returns the device and the number of threads to train a case with: as in the run, if possible."""
        environment = result.environment
        device, threads = self.options.device, self.options.threads
        if device == "auto":
            device = str(environment.get("device", device)).partition(":")[0]
        if threads is None and 0 < environment.get("threads", 0) <= available_threads():
            threads = environment["threads"]
        return device, threads
