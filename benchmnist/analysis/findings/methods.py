"""Findings on methods: how each compares with the baseline, and which is the best of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.figures import lost_seeds
from benchmnist.analysis.findings.words import (
    EXPLORATORY,
    MOST_LISTED,
    MOST_NAMED,
    Finding,
    amount,
    listed,
    method_figure,
    primary_mean,
    shortened,
    value_of,
)
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import on_all_pairs, rank
from benchmnist.metrics import TARGET_STEPS
from benchmnist.suites.budgets import target_of
from benchmnist.suites.differences import differences
from benchmnist.text import counted, plural

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
        told: dict[str, dict[str, list[str]]] = {word: {} for word in ORDER}
        for v in sorted(members, key=lambda v: rank(v.one)):
            told[v.word].setdefault(_spoken(v), []).append(", ".join(filter(None, (method_figure(v.one), _by(v)))))
        most = MOST_NAMED if len(members) <= MOST_NAMED else MOST_LISTED
        said = "; ".join(
            f"{word}: {shortened(whom, most)}" for each in told.values() for word, whom in each.items()
        )
        title = _scope(members)
        the = "the baseline " if baseline.case.method == members[0].one.case.baseline else ""
        yield Finding(
            "baseline",
            f"On {title}, compared with {the}{method_figure(baseline)}: {said}.",
            (baseline.id, *(v.one.id for v in members)),
        )


def _scope(verdicts: Sequence[Verdict]) -> str:
    """Names the group, the budget in seconds, and says that settings are compared if one search found them."""
    compared = [result for v in verdicts for result in (v.one, v.other)]
    one_search = any(result.case.tuned and unit(result) == "seed" for result in compared)
    seconds, target = compared[0].case.seconds, target_of(compared[0].case)
    said = [group_title(compared[0].case.group)]
    if target is not None and verdicts[0].metric == TARGET_STEPS:
        said.append(f"in steps to {target}")
    elif seconds is not None:
        said.append(f"after {seconds:g} s of training each")
    if one_search:
        said.append("with the settings found for each")
    return ", ".join(said)


ORDER = ("better", "worse", "equivalent", "no difference shown", "identical", "lost seeds")
"""Words in the order in which they are told."""


def _spoken(v: Verdict) -> str:
    """Returns the word of a verdict for a sentence: `equivalent within 0.5 points`."""
    if v.word == "lost seeds":
        method = v.other.case.method
        if v.lost[0]:
            return f"not judged, since seeds were lost that {method} completed"
        return f"not judged, since {method} lost seeds that others completed"
    if v.word == "equivalent":
        return f"equivalent within {v.margin_text}"
    return {"no difference shown": "not shown to differ", "identical": "identical in every seed"}.get(
        v.word, v.word
    )


def _by(v: Verdict) -> str:
    return "" if v.word == "identical" else amount(v, v.one)


def best_methods(results: Sequence[CaseResult], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Names the best method of each group, and the methods that are not shown to be worse.

    It is made from the verdicts on all pairs. They are exploratory where the suite named others beforehand. Cases
    that are judged by their steps to a target are left to `times.first_at_target`.
    """
    wide = on_all_pairs(verdicts)
    for members in by_group(results).values():
        ranked = sorted((r for r in members if primary_mean(r) is not None), key=rank)
        pairs = [(r, wide(ranked[0], r)) for r in ranked[1:]]
        beside = [(r, v) for r, v in pairs if v is not None and v.word != "too few seeds"]
        apart = [r for r, v in pairs if v is None or v.word == "too few seeds"]
        if not beside or all(_told(v) for _, v in beside) or beside[0][1].metric == TARGET_STEPS:
            continue  # of targets, others tell who is first
        level = _level(ranked, {id(r): v for r, v in beside})
        best, exploratory = ranked[0], any(v.family == "exploratory" for _, v in beside)
        title = _scope([v for _, v in beside])
        text = f"{f'{EXPLORATORY}on' if exploratory else 'On'} {title}, {_claim(best, beside, ranked, level)}"
        tied = [r for r in level if r is not best]
        new = [(r, v) for r, v in beside if not _told(v)]
        by_words = {
            "better": [f"{method_figure(r)}, by {amount(v, best)}" for r, v in new if v.beats(best)],
            "within": [
                _figure(r, tied, amount(v, best), f"within {v.margin_text}")
                for r, v in new
                if v.word == "equivalent"
            ],
            "same": [_figure(r, tied) for r, v in new if v.word == "identical"],
            "not": [_figure(r, tied, amount(v, best)) for r, v in new if v.word == "no difference shown"],
            "worse": [f"{_figure(r, tied)}, by {amount(v, r)}" for r, v in new if v.beats(r)],
            "lost": [_figure(r, tied) for r, v in new if v.word == "lost seeds"],
            "apart": [_figure(r, tied, *_why_apart(r, best)) for r in apart],
        }
        text += "".join(_sentences(by_words, best, best.case.method if tied else "It"))
        yield Finding("rules", text, tuple(r.id for r in [best, *(r for r, _ in beside)]))


def _told(v: Verdict) -> bool:
    """Tells whether the sentence on the baseline, or on what the suite names, says all of it."""
    one, other = v.one.case, v.other.case
    named = other.method == one.baseline or other.id in (one.compared_with or ())
    return v.family == "primary" and one.group == other.group and named


def _claim(
    best: CaseResult,
    beside: Sequence[tuple[CaseResult, Verdict]],
    ranked: Sequence[CaseResult],
    level: Sequence[CaseResult],
) -> str:
    if all(v.beats(best) for _, v in beside):
        compared = " that are compared" if len(beside) < len(ranked) - 1 else ""
        the = "the " if compared else ""
        return f"{method_figure(best)} is the best of {the}{counted(1 + len(beside), 'method')}{compared}."
    most = "highest" if best.case.primary.better == "higher" else "lowest"
    lost, fewest = any(lost_seeds(r, r.case.primary) for r in ranked), lost_seeds(best, best.case.primary)
    among = " of the methods that lost the fewest seeds" if fewest else " of the methods that completed every seed"
    have = "has" if len(level) == 1 else "have"
    own = len({r.case.seeds for r in ranked}) > 1
    over = f", each over its own {plural(unit(best))}" if own else ""
    return f"{listed([method_figure(r) for r in level])} {have} the {most} mean{among if lost else ''}{over}."


def _level(ranked: Sequence[CaseResult], verdicts: Mapping[int, Verdict]) -> list[CaseResult]:
    """Returns the best case, and those whose lost seeds and mean look the same, and are not shown to differ.

    Args:
        ranked: The cases, the best first.
        verdicts: The verdicts on the best and another case, by the id of the other object.
    """

    def looks(result: CaseResult) -> tuple[int, str]:
        metric = result.case.primary
        return len(lost_seeds(result, metric)), metric.text(primary_mean(result) or 0.0)

    return [
        result
        for result in ranked
        if looks(result) == looks(ranked[0])
        and not ((v := verdicts.get(id(result))) and v.word in ("better", "worse"))
    ]


def _figure(result: CaseResult, tied: Sequence[CaseResult], *more: str) -> str:
    """Names a method with its mean, unless the sentence has just told it, and more: `adam (97.86 %; within …)`."""
    value = () if any(result is each for each in tied) else (value_of(result),)
    inside = "; ".join((*value, *more))
    return f"{result.case.method} ({inside})" if inside else result.case.method


def _why_apart(result: CaseResult, best: CaseResult) -> Iterator[str]:
    """Yields why a case is not compared with the best one, as far as the two cases tell."""
    differing = differences(result.case, best.case)
    if differing:
        yield f"other {' and '.join(each.partition(' (')[0] for each in differing)}"


def _sentences(by_words: Mapping[str, list[str]], best: CaseResult, it: str) -> Iterator[str]:
    who = best.case.method
    if by_words["same"]:
        yield f" Every seed of {it.replace('It', 'it')} is identical to that of {shortened(by_words['same'])}."
    if by_words["within"]:
        yield f" {it} is equivalent to {shortened(by_words['within'])}."
    if by_words["not"]:
        yield f" {it} is not shown to differ from {shortened(by_words['not'])}."
    if by_words["better"]:
        yield f" {it} is better than {shortened(by_words['better'])}."
    if by_words["worse"]:
        yield f" Better than {who}: {shortened(by_words['worse'])}."
    if by_words["lost"]:
        yield f" Not judged, since seeds were lost that {who} completed: {shortened(by_words['lost'])}."
    if by_words["apart"]:
        yield f" Not compared with {who}: {shortened(by_words['apart'])}."
