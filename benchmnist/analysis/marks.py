"""What tables mark: cases that are not shown to be worse than any other, and differences that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.figures import has_metric, seed_figures
from benchmnist.analysis.summary import by_group
from benchmnist.analysis.verdicts import on_all_pairs, rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

LEVEL_WORDS = frozenset({"identical", "equivalent", "no difference shown"})


def unbeaten(results: Sequence[CaseResult], verdicts: Sequence[Verdict], metric: Metric) -> frozenset[str]:
    """Returns the ids of the cases that are not shown to be worse than any other of their group.

    With a chance of 0.95 in each family, the best case of every group is among them. A group in which nothing is
    shown has none. Of the points of a sweep, which are not compared with each other, only the first in the ranking
    can be one.

    Args:
        results: The results of a run.
        verdicts: All verdicts by that metric.
        metric: The metric.
    """
    within = [v for v in verdicts if v.one.case.group == v.other.case.group]
    wide = on_all_pairs(verdicts)
    shown = [*within, *(wide[frozenset((v.one.id, v.other.id))] for v in within)]
    beaten = {(v.other if v.beats(v.one) else v.one).id for v in shown if v.word in ("better", "worse")}
    level = {pair for pair, v in wide.items() if v.word in LEVEL_WORDS}
    found = set()
    for members in by_group(results).values():
        there = [r for r in members if not r.case.aside and has_metric(r, metric) and seed_figures(r, metric)]
        if beaten.isdisjoint(r.id for r in there):
            continue
        first = min(there, key=lambda r: rank(r, metric))
        found |= {r.id for r in there if r is first or frozenset((r.id, first.id)) in level} - beaten
    return frozenset(found)


def against_baseline(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    """Returns the verdict on each case vs its baseline, by case id."""
    within = [v for v in verdicts if v.one.case.group == v.other.case.group]
    return {v.one.id: v for v in within if v.other.case.method == v.one.case.baseline}
