"""The results of others that come with a suite, as far as a run can be shown beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.units import by_search
from benchmnist.errors import listed
from benchmnist.runs.store import load_recorded
from benchmnist.suites.differences import NOT_LEARNING, shown
from benchmnist.suites.keys import lasting

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Case, Group

OF_METHODS = frozenset({"optimizer", "schedule", "clip_grad_norm", "costs", "dynamics", "metrics"}) | NOT_LEARNING
"""Fields of a case in which methods may differ, or that change nothing that it learns."""


@dataclass(frozen=True)
class Others:
    """Results of others.

    Attributes:
        results: The results of methods that the run itself has not, on the same levels of the same problems.
        searches: The searches for these methods.
        source: Where they come from: the versions, the machine and the date; empty without results.
        left_out: Which methods are left out, and why; empty if none is.
    """

    results: tuple[CaseResult, ...] = ()
    searches: tuple[Search, ...] = ()
    source: str = ""
    left_out: str = ""


def others_of(run: RunResult) -> Others:
    """Returns the results of others that a run has, without the methods that were trained otherwise than its own.

    Raises:
        StoreError: if they are damaged.
    """
    recorded = load_recorded(run)
    if recorded is None:
        return Others()
    ours: dict[Group, Case] = {}
    for case in run.record.plan:
        ours.setdefault(case.group, case)
    mine = {case.searched_method for case in run.record.plan}
    differing: dict[str, str] = {}
    found = []
    for result in by_search(recorded.cases):
        method = result.case.searched_method
        if method in mine or result.case.group not in ours or method in differing:
            continue
        if differs := _difference(ours[result.case.group], result.case):
            differing[method] = differs
        found.append(result)
    kept = tuple(result for result in found if result.case.searched_method not in differing)
    gone = mine | {*differing}
    searches = tuple(search for search in recorded.record.searches if search.method not in gone)
    left_out = ""
    if differing:
        left_out = (
            f"recorded results of {listed([*differing])} are left out: {next(iter(differing.values()))} differ"
        )
    return Others(kept, searches, _source(recorded) if kept else "", left_out)


def _difference(own: Case, other: Case) -> str:
    """Returns the first thing besides the method that decides one case and not the other; empty if none does."""
    one, two = _deciding(own), _deciding(other)
    for name in dict.fromkeys([*one, *two]):
        if one.get(name) != two.get(name):
            return f"{name.replace('_', ' ')} ({shown(one.get(name))} here, {shown(two.get(name))} there)"
    return ""


def _deciding(case: Case) -> dict[str, Any]:
    left_out = {*OF_METHODS, *case.chosen, *(["epochs"] if case.steps is not None else [])}  # of a budget in steps
    found = {name: value for name, value in lasting(case).items() if name not in left_out}
    return found | {"target_loss": case.target_loss, "target_accuracy": case.target_accuracy}


def _source(recorded: RunResult) -> str:
    """Returns `recorded 2026-11-28 with BenchMNIST 0.1.0 and torch 2.13.0 on AMD EPYC`."""
    record = recorded.record
    environments = [result.environment for result in recorded.cases]
    versions = dict.fromkeys(str(each["torch"]) for each in environments if "torch" in each)
    machines = dict.fromkeys(str(each["device_name"]) for each in environments if "device_name" in each)
    return (
        f"recorded {record.started[:10]} with BenchMNIST {record.benchmnist} and torch {' and '.join(versions)} "
        f"on {' and '.join(machines)}"
    )
