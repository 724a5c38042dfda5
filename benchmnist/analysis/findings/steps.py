"""Findings on steps: which method needs the fewest to the target, and what each saves at equal loss."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.courses import is_fine
from benchmnist.analysis.findings.words import EXPLORATORY, Finding, listed, shortened
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.targets import by_target
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import on_all_pairs
from benchmnist.suites.budgets import target_of
from benchmnist.text import alternatives, counted, decimals, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmnist.analysis.findings.names import Names
    from benchmnist.analysis.steps_saved import StepsSaved
    from benchmnist.analysis.targets import TimeToTarget
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult

Beside = tuple["TimeToTarget", "Verdict"]


def ended_early(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Says where trials ended by what they reached, why their ends are not compared, and which gave up."""
    early = [result for result in results if result.case.ends_early and result.has_epochs]
    if not early:
        return
    targets = dict.fromkeys(str(target) for r in early if r.case.stop_at_target and (target := target_of(r.case)))
    how = [f"stopped at the target ({alternatives(targets)})"] if targets else []
    patience = [r.case.patience for r in early if r.case.patience is not None]
    if patience:
        waited = dict.fromkeys(counted(each, "evaluation") for each in patience)
        how.append(f"gave up after {alternatives(waited)} without a better one")
    where = names.places(by_group(early))
    aimless = any(not result.case.has_target for result in early)
    instead = "; without a target, nothing else is" if aimless else ": the steps to the target are"
    text = (
        f"On {where}, trials {alternatives(how)}. Accuracy and loss at their ends are those of different numbers "
        f"of steps, so they are not compared{instead}."
    )
    gone = {}
    for result in early:
        if count := sum(trial.ended == "patience" for trial in result.trials):
            gone[result.id] = f"{count} of {counted(len(result.trials), 'seed')}"
    if gone:
        text += f" Gave up: {names.of_all([r for r in early if r.id in gone], gone)}."
    yield Finding("ended early", text, tuple(result.id for result in early))


def fewest_steps(every: Sequence[TimeToTarget], verdicts: Callable[[], Sequence[Verdict]]) -> Iterator[Finding]:
    """Says of each group which method needs the fewest steps to the target, if that is shown.

    It is silent where each trial was evaluated after its epochs only, unless no time can be compared: what is
    then said of times names the epochs. A seed that misses the target counts against its case.

    Args:
        every: The times of the cases.
        verdicts: Returns all verdicts by TARGET_STEPS.
    """
    for members in by_target(every).values():
        if not any(is_fine(t.result) or t.result.case.ends_early or t.result.shares_times for t in members):
            continue
        there = sorted((t for t in members if t.hits and t.result.steps), key=_order)
        never = [t.result.case.method for t in members if t.reached and not t.hits]
        title, target = group_title(members[0].result.case.group), str(members[0].target)
        if not there:
            if all(t.reached for t in members):
                text = f"On {title}, no {unit(members[0].result)} reached {target}."
                yield Finding("target steps", text, tuple(t.result.id for t in members))
            continue
        judged, first = verdicts(), there[0]
        wide, named = on_all_pairs(judged), max((v.of for v in judged if v.family == "primary"), default=1)
        found = ((t, wide(first.result, t.result)) for t in there[1:])
        others = [(t, v) for t, v in found if v is not None and v.word != "too few seeds"]
        if all(v.family == "primary" for _, v in others):  # the sentence is on what was named beforehand
            others = [(t, replace(v, of=named)) for t, v in others]
        apart = [t for t in there[1:] if not any(t is other for other, _ in others)]
        exploratory = any(v.family == "exploratory" for _, v in others)
        alone = len(there) == 1 < len(members)
        text = (
            f"{f'{EXPLORATORY}on' if exploratory else 'On'} {title}, {_claim(first, others, apart, target, alone)}"
        )
        text += "".join(_beside(first, others))
        if never:
            text += f" No {unit(first.result)} of {alternatives(never)} reached it."
        if apart:
            each = [f"{t.result.case.method} ({_effort(t)})" for t in apart]
            text += f" Not compared with {first.result.case.method}: {shortened(each)}."
        yield Finding(
            "target steps",
            text + _resolution(members),
            tuple(t.result.id for t in [first, *(t for t, _ in others)]),
        )


def _order(t: TimeToTarget) -> tuple[int, float]:
    """Returns a sort key: who misses the fewest seeds first, then who has the fewest steps."""
    return len(t.reached) - t.hits, math.inf if t.median_steps is None else t.median_steps


def _effort(t: TimeToTarget) -> str:
    """Returns `1,200 steps, 3 of 3 seeds`."""
    hits = f"{t.hits} of {counted(len(t.reached), unit(t.result))}"
    return hits if t.median_steps is None else f"{counted(t.median_steps, 'step')}, {hits}"


def _claim(
    first: TimeToTarget, others: Sequence[Beside], apart: Sequence[TimeToTarget], target: str, alone: bool
) -> str:
    method, effort = first.result.case.method, _effort(first)
    if not others:
        return f"{'only ' if alone else ''}{method} reaches {target} ({effort})."
    if not apart and all(v.beats(first.result) for _, v in others):
        return f"{method} reaches {target} first ({effort})."
    level = [t for t, v in others if _order(t) == _order(first) and not v.beats(first.result)]
    if level:
        each = listed([t.result.case.method for t in (first, *level)])
        return f"{each} reach {target} with the fewest steps ({effort})."
    if first.median_steps is None or any(t.hits < len(t.reached) for t, _ in others):
        return f"{method} reaches {target} in the most {plural(unit(first.result))} ({effort})."
    return f"{method} has the lowest median of the steps to {target} ({effort})."


def _beside(first: TimeToTarget, others: Sequence[Beside]) -> Iterator[str]:
    """Yields a sentence on the methods of each verdict: more steps, as many, fewer, not shown, or not judged."""
    who, result = first.result.case.method, first.result
    by_words: dict[str, list[str]] = {}
    for t, v in others:
        word = "more" if v.beats(result) else "fewer" if v.beats(t.result) else v.word
        by_words.setdefault(word, []).append(f"{t.result.case.method} ({_takes(t, v)})")
    same, lost = by_words.pop("identical", []), by_words.pop("lost seeds", [])
    more, fewer = by_words.pop("more", []), by_words.pop("fewer", [])
    level = [each for found in by_words.values() for each in found]
    if more:
        yield f" {who} needs fewer steps than {shortened(more)}."
    if same:
        yield f" In every {unit(result)}, {who} needs as many steps as {shortened(same)}."
    if level:
        yield f" {who} is not shown to need fewer steps than {shortened(level)}."
    if fewer:
        yield f" With fewer steps than {who}: {shortened(fewer)}."
    if lost:
        yield (
            f" Not judged, since {plural(unit(result))} missed the target that reached it in the other case: "
            f"{shortened(lost)}."
        )


def _takes(t: TimeToTarget, v: Verdict) -> str:
    """Returns `1,500 steps, 3 of 3 seeds: 1.25 times as many [1.10, 1.42]`."""
    if not v.paired.n or v.word in ("identical", "lost seeds"):
        return _effort(t)
    found = amount_of(v, t.result)
    return f"{_effort(t)}: {decimals(found.mean, found.digits)} times as many{found.brackets}"


def _resolution(members: Sequence[TimeToTarget]) -> str:
    """Returns how finely the steps were measured, in a sentence; empty if the cases differ."""
    every = {t.result.case.evaluate_every if is_fine(t.result) else None for t in members}
    if len(every) > 1:
        return ""
    steps = every.pop()
    return f" Evaluated every {counted(steps, 'step')}." if steps else " Evaluated after each epoch only."


def steps_saved(every: Sequence[StepsSaved]) -> Iterator[Finding]:
    """Says of each case that others are compared with how many steps they save against it at equal loss."""
    beside: dict[str, list[StepsSaved]] = {}
    for each in every:
        if each.verdict.word != "too few seeds":
            beside.setdefault(each.verdict.other.id, []).append(each)
    for members in beside.values():
        first = members[0].verdict
        the = "the baseline " if first.other.case.is_baseline else ""
        words: dict[str, list[str]] = {}
        for each in sorted(members, key=lambda each: -each.verdict.paired.mean):
            words.setdefault(_spoken(each.verdict), []).append(_said(each))
        said = "; ".join(f"{word}: {shortened(found)}" for word, found in words.items())
        yield Finding(
            "steps saved",
            f"On {group_title(first.one.case.group)}, at the lowest test loss that both reach, against {the}"
            f"{first.other.case.method}: {said}.",
            (first.other.id, *(each.verdict.one.id for each in members)),
        )


def _spoken(v: Verdict) -> str:
    return {
        "better": "saves steps",
        "worse": "needs more steps",
        "identical": f"needs as many in every {unit(v.one)}",
        "lost seeds": f"not judged, because of lost {plural(unit(v.one))}",
    }.get(v.word, "not shown to save steps")


def _said(each: StepsSaved) -> str:
    """Returns `adam (+240 steps [180, 300], 40 %)`."""
    v = each.verdict
    if v.word in ("identical", "lost seeds"):
        return v.one.case.method
    found = amount_of(v)
    brackets = found.brackets
    if v.paired.says_something and not v.paired.varies:
        brackets = f" in every {unit(v.one)}"
    return f"{v.one.case.method} ({decimals(found.mean, found.digits, '+z,')} steps{brackets}, {each.share:+.0%})"
