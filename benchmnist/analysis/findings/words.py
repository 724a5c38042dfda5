"""A finding, and the words that findings have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import case_figure, lost_seeds
from benchmnist.analysis.units import unit
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult


EXPLORATORY = "Exploratory: "
"""Begins sentences on comparisons that nobody named beforehand."""
MOST_LISTED = 5
"""Methods that a sentence lists at most; the table has all of them."""


@dataclass(frozen=True)
class Finding:
    """A sentence or two, and the ids of the cases that they are about.

    Attributes:
        kind: Kind of the sentence, such as `rules`.
        text: The sentence.
        cases: Ids of the cases.
    """

    kind: str
    text: str
    cases: tuple[str, ...] = ()


def primary_mean(result: CaseResult) -> float | None:
    """Returns the primary metric of a case, the mean over its seeds."""
    figure = case_figure(result, result.case.primary)
    return figure and figure.mean


def value_of(result: CaseResult) -> str:
    """`97.84 %`, or `97.84 % in the 3 of 5 seeds that it completed`."""
    found = primary_mean(result)
    lost, seeds = len(lost_seeds(result, result.case.primary)), len(result.case.seeds)
    if found is None:
        return f"no {unit(result)} completed" if lost == seeds else "no mean"
    said = result.case.primary.text(found)
    return f"{said} in the {seeds - lost} of {counted(seeds, unit(result))} that it completed" if lost else said


def amount(verdict: Verdict, subject: CaseResult) -> str:
    """Formats the subject's advantage with its interval: `+0.20 points [0.08, 0.31]`."""
    sign = 1 if verdict.one is subject else -1
    digits, points = f"z.{verdict.metric.digits}f", verdict.metric.points
    said = f"{sign * verdict.paired.mean:+{digits}} {points}"
    if verdict.interval is None:
        return said
    low, high = sorted(sign * end for end in verdict.interval)
    return f"{said} [{low:{digits}}, {high:{digits}}]"


def lost_note(verdict: Verdict) -> str:
    """Returns `in the 3 of 5 seeds that both completed`, where one of the two lost seeds."""
    lost = len(frozenset().union(*verdict.lost))
    if not verdict.paired.n:
        return ""
    return (
        f"in the {verdict.paired.n} of {counted(verdict.paired.n + lost, unit(verdict.one))} that both completed"
        if lost
        else ""
    )


def ratio(verdict: Verdict) -> str:
    """Formats a difference of logarithms as a ratio: `4.2 times [4.0, 4.4]`."""
    if verdict.interval is None:
        return f"{math.exp(verdict.paired.mean):.1f} times"
    mean, low, high = map(math.exp, (verdict.paired.mean, *verdict.interval))
    return f"{mean:.1f} times [{low:.1f}, {high:.1f}]"


def method_figure(result: CaseResult) -> str:
    """Returns `adam (97.84 %)`."""
    return f"{result.case.method} ({value_of(result)})"


def case_name(result: CaseResult) -> str:
    """Names a case among cases of other models."""
    return " · ".join(filter(None, (result.case.model.label, result.case.method, result.case.label)))


def were(count: int) -> str:
    """Returns the verb for so many things."""
    return "was" if count == 1 else "were"


def listed(words: Sequence[str]) -> str:
    """Joins words as `a, b and c`, or as `a; b and c` if they contain commas."""
    return " and ".join(
        filter(None, ("; ".join(words[:-1]) if any("," in w for w in words) else ", ".join(words[:-1]), words[-1]))
    )


def shortened(words: Sequence[str]) -> str:
    """Joins words like `listed`, and shortens a long list to its first words and a count."""
    more = len(words) - MOST_LISTED
    return listed(words) if more < 2 else listed([*words[:MOST_LISTED], f"{more} others"])  # noqa: PLR2004
