"""Verdicts on one case vs another: better, worse, equivalent, or undecided."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from benchmnist.analysis.figures import compared_figures, has_metric, metrics_of, seed_figures
from benchmnist.analysis.statistics import LEVEL, Paired, holm
from benchmnist.metrics import comparable, find_metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

Word = Literal["better", "worse", "equivalent", "no difference shown", "more seeds", "too few seeds"]

MOST_MORE_SEEDS = 30
"""Additional seeds at most that a verdict suggests."""


@dataclass(frozen=True)
class Verdict:
    """One case compared with another, seed by seed.

    Attributes:
        one, other: The results.
        metric: The compared metric; for a `ratio`, such as times, its natural logarithms are compared.
        paired: One figure minus the other, for each seed that completed in both.
        margin: Largest difference that counts as none, in points; None if the suite gives none.
        p: p value of the difference, corrected for all comparisons of its family (Holm); None with too few seeds.
        equivalence_p: p value of the difference being less than the margin, likewise corrected.
        level: Level that the smallest p value of the family must not exceed.
    """

    one: CaseResult
    other: CaseResult
    metric: Metric
    paired: Paired
    margin: float | None = None
    p: float | None = None
    equivalence_p: float | None = None
    level: float = LEVEL

    @cached_property
    def more(self) -> int | None:
        """Approximate number of additional seeds for a verdict; None if unknown or too many."""
        needed = self.paired.pairs_needed(self.level, self.paired.n + MOST_MORE_SEEDS)
        return None if needed is None else max(1, needed - self.paired.n)

    @property
    def word(self) -> Word:
        """The verdict, in a word or two.

        `equivalent` precedes `better` and `worse`: a difference shown to be smaller than the suite's margin
        counts as none, however certain it is.
        """
        if self.p is None:
            return "too few seeds"
        if self.equivalence_p is not None and self.equivalence_p <= LEVEL:
            return "equivalent"
        if self.p <= LEVEL:
            return "better" if (self.paired.mean > 0) == (self.metric.better == "higher") else "worse"
        return "no difference shown" if self.more is None else "more seeds"

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the mean difference, with a confidence of 0.95, uncorrected."""
        return self.paired.interval


def judge(results: Sequence[CaseResult], metric: Metric | str | None = None) -> list[Verdict]:
    """Judges each pair of cases that differ in one thing (see `pairs`), as one family.

    By default, each pair is judged by its primary metric; two cases with different ones are not compared.

    So the probability that any `better` or `worse` among them is a mistake is at most LEVEL, if differences are
    normally distributed; likewise for `equivalent`.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    chosen = None if metric is None else find_metric(metric, comparable(metrics_of(results)))
    figures = {
        id(result): compared_figures(result, metric) if has_metric(result, metric) else {}
        for result in results
        for metric in [chosen or result.case.primary]
    }
    made = [
        _compared(one, other, chosen or one.case.primary, figures[id(one)], figures[id(other)])
        for one, other in pairs(results)
        if chosen or one.case.primary == other.case.primary
    ]
    testable = [v for v in made if v.paired.says_something]
    corrected = dict(zip(map(id, testable), holm([v.paired.p or 0.0 for v in testable]), strict=True))
    with_margin = [v for v in testable if v.margin is not None]
    ties = [v.paired.equivalence_p(v.margin or 0.0) or 0.0 for v in with_margin]
    equivalence = dict(zip(map(id, with_margin), holm(ties), strict=True))
    return [
        replace(
            v,
            p=corrected.get(id(v)),
            equivalence_p=equivalence.get(id(v)),
            level=LEVEL / max(1, len(testable)),
        )
        for v in made
    ]


def judge_pair(one: CaseResult, other: CaseResult, metric: Metric | str | None = None, *, of: int = 1) -> Verdict:
    """Judges any two cases that were chosen by their means from `of` pairs.

    The p values are multiplied by `of` (Bonferroni), so that a mistake has at most the probability LEVEL.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    judged = find_metric(metric or one.case.primary, comparable(metrics_of([one, other])))
    v = _compared(one, other, judged, compared_figures(one, judged), compared_figures(other, judged))
    if not v.paired.says_something:
        return v
    equivalence = None if v.margin is None else min(1.0, of * (v.paired.equivalence_p(v.margin) or 0.0))
    return replace(v, p=min(1.0, of * (v.paired.p or 0.0)), equivalence_p=equivalence, level=LEVEL / of)


def pairs(results: Sequence[CaseResult]) -> Iterator[tuple[CaseResult, CaseResult]]:
    """Yields every two cases of one group (with different methods), and of one method (with different models).

    Each model is compared with the previous one in the suite. The second of a pair is the baseline, or else the
    earlier one in the suite. Controls are left out.
    """
    groups: dict[object, list[CaseResult]] = {}
    methods: dict[object, list[CaseResult]] = {}
    for result in results:
        case = result.case
        if not case.control:
            groups.setdefault(case.group, []).append(result)
            methods.setdefault((case.dataset.label, case.label, case.method), []).append(result)
    for members in groups.values():
        for earlier, later in itertools.combinations(members, 2):
            if later.case.method == later.case.baseline:
                yield earlier, later
            else:
                yield later, earlier
    for members in methods.values():
        for earlier, later in itertools.pairwise(members):
            yield later, earlier


def main_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Returns the verdicts for a table: vs the baseline, the next in the ranking, and the previous model."""
    ranks = {id(r): rank(r, v.metric) for v in verdicts for r in (v.one, v.other)}
    ranked: dict[object, list[CaseResult]] = {}
    for result in {id(r): r for v in verdicts for r in (v.one, v.other)}.values():
        ranked.setdefault(result.case.group, []).append(result)
    next_to = set()
    for members in ranked.values():
        members.sort(key=lambda r: ranks[id(r)])
        next_to |= {frozenset((r.id, after.id)) for r, after in itertools.pairwise(members)}
    return [
        v
        for v in verdicts
        if v.one.case.group != v.other.case.group
        or v.other.case.method == v.other.case.baseline
        or frozenset((v.one.id, v.other.id)) in next_to
    ]


def rank(result: CaseResult, metric: Metric | None = None) -> tuple[bool, float]:
    """Returns a sort key by a metric (by default the primary one): the best first, cases without a figure last."""
    metric = metric or result.case.primary
    values = [*seed_figures(result, metric).values()] if has_metric(result, metric) else []
    if not values:
        return True, 0.0
    return False, statistics.fmean(values) * (-1 if metric.better == "higher" else 1)


def _compared(
    one: CaseResult, other: CaseResult, metric: Metric, ours: Mapping[int, float], theirs: Mapping[int, float]
) -> Verdict:
    paired = Paired(tuple(ours[seed] - theirs[seed] for seed in ours if seed in theirs))
    return Verdict(one, other, metric, paired, one.case.margin if metric == one.case.primary else None)
