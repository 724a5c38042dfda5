"""Points of a search: which part of a case each value of a space belongs to, and the cases at a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmnist.errors import closest
from benchmnist.extensions.kinds import MODEL, OPTIMIZER, SCHEDULE, TASK
from benchmnist.suites.messages import explain
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.schema import DEFAULTS
from benchmnist.suites.spaces import SPACE_SETTINGS, SPACE_TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.cases import Case, Component, Space
    from benchmnist.suites.parameters import Parameters
    from benchmnist.suites.suite import Point, Suite
    from benchmnist.suites.toml_lines import TomlPath

UNTUNED = "untuned"
"""Axis of a tuned case that is trained with the suite's own settings."""


@dataclass(frozen=True)
class PlannedPoint:
    """A point of a case, and what distinguishes the case from others of the same combination.

    Attributes:
        point: What was chosen; None for the suite's own settings.
        search: As of Case.
        untuned: As of Case.
    """

    point: Point | None = None
    search: int | None = None
    untuned: bool = False

    @property
    def axes(self) -> tuple[str, ...]:
        """The words for it in the id and the row of the case."""
        return (*((UNTUNED,) if self.untuned else ()), *((f"search-{self.search}",) if self.search else ()))

    def parts(
        self, parts: Mapping[str, Component | None], schedule: Callable[[str], Component | None]
    ) -> dict[str, Any]:
        """Returns the fields of a case at this point.

        Args:
            parts: Its dataset, model, optimizer, …, by kind.
            schedule: Finds a schedule by its name.
        """
        if self.point is None:
            return dict(parts)
        found: dict[str, Any] = dict(parts)
        params = self.point.params
        if SCHEDULE.name in params:
            found[SCHEDULE.name] = schedule(params[SCHEDULE.name])
        for kind in (OPTIMIZER, MODEL, SCHEDULE):
            part, chosen = found.get(kind.name), of_kind(params, kind.name)
            if part is not None and chosen:
                found[kind.name] = part.model_copy(update={"params": {**part.params, **chosen}})
        optimizer = found[OPTIMIZER.name]
        found[OPTIMIZER.name] = optimizer.model_copy(update={"variant": self.point.variant or optimizer.variant})
        return found

    def settings(self, case: Case, seed_step: int) -> dict[str, Any]:
        """Returns the other fields of the case at this point; each search has its own seeds and baseline.

        Args:
            case: The case of the first search.
            seed_step: As of Suite.
        """
        chosen = self.point.params if self.point else {}
        found: dict[str, Any] = {key: chosen[key] for key in SPACE_SETTINGS if key in chosen}
        tables = dict.fromkeys(key.partition(".")[0] for key in chosen)
        found["chosen"] = tuple(table for table in tables if table in (*SPACE_SETTINGS, *SPACE_TABLES))
        if self.search is not None:
            found["seeds"] = tuple(seed + (self.search - 1) * seed_step for seed in case.seeds)
            found["baseline"] = case.baseline and f"{case.baseline}/search-{self.search}"
        return found


def point_of(case: Case, space: Iterable[str]) -> dict[str, Any]:
    """Returns the values that a case has for the hyperparameters of a space; None for those that it lacks."""
    found: dict[str, Any] = {}
    for key in space:
        table, _, name = key.partition(".")
        if key == SCHEDULE.name:
            found[key] = case.schedule and case.schedule.name
        elif key in SPACE_SETTINGS:
            found[key] = getattr(case, key)
        else:
            kind, name = (table, name) if table in SPACE_TABLES else (OPTIMIZER.name, key)
            part = case.parts.get(kind)
            found[key] = part and part.params.get(name)
    return found


def planned_points(suite: Suite, points: tuple[Point, ...] | None) -> Iterator[PlannedPoint]:
    """Yields each case of a combination with those points, or with the suite's own settings.

    Args:
        suite: The suite.
        points: The points; none if every attempt of its search failed, and None if there was no search.
    """
    numbers = [*range(1, suite.searches + 1)] if suite.searches > 1 else [None]
    for point in points or ():
        yield PlannedPoint(point, point.search if suite.searches > 1 else None)
    if points is None or (suite.tuned and suite.tune.untuned):
        yield from (PlannedPoint(None, number, untuned=points is not None) for number in numbers)


def of_kind(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Returns the parameters of one kind in a space or a point: those of a model are `model.dropout`."""
    parts = [(*key.partition("."), value) for key, value in values.items()]
    if kind != OPTIMIZER.name:
        return {name: value for table, _, name, value in parts if table == kind and name}
    others = (*SPACE_SETTINGS, *SPACE_TABLES)
    return {table + dot + name: value for table, dot, name, value in parts if table not in others}


def wrong_parameter(takes: Parameters, name: str, space: Space, others: tuple[str, ...] = ()) -> str:
    """Returns what is wrong with the space of a parameter of `build`; empty if nothing is.

    Args:
        takes: The parameters.
        name: The name of the parameter.
        space: Its space.
        others: Names that may be meant, beside those of the parameters.
    """
    if space.is_range and takes.problem(name, 0.5) and not takes.problem(name, 1):
        return "must be whole numbers; write a list of them instead of a range"
    message = takes.problem_in_list(name, space.values or (space.low,))
    if message and name not in takes.by_name and (near := closest(name, others)):
        return f"{message.partition('.')[0]}. Did you mean {near!r}?"
    return message


def wrong_in_space(
    searched: Mapping[str, Space], parts: Mapping[str, Any], registry: Registry
) -> Iterator[tuple[TomlPath, str]]:
    """Yields what a case cannot tune beside the parameters of its optimizer, each with its keys in the space.

    Args:
        searched: The space.
        parts: The model, the schedule and the task of the case, by kind.
        registry: The installed plugins.
    """
    if (names := searched.get(SCHEDULE.name)) and not all(isinstance(name, str) for name in names.values or (0,)):
        yield (SCHEDULE.name,), 'must be a list of the names of schedules, such as ["constant", "cosine"]'
    if names and (own := ", ".join(of_kind(searched, SCHEDULE.name))):
        yield (SCHEDULE.name,), f"a space has a list of schedules or parameters of one ({own}); remove one of both"
    for kind in (MODEL,) if names else (SCHEDULE, MODEL):
        for name, space in of_kind(searched, kind.name).items():
            if (part := parts[kind.name]) is None:
                message = f'the optimizer is trained without a {kind.name}; set {kind.name} = "…" in [defaults]'
            else:
                takes = parameters_of(registry.by_kind[kind.name][part.use].spec, kind.harness)
                message = wrong_parameter(takes, name, space)
            yield (kind.name, name), message
    for name in SPACE_SETTINGS:
        for value in (s.values or (s.low, s.high)) if (s := searched.get(name)) else ():
            try:
                DEFAULTS.model_validate({name: value})
            except ValidationError as error:
                yield (name,), explain(error.errors(include_url=False)[0], DEFAULTS, ("defaults", name))
    task = registry.tasks[parts[TASK.name].use].spec
    if "label_smoothing" in searched and not task.takes_label_smoothing():
        yield ("label_smoothing",), f"the task {task.name!r} takes no label_smoothing"
