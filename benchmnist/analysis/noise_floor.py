"""The noise floor: the difference between the baseline and the same case with other seeds."""

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
    """The largest differences that chance alone explains.

    Attributes:
        primary: Difference of two means over the seeds of the primary metric; None if unknown.
        ratio: Ratio of two epoch times, the larger divided by the smaller; None if unknown.
    """

    primary: float | None
    ratio: float | None


def noise_floors(results: Sequence[CaseResult]) -> dict[Group, Floor]:
    """Returns the floor of each group that has a control: the baseline once more, with other seeds.

    The floor is the larger of the difference of the two and half the interval of that difference (Welch): a floor
    from two means that are near each other by chance would let everything pass.
    """
    baselines = {r.case.group: r for r in results if r.case.is_baseline}
    floors = {}
    for control in results:
        baseline = baselines.get(control.case.group)
        if control.case.control and baseline is not None:
            times = _difference(control, baseline, EPOCH_SECONDS)
            floors[control.case.group] = Floor(
                _difference(control, baseline, baseline.case.primary), None if times is None else math.exp(times)
            )
    return floors


def _difference(control: CaseResult, baseline: CaseResult, metric: Metric) -> float | None:
    one, other = ([*compared_figures(each, metric).values()] for each in (control, baseline))
    if min(len(one), len(other)) < 2:  # noqa: PLR2004 - one seed has no spread
        return None
    difference, half, _ = welch(Sample.of(one), Sample.of(other))
    return max(abs(difference), half)
