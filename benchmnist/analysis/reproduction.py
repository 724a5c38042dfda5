"""Judges whether a trial that was trained again is consistent with what a run reports of it.

The same bits are always consistent. Other bits are not, where everything that decides the bits is the same and the
training repeats its own bits here. Elsewhere, the reported figure must be within what the other seeds and the new
trial predict, and the new one within what the reported seeds predict.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmnist.analysis.bits import differences, first_difference
from benchmnist.analysis.figures import seed_figure, seed_figures
from benchmnist.analysis.statistics import LEVEL, sample_std, student
from benchmnist.runs.results import FAILURES
from benchmnist.text import cause_of, counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, TrialResult

Word = Literal["the same, bit for bit", "consistent", "not consistent", "cannot be checked"]

LEAST_SEEDS = 3
"""Fewer seeds say nothing of their spread."""

Range = tuple[float, float]
"""From, to."""


@dataclass(frozen=True)
class Reproduction:
    """A reported trial, beside the same trial trained again.

    Attributes:
        case_id: The case.
        seed: The seed.
        metric: The metric that the case is judged by.
        reported: Its reported value after the last epoch; None if the trial has none.
        again: Its value in the new trial; None if that has none.
        expected: The reported values that count as consistent, where the bits need not be the same: from, to.
        word: The verdict.
        reason: What the verdict is based on; empty if the bits are the same.
        status: Status of the reported trial.
        status_again: Status of the new trial; empty if it was not trained.
        seconds: Reported training time of all epochs, in seconds.
        seconds_again: The same of the new trial.
    """

    case_id: str
    seed: int
    metric: Metric
    word: Word
    reason: str = ""
    reported: float | None = None
    again: float | None = None
    expected: Range | None = None
    status: str = ""
    status_again: str = ""
    seconds: float | None = None
    seconds_again: float | None = None


def reproduction(
    result: CaseResult,
    seed: int,
    again: CaseResult | None,
    *,
    repeated: CaseResult | None = None,
    of: int = 1,
    why_not: str = "",
) -> Reproduction:
    """Judges a trial.

    Args:
        result: The reported result of its case, which has a trial of that seed.
        seed: The seed.
        again: The result of training it again; None if that was impossible.
        repeated: The result of training it once more on the same machine, to know whether it repeats its bits.
        of: Number of trials that are judged together: the level is shared among them.
        why_not: Reason why it could not be trained.
    """
    reported, found = _trial(result, seed), _trial(again, seed)
    if reported is None:
        raise ValueError(f"{result.id} has no trial with the seed {seed}")
    metric = result.case.primary
    word, reason, expected = _verdict(result, reported, again, repeated=repeated, of=of, why_not=why_not)
    return Reproduction(
        case_id=result.id,
        seed=seed,
        metric=metric,
        word=word,
        reason=reason,
        reported=seed_figure(reported, metric, result) if reported.status == "completed" else None,
        again=seed_figure(found, metric, result) if found is not None and found.status == "completed" else None,
        expected=expected,
        status=reported.status,
        status_again=found.status if found else again.status if again else "",
        seconds=_seconds(reported),
        seconds_again=_seconds(found),
    )


def must_repeat(result: CaseResult, seed: int, again: CaseResult) -> bool:
    """Tells whether a new trial has other bits, although everything that decides them is the same."""
    reported, found = _trial(result, seed), _trial(again, seed)
    return (
        reported is not None
        and found is not None
        and found.status not in FAILURES
        and bool(first_difference(reported, found))
        and not differences(result, again)
    )


def _verdict(
    result: CaseResult,
    reported: TrialResult,
    again: CaseResult | None,
    *,
    repeated: CaseResult | None,
    of: int,
    why_not: str,
) -> tuple[Word, str, Range | None]:
    """Returns the word, the reason and the expected range."""
    found = _trial(again, reported.seed)
    if again is None:
        return "cannot be checked", why_not, None
    if found is None or found.status in FAILURES:
        said = cause_of(again.error or "") or "no reason given"
        if reported.status in FAILURES:
            return "consistent", f"failed in the run and here: {said}", None
        return "cannot be checked", f"{again.status} here: {said}", None
    if reported.status in FAILURES:
        return "cannot be checked", f"{reported.status} in the run, {found.status} here", None
    for name in ("parameters", "train_size", "steps"):  # whatever the machine
        before, now = getattr(result, name), getattr(again, name)
        if before and before != now:  # the first versions recorded none
            return "not consistent", f"{name.replace('_', ' ')} {before} in the run, {now} here", None
    difference = first_difference(reported, found)
    if not difference:
        return "the same, bit for bit", "", None
    others = differences(result, again)
    if not others:
        once_more = _trial(repeated, reported.seed)
        if once_more is not None and not first_difference(found, once_more):
            return "not consistent", f"{difference}; trained twice here, with the same bits", None
        others = ["the training does not repeat its bits here"]
    return _by_the_spread(result, reported, again, found, of=of, others="; ".join(others))


def _by_the_spread(
    result: CaseResult, reported: TrialResult, again: CaseResult, found: TrialResult, *, of: int, others: str
) -> tuple[Word, str, Range | None]:
    """Judges a trial whose bits need not be those that are reported."""
    if found.status != reported.status:
        word, said = _of_another_status(result, reported, found, of)
        return word, f"{said} ({others})", None
    if found.status == "diverged":
        return "consistent", f"diverged in the run and here ({others})", None
    metric, seed = result.case.primary, reported.seed
    there, here = seed_figures(result, metric), seed_figures(again, metric)
    if seed not in there or seed not in here:
        return "cannot be checked", f"{metric.title} is missing", None
    if not all(map(math.isfinite, (*there.values(), *here.values()))):
        return "cannot be checked", f"{metric.title} is not finite ({others})", None
    if len(there) < LEAST_SEEDS:
        few = counted(len(there), "seed")
        return "cannot be checked", f"no spread to compare with: {few} reported ({others})", None
    return _of_values(metric, there, here, seed, of=of, others=others)


def _of_values(
    metric: Metric, there: Mapping[int, float], here: Mapping[int, float], seed: int, *, of: int, others: str
) -> tuple[Word, str, Range | None]:
    """Judges the reported value of a seed by the new ones and those of the other seeds."""
    if {*there.values()} == {here[seed]}:
        return "consistent", f"the same {metric.title} ({others})", None
    of_reported, of_new = expected_ranges(there, here, seed, of=of, ratio=metric.ratio)
    wrong = []
    if of_reported and not of_reported[0] <= there[seed] <= of_reported[1]:
        wrong.append(
            f"{_outside(metric, there[seed], of_reported)} that the other seeds and the new results predict"
        )
    if of_new and not of_new[0] <= here[seed] <= of_new[1]:
        wrong.append(f"{_outside(metric, here[seed], of_new)} that the reported seeds predict")
    if wrong:
        return "not consistent", f"{'; '.join(wrong)} ({others})", of_reported
    if of_reported is None or of_new is None:
        said = "no spread to compare with: no differences between the reported seeds"
        return "cannot be checked", f"{said}{'' if of_new is None else ' but this one'} ({others})", None
    return "consistent", others, of_reported


def _outside(metric: Metric, value: float, expected: Range) -> str:
    return f"{metric.text(value)} is outside of the {metric.text(expected[0])} to {metric.text(expected[1])}"


def _of_another_status(result: CaseResult, reported: TrialResult, found: TrialResult, of: int) -> tuple[Word, str]:
    """Judges a trial that diverged in one of the two trainings: its figures have nothing to be compared with.

    If the seeds of the run and the new trial are alike, each trial of those with the status of the new one is the
    new one with the same probability.
    """
    statuses = [trial.status for trial in result.trials if trial.status not in FAILURES]
    there = statuses.count(found.status)
    said = f"{reported.status} in the run, {found.status} here"
    said += f"; {there} of the {counted(len(statuses), 'reported seed')} {found.status}"
    unlikely = (there + 1) / (len(statuses) + 1) <= LEVEL / of
    return ("not consistent" if unlikely else "cannot be checked"), said


def expected_ranges(
    there: Mapping[int, float], here: Mapping[int, float], seed: int, *, of: int = 1, ratio: bool = False
) -> tuple[Range | None, Range | None]:
    """Returns the ranges of the reported and of the new value of a seed.

    No value is judged by a range that it widened itself. The reported one is judged by the other reported ones
    together with the new one; and by the new ones alone, from LEAST_SEEDS on, where no number of false reports can
    hide another. The new one is judged by all reported ones, which finds a case whose seeds are all reported too
    high. If all values are normal and alike, and the new ones independent of the reported ones, one of the two is
    outside of its range with a probability of LEVEL / `of` at most; if they are positively correlated, less often.

    Args:
        there: Reported values, by seed.
        here: New values, by seed.
        seed: The seed to judge, which has both.
        of: Number of trials that are judged together: the level is shared among them.
        ratio: Whether the values are compared by their logarithms.

    Returns:
        The two ranges, from and to. One is None if the values that it is predicted from do not differ.
    """
    if ratio and min(*there.values(), *here.values()) > 0:
        logs = ({key: math.log(value) for key, value in each.items()} for each in (there, here))
        found = expected_ranges(next(logs), next(logs), seed, of=of)
        of_reported, of_new = (each and (math.exp(each[0]), math.exp(each[1])) for each in found)
        return of_reported, of_new
    judged_by = [[here[seed], *(value for key, value in there.items() if key != seed)]]
    if len(here) >= LEAST_SEEDS:
        judged_by.append([*here.values()])
    level = LEVEL / of / (len(judged_by) + 1)
    ranges = [each for values in judged_by if (each := _range_of_one_more(values, level, near=here[seed]))]
    narrowest = (max(low for low, _ in ranges), min(high for _, high in ranges)) if ranges else None
    return narrowest, _range_of_one_more([*there.values()], level, near=there[seed])


def _range_of_one_more(values: Sequence[float], level: float, near: float) -> Range | None:
    """Returns the prediction interval of one more value (Geisser 1993, Predictive Inference, 1.1).

    It also has what is as near to the other value of the seed: one that is stuck in both trainings is no error.
    """
    spread = sample_std(values)
    if not spread > 0:
        return None
    half, mean = spread_factor(len(values), level) * spread, statistics.fmean(values)
    return min(mean, near) - half, max(mean, near) + half


def spread_factor(number: int, level: float) -> float:
    """Returns how many standard deviations of so many values one more is away from their mean, at that level."""
    return student(level, number - 1) * math.sqrt(1 + 1 / number)


def _trial(result: CaseResult | None, seed: int) -> TrialResult | None:
    trials = result.trials if result else ()
    return next((trial for trial in trials if trial.seed == seed), None)


def _seconds(trial: TrialResult | None) -> float | None:
    return sum(epoch.seconds for epoch in trial.epochs) if trial else None
