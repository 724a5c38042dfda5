"""Findings on ladders: which levels of each problem a method solves, and the verdicts on them in short."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.ranks import in_words
from benchmnist.analysis.findings.words import Finding, listed
from benchmnist.metrics import TARGET_STEPS
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis.ladders import Ladder, Ladders
    from benchmnist.analysis.rungs import Place, Rung
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.suites.cases import Group

MOST_GAPS = 3
"""Solved levels above one that is not solved, from which on they are only counted."""
NOT_JUDGED = "not judged"
WORDS = ("better", "worse", "equivalent", "not shown to differ", "identical in every seed", NOT_JUDGED)
"""Words of verdicts in the order in which they are counted."""


def levels_solved(ladders: Ladders | None) -> Iterator[Finding]:
    """Says of each method which levels of each problem it solves, if any has several; then of all problems."""
    if ladders is None or not ladders.levels:
        return
    for method, of_problems in ladders.by_method.items():
        found = [*of_problems.values()]
        recorded = " (recorded)" if any(ladder.recorded for ladder in found) else ""
        cases = [rung.case for ladder in found for rung in ladder.rungs if rung.case and not rung.recorded]
        yield Finding("ladders", f"{method}{recorded} {_climbs(found)}", tuple(cases))
    if len(ladders.problems) > 1 and len(ladders.scores) > 1:
        yield Finding("ladders", _scores(ladders))


def _climbs(found: Sequence[Ladder]) -> str:
    """Returns `solves all levels of beale (8); ravine up to 1e3. It fails at the easiest level of saddle (1).`."""
    told: dict[str, list[str]] = {"all levels of": [], "": [], "at the easiest level of": [], "at": []}
    for each in found:
        hardest, highest = each.rungs[-1], each.highest
        if highest is None and len(each.rungs) > 1:
            told["at the easiest level of"].append(
                f"{each.problem} ({each.rungs[0].name}{_gaps(' though not', each)})"
            )
        elif highest is None:
            told["at"].append(each.problem + _bracketed(_of_seeds(hardest)))
        elif each.next is None and len(each.rungs) > 1:
            told["all levels of"].append(each.problem + _bracketed(highest.name, _of_seeds(highest)))
        else:
            up_to = f" up to {highest.name}" if each.next else ""
            told[""].append(each.problem + up_to + _bracketed(_of_seeds(highest), _gaps("also", each)))
    solves, fails = (
        "; ".join(f"{word} {listed(told[word])}".strip() for word in words if told[word])
        for words in (("all levels of", ""), ("at the easiest level of", "at"))
    )
    return " It ".join([*([f"solves {solves}."] if solves else ()), *([f"fails {fails}."] if fails else ())])


def _bracketed(*remarks: str) -> str:
    """Returns remarks in brackets, without commas, so that a list of them needs no semicolons; empty for none."""
    said = ": ".join(filter(None, remarks))
    return f" ({said})" if said else ""


def _gaps(word: str, ladder: Ladder) -> str:
    """Returns the levels that are solved although an easier one is not, behind a word; empty without any."""
    if not ladder.gaps:
        return ""
    names = [rung.name for rung in ladder.gaps]
    return f"{word} {listed(names) if len(names) < MOST_GAPS else f'{len(names)} harder ones'}"


def _of_seeds(rung: Rung) -> str:
    """Returns `3 of 5 seeds` where some reached the target and some did not."""
    return f"{rung.solved} of {counted(rung.seeds, 'seed')}" if 0 < rung.solved < rung.seeds else ""


def _scores(ladders: Ladders) -> str:
    """Returns a sentence on the share of levels that each method solves, and one on mean ranks by it."""
    each = [
        f"{score.method} ({score.mean:.2f}"
        + (" [{:.2f}, {:.2f}])".format(*score.interval) if score.interval else ")")
        for score in ladders.scores
    ]
    over = f"Over {ladders.title}"
    text = f"{over}, the mean share of levels solved, with its interval over problems like these: {listed(each)}."
    return f"{text} {in_words(f'{over}, by levels solved', ladders.ranks)}" if ladders.ranks else text


def verdicts_on_levels(verdicts: Sequence[Verdict], levels: Mapping[Group, Place]) -> Iterator[Finding]:
    """Counts the verdicts on levels of ladders, of those comparisons that were named beforehand."""
    beside: dict[tuple[str, bool, bool], list[Verdict]] = {}
    for v in verdicts:
        one, other = v.one.case, v.other.case
        if v.family == "primary" and one.group == other.group and one.group in levels:
            key = other.method, other.method == one.baseline, v.metric == TARGET_STEPS
            beside.setdefault(key, []).append(v)
    for (method, is_baseline, of_steps), members in beside.items():
        counts: dict[str, Counter[str]] = {}
        for v in members:
            counts.setdefault(v.one.case.method, Counter())[_spoken(v)] += 1
        each = [
            f"{name}: {listed([f'{word} on {of[word]}' for word in WORDS if of[word]])}"
            for name, of in counts.items()
        ]
        places = {v.one.case.group for v in members}
        problems = {levels[group].problem for group in places}
        tuned = ", with the settings found for each" if any(v.one.case.tuned for v in members) else ""
        missed = (
            " Not judged: seeds of one or of both missed the target or were lost."
            if any(of[NOT_JUDGED] for of in counts.values())
            else ""
        )
        yield Finding(
            "levels",
            f"On {counted(len(places), 'level')} of {counted(len(problems), 'problem')}"
            f"{', in steps to the target' if of_steps else ''}{tuned}, compared with "
            f"{'the baseline ' if is_baseline else ''}{method}: {'; '.join(each)}.{missed}",
            tuple(dict.fromkeys(r.id for v in members for r in (v.other, v.one))),
        )


def _spoken(v: Verdict) -> str:
    """Returns the word of a verdict for a count."""
    spoken = {"no difference shown": "not shown to differ", "identical": "identical in every seed"}
    return NOT_JUDGED if v.word in ("lost seeds", "too few seeds") else spoken.get(v.word, v.word)
