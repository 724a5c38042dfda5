"""Tables of the times to a target, of the steps saved at equal loss, and of the performance profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.targets import split
from benchmnist.analysis.units import unit
from benchmnist.metrics import TARGET_SECONDS, TARGET_STEPS
from benchmnist.reports.columns import TIMES_OF_STACKS, three_figures
from benchmnist.reports.extra_table import NOTHING, ExtraTable, namer
from benchmnist.text import decimals, plural

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.steps_saved import StepsSaved
    from benchmnist.analysis.targets import TimeToTarget
    from benchmnist.analysis.verdicts import Verdict


def target_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the time of each case to its target, and its causes; None if the suite has no target."""
    times = [time for time in analysis.times_to_target if analysis.tells(time.result.case.group)]
    if not times:
        return None
    name = namer(analysis.run)
    baselines = {t.result.case.group: t for t in times if t.result.case.is_baseline}
    by_time, by_steps = (analysis.against_baseline(metric) for metric in (TARGET_SECONDS, TARGET_STEPS))
    targets = {t.target for t in times}
    several, some_gave_up = len(targets) > 1, any(t.gave_up for t in times)
    return ExtraTable(
        "Time to target" if several else f"Time to {times[0].target}",
        (
            "case",
            *(("target",) if several else ()),
            "hits",
            *(("gave up",) if some_gave_up else ()),
            *("steps", "s", "ms/step", "both", "fewer", "cheaper", "sooner"),
        ),
        1,
        tuple(
            (
                name(t.result),
                *((str(t.target),) if several else ()),
                f"{t.hits}/{len(t.reached)}",
                *((str(t.gave_up),) if some_gave_up else ()),
                *_target_row(
                    t, baselines.get(t.result.case.group), by_time.get(t.result.id), by_steps.get(t.result.id)
                ),
            )
            for t in times
        ),
        "hits: seeds that reached the target in any evaluation; "
        + ("gave up: seeds that stopped, since it seemed out of reach; " if some_gave_up else "")
        + "steps × ms/step = s: those of the seed with the median time, training only; a seed that missed the "
        "target, diverged or failed counts as slower than its whole training, so the median exists only if half "
        "of the seeds reached it; fewer (steps) × cheaper (time per step) = sooner, each rounded: relative to the "
        "suite's baseline on the same model, up to the target, geometric means over the seeds in which both "
        "reached it (both); fewer and sooner are in brackets if they are not shown (intervals: --show verdicts "
        "--metric target_steps or target_seconds)"
        + (f"; not compared: {TIMES_OF_STACKS}" if any(t.result.shares_times for t in times) else ""),
    )


def _target_row(
    t: TimeToTarget, baseline: TimeToTarget | None, by_time: Verdict | None, by_steps: Verdict | None
) -> tuple[str, ...]:
    timed = by_time is not None or (t is baseline and not t.result.shares_times)
    compared = by_steps is not None or timed or t is baseline  # not where more than the method differs
    why = split(t, baseline) if baseline is not None and compared else None

    def shown(ratio: float, verdict: Verdict | None) -> str:
        """Formats a ratio, in brackets if no difference is shown."""
        is_shown = t is baseline or (verdict is not None and verdict.word in ("better", "worse"))
        return f"{ratio:.2f}×" if is_shown else f"({ratio:.2f}×)"

    seconds = three_figures(t.seconds) if t.seconds else f"> {three_figures(t.watched)}" if t.watched else NOTHING
    return (
        f"{t.steps:,}" if t.steps else NOTHING,
        seconds,
        three_figures(1000 * t.step_seconds) if t.step_seconds else NOTHING,
        *((str(why.seeds), shown(why.steps, by_steps)) if why else (NOTHING,) * 2),
        *((f"{why.cost:.2f}×", shown(why.time, by_time)) if why and timed else (NOTHING,) * 2),
    )


def saved_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the steps that methods save at equal loss; None without evaluations within epochs."""
    found = [each for each in analysis.steps_saved if analysis.tells(each.verdict.one.case.group)]
    if not found:
        return None
    name, seeds = namer(analysis.run), plural(unit(found[0].verdict.one))
    of = found[0].verdict.of
    held = f"those of all {of} comparisons hold at once with" if of > 1 else "it has"
    return ExtraTable(
        "Steps saved at equal loss",
        ("case", "vs", "verdict", "saved", "interval", "share", "test loss", "lower", seeds),
        3,
        tuple((name(each.verdict.one), name(each.verdict.other), *_saved_row(each)) for each in found),
        "saved: steps after which the other is first at the lowest test loss that both reach, minus those of the "
        f"case, mean over the {seeds} that completed in both; interval: {held} a confidence of {1 - LEVEL:.0%}; "
        "share: of the steps for which the other was trained; test loss: at which they are compared, mean; lower: "
        f"{seeds} in which the case ends lower; a step is that of the first evaluation there, so steps that are "
        "saved by getting there first are understated by less than one interval of evaluations",
    )


def _saved_row(each: StepsSaved) -> tuple[str, ...]:
    v = each.verdict
    word = {"better": "saves steps", "worse": "needs more", "identical": "needs as many"}.get(v.word, v.word)
    found = amount_of(v)
    mean, *ends = (v.metric.change(value, found.digits) for value in (found.mean, *(found.interval or ())))
    return (
        word,
        mean,
        " to ".join(ends) or NOTHING,
        f"{each.share:+.0%}",
        decimals(each.loss, 4),
        f"{each.lower}/{v.paired.n}",
        str(v.paired.n),
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
