"""Compares two runs of the same cases, before and after a change: is the new one no worse than by a margin?"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmnist.analysis.bits import same_trainings
from benchmnist.analysis.counterparts import HOW, listed, obstacles
from benchmnist.analysis.figures import metrics_of, seed_figures
from benchmnist.analysis.statistics import LEAST_PAIRS, detectable
from benchmnist.analysis.units import by_search, unit
from benchmnist.analysis.verdicts import judge_pair
from benchmnist.errors import BenchmnistError
from benchmnist.metrics import METRICS, PEAK_MEMORY, TARGET_STEPS, comparable, find_metric
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case

Word = Literal["identical", "no worse", "worse", "lost seeds", "inconclusive", "not comparable"]

NEW = "only in the current run"
GATED_RATIOS = (TARGET_STEPS, PEAK_MEMORY)
"""Metrics that are compared by their ratio, but are not times."""


@dataclass(frozen=True)
class NonInferiority:
    """The verdict on one case.

    Attributes:
        case_id: Id of the case.
        metric: The compared metric.
        word: The verdict.
        reason: Reason for a word that the figures alone do not explain.
        margin: Largest deterioration that counts as none, in the unit of the metric; of a `ratio`, as a share.
        baseline, current: Mean over the common seeds, of a `ratio` the geometric one; for memory, the figure of
            the case.
        interval: Interval of the mean difference, current minus baseline, or of a `ratio`, current divided by
            baseline. None with too few seeds, and for memory, which is measured once.
        seeds: Number of the common seeds.
        notes: What else to know of the comparison.
    """

    case_id: str
    metric: Metric
    word: Word
    reason: str = ""
    margin: float | None = None
    baseline: float | None = None
    current: float | None = None
    interval: tuple[float, float] | None = None
    seeds: int = 0
    notes: tuple[str, ...] = ()


def gated_metric(runs: Sequence[RunResult], name: str) -> Metric:
    """Finds the metric that two runs are to be compared by.

    Raises:
        BenchmnistError: if it is unknown; or if it is a time, which two runs cannot be compared by.
    """
    if name in {metric.key for metric in METRICS if metric.ratio and metric not in GATED_RATIOS}:
        raise BenchmnistError(
            f"{name} depends on the state of the machine during each run; compare the times of both runs with "
            "benchmnist gate BASELINE/benchmark.json CURRENT/benchmark.json"
        )
    known = comparable(metrics_of([result for run in runs for result in run.cases]))
    return find_metric(name, [*(metric for metric in known if not metric.ratio), *GATED_RATIOS])


def non_inferior(
    baseline: RunResult, current: RunResult, wanted: Metric | str, margin: float | None = None
) -> list[NonInferiority]:
    """Compares each case of either run, in the order of the baseline; controls are left out.

    Seeds are paired. The word follows from the interval of the mean difference (Student's, simultaneous over all
    cases of both runs by Bonferroni's inequality): `no worse` if it is wholly better than -`margin`, `worse` if it
    is wholly worse. With a chance of 0.975 or more, no case is wrongly called `no worse`, and likewise `worse`, if
    the differences are normally distributed. `identical` training, bit for bit, needs no statistics. `lost seeds`
    precedes all but `worse`: the current run diverged or failed with seeds that the baseline completed. Seeds that
    only the baseline lost do not count. A run that added seeds until its comparisons were told pays for its looks.

    Peak memory is measured once per case, so it has no interval: the case is `worse` if the ratio of the two
    figures is above 1 + `margin`. That is a fact about these two runs, and no claim about others.

    Args:
        baseline: The run before the change.
        current: The run after it.
        wanted: The metric, or its key: one of each seed that is no time, or `peak_memory`.
        margin: Largest deterioration that counts as none, in the unit of the metric; of a `ratio`, a share: 0.05.
            By default that of each case in the suite of the baseline, for the metric that the case is judged by.

    Raises:
        BenchmnistError: if the metric is unknown or a time, or a case has no margin.
    """
    metric = gated_metric((baseline, current), wanted if isinstance(wanted, str) else wanted.key)
    before, after = _cases(baseline), _cases(current)
    of = len(before.keys() & after.keys()) * _looks(baseline, current)
    verdicts = []
    for case_id in {**before, **after}:
        if case_id not in after:
            verdicts.append(NonInferiority(case_id, metric, "not comparable", "only in the baseline"))
        elif case_id not in before:
            verdicts.append(NonInferiority(case_id, metric, "not comparable", NEW))
        else:
            pair = before[case_id], after[case_id]
            allowed = _margin(pair[0].case, metric, margin)
            reason = "; ".join(obstacles(*pair, (baseline, current), metric))
            if reason:
                verdicts.append(NonInferiority(case_id, metric, "not comparable", reason, allowed))
            elif metric == PEAK_MEMORY:
                verdicts.append(_memory(*pair, allowed))
            else:
                verdicts.append(_judged(*pair, metric, allowed, of))
    return verdicts


def exit_code(verdicts: Sequence[NonInferiority]) -> int:
    """Returns 1 if a case is worse or lost seeds; else 3 if one is undecided and not new; else 0."""
    words = {v.word for v in verdicts if v.reason != NEW}
    if words & {"worse", "lost seeds"}:
        return 1
    return 3 if words & {"inconclusive", "not comparable"} or not words else 0


def _looks(baseline: RunResult, current: RunResult) -> int:
    """Returns how many numbers of common seeds are possible, if the runs chose theirs by looking at results."""
    ours, theirs = current.record.number_of_looks, baseline.record.number_of_looks
    return 1 if ours == theirs == 1 else ours + theirs


def _cases(run: RunResult) -> dict[str, CaseResult]:
    return {result.id: result for result in by_search(run.cases) if not result.case.control}


def _margin(case: Case, metric: Metric, margin: float | None) -> float:
    if margin is None and metric == case.primary:
        margin = case.margin
    if margin is None:
        example = "5%" if metric.ratio else "0.2" if metric.unit == "%" else "0.01"
        or_suite = ", or set margin in the suite" if metric == case.primary else ""
        raise BenchmnistError(
            f"{case.id} has no margin for {metric.key}; pass --margin, such as --margin {example}{or_suite}"
        )
    return margin


def _memory(old: CaseResult, new: CaseResult, margin: float) -> NonInferiority:
    word: Word = "worse" if new.peak_memory > old.peak_memory * (1 + margin) else "no worse"
    figures = float(old.peak_memory), float(new.peak_memory)
    return NonInferiority(new.id, PEAK_MEMORY, word, "", margin, *figures, seeds=len(new.case.seeds))


def _judged(old: CaseResult, new: CaseResult, metric: Metric, margin: float, of: int) -> NonInferiority:
    found = judge_pair(new, old, metric, of=of)
    ours, theirs = seed_figures(new, metric), seed_figures(old, metric)
    common = [seed for seed in ours if seed in theirs]
    mean = statistics.geometric_mean if metric.ratio else statistics.fmean
    interval = found.interval
    if interval is not None and metric.ratio:
        interval = math.exp(interval[0]), math.exp(interval[1])
    word, reason = _word(found, math.log1p(margin) if metric.ratio else margin)
    return NonInferiority(
        new.id,
        metric,
        word,
        reason,
        margin,
        mean([theirs[seed] for seed in common]) if common else None,
        mean([ours[seed] for seed in common]) if common else None,
        interval,
        found.paired.n,
        tuple(_notes(found, word)),
    )


def _word(found: Verdict, margin: float) -> tuple[Word, str]:
    """Returns the word and its reason; the margin is in the unit of the compared values."""
    ends = "reached the target" if found.metric == TARGET_STEPS else "completed"
    lost, what = found.lost[0], unit(found.one)
    high_is_better = found.metric.better == "higher"
    worst_and_best = None
    interval = found.paired.interval(found.of)  # of the common seeds: each side may lose its worst ones
    if interval is not None:
        low, high = interval
        worst_and_best = (low, high) if high_is_better else (-high, -low)
    if worst_and_best is not None and worst_and_best[1] < -margin:
        if found.lost[1]:
            return "inconclusive", f"worse in the seeds that {ends} in both, but the baseline lost others"
        return "worse", ""
    if lost:
        before = counted(found.paired.n + len(lost), what)
        return "lost seeds", f"lost {len(lost)} of the {before} that {ends} in the baseline: {listed(lost)}"
    if found.paired.n and same_trainings(found.one, found.other):
        return "identical", ""
    if not found.paired.says_something:
        return "inconclusive", f"{counted(found.paired.n, f'common {what}')}; at least {LEAST_PAIRS} are needed"
    if found.paired.identical:
        return "no worse", ""
    if worst_and_best is None:
        return "inconclusive", f"the difference is the same for each {what}, which may be chance; add {what}s"
    if worst_and_best[0] > -margin:
        return "no worse", ""
    return "inconclusive", ""


def _notes(found: Verdict, word: Word) -> Iterator[str]:
    old, new, what = found.other, found.one, unit(found.one)
    for name in HOW:
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            yield f"{name} was {before}, is now {now}"
    if old.measured_changes != new.measured_changes:
        before, now = (", ".join(each.measured_changes) or "nothing" for each in (old, new))
        yield f"chosen by measurement was {before}, is now {now}"
    if found.lost[1]:
        yield f"the baseline lost {what}s that the current run completed: {listed(found.lost[1])}"
    alone = {trial.seed for trial in old.trials} ^ {trial.seed for trial in new.trials}
    if others := alone - found.lost[0] - found.lost[1]:
        yield f"{what}s in one run only, which do not count: {listed(others)}"
    if word == "inconclusive" and found.paired.varies and found.paired.says_something:
        needed = detectable(found.paired.n, found.of, found.paired.std)
        least = f"{needed:.{found.metric.digits}f} {found.metric.points}"
        if found.metric.ratio:
            least = f"{100 * math.expm1(needed):.0f} %"
        yield (
            f"{counted(found.paired.n, what)} of this spread can show that nothing changed only for a margin of "
            f"about {least} or more (in four runs of five)"
        )
