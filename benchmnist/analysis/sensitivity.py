"""The smallest differences that a run finds, before its training and after it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from benchmnist.analysis.looks import primary
from benchmnist.analysis.pairs import MOST_PAIRS, are_more, number_of_pairs
from benchmnist.analysis.statistics import LEAST_PAIRS, detectable
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import judge_pair, judging
from benchmnist.runs.store import runs_in, stored_case
from benchmnist.text import alternatives, counted, with_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks

RUNS_READ = 10
"""Number of the newest runs to search for a spread."""
UNKNOWN_SPREAD = (
    " A spread is the standard deviation, over the seeds, of the differences between two cases; if you know it, "
    "state it as `spread` in [defaults]."
)
NOT_THE_SPREAD = {"seeds", "engine"}
"""Fields of a case in which one of an earlier run may differ: its seeds spread as those of this case."""


@dataclass(frozen=True)
class Comparison:
    """A primary comparison and what is known of its spread.

    Attributes:
        metric: What the cases are compared by.
        pairs: Number of seeds that both cases have.
        of: Number of comparisons that share the chance of a mistake, at each look.
        spread: Standard deviation of the differences over the seeds; None if it is not known.
        known_from: Where the spread is from, in words.
        unit: What is paired: `seed`, or `search`.
    """

    metric: Metric
    pairs: int
    of: int
    spread: float | None = None
    known_from: str = ""
    unit: str = "seed"


def seen(verdicts: Iterable[Verdict]) -> Iterator[Comparison]:
    """Yields the primary comparisons of a run that have a spread."""
    for v in verdicts:
        if v.family == "primary" and v.paired.says_something and v.paired.varies:
            yield Comparison(v.metric, v.paired.n, v.of, v.paired.std, "here", unit(v.one))


def expected(cases: Sequence[Case], out: Path, looks: Looks | None = None) -> list[Comparison]:
    """Returns the primary comparisons of a run before its training, at the last look, if it has several.

    Their spread is what the suite states, or what an earlier run in `out` has.
    """
    pairs = primary(cases)
    number = number_of_pairs(cases)["primary"] if are_more(MOST_PAIRS, cases) else len(pairs)
    of = number * (looks.number if looks else 1)
    stated = {  # in the unit of the primary metric
        (one.id, other.id): one.spread
        for one, other in pairs
        if one.spread is not None and one.judged_by == one.primary
    }
    found = _earlier([pair for pair in pairs if (pair[0].id, pair[1].id) not in stated], out)
    made = []
    for one, other in pairs:
        common = len(looks.seeds) if looks else len({*one.seeds} & {*other.seeds})
        spread, whence = found.get((one.id, other.id), (None, ""))
        if (one.id, other.id) in stated:
            spread, whence = stated[one.id, other.id], "stated"
        made.append(Comparison(judging(one), common, of, spread, whence))
    return made


def sentences(comparisons: Iterable[Comparison], looks: int = 1) -> Iterator[str]:
    """Yields what a run finds of these comparisons: a sentence for each metric."""
    by_metric: defaultdict[str, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        by_metric[comparison.metric.key].append(comparison)
    for each in by_metric.values():
        pairs = sorted({c.pairs for c in each})
        if pairs[-1] == 0:  # no seed is common: nothing was meant to be compared
            continue
        if pairs[-1] < LEAST_PAIRS:
            few = counted(pairs[-1], each[0].unit)
            yield f"With {few}, this run finds no difference, however large: that takes {LEAST_PAIRS} or more."
            continue
        given = [
            f"{pairs[0]} to {counted(pairs[-1], each[0].unit)}"
            if len(pairs) > 1
            else counted(pairs[0], each[0].unit),
            counted(each[0].of // looks, "comparison"),
            *([f"{looks} looks"] if looks > 1 else []),
        ]
        yield (
            f"With {alternatives(given, 'and')}, this run finds {_found(each)}; smaller ones may go unnoticed."
            f"{'' if any(c.spread is not None for c in each) else UNKNOWN_SPREAD}"
        )


def _found(comparisons: Sequence[Comparison]) -> str:
    """Returns the smallest differences, how often they are found, and if what holds."""
    often, metric = "four times out of five", comparisons[0].metric
    telling = [c for c in comparisons if c.pairs >= LEAST_PAIRS]
    known = [(c, c.spread) for c in telling if c.spread is not None]
    if not known:
        found = [detectable(c.pairs, c.of) for c in telling]
        return f"{_range(found, 'spreads')} {often}"
    found = [detectable(c.pairs, c.of, spread) for c, spread in known]
    whence = [*dict.fromkeys(c.known_from for c, _ in known)]
    several = "stated and in earlier runs" if "stated" in whence else "in earlier runs"
    condition = f"if the differences spread as {whence[0] if len(whence) == 1 else several}"
    some = (
        f" (the spread of the other {len(telling) - len(known)} is not known)" if len(known) < len(telling) else ""
    )
    if metric.ratio:
        return f"{_range([math.exp(each) for each in found], '', 'factor')} {often}, {condition}{some}"
    return f"{_range(found, metric.points)} {often}, {condition}{some}"


def _range(values: Sequence[float], unit: str, noun: str = "difference") -> str:
    """Formats `a difference of 0.6 points`, or `differences of 0.3 to 1.6 points, depending on …,`."""
    low, high = (f"{float(f'{value:.2g}'):,g}" for value in (min(values), max(values)))
    if low == high:
        return f"a {noun} of {with_unit(low, unit)}"
    return f"{noun}s of {low} to {high} {unit}".rstrip() + ", depending on the comparison,"


def _earlier(pairs: Sequence[tuple[Case, Case]], out: Path) -> dict[tuple[str, str], tuple[float, str]]:
    """Returns the spread of each pair in the newest run that has enough seeds of both, and which run that is."""
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for run in islice(reversed(runs_in(out)), RUNS_READ):
        left = [pair for pair in pairs if (pair[0].id, pair[1].id) not in found]
        there = {case.id: _same(run, case) for pair in left for case in pair}
        for one, other in left:
            ours, theirs = there[one.id], there[other.id]
            if ours is None or theirs is None:
                continue
            paired = judge_pair(ours, theirs).paired
            if paired.says_something and paired.varies:
                found[one.id, other.id] = paired.std, f"in {run.parent.name}/{run.name}"
    return found


def _same(run: Path, case: Case) -> CaseResult | None:
    """Returns the result that a run has of a case, whatever its seeds are."""
    result = stored_case(run, case)
    if result is None:
        return None
    there, here = (
        {name: value for name, value in each.deciding().items() if name not in NOT_THE_SPREAD}
        for each in (result.case, case)
    )
    return result if there == here else None
