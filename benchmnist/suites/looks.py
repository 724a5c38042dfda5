"""The looks of a run that trains until its comparisons are told: announced before it trains anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from benchmnist.suites.cases import Frozen
from benchmnist.text import alternatives

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_SEEDS = 3
"""Seeds of the first look at least: with fewer there are no verdicts."""
MOST_SEEDS = 30
"""Seeds of the last look, unless the run says otherwise."""
GROWTH = 1.6
"""Every look has so many times the seeds of the one before, rounded up. More looks stop sooner, but each costs all
of them a part of the level."""

Reason = Literal["settled", "all seeds"]
"""Why a run stopped: nothing was left to be told, or no seed was left."""


class Looks(Frozen):
    """The looks at a growing number of seeds, and how far a run has come with them.

    Attributes:
        seeds: The seeds of the last look, in the order in which they are trained.
        counts: How many of them each look has, ascending; the last has all.
        reached: The look that was begun last, counted from 1.
        stopped: Why no other look follows; None as long as one may.
    """

    seeds: tuple[int, ...]
    counts: tuple[int, ...]
    reached: int = 1
    stopped: Reason | None = None

    @property
    def number(self) -> int:
        """Number of announced looks: what the level of every comparison is divided by."""
        return len(self.counts)

    @property
    def now(self) -> tuple[int, ...]:
        """The seeds of the look that was begun last."""
        return self.seeds[: self.counts[self.reached - 1]]

    @property
    def before(self) -> tuple[int, ...]:
        """The seeds of the look before it; none before the first."""
        return self.seeds[: self.counts[self.reached - 2]] if self.reached > 1 else ()

    @property
    def last(self) -> bool:
        """Tells whether the look that was begun last is the last one."""
        return self.reached == self.number

    def __str__(self) -> str:
        """`3, 5 and 8 seeds`."""
        return f"{alternatives(map(str, self.counts), 'and')} seeds"


def announce(seeds: Sequence[int], most: int = MOST_SEEDS) -> Looks:
    """Returns the looks of a run that begins with these seeds and has `most` of them in the end.

    The seeds that are added follow the highest one. Two last looks that differ by less than a quarter are one.

    Raises:
        ValueError: if there are more seeds to begin with than in the end.
    """
    first = max(len(seeds), FEWEST_SEEDS)
    if most < first:
        raise ValueError(f"must be at least {first}, the seeds of the first look, not {most}")
    counts = [first]
    while counts[-1] < most:
        following = min(most, math.ceil(GROWTH * counts[-1]))
        counts.append(most if most < 1.25 * following else following)
    added = range(max(seeds) + 1, max(seeds) + 1 + most - len(seeds))
    return Looks(seeds=(*seeds, *added), counts=tuple(counts))
