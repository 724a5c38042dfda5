"""A run as rows for programs: every figure, unrounded, under stable names."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.courses import examples, points
from benchmnist.analysis.figures import MeanStd, seed_figure
from benchmnist.errors import BenchmnistError, unknown
from benchmnist.extensions.kinds import SETTINGS
from benchmnist.reports.columns import Columns, View
from benchmnist.reports.escaping import csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.summary import Summary
    from benchmnist.metrics import Metric, RowLevel
    from benchmnist.reports.columns import Column
    from benchmnist.runs.results import CaseResult, EpochResult, TrialResult

IDENTITY = (
    *("case", "problem", "level", "dataset", "model", "optimizer", "method", "label"),
    *(kind.name for kind in SETTINGS),
)
"""Keys that identify a case; `method` is the optimizer with everything else that the suite varies."""
COUNTED: dict[RowLevel, tuple[str, ...]] = {
    "case": (),
    "seed": ("seed", "status"),
    "epoch": ("seed", "epoch"),
    "evaluation": ("seed", "epoch", "step", "seconds", "examples"),
    "step": ("seed", "epoch", "step"),
    "layer": ("seed", "epoch", "step", "layer"),
}
"""Keys that identify the rows of a case."""


NORMS = {"gradient_norm": "gradient", "update_norm": "update", "weight_norm": "weight", "update_ratio": "ratio"}
"""Figures of the level `layer`, with the attributes of LayerNorms."""


@dataclass(frozen=True)
class Records:
    """Rows that all have the same keys.

    Attributes:
        header: The keys.
        rows: Their values; None where a value is missing or not finite.
    """

    header: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    def csv(self) -> str:
        """Formats the rows as CSV, with one header."""
        output = io.StringIO()
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(map(csv_cell, self.header))
        writer.writerows([csv_cell(row[key]) for key in self.header] for row in self.rows)
        return output.getvalue()


def records(analysis: Analysis, level: RowLevel = "case", view: View | None = None) -> Records:
    """Makes a row for each case, trial, epoch, evaluation, stored step or layer of a run, cases as in the view.

    If the view names no columns, a row has every figure of its level and the hyperparameters of its case
    (`optimizer.lr`).

    Raises:
        BenchmnistError: if the view names an unknown column; lists the known ones.
    """
    chosen = view or View()
    ordered = [s for members in chosen.groups(analysis.summaries).values() for s in members]
    parameters = [*dict.fromkeys(name for s in ordered for name in _parameters(s.result))]
    if level == "case" and chosen.columns:
        columns = chosen.shown(ordered)
        return _records((_figures(s, columns) for s in ordered), _keys(columns))
    columns_of_run = Columns(analysis.cases)
    known = (*IDENTITY, *parameters, *COUNTED[level], *_measured(level, columns_of_run))
    header = known
    if chosen.columns:
        header = tuple(dict.fromkeys(("case", *COUNTED[level], *(_known(key, known) for key in chosen.columns))))
    return _records((row for s in ordered for row in _rows(s, level, columns_of_run)), header)


def _records(rows: Iterator[dict[str, Any]], header: Sequence[str]) -> Records:
    return Records(tuple(header), tuple({key: plain(row.get(key)) for key in header} for row in rows))


def _known(key: str, known: Sequence[str]) -> str:
    if key not in known:
        raise BenchmnistError(unknown("column", key, known))
    return key


def _measured(level: RowLevel, columns: Columns) -> tuple[str, ...]:
    """Returns the keys of the figures of a level."""
    if level == "case":
        return (*_keys(_case_columns(columns)), *_settings(None))
    if level == "evaluation":
        return tuple(metric.key for metric in _evaluated(columns.metrics))
    if level == "layer":
        return tuple(NORMS)
    levels = ("seed", "epoch") if level == "seed" else (level,)
    more = ("epochs", "ended", "checkpoint", "stack") if level == "seed" else ()
    return (*(metric.key for metric in columns.metrics if metric.level in levels), *more)


def _case_columns(columns: Columns) -> list[Column]:
    """Returns the columns that IDENTITY and the hyperparameters do not cover."""
    return [column for column in columns if column.key not in (*IDENTITY, "params")]


def _keys(columns: Sequence[Column]) -> list[str]:
    return [key for c in columns for key in ((c.key, f"{c.key}_std") if c.over_seeds else (c.key,))]


def _rows(s: Summary, level: RowLevel, columns: Columns) -> Iterator[dict[str, Any]]:
    """Yields the rows of a case, each with all of its keys."""
    result = s.result
    about = _identity(result) | _parameters(result)
    if level == "case":
        yield about | _figures(s, _case_columns(columns)) | _settings(result)
        return
    for trial in result.trials:
        rows = _of_trial(trial, level, columns.metrics, result)
        yield from ({**about, "seed": trial.seed, **row} for row in rows)


def _evaluated(metrics: Sequence[Metric]) -> list[Metric]:
    """Returns the metrics that an evaluation has: not those of a whole epoch."""
    return [
        metric for metric in metrics if metric.level == "epoch" and metric.over_epochs == "last" and metric.better
    ]


def _of_trial(
    trial: TrialResult, level: RowLevel, metrics: Sequence[Metric], result: CaseResult
) -> Iterator[dict[str, Any]]:
    at_level = [metric for metric in metrics if metric.level == level]
    if level == "seed":
        found = {m.key: seed_figure(trial, m, result) for m in metrics if m.level in ("seed", "epoch")}
        yield {
            "status": trial.status,
            **found,
            "epochs": len(trial.epochs),
            "ended": trial.ended if trial.status == "completed" else None,
            "checkpoint": trial.checkpoint,
            "stack": trial.stack and str(trial.stack),
        }
        return
    if level == "evaluation":
        for point in points(trial, result.steps):
            yield {
                "epoch": point.epoch,
                "step": point.step or None,
                "seconds": point.seconds,
                "examples": examples(result, point.step) or None,
                **{metric.key: point.figure(metric) for metric in _evaluated(metrics)},
            }
        return
    for epoch in trial.epochs:
        if level == "epoch":
            yield {"epoch": epoch.epoch, **{metric.key: epoch.figure(metric) for metric in at_level}}
            continue
        if level == "layer":
            yield from _of_layers(epoch)
            continue
        steps: dict[int, dict[str, Any]] = {}
        for metric in at_level:
            for step, value in getattr(epoch, metric.field):
                steps.setdefault(step, {"epoch": epoch.epoch, "step": step})[metric.key] = value
        yield from steps.values()


def _of_layers(epoch: EpochResult) -> Iterator[dict[str, Any]]:
    """Yields the norms of each layer at each evaluation of an epoch, where they were kept."""
    for each in epoch.dynamics:
        for layer, norms in each.layers.items():
            figures = {key: getattr(norms, attribute) for key, attribute in NORMS.items()}
            yield {"epoch": epoch.epoch, "step": each.step, "layer": layer, **figures}


def _identity(result: CaseResult) -> dict[str, Any]:
    case = result.case
    return {
        "case": case.id,
        "problem": case.problem,
        "level": case.dataset.variant or None if case.problem else None,
        "dataset": case.learned[0],
        "model": case.learned[1],
        "optimizer": case.optimizer.label,
        "method": case.method,
        "label": case.label or None,
        **{kind.name: case.parts[kind.name].label if kind.name in case.parts else None for kind in SETTINGS},
    }


def _parameters(result: CaseResult) -> dict[str, Any]:
    """Returns the parameters of the components of a case: `optimizer.lr`."""
    return {f"{kind}.{name}": v for kind, part in result.case.parts.items() for name, v in part.settings.items()}


def _settings(result: CaseResult | None) -> dict[str, Any]:
    """Returns the settings of a case that no table shows; only their keys if `result` is None."""
    fields = ("clip_grad_norm", "label_smoothing", "init_seed", "normalise", "evaluate_in")
    of_result = ("train_size", "steps", "reused_from", "started", "key")
    return {
        **{name: result and getattr(result.case, name) for name in fields},
        **{name: result and (getattr(result, name) or None) for name in of_result},
    }


def _figures(s: Summary, columns: Sequence[Column]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in columns:
        value = column.value(s)
        if column.over_seeds:
            found[column.key], found[f"{column.key}_std"] = value or MeanStd(math.nan)
        else:
            found[column.key] = value
    return found


def plain(value: Any) -> Any:
    """Replaces numbers that JSON does not have, such as NaN, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return [*map(plain, value)] if isinstance(value, (list, tuple)) else value
