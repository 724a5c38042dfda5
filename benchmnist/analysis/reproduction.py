"""Judges whether a trial that was trained again is consistent with what a run reports of it.

The same bits are always consistent. Other bits are not, where everything that decides the bits is the same and the
training repeats its own bits here. Elsewhere, the figure of the new trial must be within a prediction interval of
the reported seeds.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmnist.analysis.figures import seed_figure, seed_figures
from benchmnist.analysis.statistics import LEVEL, student
from benchmnist.runs.results import FAILURES
from benchmnist.text import counted, last_line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, EpochResult, TrialResult

Word = Literal["the same, bit for bit", "consistent", "not consistent", "cannot be checked"]

LEAST_SEEDS = 3
"""Fewer seeds say nothing of their spread."""

SEEDS_FOR_THE_SAME = 5
"""With fewer seeds, the comparison with the same seed could find nothing: the other takes all of the level."""

NOT_DECIDING = frozenset({"device", "cores", "python", "torchvision", "driver", "fingerprint"})
"""Properties of an environment that do not decide the bits of a result; of the device, its name does."""


@dataclass(frozen=True)
class Reproduction:
    """A reported trial, beside the same trial trained again.

    Attributes:
        case_id: The case.
        seed: The seed.
        metric: The metric that the case is judged by.
        reported: Its reported value after the last epoch; None if the trial has none.
        again: Its value in the new trial; None if that has none.
        expected: The values that count as consistent, where the bits need not be the same: from, to.
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
    expected: tuple[float, float] | None = None
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
        reported=seed_figure(reported, metric, result.case) if reported.status == "completed" else None,
        again=seed_figure(found, metric, result.case)
        if found is not None and found.status == "completed"
        else None,
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
) -> tuple[Word, str, tuple[float, float] | None]:
    """Returns the word, the reason and the expected range."""
    found = _trial(again, reported.seed)
    if again is None:
        return "cannot be checked", why_not, None
    if found is None or found.status in FAILURES:
        said = last_line_of(again.error or "") or "no reason given"
        if reported.status in FAILURES:
            return "consistent", f"failed in the run and here: {said}", None
        return "cannot be checked", f"{again.status} here: {said}", None
    if reported.status in FAILURES:
        return "cannot be checked", f"{reported.status} in the run, {found.status} here", None
    difference = first_difference(reported, found)
    if not difference:
        return "the same, bit for bit", "", None
    others = differences(result, again)
    if not others:
        once_more = _trial(repeated, reported.seed)
        if once_more is not None and not first_difference(found, once_more):
            return "not consistent", f"{difference}; trained twice here, with the same bits", None
        others = ["the training does not repeat its bits here"]
    return _within_the_spread(result, reported, found, of, "; ".join(others))


def _within_the_spread(
    result: CaseResult, reported: TrialResult, found: TrialResult, of: int, others: str
) -> tuple[Word, str, tuple[float, float] | None]:
    """Judges a trial whose bits need not be those that are reported."""
    if found.status != reported.status:
        return (*_of_another_status(result, reported, found, of), None)
    if found.status == "diverged":
        return "consistent", f"diverged in the run and here ({others})", None
    metric = result.case.primary
    values, value = seed_figures(result, metric), seed_figure(found, metric, result.case)
    if value is None or reported.seed not in values:
        return "cannot be checked", f"{metric.title} is missing", None
    expected = expected_range(values, reported.seed, of=of, ratio=metric.ratio)
    if expected is None:
        if value == values[reported.seed]:
            return "consistent", f"the same {metric.title} ({others})", None
        few = len(values) < LEAST_SEEDS
        no = f"{counted(len(values), 'seed')} reported" if few else "no differences between the reported seeds"
        return "cannot be checked", f"no spread to compare with: {no} ({others})", None
    low, high = expected
    word: Word = "consistent" if low <= value <= high else "not consistent"
    return word, others, expected


def _of_another_status(result: CaseResult, reported: TrialResult, found: TrialResult, of: int) -> tuple[Word, str]:
    """Judges a trial that diverged in one of the two trainings.

    If the seeds of the run and the new trial are alike, each trial of those with the status of the new one is the
    new one with the same probability.
    """
    statuses = [trial.status for trial in result.trials if trial.status not in FAILURES]
    there = statuses.count(found.status)
    said = f"{reported.status} in the run, {found.status} here"
    said += f"; {there} of the {counted(len(statuses), 'reported seed')} {found.status}"
    if (there + 1) / (len(statuses) + 1) <= LEVEL / of:
        return "not consistent", said
    return ("consistent" if there else "cannot be checked"), said


def expected_range(
    values: Mapping[int, float], seed: int, *, of: int = 1, ratio: bool = False
) -> tuple[float, float] | None:
    """Returns the range of one more value of a seed, given the reported values of all seeds, by seed.

    Normal values are outside of it with a probability of LEVEL / `of` at most, if they are alike, and the new one
    is either independent of the reported one of its seed or positively correlated with it. It is the prediction
    interval of one more value (Geisser 1993, Predictive Inference, 1.1); from SEEDS_FOR_THE_SAME seeds on, each
    takes half of the level, it is that interval and the one about the reported value of the same seed together, as
    wide as sqrt(2) spreads of the other seeds. Values of a `ratio` are compared by their logarithms.

    Returns:
        From, to; None if there are fewer than LEAST_SEEDS seeds, or they do not differ.
    """
    if ratio and min(values.values(), default=0.0) > 0:
        found = expected_range({key: math.log(value) for key, value in values.items()}, seed, of=of)
        return found and (math.exp(found[0]), math.exp(found[1]))
    number = len(values)
    if number < LEAST_SEEDS or len({*values.values()}) == 1:
        return None
    both = number >= SEEDS_FOR_THE_SAME
    level = LEVEL / of / (2 if both else 1)
    half = student(level, number - 1) * statistics.stdev(values.values()) * math.sqrt(1 + 1 / number)
    mean = statistics.fmean(values.values())
    low, high = mean - half, mean + half
    if both:
        spread = statistics.stdev(value for key, value in values.items() if key != seed)
        if spread > 0:  # if only this seed differs, as one that is stuck, it says nothing of how much it may
            half = student(level, number - 2) * spread * math.sqrt(2)
            low, high = max(low, values[seed] - half), min(high, values[seed] + half)
    return low, high


def first_difference(reported: TrialResult, again: TrialResult) -> str:
    """Describes the first difference in the bits of two trials, times apart; empty if there is none.

    Only what is reported is compared: an earlier version may have measured less.
    """
    for one, other in zip(reported.epochs, again.epochs, strict=False):
        for name, before, now in _figures(one, other):
            if not _same(before, now):
                return f"epoch {one.epoch}: {name} {_text(before)} in the run, {_text(now)} here"
    if len(reported.epochs) != len(again.epochs):
        return f"{counted(len(reported.epochs), 'epoch')} in the run, {len(again.epochs)} here"
    if reported.status != again.status:
        return f"{reported.status} in the run, {again.status} here"
    return ""


def same_trainings(one: CaseResult, other: CaseResult) -> bool:
    """Whether all seeds that completed in both were trained with the same bits; false without such a seed."""
    before = {trial.seed: trial for trial in other.trials if trial.status == "completed"}
    common = [(before[trial.seed], trial) for trial in one.trials if trial.seed in before]
    return bool(common) and not any(first_difference(*pair) for pair in common)


def _figures(one: EpochResult, other: EpochResult) -> Iterator[tuple[str, float | None, float | None]]:
    """Yields the figures of an epoch in the order in which they come about: name, reported, again."""
    if one.learning_rate is not None:
        yield "learning_rate", one.learning_rate, other.learning_rate
    steps = dict(other.step_losses)
    for step, loss in one.step_losses:
        yield f"loss of step {step}", loss, steps.get(step)
    yield "train_loss", one.train_loss, other.train_loss
    for name, value in one.metrics.items():
        yield name, value, other.metrics.get(name)


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def _text(value: float | None) -> str:
    return "missing" if value is None else repr(value)


def differences(result: CaseResult, again: CaseResult) -> list[str]:
    """Names everything that decides the bits of a result and differs, or that the run did not record."""
    there, here = result.environment, again.environment
    found = []
    if (one := str(there.get("device", "")).partition(":")[0]) != (other := str(here["device"]).partition(":")[0]):
        found.append(f"device {one or 'not recorded'} in the run, {other} here")
    for name in sorted({*there, *here} - NOT_DECIDING):
        if there.get(name) == here.get(name):
            continue
        words = name.replace("_", " ")
        if name not in there:
            found.append(f"{words} not recorded in the run")
        else:
            found.append(f"{words} {there[name]} in the run, {here.get(name, 'none')} here")
    if result.engine != again.engine:
        found.append(f"engine {result.engine or 'not recorded'} in the run, {again.engine} here")
    elif {*result.remarks} != {*again.remarks}:
        found.append("executed in another way")
    return found


def _trial(result: CaseResult | None, seed: int) -> TrialResult | None:
    trials = result.trials if result else ()
    return next((trial for trial in trials if trial.seed == seed), None)


def _seconds(trial: TrialResult | None) -> float | None:
    return sum(epoch.seconds for epoch in trial.epochs) if trial else None
