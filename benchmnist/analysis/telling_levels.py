"""Which levels of problems are shown in full: curves of every level would be many times the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmnist.analysis.ladders import Ladders
    from benchmnist.suites.cases import Group

FEW_LEVELS = 3
"""Levels of a problem that are all shown in full."""


def untold_levels(ladders: Ladders | None) -> frozenset[Group]:
    """Returns the levels that no curves are drawn of: of a problem with many, all but one.

    That one is the hardest that any method of the run solves together with all easier ones, or else the easiest.
    """
    if ladders is None:
        return frozenset()
    groups = {(place.problem, place.level): group for group, place in ladders.levels.items()}
    places = {(place.problem, place.level): place.rung or 0 for place in ladders.levels.values()}
    several = [problem for problem, _ in groups]
    chosen: dict[str, int] = {}
    for ladder in ladders.ladders:
        reached = [places.get((ladder.problem, rung.level), 0) for rung in ladder.solved if not rung.recorded]
        easiest = min((place for (problem, _), place in places.items() if problem == ladder.problem), default=0)
        chosen[ladder.problem] = max([chosen.get(ladder.problem, easiest), *reached])
    return frozenset(
        group
        for (problem, level), group in groups.items()
        if several.count(problem) > FEW_LEVELS and places[problem, level] != chosen.get(problem)
    )
