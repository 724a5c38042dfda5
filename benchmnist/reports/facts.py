"""Facts of a run in a report, besides its figures: when and where it ran, and with what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import CaseResult, RunResult


def run_facts(run: RunResult) -> str:
    """Returns `Suite quick (suites/quick.toml), 2 of 2 cases, BenchMNIST 0.1.0: completed, from … to ….`."""
    record = run.record
    when = f"from {record.started} to {record.ended}" if record.ended else f"from {record.started}"
    ended = f"{len(run.cases)} of {len(record.plan)} cases, BenchMNIST {record.benchmnist}"
    return f"Suite {record.suite} ({record.suite_file}), {ended}: {record.status}, {when}."


def case_facts(result: CaseResult) -> list[tuple[str, str]]:
    """Returns the settings of a case as (name, value), without missing ones."""
    case = result.case
    facts: dict[str, Any] = {}
    for kind, part in case.parts.items():
        facts[kind] = f"{part.use} {json.dumps(part.settings)}" if part.settings else part.use
        facts[f"{kind} from"] = f"{part.distribution} {part.version}"
    facts |= {
        "epochs": case.epochs,
        "batch size": case.batch_size,
        "seeds": ", ".join(map(str, case.seeds)),
        "clip_grad_norm": case.clip_grad_norm,
        "label_smoothing": case.label_smoothing or None,
        "init_seed": case.init_seed,
        "normalise": case.normalise or None,
        "training examples": f"{result.train_size:,}" if result.train_size else None,
        "weights": f"{result.parameters:,}" if result.parameters else None,
        "engine": engine_facts(result) or None,
        "precision": result.precision or None,
        "side by side": result.side_by_side if result.side_by_side > 1 else None,
        "reused from": result.reused_from,
        "started": result.started or None,
        "total seconds": f"{result.wall_seconds:.1f}" if result.wall_seconds else None,
        "key": result.key or None,
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def engine_facts(result: CaseResult) -> str:
    """Returns the engine of a case and its remarks: `resident; channels_last`."""
    return "; ".join((result.engine, *(remark for remark in result.remarks if remark != result.engine)))


def environments(results: Sequence[CaseResult]) -> list[tuple[list[tuple[str, str]], list[CaseResult]]]:
    """Returns each environment of a run with its cases; most runs have one."""
    seen: dict[str, list[CaseResult]] = {}
    for result in results:
        if result.environment:
            seen.setdefault(json.dumps(result.environment, sort_keys=True), []).append(result)
    return [
        ([(key, str(value)) for key, value in members[0].environment.items()], members)
        for members in seen.values()
    ]
