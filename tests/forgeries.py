"""Simulates forged runs that are verified elsewhere: `python tests/forgeries.py` prints how many are found.

In units of the spread of the seeds, whose results are normal. The new value of a seed is independent of the
reported one, or correlated with it.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from benchmnist.analysis.reproduction import LEAST_SEEDS, spread_factor
from benchmnist.analysis.statistics import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    """[cases, seeds]."""


def honest(cases: int, seeds: int, correlation: float, random: np.random.Generator) -> tuple[Values, Values]:
    """Draws cases; returns their reported values, and their new ones."""
    there, noise = random.normal(size=(2, cases, seeds))
    return there, correlation * there + math.sqrt(1 - correlation**2) * noise


def alarms(there: Values, here: Values, of: int) -> NDArray[Any]:
    """Tells which seeds are called not consistent, [cases, drawn]; the first seeds are drawn.

    As `expected_ranges` does, for many cases at once.

    Args:
        there: Reported values, [cases, seeds].
        here: New values, [cases, drawn].
        of: Number of trials that are verified together.
    """
    drawn = here.shape[1]
    level = LEVEL / of / (3 if drawn >= LEAST_SEEDS else 2)
    found = []
    for seed in range(drawn):
        stated, new = there[:, seed], here[:, seed]
        others = np.delete(there, seed, axis=1)
        wrong = _outside(stated, np.column_stack((others, new)), new, level) | _outside(new, there, stated, level)
        if drawn >= LEAST_SEEDS:
            wrong |= _outside(stated, here, new, level)
        found.append(wrong)
    return np.column_stack(found)


def _outside(judged: Values, values: Values, near: Values, level: float) -> NDArray[Any]:
    half = spread_factor(values.shape[1], level) * values.std(axis=1, ddof=1)
    mean = values.mean(axis=1)
    low, high = np.minimum(mean, near) - half, np.maximum(mean, near) + half
    wrong: NDArray[Any] = (judged < low) | (judged > high)
    return wrong


def share_found(
    seeds: int, drawn: int, forged: int, by: float, *, of: int = 0, correlation: float = 0.0, cases: int = 20_000
) -> float:
    """Returns the share of cases in which a drawn seed is called not consistent.

    Args:
        seeds: Seeds of the case.
        drawn: How many of them are drawn, the first ones.
        forged: How many of them are reported too high, the first ones.
        by: By how many spreads.
        of: Number of trials that are verified together; 0 if they are all of this case.
        correlation: Of the two values of a seed.
        cases: Number of cases.
    """
    there, here = honest(cases, seeds, correlation, np.random.default_rng(seeds))
    there[:, :forged] += by
    return float(alarms(there, here[:, :drawn], of or drawn).any(axis=1).mean())


def table() -> str:
    """Returns, for the documentation, the share of forged cases that are found: by 3 / 10 / 100 spreads."""
    rows = []
    for name, forged, drawn, of in (
        ("one seed, drawn alone", 1, 1, 1),
        ("one seed, drawn with 4 trials of other cases", 1, 1, 5),
        ("one seed, all of the case drawn", 1, 0, 0),
        ("two seeds, one of them drawn alone", 2, 1, 1),
        ("two seeds, all of the case drawn", 2, 0, 0),
        ("all seeds, one drawn alone", 99, 1, 1),
        ("all seeds, one drawn with 4 trials of other cases", 99, 1, 5),
    ):
        cells = [
            " / ".join(f"{100 * share_found(n, drawn or n, min(forged, n), by, of=of):.0f}" for by in (3, 10, 100))
            for n in (3, 4, 5, 10)
        ]
        rows.append((name, *cells))
    return tabulate(rows, ("reported too high", *(f"{n} seeds" for n in (3, 4, 5, 10))), "github")


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
