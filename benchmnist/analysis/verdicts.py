"""Verdicts on one case vs another: better, worse, equivalent, or undecided. Each is read off its interval."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchmnist.analysis.bits import same_trainings
from benchmnist.analysis.figures import (
    compared_figures,
    has_metric,
    is_compared,
    lost_seeds,
    metrics_of,
    seed_figures,
)
from benchmnist.analysis.pairs import MOST_PAIRS, Pair, are_more, compared
from benchmnist.analysis.statistics import LEAST_PAIRS, Paired, difference
from benchmnist.analysis.units import by_search
from benchmnist.metrics import comparable, find_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmnist.analysis.many_pairs import ManyPairs, Members
    from benchmnist.analysis.many_verdicts import Told
    from benchmnist.analysis.pairs import CasePair, Family
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case, Group

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

    @cached_property
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
        """Tells whether a difference is shown, however small: 0 is outside the interval."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    @cached_property
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
        """Tells whether this shows that `subject`, one of the two, is better."""
        return self.word == ("better" if self.one is subject else "worse")


class Verdicts(list[Verdict]):
    """The verdicts of a run that have a line of their own, the primary ones first.

    Attributes:
        many: All comparisons, where they are too many to be objects; None if all of them are here.
    """

    def __init__(self, verdicts: Iterable[Verdict], many: Many | None = None) -> None:
        super().__init__(verdicts)
        self.many = many

    def left_out(self, family: Family | None = None) -> int:
        """Returns how many verdicts of a family, of both by default, have no line of their own."""
        if self.many is None:
            return 0
        number = self.many.pairs.number
        if family is None:
            return sum(number.values()) - len(self)
        return number[family] - sum(v.family == family for v in self)

    def left_out_among(self, matches: Callable[[str], object]) -> int:
        """Returns how many verdicts on two cases whose ids match have no line of their own."""
        if self.many is None:
            return 0
        there = sum(bool(matches(v.one.id) and matches(v.other.id)) for v in self)
        return self.many.pairs.number_among(lambda case: bool(matches(case.id))) - there


class WithoutSeeds(NamedTuple):
    """The comparisons that lack seeds, of those that are too many to be objects.

    Attributes:
        few: The results with a comparison that lacks nothing but seeds.
        most: Most seeds that both results of such a comparison have; 0 without one.
        apart: The results that have seeds enough, but too few in common with another.
        number: Number of the pairs of such results.
        first: Verdicts on some of these pairs.
    """

    few: list[CaseResult]
    most: int
    apart: list[CaseResult]
    number: int
    first: list[Verdict]


@dataclass(frozen=True)
class Many:
    """The comparisons of very many cases, which are judged when somebody asks for them.

    Attributes:
        pairs: Which cases are compared.
        results: Their results, by case id.
        metric: The metric; None for what each is judged by.
        looks: How often the results are looked at.
        seeds: What is compared of each, by case id.
    """

    pairs: ManyPairs
    results: Mapping[str, CaseResult]
    metric: Metric | None
    looks: int
    seeds: Mapping[str, _Seeds]

    def judge(self, pair: CasePair) -> Verdict:
        """Judges two cases that are compared."""
        one, other = self.results[pair.one.id], self.results[pair.other.id]
        verdict = _compared(
            Pair(one, other, pair.family),
            self.metric or judging(pair.one),
            self.seeds[one.id],
            self.seeds[other.id],
        )
        return replace(verdict, of=self.of(pair.family))

    def of(self, family: Family) -> int:
        """Returns the number of comparisons that share the chance of a mistake."""
        number = self.pairs.number
        return self.looks * (number["primary"] if family == "primary" else sum(number.values()))

    def find(self, one: CaseResult, other: CaseResult) -> Verdict | None:
        """Returns the verdict on two results; None if they are not compared."""
        pair = self.pairs.find(one.case, other.case)
        return None if pair is None else self.judge(pair)

    def listed(self) -> list[Verdict]:
        """Returns the verdicts that `main_verdicts` chooses, and those with a baseline."""
        return [self.judge(pair) for pair in self.pairs.listed(self._next)]

    @property
    def next_to_each_other(self) -> set[frozenset[str]]:
        """The ids of each two cases that are next to each other in the ranking of their group, and compared."""
        cases = {group: members.cases for group, members in self.pairs.groups.items()}
        return {frozenset((cases[g][i].id, cases[g][j].id)) for g, pairs in self._next.items() for i, j in pairs}

    @cached_property
    def _next(self) -> dict[Group, list[tuple[int, int]]]:
        return {group: self._next_in(group) for group in self.pairs.groups}

    def _next_in(self, group: Group) -> list[tuple[int, int]]:
        members = self.pairs.groups[group]
        there = [position for position, has in enumerate(self.pairs.has_pairs(group)) if has]
        there.sort(key=lambda i: rank(self.results[members.cases[i].id], self.metric))
        return members.compared_among([(min(pair), max(pair)) for pair in itertools.pairwise(there)])

    def without_seeds(self, group: Group, named: int) -> WithoutSeeds:
        """Finds the comparisons of a group that lack seeds, with verdicts on so many at most."""
        from benchmnist.analysis.many_verdicts import lacking

        members = self.pairs.groups[group]
        there = [self.results[case.id] for case in members.cases]
        found = lacking(
            members,
            [frozenset(self.seeds[result.id].values) for result in there],
            [frozenset(result.case.seeds) for result in there],
            [bool(result.trials) for result in there],
            named,
        )
        few, apart = ([*itertools.compress(there, which.tolist())] for which in (found.few, found.apart))
        verdicts = (self.find(there[i], there[j]) for i, j in found.first)
        return WithoutSeeds(few, found.most, apart, found.number, [v for v in verdicts if v is not None])

    def told(self, group: Group) -> Told:
        """Returns what all verdicts of a group tell of each case, as those of the family of all pairs."""
        from benchmnist.analysis.many_verdicts import told

        members = self.pairs.groups[group]
        metric = self.metric or judging(members.cases[0])
        own = [
            case.margin if case.margin is not None and metric == case.primary else math.inf
            for case in members.cases
        ]
        found = told(
            members,
            [self.seeds[case.id].values for case in members.cases],
            [self.seeds[case.id].lost for case in members.cases],
            own,
            higher=metric.better == "higher",
            of=max(1, self.of("exploratory")),
            primary=None if self.pairs.names_some else max(1, self.of("primary")),
        )
        found.judged[self._identical(members)] = True
        return found

    def _identical(self, members: Members) -> list[int]:
        """Returns the positions of the cases that are identical to another on fewer than LEAST_PAIRS seeds."""
        completed = {frozenset(self.seeds[case.id].values) for case in members.cases}
        if all(len(a & b) >= LEAST_PAIRS for a, b in itertools.combinations_with_replacement(completed, 2)):
            return []
        same: dict[object, list[int]] = {}  # trainings that are the same have the same losses
        for position, case in enumerate(members.cases):
            for trial in self.results[case.id].trials:
                if trial.seed in self.seeds[case.id].values:
                    losses = tuple(str(epoch.train_loss) for epoch in trial.epochs)
                    same.setdefault((trial.seed, losses), []).append(position)
        found: set[int] = set()
        for positions in same.values():
            for i, j in itertools.combinations(positions, 2):
                if not {i, j} <= found and members.is_compared(i, j) and self._are_identical(members, i, j):
                    found |= {i, j}
        return sorted(found)

    def _are_identical(self, members: Members, i: int, j: int) -> bool:
        verdict = self.find(*(self.results[members.cases[each].id] for each in (i, j)))
        return verdict is not None and not verdict.paired.says_something and verdict.word == "identical"


def judge(
    results: Sequence[CaseResult], metric: Metric | str | None = None, *, looks: int = 1, most: int = MOST_PAIRS
) -> Verdicts:
    """Judges each pair of cases that differ in one thing (see `pairs.compared`), the primary ones first.

    If settings were chosen by several searches, a search counts as one, and not a seed (see `by_search`).

    Times of cases that were trained in a stack are not judged: each trial has an equal share of the time of all.
    Nor are accuracy and loss at the end of trials that end by what they reach.

    By default, each pair is judged by its `Case.judged_by`; two cases with different ones are not compared.

    The primary comparisons are one family. The exploratory ones are another, whose number includes the primary
    ones, so that a statement on all pairs, such as which case is the best, can be made from it. With a chance of
    0.95, all intervals of a family hold at every look, and so all verdicts are true; differences are taken to be
    normally distributed.

    Of more than `most` pairs within the groups, only these verdicts are in the list: on the pairs that the suite
    names, with a baseline, between models, and next to each other in the ranking of a group. The families are
    those of all comparisons.

    Args:
        results: The results of a run.
        metric: The metric, or its key.
        looks: How often the results are looked at while seeds are added, as announced beforehand.
        most: Number of pairs up to which each has a verdict in the list.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    results = by_search(results)
    chosen = None if metric is None else find_metric(metric, comparable(metrics_of(results)))
    results = [result for result in results if is_compared(result, chosen or result.case.judged_by)]
    if are_more(most, (result.case for result in results)):
        return _judge_many(results, chosen, looks)
    seeds = {id(result): _Seeds.of(result, chosen or judging(result.case)) for result in results}
    made = [
        _compared(pair, chosen or judging(pair.one.case), seeds[id(pair.one)], seeds[id(pair.other)])
        for pair in compared(results, chosen)
        if chosen or pair.one.case.judged_by == pair.other.case.judged_by
    ]
    primary = sum(v.family == "primary" for v in made)
    return Verdicts(replace(v, of=looks * (primary if v.family == "primary" else len(made))) for v in made)


def _judge_many(results: Sequence[CaseResult], metric: Metric | None, looks: int) -> Verdicts:
    from benchmnist.analysis.many_pairs import ManyPairs

    many = Many(
        ManyPairs((result.case for result in results), metric, apart=metric is None),
        {result.id: result for result in results},
        metric,
        looks,
        {result.id: _Seeds.of(result, metric or judging(result.case)) for result in results},
    )
    return Verdicts(many.listed(), many)


def judge_pair(one: CaseResult, other: CaseResult, metric: Metric | str | None = None, *, of: int = 1) -> Verdict:
    """Judges any two cases that were chosen by their means from `of` pairs.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    judged = find_metric(metric or judging(one.case), comparable(metrics_of([one, other])))
    pair = Pair(one, other, "exploratory" if of > 1 else "primary")
    return replace(_compared(pair, judged, _Seeds.of(one, judged), _Seeds.of(other, judged)), of=of)


def on_all_pairs(verdicts: Sequence[Verdict]) -> Callable[[CaseResult, CaseResult], Verdict | None]:
    """Returns a function that finds the verdict on two results, as one of the family of all pairs.

    A claim on all pairs, such as which case is the best, needs the wide intervals of the family of all pairs.
    """
    many = verdicts.many if isinstance(verdicts, Verdicts) else None
    every = max((v.of for v in verdicts), default=1)
    there = {frozenset((v.one.id, v.other.id)): v for v in verdicts}

    def find(one: CaseResult, other: CaseResult) -> Verdict | None:
        found = there.get(frozenset((one.id, other.id)))
        if found is None and many is not None:
            found = many.find(one, other)
        return None if found is None else replace(found, of=every if many is None else many.of("exploratory"))

    return find


def main_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Returns the verdicts for a table: the primary ones, the next in the ranking, and the previous model."""
    many = verdicts.many if isinstance(verdicts, Verdicts) else None
    next_to = _next_to_each_other(verdicts) if many is None else many.next_to_each_other
    return [
        v
        for v in verdicts
        if v.family == "primary"
        or v.one.case.group != v.other.case.group
        or frozenset((v.one.id, v.other.id)) in next_to
    ]


def _next_to_each_other(verdicts: Sequence[Verdict]) -> set[frozenset[str]]:
    """Returns the ids of each two cases that are next to each other in the ranking of their group."""
    ranks = {id(r): rank(r, v.metric) for v in verdicts for r in (v.one, v.other)}
    ranked: dict[object, list[CaseResult]] = {}
    for result in {id(r): r for v in verdicts for r in (v.one, v.other)}.values():
        ranked.setdefault(result.case.group, []).append(result)
    next_to = set()
    for members in ranked.values():
        members.sort(key=lambda r: ranks[id(r)])
        next_to |= {frozenset((r.id, after.id)) for r, after in itertools.pairwise(members)}
    return next_to


def judging(case: Case) -> Metric:
    """Returns the metric that a case is judged by; the primary one if it is not judged."""
    return case.judged_by or case.primary


def rank(result: CaseResult, metric: Metric | None = None) -> tuple[bool, int, float]:
    """Returns a sort key by a metric, by default what judges the case: best first, without a figure last.

    A lost seed counts against its case: cases that lost fewer precede those that lost more, whatever their means.
    """
    metric = metric or judging(result.case)
    if not has_metric(result, metric):
        return True, 0, 0.0
    values = [*(compared_figures if metric.ratio else seed_figures)(result, metric).values()]
    lost = len(lost_seeds(result, metric))
    if not values:
        return True, lost, 0.0
    return False, lost, statistics.fmean(values) * (-1 if metric.better == "higher" else 1)


class _Seeds(NamedTuple):
    """The compared part of a case: its value for each seed that completed, and the seeds that it lost."""

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
    lost = ours.lost and ours.lost & theirs.values.keys(), theirs.lost and theirs.lost & ours.values.keys()
    margins = [r.case.margin for r in (pair.one, pair.other) if r.case.margin is not None]
    margin = min(margins, default=None) if metric == pair.one.case.primary else None
    return Verdict(pair.one, pair.other, metric, paired, margin, pair.family, lost=lost)
