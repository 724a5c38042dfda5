"""Findings on targets: which case reaches its target first, and why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import Finding, case_name
from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.targets import log_ratio, split
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.targets import TimeToTarget


def first_at_target(every: Sequence[TimeToTarget]) -> Iterator[Finding]:
    """Names the case that reaches the target first, and explains why."""
    by_target: dict[tuple[str, float], list[TimeToTarget]] = {}
    for each in every:
        by_target.setdefault((each.result.case.dataset.label, each.target), []).append(each)
    for (dataset, target), times in by_target.items():
        there = sorted((t for t in times if t.seconds is not None), key=lambda t: t.seconds or 0.0)
        missing = [t for t in times if t.seconds is None]
        if not there:
            if all(t.reached for t in times):  # of a case that was interrupted at once nothing is known
                yield Finding(
                    "target",
                    f"On {dataset}, no case reached {target:g} % in half of its seeds.",
                    tuple(t.result.id for t in times),
                )
            continue
        first = there[0]
        text = (
            f"On {dataset}, {case_name(first.result)} reaches {target:g} % first, after {first.seconds:.3g} s of "
            f"training ({counted(first.epochs or 0, 'epoch')}, {first.hits} of "
            f"{counted(len(first.reached), 'seed')})."
        )
        if len(there) > 1 and (why := split(first, there[1])) is not None:
            text += (
                f" The next, {case_name(there[1].result)}, takes {there[1].seconds:.3g} s: it needs "
                f"{why.steps:.1f} times as many steps, and each takes {why.cost:.1f} times as long; "
                f"{_sooner(first, there[1])}."
            )
        if missing:
            text += f" {len(missing)} of {counted(len(times), 'case')} did not reach it in half of the seeds."
        yield Finding("target", text, tuple(t.result.id for t in there[:2]))


def _sooner(first: TimeToTarget, other: TimeToTarget) -> str:
    """Compares both times, over the seeds that reached the target in both cases."""
    paired = log_ratio(other, first)
    interval, p = paired.interval(), paired.p()
    if p is None or interval is None:
        return f"with {counted(paired.n, 'seed')} in both, the difference may be chance"
    mean, low, high = map(math.exp, (paired.mean, *interval))
    ratio = f"{mean:.2f} times as long [{low:.2f}, {high:.2f}]"
    shown = p <= LEVEL and paired.mean > 0
    return f"seed by seed, {ratio}" if shown else f"the difference may be chance: seed by seed, {ratio}"
