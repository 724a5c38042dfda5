"""Findings on layers: what one did, what convolutions gain, and models that were tested in train() mode."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import (
    EXPLORATORY,
    Finding,
    amount,
    listed,
    primary_mean,
    ratio,
    value_of,
    were,
)
from benchmnist.analysis.verdicts import judge_pair, rank
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.suites.differences import differences
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.findings.words import Namer
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.models import ModelDescription
    from benchmnist.runs.results import CaseResult


def tested_in_train_mode(models: Sequence[ModelDescription], results: Sequence[CaseResult]) -> Iterator[Finding]:
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
            f"{counted(len(wrong), 'case')} with batch normalisation or dropout {were(len(wrong))} tested in "
            "train() mode: dropout dropped units, and batch normalisation used the statistics of each test "
            "batch. Their accuracies are not those of the trained networks.",
            tuple(wrong),
        )


def effects_of_layers(models: Sequence[ModelDescription], verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Compares, for each method, two models that differ by an added layer, or that the suite names."""
    described = {(m.dataset, m.model): m for m in models}
    by_models: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for v in verdicts:
        one, other = v.one.case, v.other.case
        if one.method == other.method and v.word != "too few seeds":
            key = one.dataset.label, one.label, one.model.label, other.model.label
            by_models.setdefault(key, []).append(v)
    for (dataset, _, one_model, other_model), members in by_models.items():
        with_it, without = described.get((dataset, one_model)), described.get((dataset, other_model))
        added = _added_layers(with_it, without)
        larger, smaller, sign = one_model, other_model, 1
        if not added:  # the suite may have them the other way round
            added, larger, smaller, sign = _added_layers(without, with_it), other_model, one_model, -1
        named = all(v.family == "primary" for v in members)
        if not added and not named:
            continue
        if not added:
            larger, smaller, sign = one_model, other_model, 1
        said = _said(members, sign)
        where = "On" if named else f"{EXPLORATORY}on"
        what = f"{added} ({larger} vs {smaller})" if added else f"{larger} instead of {smaller}"
        yield Finding(
            "layers" if added else "models",
            f"{where} {dataset}, {what} {said}.",
            tuple(case for v in members for case in (v.other.id, v.one.id)),
        )


def _said(members: Sequence[Verdict], sign: int) -> str:
    """Returns what the change does with each method: `helps sgd (+1.00 points [0.90, 1.10]); it hurts …`."""
    told: dict[str, list[str]] = {"helps": [], "hurts": []}
    for v in members:
        subject = v.one if sign > 0 else v.other
        if v.word == "identical":
            verb = "changes nothing in any seed of"
        elif v.word == "equivalent":
            verb = f"has an effect of less than {v.margin_text} on"
        elif v.word in ("better", "worse"):
            verb = "helps" if (v.word == "better") == (sign > 0) else "hurts"
        elif v.word == "lost seeds":
            verb = "cannot be judged, because of lost seeds, with"
        else:
            verb = "has no effect that is shown on"
        beside = "" if v.word == "identical" else amount(v, subject)
        told.setdefault(verb, []).append(f"{v.one.case.method} ({beside})" if beside else v.one.case.method)
    return "; it ".join(f"{verb} {listed(whom)}" for verb, whom in told.items() if whom)


def gain_of_convolutions(
    models: Sequence[ModelDescription], results: Sequence[CaseResult], name: Namer, looks: int = 1
) -> Iterator[Finding]:
    """Compares gain and cost of the best case with convolutions and the best without."""
    convolves = {(m.dataset, m.model): any(kind.startswith("Conv") for kind in m.kinds) for m in models}
    for dataset in dict.fromkeys(r.case.dataset.label for r in results):
        here = [r for r in results if r.case.dataset.label == dataset and primary_mean(r) is not None]
        best = {
            kind: min(
                (r for r in here if convolves.get((dataset, r.case.model.label)) is kind), key=rank, default=None
            )
            for kind in (True, False)
        }
        one, other = best[True], best[False]
        if one is None or other is None:
            continue
        with_and_without = Counter(convolves.get((dataset, r.case.model.label)) for r in here)
        chosen_from = with_and_without[True] * with_and_without[False]
        # Two intervals each, of a pair that was chosen from these by its means, at any look.
        of = 2 * chosen_from * looks
        accuracy, seconds = (judge_pair(one, other, of=of, metric=m) for m in (None, EPOCH_SECONDS))
        if not accuracy.paired.says_something:
            continue
        shown = {
            "better": "is better than",
            "worse": "is worse than",
            "identical": "is identical in every seed to",
            "equivalent": f"is equivalent (within {accuracy.margin_text}) to",
            "lost seeds": "cannot be judged, because of lost seeds, beside",
        }.get(accuracy.word, "is not shown to differ from")
        differing = differences(one.case, other.case)
        also = f" They differ in {listed(differing)}, too." if differing else ""
        yield Finding(
            "convolution",
            f"{EXPLORATORY}on {dataset}, the best case with convolutions, {name(one)} ({value_of(one)}), "
            f"{shown} the best case without them, {name(other)} ({value_of(other)}): {amount(accuracy, one)}. "
            f"{f'Its epochs take {ratio(seconds)} as long.' if seconds.paired.n else ''}{also}",
            (one.id, other.id),
        )


_LAYER_NAMES = (("BatchNorm", "batch normalisation"), ("Dropout", "dropout"))


def _added_layers(larger: ModelDescription | None, smaller: ModelDescription | None) -> str:
    """Names the added layers of the larger model, `batch normalisation`; empty if it lacks one of the smaller."""
    if larger is None or smaller is None:
        return ""
    more, less = (Counter((layer.kind, layer.settings) for layer in each.layers) for each in (larger, smaller))
    if less - more or more == less:  # the layers of the one, with the same settings, are all in the other
        return ""
    spoken = {
        next((words for kind, words in _LAYER_NAMES if name.startswith(kind)), name): None
        for name, _ in (more - less)
    }
    return " and ".join(spoken)


def _differs_while_training(kind: str) -> bool:
    return any(kind.startswith(start) for start, _ in _LAYER_NAMES)
