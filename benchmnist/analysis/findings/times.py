"""Findings on targets: which method reaches the target first, and why; and on the order of the trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.courses import is_fine
from benchmnist.analysis.findings.words import EXPLORATORY, Finding, listed, shortened
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.targets import by_target, split
from benchmnist.analysis.verdicts import on_all_pairs
from benchmnist.text import alternatives, counted, decimals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.findings.names import Names
    from benchmnist.analysis.targets import Split, TimeToTarget
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult, RunRecord

IN_STACKS = "; times are not compared with those of a stack"
HOW = {"onednn": "with products by oneDNN", "recorded": "with recorded steps"}
"""Words for the remarks on measured changes."""
Beside = tuple["TimeToTarget", "Verdict"]


def first_at_target(every: Sequence[TimeToTarget], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Says of each group which method reaches the target first, if that is shown, and explains why.

    A seed that misses the target counts against its case, as a lost seed: methods that miss fewer come first.

    Args:
        every: The times of the cases.
        verdicts: All verdicts by TARGET_SECONDS.
    """
    wide = on_all_pairs(verdicts)
    for members in by_target(every).values():
        there = sorted((t for t in members if t.hits and not t.result.shares_times), key=_order)
        stacked = [f"{t.result.case.method} (in {_hits(t)})" for t in members if t.hits and t.result.shares_times]
        never = [t.result.case.method for t in members if t.reached and not t.hits]
        title, target = group_title(members[0].result.case.group), str(members[0].target)
        if not there:
            if not stacked and not all(t.reached for t in members):
                continue  # of a case that was interrupted at once nothing is known
            text = f"On {title}, no seed reached {target}."
            if stacked:
                text = f"On {title}, {target} was reached by {listed(stacked)}{IN_STACKS}."
            yield Finding("target", text, tuple(t.result.id for t in members))
            continue
        first = there[0]
        found = ((t, wide(first.result, t.result)) for t in there[1:])
        others = [(t, v) for t, v in found if v is not None and v.word != "too few seeds"]
        tied = [t for t in there if _looks(t) == _looks(first)] if others else [first]
        apart = [t for t in there[1:] if not any(t is other for other, _ in others)]
        exploratory = any(v.family == "exploratory" for _, v in others)
        claim = _claim(tied, others, there, target, alone=len(there) == 1 < len(members) and not stacked)
        text = f"{f'{EXPLORATORY}on' if exploratory else 'On'} {title}, {claim}{''.join(_beside(first, others))}"
        if never:
            text += f" No seed of {alternatives(never)} reached it."
        if apart:
            each = [f"{t.result.case.method} ({_effort(t)})" for t in apart]
            text += f" Not compared with {first.result.case.method}: {shortened(each)}."
        if stacked:
            text += f" Also reached by {shortened(stacked)}{IN_STACKS}."
        yield Finding("target", text, tuple(t.result.id for t in [first, *(t for t, _ in others)]))


def _order(t: TimeToTarget) -> tuple[int, float]:
    """Returns a sort key: who misses the fewest seeds first, then who has the shortest median, as is told."""
    return len(t.reached) - t.hits, math.inf if t.seconds is None else t.seconds


def _looks(t: TimeToTarget) -> tuple[int, str]:
    return len(t.reached) - t.hits, "" if t.seconds is None else f"{t.seconds:.3g}"


def _effort(t: TimeToTarget) -> str:
    """Returns `after 2.14 s of training, 3 epochs, in 5 of 5 seeds`; of steps, another sentence tells more."""
    if t.seconds is None:
        return f"in {_hits(t)}"
    epochs = "" if is_fine(t.result) else f"{counted(t.epochs or 0, 'epoch')}, "
    return f"after {t.seconds:.3g} s of training, {epochs}in {_hits(t)}"


def _claim(
    tied: Sequence[TimeToTarget],
    others: Sequence[Beside],
    there: Sequence[TimeToTarget],
    target: str,
    *,
    alone: bool,
) -> str:
    first = tied[0]
    method, effort = first.result.case.method, _effort(first)
    if not others:
        return f"{'only ' if alone else ''}{method} reaches {target} {effort}."
    if len(others) == len(there) - 1 and all(v.beats(first.result) for _, v in others):
        return f"{method} reaches {target} first, {effort}."
    among = ""
    if any(t.hits < len(t.reached) for t in there):
        among = ", of the methods that " + (
            "reach it in every seed" if first.hits == len(first.reached) else "miss it in the fewest seeds"
        )
    methods, have = listed([t.result.case.method for t in tied]), "has" if len(tied) == 1 else "have"
    who = "it" if len(tied) == 1 else method
    if first.seconds is None:
        return f"{methods} {'reaches' if have == 'has' else 'reach'} {target} in the most seeds: {who} {effort}."
    return f"{methods} {have} the shortest median time to {target}{among}: {who} reaches it {effort}."


def _hits(t: TimeToTarget) -> str:
    """Returns `3 of 5 seeds`."""
    return f"{t.hits} of {counted(len(t.reached), 'seed')}"


def _beside(first: TimeToTarget, others: Sequence[Beside]) -> Iterator[str]:
    """Yields a sentence on the methods of each verdict: sooner, later, not shown, or not judged."""
    result, who = first.result, first.result.case.method
    sooner = [_takes(first, t, v) for t, v in others if v.beats(result)]
    later = [_takes(first, t, v) for t, v in others if v.beats(t.result)]
    missed = [_takes(first, t, v) for t, v in others if v.word == "lost seeds"]
    level = [
        _takes(first, t, v)
        for t, v in others
        if not v.beats(result) and not v.beats(t.result) and v.word != "lost seeds"
    ]
    if sooner:
        yield f" {who} is sooner than {shortened(sooner)}."
    if level:
        yield f" {who} is not shown to be sooner than {shortened(level)}."
    if later:
        yield f" Sooner than {who}: {shortened(later)}."
    if missed:
        yield f" Not judged, since seeds missed the target that reached it in the other case: {shortened(missed)}."


def _takes(first: TimeToTarget, t: TimeToTarget, v: Verdict) -> str:
    """Returns `adam (1.31 times as long [1.10, 1.57]: 1.50 times as many steps, each 0.87 times as long)`."""
    why = split(first, t)
    if why is None:
        return f"{t.result.case.method} ({_hits(t)})"
    found = amount_of(v, t.result)
    said = f"{decimals(why.time, found.digits)} times as long{found.brackets}"
    steps, cost = factors(why, found.digits)
    said += f": {steps} times as many steps, each {cost} times as long"
    if t.hits < len(t.reached) or first.hits < len(first.reached):
        known = len(first.reached.keys() & t.reached.keys())
        said += f", in the {why.seeds} of {counted(known, 'seed')} in which both reached it; it missed "
        said += f"{len(t.reached) - t.hits}, {first.result.case.method} {len(first.reached) - first.hits}"
    return f"{t.result.case.method} ({said})"


def factors(why: Split, shown: int = 2) -> tuple[str, str]:
    """Formats the causes with so many decimals that their product is the ratio of the times, as it is shown."""
    for digits in range(shown, shown + 5):
        steps, cost = f"{why.steps:.{digits}f}", f"{why.cost:.{digits}f}"
        if f"{float(steps) * float(cost):.{shown}f}" == f"{why.time:.{shown}f}":
            break
    return steps, cost


def _timed(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Returns the results whose times are compared."""
    asked = [r for r in results if r.case.has_target or r.case.baseline]
    return [r for r in asked if r.has_epochs and not r.shares_times]


def executed_differently(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Warns of times of cases that were executed in different ways."""
    found: dict[str, list[Sequence[CaseResult]]] = {}
    for members in by_group(_timed(results)).values():
        ways: dict[tuple[str, ...], list[str]] = {}
        for result in members:
            ways.setdefault(result.measured_changes, []).append(result.case.method)
        if len(ways) > 1:
            each = [f"{_how(way)}: {shortened(methods)}" for way, methods in ways.items()]
            chosen = {change.partition(":")[0] for way in ways for change in way}
            differ = sorted(
                f"BENCHMNIST_{name.upper()}" for name in chosen if any(name not in way for way in ways)
            )
            said = f"{'; '.join(each)}. With {listed([*differ])} = 0 they are."
            found.setdefault(said, []).append(members)
    for said, groups in found.items():
        yield Finding(
            "execution",
            f"On {names.places([members[0].case.group for members in groups])}, more than the method differs "
            f"between times, since steps were not executed alike: {said}",
            tuple(result.id for members in groups for result in members),
        )


def _how(way: Sequence[str]) -> str:
    """Returns how steps were executed: `with products by oneDNN in 2 of 3 seeds and with recorded steps`."""
    said = [each.partition(": ") for each in way]
    return listed([HOW[name] + (f" in {seeds}" if seeds else "") for name, _, seeds in said] or ["plainly"])


def trained_in_order(record: RunRecord, results: Sequence[CaseResult]) -> Iterator[Finding]:
    """Warns of times that were measured case after case: a drift of the machine is in their differences."""
    timed = _timed(results)
    if len(timed) < 2:  # noqa: PLR2004 - nothing to compare
        return
    drift = "a slow drift of the machine's speed is in the differences between their times"
    if record.order == "suite":
        yield Finding(
            "order",
            f'The cases were trained one after the other (order = "suite"): {drift}.',
            tuple(result.id for result in timed),
        )


def stacked(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Names the cases whose times are shares of those of a stack, or of trials on streams."""
    found = [result for result in results if result.shares_times]
    if found:
        every = len(found) == len(results) and names.on_ladders(found)
        each = f"all {counted(len(found), 'case')}" if every else names.of_all(found)
        how = sorted({"on streams" if result.engine == "streams" else "in a stack" for result in found})
        yield Finding(
            "stacked",
            f"Trained {' or '.join(how)}: {each}. Each trial has an equal share of the time of all, so these "
            "times are not compared with any.",
            tuple(result.id for result in found),
        )
