"""Finds what contradicts itself in a run folder, without any training."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.analysis.bits import first_difference
from benchmnist.analysis.expectations import missed
from benchmnist.errors import BenchmnistError
from benchmnist.metrics import PRIMARY
from benchmnist.runs.endings import ending_of, goes_beyond
from benchmnist.runs.results import worst
from benchmnist.runs.store import WITH_FIGURES
from benchmnist.suites.budgets import evaluation_steps
from benchmnist.suites.keys import case_key
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from benchmnist.runs.results import CaseResult, EpochResult, RunResult, TrialResult
    from benchmnist.suites.cases import Case

OF_THE_KEY = ("device_name", "torch", "benchmnist", "deterministic")
"""Properties of an environment that are part of a key, beside the type of the device."""


ROUNDING = 1e-9
"""Relative difference of two sums of the same seconds."""


class Contradiction(NamedTuple):
    """A statement of a run folder that another statement in it, or arithmetic, refutes.

    Attributes:
        case_id: The case.
        seed: The seed; None if it is about the case.
        text: The contradiction, in words.
    """

    case_id: str
    seed: int | None
    text: str


def contradictions(
    run: RunResult, selected: Collection[str] | None = None, *, keys: bool = True
) -> list[Contradiction]:
    """Returns what cannot be true of a run, at most one of each case and of each trial.

    That its files are of the planned cases is checked where they are read.

    Args:
        run: The run, as it was read from its folder: a key is that of the fields that are in the file.
        selected: Ids of the cases to look at; None means all of them.
        keys: Whether the keys of the cases are compared with their content.
    """
    plan = {case.id: case for case in run.record.plan if selected is None or case.id in selected}
    found: list[Contradiction] = []
    if run.record.status == "completed":
        whole = {result.id for result in run.cases if result.status in WITH_FIGURES}
        lost = [case_id for case_id in plan if case_id not in whole]
        found += [Contradiction(case_id, None, "the run completed without a result of it") for case_id in lost]
    for result in run.cases:
        if result.id not in plan:
            continue
        curves = run.record.curves
        of_trials = [(trial.seed, next(_of_trial(result, trial, curves=curves), "")) for trial in result.trials]
        texts = [(None, next(_of_case(run, result, keys=keys), "")), *of_trials]
        found += [Contradiction(result.id, seed, text) for seed, text in texts if text]
    return found


def _of_case(run: RunResult, result: CaseResult, *, keys: bool) -> Iterator[str]:
    """Yields what cannot be true of a case."""
    yield from _of_seeds(result)
    if result.status in WITH_FIGURES:
        if keys and not _key_fits(run, result):
            yield f"its key {result.key!r} does not fit its content"
        if bool(missing := _missed(result)) != bool(result.misses):
            yield f"{missing[0]}, which it does not report" if missing else "it reports a miss, and misses nothing"
    if not 0 <= result.wall_seconds < math.inf:
        yield f"wall_seconds is {result.wall_seconds}"


def _of_seeds(result: CaseResult) -> Iterator[str]:
    """Yields what cannot be true of the trials of a case together."""
    seeds, asked = [trial.seed for trial in result.trials], result.case.seeds
    if len({*seeds}) < len(seeds) or not {*seeds} <= {*asked}:
        yield f"it has trials of the seeds {_listed(seeds)}, and is a case of the seeds {_listed(asked)}"
    if result.status in WITH_FIGURES:
        if len(seeds) < len(asked):
            yield f"{result.status} with {counted(len(seeds), 'trial')} of {counted(len(asked), 'seed')}"
        if result.status != (status := worst(trial.status for trial in result.trials)):
            yield f"{result.status}, with a trial that is {status}"
    for one, other in itertools.combinations([t for t in result.trials if t.status == "completed"], 2):
        if result.steps > 1 and _varies(one) and not first_difference(one, other):
            yield f"the seeds {one.seed} and {other.seed} have the same figures, bit for bit"


def _of_trial(result: CaseResult, trial: TrialResult, *, curves: bool) -> Iterator[str]:
    """Yields what cannot be true of a trial; `curves` is as of RunRecord."""
    epochs, case = trial.epochs, result.case
    for epoch in epochs:
        yield from _of_epoch(case, epoch)
    if [epoch.epoch for epoch in epochs] != [*range(1, len(epochs) + 1)] or len(epochs) > case.epochs:
        yield f"its epochs are not 1 to {case.epochs}"
    if not 0 <= trial.setup_seconds < math.inf:
        yield f"setup_seconds is {trial.setup_seconds}"
    finite = [math.isfinite(epoch.train_loss) for epoch in epochs]
    yield from _of_steps(result, trial, curves=curves)
    if trial.status == "completed":
        if not all(finite):
            yield f"completed with a loss of {epochs[finite.index(False)].train_loss}"
        for metric in case.evaluates:
            if any(metric.field not in epoch.metrics for epoch in epochs):
                yield f"completed without a {metric.title} after every epoch"
    if trial.status == "diverged" and (not epochs or finite.count(False) != 1 or finite[-1]):
        yield "diverged without a loss that is not finite in its last epoch"


def _of_steps(result: CaseResult, trial: TrialResult, *, curves: bool) -> Iterator[str]:
    """Yields what cannot be true of the steps of a trial and of its evaluations; `curves` is as of RunRecord."""
    case, epochs = result.case, trial.epochs
    ended = ending_of(case, epochs) if trial.status == "completed" else trial.ended
    if ended is None:
        yield f"completed with {counted(len(epochs), 'epoch')} of {case.epochs}"
    elif ended != trial.ended:
        yield f"it ended by its {trial.ended}, and its figures say by its {ended}"
    if goes_beyond(case, epochs):
        yield "it goes on after an evaluation that ends it"
    made, seconds = 0, 0.0
    for epoch in epochs if result.steps else ():  # the first versions recorded none
        due = evaluation_steps(case, epoch.epoch, result.steps)
        made += epoch.steps or result.steps
        cut_short = epoch is epochs[-1] and trial.status in ("completed", "diverged") and made in due
        if made != due[-1] and not cut_short:
            yield f"epoch {epoch.epoch}: it ends after step {made}, not {due[-1]}"
        if case.evaluate_every is not None:
            there, kept = [step for step in due if step <= made], {each.step for each in epoch.evaluations}
            there = there if curves else [step for step in there if step in kept or step == there[-1]]
            yield from _of_evaluations(epoch, there, seconds)
        seconds += epoch.seconds


def _of_evaluations(epoch: EpochResult, due: Sequence[int], before: float) -> Iterator[str]:
    """Yields what cannot be true of the evaluations of an epoch, by the steps after which they are due."""
    steps = [evaluation.step for evaluation in epoch.evaluations]
    times = [before, *(evaluation.seconds for evaluation in epoch.evaluations), before + epoch.seconds]
    if epoch.metrics and (not steps or epoch.metrics != epoch.evaluations[-1].metrics):
        yield f"epoch {epoch.epoch}: its figures are not those of its last evaluation"
    if steps != [*due[: None if epoch.metrics else -1]]:  # a trial that diverges has no last one
        yield f"epoch {epoch.epoch}: it has evaluations after the steps {_listed(steps)}, not {_listed(due)}"
    if any(one > other * (1 + ROUNDING) for one, other in itertools.pairwise(times)):
        yield f"epoch {epoch.epoch}: the seconds of its evaluations are not in order"


def _of_epoch(case: Case, epoch: EpochResult) -> Iterator[str]:
    """Yields what cannot be true of an epoch."""
    for name in ("seconds", "reference_seconds"):
        if (seconds := getattr(epoch, name)) is not None and not 0 < seconds < math.inf:
            yield f"epoch {epoch.epoch}: {name} is {seconds}"
    task = case.task
    if task is None or (task.use, task.distribution) == ("classification", "benchmnist"):
        accuracy, losses = epoch.metrics.get(PRIMARY.field, 0.0), [loss for _, loss in epoch.step_losses]
        if not 0 <= accuracy <= 100:  # noqa: PLR2004 - in %
            yield f"epoch {epoch.epoch}: {PRIMARY.field} is {accuracy}, not between 0 and 100"
        # A cross-entropy. Weights that overflowed in the last step have a test loss that is not finite.
        for loss in (epoch.train_loss, *losses, epoch.metrics.get("test_loss", 0.0)):
            if loss < 0:
                yield f"epoch {epoch.epoch}: a loss is {loss}, and a cross-entropy is not negative"


def _varies(trial: TrialResult) -> bool:
    """Tells whether a trial has learned anything: what is stuck from the first step on is so with every seed."""
    losses = {loss for epoch in trial.epochs for loss in (epoch.train_loss, *dict(epoch.step_losses).values())}
    return len(losses) > 1


def _key_fits(run: RunResult, result: CaseResult) -> bool:
    """Tells whether a case has the key of its content; true if the run did not record what decides it."""
    data, environment = run.record.data.get(result.case.dataset.label), result.environment
    if data is None or not {"device", *OF_THE_KEY} <= {*environment}:
        return True
    if any(text in result.case.model_dump_json() for text in ('"NaN"', '"Infinity"', '"-Infinity"')):
        return True  # they were numbers when the key was computed
    platform = {name: environment[name] for name in OF_THE_KEY}
    platform["device"] = str(environment["device"]).partition(":")[0]
    # The key is that of the process that planned: another GPU of its machine may have trained, and a worker does
    # not inherit torch's switch.
    near = [result] if platform["device"] == "cpu" else run.cases
    names = {each.environment["device_name"] for each in near if "device_name" in each.environment}
    possible = [platform | {"device_name": n, "deterministic": switch} for n in names for switch in (False, True)]
    return any(result.key == case_key(result.case, data, each, stored=True) for each in possible)


def _missed(result: CaseResult) -> tuple[str, ...]:
    """Returns the missed expectations of a case; those that it reports, if a metric is unknown here."""
    try:
        return missed(result)
    except BenchmnistError:
        return result.misses


def _listed(seeds: Collection[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"
