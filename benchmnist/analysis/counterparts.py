"""Decides whether the results of a case in two runs, before and after a change of the code, can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.analysis.courses import spacing
from benchmnist.analysis.figures import has_metric, is_compared, seed_figures
from benchmnist.analysis.gate import MACHINE
from benchmnist.analysis.units import unit
from benchmnist.metrics import PEAK_MEMORY, TO_TARGET
from benchmnist.suites.differences import targets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Case

HOW = ("engine", "precision")
"""Properties of a result that say how it was computed: the code may change them, and they are named."""
IGNORED = frozenset({"seeds", "metrics", "reference", *HOW})
"""Settings that need not be equal: the seeds are paired, and the others change no figure."""


def obstacles(
    old: CaseResult, new: CaseResult, runs: tuple[RunResult, RunResult], metric: Metric
) -> Iterator[str]:
    """Yields the reasons why the results of a case in two runs, the older one first, are not comparable."""
    if not (has_metric(old, metric) and has_metric(new, metric)):
        yield f"{metric.key} is not measured in both runs"
        return
    if not (is_compared(old, metric) and is_compared(new, metric)):
        yield f"its trials end at their target or give up, each at another {metric.name}"
        return
    before, now = _settings(old.case), _settings(new.case)
    if metric in TO_TARGET or old.case.ends_early or new.case.ends_early:
        before, now = before | targets_of(old.case), now | targets_of(new.case)
    yield from _changed(before, now)
    if metric in TO_TARGET and old.case.evaluate_every == new.case.evaluate_every and spacing(old) != spacing(new):
        yield f"it was evaluated every {spacing(old)} steps, is now every {spacing(new)}"
    label = old.case.dataset.label
    digests = [digest for run in runs if (digest := run.record.data.get(label))]
    if len({*digests}) > 1:
        yield f"the contents of {label} differ"
    if metric == PEAK_MEMORY:
        yield from _memory_obstacles(old, new, runs)
    elif not seed_figures(old, metric):
        yield f"the baseline completed no {unit(old)}"
    elif {*old.case.seeds}.isdisjoint(new.case.seeds):
        yield f"no common {unit(old)}: {listed(old.case.seeds)}, then {listed(new.case.seeds)}"


def _memory_obstacles(old: CaseResult, new: CaseResult, runs: tuple[RunResult, RunResult]) -> Iterator[str]:
    """Yields the differences that change the peak memory of a case, whatever its code."""
    for which, result in (("the baseline", old), ("the current run", new)):
        if result.status != "completed":
            yield f"{which} {result.status}"
        if not result.peak_memory:
            yield f"{which} has no peak memory"
    yield from _changed(_surroundings(old), _surroundings(new))
    if old.case.seeds != new.case.seeds:
        yield f"{unit(old)}s were {listed(old.case.seeds)}, are now {listed(new.case.seeds)}"
    if str(new.environment.get("device", "")).startswith("cuda"):
        return
    # Elsewhere it is the most that the process has used so far: what it did before must be the same.
    if new.side_by_side > 1:
        yield "cases were shared out among processes, and this is the memory of a process; train with --jobs 1"
    if old.reused_from or new.reused_from:
        yield "a result was taken from an earlier run, and this is the memory of a process"
    before, now = ({name: run.record.options.get(name) for name in ("executor", "order")} for run in runs)
    yield from _changed(before, now)
    planned, plan = ([case.id for case in run.record.plan] for run in runs)
    if planned != plan:
        yield "the runs have other cases, and this is the memory of a process"


def _surroundings(result: CaseResult) -> dict[str, Any]:
    machine = {key: result.environment.get(key) for key in MACHINE}
    own = {"engine": result.engine, "precision": result.precision, "side by side": result.side_by_side}
    own["stack"] = ", ".join(map(str, result.stacks)) or None
    return {**machine, **own}


def _settings(case: Case) -> dict[str, Any]:
    """Returns what decides a result of a case apart from the code, with an entry for each parameter.

    What a search chose is left out: it is part of what is compared.
    """
    flat: dict[str, Any] = {}
    chosen = {"optimizer", *case.chosen} if case.tuned else {*case.chosen}
    for name, value in case.deciding().items():
        if name in IGNORED:
            continue
        if isinstance(value, dict) and "use" in value:
            flat[name] = value["use"]
            flat |= {} if name in chosen else {f"{name} {key}": given for key, given in value["params"].items()}
        elif name not in chosen:
            flat[name] = value
    return flat


def _changed(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            values = [each.get(name) for each in (before, now)]
            former, current = ("not given" if value is None else value for value in values)
            yield f"{name.replace('_', ' ')} was {former}, is now {current}"


def listed(seeds: Iterable[int]) -> str:
    """Returns `0, 1, 4`."""
    return ", ".join(map(str, sorted(seeds))) or "none"
