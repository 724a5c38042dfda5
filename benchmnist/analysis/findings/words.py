"""A finding, and the words that findings have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.figures import case_figure, has_metric, seed_figures
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import judging
from benchmnist.metrics import TARGET_STEPS
from benchmnist.text import counted, decimals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult


EXPLORATORY = "Exploratory: "
"""Begins sentences on comparisons that nobody named beforehand."""
MOST_LISTED = 5
"""Methods that a sentence lists at most; the table has all of them."""

MOST_NAMED = 50
"""Cases that a sentence about every such case names at most."""


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
    """Returns what a case is judged by: the mean over its seeds, or the median of the steps to its target."""
    figure = case_figure(result, judging(result.case))
    return figure and figure.mean


def value_of(result: CaseResult) -> str:
    """`97.84 %`, or `97.84 % in the 3 of 5 seeds that it completed`; of a target `1,200 steps, 3 of 5 seeds`."""
    found, metric = primary_mean(result), judging(result.case)
    seeds = len(result.case.seeds)
    if metric == TARGET_STEPS:
        steps = "" if found is None else f"{metric.text(found)}, "
        return f"{steps}{len(seed_figures(result, metric))} of {counted(seeds, unit(result))}"
    completed = sum(map(math.isfinite, seed_figures(result, metric).values())) if has_metric(result, metric) else 0
    if not completed:
        return f"no {unit(result)} completed"
    if found is None:
        return "no mean"
    said = metric.text(found)
    if completed == seeds:
        return said
    return f"{said} in the {completed} of {counted(seeds, unit(result))} that it completed"


def amount(verdict: Verdict, subject: CaseResult) -> str:
    """Formats the subject's advantage with its interval, and the seeds that it is of, if not all of both.

    `+0.20 points [0.08, 0.31]`, `+0.20 points in the 3 of 5 seeds that both completed`; empty without a pair.
    """
    paired = verdict.paired
    if not paired.n:
        return ""
    found, metric = amount_of(verdict, subject), verdict.metric
    said = f"{metric.change(found.mean, found.digits)} {metric.points}{found.brackets}"
    if metric.ratio:
        said = f"{decimals(found.mean, found.digits)} times the {metric.points}{found.brackets}"
    if paired.says_something and not paired.varies:
        said += f", the same in every {unit(verdict.one)}"
    return " ".join(filter(None, (said, _of_which(verdict))))


def _of_which(verdict: Verdict) -> str:
    """Returns `in the 3 of 5 seeds that both completed`, or `in the 5 seeds that both have`."""
    n, common = verdict.paired.n, len(verdict.common_seeds)
    if n < common:
        return f"in the {n} of {counted(common, unit(verdict.one))} that both completed"
    if {*verdict.one.case.seeds} != {*verdict.other.case.seeds}:
        return f"in the {counted(common, unit(verdict.one))} that both have"
    return ""


def ratio(verdict: Verdict) -> str:
    """Formats a difference of logarithms as a ratio: `4.21 times [4.00, 4.43]`."""
    found = amount_of(verdict)
    return f"{decimals(found.mean, found.digits)} times{found.brackets}"


def method_figure(result: CaseResult) -> str:
    """Returns `adam (97.84 %)`."""
    return f"{result.case.method} ({value_of(result)})"


Namer = Callable[["CaseResult"], str]


def were(count: int) -> str:
    """Returns the verb for so many things."""
    return "was" if count == 1 else "were"


def listed(words: Sequence[str]) -> str:
    """Joins words as `a, b and c`, or as `a; b and c` if they contain commas."""
    return " and ".join(
        filter(None, ("; ".join(words[:-1]) if any("," in w for w in words) else ", ".join(words[:-1]), words[-1]))
    )


def shortened(words: Sequence[str], most: int = MOST_LISTED, *, number: int = 0) -> str:
    """Joins words like `listed`, and shortens a long list to its first words and a count.

    Args:
        words: The words; of a longer list, more than `most` of them.
        most: How many words are named of a long list.
        number: How many words the longer list has.
    """
    more = max(number, len(words)) - most
    return listed(words) if more < 2 else listed([*words[:most], f"{more} others"])  # noqa: PLR2004
