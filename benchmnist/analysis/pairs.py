"""Chooses the cases to compare with each other; tells which comparisons were named before the results."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchmnist.suites.differences import between, deciding, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case, Group

Family = Literal["primary", "exploratory"]
MOST_PAIRS = 20_000
"""Pairs within groups up to which each is judged and listed: 200 cases of one model have as many."""


@dataclass(frozen=True)
class Pair:
    """Two cases that are compared.

    Attributes:
        one, other: The results; the other is the baseline, the earlier model, or else the earlier case.
        family: `primary` if the comparison was named beforehand, `exploratory` otherwise.
    """

    one: CaseResult
    other: CaseResult
    family: Family = "primary"


class CasePair(NamedTuple):
    """Two cases that are to be compared, as in Pair."""

    one: Case
    other: Case
    family: Family = "primary"


def are_more(most: int, cases: Iterable[Case]) -> bool:
    """Tells whether cases have more than so many pairs within their groups, compared or not."""
    sizes = Counter(case.group for case in cases if not case.aside)
    return sum(math.comb(size, 2) for size in sizes.values()) > most


def compared(results: Sequence[CaseResult], metric: Metric | None = None) -> list[Pair]:
    """Returns the pairs of results that are compared, primary ones first: see `compared_cases`.

    Args:
        results: The results of a run.
        metric: The metric that they are compared by.
    """
    of = {id(result.case): result for result in results}
    pairs = compared_cases([result.case for result in results], metric)
    return [Pair(of[id(pair.one)], of[id(pair.other)], pair.family) for pair in pairs]


def compared_cases(cases: Sequence[Case], metric: Metric | None = None) -> list[CasePair]:
    """Returns every pair of cases that differ in one thing, primary ones first, without those that are aside.

    That one thing is the method (the optimizer with its schedule) or the model. A pair that differs in anything
    else that decides its results is not compared: see `unequal`. Primary are the comparisons that the suite names
    under [[compare]]; without any, those with the baseline; in a group without its baseline, all. If that leaves
    none, all pairs are primary.

    The points of one optimizer's sweep are compared with the baseline, and not with each other, unless the suite
    names them under [[compare]].

    Args:
        cases: The cases of a run.
        metric: The metric that they are compared by; those that are no times ignore NOT_LEARNING.
    """
    counted = [case for case in cases if not case.aside]
    decided = {id(case): deciding(case, metric) for case in counted}

    def are_equal(one: Case, other: Case) -> bool:
        return not between(one, other, decided[id(one)], decided[id(other)])

    found = [pair for pair in _within_groups(counted) if are_equal(*pair)]
    found += along_models(counted, are_equal)
    if any(case.compared_with is not None for case in counted):
        by_id = {case.id: case for case in counted}
        named = [(one, by_id[other]) for one in counted for other in one.compared_with or () if other in by_id]
        primary = [CasePair(*pair) for pair in named if are_equal(*pair)]
        known = {frozenset((pair.one.id, pair.other.id)) for pair in primary}
        others = [pair for pair in found if frozenset(case.id for case in pair) not in known]
        return primary + [CasePair(*pair, "exploratory") for pair in others]
    held = {(case.group, case.method) for case in counted}
    primary = [CasePair(*pair) for pair in found if is_primary(*pair, held)]
    others = [pair for pair in found if not is_primary(*pair, held)]
    return primary + [CasePair(*pair, "exploratory" if primary else "primary") for pair in others]


def number_of_pairs(cases: Sequence[Case]) -> dict[Family, int]:
    """Returns the number of the pairs of `compared_cases`, by their family, without cases that nothing judges."""
    cases = [case for case in cases if case.judged_by is not None]
    if are_more(MOST_PAIRS, cases):
        from benchmnist.analysis.many_pairs import ManyPairs

        return ManyPairs(cases).number
    number: Counter[Family] = Counter(pair.family for pair in compared_cases(cases))
    return {"primary": number["primary"], "exploratory": number["exploratory"]}


def unequal(results: Sequence[CaseResult], metric: Metric | None = None) -> Iterator[tuple[Pair, tuple[str, ...]]]:
    """Yields each case that is not compared with its baseline because more than the method differs, and what."""
    counted = [result for result in results if not result.case.aside]
    baselines = {(r.case.group, r.case.method): r for r in counted}
    for one in counted:
        other = baselines.get((one.case.group, one.case.baseline or ""))
        if other is not None and other is not one and (differing := differences(one.case, other.case, metric)):
            yield Pair(one, other), differing


def _within_groups(cases: Sequence[Case]) -> Iterator[tuple[Case, Case]]:
    groups: dict[object, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    for members in groups.values():
        for earlier, later in itertools.combinations(members, 2):
            one, other = (earlier, later) if later.method == earlier.baseline else (later, earlier)
            if other.method == one.baseline or not _of_one_sweep(one, other):
                yield one, other


def _of_one_sweep(one: Case, other: Case) -> bool:
    """Tells whether two cases are points of one sweep: the same names, with other variants."""

    def names(case: Case) -> tuple[str, ...]:
        return tuple(part.name for part in case.parts.values())

    def variants(case: Case) -> tuple[str, ...]:
        return tuple(part.variant for part in case.parts.values())

    return names(one) == names(other) and variants(one) != variants(other)


def along_models(cases: Sequence[Case], are_equal: Callable[[Case, Case], bool]) -> Iterator[tuple[Case, Case]]:
    """Yields each case with the last one before it that differs in nothing but the model."""
    methods: dict[object, list[Case]] = {}
    for later in cases:
        before = methods.setdefault((later.dataset.label, later.label, later.method), [])
        for earlier in reversed(before):
            if later.model.label != earlier.model.label and are_equal(later, earlier):
                yield later, earlier
                break
        before.append(later)


def is_primary(one: Case, other: Case, there: Collection[tuple[Group, str]]) -> bool:
    """Tells whether a pair is with the baseline, or in a group without it; `there`: the methods of each group."""
    if one.group != other.group:
        return False
    return other.method == one.baseline or (one.group, one.baseline) not in there
