"""The differences between runs besides their results: the cases themselves, machines, versions and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.suites.differences import targets_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.runs.results import CaseResult, RunResult


def altered(results: Sequence[CaseResult | None]) -> Iterator[str]:
    """Yields differences of the case itself, and of what a measurement chose: `optimizer lr: 0.1, then 0.2`."""
    there = [result for result in results if result is not None]
    seen: dict[str, None] = {}
    for result in there[1:]:
        before, after = _flat(there[0]), _flat(result)
        for name in dict.fromkeys([*before, *after]):
            one, two = ("–" if (value := each.get(name)) is None else value for each in (before, after))
            if one != two:
                seen[f"{name}: {one}, then {two}"] = None
    yield from seen


def _flat(result: CaseResult) -> dict[str, Any]:
    """Returns everything that decides the result of a case, with one entry per component parameter."""
    flat: dict[str, Any] = {"chosen by measurement": ", ".join(result.measured_changes) or "nothing"}
    for name, value in (result.case.deciding() | targets_of(result.case)).items():
        if isinstance(value, dict):
            flat[name] = value["use"]
            flat[f"{name} from"] = f"{value['distribution']} {value['version']}"
            flat |= {f"{name} {key}": given for key, given in value["params"].items()}
        else:
            flat[name] = value
    return flat


def surroundings(runs: Sequence[RunResult]) -> dict[str, tuple[str, ...]]:
    """Returns the differing machines, versions and settings of the runs, with every value that a run has."""
    seen: list[dict[str, dict[str, None]]] = []
    for run in runs:
        values: dict[str, dict[str, None]] = {"BenchMNIST": {run.record.benchmnist: None}}
        for result in run.cases:
            for name, value in {**result.environment, "side by side": result.side_by_side}.items():
                values.setdefault(name, {})[str(value)] = None
        seen.append(values)
    names = dict.fromkeys(name for values in seen for name in values)
    told = {name: tuple(", ".join(values.get(name, {"–": None})) for values in seen) for name in names}
    return {
        name: values
        for name, values in told.items()
        if len({*values}) > 1 and name not in ("fingerprint", "benchmnist")
    }
