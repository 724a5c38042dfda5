"""What a search over hyperparameters says: what it took, how much of the space would have done, what to doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.runs.results import Search
    from benchmnist.suites.cases import Space

BAND = (0.25, 0.75)
NEAR = 1.0
"""Points of accuracy: what is so near the best counts as nearly as good."""
EDGE = 0.05
"""Of the range, in its own scale: what is so near an end of it is at its edge."""
CHANCE = 0.0
"""The value of an attempt that diverged or failed: below that of any that did not."""


@dataclass(frozen=True)
class Expected:
    """The best of so many random attempts.

    Attributes:
        attempts: How many.
        mean: What the best of them is expected to be.
        low, high: Its quartiles.
    """

    attempts: int
    mean: float
    low: float
    high: float


def expected_best(values: Sequence[float]) -> list[Expected]:
    """The best of k attempts, for k from 1 to all of them, if each were drawn anew from those that were made.

    The distribution of the largest of k draws is the k-th power of that of one: P(best <= v) = P(one <= v)^k.
    That is the estimate of Dodge et al. (2019, Show Your Work), used for optimizers by Sivaprasad et al.
    (arXiv 1910.11758). It holds for attempts drawn independently: of a random search, not of a guided one.
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
    """The best of the first k attempts, in the order in which they were made."""
    best = -math.inf
    return [best := max(best, value) for value in values]


def share_near_best(values: Sequence[float]) -> float | None:
    """The share of random attempts that came within NEAR points of the best: how easily a good one is found."""
    if not values:
        return None
    return sum(value >= max(values) - NEAR for value in values) / len(values)


def at_the_edge(search: Search) -> Iterator[str]:
    """What of the best attempt lies at an end of its range, `lr = 0.98 of 0.0001 to 1`: beyond may be a better."""
    best = search.best
    if best is None:
        return
    for name, space in search.space.items():
        value = best.params.get(name)
        if space.is_range and isinstance(value, (int, float)) and not EDGE < _place(space, value) < 1 - EDGE:
            yield f"{name} = {value:.3g}, range {space.low:g} to {space.high:g}"


def _place(space: Space, value: float) -> float:
    """Where in its range, from 0 to 1."""
    scale = math.log if space.log else float
    low, high = scale(space.low or 0.0), scale(space.high or 0.0)
    return (scale(value) - low) / (high - low)
