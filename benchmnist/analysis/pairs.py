"""Which cases are compared with each other, and which of these comparisons were named before the results."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.metrics import TARGET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Case

Family = Literal["primary", "exploratory"]

NOT_LEARNING = frozenset({"engine", "reference"})
"""Fields of a case that change its times only."""


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


def compared(results: Sequence[CaseResult], metric: Metric | None = None) -> list[Pair]:
    """Returns every pair of cases that differ in one thing, primary ones first, without those that are aside.

    That one thing is the method (the optimizer with its schedule) or the model. A pair that differs in anything
    else that decides its results is not compared: see `unequal`. Primary are the comparisons that the suite names
    under [[compare]]; without any, those with the baseline; in a group without its baseline, all. If that leaves
    none, all pairs are primary.

    The points of one optimizer's sweep are compared with the baseline, and not with each other.

    Args:
        results: The results of a run.
        metric: The metric that they are compared by; those that are no times ignore NOT_LEARNING.
    """
    counted = [result for result in results if not result.case.aside]
    deciding = {id(result): _deciding(result.case, metric) for result in counted}
    named = any(result.case.compared_with is not None for result in counted)
    found = []
    for one, other in itertools.chain(_within_groups(counted), _along_models(counted, deciding)):
        if not _between(one.case, other.case, deciding[id(one)], deciding[id(other)]):
            if named and (one.id in (other.case.compared_with or ())):
                one, other = other, one  # noqa: PLW2901 - the suite says which is held against which
            found.append(
                Pair(one, other, "primary" if _is_primary(one, other, counted, named=named) else "exploratory")
            )
    if named:
        there = {frozenset((pair.one.id, pair.other.id)) for pair in found}
        by_id = {result.id: result for result in counted}
        for one in counted:
            others = [other for other in one.case.compared_with or () if other in by_id]
            found += [Pair(one, by_id[other]) for other in others if frozenset((one.id, other)) not in there]
    elif not any(pair.family == "primary" for pair in found):
        found = [Pair(pair.one, pair.other) for pair in found]
    return sorted(found, key=lambda pair: pair.family != "primary")


def unequal(results: Sequence[CaseResult], metric: Metric | None = None) -> Iterator[tuple[Pair, tuple[str, ...]]]:
    """Yields each case that is not compared with its baseline because more than the method differs, and what."""
    counted = [result for result in results if not result.case.aside]
    baselines = {(r.case.group, r.case.method): r for r in counted}
    for one in counted:
        other = baselines.get((one.case.group, one.case.baseline or ""))
        if other is not None and other is not one and (differing := differences(one.case, other.case, metric)):
            yield Pair(one, other), differing


def differences(one: Case, other: Case, metric: Metric | None = None) -> tuple[str, ...]:
    """Returns what else decides two cases that are meant to differ in one thing: `epochs (5 and 1)`.

    Meant to differ are the methods of cases of one group; of other cases, the models. The seeds do not count: only
    common ones are compared.
    """
    return tuple(_between(one, other, _deciding(one, metric), _deciding(other, metric)))


def _deciding(case: Case, metric: Metric | None) -> dict[str, Any]:
    times = metric is not None and metric.ratio
    ignored = {"seeds", "metrics"} | (set() if times else NOT_LEARNING)
    found = {name: value for name, value in case.deciding().items() if name not in ignored}
    return found | ({"target_accuracy": case.target_accuracy} if metric == TARGET_SECONDS else {})


def _between(one: Case, other: Case, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    meant = {"model"}
    if one.model.label == other.model.label:
        meant = {"optimizer", "schedule"} | ({"engine"} if one.axes != other.axes else set())
    elif one.tuned and other.tuned:
        meant |= {"optimizer"}  # by one rule: each its own settings
    meant |= {*one.chosen, *other.chosen}
    return [
        f"{name.replace('_', ' ')} ({_shown(ours.get(name))} and {_shown(theirs.get(name))})"
        for name in dict.fromkeys([*ours, *theirs])
        if name not in meant and ours.get(name) != theirs.get(name)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "use" in value:
        params = ", ".join(f"{name}={given}" for name, given in value["params"].items())
        return f"{value['use']}({params})" if params else str(value["use"])
    return "none" if value is None else str(value)


def _within_groups(results: Sequence[CaseResult]) -> Iterator[tuple[CaseResult, CaseResult]]:
    groups: dict[object, list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    for members in groups.values():
        for earlier, later in itertools.combinations(members, 2):
            to_baseline = later.case.method == earlier.case.baseline
            one, other = (earlier, later) if to_baseline else (later, earlier)
            if other.case.method == one.case.baseline or not _of_one_sweep(one.case, other.case):
                yield one, other


def _of_one_sweep(one: Case, other: Case) -> bool:
    """Whether two cases are points of one sweep: the same names, with other variants."""

    def names(case: Case) -> tuple[str, ...]:
        return tuple(part.name for part in case.parts.values())

    def variants(case: Case) -> tuple[str, ...]:
        return tuple(part.variant for part in case.parts.values())

    return names(one) == names(other) and variants(one) != variants(other)


def _along_models(
    results: Sequence[CaseResult], deciding: Mapping[int, Mapping[str, Any]]
) -> Iterator[tuple[CaseResult, CaseResult]]:
    """Yields each case with the last one before it that differs in nothing but the model."""
    methods: dict[object, list[CaseResult]] = {}
    for later in results:
        before = methods.setdefault((later.case.dataset.label, later.case.label, later.case.method), [])
        for earlier in reversed(before):
            if later.case.model.label != earlier.case.model.label and not _between(
                later.case, earlier.case, deciding[id(later)], deciding[id(earlier)]
            ):
                yield later, earlier
                break
        before.append(later)


def _is_primary(one: CaseResult, other: CaseResult, results: Sequence[CaseResult], *, named: bool) -> bool:
    if named:
        return other.id in (one.case.compared_with or ())
    if one.case.group != other.case.group:
        return False
    if other.case.method == one.case.baseline:
        return True
    return not any(r.case.group == one.case.group and r.case.method == one.case.baseline for r in results)
