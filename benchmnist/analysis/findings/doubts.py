"""Findings on what the results do not allow: lost seeds, too few of them, one learning rate, the noise floor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import has_metric, seed_figures
from benchmnist.analysis.findings.words import MOST_LISTED, MOST_NAMED, Finding, listed, shortened
from benchmnist.analysis.outliers import interquartile_mean, seeds_apart
from benchmnist.analysis.pairs import unequal
from benchmnist.analysis.statistics import LEAST_PAIRS
from benchmnist.analysis.summary import group_title
from benchmnist.analysis.units import unit
from benchmnist.text import counted, decimals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis.findings.names import Names
    from benchmnist.analysis.findings.words import Namer
    from benchmnist.analysis.noise_floor import Floor
    from benchmnist.analysis.verdicts import Verdict, Verdicts, WithoutSeeds
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Group


def incomplete(run: RunResult) -> Iterator[Finding]:
    """Says how much there is of a run that did not end."""
    results = {result.id: result for result in run.cases}
    planned = whole = there = 0
    for case in run.record.plan:
        result = results.get(case.id)
        ended = {*case.seeds} & (result.ended_seeds if result else set())
        all_of_it = ended == {*case.seeds} or (result is not None and result.failed)
        planned, whole = planned + len(case.seeds), whole + all_of_it
        there += len(case.seeds) if all_of_it else len(ended)
    if there == planned:
        return
    yield Finding(
        "incomplete",
        f"This run is not complete: {whole} of {counted(len(run.record.plan), 'case')} and {there} of "
        f"{counted(planned, 'trial')} have ended and are in it. What follows is about these only.",
        tuple(results),
    )


def not_finite(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Names the cases with completed seeds that have no finite value to be compared by."""
    gone = {}
    for result in results:
        metric = result.case.primary
        values = seed_figures(result, metric) if has_metric(result, metric) else {}
        completed = [trial.seed for trial in result.trials if trial.status == "completed"]
        count = sum(not math.isfinite(values.get(seed, math.nan)) for seed in completed)
        if count:
            gone[result.id] = f"{metric.title}, {count} of {counted(len(completed), 'seed')}"
    if gone:
        each = names.of_all([r for r in results if r.id in gone], gone)
        yield Finding(
            "not finite",
            f"Trained to the end without a finite value: {each}. These seeds count against their case.",
            tuple(gone),
        )


def diverged(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Names the cases that lost seeds to divergence."""
    gone = {}
    for result in results:
        if count := sum(trial.status == "diverged" for trial in result.trials):
            gone[result.id] = f"{count} of {counted(len(result.trials), 'seed')}"
    if gone:
        each = names.of_all([r for r in results if r.id in gone], gone)
        yield Finding("diverged", f"Diverged: {each}.", tuple(gone))


def failed(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Names the cases that failed, crashed or timed out."""
    gone = {result.id: result.status for result in results if result.failed}
    if gone:
        each = names.of_all([r for r in results if r.id in gone], gone)
        yield Finding("failed", f"Failed: {each}. The seeds that a case lost count against it.", tuple(gone))


def not_compared(results: Sequence[CaseResult], name: Namer) -> Iterator[Finding]:
    """Names the cases that differ from their baseline in more than the method."""
    found = [*unequal(results)]
    if found:
        each = shortened(
            [
                f"{name(pair.one)} and {name(pair.other)} also differ in {listed(differing)}"
                for pair, differing in found
            ],
            MOST_NAMED,
        )
        yield Finding(
            "not compared",
            f"Not compared, because more than the method differs: {each}.",
            tuple(dict.fromkeys(r.id for pair, _ in found for r in (pair.one, pair.other))),
        )


def apart(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Names the seeds that are far from the others of their case, with the interquartile mean."""
    found = seeds_apart(results)
    far_off = [result for result in results if result.id in found]
    if levels := names.on_ladders(far_off):
        yield Finding(
            "seeds apart",
            f"Seeds are far from the others of their case: {names.of_all(levels)}. If such seeds are rare and all "
            "to one side, verdicts on these cases are wrong more often than in one run of twenty: look at each.",
            tuple(result.id for result in levels),
        )
    for result in names.off_ladders(far_off):
        metric, values = result.case.primary, seed_figures(result, result.case.primary)
        far = found[result.id]
        mean = math.fsum(values.values()) / len(values)
        rest = [value for seed, value in values.items() if seed not in far]
        each = listed([f"seed {seed} ({metric.text(values[seed])})" for seed in far])
        yield Finding(
            "seeds apart",
            f"{names(result)}: {each} {'is' if len(far) == 1 else 'are'} far from its other seeds "
            f"({metric.text(min(rest))} to {metric.text(max(rest))}). If such seeds are rare and all to one side, "
            "verdicts on this case are wrong more often than in one run of twenty: look at each seed. The mean "
            f"is {metric.text(mean)}, the interquartile mean "
            f"{metric.text(interquartile_mean([*values.values()]))}.",
            (result.id,),
        )


def without_lines(verdicts: Verdicts) -> Iterator[Finding]:
    """Reports that the sentences on comparisons are about some of them only."""
    if count := verdicts.left_out():
        yield Finding(
            "without lines",
            f"{count:,} comparisons have no verdict of their own. They count in the intervals and the marks, but "
            f"what the findings say of comparisons is about the other {len(verdicts):,}.",
        )


def without_seeds(verdicts: Verdicts) -> list[WithoutSeeds]:
    """Returns the comparisons within each group that lack seeds, if not all of them are in the list."""
    many = verdicts.many
    return [] if many is None else [many.without_seeds(group, MOST_LISTED + 2) for group in many.pairs.groups]


def too_few_seeds(verdicts: Verdicts, without: Sequence[WithoutSeeds]) -> Iterator[Finding]:
    """Reports comparisons that lack nothing but seeds; those `without` seeds need not be in the list."""
    mute = [v for v in verdicts if not v.paired.says_something and v.one.trials and v.other.trials]
    mute = [v for v in mute if _fewest_seeds(v) < LEAST_PAIRS]
    results = [*(r for v in mute for r in (v.other, v.one)), *(r for each in without for r in each.few)]
    if results:
        seeds, each = max([*map(_fewest_seeds, mute), *(found.most for found in without)]), unit(results[0])
        more = "Train more seeds, such as --seeds 5" if each == "seed" else "Tune with more, such as --searches 5"
        yield Finding(
            "too few seeds",
            f"{counted(seeds, each)} {'is' if seeds == 1 else 'are'} too few to show which case is better: the "
            f"differences may be chance. {more}.",
            tuple(dict.fromkeys(result.id for result in results)),
        )


def _fewest_seeds(verdict: Verdict) -> int:
    return min(len(verdict.one.case.seeds), len(verdict.other.case.seeds))


def no_common_seeds(verdicts: Verdicts, without: Sequence[WithoutSeeds], name: Namer) -> Iterator[Finding]:
    """Names the pairs that have seeds enough, but too few in common; see `too_few_seeds`."""
    apart = [v for v in verdicts if len(v.common_seeds) < LEAST_PAIRS <= _fewest_seeds(v)]
    number, results = len(apart), [r for v in apart for r in (v.one, v.other)]
    if (many := verdicts.many) is not None:
        number = sum(not many.pairs.is_within(v.one.case, v.other.case) for v in apart)
        number += sum(found.number for found in without)
        results += [result for found in without for result in found.apart]
        known = {frozenset((v.one.id, v.other.id)) for v in apart}
        first = [v for found in without for v in found.first]
        apart += [v for v in first if frozenset((v.one.id, v.other.id)) not in known]
    if apart:
        said = [_in_common(v, name) for v in apart]
        yield Finding(
            "no common seeds",
            f"Not compared: {shortened(said, number=number)}. Differences are paired by seed: give both the "
            "same seeds.",
            tuple(dict.fromkeys(result.id for result in results)),
        )


def _in_common(v: Verdict, name: Namer) -> str:
    common = len(v.common_seeds)
    few = f"only {counted(common, unit(v.one))}" if common else f"no {unit(v.one)}"
    return f"{name(v.one)} and {name(v.other)} have {few} in common"


def one_learning_rate(results: Sequence[CaseResult], names: Names) -> Iterator[Finding]:
    """Warns of a comparison in which each optimizer has one untuned learning rate."""
    found: dict[str, list[Group]] = {}
    of_datasets: dict[str, list[CaseResult]] = {}
    for result in results:
        of_datasets.setdefault(result.case.dataset.label, []).append(result)
    for dataset, members in of_datasets.items():
        if how := _rates(members):
            found.setdefault(how, []).append(
                members[0].case.group if members[0].case.problem else (dataset, "", "")
            )
    for how, groups in found.items():
        yield Finding(
            "one learning rate",
            f"On {names.places(groups)}, each optimizer was trained at one learning rate only ({how}), so the "
            "comparison is as much one of learning rates as of optimizers. benchmnist tune gives each optimizer "
            "the same budget to find its own.",
        )


def _rates(results: Sequence[CaseResult]) -> str:
    """Returns the only rate of each optimizer, `all at 0.1`; empty where one was tuned or has several."""
    rates: dict[str, set[str]] = {}
    for result in results:
        if not result.case.tuned:
            rate = next((e.learning_rate for t in result.trials for e in t.epochs), None)
            rates.setdefault(result.case.optimizer.name, set()).add(f"{rate:g}" if rate is not None else "")
    several = {name: found - {""} for name, found in rates.items()}
    if len(several) < 2 or any(len(found) != 1 for found in several.values()):  # noqa: PLR2004 - of rules
        return ""
    each = {name: next(iter(found)) for name, found in several.items()}
    common = next(iter(each.values()))
    if set(each.values()) == {common}:
        return f"all at {common}"
    return listed([f"{name} at {rate}" for name, rate in each.items()])


def noise_floor(results: Sequence[CaseResult], floors: Mapping[Group, Floor]) -> Iterator[Finding]:
    """Reports the noise floor of each group with a control."""
    metrics = {result.case.group: result.case.primary for result in results}
    each = {
        timed: [
            f"{decimals(floor.primary, metrics[group].digits)} {metrics[group].points}"
            f"{'' if floor.ratio is None else f' and {floor.ratio - 1:.0%}'} on {group_title(group)}"
            for group, floor in floors.items()
            if floor.primary is not None and (floor.ratio is not None) is timed
        ]
        for timed in (True, False)
    }
    for timed, said in each.items():
        if not said:
            continue
        names = " or ".join(dict.fromkeys(metrics[group].name for group in floors))
        yield Finding(
            "noise floor",
            f"The noise floor of {names}{' and epoch time' if timed else ''}, measured by the baseline with other "
            f"seeds, is {listed(said)}: so far apart are two runs of the same case with other seeds. Verdicts may "
            "show smaller differences, since they compare the same seeds.",
            tuple(r.id for r in results if r.case.control),
        )
