"""What changed between runs, for a terminal, for markdown and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from benchmnist.analysis.comparison import METRICS
from benchmnist.reports.columns import mean_and_std, three_figures
from benchmnist.reports.html import page
from benchmnist.reports.plots import DASHES, LABELS, MARKERS, Curve, optimizer_styles, overlay
from benchmnist.reports.tables import escape_markdown, group_title
from benchmnist.store import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from benchmnist.analysis.comparison import Change, Comparison, Figure, Metric
    from benchmnist.results import RunResult

STYLES = {"better": "green", "worse": "red"}
SPOKEN = {("seconds", "better"): "faster", ("seconds", "worse"): "slower"}
ABOUT = (
    "Each run is held against A, the first, case by case. A difference is better or worse where the two ranges, "
    "mean ± sample standard deviation over the seeds, do not touch; otherwise it is within the seeds' spread."
)


def letters(count: int) -> list[str]:
    """A, B, C, …: what the runs are called in a comparison."""
    return [chr(ord("A") + i) if i < 26 else f"A{i}" for i in range(count)]  # noqa: PLR2004 - so many letters


def run_title(run: RunResult) -> str:
    """`quick/20261124-061917-ab12 (BenchMNIST 0.1.0, 2026-11-24T06:19:17+00:00)`."""
    path = run.path.resolve()
    return f"{path.parent.name}/{path.name} (BenchMNIST {run.record.benchmnist}, {run.record.started})"


def _figure(metric: Metric, figure: Figure | None) -> str:
    if figure is None or figure.mean is None:
        return "–"
    decimals = {"accuracy": 2, "loss": 4}.get(metric.name)
    if decimals is None:
        decimals = len(three_figures(figure.mean).partition(".")[2])
    return mean_and_std(f".{decimals}f")((figure.mean, figure.std))


def _change(metric: Metric, change: Change | None) -> str:
    if change is None:
        return "–"
    amount = {"accuracy": "{:+.2f}", "loss": "{:+.4f}", "seconds": "{:.2f}×"}[metric.name]
    word = SPOKEN.get((metric.name, change.word), change.word)
    return f"{amount.format(change.difference)} {word}"


def _rows(comparison: Comparison, metric: Metric) -> list[list[str]]:
    """case, a figure a run, a change a run but the first."""
    return [
        [
            row.id,
            *(_figure(metric, figure) for figure in row.figures(metric)),
            *(_change(metric, change) for change in row.changes(metric)),
        ]
        for row in comparison.rows
    ]


def _heads(comparison: Comparison) -> list[str]:
    first, *others = letters(len(comparison.runs))
    return ["case", first, *others, *(f"{first} → {other}" for other in others)]


def _remarks(comparison: Comparison) -> list[str]:
    """What is not the same beside the figures: of the cases themselves, and which cases are not everywhere."""
    names = letters(len(comparison.runs))
    said: dict[str, list[str]] = {}
    for row in comparison.rows:
        for what in row.altered:
            said.setdefault(what, []).append(row.id)
    for case, there in comparison.only_in():
        said.setdefault(f"only in {', '.join(names[i] for i in there)}", []).append(case)
    everywhere = len(comparison.rows)
    return [f"{what} ({'all cases' if len(ids) == everywhere else ', '.join(ids)})" for what, ids in said.items()]


def rich_comparison(comparison: Comparison) -> RenderableType:
    """For a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"{name}  {run_title(run)}")
        for name, run in zip(letters(len(comparison.runs)), comparison.runs, strict=True)
    ]
    for metric in METRICS:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("case", overflow="fold")
        for head in _heads(comparison)[1:]:
            table.add_column(head, justify="left" if "→" in head else "right", no_wrap="→" not in head)
        for row, texts in zip(comparison.rows, _rows(comparison, metric), strict=True):
            words = [change.word if change else "" for change in row.changes(metric)]
            shown = [Text(text) for text in texts]
            for text, word in zip(shown[-len(words) :], words, strict=True):
                text.stylize(STYLES.get(word, ""))
            table.add_row(*shown)
        parts += [Text(f"\n{metric.title}", style="bold cyan"), table]
    if comparison.surroundings:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for head in ("", *letters(len(comparison.runs))):
            table.add_column(head, overflow="fold")
        for name, values in comparison.surroundings.items():
            table.add_row(*map(Text, (name, *values)))
        parts += [Text("\nwhat else differs", style="bold cyan"), table]
    parts += [Text(remark, style="yellow") for remark in _remarks(comparison)]
    return Group(*parts, Text(f"\n{ABOUT}", style="dim"))


def markdown_comparison(comparison: Comparison, plots: Mapping[str, str] | None = None) -> str:
    """For a document; `plots` are pictures by their titles, to be linked."""
    heads = [escape_markdown(head) for head in _heads(comparison)]
    align = ["left", *("left" if "→" in head else "right" for head in heads[1:])]
    parts = [
        "\n".join(
            f"- {name}: {escape_markdown(run_title(run))}"
            for name, run in zip(letters(len(comparison.runs)), comparison.runs, strict=True)
        )
    ]
    for metric in METRICS:
        rows = [
            [
                texts[0],
                *texts[1 : 1 + len(comparison.runs)],
                *(
                    f"**{text}**" if change and change.word in STYLES else text
                    for text, change in zip(texts[-len(row.changes(metric)) :], row.changes(metric), strict=True)
                ),
            ]
            for row, texts in zip(
                comparison.rows,
                ([escape_markdown(text) for text in texts] for texts in _rows(comparison, metric)),
                strict=True,
            )
        ]
        table = tabulate(rows, heads, "github", disable_numparse=True, colalign=align if rows else None)
        parts += [f"### {metric.title[0].upper()}{metric.title[1:]}", table]
    if comparison.surroundings:
        rows = [
            [escape_markdown(text) for text in (name, *values)] for name, values in comparison.surroundings.items()
        ]
        table = tabulate(rows, ["", *letters(len(comparison.runs))], "github", disable_numparse=True)
        parts += ["### What else differs", table]
    if remarks := _remarks(comparison):
        parts.append("\n".join(f"- {escape_markdown(remark)}" for remark in remarks))
    parts += [f"![{escape_markdown(title)}]({file})" for title, file in (plots or {}).items()]
    return "\n\n".join([*parts, ABOUT]) + "\n"


def _curves(comparison: Comparison) -> dict[tuple[str, str, str], list[Curve]]:
    """By dataset, model and label: an optimizer has its colour, a run its marker and dashes."""
    results = [
        (letter, result)
        for letter, run in zip(letters(len(comparison.runs)), comparison.runs, strict=True)
        for result in run.cases
    ]
    colours = optimizer_styles(dict.fromkeys(result.case.method for _, result in results))
    names = letters(len(comparison.runs))
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for letter, result in results:
        number = names.index(letter)
        style = colours[result.case.method]._replace(
            marker=MARKERS[number % len(MARKERS)], linestyle=DASHES[number % len(DASHES)]
        )
        groups.setdefault(result.case.group, []).append(Curve(f"{result.case.method} · {letter}", result, style))
    return groups


def draw_comparison(comparison: Comparison, folder: Path) -> dict[str, str]:
    """Draws the runs' curves over each other, a picture a model and metric; returns files by their titles.

    Raises:
        StoreError: if a file cannot be written.
    """
    files = {}
    for group, curves in _curves(comparison).items():
        drawn = [curve for curve in curves if any(trial.epochs for trial in curve.result.trials)]
        for metric in LABELS if drawn else ():
            name = f"{'__'.join(filter(None, group)).replace('/', '_')}.{metric}.png"
            write_file(folder / name, overlay(group_title(group), drawn, metric))
            files[f"{metric.replace('_', ' ')} of {group_title(group)}"] = name
    return files


def comparison_page(comparison: Comparison) -> str:
    """The page: tables of what changed, and the curves of all runs over each other."""
    groups = {group_title(group): curves for group, curves in _curves(comparison).items()}
    first, *others = comparison.runs
    tables: list[dict[str, Any]] = []
    for metric in METRICS:
        rows = []
        for row, texts in zip(comparison.rows, _rows(comparison, metric), strict=True):
            changes = row.changes(metric)
            values = [row.id, *(f.mean if f else None for f in row.figures(metric))]
            values += [change.difference if change else None for change in changes]
            words = ["", *[""] * len(comparison.runs), *(change.word if change else "" for change in changes)]
            rows.append(
                [
                    {"text": text, "value": "" if value is None else value, "word": word}
                    for text, value, word in zip(texts, values, words, strict=True)
                ]
            )
        tables.append({"title": metric.title, "rows": rows})
    return page(
        "compare.html",
        groups,
        title=f"{first.record.title}: {1 + len(others)} runs compared",
        subtitle="; ".join(
            f"{name}: {run_title(run)}"
            for name, run in zip(letters(len(comparison.runs)), comparison.runs, strict=True)
        ),
        about=ABOUT,
        heads=_heads(comparison),
        tables=tables,
        names=letters(len(comparison.runs)),
        surroundings=comparison.surroundings,
        remarks=_remarks(comparison),
    )
