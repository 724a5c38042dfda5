"""Decides when a run that adds seeds stops: its primary comparisons are told, hopeless or open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.statistics import LEVEL, student
from benchmnist.analysis.verdicts import judge
from benchmnist.runs.results import CaseResult
from benchmnist.text import alternatives, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmnist.analysis.statistics import Paired
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks

TOLD = frozenset({"better", "worse", "equivalent", "identical"})
"""Verdicts that more seeds are not trained for."""
HOPELESS = 0.1
"""A comparison is hopeless if the seeds that are left would tell it with a smaller probability."""
DRAWS = 10_000


@dataclass(frozen=True)
class Standing:
    """Numbers of primary comparisons that are told, hopeless and open after a look."""

    told: int
    hopeless: int
    open: int

    @property
    def settled(self) -> bool:
        """Tells whether no other look can be expected to tell more."""
        return self.open == 0

    def __str__(self) -> str:
        """`of 9 comparisons, 7 are told and 2 are hopeless`."""
        number = self.told + self.hopeless + self.open
        words = {"told": self.told, "hopeless": self.hopeless, "open": self.open}
        each = [f"{count} {'is' if count == 1 else 'are'} {word}" for word, count in words.items() if count]
        return f"of {counted(number, 'comparison')}, {alternatives(each, 'and')}"


def primary(cases: Iterable[Case]) -> list[tuple[Case, Case]]:
    """Returns the primary comparisons of cases, before any is trained."""
    made = judge([CaseResult(case=case, status="completed") for case in cases])
    return [(v.one.case, v.other.case) for v in made if v.family == "primary"]


def standing(verdicts: Sequence[Verdict], looks: Looks) -> Standing:
    """Counts the primary comparisons after a look at their verdicts."""
    compared = [verdict for verdict in verdicts if verdict.family == "primary"]
    told = sum(verdict.word in TOLD for verdict in compared)
    hopeless = sum(is_hopeless(verdict, looks) for verdict in compared)
    return Standing(told, hopeless, len(compared) - told - hopeless)


def is_hopeless(verdict: Verdict, looks: Looks) -> bool:
    """Tells whether a comparison that is not told will hardly be told by the last look either.

    It will not be if one of the two failed, or lost seeds that the verdict depends on: more would be lost, too.
    Otherwise it is a matter of `chance_to_tell`.
    """
    if verdict.word in TOLD:
        return False
    if verdict.word in ("lost seeds", "too few seeds") or verdict.one.failed or verdict.other.failed:
        return True
    if looks.last:  # no seeds are left: it stays open
        return False
    in_the_end = verdict.paired.n * len(looks.seeds) // len(looks.now)  # as many will be lost as were before
    return chance_to_tell(verdict.paired, in_the_end, verdict.of, verdict.margin) < HOPELESS


def chance_to_tell(paired: Paired, number: int, of: int = 1, margin: float | None = None) -> float:
    """Returns the probability that a comparison is told by the last look, given the pairs so far.

    The difference and its spread are taken to be what the pairs so far allow, each value with its probability (the
    posterior of a normal distribution with the prior 1/spread): the predictive power (Spiegelhalter et al. 1986).

    Args:
        paired: The differences so far, three or more.
        number: Number of pairs of the last look.
        of: Number of comparisons that share the chance of a mistake.
        margin: A mean that is shown to be nearer to 0 is told as well.
    """
    import numpy as np

    n, new = paired.n, number - paired.n
    if new < 1:
        return 0.0
    if not paired.varies:  # more seeds may show a spread, and nobody knows which
        return 1.0
    rng = np.random.default_rng(0)  # the same pairs have the same chance
    variance = paired.std**2 * (n - 1) / rng.chisquare(n - 1, DRAWS)
    added = rng.normal(paired.mean, np.sqrt(variance * (1 / n + 1 / new)))
    within = variance * rng.chisquare(new - 1, DRAWS) if new > 1 else 0.0
    mean = (n * paired.mean + new * added) / number
    squares = (n - 1) * paired.std**2 + within + n * new / number * (paired.mean - added) ** 2
    half = student(LEVEL / of, number - 1) * np.sqrt(squares / (number - 1) / number)
    told = abs(mean) > half
    if margin is not None:
        told |= abs(mean) + half < margin
    return math.fsum(told) / DRAWS
