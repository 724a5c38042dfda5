"""Findings on methods: how each compares with the baseline, and which is the best of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.figures import lost_seeds
from benchmnist.analysis.findings.words import (
    EXPLORATORY,
    Finding,
    amount,
    listed,
    lost_note,
    method_figure,
    primary_mean,
    shortened,
)
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import on_all_pairs, rank
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult

Between = dict[tuple[str, str], "Verdict"]


def against_the_baseline(verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Says of each baseline, and of what else the suite names, which methods are better, worse, and so on."""
    beside: dict[str, list[Verdict]] = {}
    for v in verdicts:
        if _told(v) and v.word != "too few seeds":
            beside.setdefault(v.other.id, []).append(v)
    for members in beside.values():
        baseline = members[0].other
        told: dict[str, list[str]] = {"better": [], "worse": [], "equivalent": [], "no difference shown": []}
        for v in sorted(members, key=lambda v: rank(v.one)):
            word = v.word if v.word != "lost seeds" else "lost" if v.lost[0] else "baseline lost"
            told.setdefault(word, []).append(f"{method_figure(v.one)}{_by(v)}")
        spoken = {
            "equivalent": f"equivalent within {members[0].margin or 0:g} {members[0].metric.points}",
            "no difference shown": "not shown to differ",
            "identical": "identical in every seed",
            "lost": f"not judged, since seeds were lost that {baseline.case.method} completed",
            "baseline lost": f"not judged, since {baseline.case.method} lost seeds that others completed",
        }
        said = "; ".join(f"{spoken.get(word, word)}: {listed(whom)}" for word, whom in told.items() if whom)
        title = _scope(members)
        the = "the baseline " if baseline.case.method == members[0].one.case.baseline else ""
        yield Finding(
            "baseline",
            f"On {title}, compared with {the}{method_figure(baseline)}: {said}.",
            (baseline.id, *(v.one.id for v in members)),
        )


def _scope(verdicts: Sequence[Verdict]) -> str:
    """Names the group; if its settings were found by one search, it says that these are compared."""
    compared = [result for v in verdicts for result in (v.one, v.other)]
    one_search = any(result.case.tuned and unit(result) == "seed" for result in compared)
    return group_title(compared[0].case.group) + (", with the settings found for each" if one_search else "")


def _by(v: Verdict) -> str:
    """Returns `, +2.00 points [1.94, 2.06]`, with the seeds that are lost."""
    said = f", {amount(v, v.one)}" if v.paired.n and v.word != "identical" else ""
    return said + (f", {note}" if (note := lost_note(v)) else "")


def best_methods(results: Sequence[CaseResult], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Names the best method of each group, and the methods that are not shown to be worse.

    It is made from the verdicts on all pairs. They are exploratory where the suite named others beforehand.
    """
    wide = on_all_pairs(verdicts)
    for members in by_group(results).values():
        ranked = sorted((r for r in members if primary_mean(r) is not None), key=rank)
        pairs = [(r, wide.get(frozenset((ranked[0].id, r.id)))) for r in ranked[1:]]
        beside = [(r, v) for r, v in pairs if v is not None and v.word != "too few seeds"]
        if not beside or all(_told(v) for _, v in beside):
            continue
        best, exploratory = ranked[0], any(v.family == "exploratory" for _, v in beside)
        title = _scope([v for _, v in beside])
        text = f"{f'{EXPLORATORY}on' if exploratory else 'On'} {title}, {_claim(best, beside, ranked)}"
        new = [(r, v) for r, v in beside if not _told(v)]
        by_words = {
            "": [f"{method_figure(r)}, by {amount(v, best)}" for r, v in new if v.beats(best)],
            "within": [f"{method_figure(r)} ({amount(v, best)})" for r, v in new if v.word == "equivalent"],
            "same": [method_figure(r) for r, v in new if v.word == "identical"],
            "not": [f"{method_figure(r)} ({amount(v, best)})" for r, v in new if v.word == "no difference shown"],
            "worse": [f"{method_figure(r)}, by {amount(v, r)}" for r, v in new if v.beats(r)],
            "lost": [method_figure(r) for r, v in new if v.word == "lost seeds"],
        }
        text += "".join(_sentences(by_words, beside[0][1], best))
        yield Finding("rules", text, tuple(r.id for r in [best, *(r for r, _ in beside)]))


def _told(v: Verdict) -> bool:
    """Whether the sentence on the baseline, or on what the suite names, says all of it."""
    one, other = v.one.case, v.other.case
    named = other.method == one.baseline or other.id in (one.compared_with or ())
    return v.family == "primary" and one.group == other.group and named


def _claim(best: CaseResult, beside: Sequence[tuple[CaseResult, Verdict]], ranked: Sequence[CaseResult]) -> str:
    if all(v.beats(best) for _, v in beside):
        return f"{method_figure(best)} is the best of {counted(1 + len(beside), 'method')}."
    most = "highest" if best.case.primary.better == "higher" else "lowest"
    lost, fewest = any(lost_seeds(r, r.case.primary) for r in ranked), lost_seeds(best, best.case.primary)
    among = " of the methods that lost the fewest seeds" if fewest else " of the methods that completed every seed"
    return f"{method_figure(best)} has the {most} mean{among if lost else ''}."


def _sentences(by_words: Mapping[str, list[str]], verdict: Verdict, best: CaseResult) -> Iterator[str]:
    who = best.case.method
    if by_words["same"]:
        yield f" Every seed of it is identical to that of {shortened(by_words['same'])}."
    if by_words["within"]:
        within = f"{best.case.margin or 0:g} {verdict.metric.points}"
        yield f" It is equivalent, within {within}, to {shortened(by_words['within'])}."
    if by_words["not"]:
        yield f" It is not shown to differ from {shortened(by_words['not'])}."
    if by_words[""]:
        yield f" It is better than {shortened(by_words[''])}."
    if by_words["worse"]:
        yield f" Better than it: {shortened(by_words['worse'])}."
    if by_words["lost"]:
        yield f" Not judged, since seeds were lost that {who} completed: {shortened(by_words['lost'])}."
