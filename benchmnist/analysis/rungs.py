"""The levels of problems, as methods were tried on them: results and searches of one level are one rung."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmnist.analysis.reached import censored_median
from benchmnist.analysis.statistics import share_interval
from benchmnist.analysis.targets import times_to_target
from benchmnist.suites.values import is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmnist.runs.results import CaseResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Case, Group


@dataclass(frozen=True)
class Rung:
    """A level of a ladder, as one method was tried on it.

    Attributes:
        level: The level; None for the only one of a problem without levels.
        solved: Number of seeds that reached the target; of several searches, a search counts as a seed.
        seeds: Number of seeds whose end is known. 0 if every attempt of the search diverged or failed, so that
            nothing was left to be trained.
        rate_interval: Interval of the share of solved seeds, from 0 to 1 (Clopper and Pearson).
        steps: Median of the steps to the target, where a seed that missed it took longer; None if not solved.
        attempts: Attempts of its search, of each if there are several; 1 if its settings were not searched.
        chosen: The settings that the search chose, `lr=0.05`; empty without one.
        recorded: Whether it is of an earlier run that others made.
        case: Id of its case, as verdicts judge it; None if nothing was trained.
    """

    level: str | None
    solved: int
    seeds: int
    rate_interval: tuple[float, float]
    steps: int | None = None
    attempts: int = 1
    chosen: str = ""
    recorded: bool = False
    case: str | None = None

    @property
    def is_solved(self) -> bool:
        """Tells whether at least half of its seeds reached the target."""
        return 2 * self.solved >= self.seeds > 0

    @property
    def name(self) -> str:
        """The level; `only level` of a problem without levels."""
        return self.level or "only level"


class RungKey(NamedTuple):
    """Names a rung: the problem with the point of its sweep and the label of its block, the level, the method."""

    problem: str
    level: str | None
    method: str


class Place(NamedTuple):
    """A group: its problem, its level, and the place of that level, if that is known."""

    problem: str
    level: str | None
    rung: int | None


def _title(case: Case) -> str:
    """Returns the problem of a case, with the point of its sweep and the label of its block: `ravine/steps-9`."""
    variant = case.dataset.variant.removeprefix(case.level or "").lstrip("/")
    problem = "/".join(filter(None, (case.dataset.name, variant)))
    return " · ".join(filter(None, (problem, case.label)))


def places_of(results: Iterable[CaseResult], searches: Iterable[Search]) -> dict[Group, Place]:
    """Returns where each group is that is a level of a problem with a target.

    Groups of searches come first, as these have every level. A search has no level of its own; if no case of its
    group was trained, its label tells it.
    """
    cases = [result.case for result in results if result.case.problem is not None]
    known = {case.group: Place(_title(case), case.level, case.rung) for case in cases if case.has_target}
    aimless = {case.dataset.name for case in cases if not case.has_target}
    without_levels = {case.dataset.name for case in cases if case.level is None}
    places: dict[Group, Place] = {}
    for search in searches:
        group = search.dataset, search.model, search.label
        name, _, rest = search.dataset.partition("/")
        if group in known:
            places[group] = known[group]
        elif not search.model and name not in aimless:  # every model of a suite has a name; a problem is one
            level, _, variant = ("", "", rest) if name in without_levels else rest.partition("/")
            problem = " · ".join(filter(None, ("/".join(filter(None, (name, variant))), search.label)))
            places[group] = Place(problem, level or None, None)
    return places | {group: place for group, place in known.items() if group not in places}


def order_of(places: Iterable[Place]) -> dict[tuple[str, str | None], int]:
    """Returns the place of each level among those of its problem, problem by problem.

    They are in the order that their plugin gives them. A level whose place is not known follows the one before it
    in the suite, or else is the hardest.
    """
    problems: dict[str, dict[str | None, int | None]] = {}
    for place in places:
        problems.setdefault(place.problem, {})[place.level] = place.rung
    order: dict[tuple[str, str | None], int] = {}
    for problem, rungs in problems.items():
        before, keys = math.inf, dict[str | None, float]()
        for level, rung in rungs.items():
            before = before if rung is None else rung
            keys[level] = before
        order |= {
            (problem, level): number for number, level in enumerate(sorted(keys, key=lambda each: keys[each]))
        }
    return order


def rungs_of(
    results: Sequence[CaseResult], searches: Sequence[Search], places: Mapping[Group, Place]
) -> dict[RungKey, Rung]:
    """Returns the level of each case of a problem, and those of which every attempt of the search was lost."""
    of_levels: dict[RungKey, list[Search]] = defaultdict(list)
    for search in searches:
        if place := places.get((search.dataset, search.model, search.label)):
            of_levels[RungKey(place.problem, place.level, search.method)].append(search)
    found: dict[RungKey, Rung] = {}
    for time in times_to_target([result for result in results if result.case.problem is not None]):
        case = time.result.case
        place = places[case.group]
        key = RungKey(place.problem, place.level, case.method)
        # Several searches each count as a seed, also one that found nothing.
        steps = [each.steps for each in time.reached.values()]
        steps += [math.inf] * sum(search.best is None for search in of_levels.get(key, ()))
        if steps:
            found[key] = _rung(place.level, steps, of_levels.get(key, ()), time.result)
    for key, lost in of_levels.items():
        if key not in found and all(search.best is None for search in lost):
            found[key] = _rung(key.level, (), lost)
    return found


def _rung(
    level: str | None, steps: Sequence[float], searches: Sequence[Search], result: CaseResult | None = None
) -> Rung:
    """Makes a level of the steps of each seed to the target, infinite for one that missed it."""
    solved, median = sum(map(math.isfinite, steps)), censored_median(steps)
    chosen = dict.fromkeys(_settings(search.best.params) for search in searches if search.best is not None)
    return Rung(
        level,
        solved,
        len(steps),
        share_interval(solved, len(steps)),
        None if median is None else round(median),
        max((len(search.attempts) for search in searches), default=1),
        " or ".join(chosen),
        case=None if result is None else result.id,
    )


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={f'{value:.4g}' if is_number(value) else value}" for key, value in params.items())
