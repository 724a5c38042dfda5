"""Verdicts on one case vs another: better, worse, equivalent, or undecided. Each is read off its interval."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchmnist.analysis.bits import same_trainings
from benchmnist.analysis.figures import compared_figures, has_metric, lost_seeds, metrics_of, seed_figures
from benchmnist.analysis.pairs import Pair, compared
from benchmnist.analysis.statistics import LEAST_PAIRS, Paired, difference
from benchmnist.analysis.units import by_search
from benchmnist.metrics import comparable, find_metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.analysis.pairs import Family
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

Word = Literal[
    "identical", "equivalent", "better", "worse", "no difference shown", "lost seeds", "too few seeds"
]  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """One case compared with another, seed by seed.

    Attributes:
        one, other: The results.
        metric: The compared metric; for a `ratio`, such as times, its natural logarithms are compared.
        paired: One figure minus the other, for each seed that completed in both.
        margin: Largest difference that counts as none, in the unit of the metric; the smaller one if the suite
            gives each of the two another, None if it gives none.
        family: `primary` if the comparison was named beforehand, `exploratory` otherwise.
        of: Number of comparisons that share the chance of a mistake: those of the family, at each look.
        lost: Seeds that only the one lost, and those that only the other lost: they diverged or failed.
    """

    one: CaseResult
    other: CaseResult
    metric: Metric
    paired: Paired
    margin: float | None = None
    family: Family = "primary"
    of: int = 1
    lost: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the mean difference; all of a family hold at once with a chance of 0.95.

        None where one of the two lost seeds: what is left was chosen by its results, and its mean is another one.
        """
        return None if any(self.lost) else self.paired.interval(self.of)

    @property
    def p(self) -> float | None:
        """P value of the difference, corrected for the family; None where there is no interval."""
        return None if any(self.lost) else self.paired.p(self.of)

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is shown, however small: 0 is outside the interval."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    @property
    def word(self) -> Word:
        """The verdict: what the interval shows, and nothing where there are too few seeds, or one lost some.

        `equivalent` precedes `better` and `worse`: a difference shown to be smaller than the suite's margin
        counts as none, however certain it is. Seeds that were lost could have changed any word: what a case is
        without its worst seeds, or beside one without its best, is not what was asked.
        """
        lost = self.lost[0] | self.lost[1]
        if lost:
            return "lost seeds" if len(self.common_seeds) >= LEAST_PAIRS else "too few seeds"
        if not self.paired.says_something:
            same = self.paired.identical and same_trainings(self.one, self.other)
            return "identical" if same else "too few seeds"
        if self.paired.identical:
            return "identical"
        if self.interval is None:
            return "no difference shown"
        low, high = self.interval
        if self.margin is not None and -self.margin < low and high < self.margin:
            return "equivalent"
        if not self.excludes_zero:
            return "no difference shown"
        return "better" if (low > 0) == (self.metric.better == "higher") else "worse"

    @property
    def common_seeds(self) -> frozenset[int]:
        """The seeds that both cases were to be trained with."""
        return frozenset(self.one.case.seeds) & frozenset(self.other.case.seeds)

    @property
    def margin_text(self) -> str:
        """The margin in words, `0.5 points`; only where there is one."""
        return self.metric.margin(self.margin or 0.0)

    @property
    def turned(self) -> Verdict:
        """The same verdict with the cases in the other order."""
        paired = Paired(tuple(-value for value in self.paired.values))
        return replace(self, one=self.other, other=self.one, paired=paired, lost=self.lost[::-1])

    def beats(self, subject: CaseResult) -> bool:
        """Whether this shows that `subject`, one of the two, is better."""
        return self.word == ("better" if self.one is subject else "worse")


def judge(results: Sequence[CaseResult], metric: Metric | str | None = None, *, looks: int = 1) -> list[Verdict]:
    """Judges each pair of cases that differ in one thing (see `pairs.compared`), the primary ones first.

    If settings were chosen by several searches, a search counts as one, and not a seed (see `by_search`).

    By default, each pair is judged by its primary metric; two cases with different ones are not compared.

    The primary comparisons are one family. The exploratory ones are another, whose number includes the primary
    ones, so that a statement on all pairs, such as which case is the best, can be made from it. With a chance of
    0.95, all intervals of a family hold at every look, and so all verdicts are true; differences are taken to be
    normally distributed.

    Args:
        results: The results of a run.
        metric: The metric, or its key.
        looks: How often the results are looked at while seeds are added, as announced beforehand.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    results = by_search(results)
    chosen = None if metric is None else find_metric(metric, comparable(metrics_of(results)))
    seeds = {id(result): _Seeds.of(result, chosen or result.case.primary) for result in results}
    made = [
        _compared(pair, chosen or pair.one.case.primary, seeds[id(pair.one)], seeds[id(pair.other)])
        for pair in compared(results, chosen)
        if chosen or pair.one.case.primary == pair.other.case.primary
    ]
    primary = sum(v.family == "primary" for v in made)
    return [replace(v, of=looks * (primary if v.family == "primary" else len(made))) for v in made]


def judge_pair(one: CaseResult, other: CaseResult, metric: Metric | str | None = None, *, of: int = 1) -> Verdict:
    """Judges any two cases that were chosen by their means from `of` pairs.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    judged = find_metric(metric or one.case.primary, comparable(metrics_of([one, other])))
    pair = Pair(one, other, "exploratory" if of > 1 else "primary")
    return replace(_compared(pair, judged, _Seeds.of(one, judged), _Seeds.of(other, judged)), of=of)


def on_all_pairs(verdicts: Sequence[Verdict]) -> dict[frozenset[str], Verdict]:
    """Returns the verdicts as those of one family, by the ids of their cases.

    A claim on all pairs, such as which case is the best, needs the wide intervals of the family of all pairs.
    """
    every = max((v.of for v in verdicts), default=1)
    return {frozenset((v.one.id, v.other.id)): replace(v, of=every) for v in verdicts}


def main_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Returns the verdicts for a table: the primary ones, the next in the ranking, and the previous model."""
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
        if v.family == "primary"
        or v.one.case.group != v.other.case.group
        or frozenset((v.one.id, v.other.id)) in next_to
    ]


def rank(result: CaseResult, metric: Metric | None = None) -> tuple[bool, int, float]:
    """Returns a sort key by a metric (by default the primary one): the best first, cases without a figure last.

    A lost seed counts against its case: cases that lost fewer precede those that lost more, whatever their means.
    """
    metric = metric or result.case.primary
    if not has_metric(result, metric):
        return True, 0, 0.0
    values = [*(compared_figures if metric.ratio else seed_figures)(result, metric).values()]
    lost = len(lost_seeds(result, metric))
    if not values:
        return True, lost, 0.0
    return False, lost, statistics.fmean(values) * (-1 if metric.better == "higher" else 1)


class _Seeds(NamedTuple):
    """What is compared of a case: its value for each seed that completed, and the seeds that it lost."""

    values: Mapping[int, float]
    lost: frozenset[int]

    @classmethod
    def of(cls, result: CaseResult, metric: Metric) -> _Seeds:
        if not has_metric(result, metric):
            return cls({}, frozenset())
        return cls(compared_figures(result, metric), lost_seeds(result, metric))


def _compared(pair: Pair, metric: Metric, ours: _Seeds, theirs: _Seeds) -> Verdict:
    both = (seed for seed in ours.values if seed in theirs.values)
    paired = Paired(tuple(difference(ours.values[seed], theirs.values[seed]) for seed in both))
    lost = ours.lost & theirs.values.keys(), theirs.lost & ours.values.keys()
    margins = [r.case.margin for r in (pair.one, pair.other) if r.case.margin is not None]
    margin = min(margins, default=None) if metric == pair.one.case.primary else None
    return Verdict(pair.one, pair.other, metric, paired, margin, pair.family, lost=lost)
