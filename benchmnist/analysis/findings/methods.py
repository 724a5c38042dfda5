"""Findings on methods: the best of each group, and those that are not shown to be worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import (
    Finding,
    amount,
    method_figure,
    primary_mean,
    shortened,
    tie_amount,
)
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.verdicts import rank
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult


def best_methods(results: Sequence[CaseResult], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Names the best method of each group, and the methods that are not shown to be worse."""
    within = {
        (v.one.id, v.other.id): v for v in verdicts if v.one.case.group == v.other.case.group and v.p is not None
    }
    for group, members in by_group(results).items():
        ranked = sorted((r for r in members if primary_mean(r) is not None), key=rank)
        compared = [r for r in ranked[1:] if _pair(within, ranked[0], r) is not None]
        if not compared:
            continue
        best = ranked[0]
        beside = [(r, v) for r in compared if (v := _pair(within, best, r)) is not None]
        worse = [(r, v) for r, v in beside if _better(v, best)]
        level = [(r, v) for r, v in beside if not _better(v, best)]
        where, most = group_title(group), "highest" if best.case.primary.better == "higher" else "lowest"
        if level:
            ties = shortened([f"{method_figure(r)} ({tie_amount(v, best)})" for r, v in level])
            first = f"On {where}, {method_figure(best)} has the {most} mean"
            text = f"{first}, but is not shown to be better than {ties}."
        else:
            text = f"On {where}, {method_figure(best)} is the best of {counted(1 + len(compared), 'method')}."
        if worse:
            by = shortened([f"{method_figure(r)}, by {amount(v, best)}" for r, v in worse])
            text += f" It is better than {by}."
        yield Finding("rules", text, tuple(r.id for r in [best, *compared]))


def _pair(verdicts: dict[tuple[str, str], Verdict], one: CaseResult, other: CaseResult) -> Verdict | None:
    return verdicts.get((one.id, other.id)) or verdicts.get((other.id, one.id))


def _better(verdict: Verdict, subject: CaseResult) -> bool:
    return verdict.word == ("better" if verdict.one is subject else "worse")
