"""The steps that a method saves against another at equal loss, from measured curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.analysis.courses import is_fine, points
from benchmnist.analysis.pairs import MOST_PAIRS, Pair, are_more, compared
from benchmnist.analysis.statistics import Paired
from benchmnist.analysis.verdicts import Verdict
from benchmnist.metrics import Metric, find_metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.runs.results import CaseResult, TrialResult

STEPS_SAVED = Metric("steps_saved", "steps saved at equal loss", "steps", "higher", "seed", digits=0)
"""The metric of its verdicts; not in METRICS, since a pair of cases has it, and no case."""
LOSS = "test_loss"

Curve = tuple[tuple[int, float], ...]
"""The evaluations of a trial at which its loss was lower than ever before: (steps, loss), in their order."""


class Saved(NamedTuple):
    """The outcome of one seed.

    Attributes:
        steps: Steps that the method saves; negative if it needs more.
        share: The same, as a share of the steps for which the other was trained.
        loss: The loss at which they are compared: the lowest that both reach.
        is_lower: Whether the lowest loss of the method is lower than that of the other.
    """

    steps: int
    share: float
    loss: float
    is_lower: bool


@dataclass(frozen=True)
class StepsSaved:
    """The steps that one case saves against another.

    Attributes:
        verdict: On these steps, over the seeds: its interval, and its family of these comparisons.
        seeds: The outcome of each seed that completed in both.
    """

    verdict: Verdict
    seeds: Mapping[int, Saved]

    @property
    def share(self) -> float:
        """Mean of the shares, over the seeds."""
        return math.fsum(each.share for each in self.seeds.values()) / len(self.seeds)

    @property
    def loss(self) -> float:
        """Mean of the losses of comparison, over the seeds."""
        return math.fsum(each.loss for each in self.seeds.values()) / len(self.seeds)

    @property
    def lower(self) -> int:
        """Number of seeds in which the method ends lower."""
        return sum(each.is_lower for each in self.seeds.values())


def best_so_far(trial: TrialResult, steps: int, metric: Metric) -> Curve:
    """Returns the curve of a trial, of which an epoch has so many steps: where its loss is lower than before."""
    found: list[tuple[int, float]] = []
    for point in points(trial, steps):
        loss = point.figure(metric)
        if loss is not None and math.isfinite(loss) and (not found or loss < found[-1][1]):
            found.append((point.step, loss))
    return tuple(found)


def steps_to(curve: Curve, loss: float) -> int:
    """Returns the steps before the first evaluation that is at a loss, or lower; the curve must get there."""
    return next(step for step, reached in curve if reached <= loss)


def saved_steps(method: Curve, other: Curve) -> tuple[int, float]:
    """Returns the steps that a method saves against another, and the loss of the comparison.

    The loss is the lowest that both reach: the best of the one that ends higher. So each is asked only for a loss
    that it was seen to reach, and nothing is censored; and the steps that one saves are those that the other
    loses. A step counts as that of the first evaluation that is at this loss or lower, which is up to one interval
    of evaluations late for the one that ends lower, and exact for the other: what one saves by getting there
    first is understated by less than an interval. Nothing is assumed between evaluations, so a monotone
    transformation of the loss changes nothing.
    """
    loss = max(method[-1][1], other[-1][1])
    return steps_to(other, loss) - steps_to(method, loss), loss


def steps_saved(results: Sequence[CaseResult], *, looks: int = 1) -> list[StepsSaved]:
    """Returns the steps that cases save against those that the suite compares them with, in its order.

    These are the primary comparisons within a group: with the baseline, or those that the suite names. Both cases
    must be evaluated within their epochs, by a test loss of which less is better. They are one family: with a
    chance of 0.95, all their intervals hold at every look, if the differences are normally distributed.

    Args:
        results: The results of a run, as verdicts judge them: see `units.by_search`.
        looks: How often the results are looked at while seeds are added, as announced beforehand.
    """
    fine = [result for result in results if _loss_of(result) is not None and is_fine(result)]
    made = [found for pair in _primary(fine) if (found := _compared(pair)) is not None]
    of = looks * len(made)
    return [replace(each, verdict=replace(each.verdict, of=of)) for each in made]


def _primary(results: Sequence[CaseResult]) -> Iterator[Pair]:
    metric = find_metric(LOSS)
    if are_more(MOST_PAIRS, (result.case for result in results)):
        from benchmnist.analysis.many_pairs import ManyPairs

        by_id = {result.id: result for result in results}
        listed = ManyPairs((result.case for result in results), metric).listed({})
        pairs = [Pair(by_id[each.one.id], by_id[each.other.id], each.family) for each in listed]
    else:
        pairs = compared(results, metric)
    yield from (p for p in pairs if p.family == "primary" and p.one.case.group == p.other.case.group)


def _loss_of(result: CaseResult) -> Metric | None:
    return next((each for each in result.case.evaluates if each.key == LOSS and each.better == "lower"), None)


def _compared(pair: Pair) -> StepsSaved | None:
    """Compares two cases; None if no seed completed in either."""
    metric = _loss_of(pair.one) or find_metric(LOSS)
    ours, theirs = (
        {
            trial.seed: curve
            for trial in result.trials
            if trial.status == "completed" and (curve := best_so_far(trial, result.steps, metric))
        }
        for result in (pair.one, pair.other)
    )
    lost = (
        pair.one.ended_seeds - ours.keys() & theirs.keys(),
        pair.other.ended_seeds - theirs.keys() & ours.keys(),
    )
    budgets = {t.seed: [*points(t, pair.other.steps)][-1].step for t in pair.other.trials if t.seed in theirs}
    found = {}
    for seed in ours:
        if seed in theirs:
            steps, loss = saved_steps(ours[seed], theirs[seed])
            lower = ours[seed][-1][1] < theirs[seed][-1][1]
            found[seed] = Saved(steps, steps / budgets[seed], loss, lower)
    if not found:
        return None
    paired = Paired(tuple(float(each.steps) for each in found.values()))
    return StepsSaved(Verdict(pair.one, pair.other, STEPS_SAVED, paired, None, pair.family, lost=lost), found)
