"""The problems that a suite lists: the parts and settings of each level, checked against the plugins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmnist.errors import BenchmnistError, UnknownNameError, described, unknown
from benchmnist.extensions.kinds import BUNDLED, PROBLEM, TASK, Kind
from benchmnist.extensions.specs import OF_SUITES
from benchmnist.suites.cases import Component
from benchmnist.suites.components import MOST_CASES, points_of, variant_of
from benchmnist.suites.messages import explain, without_use
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.schema import DEFAULTS, ConfiguredProblem, Settings, excluded_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmnist.extensions.registry import Offer, Registry
    from benchmnist.extensions.specs import ProblemSpec
    from benchmnist.suites.components import Components, ReportMistake
    from benchmnist.suites.schema import Block
    from benchmnist.suites.suite import Suite
    from benchmnist.suites.toml_lines import TomlPath


@dataclass(frozen=True)
class Posed:
    """A problem at one of its levels, or a dataset and a model: the part of cases that optimizers are tried on.

    Attributes:
        parts: The dataset and the model, by kind; of a problem its task, too.
        problem: As of Case.
        level: As of Case.
        rung: As of Case.
        variant: The point of a sweep of the problem; empty without any.
        settings: What the problem says of the training.
    """

    parts: Mapping[str, Component]
    problem: str | None = None
    level: str | None = None
    rung: int | None = None
    variant: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The start of the id of a case, without points of sweeps."""
        if self.problem is None:
            return tuple(part.name for part in self.parts.values())
        return (self.problem, self.level) if self.level else (self.problem,)

    @property
    def variants(self) -> tuple[str, ...]:
        """The points of sweeps."""
        return (self.variant,) if self.problem else tuple(part.variant for part in self.parts.values())

    def over(self, block: Block, own: Iterable[str]) -> Block:
        """Returns a block with the settings of the problem under its `own` keys, and over those of [defaults]."""
        own = {*own}
        changed = {key: value for key, value in self.settings.items() if key not in own | excluded_by(own)}
        others = excluded_by(changed) - {*changed, "epochs"}  # `epochs` has no effect beside `steps`
        return block.model_copy(update=changed | dict.fromkeys(others))


class Problems:
    """Finds the problems of a suite; each name is looked up once, and what is wrong with it reported once.

    Args:
        suite: The suite, for the tables that configure problems.
        registry: The installed plugins.
        components: The components of the suite, to which those of problems are added.
        report: Called with each mistake.
    """

    def __init__(self, suite: Suite, registry: Registry, components: Components, report: ReportMistake) -> None:
        self.suite, self.registry, self.components, self.report = suite, registry, components, report
        self.known: dict[str, list[Posed]] = {}

    def of(self, names: Sequence[str], listed: TomlPath) -> list[Posed]:
        """The problems of the names listed there: one for each level, or for the level that the name has."""
        found = []
        for name in names:
            if name not in self.known:
                self.known[name] = self._posed(name, listed)
            found += self.known[name]
            parts = [part for posed in self.known[name] for part in posed.parts.values()]
            self.components.known.setdefault((PROBLEM, name.partition("/")[0]), []).extend(parts)
        return found

    def _posed(self, text: str, listed: TomlPath) -> list[Posed]:
        name, slash, level = text.partition("/")
        table = self.suite.posed.get(name)
        own: TomlPath = listed if table is None else (PROBLEM.plural, name)
        table = table or ConfiguredProblem()
        try:
            offer = self.registry.problems[table.use or name]
        except BenchmnistError as error:
            lacks_use = isinstance(error, UnknownNameError) and own != listed and not table.use
            said = without_use(str(error), PROBLEM.name) if lacks_use else str(error)
            self.report(said, *own, *(("use",) if table.use else ()))
            return []
        levels: list[str | None] = [*_levels(offer.spec, table)]
        if slash and level not in levels:
            there = [each for each in levels if each]
            self.report(
                unknown(f"level of {name!r}", level, there)
                if there
                else f"the problem {name!r} has no levels; write {name!r}",
                *listed,
            )
            return []
        if (points := math.prod(map(len, table.sweep.values()))) > MOST_CASES:
            self.report(f"has {points:,} points, and a suite has at most {MOST_CASES:,} cases", *own, "sweep")
            return []
        chosen = [level] if level else levels or [None]
        found = [
            _Pose(self, offer, name, table, own, one, point).read()
            for one in chosen
            for point in points_of(table.sweep)
        ]
        return [posed for posed in found if posed] if all(found) else []


def _levels(spec: ProblemSpec, table: ConfiguredProblem) -> Iterator[str]:
    """Yields the levels of a configured problem: none if it sets a parameter that makes the levels."""
    changed = {key for changes in spec.levels.values() for key in changes if "." in key}
    own = {f"{kind.name}.{key}" for kind in BUNDLED for key in table.of_part(kind.name)}
    if not changed & (own | {*table.sweep}):
        yield from spec.levels


@dataclass
class _Pose:
    """Reads one problem at one of its levels and at one point of its sweep."""

    problems: Problems
    offer: Offer[ProblemSpec]
    name: str
    table: ConfiguredProblem
    own: TomlPath
    level: str | None
    point: Mapping[str, Any]
    sound: bool = True

    def read(self) -> Posed | None:
        """Returns the problem; None where something is wrong, and reported."""
        spec, datasets = self.offer.spec, self.problems.registry.datasets
        uses = {kind: getattr(spec, kind.name) for kind in BUNDLED}
        if spec.task is None and spec.dataset in datasets:
            uses[TASK] = datasets[spec.dataset].spec.task
        parts = {kind.name: self.part(kind, use) for kind, use in uses.items() if use is not None}
        settings = self.settings()
        found = {kind: part for kind, part in parts.items() if part is not None}
        if not self.sound:
            return None
        rung = None if self.level is None else [*spec.levels].index(self.level)
        return Posed(found, self.name, self.level, rung, variant_of(self.short_point()), settings)

    def short_point(self) -> dict[str, Any]:
        """The point of the sweep by the names of its parameters, as far as these are different."""
        short = {key: key.rpartition(".")[2] for key in self.point}
        unique = len({*short.values()}) == len(short)
        return {short[key] if unique else key: value for key, value in self.point.items()}

    def part(self, kind: Kind, use: str) -> Component | None:
        """Returns its dataset, model or task."""
        try:
            offer = self.problems.registry.by_kind[kind.name][use]
            takes = parameters_of(offer.spec, kind.harness)
        except BenchmnistError as error:
            self.refuse(str(error))
            return None
        except Exception as error:  # noqa: BLE001 - loading imports a plugin's module, which may do anything
            self.refuse(f"{use!r} cannot be loaded: {described(error)}")
            return None
        given = {
            **_as_toml(self.offer.spec.params_at(kind.name, self.level)),
            **self.table.of_part(kind.name),
            **{key.partition(".")[2]: v for key, v in self.point.items() if key.startswith(f"{kind.name}.")},
        }
        for key, value in given.items():
            if message := takes.problem(key, value):
                self.refuse(message, (kind.name, key))
        for key in takes.required:
            if key not in given:
                self.refuse(f"{use!r} needs the parameter {key!r}")
        of_case = "/".join(filter(None, (self.level, variant_of(self.short_point()))))
        named = kind is TASK
        return Component(
            name=use if named else self.name,
            use=use,
            params={**offer.spec.defaults, **given},
            variant="" if named else of_case,
            distribution=offer.plugin.distribution,
            version=offer.plugin.version,
        )

    def settings(self) -> dict[str, Any]:
        """Returns the settings of the problem at its level, overridden by those of the suite."""
        suite = {**self.table.params, **{key: value for key, value in self.point.items() if "." not in key}}
        for key in self.table.params.keys() & {*OF_SUITES}:
            self.refuse("is no setting of a problem; set it in [defaults] or [[cases]]", (key,))
        of_plugin = _as_toml(self.offer.spec.settings_at(self.level))
        given = {key: value for key, value in of_plugin.items() if key not in excluded_by(suite)} | suite
        try:
            read = Settings.model_validate(given)
        except ValidationError as error:
            for mistake in error.errors(include_url=False):
                key = str(mistake["loc"][0])
                self.refuse(explain(mistake, DEFAULTS, (*self.own, key)), (key,))
            return {}
        return {key: getattr(read, key) for key in read.model_fields_set}

    def refuse(self, message: str, key: tuple[str, ...] = ()) -> None:
        """Reports a mistake in what the suite says of the problem, or else one of its plugin."""
        self.sound = False
        for path in ((*self.own, *key), (*self.own, "sweep", *key)):
            if key and (path in self.problems.suite.lines or path in self.problems.suite.assigned):
                self.problems.report(message, *path)
                return
        where = f" at level {self.level!r}" if self.level and key else ""
        said = f"{'.'.join(key)}: {message}" if key else message
        self.problems.report(
            f"the problem {self.offer.spec.name!r} of {self.offer.plugin}{where}: {said}", *self.own
        )


def _as_toml(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a plugin says as a suite would: a tuple is a list."""
    return {key: [*value] if isinstance(value, tuple) else value for key, value in values.items()}
