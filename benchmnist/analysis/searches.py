"""Analyses a hyperparameter search: its effort, the share of good attempts, and reasons for doubt."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmnist.suites.values import is_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.runs.searches import Attempt, Search
    from benchmnist.suites.cases import Space

Direction = Literal["higher", "lower"]
BAND = (0.25, 0.75)
NEAR = 1.0
"""Points of a share, in %, within which an attempt counts as near the best."""
FEWEST_LISTED = 3
"""Values of a list that has one between its ends."""
END = 0.01
"""Share of a range within which a value counts as its end."""
LEFT = 0.25
"""Share of a step that is left to the value of an attempt: the median of steps is a multiple of a half."""
CHANCE = 0.0
"""Share, in %, of an attempt that diverged or failed: that of no other is lower."""


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


def value_of(search: Search, attempt: Attempt) -> float | None:
    """Returns the value of an attempt by the metric that orders them; None if it diverged or failed.

    With a target, this is the median of the steps to it; None unless at least half of the seeds reach it.
    """
    if not search.target:
        return attempt.value
    return attempt.steps if attempt.reached and 2 * attempt.reached >= search.seeds else None


def values_of(search: Search) -> list[float]:
    """Returns the value of each attempt; of one without, CHANCE or else the worst value of all.

    With a target, an attempt that does not reach it counts as the whole budget, the least that it would take.
    """
    if search.target:
        steps = [value_of(search, attempt) for attempt in search.attempts]
        return [search.budget if each is None else each for each in steps]
    there = [attempt.value for attempt in search.attempts if attempt.value is not None]
    if search.metric.is_share:
        lost = CHANCE
    else:
        lost = (min if search.metric.better == "higher" else max)(there, default=0.0)
    return [lost if attempt.value is None else attempt.value for attempt in search.attempts]


def scores_of(search: Search) -> list[float]:
    """Returns a number for each attempt that orders them as `Search.best` does, for samplers; higher is better.

    Its whole part is the number of seeds that reach the target; the rest falls with their steps, in shares of the
    budget. Less than a step is left to the value: all of it where no seed reaches the target.
    """
    found = []
    for attempt in search.attempts:
        # Squeezes any value into 0 to 1, in its order; a lost attempt is the worst.
        sign = 1 if search.metric.better == "higher" else -1
        value = 0.0 if attempt.value is None else 0.5 + math.atan(sign * attempt.value) / math.pi
        if not attempt.reached or attempt.steps is None:
            found.append(value)
        else:
            budget = max(search.budget, 1)
            found.append(attempt.reached + 1 - attempt.steps / budget + LEFT * value / budget)
    return found


def expected_best(values: Sequence[float], better: Direction = "higher") -> list[Expected]:
    """Returns the expected best of k attempts, for each k: of k of those made, drawn without replacement.

    Of n values from the worst to the best, the i-th or an earlier one is the best of k with the probability
    C(i, k) / C(n, k). So the mean is an unbiased estimate for each k up to n, as Tang et al. show (2020, Showing
    Your Work Doesn't Always Work, arXiv 2004.13705; see also Dodge et al. 2021, arXiv 2110.00613). Drawing with
    replacement, as Dodge et al. (2019, Show Your Work), repeats attempts and is too low, most so at k = n.
    It holds for attempts drawn independently: for a random search, not for a guided one.
    """
    ordered, n = sorted(values, reverse=better == "lower"), len(values)
    found = []
    for k in range(1, n + 1):
        draws = math.comb(n, k)
        at_most = [math.comb(i, k) / draws for i in range(n + 1)]
        mean = math.fsum(v * (at_most[i + 1] - at_most[i]) for i, v in enumerate(ordered))
        low, high = sorted(next(v for i, v in enumerate(ordered, 1) if at_most[i] >= q) for q in BAND)
        found.append(Expected(k, mean, low, high))
    return found


def best_so_far(values: Sequence[float], better: Direction = "higher") -> list[float]:
    """Returns the best of the first k attempts, for each k, in their order."""
    return [*itertools.accumulate(values, max if better == "higher" else min)]


def best_of_attempts(searches: Sequence[Search]) -> list[Expected]:
    """Returns the best of k attempts in repeated searches of one method, for each k.

    For random attempts, this is what can be expected, estimated from the attempts of all searches. For others it
    is the mean of the searches, in their order, without quartiles.
    """
    better, most = searches[0].judged_by.better or "higher", max(len(search.attempts) for search in searches)
    if all(search.sampler == "random" for search in searches):
        return expected_best([value for search in searches for value in values_of(search)], better)[:most]
    orders = [best_so_far(values_of(search), better) for search in searches]
    means = map(statistics.fmean, zip(*orders, strict=False))
    return [Expected(k, mean, mean, mean) for k, mean in enumerate(means, 1)]


def share_near_best(search: Search) -> float | None:
    """Returns the share of random attempts within NEAR points of the best: how easily a good one is found.

    None without a completed attempt, and for a metric that is no share in %.
    """
    values = values_of(search)
    if search.best is None or not search.judged_by.is_share:
        return None
    return sum(value >= max(values) - NEAR for value in values) / len(values)


@dataclass(frozen=True)
class Edge:
    """A hyperparameter whose best value is the outermost tried.

    Attributes:
        name: The hyperparameter.
        text: `lr = 0.98, tried 0.002 to 0.98, range 0.001 to 10`.
        at_end: Whether that is an end of its space, so that more attempts cannot find a value further out.
    """

    name: str
    text: str
    at_end: bool


def at_the_edge(search: Search) -> Iterator[Edge]:
    """Yields each hyperparameter whose best value is the outermost tried.

    No attempt shows that a value further out is worse. This is so of ranges, and of lists of FEWEST_LISTED numbers
    or more. Nothing is missed beyond an end at 0, which turns a hyperparameter off. An attempt that diverged was
    tried, too.
    """
    best = search.best
    if best is None:
        return
    for name, space in search.space.items():
        tried = [attempt.params.get(name) for attempt in search.attempts]
        numbers = [v for v in tried if is_number(v)]
        value = best.params.get(name)
        if value is None or len(numbers) < len(tried) or len({*numbers}) == 1:
            continue  # of names there is no outermost, and one value was no choice
        if not space.is_range and len(space.values) < FEWEST_LISTED:
            continue
        low, high = min(numbers), max(numbers)
        ends = [v for v in (space.values or (space.low, space.high)) if is_number(v)]
        end = max(ends) if value == high else min(ends) if value == low else None
        if end is None:
            continue
        at_end = _share(space, value, end) <= END
        if not (at_end and end == 0):
            limits = f", {'range' if space.is_range else 'list'} {min(ends):g} to {max(ends):g}"
            whole = not space.is_range and (low, high) == (min(ends), max(ends))
            tried_so = f"{name} = {value:.4g}, tried {low:.4g} to {high:.4g}{'' if whole else limits}"
            yield Edge(name, tried_so, at_end)


def _share(space: Space, value: float, end: float) -> float:
    """Returns how far a value is from an end, as a share of its range; of a list, whether it is another value."""
    if not space.is_range:
        return float(value != end)
    scale = math.log if space.log else float
    low, high = space.low or 0.0, space.high or 0.0
    return abs(scale(value) - scale(end)) / (scale(high) - scale(low))
