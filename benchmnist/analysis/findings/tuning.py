"""Findings on tuning: how settings were chosen, reasons to doubt the choice, and where it gained nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import Finding, amount, listed, shortened
from benchmnist.analysis.searches import at_the_edge
from benchmnist.analysis.summary import group_title
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import judge_pair
from benchmnist.extensions.specs import FUNCTION
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.findings.names import Names
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Group

MOST_EDGES = 3
"""Values that a sentence lists at most; each is long."""


def _judged(searches: Sequence[Search], results: Sequence[CaseResult]) -> str:
    """Says what attempts were judged by: a task without data has no examples to hold out."""
    by_target = {bool(search.target) for search in searches}
    how = {
        frozenset({True}): "by the steps to the target, ",
        frozenset({True, False}): "(where trials stop at a target, by the steps to it) ",
    }.get(frozenset(by_target), "")
    return how + _judged_on(results)


def _judged_on(results: Sequence[CaseResult]) -> str:
    without = {r.case.task is not None and r.case.task.use == FUNCTION for r in results if r.case.tuned}
    seeds = "by the seeds of the search alone"
    return {
        frozenset({True}): seeds,
        frozenset({True, False}): f"on held-out training examples, or without data {seeds}",
    }.get(frozenset(without), "on held-out training examples")


def tuned(searches: Sequence[Search], results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Reports how hyperparameters were chosen, and reasons to doubt the choice."""
    if not searches:
        return
    samplers = listed(sorted({search.sampler for search in searches}))
    yield Finding(
        "tuned",
        f"The hyperparameters of each optimizer were chosen {_judged(searches, results)}, in {_budgets(searches)} "
        f"({samplers}). {_trained(searches, names)} then trained with other seeds, and tested on the test set. "
        f"{_luck(searches)}",
        tuple(result.id for result in results if result.case.tuned),
    )
    yield from _edges(searches, names)
    tuned = {result.case.group for result in results if result.case.tuned}
    untuned = [result for result in results if result.case.group in tuned and not result.case.tuned]
    if untuned:
        one = len(untuned) == 1
        yield Finding(
            "not tuned",
            f"{names.of_all(untuned)} {'was' if one else 'were'} not tuned, but "
            f"{'is' if one else 'are'} compared with cases that were.",
            tuple(result.id for result in untuned),
        )


def _trained(searches: Sequence[Search], names: Names) -> str:
    """Returns `All optimizers were`, or which were not trained, since no attempt of theirs completed."""
    lost: dict[str, list[Group]] = {}
    for search in searches:
        if search.best is None:
            lost.setdefault(search.row, []).append((search.dataset, search.model, search.label))
    if not lost:
        return "All optimizers were"
    there: dict[str, list[str]] = {}
    for row, groups in lost.items():
        there.setdefault(names.places(groups), []).append(row)
    rows = listed([f"{listed(methods)} on {places}" for places, methods in there.items()])
    return f"Every attempt of {rows} diverged or failed, so no settings were found. The other optimizers were"


def _edges(searches: Sequence[Search], names: Names) -> Iterator[Finding]:
    """Names the values beyond which nothing was tried: inside their spaces, and at the ends of these."""
    found: dict[bool, list[str]] = {}
    on_levels: dict[tuple[bool, str, str], list[Group]] = {}
    for search in searches:
        group = search.dataset, search.model, search.label
        for edge in at_the_edge(search):
            if group in names.levels:
                on_levels.setdefault((edge.at_end, edge.name, search.row), []).append(group)
            else:
                found.setdefault(edge.at_end, []).append(f"{edge.text} ({search.row} on {group_title(group)})")
    for (at_end, name, row), groups in on_levels.items():
        places = names.places(groups, MOST_EDGES)
        found.setdefault(at_end, []).append(f"{name} of {row} on {counted(len(groups), 'level')} ({places})")
    for at_end, edges in found.items():
        if at_end:
            begins = "The best attempt has a value at the end of its space, so a better one may lie beyond it"
            remedy = "Widen the space, and tune again."
        else:
            begins = "The best attempt has the outermost value that was tried, but its space goes further"
            remedy = "Tune with more attempts (--trials)."
        yield Finding("best at the edge", f"{begins}: {shortened(edges, MOST_EDGES)}. {remedy}")


def _budgets(searches: Sequence[Search]) -> str:
    """Returns `16 attempts`, or where they differ, `16 attempts (sgd), 6 (adam: its whole space)`."""
    of: dict[int, dict[str, None]] = {}
    for search in searches:
        if (search.number or 1) > 1:
            continue  # each repetition has the same budget
        whole = math.prod(math.inf if s.is_range else len(s.values) for s in search.space.values())
        all_of_it = ": its whole space" if len(search.attempts) >= whole else ""
        of.setdefault(len(search.attempts), {})[f"{search.method}{all_of_it}"] = None
    most, *fewer = sorted(of, reverse=True)
    text = counted(most, "attempt")
    if fewer:
        text += f" of {listed([*of[most]])}"
    return listed([text, *(f"{count} of {listed([*of[count]])}" for count in fewer)])


def _luck(searches: Sequence[Search]) -> str:
    """Says whether the luck of the searches is in the intervals."""
    count = max(search.number or 1 for search in searches)
    if count > 1:
        return (
            f"Each search was repeated {count} times, with other points and other seeds. A search counts as one: "
            "differences are paired by search, and the luck of the searches is in the intervals."
        )
    return (
        "There was one search for each, so comparisons are of these settings: the luck of the search is not in "
        "the intervals, and another search may find other settings. To compare the optimizers themselves, set "
        "searches = 5 in [tune]."
    )


def not_better_tuned(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Names the cases that are not shown to be better with the settings found than with the suite's own."""
    own = {(r.case.group, _tuned_method(r)): r for r in results if r.case.untuned}
    tuned = [r for r in results if r.case.tuned]
    both = [(r, own[key]) for r in tuned if (key := (r.case.group, r.case.method)) in own]
    verdicts = [judge_pair(found, before, of=len(both)) for found, before in both]
    for poor, words in (
        (("equivalent", "identical", "no difference shown"), "are not shown to be better than"),
        (("worse",), "are worse than"),
        (("lost seeds",), "cannot be judged, because of lost seeds, beside"),
    ):
        told = [v for v in verdicts if v.word in poor]
        if told:
            amounts = {v.one.id: _difference(v) for v in told if v.one.case.group not in names.levels}
            each = names.of_all([v.one for v in told], amounts)
            yield Finding(
                "tuning gains nothing",
                f"The settings found by tuning {words} the suite's own: {each}.",
                tuple(dict.fromkeys(r.id for v in told for r in (v.one, v.other))),
            )


def _difference(verdict: Verdict) -> str:
    """Returns the advantage of the settings found: `+0.02 points [-0.04, 0.08]`, `identical in every seed`."""
    if verdict.word == "identical":
        return f"identical in every {unit(verdict.one)}"
    return amount(verdict, verdict.one)


def _tuned_method(untuned: CaseResult) -> str:
    """Returns the method of the tuned case that a case repeats with the suite's own settings."""
    return "/".join((untuned.case.optimizer.label, *untuned.case.axes[:-1]))
