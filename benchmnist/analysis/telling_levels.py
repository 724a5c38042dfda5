"""The levels of problems that tables, curves and pages show: of many levels, all would say the same often."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmnist.analysis.ladders import Ladders
    from benchmnist.suites.cases import Group

MOST_LEVELS = 12
"""Levels of all problems of a run that are all shown."""
MOST_CASES = 40
"""Cases of one level of each problem that are shown; of more, those of no problem with levels are."""


def untold_levels(ladders: Ladders | None) -> frozenset[Group]:
    """Returns the levels that are not shown: if a run has many, all but one of each problem.

    That one is the hardest that any method of the run solves together with all easier ones, or else the easiest.
    """
    if ladders is None or len(ladders.levels) <= MOST_LEVELS:
        return frozenset()
    places = {(place.problem, place.level): place.rung or 0 for place in ladders.levels.values()}
    own = [ladder for ladder in ladders.ladders if not ladder.recorded]
    chosen: dict[str, int] = {}
    for ladder in own:
        reached = [places.get((ladder.problem, rung.level), 0) for rung in (*ladder.rungs[:1], *ladder.solved)]
        chosen[ladder.problem] = max([chosen.get(ladder.problem, 0), *reached])
    if len(own) > MOST_CASES:
        return frozenset(ladders.levels)
    return frozenset(
        group for group, place in ladders.levels.items() if (place.rung or 0) != chosen.get(place.problem)
    )
