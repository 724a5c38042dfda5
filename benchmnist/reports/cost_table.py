"""The table of what the optimizers of a run cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.reports.columns import size, three_figures
from benchmnist.reports.extra_table import NOTHING, ExtraTable, namer

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.runs.results import CaseResult

TITLE = "What it costs"
HEADS = ("case", "may be", "state", "B/weight", "passes", "forward", "backward", "update", "share of a step")


def cost_table(analysis: Analysis) -> ExtraTable | None:
    """Returns what the optimizer of each case costs; None if no case has counted it."""
    name = namer(analysis.run)
    counted = [each for each in analysis.run.cases if each.costs or each.optimizer_state_bytes is not None]
    results = [each for each in counted if analysis.tells(each.case.group)]
    if not results:
        return None
    about = (
        "may be: fused (its update made by one kernel), captured and stacked, as the optimizer says; state: bytes "
        "that it keeps at the end of a trial, beside the weights; passes: forward and backward passes of a step"
    )
    if any(result.cost_seconds for result in results):
        about += (
            "; forward, backward, update: median times of the parts of plain steps, made after the training for "
            "nothing else, each with the device at rest before and after, and * where the update was fused; share "
            "of a step: of the update, in the sum of the three"
        )
    return ExtraTable(TITLE, HEADS, 2, tuple(_row(result, name(result)) for result in results), about)


def _row(result: CaseResult, name: str) -> tuple[str, ...]:
    costs, state, seconds = result.costs, result.optimizer_state_bytes, result.cost_seconds
    abilities = (
        {"fused": costs.may_fuse, "captured": costs.may_capture, "stacked": costs.may_stack} if costs else {}
    )
    times = [NOTHING] * 4
    if costs and seconds:
        parts = (seconds.forward, seconds.backward, seconds.update)
        times = [*map(duration, parts), f"{seconds.update / (sum(parts) or 1):.0%}"]
        times[2] += "*" if costs.fused else ""
    return (
        name,
        ", ".join(able for able, may in abilities.items() if may) or NOTHING,
        NOTHING if state is None else size(state),
        NOTHING if state is None or not result.parameters else f"{state / result.parameters:.3g}",
        NOTHING if costs is None or costs.passes is None else f"{costs.passes:g}",
        *times,
    )


def duration(seconds: float) -> str:
    """Formats a short time: `412 µs`, `3.20 ms`, `1.25 s`."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 1000:  # noqa: PLR2004
            return f"{three_figures(seconds * factor)} {unit}"
    return f"{three_figures(seconds)} s"
