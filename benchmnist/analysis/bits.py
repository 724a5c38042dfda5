"""Compares the bits of two trainings, and what decides them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.runs.results import CaseResult, EpochResult, TrialResult

NOT_DECIDING = frozenset({"device", "cores", "python", "torchvision", "driver", "fingerprint"})
"""Properties of an environment that do not decide the bits of a result; of the device, its name does."""


def first_difference(reported: TrialResult, again: TrialResult) -> str:
    """Describes the first difference in the bits of two trials, times apart; empty if there is none.

    Only what is reported is compared: an earlier version may have measured less.
    """
    if said := _difference_of_courses(reported, again):
        return said
    for one, other in zip(reported.epochs, again.epochs, strict=True):
        for name, before, now in _norms(one, other):
            if not _same(before, now):
                return f"epoch {one.epoch}: {name} {_text(before)} in the run, {_text(now)} here"
    before, now = reported.state_bytes, again.state_bytes
    if before is not None and before != now:
        return f"optimizer_state_bytes {before} in the run, {_text(now)} here"
    return ""


def _difference_of_courses(reported: TrialResult, again: TrialResult) -> str:
    """Describes the first difference in what is learned; as `first_difference`."""
    for one, other in zip(reported.epochs, again.epochs, strict=False):
        for name, before, now in figures(one, other):
            if not _same(before, now):
                return f"epoch {one.epoch}: {name} {_text(before)} in the run, {_text(now)} here"
    if len(reported.epochs) != len(again.epochs):
        return f"{counted(len(reported.epochs), 'epoch')} in the run, {len(again.epochs)} here"
    lengths = [trial.epochs[-1].steps or 0 if trial.epochs else 0 for trial in (reported, again)]
    if lengths[0] != lengths[1]:
        there, here = (length or "all" for length in lengths)
        return f"{there} steps of the last epoch in the run, {here} here"
    if reported.status != again.status:
        return f"{reported.status} in the run, {again.status} here"
    return ""


def same_trainings(one: CaseResult, other: CaseResult) -> bool:
    """Tells whether all seeds that completed in both were trained with the same bits; false without a seed."""
    before = {trial.seed: trial for trial in other.trials if trial.status == "completed"}
    common = [(before[trial.seed], trial) for trial in one.trials if trial.seed in before]
    return bool(common) and not any(_difference_of_courses(*pair) for pair in common)


def figures(one: EpochResult, other: EpochResult) -> Iterator[tuple[str, float | None, float | None]]:
    """Yields the figures of an epoch in the order in which they come about: name, reported, again."""
    if one.learning_rate is not None:
        yield "learning_rate", one.learning_rate, other.learning_rate
    steps = dict(other.step_losses)
    for step, loss in one.step_losses:
        yield f"loss of step {step}", loss, steps.get(step)
    tested = {evaluation.step: evaluation for evaluation in other.evaluations}
    for evaluation in one.evaluations:
        step, now = evaluation.step, tested.get(evaluation.step)
        yield f"train_loss until step {step}", evaluation.train_loss, now.train_loss if now else None
        for name, value in evaluation.metrics.items():
            yield f"{name} after step {step}", value, now.metrics.get(name) if now else None
    yield "train_loss", one.train_loss, other.train_loss
    for name, value in one.metrics.items():
        yield name, value, other.metrics.get(name)


def _norms(one: EpochResult, other: EpochResult) -> Iterator[tuple[str, float | None, float | None]]:
    """Yields the norms of an epoch, as `figures`."""
    there = {dynamics.step: dynamics.layers for dynamics in other.dynamics}
    for dynamics in one.dynamics:
        layers = there.get(dynamics.step, {})
        for layer, norms in dynamics.layers.items():
            for name, value in dict(norms).items():
                now = getattr(layers[layer], name) if layer in layers else None
                yield f"{name} norm of {layer} after step {dynamics.step}", value, now


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
