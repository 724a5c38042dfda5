"""Changes between runs, as the texts of tables, as markdown and as a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.comparison import is_time
from benchmnist.analysis.courses import spacing
from benchmnist.analysis.figures import drawn_metrics
from benchmnist.analysis.statistics import LEAST_PAIRS
from benchmnist.analysis.summary import group_title
from benchmnist.metrics import EPOCH_SECONDS
from benchmnist.reports.columns import ENDS_OF_TRIALS, TIMES_OF_STACKS, mean_and_std, three_figures
from benchmnist.reports.escaping import bold, heading, image, item, markdown_table
from benchmnist.reports.html import page
from benchmnist.reports.plots import DASHES, MARKERS, Curve, group_file, optimizer_styles, overlay
from benchmnist.runs.files import write_file
from benchmnist.suites.budgets import target_of
from benchmnist.text import alternatives, counted, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmnist.analysis.comparison import Change, Comparison, Figure
    from benchmnist.metrics import Metric
    from benchmnist.reports.escaping import Align
    from benchmnist.runs.results import RunResult

MARKED = frozenset({"better", "worse"})
"""Words of changes that a table emphasises."""
SPOKEN = {"better": "faster", "worse": "slower"}
"""Words for changes of times."""


def letters(comparison: Comparison) -> list[str]:
    """Returns the names of the runs: A, B, C and so on."""
    return [chr(ord("A") + i) if i < 26 else f"A{i}" for i in range(len(comparison.runs))]  # noqa: PLR2004 - A to Z


def run_title(run: RunResult) -> str:
    """Returns `quick/20261124-061917-ab12 (BenchMNIST 0.1.0, 2026-11-24T06:19:17+00:00)`."""
    path = run.path.resolve()
    return f"{path.parent.name}/{path.name} (BenchMNIST {run.record.benchmnist}, {run.record.started})"


def _figure(metric: Metric, figure: Figure | None) -> str:
    if figure is None or figure.mean is None:
        return "–"
    decimals = metric.digits
    if metric.form == "figures":
        decimals = len(three_figures(figure.mean).partition(".")[2])
    return mean_and_std(decimals)((figure.mean, figure.std))


def _change(metric: Metric, change: Change | None, *, intervals: bool = True) -> str:
    """Returns `+0.32 [+0.10, +0.54] better`; a change that is not judged has no word."""
    if change is None:
        return "–"
    digits = amount_of(change.verdict).digits if change.verdict else None
    parts = [] if math.isnan(change.difference) else [metric.change(change.difference, digits)]
    if intervals and change.interval is not None and change.word != "identical":
        parts.append(f"[{', '.join(metric.change(end, digits) for end in change.interval)}]")
    return " ".join([*parts, *filter(None, (_words(metric, change),))])


def _words(metric: Metric, change: Change) -> str:
    if change.word == "not judged":
        return ""
    if change.word == "lost seeds":
        both = zip(change.lost, ("lost", "lost in A"), strict=True)
        return ", ".join(f"{counted(len(seeds), 'seed')} {whose}" for seeds, whose in both if seeds)
    word = change.word.replace("no difference", "no change")
    return SPOKEN.get(word, word) if is_time(metric) else word


def metric_title(comparison: Comparison, metric: Metric) -> str:
    """Returns `test accuracy after the last epoch, %`."""
    if comparison.in_reference_work and metric == EPOCH_SECONDS:
        return f"{metric.says}, in units of the reference work"
    return f"{metric.says}, {metric.unit}" if metric.unit else metric.says


def about(comparison: Comparison, *, intervals: bool = True) -> str:
    """Describes how the tables are read.

    Args:
        comparison: The comparison.
        intervals: Whether the tables show the interval of each change.
    """
    words = {change.word for change in comparison.changes}
    times = [metric for metric in comparison.metrics if is_time(metric)]
    said = ["Each run is compared with A, the first, case by case."]
    if any(change.verdict for change in comparison.changes):
        said.append("A change is the mean difference of equal seeds, over those that completed in both.")
    if any(change.verdict and change.has_fewer_seeds for change in comparison.changes):
        said.append("Some runs have other seeds as well, which count in the figures of these runs only.")
    if comparison.of:
        where = "the interval in brackets" if intervals else "its interval (--format markdown shows it)"
        held = f"All {comparison.of} intervals hold at once" if comparison.of > 1 else "The interval holds"
        said.append(f"A change is better or worse if {where} excludes 0. {held} with 95 % confidence.")
    if "equivalent" in words:
        margins = dict.fromkeys(
            c.verdict.margin for c in comparison.changes if c.verdict and c.word == "equivalent"
        )
        within = alternatives(f"{margin:g}" for margin in margins)
        said.append(f"Equivalent: the whole interval is within the suite's margin, {within}.")
    if "lost seeds" in words:
        said.append("A seed that diverged or failed in one run counts against that run.")
    if "not compared" in words:
        said.append(f"Not compared: {', '.join(_left_out(comparison))}.")
    if {"too few seeds", "no common seeds"} & words:
        said.append(f"A verdict needs {LEAST_PAIRS} common seeds: train both runs with the same seeds.")
    if comparison.in_reference_work and EPOCH_SECONDS in times:
        said.append(
            "Times of epochs are in units of the reference work beside them, which a slower machine slows down as "
            "well; their change is a ratio, and the interval excludes 1. `benchmnist gate` judges speed."
        )
    elif times:
        said.append(
            "Times have a ratio and no verdict, because a machine can be slower during a whole run. With "
            "`reference = true` in the suite, the times of epochs have one; `benchmnist gate` judges speed."
        )
    return " ".join(said)


def _left_out(comparison: Comparison) -> Iterator[str]:
    """Yields what no difference is told of."""
    results = [result for row in comparison.rows for result in row.results if result is not None]
    if any(result.shares_times for result in results):
        yield TIMES_OF_STACKS
    if any(result.case.ends_early for result in results):
        yield ENDS_OF_TRIALS
    rows = [[result for result in row.results if result is not None] for row in comparison.rows]
    if any(len({target_of(result.case) for result in row}) > 1 for row in rows):
        yield "steps and times to different targets"
    if any(target_of(row[0].case) and len({spacing(result) for result in row}) > 1 for row in rows):
        yield "steps and times to a target where the evaluations are at different steps"


class ComparisonCell(NamedTuple):
    """A cell of a table: its text, its sort key, and the word of a change."""

    text: str
    value: str | float | None
    word: str = ""


def table_rows(comparison: Comparison, metric: Metric, *, intervals: bool = True) -> list[list[ComparisonCell]]:
    """Returns the rows: the case, a figure per run, and a change per run but the first."""
    rows = []
    for row in comparison.rows:
        cells = [ComparisonCell(visible(row.id), row.id)]
        cells += [ComparisonCell(_figure(metric, f), None if f is None else f.mean) for f in row.figures(metric)]
        for change in row.changes(metric):
            text = _change(metric, change, intervals=intervals)
            known = change is not None and not math.isnan(change.difference)
            word = change.word if change else ""
            cells.append(ComparisonCell(text, change.difference if change and known else None, word))
        rows.append(cells)
    return rows


def heads(comparison: Comparison) -> list[str]:
    """Returns the titles of the columns: case, A, B, A → B."""
    first, *others = letters(comparison)
    return ["case", first, *others, *(f"{first} → {other}" for other in others)]


def titles(comparison: Comparison) -> dict[str, str]:
    """Returns the titles of the runs, by letter."""
    return dict(zip(letters(comparison), map(run_title, comparison.runs), strict=True))


def remarks(comparison: Comparison) -> list[str]:
    """Describes differences of the cases themselves, and cases that some run lacks."""
    names = letters(comparison)
    said: dict[str, list[str]] = {}
    for row in comparison.rows:
        for what in row.altered:
            said.setdefault(what, []).append(row.id)
    for case, there in comparison.only_in():
        said.setdefault(f"only in {', '.join(names[i] for i in there)}", []).append(case)
    everywhere = len(comparison.rows)
    return [f"{what} ({'all cases' if len(ids) == everywhere else ', '.join(ids)})" for what, ids in said.items()]


def markdown_comparison(comparison: Comparison, plots: Mapping[str, str] | None = None) -> str:
    """Renders a comparison for a document, with links to `plots`, files by title."""
    titled = heads(comparison)
    align: list[Align] = ["left", *("left" if "→" in head else "right" for head in titled[1:])]
    parts = ["\n".join(item(f"{name}: {title}") for name, title in titles(comparison).items())]
    for metric in comparison.metrics:
        rows = [
            [bold(cell.text) if cell.word in MARKED else cell.text for cell in row]
            for row in table_rows(comparison, metric)
        ]
        title = metric_title(comparison, metric)
        parts += [heading(3, f"{title[:1].upper()}{title[1:]}"), markdown_table(titled, rows, align)]
    if comparison.surroundings:
        found = [(name, *values) for name, values in comparison.surroundings.items()]
        parts += ["### Other differences", markdown_table(["", *letters(comparison)], found)]
    if said := remarks(comparison):
        parts.append("\n".join(item(remark) for remark in said))
    parts += [image(title, file) for title, file in (plots or {}).items()]
    return "\n\n".join([*parts, about(comparison)]) + "\n"


def _curves(comparison: Comparison) -> dict[tuple[str, str, str], list[Curve]]:
    """Returns the curves of each dataset, model and label: colour by optimizer, marker and dashes by run."""
    colours = optimizer_styles(
        dict.fromkeys(result.case.method for run in comparison.runs for result in run.cases)
    )
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for number, (letter, run) in enumerate(zip(letters(comparison), comparison.runs, strict=True)):
        look = {"marker": MARKERS[number % len(MARKERS)], "linestyle": DASHES[number % len(DASHES)]}
        for result in run.cases:
            style = colours[result.case.method]._replace(**look)
            curve = Curve(f"{result.case.method} · {letter}", result, style)
            groups.setdefault(result.case.group, []).append(curve)
    return groups


def draw_comparison(comparison: Comparison, folder: Path) -> dict[str, str]:
    """Draws the curves of all runs, one picture per model and metric; returns files by title.

    Raises:
        StoreError: if a file cannot be written.
    """
    files = {}
    for group, curves in _curves(comparison).items():
        drawn = [curve for curve in curves if curve.result.has_epochs]
        for metric in drawn_metrics([curve.result for curve in drawn]) if drawn else ():
            name = group_file(group, metric)
            write_file(folder / name, overlay(group_title(group), drawn, metric))
            files[f"{metric.title} of {group_title(group)}"] = name
    return files


def comparison_page(comparison: Comparison) -> str:
    """Returns the page: tables of the changes, and the curves of all runs in one chart per model."""
    groups = {group_title(group): curves for group, curves in _curves(comparison).items()}
    return page(
        "compare.html",
        groups,
        title=f"{comparison.runs[0].record.title}: {len(comparison.runs)} runs compared",
        subtitle="; ".join(f"{name}: {title}" for name, title in titles(comparison).items()),
        about=about(comparison).replace("`", ""),
        heads=heads(comparison),
        tables=[
            {"title": metric_title(comparison, metric), "rows": table_rows(comparison, metric)}
            for metric in comparison.metrics
        ],
        names=letters(comparison),
        surroundings=comparison.surroundings,
        remarks=remarks(comparison),
    )
