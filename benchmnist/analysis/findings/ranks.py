"""The finding on mean ranks: which methods are better over several models or datasets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import Finding, listed
from benchmnist.analysis.statistics import LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.analysis.grid import Grid
    from benchmnist.analysis.ranks import Ranks


def best_mean_rank(grid: Grid, ranks: Ranks) -> Iterator[Finding]:
    """Names the method with the best mean rank, and those whose ranks are shown to differ from it."""
    best = grid.methods.index(ranks.methods[0])
    yield Finding("ranks", in_words(f"Over {grid.title}", ranks), tuple(row[best].id for row in grid.rows))


def in_words(over: str, ranks: Ranks) -> str:
    """Returns a sentence on mean ranks, which begins with what they are taken over: `Over 4 models`."""
    p = f"Friedman's test: p {'< 0.001' if ranks.p < 0.001 else f'= {ranks.p:.3f}'}"  # noqa: PLR2004 - three decimals
    methods = f"{len(ranks.methods)} methods"
    named = [f"{method} ({mean:.2f})" for method, mean in zip(ranks.methods, ranks.means, strict=True)]
    if ranks.differ:
        tied = sum(math.isclose(mean, ranks.means[0]) for mean in ranks.means)  # they come first
        have = f"{listed(ranks.methods[:tied])} {'has' if tied == 1 else 'have'}"
        text = f"{over}, {have} the best mean rank of {methods}: {ranks.means[0]:.2f} ({p})."
        worse = [name for i, name in enumerate(named) if ranks.shown(0, i)]
        level = [name for i, name in enumerate(named) if i >= tied and not ranks.shown(0, i)]
        if worse:
            text += f" It is better than the rank of {listed(worse)}."
        if level:
            text += f" It is not shown to differ from the rank of {listed(level)}."
    elif ranks.p <= LEVEL:
        text = f"{over}, some of {methods} differ in their mean ranks ({p}), but no two are shown to."
    else:
        text = f"{over}, the mean ranks of {methods} are not shown to differ ({p})."
    return text
