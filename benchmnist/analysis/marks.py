"""The marks of tables: cases that are not shown to be worse than any other, and differences that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.summary import by_group
from benchmnist.analysis.verdicts import Verdicts, on_all_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult

MUTE = frozenset({"lost seeds", "too few seeds"})
"""Words of a verdict that decides nothing."""


def unbeaten(results: Sequence[CaseResult], verdicts: Sequence[Verdict]) -> frozenset[str]:
    """Returns the ids of the cases that are not shown to be worse than any other of their group.

    With a chance of 0.95 in each family, the best case of every group is among them, if it is compared with
    another and lost no seed. A group in which nothing is shown has none. A case that no verdict speaks of is not
    marked, nor one that lost seeds which another completed. The points of a sweep are not compared with each
    other: all those can be marked that nothing else is shown to beat.

    Args:
        results: The results of a run.
        verdicts: All verdicts by one metric.
    """
    within = [v for v in verdicts if v.one.case.group == v.other.case.group]
    wide = on_all_pairs(verdicts)
    shown = [*within, *(v for v in (wide(each.one, each.other) for each in within) if v is not None)]
    beaten = {(v.other if v.beats(v.one) else v.one).id for v in shown if v.word in ("better", "worse")}
    losers = {r.id for v in within for r, lost in zip((v.one, v.other), v.lost, strict=True) if lost}
    judged = {r.id for v in within if v.word not in MUTE for r in (v.one, v.other)}
    if isinstance(verdicts, Verdicts) and verdicts.many is not None:
        for group, cases in verdicts.many.pairs.groups.items():
            told = verdicts.many.told(group)
            for ids, which in ((beaten, told.beaten), (judged, told.judged), (losers, told.lost)):
                ids |= {case.id for case, is_so in zip(cases.cases, which.tolist(), strict=True) if is_so}
    found = set()
    for members in by_group(results).values():
        there = {result.id for result in members}
        if there & beaten:
            found |= (there & judged) - beaten - losers
    return frozenset(found)


def against_baseline(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    """Returns the verdict on each case vs its baseline, by case id."""
    within = [v for v in verdicts if v.one.case.group == v.other.case.group]
    both_ways = (each for v in within for each in (v, v.turned))  # a suite may name a pair the other way round
    return {v.one.id: v for v in both_ways if v.other.case.method == v.one.case.baseline}
