"""Findings of a run, in sentences: each with its figures and the cases that it is about.

Differences are means over the seeds, paired by seed, each with its interval (statistics.py) in square brackets.

Each kind of sentence is a function of the results; it yields nothing that the data do not support.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import case_figure
from benchmnist.analysis.searches import at_the_edge
from benchmnist.analysis.statistics import LEAST_PAIRS, LEVEL
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.targets import log_ratio, split
from benchmnist.analysis.verdicts import judge_pair
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.noise_floor import Floor
    from benchmnist.analysis.targets import TimeToTarget
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.models import ModelDescription
    from benchmnist.runs.results import CaseResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Group


MOST_LISTED = 5
"""Methods that a sentence lists at most; the table has all of them."""


@dataclass(frozen=True)
class Finding:
    """A sentence or two, and the ids of the cases that they are about.

    Attributes:
        kind: Kind of the sentence, such as `rules`.
        text: The sentence.
        cases: Ids of the cases.
    """

    kind: str
    text: str
    cases: tuple[str, ...] = ()


def findings(analysis: Analysis) -> list[Finding]:
    """Returns the findings of a run, the most important first."""
    run, verdicts = analysis.run, analysis.verdicts()
    results = [result for result in run.cases if not result.case.control]
    return [
        *_tested_wrongly(run.record.models, results),
        *_diverged(results),
        *_too_few_seeds(verdicts),
        *_rules(results, verdicts),
        *_layers(run.record.models, verdicts),
        *_convolution(run.record.models, results),
        *_targets(analysis.times_to_target),
        *_tuned(run.record.searches, results),
        *_one_learning_rate(results),
        *_floor(run.cases, analysis.floors),
    ]


def _tested_wrongly(models: Sequence[ModelDescription], results: Sequence[CaseResult]) -> Iterator[Finding]:
    """Names models that behave differently in train() mode, and were tested in it."""
    differing = {(m.dataset, m.model) for m in models if any(_differs_while_training(kind) for kind in m.kinds)}
    wrong = [
        r.id
        for r in results
        if r.case.evaluate_in == "train" and (r.case.dataset.label, r.case.model.label) in differing
    ]
    if wrong:
        yield Finding(
            "train mode",
            f"{counted(len(wrong), 'case')} with batch normalisation or dropout {_were(len(wrong))} tested in "
            "train() mode: dropout dropped units, and batch normalisation used the statistics of each test "
            "batch. Their accuracies are not those of the trained networks.",
            tuple(wrong),
        )


def _diverged(results: Sequence[CaseResult]) -> Iterator[Finding]:
    gone = [(r, sum(trial.status == "diverged" for trial in r.trials)) for r in results]
    gone = [(result, count) for result, count in gone if count]
    if gone:
        each = _listed([f"{_name(r)} ({count} of {counted(len(r.trials), 'seed')})" for r, count in gone])
        yield Finding("diverged", f"Diverged: {each}.", tuple(r.id for r, _ in gone))


def _too_few_seeds(verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Reports comparisons that lack nothing but seeds."""
    mute = [v for v in verdicts if not v.paired.says_something and v.one.trials and v.other.trials]
    mute = [v for v in mute if _fewest_seeds(v) < LEAST_PAIRS]
    if mute:
        seeds = max(map(_fewest_seeds, mute))
        yield Finding(
            "too few seeds",
            f"{counted(seeds, 'seed')} {'is' if seeds == 1 else 'are'} too few to show which case is better: the "
            "differences may be chance. Train more seeds, such as --seeds 5.",
            tuple(dict.fromkeys(case for v in mute for case in (v.other.id, v.one.id))),
        )


def _fewest_seeds(verdict: Verdict) -> int:
    return min(len(verdict.one.case.seeds), len(verdict.other.case.seeds))


def _rules(results: Sequence[CaseResult], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Names the best method of each group, and the methods that are not shown to be worse."""
    within = {
        (v.one.id, v.other.id): v for v in verdicts if v.one.case.group == v.other.case.group and v.p is not None
    }
    for group, members in by_group(results).items():
        ranked = sorted((r for r in members if _mean(r) is not None), key=_rank)
        compared = [r for r in ranked[1:] if _pair(within, ranked[0], r) is not None]
        if not compared:
            continue
        best = ranked[0]
        beside = [(r, v) for r in compared if (v := _pair(within, best, r)) is not None]
        worse = [(r, v) for r, v in beside if _better(v, best)]
        level = [(r, v) for r, v in beside if not _better(v, best)]
        where, most = group_title(group), "highest" if best.case.primary.better == "higher" else "lowest"
        if level:
            ties = _shortened([f"{_figure(r)} ({_tie_amount(v, best)})" for r, v in level])
            text = f"On {where}, {_figure(best)} has the {most} mean, but is not shown to be better than {ties}."
        else:
            text = f"On {where}, {_figure(best)} is the best of {counted(1 + len(compared), 'method')}."
        if worse:
            by = _shortened([f"{_figure(r)}, by {_amount(v, best)}" for r, v in worse])
            text += f" It is better than {by}."
        yield Finding("rules", text, tuple(r.id for r in [best, *compared]))


def _layers(models: Sequence[ModelDescription], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Compares, for each method, two models that differ by an added layer."""
    described = {(m.dataset, m.model): m for m in models}
    by_models: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for v in verdicts:
        one, other = v.one.case, v.other.case
        if one.method == other.method and v.p is not None:
            key = one.dataset.label, one.label, one.model.label, other.model.label
            by_models.setdefault(key, []).append(v)
    for (dataset, _, one_model, other_model), members in by_models.items():
        with_it, without = described.get((dataset, one_model)), described.get((dataset, other_model))
        added = _added_layers(with_it, without)
        larger, smaller, sign = one_model, other_model, 1
        if not added:  # the suite may have them the other way round
            added, larger, smaller, sign = _added_layers(without, with_it), other_model, one_model, -1
        if not added:
            continue
        told: dict[str, list[str]] = {"helps": [], "hurts": []}
        for v in members:
            subject = v.one if sign > 0 else v.other
            if v.word == "equivalent":
                verb = f"has an effect of less than {v.margin:g} {v.metric.points} on"
            elif v.word in ("better", "worse"):
                verb = "helps" if (v.word == "better") == (sign > 0) else "hurts"
            else:
                verb = "has no significant effect on"
            told.setdefault(verb, []).append(f"{v.one.case.method} ({_amount(v, subject)}{_more_seeds(v)})")
        said = "; it ".join(f"{verb} {_listed(whom)}" for verb, whom in told.items() if whom)
        yield Finding(
            "layers",
            f"On {dataset}, {added} ({larger} vs {smaller}) {said}.",
            tuple(case for v in members for case in (v.other.id, v.one.id)),
        )


def _convolution(models: Sequence[ModelDescription], results: Sequence[CaseResult]) -> Iterator[Finding]:
    """Compares gain and cost of the best case with convolutions and the best without."""
    convolves = {(m.dataset, m.model): any(kind.startswith("Conv") for kind in m.kinds) for m in models}
    for dataset in dict.fromkeys(r.case.dataset.label for r in results):
        here = [r for r in results if r.case.dataset.label == dataset and _mean(r) is not None]
        best = {
            kind: min(
                (r for r in here if convolves.get((dataset, r.case.model.label)) is kind), key=_rank, default=None
            )
            for kind in (True, False)
        }
        one, other = best[True], best[False]
        if one is None or other is None:
            continue
        with_and_without = Counter(convolves.get((dataset, r.case.model.label)) for r in here)
        chosen_from = with_and_without[True] * with_and_without[False]
        accuracy, seconds = judge_pair(one, other, of=chosen_from), judge_pair(one, other, EPOCH_SECONDS)
        if accuracy.p is None:
            continue
        shown = {
            "better": "is better than",
            "worse": "is worse than",
            "equivalent": f"is equivalent (within {accuracy.margin or 0:g} {accuracy.metric.points}) to",
        }.get(accuracy.word, "does not differ significantly from")
        epochs = f"{one.case.epochs} epochs vs {other.case.epochs}"
        yield Finding(
            "convolution",
            f"On {dataset}, the best case with convolutions, {_name(one)} ({_value(one)}), {shown} the best "
            f"case without, {_name(other)} ({_value(other)}): {_amount(accuracy, one)}{_more_seeds(accuracy)}. Its "
            f"epochs take {_ratio(seconds)} as long, and it was trained for {epochs}.",
            (one.id, other.id),
        )


def _targets(every: Sequence[TimeToTarget]) -> Iterator[Finding]:
    """Names the case that reaches the target first, and explains why."""
    by_target: dict[tuple[str, float], list[TimeToTarget]] = {}
    for each in every:
        by_target.setdefault((each.result.case.dataset.label, each.target), []).append(each)
    for (dataset, target), times in by_target.items():
        there = sorted((t for t in times if t.seconds is not None), key=lambda t: t.seconds or 0.0)
        missing = [t for t in times if t.seconds is None]
        if not there:
            if all(t.reached for t in times):  # of a case that was interrupted at once nothing is known
                yield Finding(
                    "target",
                    f"On {dataset}, no case reached {target:g} % in half of its seeds.",
                    tuple(t.result.id for t in times),
                )
            continue
        first = there[0]
        text = (
            f"On {dataset}, {_name(first.result)} reaches {target:g} % first, after {first.seconds:.3g} s of "
            f"training ({counted(first.epochs or 0, 'epoch')}, {first.hits} of "
            f"{counted(len(first.reached), 'seed')})."
        )
        if len(there) > 1 and (why := split(first, there[1])) is not None:
            text += (
                f" The next, {_name(there[1].result)}, takes {there[1].seconds:.3g} s: {why.steps:.1f} times as "
                f"many steps, and {why.cost:.1f} times as long for each; {_sooner(first, there[1])}."
            )
        if missing:
            text += f" {len(missing)} of {counted(len(times), 'case')} did not reach it in half of the seeds."
        yield Finding("target", text, tuple(t.result.id for t in there[:2]))


def _sooner(first: TimeToTarget, other: TimeToTarget) -> str:
    """Compares both times, over the seeds that reached the target in both cases."""
    paired = log_ratio(other, first)
    if paired.p is None or paired.interval is None:
        return f"with {counted(paired.n, 'seed')} in both, the difference may be chance"
    mean, low, high = map(math.exp, (paired.mean, *paired.interval))
    ratio = f"{mean:.2f} times as long [{low:.2f}, {high:.2f}]"
    shown = paired.p <= LEVEL and paired.mean > 0
    return f"seed by seed, {ratio}" if shown else f"the difference may be chance: seed by seed, {ratio}"


def _tuned(searches: Sequence[Search], results: Sequence[CaseResult]) -> Iterator[Finding]:
    """Reports how hyperparameters were chosen, and reasons to doubt the choice."""
    if not searches:
        return
    budgets = sorted({len(search.attempts) for search in searches})
    samplers = _listed(sorted({search.sampler for search in searches}))
    yield Finding(
        "tuned",
        f"The hyperparameters of each optimizer were chosen on held-out training examples, in "
        f"{' to '.join(map(str, (budgets[0], budgets[-1])[: len(budgets)]))} attempts ({samplers}). All "
        "optimizers were then trained with other seeds, and tested on the test set.",
        tuple(result.id for result in results if result.case.tuned),
    )
    edges = [
        f"{edge} ({search.method} on {group_title((search.dataset, search.model, search.label))})"
        for search in searches
        for edge in at_the_edge(search)
    ]
    if edges:
        yield Finding(
            "best at the edge",
            f"The best attempt lies at an edge of the search space, so a better one may lie outside it: "
            f"{_listed(edges)}.",
        )
    tuned = {result.case.group for result in results if result.case.tuned}
    untuned = [result for result in results if result.case.group in tuned and not result.case.tuned]
    if untuned:
        one = len(untuned) == 1
        yield Finding(
            "not tuned",
            f"{_listed([_name(result) for result in untuned])} {'was' if one else 'were'} not tuned, but "
            f"{'is' if one else 'are'} compared with cases that were.",
            tuple(result.id for result in untuned),
        )


def _one_learning_rate(results: Sequence[CaseResult]) -> Iterator[Finding]:
    """Warns of a comparison in which each optimizer has one untuned learning rate."""
    for dataset in dict.fromkeys(r.case.dataset.label for r in results):
        rates: dict[str, set[str]] = {}
        for result in results:
            case = result.case
            if case.dataset.label == dataset and not case.tuned:
                rate = next((e.learning_rate for t in result.trials for e in t.epochs), None)
                rates.setdefault(case.optimizer.name, set()).add(f"{rate:g}" if rate is not None else "")
        several = {name: found - {""} for name, found in rates.items()}
        if len(several) < 2 or any(len(found) != 1 for found in several.values()):  # noqa: PLR2004 - of rules
            continue
        each = {name: next(iter(found)) for name, found in several.items()}
        common = next(iter(each.values()))
        how = (
            f"all at {common}"
            if set(each.values()) == {common}
            else _listed([f"{name} at {rate}" for name, rate in each.items()])
        )
        yield Finding(
            "one learning rate",
            f"On {dataset}, each optimizer was trained at one learning rate only ({how}), so the comparison is as "
            "much one of learning rates as of optimizers. benchmnist tune gives each optimizer the same budget to "
            "find its own.",
        )


def _floor(results: Sequence[CaseResult], floors: Mapping[Group, Floor]) -> Iterator[Finding]:
    """Reports the noise floor of each group with a control."""
    metrics = {result.case.group: result.case.primary for result in results}
    each = [
        f"{floor.primary:.{metrics[group].digits}f} {metrics[group].points} and {floor.ratio - 1:.0%} "
        f"on {group_title(group)}"
        for group, floor in floors.items()
        if floor.primary is not None and floor.ratio is not None
    ]
    if each:
        names = " or ".join(dict.fromkeys(metrics[group].name for group in floors))
        yield Finding(
            "noise floor",
            f"The noise floor of {names} and epoch time, measured by the baseline with other seeds, is "
            f"{_listed(each)}. Smaller differences are noise, and tables show them in brackets.",
            tuple(r.id for r in results if r.case.control),
        )


def _mean(result: CaseResult) -> float | None:
    figure = case_figure(result, result.case.primary)
    return figure and figure.mean


def _rank(result: CaseResult) -> float:
    """Orders cases by their primary metric, the best first."""
    mean = _mean(result) or 0.0
    return -mean if result.case.primary.better == "higher" else mean


def _value(result: CaseResult) -> str:
    """`97.84 %`."""
    return result.case.primary.text(_mean(result) or 0.0)


def _pair(verdicts: dict[tuple[str, str], Verdict], one: CaseResult, other: CaseResult) -> Verdict | None:
    return verdicts.get((one.id, other.id)) or verdicts.get((other.id, one.id))


def _better(verdict: Verdict, subject: CaseResult) -> bool:
    return verdict.word == ("better" if verdict.one is subject else "worse")


def _amount(verdict: Verdict, subject: CaseResult) -> str:
    """Formats the subject's advantage with its interval: `+0.20 points [0.08, 0.31]`."""
    sign = 1 if verdict.one is subject else -1
    low, high = sorted(sign * end for end in verdict.interval or (0.0, 0.0))
    digits, points = f"z.{verdict.metric.digits}f", verdict.metric.points
    return f"{sign * verdict.paired.mean:+{digits}} {points} [{low:{digits}}, {high:{digits}}]"


def _tie_amount(verdict: Verdict, best: CaseResult) -> str:
    if verdict.word == "equivalent":
        return f"equivalent within {verdict.margin:g} {verdict.metric.points}: {_amount(verdict, best)}"
    return f"{_amount(verdict, best)}{_more_seeds(verdict)}"


def _more_seeds(verdict: Verdict) -> str:
    return (
        f", about {counted(verdict.more, 'more seed')} needed"
        if verdict.word == "more seeds" and verdict.more
        else ""
    )


def _ratio(verdict: Verdict) -> str:
    """Formats a difference of logarithms as a ratio: `4.2 times [4.0, 4.4]`."""
    mean, low, high = map(math.exp, (verdict.paired.mean, *(verdict.interval or (0.0, 0.0))))
    return f"{mean:.1f} times [{low:.1f}, {high:.1f}]"


def _figure(result: CaseResult) -> str:
    return f"{result.case.method} ({_value(result)})"


def _name(result: CaseResult) -> str:
    """Names a case among cases of other models."""
    return " · ".join(filter(None, (result.case.model.label, result.case.method, result.case.label)))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _listed(words: Sequence[str]) -> str:
    """Joins words as `a, b and c`, or as `a; b and c` if they contain commas."""
    return " and ".join(
        filter(None, ("; ".join(words[:-1]) if any("," in w for w in words) else ", ".join(words[:-1]), words[-1]))
    )


def _shortened(words: Sequence[str]) -> str:
    """Joins words like `_listed`, and shortens a long list to its first words and a count."""
    more = len(words) - MOST_LISTED
    return _listed(words) if more < 2 else _listed([*words[:MOST_LISTED], f"{more} others"])  # noqa: PLR2004


_LAYER_NAMES = (("BatchNorm", "batch normalisation"), ("Dropout", "dropout"))


def _added_layers(larger: ModelDescription | None, smaller: ModelDescription | None) -> str:
    """Names the added layers of the larger model, `batch normalisation`; empty if it lacks one of the smaller."""
    if larger is None or smaller is None:
        return ""
    more, less = Counter(larger.kinds), Counter(smaller.kinds)
    if less - more or more == less:
        return ""
    spoken = {
        next((words for kind, words in _LAYER_NAMES if name.startswith(kind)), name): None
        for name in (more - less)
    }
    return " and ".join(spoken)


def _differs_while_training(kind: str) -> bool:
    return any(kind.startswith(start) for start, _ in _LAYER_NAMES)
