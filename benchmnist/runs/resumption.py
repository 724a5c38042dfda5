"""Decides whether a run folder may be resumed with what is asked now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError
from benchmnist.runs.store import readable_cases
from benchmnist.suites.differences import shown
from benchmnist.suites.keys import lasting
from benchmnist.suites.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmnist.runs.results import RunRecord
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Case

MOST_SHOWN = 3
"""Differences of a case that an error lists at most."""


def as_asked_before(record: RunRecord, options: RunOptions) -> RunOptions:
    """Returns the options of a run that is resumed: those that determine its cases are as when it began.

    Raises:
        BenchmnistError: if one of them has another value now, or one that it cannot have.
    """
    default = RunOptions().cases
    before = {name: record.options.get(name, value) for name, value in default.items()} | {"order": record.order}
    for name, value in options.cases.items():
        if value not in (before[name], default[name]):
            begun = f"with {name} = {before[name]!r}" if before[name] not in (None, "", []) else f"without {name}"
            raise BenchmnistError(
                f"the run was begun {begun}, and cannot go on with {value!r}; remove it, or begin a new run"
            )
    try:
        return replace(options, **before)
    except (TypeError, ValueError) as error:
        raise BenchmnistError(f"run.json has options that no run can have: {error}") from error


def refuse_another_plan(
    path: Path, record: RunRecord, cases: Sequence[Case], searches: Sequence[Search] = ()
) -> None:
    """Raises an error if a run cannot be resumed with these cases, because some of its own would be lost.

    Raises:
        BenchmnistError: says what differs, and what to do.
    """
    if record.searches and record.searches != tuple(searches):
        raise BenchmnistError(
            f"{path} cannot be resumed: `benchmnist tune` chose its settings; pass --resume to `benchmnist tune`, "
            "or remove it to begin a new run"
        )
    if lost := lost_cases(path, record, cases):
        which = lost[0].id + _changes(lost[0], cases)
        are = "is" if len(lost) == 1 else "are"
        raise BenchmnistError(
            f"{path} cannot be resumed: {len(lost)} of its {len(record.plan)} cases {are} no longer planned"
            f"{':' if len(lost) == 1 else ', such as'} {which}; pass the suite and the options that it was begun "
            "with, or remove --resume to begin a new run"
        )


def lost_cases(path: Path, record: RunRecord, cases: Sequence[Case]) -> list[Case]:
    """Returns the cases of a run that are not among others: none has the same parameters and all its seeds.

    A case may have another name. One that failed may have changed, because the suite was mended. The seeds of
    controls follow from those of the others.
    """
    by_id = {case.id: case for case in cases}
    changed = [case for case in record.plan if by_id.get(case.id) != case]
    if not changed:
        return []
    planned: dict[str, list[set[int]]] = {}
    for case in cases:
        planned.setdefault(_text(case), []).append({*case.seeds})
    lost = [
        case
        for case in changed
        if not any(case.control or seeds >= {*case.seeds} for seeds in planned.get(_text(case), ()))
    ]
    failed = {result.id for _, result in readable_cases(path) if result.failed} if lost else set()
    return [case for case in lost if case.id not in failed]


def _text(case: Case) -> str:
    return f"{case.control} {lasting(case)}"


def _changes(case: Case, cases: Sequence[Case]) -> str:
    """Returns what has changed in the case of that name: ` (epochs was 2, is now 3)`; empty if it is missing."""
    for other in cases:
        if other.id == case.id:
            before, now = _fields(case), _fields(other)
            found = [
                f"{name.replace('_', ' ')} was {shown(before.get(name))}, is now {shown(now.get(name))}"
                for name in {**before, **now}
                if before.get(name) != now.get(name)
            ]
            return f" ({'; '.join([*found[:MOST_SHOWN], *(['…'] if found[MOST_SHOWN:] else [])])})"
    return ""


def _fields(case: Case) -> dict[str, Any]:
    return {**lasting(case), "seeds": list(case.seeds)}
