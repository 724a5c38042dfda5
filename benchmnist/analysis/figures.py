"""The values of a metric: of a trial, of each seed of a case, and of the case."""

from __future__ import annotations

import functools
import math
import statistics
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from benchmnist.analysis.reached import NEVER, Reached, censored_median, reached
from benchmnist.analysis.statistics import robust_mean, sample_std
from benchmnist.analysis.units import JoinedResult
from benchmnist.metrics import (
    EPOCH_SECONDS,
    IMAGES_PER_SECOND,
    OPTIMIZER_STATE_BYTES,
    TARGET_STEPS,
    TO_TARGET,
    TRAINING_TIMES,
    Metric,
    comparable,
    curves,
    find_metric,
    metrics_with,
)
from benchmnist.suites.budgets import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmnist.runs.results import CaseResult, EpochResult, TrialResult

T = TypeVar("T")


class MeanStd(NamedTuple):
    """The value of a metric for a case: a mean over the seeds, and its sample standard deviation.

    `std` is None where fewer than two seeds have a value, or where the metric is measured once a case.
    """

    mean: float
    std: float | None = None


def _once(calculate: Callable[[CaseResult, Metric | str], T]) -> Callable[[CaseResult, Metric | str], T]:
    """Makes a result keep its figure by a metric: sentences, tables and marks ask for the same again and again."""
    keys: dict[str, str] = {}  # the same for all results

    @functools.wraps(calculate)
    def kept(result: CaseResult, wanted: Metric | str) -> T:
        name = wanted if isinstance(wanted, str) else wanted.key
        key = keys.get(name) or keys.setdefault(name, f"{calculate.__name__} {name}")
        if key not in result.calculated:
            result.calculated[key] = calculate(result, wanted)
        found: T = result.calculated[key]
        return found

    return kept


def metrics_of(results: Iterable[CaseResult]) -> tuple[Metric, ...]:
    """Every metric that some results may have a value for, those that they are ranked by first."""
    return metrics_with(tuple(dict.fromkeys(result.case.evaluates for result in results)))


def has_metric(result: CaseResult, metric: Metric) -> bool:
    """Tells whether a case is measured by a metric: cases of another task are not."""
    return any(each.key == metric.key for each in result.case.measures)


def is_compared(result: CaseResult, metric: Metric | None) -> bool:
    """Tells whether verdicts by a metric may be about a case; by None, what judges it, none are.

    Times of a stack are shares; figures at the end of a training say nothing where trials end by what they reach,
    each after another number of steps; and the first versions did not store the steps of an epoch.
    """
    if metric is None or (metric in TRAINING_TIMES and result.shares_times):
        return False
    if metric == TARGET_STEPS and not result.steps and result.has_epochs:
        return False
    return not (result.case.ends_early and metric.level == "epoch" and metric.over_epochs == "last")


def seed_figure(trial: TrialResult, metric: Metric, result: CaseResult) -> float | None:
    """Returns the value of a metric of seeds or epochs for a trial of a case; None if it was not measured."""
    if metric in TO_TARGET:
        target = target_of(result.case)
        return None if target is None else _effort(reached(trial, target, result.steps), metric)
    if metric.level == "seed":
        value = getattr(trial, metric.field, None)
        return None if value is None else float(value)
    if metric.over_epochs == "median":
        values = _values(trial, metric, result)
        return statistics.median(values) if values else None
    return trial.epochs[-1].figure(metric) if trial.epochs else None


def _effort(found: Reached, metric: Metric) -> float | None:
    value = found.steps if metric == TARGET_STEPS else found.seconds
    return value if math.isfinite(value) else None


def efforts(result: CaseResult) -> Mapping[int, Reached]:
    """Returns the effort of each completed seed to reach the target of the case; NEVER if it does not.

    Several searches are one case, in which a search counts as a seed: its curve is the mean of those of its seeds.
    Where these end by what they reach, they have no mean: its effort is the geometric mean of theirs, and NEVER if
    one of them does not reach the target.
    """
    target = target_of(result.case)
    if target is None:
        return {}
    completed = [trial for trial in result.trials if trial.status == "completed"]
    if isinstance(result, JoinedResult) and result.case.ends_early:
        of_search = {member.case.search: [*efforts(member).values()] for member in result.members}
        return {trial.seed: _geometric(of_search.get(trial.seed, ())) for trial in completed}
    return {trial.seed: reached(trial, target, result.steps) for trial in completed}


def _geometric(found: Sequence[Reached]) -> Reached:
    if not found or NEVER in found:
        return NEVER
    logarithms = ([math.log(max(value, 1e-300)) for value in each] for each in zip(*found, strict=True))
    return Reached(*(math.exp(statistics.fmean(each)) for each in logarithms))


def _values(trial: TrialResult, metric: Metric, result: CaseResult) -> list[float]:
    """Returns the value of a metric for each epoch; the time of one that was cut short is that of a whole one."""
    if metric != EPOCH_SECONDS:
        return [value for epoch in trial.epochs if (value := epoch.figure(metric)) is not None]
    epochs, share = _whole(trial, result)
    return [epoch.seconds / share for epoch in epochs]


def _whole(trial: TrialResult, result: CaseResult) -> tuple[tuple[EpochResult, ...], float]:
    """Returns the whole epochs of a trial, and 1; without one, the one that was cut short, and its share."""
    cut = trial.epochs[-1].steps if trial.epochs else None
    if cut is None:
        return trial.epochs, 1.0
    if len(trial.epochs) > 1 or not result.steps:
        return trial.epochs[:-1], 1.0
    return trial.epochs, cut / result.steps


@_once
def seed_figures(result: CaseResult, wanted: Metric | str) -> Mapping[int, float]:
    """Returns the value of a metric for each seed whose trial completed.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    metric = find_metric(wanted, [each for each in result.case.measures if each.level in ("seed", "epoch")])
    if metric in TO_TARGET:
        found = {seed: _effort(each, metric) for seed, each in efforts(result).items()}
        return {seed: value for seed, value in found.items() if value is not None}
    return {
        trial.seed: value
        for trial in result.trials
        if trial.status == "completed" and (value := seed_figure(trial, metric, result)) is not None
    }


def in_reference_work(result: CaseResult) -> dict[int, float] | None:
    """Returns the median time of an epoch for each seed that completed, in units of the reference work beside it.

    None if it was not measured beside every epoch.
    """
    completed = [trial for trial in result.trials if trial.status == "completed" and trial.epochs]
    found = {}
    for trial in completed:
        epochs, share = _whole(trial, result)
        found[trial.seed] = [e.seconds / share / e.reference_seconds for e in epochs if e.reference_seconds]
        if len(found[trial.seed]) < max(1, len(epochs)):
            return None
    return {seed: statistics.median(values) for seed, values in found.items()}


@_once
def lost_seeds(result: CaseResult, metric: Metric | str) -> frozenset[int]:
    """Returns the seeds of a case that ended without a finite value of a metric: they diverged or failed.

    A seed that was not trained yet, or was interrupted, is not lost.
    """
    values = seed_figures(result, metric)
    return frozenset(seed for seed in result.ended_seeds if not math.isfinite(values.get(seed, math.nan)))


@_once
def compared_figures(result: CaseResult, wanted: Metric | str) -> Mapping[int, float]:
    """Returns the finite values of `seed_figures`; for a `ratio` metric, their natural logarithms.

    There are none of those that are not compared: see `is_compared`.

    Raises:
        BenchmnistError: if the metric is unknown, or not comparable.
    """
    metric = find_metric(wanted, comparable(result.case.measures))
    if not is_compared(result, metric):
        return {}
    found = {seed: value for seed, value in seed_figures(result, metric).items() if math.isfinite(value)}
    return {seed: math.log(value) for seed, value in found.items() if value > 0} if metric.ratio else found


@_once
def case_figure(result: CaseResult, wanted: Metric | str) -> MeanStd | None:
    """Returns the value of a metric for a case; None if it has no finite value.

    For a metric of seeds or epochs, this is the mean over the completed seeds; if all epochs count, the median
    over the epochs of all seeds; for those TO_TARGET, the median over all seeds, where those that miss the target
    take longer than any other.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for a case.
    """
    metric = find_metric(wanted, [each for each in result.case.measures if each.level != "step"])
    if metric.level == "case":
        value = images_per_second(result) if metric == IMAGES_PER_SECOND else getattr(result, metric.field, None)
        # Of the others, 0 is in the runs that did not measure them.
        return MeanStd(value) if value or (value is not None and metric == OPTIMIZER_STATE_BYTES) else None
    values = [*seed_figures(result, metric).values()]
    if metric in TO_TARGET:
        middle = censored_median([*values, *[math.inf] * len(lost_seeds(result, metric))])
        return None if middle is None else MeanStd(middle)
    if metric.over_epochs == "median":
        every = [value for trial in result.trials for value in _values(trial, metric, result)]
        middle = statistics.median(every) if every else None
    else:
        middle = mean(values)
    if middle is None or not math.isfinite(middle):
        return None
    whole = len(values) > 1 and all(map(math.isfinite, values))
    return MeanStd(middle, sample_std(values) if whole else None)


def median_seconds(result: CaseResult) -> float | None:
    """Returns the median training time of all epochs of all seeds, in seconds; None if no epoch ended."""
    found = case_figure(result, EPOCH_SECONDS)
    return found and found.mean


def images_per_second(result: CaseResult) -> float | None:
    """Returns the training examples per second, by the median training time of an epoch."""
    seconds = median_seconds(result)
    return result.train_size / seconds if seconds and result.train_size else None


def mean(values: Sequence[float]) -> float | None:
    """Returns the mean; None without values, or if one is not finite."""
    return robust_mean(values) if values and all(map(math.isfinite, values)) else None


def trial_curve(trial: TrialResult, metric: Metric) -> list[float]:
    """Returns the value of a metric after each epoch; NaN if unmeasured, such as after a divergence."""
    values = [epoch.figure(metric) for epoch in trial.epochs]
    return [math.nan if value is None else value for value in values]


def mean_curve(result: CaseResult, metric: Metric) -> list[tuple[float, float] | None]:
    """Returns mean and sample standard deviation (0 for one seed) by epoch; None if no seed has a figure."""
    curves = [trial_curve(trial, metric) for trial in result.trials]
    points: list[tuple[float, float] | None] = []
    for epoch in range(max(map(len, curves))):
        values = [curve[epoch] for curve in curves if epoch < len(curve) and math.isfinite(curve[epoch])]
        std = sample_std(values) if len(values) > 1 else 0.0
        points.append((math.fsum(values) / len(values), std) if values else None)
    return points


def drawn_metrics(results: Sequence[CaseResult]) -> tuple[Metric, ...]:
    """The metrics whose curves are drawn of some results."""
    return measured(results, curves(metrics_of(results)))


def measured(results: Iterable[CaseResult], metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Chooses the metrics of epochs that at least one epoch has a value for; all of them, if no epoch has any.

    A run has no values for metrics that were added to the list after it.
    """
    epochs = [epoch for result in results for trial in result.trials for epoch in trial.epochs]
    there = tuple(metric for metric in metrics if any(epoch.figure(metric) is not None for epoch in epochs))
    return there or tuple(metrics)
