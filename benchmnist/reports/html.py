"""One self-contained page: it opens from disk, needs no network, and also shows every figure as text.

The curves are drawn by plotly.js, from its Python package: its SVG prints sharply and is magnified as text is.
bokeh's script is a quarter of the size, but draws on a canvas; altair's comes in a wheel of 33 MB. Compressed,
plotly.js is 2 MB of each page.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import math
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.courses import AXES, is_fine, mean_course, points
from benchmnist.analysis.figures import drawn_metrics, mean_curve, measured, metrics_of, trial_curve
from benchmnist.analysis.summary import group_title
from benchmnist.analysis.verdicts import rank
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.reports.columns import Columns, leading
from benchmnist.reports.escaping import html, in_script
from benchmnist.reports.extra_tables import EXTRA_TABLES, model_tables
from benchmnist.reports.facts import case_facts, environments, run_facts
from benchmnist.reports.pictures import pictures
from benchmnist.reports.plots import MOST_CURVES, Curve, default_axis, optimizer_styles
from benchmnist.reports.tables import LEVELS_LEFT_OUT, cells, legend
from benchmnist.text import decimals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.courses import Across
    from benchmnist.analysis.summary import Summary
    from benchmnist.metrics import Metric
    from benchmnist.reports.columns import Column
    from benchmnist.reports.tables import Cell
    from benchmnist.runs.results import CaseResult, TrialResult

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
}
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
DIGITS = 6  # of a figure in the page
MOST_PIECES = 10_000  # of a page, joined at once
MOST_ROWS = 100  # of a table of the figures of curves; it leaves out evaluations of longer ones
AXIS_LABELS: dict[Across, str] = {
    "epochs": "epochs",
    "steps": "steps",
    "examples": "examples seen",
    "seconds": "seconds of training",
}
IN_STEPS = frozenset({"steps", "examples"})
DRAWN_AT_FIRST = 8  # curves of a page that has more than it draws


def report_page(analysis: Analysis, drawn: Mapping[str, bytes] | None = None, axis: Across | None = None) -> str:
    """Returns report.html of a run.

    Args:
        analysis: The run.
        drawn: Its pictures by title; None to draw them.
        axis: Horizontal axis of the curves at first; see `plots.default_axis`.
    """
    run, summaries = analysis.run, analysis.summaries
    columns = _columns(summaries)
    rows = cells(summaries, columns, analysis)
    styles = optimizer_styles(dict.fromkeys(case.method for case in run.record.plan))
    groups: dict[str, list[Curve]] = {}
    for result in run.cases if run.record.curves else ():
        if not analysis.tells(result.case.group):
            continue
        curve = Curve(result.case.method, result, styles[result.case.method])
        groups.setdefault(group_title(result.case.group), []).append(curve)
    row_indices = {summary.result.id: index for index, summary in enumerate(summaries)}
    ended = {result.id for result in run.cases}
    ran_with, left_out = environments(run.cases), bool(analysis.untold_levels)
    return page(
        "report.html",
        groups,
        axis=axis,
        title=run.record.title,
        subtitle=run_facts(run),
        legend=f"{legend(run.cases).replace('; * ', '; bold: ')}{'. ' + LEVELS_LEFT_OUT if left_out else ''}",
        columns=[{"title": c.title, "first": "descending" if c.best == "max" else "ascending"} for c in columns],
        rows=summaries and map(partial(_row, rows, columns), itertools.count(), summaries),  # of many, millions
        findings=[
            {
                "text": each.text,
                "cases": [(case, f"row-{row_indices[case]}") for case in each.cases if case in row_indices],
            }
            for each in analysis.findings
        ],
        extra_tables=[table for make in EXTRA_TABLES.values() for table in make(analysis)],
        models=model_tables(run),
        pictures=[
            {
                "title": picture.title,
                "alt": picture.alt,
                "source": _embedded(picture.draw() if drawn is None else drawn[picture.title]),
            }
            for picture in pictures(analysis)
            if drawn is None or picture.title in drawn
        ],
        notes=run.record.notes,
        cases=map(_case, itertools.count(), summaries),
        waiting=[case.id for case in run.record.plan if case.id not in ended],
        environments=[
            {"cases": [r.id for r in results] if len(ran_with) > 1 else [], "facts": facts}
            for facts, results in ran_with
        ],
        suite_text=run.record.suite_text.strip(),
    )


def _row(
    rows: Mapping[str, Sequence[Cell]], columns: Sequence[Column], index: int, summary: Summary
) -> dict[str, Any]:
    """Returns a row of the table, as the template reads it."""
    return {
        "anchor": f"case-{index}",
        "row": f"row-{index}",
        "wrong": not summary.is_fine,
        "cells": [
            {
                "text": cell.text,
                "best": cell.best,
                "noise": cell.noise,
                "value": "" if cell.value is None else leading(cell.value),
                "number": not column.words,
            }
            for cell, column in zip(rows[summary.result.id], columns, strict=True)
        ],
    }


def _case(index: int, summary: Summary) -> dict[str, Any]:
    """Returns what the template reads of a case beside its row."""
    return {
        "anchor": f"case-{index}",
        "id": summary.result.id,
        "status": summary.status,
        "misses": summary.result.misses,
        "error": summary.result.error,
        "facts": case_facts(summary.result),
    }


def _embedded(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _columns(summaries: Sequence[Summary]) -> list[Column]:
    """Returns the columns that identify a row, then figures, then any other column whose values differ."""
    columns = Columns(s.result for s in summaries)
    first = ("optimizer", "model", *columns.figures)
    not_judged = [metric.key for metric in columns.metrics if metric.better is None]
    others = [
        each
        for each in columns
        if each.key not in ("case", *first, *not_judged) and len({str(each.value(s)) for s in summaries}) > 1
    ]
    return [*map(columns.column, first), *others]


def _best_curves(results: Sequence[CaseResult]) -> frozenset[str]:
    """Returns the methods whose curves are drawn until somebody chooses others: the best of all, and baselines."""
    ranked = sorted((result for result in results if result.has_epochs), key=rank)
    baselines = [result.case.method for result in ranked if result.case.is_baseline]
    best = [result.case.method for result in ranked]
    return frozenset([*dict.fromkeys(baselines), *dict.fromkeys(best)][:DRAWN_AT_FIRST])


def page(
    template: str, groups: Mapping[str, Sequence[Curve]], *, axis: Across | None = None, **context: Any
) -> str:
    """Renders a page from one of our templates, with the curves of each group under its title.

    Of more than MOST_CURVES curves, the page draws the best ones and those that are chosen in it.
    """
    import jinja2
    from markupsafe import Markup

    drawn = {
        title: kept
        for title, curves in groups.items()
        if (kept := [curve for curve in curves if curve.result.has_epochs])
    }
    styles = {curve.name: curve.style for curves in drawn.values() for curve in curves}
    names = [*styles]
    results = [curve.result for curves in drawn.values() for curve in curves]
    curves_of = drawn_metrics(results)
    history = measured(results, [metric for metric in metrics_of(results) if metric.level == "epoch"])
    numbers = {name: number for number, name in enumerate(names)}
    series: dict[str, list[str]] = {title: [] for title in drawn}  # as text: of many cases, the values are large
    shown: dict[str, list[Mapping[str, Any]]] = {title: [] for title in drawn}
    for title, curves in drawn.items():
        for c in curves:
            found = {"id": c.result.id, "method": numbers[c.name], **_series(c.result, curves_of, history)}
            series[title].append(_script_json(found))
            shown[title].append({key: found[key] for key in ("mean", "std")} | _rows_of(found, c.result))
    metrics = [
        {
            "key": metric.field,
            "title": metric.title.capitalize(),
            "unit": f" ({metric.unit})" if metric.unit else "",
            "error": metric.is_share,
        }
        for metric in curves_of
    ]
    chosen = frozenset(names) if len(names) <= MOST_CURVES else _best_curves(results)
    if not chosen.intersection(names):  # they are named otherwise, as where runs are compared
        chosen = frozenset([*names][:DRAWN_AT_FIRST])
    axes = {name: AXIS_LABELS[name] for name in AXES if name not in IN_STEPS or all(r.steps for r in results)}
    payload = {
        "most": max(MOST_CURVES, max(map(len, series.values()), default=0) if len(names) <= MOST_CURVES else 0),
        "stacked": any(result.shares_times for result in results),
        "metrics": metrics,
        "history": [
            {"key": metric.field, "title": f"{metric.title}, {metric.unit}" if metric.unit else metric.title}
            for metric in history
        ],
        "methods": names,
        "styles": [
            {"color": s.color, "symbol": SYMBOLS[s.marker], "dash": DASHES[s.linestyle]} for s in styles.values()
        ],
    }
    folder = resources.files("benchmnist.reports") / "templates"
    script = (folder / "page.js").read_text("utf-8")
    plotly_hash, plotly_packed = plotly().result()
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        finalize=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pieces = environment.get_template(template).generate(
        # Nothing from outside, no script but these two. plotly.js sets styles, and makes pictures to be saved.
        policy=f"default-src 'none'; script-src '{_hash(script.encode())}' '{plotly_hash}'; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'",
        css=Markup((folder / "page.css").read_text("utf-8")),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        data=map(Markup, _with_sections(_script_json(payload), series.values())),  # escaped already
        plotly=plotly_packed,
        version=version("benchmnist"),
        metrics=metrics,
        axes=axes,
        axis=axis or default_axis(results),
        methods=names,
        chosen=chosen,
        most=MOST_CURVES,
        sections=[
            {
                "index": index,
                "title": title,
                "names": [curve.name for curve in drawn[title]],
                **_figures(found, curves_of),
            }
            for index, (title, found) in enumerate(shown.items())
        ],
        **context,
    )
    return "".join(_in_larger_pieces(pieces))


def _in_larger_pieces(pieces: Iterator[str]) -> Iterator[str]:
    """Yields text in larger pieces: of many cases, a page has millions of small ones."""
    while some := [*itertools.islice(pieces, MOST_PIECES)]:
        yield "".join(some)


def _with_sections(payload: str, sections: Iterable[list[str]]) -> Iterator[str]:
    """Yields the JSON of an object in pieces, with the series of each section, and lets go of these."""
    yield payload[:-1] + ',"sections":['
    for number, series in enumerate(sections):
        yield ',{"series":[' if number else '{"series":['
        for index, each in enumerate(series):
            yield f",{each}" if index else each
            series[index] = ""
        yield "]}"
    yield "]}"


def _series(result: CaseResult, drawn: Sequence[Metric], history: Sequence[Metric]) -> dict[str, Any]:
    """Returns the figures of the curves of a case: of each seed, and their mean and deviation.

    They are those after each epoch or, of a case that was evaluated within them, after each of the steps in `at`.
    """
    trials = [trial for trial in result.trials if trial.epochs]
    found: dict[str, Any] = {
        "trials": [
            {"seed": trial.seed, **{m.field: [*map(_short, trial_curve(trial, m))] for m in history}}
            for trial in trials
        ],
        "stacked": result.shares_times,
        "epoch": [result.steps, result.train_size, result.case.batch_size],
    }
    if is_fine(result):
        for trial, each in zip(trials, found["trials"], strict=True):
            each["course"] = _course(trial, result, drawn)
        return found | _mean_course(result, drawn)
    means = {metric.field: mean_curve(result, metric) for metric in drawn}
    seconds = itertools.accumulate(point[0] for point in mean_curve(result, EPOCH_SECONDS) if point)
    return found | {
        "mean": {key: [point and _short(point[0]) for point in points] for key, points in means.items()},
        "std": {key: [point and _short(point[1]) for point in points] for key, points in means.items()},
        "seconds": [*map(_short, seconds)],
    }


def _course(trial: TrialResult, result: CaseResult, drawn: Sequence[Metric]) -> dict[str, Any]:
    """Returns the evaluations of a trial, with the steps and seconds before each."""
    there = [*points(trial, result.steps)]
    figures = {m.field: [_short(math.nan if (v := p.figure(m)) is None else v) for p in there] for m in drawn}
    return {"at": [p.step for p in there], "seconds": [_short(p.seconds) for p in there], **figures}


def _mean_course(result: CaseResult, drawn: Sequence[Metric]) -> dict[str, Any]:
    """Returns the means at each step at which any seed was evaluated."""
    means = {m.field: {each.step: each for each in mean_course(result, m)} for m in drawn}
    took = {step: each.seconds for found in means.values() for step, each in found.items()}
    at = sorted(took)
    return {
        "at": at,
        "seconds": [_short(took[step]) for step in at],
        "mean": {
            key: [_short(m.mean) if (m := found.get(s)) else None for s in at] for key, found in means.items()
        },
        "std": {key: [_short(m.std) if (m := found.get(s)) else None for s in at] for key, found in means.items()},
    }


def _rows_of(series: Mapping[str, Any], result: CaseResult) -> dict[str, Any]:
    """Returns what tables of the figures of curves need beside these."""
    return {"seeds": len(series["trials"]), "at": series.get("at"), "steps": result.steps}


def _figures(series: Sequence[Mapping[str, Any]], metrics: Sequence[Metric]) -> dict[str, Any]:
    """Returns rows with a cell per series, by metric: a row per epoch, or per step if any has more evaluations."""
    fine = any(s["at"] for s in series)
    longest = max(len(s["mean"][metric.field]) for s in series for metric in metrics)
    indices: list[dict[int, int]] = []
    for s in series:
        ends = s["at"] or [((i + 1) * s["steps"] if fine else i + 1) for i in range(longest)]
        indices.append({end: i for i, end in enumerate(ends)})
    labels = sorted({*itertools.chain.from_iterable(indices)})
    every = -(-len(labels) // MOST_ROWS) if fine else 1
    labels = labels[::-every][::-1]
    found: dict[str, list[list[str]]] = {}
    for metric in metrics:
        key, show = metric.field, partial(decimals, digits=metric.digits)
        rows = []
        for label in labels:
            row = []
            for s, index in zip(series, indices, strict=True):
                i = index.get(label, longest)
                mean = s["mean"][key][i] if i < len(s["mean"][key]) else None
                several = s["seeds"] > 1
                text = "–" if mean is None else show(mean)
                row.append(f"{text} ± {show(s['std'][key][i])}" if several and mean is not None else text)
            rows.append(row)
        found[key] = rows
    return {"figures": found, "labels": labels, "head": "step" if fine else "epoch", "every": every}


def _short(value: float) -> float | None:
    """Rounds a figure to DIGITS significant digits; None if JSON cannot represent it."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _script_json(value: Any) -> str:
    """Returns JSON that may be in a script of a page."""
    import jinja2

    return str(jinja2.utils.htmlsafe_json_dumps(in_script(value), dumps=_compact_json))


def _compact_json(value: Any, **_: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


@cache
def plotly() -> Future[tuple[str, str]]:
    """Begins to read plotly.js from its Python package; returns its hash, and itself compressed.

    It takes a seventh of a second, in which another thread can draw.
    """

    def read() -> tuple[str, str]:
        source = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
        return _hash(source), base64.b64encode(gzip.compress(source, compresslevel=9, mtime=0)).decode()

    executor = ThreadPoolExecutor(1)
    try:
        return executor.submit(read)
    finally:
        executor.shutdown(wait=False)


def _hash(source: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source).digest()).decode()
