"""(Suite, Registry) -> Plan: the cases of a suite, checked against what is installed, in order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError, Problem, UnknownNameError, unknown
from benchmnist.extensions.kinds import AXES, DATASET, METRIC, OPTIMIZER, SCHEDULE, SETTINGS, TASK, Kind
from benchmnist.metrics import PRIMARY, find_metric
from benchmnist.suites.cases import Case, Component
from benchmnist.suites.comparisons import left_out, unknown_baselines, with_comparisons
from benchmnist.suites.components import Components
from benchmnist.suites.options import RunOptions
from benchmnist.suites.points import planned_points, wrong_in_space
from benchmnist.suites.schema import ENGINES
from benchmnist.suites.suite import SearchScope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from benchmnist.extensions.registry import Registry
    from benchmnist.metrics import Metric
    from benchmnist.suites.looks import Looks
    from benchmnist.suites.schema import Block
    from benchmnist.suites.suite import Suite
    from benchmnist.suites.toml_lines import TomlPath

CONTROL = "control"
"""How the baseline is called that is trained once more."""


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
    if options.engine is not None and options.engine not in ENGINES:
        raise UnknownNameError(_no_engine(options.engine))
    return _Planner(suite, registry, options).plan()


def _no_engine(name: str) -> str:
    return unknown("engine", name, ENGINES)


class _Planner:
    def __init__(self, suite: Suite, registry: Registry, options: RunOptions) -> None:
        self.suite, self.registry, self.options = suite, registry, options
        self.problems = list(suite.problems)
        self.refused = False  # whether any case was, so that its method may be missing
        self.components = Components(suite, registry, self.report)

    def plan(self) -> Plan:
        cases: dict[str, Case] = {}
        for index, block in enumerate(self.suite.blocks):
            for case in self.cases(index, block):
                if case.id in cases:
                    self.report(
                        f"the case {case.id} is a duplicate of the one on line {cases[case.id].line}; "
                        'remove one, or give this block a label = "…"',
                        *self.suite.block_path(index),
                    )
                cases.setdefault(case.id, case)
        if self.is_whole:
            for at, message in unknown_baselines(self.suite, cases.values()):
                self.report(message, *self.where(self.suite.block_path(at), "baseline"))
        self.components.report_unused()
        planned = self.with_controls(cases.values()) if self.options.control else tuple(cases.values())
        if self.is_whole:
            planned = with_comparisons(self.suite, planned, self.report)
        return Plan(self.suite, planned, tuple(self.problems))

    @property
    def is_whole(self) -> bool:
        """Whether no case was refused, so that a name which is missing is missing in the suite."""
        read = len(self.suite.blocks) == self.suite.written_blocks
        return read and not (self.refused or self.components.refused)

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
                where = (*path, "engines") if block.engines else self.where(path, "engine")
                self.report(_no_engine(engine), *where)
        of_axes = [self.components.of(kind, block.names(kind), self.listed(kind, block, path)) for kind in AXES]
        # What an optimizer's own table says of its training holds for it wherever it is used.
        clipped = {name: table.clip_grad_norm for name, table in self.suite.optimizers.items()}
        settings: dict[str, Any] = {
            "epochs": self.options.epochs or block.epochs,
            "batch_size": block.batch_size,
            "seeds": self.options.seeds or block.seeds,
            "label_smoothing": block.label_smoothing,
            "init_seed": block.init_seed,
            "precision": block.precision,
            "evaluate_in": block.evaluate_in,
            "train_size": block.train_size,
            "test_size": block.test_size,
            "validation_size": block.validation_size,
            "target_accuracy": block.target_accuracy,
            "margin": block.margin,
            "spread": block.spread,
            "reference": block.reference,
            "resources": block.resources,
            "baseline": block.baseline,
            "label": block.label,
            "marks": block.marks,
            "line": self.suite.block_line(index),
        }
        for combined in itertools.product(*of_axes):
            chosen = dict(zip((kind.name for kind in AXES), combined, strict=True))
            configured = chosen[OPTIMIZER.name]
            for settled, engine in self.settled(block, path, configured.name):
                scoped = _axes(block, settled, engine)
                scope = SearchScope(
                    chosen["dataset"].label,
                    chosen["model"].label,
                    block.label,
                    "/".join((configured.label, *scoped)),
                )
                evaluated = self.evaluation(block, path, chosen[DATASET.name], settled[TASK.name])
                if evaluated is None:
                    continue
                combination = {**chosen, **settled, TASK.name: evaluated[TASK.name]}
                self.check_space(block, configured, combination)
                for planned in planned_points(self.suite, self.suite.points.get(scope, ())):
                    parts = planned.parts(combination, self.schedule)
                    axes = (*scoped, *planned.axes)
                    variants = (*(parts[kind.name].variant for kind in AXES), *axes, block.label)
                    case = Case(
                        id="/".join([*(parts[kind.name].name for kind in AXES), *filter(None, variants)]),
                        **{**parts, **evaluated},
                        engine=engine,
                        axes=axes,
                        clip_grad_norm=clipped.get(configured.name) or block.clip_grad_norm,
                        tuned=self.suite.tuned and planned.point is not None,
                        untuned=planned.untuned,
                        search=planned.search,
                        **settings,
                    )
                    changed = {
                        "expect": self.expected(case, block),
                        **planned.settings(case, self.suite.seed_step),
                    }
                    case = case.model_copy(update=changed)
                    self.check_expected(case, path)
                    yield case

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
        return self.components.of(kind, block.names(kind), self.listed(kind, block, path)) or [None]

    def evaluation(
        self, block: Block, path: TomlPath, dataset: Component, task: Component | None
    ) -> dict[str, Any] | None:
        """The task of a case and all that it evaluates; None where that is refused, and reported."""
        if task is None:  # the one that the dataset is made for
            made_for = self.registry.datasets[dataset.use].spec.task
            if made_for not in self.registry.tasks and not self.suite.tables[TASK.plural].get(made_for):
                self.refused = True
                self.report(
                    f"{dataset.use!r} is made for the task {made_for!r}, which no installed plugin offers",
                    *self.listed(DATASET, block, path),
                )
                return None
            found = self.components.of(TASK, [made_for], self.listed(DATASET, block, path))
            if not found:
                self.refused = True
                return None
            task = found[0]
        spec = self.registry.tasks[task.use].spec
        before = len(self.problems)
        metrics = self.components.of(METRIC, block.names(METRIC), self.listed(METRIC, block, path))
        evaluates = {metric.key: metric for metric in spec.metrics}
        for each in metrics:
            named = each.name in self.suite.tables[METRIC.plural]
            listed = (METRIC.plural, each.name) if named else self.listed(METRIC, block, path)
            try:
                evaluates[each.name] = self.measured(each, task, evaluates)
            except ValueError as error:
                self.report(str(error), *listed)
        if block.label_smoothing and not spec.takes_label_smoothing():
            self.report(f"the task {task.use!r} takes no label_smoothing", *self.where(path, "label_smoothing"))
        if block.target_accuracy is not None and PRIMARY.key not in evaluates:
            self.report(f"the task {task.use!r} has no accuracy", *self.where(path, "target_accuracy"))
        if len(self.problems) > before:
            self.refused = True
            return None
        return {TASK.name: task, METRIC.plural: tuple(metrics), "evaluates": tuple(evaluates.values())}

    def measured(self, metric: Component, task: Component, others: Collection[str]) -> Metric:
        """Returns the metric that a component of the suite measures.

        Raises:
            ValueError: if it is of another task, or there is one of its name.
        """
        spec = self.registry.metrics[metric.use].spec
        if spec.task != task.use:
            raise ValueError(f"{metric.use!r} is a metric of the task {spec.task!r}, not of {task.use!r}")
        if metric.variant:
            raise ValueError("a metric cannot be swept; give each configuration a table of its own")
        if metric.name in others:
            raise ValueError(f"{metric.name!r} is evaluated already; remove it here")
        return spec.metric(metric.name)

    def check_expected(self, case: Case, path: TomlPath) -> None:
        """Reports expectations of metrics that a case does not have."""
        judged = [metric for metric in case.measures if metric.better is not None]
        for key in case.expect:
            try:
                find_metric(key, judged)
            except BenchmnistError as error:
                tables = [(kind.plural, component.name, "expect", key) for kind, component in case.components]
                paths = [(*path, "expect", key), *tables, ("defaults", "expect", key)]
                self.report(str(error), *next((p for p in paths if p in self.suite.lines), paths[-1]))

    def listed(self, kind: Kind, block: Block, path: TomlPath) -> TomlPath:
        """Returns the path of a block's models, or of its schedule."""
        if kind.has_setting and not block.lists(kind):
            return self.where(path, kind.name)
        return self.where(path, kind.plural) if kind.role == "set" else (*path, kind.plural)

    def expected(self, case: Case, block: Block) -> dict[str, str]:
        """Returns what is expected of a case: its block overrides its tables, and these override the defaults."""
        expected = dict(self.suite.expect)
        for kind, component in case.components:
            table = self.suite.tables[kind.plural].get(component.name)
            expected |= table.expect if table else {}
        return expected | block.expect

    def where(self, block: TomlPath, key: str) -> TomlPath:
        """Returns the path of a block's setting: in the block, or else in [defaults]."""
        return (*block, key) if (*block, key) in self.suite.lines else ("defaults", key)

    def report(self, message: str, *path: str | int) -> None:
        problem = self.suite.problem(message, *path)
        if problem not in self.problems:  # what [defaults] says wrongly is wrong in every block
            self.problems.append(problem)


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
