"""Analyses a hyperparameter search: its effort, the share of good attempts, and reasons for doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Space

BAND = (0.25, 0.75)
NEAR = 1.0
"""Points of accuracy within which an attempt counts as near the best."""
EDGE = 0.05
"""Share of a range, in its own scale, within which a value counts as at the edge."""
CHANCE = 0.0
"""Value of an attempt that diverged or failed: below that of any other."""


@dataclass(frozen=True)
class Expected:
    """The expected best of a number of random attempts.

    Attributes:
        attempts: Number of attempts.
        mean: Expected value of the best of them.
        low, high: Quartiles of the best of them.
    """

    attempts: int
    mean: float
    low: float
    high: float


def expected_best(values: Sequence[float]) -> list[Expected]:
    """Returns the expected best of k attempts, for each k, if each is drawn anew from the attempts made.

    The distribution of the largest of k draws is the k-th power of that of one: P(best <= v) = P(one <= v)^k.
    This is the estimate of Dodge et al. (2019, Show Your Work), used for optimizers by Sivaprasad et al.
    (arXiv 1910.11758). It holds for attempts drawn independently: for a random search, not for a guided one.
    """
    ordered, n = sorted(values), len(values)
    found = []
    for k in range(1, n + 1):
        at_most = [(i / n) ** k for i in range(n + 1)]
        mean = math.fsum(v * (at_most[i + 1] - at_most[i]) for i, v in enumerate(ordered))
        low, high = (next(v for i, v in enumerate(ordered, 1) if at_most[i] >= q) for q in BAND)
        found.append(Expected(k, mean, low, high))
    return found


def best_so_far(values: Sequence[float]) -> list[float]:
    """Returns the best of the first k attempts, for each k, in their order."""
    best = -math.inf
    return [best := max(best, value) for value in values]


def share_near_best(values: Sequence[float]) -> float | None:
    """Returns the share of random attempts within NEAR points of the best: how easily a good one is found."""
    if not values:
        return None
    return sum(value >= max(values) - NEAR for value in values) / len(values)


def at_the_edge(search: Search) -> Iterator[str]:
    """Yields the values of the best attempt at an end of their range: `lr = 0.98, range 0.0001 to 1`."""
    best = search.best
    if best is None:
        return
    for name, space in search.space.items():
        value = best.params.get(name)
        if (
            space.is_range
            and isinstance(value, (int, float))
            and not EDGE < _share_of_range(space, value) < 1 - EDGE
        ):
            yield f"{name} = {value:.3g}, range {space.low:g} to {space.high:g}"


def _share_of_range(space: Space, value: float) -> float:
    """Returns the position of a value in its range, from 0 to 1."""
    scale = math.log if space.log else float
    low, high = scale(space.low or 0.0), scale(space.high or 0.0)
    return (scale(value) - low) / (high - low)
