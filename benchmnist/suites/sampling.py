"""Points of a search space: a grid, or random ones."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from benchmnist.suites.components import variant_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.suites.cases import Space


FIGURES = 4
"""Significant figures of a number that is chosen: more decide nothing, and would be part of the case's name."""
MOST_REPEATED = 10_000
"""Draws without a new point after which a space counts as exhausted, such as a range of a few rounded values."""


def size(space: Mapping[str, Space]) -> float:
    """Returns the number of distinct points of a space; infinity if it has a range."""
    return math.prod(math.inf if each.is_range else len(each.values) for each in space.values())


def random_points(space: Mapping[str, Space], seed: int) -> Iterator[dict[str, Any]]:
    """Yields distinct points, drawn evenly, until nearly all points of a finite space are drawn.

    Each hyperparameter has its own stream of numbers, from its name and the seed. So two optimizers draw the same
    shares of their ranges, whatever else is in their spaces.
    """
    streams = {name: random.Random(f"{seed} {name}") for name in space}  # noqa: S311 - no secret
    drawn: set[str] = set()
    repeated = 0
    while len(drawn) < size(space) and repeated < MOST_REPEATED:
        point = {name: _at(each, streams[name].random()) for name, each in space.items()}
        repeated += 1
        if variant_of(point) not in drawn:
            drawn.add(variant_of(point))
            repeated = 0
            yield point


def grid(space: Mapping[str, Space], trials: int, seed: int = 0) -> list[dict[str, Any]]:
    """Returns at most so many points: each combination of the lists, and of as many values of each range as fit.

    The ranges that come first have more values where not all can have as many. If even the lists have more
    combinations than that, so many of these are drawn at random.
    """
    steps = {name: 1 if each.is_range else len(each.values) for name, each in space.items()}
    ranges = [name for name, each in space.items() if each.is_range]
    while more := next(
        (name for name in sorted(ranges, key=steps.__getitem__) if _combinations(steps, name) <= trials), ""
    ):
        steps[more] += 1
    axes = [_evenly(each, steps[name]) if each.is_range else each.values for name, each in space.items()]
    indices: Sequence[int] = range(math.prod(map(len, axes)))
    if len(indices) > trials:
        indices = sorted(random.Random(seed).sample(indices, trials))  # noqa: S311 - no secret
    return [dict(zip(space, _combination(axes, index), strict=True)) for index in indices]


def _combination(axes: Sequence[Sequence[Any]], index: int) -> list[Any]:
    """Returns the combination of that index, in the order of itertools.product."""
    values: list[Any] = []
    for axis in reversed(axes):
        index, at = divmod(index, len(axis))
        values.insert(0, axis[at])
    return values


def _combinations(steps: Mapping[str, int], more: str) -> int:
    """Returns the number of points of a grid if one of its ranges has one value more."""
    return math.prod(count + (name == more) for name, count in steps.items())


def _evenly(space: Space, steps: int) -> list[Any]:
    """Returns so many values of a range, from end to end; the middle, if it is one."""
    return [*dict.fromkeys(_at(space, i / (steps - 1) if steps > 1 else 0.5) for i in range(steps))]


def _at(space: Space, share: float) -> Any:
    """Returns the value at a share of a space, from 0 to 1."""
    if not space.is_range:
        return space.values[min(int(share * len(space.values)), len(space.values) - 1)]
    low, high = space.low or 0.0, space.high or 0.0
    return rounded(low * (high / low) ** share if space.log else low + (high - low) * share, space)


def rounded(value: float, space: Space) -> float:
    """Returns a number with FIGURES significant figures, within its range."""
    return min(max(float(f"{value:.{FIGURES}g}"), space.low or 0.0), space.high or 0.0)
