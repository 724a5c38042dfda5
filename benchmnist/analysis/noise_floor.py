"""The noise floor: how far apart the baseline and the same under another name come out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import compared_figures
from benchmnist.analysis.statistics import Sample, welch
from benchmnist.metrics import EPOCH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Group


@dataclass(frozen=True)
class Floor:
    """Differences up to this come about where there is nothing to find.

    Attributes:
        primary: Of two means over the seeds of the primary metric; None where it cannot be told.
        ratio: Of two epoch times, the larger by the smaller; None where it cannot be told.
    """

    primary: float | None
    ratio: float | None


def noise_floors(results: Sequence[CaseResult]) -> dict[Group, Floor]:
    """The floor of each group that has a control: the baseline once more, with other seeds.

    It is the larger of what the two differ by and the half of the interval of that difference (Welch): a floor
    taken from two means that are near each other by chance would let everything pass.
    """
    baselines = {r.case.group: r for r in results if r.case.method == r.case.baseline}
    floors = {}
    for control in results:
        baseline = baselines.get(control.case.group)
        if control.case.control and baseline is not None:
            times = _apart(control, baseline, EPOCH_SECONDS)
            floors[control.case.group] = Floor(
                _apart(control, baseline, baseline.case.primary), None if times is None else math.exp(times)
            )
    return floors


def _apart(control: CaseResult, baseline: CaseResult, metric: Metric) -> float | None:
    one, other = ([*compared_figures(each, metric).values()] for each in (control, baseline))
    if min(len(one), len(other)) < 2:  # noqa: PLR2004 - one seed has no spread
        return None
    difference, half, _ = welch(Sample.of(one), Sample.of(other))
    return max(abs(difference), half)
