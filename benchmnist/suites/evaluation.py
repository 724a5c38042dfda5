"""The evaluation of cases: their task, their metrics, and what the suite expects of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError
from benchmnist.extensions.kinds import BUNDLED, DATASET, METRIC, PROBLEM, TASK
from benchmnist.metrics import PRIMARY, find_metric
from benchmnist.suites.budgets import TEST_LOSS

if TYPE_CHECKING:
    from collections.abc import Collection

    from benchmnist.extensions.kinds import Kind
    from benchmnist.extensions.registry import Registry
    from benchmnist.metrics import Metric
    from benchmnist.suites.cases import Case, Component
    from benchmnist.suites.components import Components, ReportMistake
    from benchmnist.suites.schema import Block
    from benchmnist.suites.suite import Suite
    from benchmnist.suites.toml_lines import TomlPath


class Evaluation:
    """Finds the tasks and metrics of the cases of a suite.

    Args:
        suite: The suite.
        registry: The installed plugins.
        components: The components of the suite.
        report: Called with each mistake.

    Attributes:
        refused: Whether any case was refused, so that its method may be missing.
    """

    def __init__(self, suite: Suite, registry: Registry, components: Components, report: ReportMistake) -> None:
        self.suite, self.registry, self.components, self.report = suite, registry, components, report
        self.refused = False

    def of(
        self, block: Block, path: TomlPath, dataset: Component, task: Component | None
    ) -> dict[str, Any] | None:
        """The task of a case and all that it evaluates; None where that is refused, and reported."""
        if task is None:  # the one that the dataset is made for
            made_for = self.registry.datasets[dataset.use].spec.task
            if made_for not in self.registry.tasks and not self.suite.tables[TASK.plural].get(made_for):
                self.refused = True
                self.report(
                    f"{dataset.use!r} is made for the task {made_for!r}, which no installed plugin offers",
                    *self.suite.listed_path(DATASET, block, path),
                )
                return None
            found = self.components.of(TASK, [made_for], self.suite.listed_path(DATASET, block, path))
            if not found:
                self.refused = True
                return None
            task = found[0]
        spec = self.registry.tasks[task.use].spec
        mistakes: list[tuple[str, TomlPath]] = []
        metrics = self.components.of(METRIC, block.names(METRIC), self.suite.listed_path(METRIC, block, path))
        evaluates = {metric.key: metric for metric in spec.metrics}
        for each in metrics:
            named = each.name in self.suite.tables[METRIC.plural]
            listed = (METRIC.plural, each.name) if named else self.suite.listed_path(METRIC, block, path)
            try:
                evaluates[each.name] = self._measured(each, task, evaluates)
            except ValueError as error:
                mistakes.append((str(error), listed))
        if block.label_smoothing and not spec.takes_label_smoothing():
            where = self.suite.setting_path(path, "label_smoothing")
            mistakes.append((f"the task {task.use!r} takes no label_smoothing", where))
        mistakes += [
            (f"the task {task.use!r} has no {metric.name}", self.suite.setting_path(path, key))
            for key, metric in (("target_accuracy", PRIMARY), ("target_loss", TEST_LOSS))
            if getattr(block, key) is not None and metric.key not in evaluates
        ]
        for message, where in mistakes:
            self.report(message, *where)
        if mistakes or len(metrics) < len(block.names(METRIC)):  # the others are reported by the components
            self.refused = True
            return None
        return {TASK.name: task, METRIC.plural: tuple(metrics), "evaluates": tuple(evaluates.values())}

    def _measured(self, metric: Component, task: Component, others: Collection[str]) -> Metric:
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
                tables = [(kind.plural, name, "expect", key) for kind, name in _configured(case)]
                paths = [(*path, "expect", key), *tables, ("defaults", "expect", key)]
                self.report(str(error), *next((p for p in paths if p in self.suite.lines), paths[-1]))

    def expected(self, case: Case, block: Block) -> dict[str, str]:
        """Returns what is expected of a case: its block overrides its tables, and these override the defaults."""
        expected = dict(self.suite.expect)
        for kind, name in _configured(case):
            table = self.suite.tables[kind.plural].get(name)
            expected |= table.expect if table else {}
        return expected | block.expect


def _configured(case: Case) -> list[tuple[Kind, str]]:
    """Returns the names that a suite may configure of what a case is made of, each with its kind."""
    if case.problem is None:
        return [(kind, component.name) for kind, component in case.components]
    others = [(kind, component.name) for kind, component in case.components if kind not in BUNDLED]
    return [(PROBLEM, case.problem), *others]
