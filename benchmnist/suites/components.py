"""The models, optimizers and other components that the names in a suite stand for, checked against the plugins."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Protocol

from benchmnist.errors import BenchmnistError, UnknownNameError, described, nearest
from benchmnist.extensions.kinds import IN_SUITES, METRIC, OPTIMIZER, Kind
from benchmnist.extensions.specs import OptimizerSpec
from benchmnist.suites.cases import GROUPS, Component
from benchmnist.suites.messages import without_use
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.points import of_kind, wrong_parameter
from benchmnist.suites.schema import Configured, ConfiguredOptimizer, GroupTable
from benchmnist.suites.spaces import SPACE_SETTINGS, SPACE_TABLES
from benchmnist.suites.values import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Spec
    from benchmnist.suites.parameters import Parameters
    from benchmnist.suites.suite import Suite
    from benchmnist.suites.toml_lines import TomlPath


MOST_CASES = 10_000
"""Cases of a suite, and points of a sweep."""


class ReportMistake(Protocol):
    """Reports a mistake in a suite, with the path of what is wrong."""

    def __call__(self, message: str, *path: str | int) -> None:
        """Reports `message` about the value at `path`."""


class Components:
    """Finds the components of a suite; each name is looked up once, and what is wrong with it reported once.

    Args:
        suite: The suite, for the tables that configure components.
        registry: The installed plugins.
        report: Called with each mistake.
    """

    def __init__(self, suite: Suite, registry: Registry, report: ReportMistake) -> None:
        self.suite, self.registry, self.report = suite, registry, report
        self.known: dict[tuple[Kind, str], list[Component]] = {}

    @property
    def refused(self) -> bool:
        """Tells whether any name was refused."""
        return not all(self.known.values())

    def of(self, kind: Kind, names: Sequence[str], listed: TomlPath) -> list[Component]:
        """The components of the names listed there: one for each, or one for each point of its sweep."""
        found = []
        for name in names:
            if (kind, name) not in self.known:
                self.known[kind, name] = self._configured(kind, name, listed)
            found += self.known[kind, name]
        return found

    def _configured(self, kind: Kind, name: str, listed: TomlPath) -> list[Component]:
        tables = self.suite.tables[kind.plural]
        table = tables.get(name, Configured())
        own = (kind.plural, name) if name in tables else listed  # where to point at
        try:
            offer = self.registry.by_kind[kind.name][table.use or name]
        except BenchmnistError as error:
            where = (*own, "use") if table.use else own
            if any(problem.key == ".".join(map(str, (*own, "use"))) for problem in self.suite.problems):
                return []  # what it says to use could not be read
            lacks_use = isinstance(error, UnknownNameError) and name in tables and not table.use
            self.report(
                self._needless(kind, table.use or name)
                or (without_use(str(error), kind.name) if lacks_use else str(error)),
                *where,
            )
            return []
        sound = self._check_parameters(kind, offer.spec, table, own)
        if not sound:
            return []
        return [
            Component(
                name=name,
                use=offer.spec.name,
                params={**offer.spec.defaults, **table.params, **point},
                groups=tuple(each.group for each in _groups(table)),
                variant=variant_of(point),
                distribution=offer.plugin.distribution,
                version=offer.plugin.version,
            )
            for point in points_of(table.sweep)
        ]

    def _needless(self, kind: Kind, name: str) -> str:
        """Says to remove a name that stands for what a case has without it; empty for another name."""
        if kind.default is None and kind.role == "setting" and name.lower() in NOTHING:
            return f"no {kind.name} named {name!r}; remove the line"
        tasks = self.registry.tasks if kind == METRIC else ()
        if any(metric.key == name for offer in tasks for metric in offer.spec.metrics):
            return f"{name!r} is evaluated without being listed; remove it here"
        return ""

    def _check_parameters(self, kind: Kind, spec: Spec, table: Configured, own: TomlPath) -> bool:
        """Tells whether `build` takes what the suite gives it; reports each parameter that it does not take."""
        try:
            takes = parameters_of(spec, kind.harness)
        except Exception as error:  # noqa: BLE001 - loading imports a plugin's module, which may do anything
            self.report(f"{spec.name!r} cannot be loaded: {described(error)}", *own)
            return False
        searched = table.space if isinstance(table, ConfiguredOptimizer) else {}
        found: list[tuple[TomlPath, str]] = [
            *(((key,), takes.problem(key, value)) for key, value in table.params.items()),
            *((("sweep", key), takes.problem_in_list(key, values)) for key, values in table.sweep.items()),
            *(
                (("space", key), wrong_parameter(takes, key, space, (*SPACE_SETTINGS, *SPACE_TABLES)))
                for key, space in of_kind(searched, OPTIMIZER.name).items()
            ),
            *self._wrong_groups(spec, table, takes),
            *(
                ((), f"{spec.name!r} needs the parameter {name!r}")
                for name in takes.required
                if name not in {*table.params, *table.sweep}
            ),
            *(
                (("sweep", key), "has both a value and a sweep; remove one")
                for key in sorted({*table.params} & {*table.sweep})
            ),
            (
                ("sweep",),
                f"has {points:,} points, and a suite has at most {MOST_CASES:,} cases"
                if (points := math.prod(map(len, table.sweep.values()))) > MOST_CASES
                else "",
            ),
            (
                ("space",),
                "the optimizer has both a sweep and a space; remove one" if table.sweep and searched else "",
            ),
        ]
        problems = [(path, message) for path, message in found if message]
        for path, message in problems:
            self.report(message, *own, *path)
        return not problems

    def _wrong_groups(self, spec: Spec, table: Configured, takes: Parameters) -> Iterator[tuple[TomlPath, str]]:
        """Yields what is wrong with the parameter groups of an optimizer, each with its keys."""
        if (groups := _groups(table)) and isinstance(spec, OptimizerSpec) and not spec.groups:
            yield (GROUPS,), f"{spec.name!r} has one set of options for all parameters; remove its groups"
        for index, group in enumerate(groups):
            for key, value in group.options.items():
                yield (GROUPS, index, key), takes.problem(key, value)

    def report_unused(self) -> None:
        """Reports each configuration that no case names: a slip, or its case was mistyped."""
        if self.suite.problems or self.suite.points:
            return  # the block that names it may be among what could not be read, or is not searched in
        for kind in IN_SUITES:
            for name in self.suite.tables[kind.plural]:
                if (kind, name) not in self.known:
                    used = [other for of, other in self.known if of == kind]
                    near = "" if self.suite.tables[kind.plural][name].use else nearest(name, used)
                    how = f"list it in {kind.plural} of [[cases]], or remove it"
                    self.report(f"unused.{near} If not, {how}" if near else f"unused; {how}", kind.plural, name)


def _groups(table: Configured) -> tuple[GroupTable, ...]:
    """Returns the parameter groups of a configuration, which only optimizers have."""
    return table.groups if isinstance(table, ConfiguredOptimizer) else ()


def points_of(sweep: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yields every combination of the swept values; one empty point where nothing is swept."""
    for values in itertools.product(*sweep.values()):
        yield dict(zip(sweep, values, strict=True))


def variant_of(point: Mapping[str, Any]) -> str:
    """Returns the part of an id that distinguishes a point of a sweep: `lr-0.1`."""
    return "/".join(f"{key}-{_slug(value)}" for key, value in point.items())


def _slug(value: object) -> str:
    """A swept value as part of an id: what has no place in node ids and file names becomes a dash.

    The sign of a number stays, in a list too: -0.5 and 0.5 are two points.
    """
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list) and value:
        return "-".join(map(_slug, value))
    return (
        re.sub(r"[^A-Za-z0-9.+-]+", "-", re.sub(r"^[^A-Za-z0-9.+-]+|[^A-Za-z0-9.+-]+$", "", str(value))) or "empty"
    )
