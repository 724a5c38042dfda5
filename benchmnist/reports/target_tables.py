"""Tables of the times to a target, and of the performance profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.targets import split
from benchmnist.metrics import TARGET_SECONDS
from benchmnist.reports.columns import TIMES_OF_STACKS, three_figures
from benchmnist.reports.extra_table import NOTHING, ExtraTable, namer

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.targets import TimeToTarget
    from benchmnist.analysis.verdicts import Verdict


def target_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the time of each case to its target, and its causes; None if the suite has no target."""
    times = analysis.times_to_target
    if not times:
        return None
    name = namer(analysis.run)
    baselines = {t.result.case.group: t for t in times if t.result.case.is_baseline}
    beside = analysis.against_baseline(TARGET_SECONDS)
    targets = {t.target for t in times}
    several = len(targets) > 1
    return ExtraTable(
        "Time to target" if several else f"Time to {times[0].target:g} %",
        (
            "case",
            *(("target, %",) if several else ()),
            *("hits", "steps", "s", "ms/step", "both", "fewer", "cheaper", "sooner"),
        ),
        1,
        tuple(
            (
                name(t.result),
                *((f"{t.target:g}",) if several else ()),
                *_target_row(t, baselines.get(t.result.case.group), beside.get(t.result.id)),
            )
            for t in times
        ),
        "hits: seeds that reached the target in the test after any epoch; steps × ms/step = s: those of the seed "
        "with the median time, training only; a seed that missed the target, diverged or failed counts as slower "
        "than its whole training, so the median exists only if half of the seeds reached it; fewer (steps) × "
        "cheaper (time per step) = sooner, each rounded: relative to the suite's baseline on the same model, up "
        "to the target, geometric means over the seeds in which both reached it (both); sooner is in brackets if "
        "it is not shown (intervals: --show verdicts --metric target_seconds)"
        + (f"; not compared: {TIMES_OF_STACKS}" if any(t.result.shares_times for t in times) else ""),
    )


def _target_row(t: TimeToTarget, baseline: TimeToTarget | None, verdict: Verdict | None) -> tuple[str, ...]:
    compared = verdict is not None or t is baseline  # not where more than the method differs
    why = split(t, baseline) if baseline is not None and compared else None
    shown = t is baseline or (verdict is not None and verdict.word in ("better", "worse"))
    seconds = three_figures(t.seconds) if t.seconds else f"> {three_figures(t.watched)}" if t.watched else NOTHING
    return (
        f"{t.hits}/{len(t.reached)}",
        f"{t.steps:,}" if t.steps else NOTHING,
        seconds,
        three_figures(1000 * t.step_seconds) if t.step_seconds else NOTHING,
        *((str(why.seeds), f"{why.steps:.2f}×", f"{why.cost:.2f}×") if why else (NOTHING,) * 3),
        (f"{why.time:.2f}×" if shown else f"({why.time:.2f}×)") if why else NOTHING,
    )


TIMES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Times of a profile in its table, in units of the whole training of the reference."""


def profile_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the performance profiles at TIMES; None if the suite has no target."""
    found = analysis.profiles.compared
    if not found:
        return None
    remark = analysis.profiles.remark
    return ExtraTable(
        "Performance profiles",
        ("method", "problems", *(f"{time:g}" for time in TIMES)),
        1,
        tuple((p.method, str(p.problems), *(f"{100 * p.share(time):.0f} %" for time in TIMES)) for p in found),
        "share of the problems (one model, one seed) that reached the target within this multiple of the time "
        "that the model's baseline (or its first case that was trained to the end) takes for its whole training"
        + (f"; {remark}" if remark else ""),
    )
