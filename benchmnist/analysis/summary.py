"""A case in one row of figures, and how it compares with its baseline."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmnist.runs.results import CaseResult, TrialResult
    from benchmnist.suites.cases import Group


@dataclass(frozen=True)
class Summary:
    """The figures of a case. None where there is no such figure, or none that is finite.

    Attributes:
        result: What is summarised.
        accuracy: Test accuracy after the last epoch, %, mean over the seeds; of the trials that completed.
        accuracy_std: Its sample standard deviation over the seeds; None for one seed.
        best_accuracy: The highest test accuracy after any epoch of any seed, %.
        train_loss: Mean training loss of the last epoch, mean over the seeds.
        test_loss: Test loss after the last epoch, mean over the seeds.
        epoch_seconds: Median training time of an epoch over all epochs of all seeds.
        images_per_second: Training examples by that time.
        speedup: The baseline's median epoch time by this one's; above 1 is faster.
        accuracy_gain: Mean over the seeds of the accuracy less the baseline's with the same seed, in points.
    """

    result: CaseResult
    accuracy: float | None
    accuracy_std: float | None
    best_accuracy: float | None
    train_loss: float | None
    epoch_seconds: float | None
    images_per_second: float | None
    test_loss: float | None = None
    speedup: float | None = None
    accuracy_gain: float | None = None

    @property
    def is_fine(self) -> bool:
        """Whether there is nothing to look into."""
        return self.status in ("ok", "reused")

    @property
    def status(self) -> str:
        """`ok`, or what happened: `diverged 1/3` of its seeds, `missed` what is expected, `failed`, `stopped`.

        `reused`: it is ok, and was taken from an earlier run.
        """
        result = self.result
        if result.status == "completed":
            return "missed" if result.misses else "reused" if result.reused_from else "ok"
        if result.status == "diverged":
            diverged = sum(trial.status == "diverged" for trial in result.trials)
            return f"diverged {diverged}/{len(result.case.seeds)}"
        return "stopped" if result.status == "interrupted" else result.status


def summarise(result: CaseResult, baseline: CaseResult | None = None) -> Summary:
    """The figures of a case, compared with those of its baseline if there is one."""
    trials = final_accuracies(result)
    accuracies = list(trials.values())
    reached = [e.test_accuracy for t in result.trials for e in t.epochs if e.test_accuracy is not None]
    last = [trial.epochs[-1] for trial in result.trials if trial.status == "completed"]
    seconds = median_seconds(result)
    speedup = gain = None
    if baseline is not None:
        theirs = final_accuracies(baseline)
        their_seconds = median_seconds(baseline)
        gain = _mean([trials[seed] - theirs[seed] for seed in trials if seed in theirs])
        speedup = their_seconds / seconds if seconds and their_seconds else None
    return Summary(
        result=result,
        accuracy=_mean(accuracies),
        accuracy_std=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        best_accuracy=max(reached, default=None),
        train_loss=_mean([epoch.train_loss for epoch in last]),
        test_loss=_mean([epoch.test_loss for epoch in last if epoch.test_loss is not None]),
        epoch_seconds=seconds,
        images_per_second=result.train_size / seconds if seconds and result.train_size else None,
        speedup=speedup,
        accuracy_gain=gain,
    )


def summarise_all(results: Sequence[CaseResult]) -> list[Summary]:
    """A summary of each case, in order, each compared with its baseline.

    That is the case of the same dataset, model and label whose method the suite calls the baseline.
    """
    baselines = {(*result.case.group, result.case.method): result for result in results}
    return [
        summarise(result, baselines.get((*result.case.group, result.case.baseline or ""))) for result in results
    ]


def final_accuracies(result: CaseResult) -> dict[int, float]:
    """The final test accuracy of each seed whose trial completed, %."""
    return {
        trial.seed: accuracy
        for trial in result.trials
        if trial.status == "completed" and (accuracy := trial.epochs[-1].test_accuracy) is not None
    }


def median_seconds(result: CaseResult) -> float | None:
    """The median training time of an epoch over all epochs of all seeds; None where none ended."""
    seconds = [epoch.seconds for trial in result.trials for epoch in trial.epochs]
    return statistics.median(seconds) if seconds else None


def _mean(values: Sequence[float]) -> float | None:
    """None of nothing, and of what is not finite."""
    return math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else None


def by_group(results: Iterable[CaseResult]) -> dict[Group, list[CaseResult]]:
    """What is compared with each other, in order."""
    groups: dict[Group, list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    return groups


def group_title(group: Group) -> str:
    """`mnist · fc-bn`, and the label of the block if it has one."""
    return " · ".join(filter(None, group))


def trial_curve(trial: TrialResult, metric: str) -> list[float]:
    """A field of each EpochResult; NaN where there is no such figure, as where the trial had diverged."""
    values = [getattr(epoch, metric) for epoch in trial.epochs]
    return [math.nan if value is None else float(value) for value in values]


def mean_curve(result: CaseResult, metric: str) -> list[tuple[float, float] | None]:
    """Mean and sample standard deviation (0 of one) over the seeds, by epoch; None where no seed has a figure."""
    curves = [trial_curve(trial, metric) for trial in result.trials]
    points: list[tuple[float, float] | None] = []
    for epoch in range(max(map(len, curves))):
        values = [curve[epoch] for curve in curves if epoch < len(curve) and math.isfinite(curve[epoch])]
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        points.append((math.fsum(values) / len(values), std) if values else None)
    return points
