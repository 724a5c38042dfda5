"""The answer to "is lion better than adamw?": one sentence for each comparison, and what to doubt about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.figures import case_figure
from benchmnist.analysis.looks import TOLD
from benchmnist.analysis.searches import at_the_edge
from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.units import by_search, members, unit
from benchmnist.analysis.verdicts import judge
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.text import alternatives, cause_of, counted, decimals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.runs.searches import Search

CONFIDENCE = f"{1 - LEVEL:.0%}".replace("%", " %")


@dataclass(frozen=True)
class Answer:
    """Statement of a run about one optimizer and the one that it is compared with.

    Attributes:
        sentence: The answer, in one sentence.
        doubts: Sentences on what limits it, and on the cost of a step.
        told: Whether it is decided: better, worse, equal within the margin, or identical.
        failed: Whether one of the two has no result at all.
    """

    sentence: str
    doubts: tuple[str, ...]
    told: bool
    failed: bool = False

    def __str__(self) -> str:
        """The sentences."""
        return " ".join((self.sentence, *self.doubts))


def answers(run: RunResult, asked: Sequence[str], baseline: str, called: Mapping[str, str]) -> list[Answer]:
    """Returns an answer for each optimizer that is asked about.

    Args:
        run: The run of the last look that was made.
        asked: Names of the optimizers that are asked about, as in the suite.
        baseline: Name of the optimizer that they are compared with.
        called: What the sentences call each of them.
    """
    looks = run.record.number_of_looks
    units = by_search(run.cases)
    by_name = {result.case.optimizer.name: result for result in units}
    primary = {v.one.case.optimizer.name: v for v in judge(units, looks=looks) if v.family == "primary"}
    times = {
        v.one.case.optimizer.name: v
        for v in judge(units, EPOCH_SECONDS, looks=looks)
        if v.family == "primary" and _executed_alike(v)
    }
    found = []
    for name in asked:
        one, other = by_name.get(name), by_name.get(baseline)
        names = called[name], called[baseline]
        doubts = [*edges(run.record.searches, {each: called[each] for each in (name, baseline)})]
        if name in times:
            doubts += _cost(times[name], *names)
        lost = [*_without_settings(run.record.searches, {each: called[each] for each in (name, baseline)})]
        verdict = primary.get(name)
        if one is None or other is None or verdict is None or _has_nothing(one) or _has_nothing(other):
            found.append(Answer(_one_sided(one, other, *names, lost), tuple(doubts), told=False, failed=True))
        elif lost:
            said = f"{_reached(verdict, *names)}, but {alternatives(lost, 'and')}: no verdict."
            found.append(Answer(said, tuple(doubts), told=False))
        else:
            by = effort(run, len(verdict.common_seeds), unit(verdict.one))
            said = f"{_reached(verdict, *names)}: {_judged(verdict, *names)}{by}."
            found.append(Answer(said, tuple(doubts), told=verdict.word in TOLD))
    return found


def _reached(verdict: Verdict, one: str, other: str) -> str:
    """`lion reaches 97.60 % and adamw 97.90 % (accuracy) on mnist/fc after 300 steps`."""
    metric, case = verdict.metric, verdict.one.case
    values = [
        "nothing" if (figure := case_figure(result, metric)) is None else metric.text(figure.mean)
        for result in (verdict.one, verdict.other)
    ]
    where = f"{case.dataset.label}/{case.model.label}"
    budget = counted(case.steps, "step") if case.steps else counted(case.epochs, "epoch")
    return f"{one} reaches {values[0]} and {other} {values[1]} ({metric.name}) on {where} after {budget}"


def _judged(verdict: Verdict, one: str, other: str) -> str:
    """Returns the verdict in words, with its interval."""
    word, each = verdict.word, unit(verdict.one)
    if word == "identical":
        return f"they are identical in every {each}"
    if word in ("better", "worse"):
        winner, subject = (one, verdict.one) if word == "better" else (other, verdict.other)
        return f"{winner} is better by {_amount(verdict, subject)}"
    if word == "equivalent":
        return (
            f"they are equal within {verdict.margin_text}, {one} minus {other} is {_amount(verdict, signed=True)}"
        )
    if word == "lost seeds":
        return " and ".join(_lost(verdict, one, other))
    if word == "too few seeds":
        return f"nothing can be said of fewer than three {each}es" if each == "search" else "the seeds are too few"
    if verdict.interval is None:
        return f"they are not told apart, since the difference is the same in every {each} and has no interval"
    return f"they are not told apart, {one} minus {other} is {_amount(verdict, signed=True)}"


def _amount(verdict: Verdict, subject: CaseResult | None = None, *, signed: bool = False) -> str:
    """`0.30 points (0.10 to 0.50, 95 %)`; a difference that is no gain of one of them is `signed`."""
    found, metric = amount_of(verdict, subject or verdict.one), verdict.metric
    sign = 1 if signed or metric.better == "higher" else -1
    values = [found.mean, *(found.interval or ())]
    mean, *ends = [sign * value for value in values]
    form = "+z" if signed else "z"
    said = f"{decimals(mean, found.digits, form)} {metric.points}"
    low, high = (decimals(end, found.digits, form) for end in sorted(ends))
    return f"{said} ({low} to {high}, {CONFIDENCE})"


def _lost(verdict: Verdict, one: str, other: str) -> Iterator[str]:
    """Says of each how many of its seeds diverged or failed, which the other completed."""
    number = len(verdict.common_seeds)
    for name, against, seeds in ((one, other, verdict.lost[0]), (other, one, verdict.lost[1])):
        if seeds:
            which = f"{len(seeds)} of {counted(number, unit(verdict.one))}"
            yield f"{name} diverged or failed in {which} that {against} completed, which counts against {name}"


def effort(run: RunResult, number: int, noun: str) -> str:
    """Returns `, by 5 searches of 7 learning rates each`, or the number of seeds."""
    counts = counted(number, noun)
    attempts = {len(search.attempts) for search in run.record.searches}
    looks = run.record.number_of_looks
    allowed = f" (allowing for {counted(looks, 'look')})" if looks > 1 else ""
    if noun == "seed":
        return f", by {counts} each{allowed}"
    return f", by {counts} of {alternatives(map(str, sorted(attempts)))} learning rates each{allowed}"


def _has_nothing(result: CaseResult) -> bool:
    return not any(trial.status == "completed" for trial in result.trials)


def _one_sided(
    one: CaseResult | None, other: CaseResult | None, name: str, against: str, lost: Sequence[str]
) -> str:
    """Returns the answer where one of the two, or both, completed nothing."""
    parts = []
    for result, called in ((one, name), (other, against)):
        figure = None if result is None or _has_nothing(result) else case_figure(result, result.case.primary)
        if result is not None and figure is not None:
            parts.append(f"{called} reaches {result.case.primary.text(figure.mean)}")
            continue
        causes = [cause_of(part.error) for part in members(result) if part.error] if result is not None else []
        why = f" ({causes[0]})" if causes else ""
        parts.append(f"{called} completed nothing{why}")
    because = f", since {alternatives(lost, 'and')}" if lost else ""
    return f"{' and '.join(parts)}{because}: that counts against what failed, and there is no comparison."


def _without_settings(searches: Sequence[Search], called: Mapping[str, str]) -> Iterator[str]:
    """Says of each optimizer in how many searches every learning rate diverged or failed."""
    for name, own in _own(searches, called):
        lost = sum(search.best is None for search in own)
        if lost:
            which = f"{lost} of {counted(len(own), 'search')}"
            yield f"every learning rate of {called[name]} diverged or failed in {which}"


def edges(searches: Sequence[Search], called: Mapping[str, str]) -> Iterator[str]:
    """Says where the best learning rate is an end of its range."""
    for name, own in _own(searches, called):
        at_end = [search for search in own if any(edge.at_end for edge in at_the_edge(search))]
        if not at_end:
            continue
        tried = sorted({search.best.params["lr"] for search in at_end if search.best})
        which = f"{len(at_end)} of {counted(len(own), 'search')}"
        rates = alternatives((f"{lr:g}" for lr in tried), "and")
        yield (
            f"In {which}, the best learning rate of {called[name]} is an end of its range ({rates}): a better one "
            "may lie beyond."
        )


def _own(searches: Sequence[Search], called: Mapping[str, str]) -> Iterator[tuple[str, list[Search]]]:
    """Yields each optimizer with its searches."""
    for name in called:
        own = [search for search in searches if search.method == name]
        if own:
            yield name, own


def _cost(verdict: Verdict, one: str, other: str) -> Iterator[str]:
    """Says what a step of one costs in steps of the other, where a difference is shown."""
    if verdict.word not in ("better", "worse"):
        return
    found = amount_of(verdict)
    if found.interval is not None:
        low, high = (decimals(end, found.digits) for end in found.interval)
        ratio = decimals(found.mean, found.digits)
        yield f"A step of {one} takes {ratio} times as long as one of {other} ({low} to {high}, {CONFIDENCE})."


def _executed_alike(verdict: Verdict) -> bool:
    """Tells whether no measurement chose another way of execution for one of the two."""
    ways = [{part.measured_changes for part in members(result)} for result in (verdict.one, verdict.other)]
    return ways[0] == ways[1] and len(ways[0]) == 1
