"""A case in one row of figures, and how it compares with its baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import (
    MeanStd,
    case_figure,
    compared_figures,
    has_metric,
    is_compared,
    mean,
    seed_figures,
)
from benchmnist.metrics import EPOCH_SECONDS, find_metric
from benchmnist.suites.differences import differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Group


@dataclass(frozen=True)
class Summary:
    """The figures of a case; None for a figure that is missing or not finite.

    Attributes:
        result: The summarised result.
        figures: The figures that the case has, by the key of their metric.
        best: Highest value of the primary metric after any epoch of any seed; the lowest, if lower is better.
        speedup: Median epoch time of the baseline divided by this one's with the same seed, geometric mean over
            the seeds; above 1 is faster. None if more than the method differs, and for cases with the
            suite's own settings beside tuned ones: nobody compares them.
        gain: Mean over the seeds of the primary metric minus the baseline's with the same seed; likewise. None
            also if trials end by what they reach.
    """

    result: CaseResult
    figures: Mapping[str, MeanStd] = field(default_factory=dict)
    best: float | None = None
    speedup: float | None = None
    gain: float | None = None

    def mean(self, key: str) -> float | None:
        """Returns the value of a metric without its deviation.

        Raises:
            BenchmnistError: if the metric is unknown.
        """
        figure = self.figures.get(find_metric(key, self.result.case.measures).key)
        return figure and figure.mean

    @property
    def accuracy(self) -> float | None:
        """Value of the primary metric: test accuracy after the last epoch, %, mean over the seeds."""
        return self.mean(self.result.case.primary.key)

    @property
    def is_fine(self) -> bool:
        """Tells whether the case has no problem."""
        return self.status in ("ok", "reused")

    @property
    def status(self) -> str:
        """Status in a word or two: `ok`, `diverged 1/3` (of its seeds), `missed`, `failed`, `stopped`.

        `reused` is ok, from an earlier run.
        """
        result = self.result
        if result.status == "completed":
            return "missed" if result.misses else "reused" if result.reused_from else "ok"
        if result.status == "diverged":
            diverged = sum(trial.status == "diverged" for trial in result.trials)
            return f"diverged {diverged}/{len(result.case.seeds)}"
        return "stopped" if result.status == "interrupted" else result.status


def summarise(result: CaseResult, baseline: CaseResult | None = None) -> Summary:
    """Summarises a case, compared with its baseline, if any."""
    primary = result.case.primary
    reached = [v for trial in result.trials for e in trial.epochs if (v := e.figure(primary)) is not None]
    found = {each.key: case_figure(result, each) for each in result.case.measures if each.level != "step"}
    speedup = gain = None
    if baseline is not None and not result.case.untuned:
        ours = seed_figures(result, primary)
        theirs = seed_figures(baseline, primary) if has_metric(baseline, primary) else {}
        ours_log, theirs_log = (compared_figures(each, EPOCH_SECONDS) for each in (result, baseline))
        ratio = mean([theirs_log[seed] - ours_log[seed] for seed in ours_log if seed in theirs_log])
        if is_compared(result, primary) and not differences(result.case, baseline.case):
            gain = mean([ours[seed] - theirs[seed] for seed in ours if seed in theirs])
        if ratio is not None and not differences(result.case, baseline.case, EPOCH_SECONDS):
            speedup = math.exp(ratio)
    return Summary(
        result=result,
        figures={key: value for key, value in found.items() if value is not None},
        best=(max if primary.better == "higher" else min)(reached, default=None),
        speedup=speedup,
        gain=gain,
    )


def summarise_all(results: Sequence[CaseResult]) -> list[Summary]:
    """Summarises each case, in order, compared with its baseline.

    The baseline is the case of the same dataset, model and label with the suite's baseline method.
    """
    baselines = {(*result.case.group, result.case.method): result for result in results}
    return [
        summarise(result, baselines.get((*result.case.group, result.case.baseline or ""))) for result in results
    ]


def by_group(results: Iterable[CaseResult]) -> dict[Group, list[CaseResult]]:
    """Groups cases that are compared with each other, in order."""
    groups: dict[Group, list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    return groups


def group_title(group: Group) -> str:
    """Returns the title of a group, `mnist · fc-bn`, with the label of its block, if any."""
    return " · ".join(filter(None, group))
