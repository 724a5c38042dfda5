"""(Suite, Registry) -> Plan: the cases of a suite, checked against what is installed, in order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmnist.errors import Problem, UnknownNameError, unknown
from benchmnist.extensions.kinds import AXES, DATASET, MODEL, OPTIMIZER, PROBLEM, SCHEDULE, SETTINGS, TASK, Kind
from benchmnist.extensions.specs import FUNCTION
from benchmnist.suites.cases import TARGETS, Case, Component, group_of
from benchmnist.suites.comparisons import left_out, unknown_baselines, with_comparisons
from benchmnist.suites.components import MOST_CASES, Components
from benchmnist.suites.endings import wrong_ending
from benchmnist.suites.evaluation import Evaluation
from benchmnist.suites.options import RunOptions
from benchmnist.suites.points import planned_points, wrong_in_space
from benchmnist.suites.problems import Posed, Problems
from benchmnist.suites.schema import ENGINES
from benchmnist.suites.shared_space import with_shared_space
from benchmnist.suites.suite import SearchScope
from benchmnist.suites.values import MAX_EPOCHS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.looks import Looks
    from benchmnist.suites.schema import Block
    from benchmnist.suites.suite import Suite
    from benchmnist.suites.toml_lines import TomlPath

MOST_TRIALS = 100_000
"""Trials of a suite: a seed of a case each."""
MOST_EPOCHS = 10_000_000
"""Epochs of all trials."""
TRIED_ON = tuple(kind for kind in AXES if kind != OPTIMIZER)
"""The kinds that a suite crosses with optimizers."""
CONTROL = "control"
"""Name of the baseline that is trained once more."""


@dataclass(frozen=True)
class Plan:
    """The cases of a suite, in order.

    Attributes:
        suite: What they were planned from.
        cases: The cases, each with an id of its own.
        problems: Why it cannot be run, if it cannot: the suite's own mistakes, and those found here.
        looks: The looks at a growing number of seeds, of which these cases are one; None if it is the only one.
        left_out: Which comparisons that the suite names lack a case, since only some were selected; empty if none.
    """

    suite: Suite
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...] = ()
    looks: Looks | None = None
    left_out: str = ""

    def only(self, ids: Sequence[str]) -> Plan:
        """The same plan with only the cases of those ids."""
        wanted = set(ids)
        cases = tuple(case for case in self.cases if case.id in wanted)
        return replace(self, cases=cases, left_out=left_out(self.cases, wanted))

    def at(self, looks: Looks) -> Plan:
        """The same plan with the seeds of a look; those of controls are others at every look."""
        now = {False: looks.now, True: control_seeds(looks.seeds)[: len(looks.now)]}
        cases = (case.model_copy(update={"seeds": now[case.control]}) for case in self.cases)
        return replace(self, cases=tuple(cases), looks=looks)


def control_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """As many other seeds, for a case that is trained once more."""
    return tuple(seed + max(seeds) + 1 for seed in seeds)


def make_plan(suite: Suite, registry: Registry, options: RunOptions | None = None) -> Plan:
    """Every case of the suite that can be planned, and a problem for each that cannot.

    Raises:
        UnknownNameError: if the options ask for an unknown engine.
    """
    options = options or RunOptions()
    installed = {plugin.distribution for plugin in registry.plugins}
    if absent := [name for name in suite.needs if name not in installed]:
        said = (
            f"not installed or blocked: {', '.join(absent)}; install it: python -m pip install {' '.join(absent)}"
        )
        return Plan(suite, (), (suite.problem(said, "suite", "needs"),))
    if options.engine is not None and options.engine not in ENGINES:
        raise UnknownNameError(_no_engine(options.engine))
    for name in options.optimizers or ():
        if name not in suite.optimizers:
            _ = registry.optimizers[name]
    suite, wrong = with_shared_space(suite, registry, options.optimizers)
    planner = _Planner(suite, registry, options)
    for key, message in wrong:
        planner.report(message, "tune", "space", *key.split(".", 1))
    return planner.plan()


def _no_engine(name: str) -> str:
    return unknown("engine", name, ENGINES)


class _Planner:
    def __init__(self, suite: Suite, registry: Registry, options: RunOptions) -> None:
        self.suite, self.registry, self.options = suite, registry, options
        self.problems = list(suite.problems)
        self.components = Components(suite, registry, self.report)
        self.problems_posed = Problems(suite, registry, self.components, self.report)
        self.evaluation = Evaluation(suite, registry, self.components, self.report)

    def plan(self) -> Plan:
        cases: dict[str, Case] = {}
        epochs = trials = 0
        for index, block in enumerate(self.suite.blocks):
            for case in self.cases(index, block):
                trials += len(case.seeds)
                epochs += case.rounds if case.steps is None else len(case.seeds)  # at least
                if beyond := _beyond_limits(len(cases) + 1, trials, epochs):
                    self.report(beyond, *self.suite.block_path(index))
                    return Plan(self.suite, (), tuple(self.problems))
                if case.id in cases:
                    self.report(
                        f"the case {case.id} is a duplicate of the one on line {cases[case.id].line}; "
                        'remove one, or give this block a label = "…"',
                        *self.suite.block_path(index),
                    )
                cases.setdefault(case.id, case)
        if self.is_whole:
            for at, message in unknown_baselines(self.suite, cases.values()):
                self.report(message, *self.suite.setting_path(self.suite.block_path(at), "baseline"))
        self.report_shared(cases.values())
        if self.suite.recorded and cases and not any(case.problem for case in cases.values()):
            self.report("is shown beside results of problems, and the suite has none", "suite", "recorded")
        if self.options.optimizers is None:
            self.components.report_unused()
        planned = self.with_controls(cases.values()) if self.options.control else tuple(cases.values())
        if self.is_whole or self.partial:
            report = self.ignore if self.partial else self.report
            planned = with_comparisons(self.suite, planned, report)
        return Plan(self.suite, planned, tuple(self.problems))

    @property
    def partial(self) -> bool:
        """Tells whether the suite may name what it lacks: what could not be tuned, or other optimizers."""
        return self.suite.tuned or self.options.optimizers is not None

    @property
    def is_whole(self) -> bool:
        """Tells whether no case was refused, so that a name which is missing is missing in the suite.

        A tuned suite lacks what could not be tuned; its names were checked before it was.
        """
        read = not self.partial and len(self.suite.blocks) == self.suite.written_blocks
        return read and not (self.evaluation.refused or self.components.refused)

    def report_shared(self, cases: Iterable[Case]) -> None:
        """Reports two problems, or a problem and a dataset, with the same name and other data."""
        first: dict[str, Case] = {}
        for case in cases:
            one = first.setdefault(case.dataset.label, case)
            if one.dataset.identity != case.dataset.identity and (one.problem or case.problem):
                self.report(
                    f"{one.id} and {case.id} have different data under the name {case.dataset.label!r}; "
                    f"rename one with a table, such as [problems.my-{case.dataset.name}]",
                    *self.suite.block_path(0)[:1],
                )
                return

    def with_controls(self, cases: Iterable[Case]) -> tuple[Case, ...]:
        """The cases, and after each that is a baseline the same with as many other seeds."""
        found = []
        for case in cases:
            found.append(case)
            if case.is_baseline:
                others = control_seeds(case.seeds)
                axes, id_ = (*case.axes, CONTROL), f"{case.id}/{CONTROL}"
                found.append(case.model_copy(update={"id": id_, "seeds": others, "axes": axes, "control": True}))
        if not self.problems and not any(case.control for case in found):
            self.report('--control needs a baseline to train once more; set baseline = "…"', "defaults")
        return tuple(found)

    def cases(self, index: int, block: Block) -> Iterator[Case]:
        path = self.suite.block_path(index)
        for engine in block.engines or [block.engine]:
            if engine not in ENGINES:
                where = (*path, "engines") if block.engines else self.suite.setting_path(path, "engine")
                self.report(_no_engine(engine), *where)
        named = self.options.optimizers or block.names(OPTIMIZER)
        optimizers = self.components.of(OPTIMIZER, named, (*path, OPTIMIZER.plural))
        for posed in self.posed(block, path):
            of_problem = (
                posed.over(block, self.suite.own_keys.get(self.suite.block_indices[index], ()))
                if posed.problem
                else block
            )
            settings = self.settings_of(index, of_problem)
            for configured in optimizers:
                yield from self.cases_of(index, of_problem, path, posed, configured, settings=settings)

    def settings_of(self, index: int, block: Block) -> dict[str, Any]:
        """Returns the fields that all cases of a block have alike."""
        return {
            "epochs": self.options.epochs or block.epochs,
            "steps": self.options.steps or (None if self.options.epochs else block.steps),
            "seconds": block.seconds,
            "evaluate_every": block.evaluate_every,
            "batch_size": block.batch_size,
            "seeds": self.options.seeds or block.seeds,
            "label_smoothing": block.label_smoothing,
            "init_seed": block.init_seed,
            "precision": block.precision,
            "normalise": block.normalise,
            "evaluate_in": block.evaluate_in,
            "train_size": block.train_size,
            "test_size": block.test_size,
            "validation_size": block.validation_size,
            "target_accuracy": block.target_accuracy,
            "target_loss": block.target_loss,
            "stop_at_target": block.stop_at_target,
            "patience": block.patience,
            "margin": block.margin,
            "spread": block.spread,
            "reference": block.reference,
            "costs": block.costs,
            "dynamics": self.options.dynamics or block.dynamics,
            "resources": block.resources,
            "baseline": block.baseline,
            "label": block.label,
            "marks": block.marks,
            "line": self.suite.block_line(index),
        }

    def posed(self, block: Block, path: TomlPath) -> Iterator[Posed]:
        """Yields the problems of a block, or each of its models on each of its datasets."""
        if block.lists(PROBLEM):
            yield from self.problems_posed.of(block.names(PROBLEM), (*path, PROBLEM.plural))
            return
        of_axes = [
            self.components.of(kind, block.names(kind), self.suite.listed_path(kind, block, path))
            for kind in TRIED_ON
        ]
        for parts in itertools.product(*of_axes):
            yield Posed(dict(zip((kind.name for kind in TRIED_ON), parts, strict=True)))

    def cases_of(
        self,
        index: int,
        block: Block,
        path: TomlPath,
        posed: Posed,
        configured: Component,
        *,
        settings: Mapping[str, Any],
    ) -> Iterator[Case]:
        """Yields the cases of an optimizer on a problem, or on a model and a dataset."""
        # What an optimizer's own table says of its training holds for it wherever it is used.
        own = self.suite.optimizers.get(configured.name)
        clip_grad_norm = (own and own.clip_grad_norm) or block.clip_grad_norm
        for around, engine in self.settled(block, path, configured.name):
            settled = {**around, **posed.parts}
            scoped = _axes(block, settled, engine)
            dataset, model = posed.parts[DATASET.name], posed.parts[MODEL.name]
            scope = SearchScope(
                *group_of(dataset, model, posed.problem, block.label), "/".join((configured.label, *scoped))
            )
            evaluated = self.evaluation.of(block, path, dataset, settled[TASK.name])
            if evaluated is None:
                continue
            combination = {**settled, OPTIMIZER.name: configured, TASK.name: evaluated[TASK.name]}
            self.check_space(block, configured, combination)
            for planned in planned_points(self.suite, self.suite.points.get(scope)):
                parts = planned.parts(combination, self.schedule)
                axes = (*scoped, *planned.axes)
                variants = (*posed.variants, parts[OPTIMIZER.name].variant, *axes, block.label)
                case = Case(
                    id="/".join([*posed.names, configured.name, *filter(None, variants)]),
                    **{**parts, **evaluated},
                    problem=posed.problem,
                    level=posed.level,
                    rung=posed.rung,
                    engine=engine,
                    axes=axes,
                    clip_grad_norm=clip_grad_norm,
                    tuned=self.suite.tuned and planned.point is not None,
                    untuned=planned.untuned,
                    search=planned.search,
                    **settings,
                )
                changed = {
                    "expect": self.evaluation.expected(case, block),
                    **planned.settings(case, self.suite.seed_step),
                }
                if parts[TASK.name].use == FUNCTION:
                    self.refuse_held_out(index, block, path)
                    changed["validation_size"] = None
                if self.suite.chooses and not case.stop_at_target:
                    changed |= dict.fromkeys(TARGETS)
                case = case.model_copy(update=changed)
                self.evaluation.check_expected(case, path)
                for key, message in wrong_ending(case, self.registry):
                    self.report(message, *self.suite.setting_path(path, key))
                yield case

    def refuse_held_out(self, index: int, block: Block, path: TomlPath) -> None:
        """Reports a validation split that a block asks for itself, for a task without data."""
        if block.validation_size and "validation_size" in self.suite.own_keys.get(
            self.suite.block_indices[index], ()
        ):
            self.report(f"the task {FUNCTION!r} has no examples to hold out; remove it", *path, "validation_size")

    def check_space(self, block: Block, optimizer: Component, parts: Mapping[str, Any]) -> None:
        """Reports what a case cannot tune of the space of its optimizer, beside the optimizer's own parameters."""
        table = self.suite.optimizers.get(optimizer.name)
        searched, own = table.space if table else {}, (OPTIMIZER.plural, optimizer.name, "space")
        for keys, message in wrong_in_space(searched, parts, self.registry):
            if message:
                self.report(message, *own, *keys)
        if names := searched.get(SCHEDULE.name):
            self.components.of(SCHEDULE, [n for n in names.values if isinstance(n, str)], (*own, SCHEDULE.name))
            if block.lists(SCHEDULE):
                self.report("the cases list schedules already; remove one of both", *own, SCHEDULE.name)

    def schedule(self, name: str) -> Component | None:
        """The schedule of that name, which a search has chosen."""
        return next(iter(self.components.of(SCHEDULE, [name], ())), None)

    def engines(self, block: Block) -> list[str]:
        """The engines of a block; the command line's word is the only one."""
        return [self.options.engine] if self.options.engine else block.engines or [block.engine]

    def settled(self, block: Block, path: TomlPath, optimizer: str) -> Iterator[tuple[dict[str, Any], str]]:
        """Each combination of the settings of a block with its engines, for that optimizer."""
        of_settings = [self.setting(kind, block, path, optimizer) for kind in SETTINGS]
        for parts, engine in itertools.product(itertools.product(*of_settings), self.engines(block)):
            yield {kind.name: part for kind, part in zip(SETTINGS, parts, strict=True)}, engine

    def setting(self, kind: Kind, block: Block, path: TomlPath, optimizer: str) -> list[Component] | list[None]:
        """The schedules, say, that an optimizer is trained with: its own, or its block's; [None] without any."""
        own = getattr(self.suite.optimizers.get(optimizer), kind.name, None)
        if own and block.lists(kind):
            self.report(
                f"{optimizer!r} has a {kind.name} of its own; remove that, or remove the optimizer here",
                *path,
                kind.plural,
            )
        elif own:
            return self.components.of(kind, [own], (OPTIMIZER.plural, optimizer, kind.name))
        return self.components.of(kind, block.names(kind), self.suite.listed_path(kind, block, path)) or [None]

    def ignore(self, message: str, *path: str | int) -> None:
        """Does not report what a tuned suite lacks."""

    def report(self, message: str, *path: str | int) -> None:
        problem = self.suite.problem(message, *path)
        if problem not in self.problems:  # what [defaults] says wrongly is wrong in every block
            self.problems.append(problem)


def beyond_limits(cases: Sequence[Case], seeds: int = 0) -> str:
    """Says of which a planned suite has more than can be trained; empty if of none.

    Args:
        cases: The cases, whose epochs are those of their budget.
        seeds: Seeds that each will have; 0 leaves each its own.
    """
    for case in cases:
        if case.epochs > MAX_EPOCHS:
            return (
                f"a trial of {case.id} has {case.epochs:,} epochs; a trial has at most {MAX_EPOCHS:,}: "
                "lower steps, or raise train_size"
            )
    numbers = [seeds or len(case.seeds) for case in cases]
    epochs = sum(case.epochs * number for case, number in zip(cases, numbers, strict=True))
    return _beyond_limits(len(cases), sum(numbers), epochs)


def _beyond_limits(cases: int, trials: int, epochs: int) -> str:
    """Says of which a suite has more than can be planned; empty if of none."""
    limits = {"case": (cases, MOST_CASES), "trial": (trials, MOST_TRIALS), "epoch": (epochs, MOST_EPOCHS)}
    beyond = (noun for noun, (number, most) in limits.items() if number > most)
    return next((f"the suite has more than {limits[noun][1]:,} {noun}s; split it" for noun in beyond), "")


def _axes(block: Block, settled: Mapping[str, Component | None], engine: str) -> tuple[str, ...]:
    """Returns what distinguishes a case besides its dataset, model and optimizer."""
    found = []
    for kind in SETTINGS:
        part = settled[kind.name]
        if part is not None:
            found.append(part.label if block.lists(kind) else part.variant)
    if block.engines:
        found.append(engine)
    return tuple(filter(None, found))
