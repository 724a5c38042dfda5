"""The table of chances beside the verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.chances import chances_of, percent
from benchmnist.analysis.units import unit
from benchmnist.reports.extra_table import ExtraTable
from benchmnist.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult


def chances_table(verdicts: Sequence[Verdict], name: Callable[[CaseResult], str]) -> ExtraTable | None:
    """Returns the chances of each pair that has some; None if no pair has, such as without a margin.

    Args:
        verdicts: The verdicts.
        name: Names a case.
    """
    shown = [(v, found) for v in verdicts if (found := chances_of(v)) is not None]
    if not shown:
        return None
    counts = plural(unit(shown[0][0].one))
    margins = {v.margin_text for v, _ in shown}
    margin = f"the margin of {margins.pop()}" if len(margins) == 1 else "the margin"
    return ExtraTable(
        f"Chances of a difference of more than {margin}",
        ("case", "vs", "verdict", "better, %", "within, %", "worse, %"),
        3,
        tuple((name(v.one), name(v.other), v.word, *map(percent, found)) for v, found in shown),
        f"better, within, worse: chances that the case, over all {counts} like these, is better by more than "
        f"{margin}, differs by no more than it, or is worse by more than it, given the {counts} that both "
        "completed; each chance is about its pair alone: it is not corrected for the number of pairs, as verdicts "
        "are, and it supposes that before the run every difference was as likely as any other (a flat prior)",
    )
