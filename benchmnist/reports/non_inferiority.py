"""The verdicts on a new run vs an earlier one, for a terminal and for a pull request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import telling_digits
from benchmnist.metrics import PEAK_MEMORY
from benchmnist.reports.columns import size
from benchmnist.reports.comparison import run_title
from benchmnist.reports.escaping import heading, item, markdown_table
from benchmnist.text import counted, decimals, noted_once, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from benchmnist.analysis.non_inferiority import NonInferiority, Word
    from benchmnist.reports.escaping import Align
    from benchmnist.runs.results import RunResult

STYLES: dict[Word, str] = {
    "worse": "bold red",
    "lost seeds": "bold red",
    "inconclusive": "yellow",
    "not comparable": "yellow",
    "no worse": "green",
    "identical": "green",
}
SIGNS: dict[Word, str] = {
    "worse": "🔴",
    "lost seeds": "🔴",
    "inconclusive": "🟡",
    "not comparable": "⚪",
    "no worse": "🟢",
    "identical": "🟢",
}

HEADS = ("case", "baseline", "current", "difference", "change", "interval", "margin", "seeds")
ABOUT = (
    "The difference is current minus baseline, the mean over the common seeds; all intervals hold at once with a "
    "confidence of 95 %. A case learns the same, or better, if no part of its interval is worse than the margin "
    "allows. It is worse if every part is."
)
ABOUT_RATIO = (
    "The change is that of the geometric mean over the common seeds; all intervals hold at once with a confidence "
    "of 95 %. A case is within the margin if no part of its interval is worse than the margin allows. It is worse "
    "if every part is."
)
ABOUT_MEMORY = (
    "Peak memory is measured once per case, so it has no interval: the verdict is about these two runs only. "
    "Choose a margin that is larger than the difference between two runs of the same code."
)
ABOUT_PROCESS = (
    "Without a GPU, it is the most that the training process has used until the end of the case: an increase "
    "shows in all later cases, and a case that needs less than an earlier one does not show."
)


def _said(verdict: NonInferiority) -> str:
    """Returns the word of a verdict for people."""
    if verdict.word == "no worse":
        return "within the margin" if verdict.metric.ratio else "learns the same"
    return verdict.word


def _margins(verdicts: Sequence[NonInferiority]) -> str:
    """Returns the margin, `0.2 points`; several, if the cases have different ones."""
    margins = sorted({verdict.margin for verdict in verdicts if verdict.margin is not None})
    if not margins:
        return ""
    metric = verdicts[0].metric
    texts = [f"{100 * margin:g} %" if metric.ratio else metric.margin(margin) for margin in margins]
    return f", margin {' or '.join(texts)}"


def _title(verdicts: Sequence[NonInferiority]) -> str:
    metric = verdicts[0].metric
    says = f"{metric.says}, {metric.unit}".removesuffix(", ")
    if metric.ratio:
        says = "peak memory" if metric == PEAK_MEMORY else metric.title
    seeds = {verdict.seeds for verdict in verdicts}
    paired = f", {counted(max(seeds), 'seed')}" if len(seeds) == 1 and seeds != {0} else ""
    return f"{says}{_margins(verdicts)}{paired}"


def _table(verdicts: Sequence[NonInferiority]) -> tuple[list[str], list[list[str]]]:
    """Returns the heads and the rows of a table, without the words, and without columns that say nothing."""
    rows = [_row(verdict) for verdict in verdicts]
    same = {head for head in ("margin", "seeds") if len({row[head] for row in rows if head in row}) <= 1}
    heads = [head for head in HEADS if head not in same and any(head in row for row in rows)]
    return heads, [[row.get(head, "–") for head in heads] for row in rows]


def _row(verdict: NonInferiority) -> dict[str, str]:
    """Returns the cells of a verdict, by the heads of their columns."""
    metric, before, now = verdict.metric, verdict.baseline, verdict.current
    cells = {"case": verdict.case_id, "seeds": str(verdict.seeds or "–")}
    if verdict.margin is not None:
        cells["margin"] = f"{verdict.margin:g}"
    if before is not None and now is not None:
        digits = metric.digits
        shown = [size(each) if metric == PEAK_MEMORY else decimals(each, digits) for each in (before, now)]
        cells |= dict(zip(("baseline", "current"), shown, strict=True))
        if metric.ratio:
            cells["change"] = f"{100 * (now / before - 1):+.1f} %"
        else:
            cells["difference"] = f"{now - before:+.{digits}f}"
    if verdict.interval is not None:
        low, high = verdict.interval
        margin = verdict.margin or 0.0
        if metric.ratio:
            low, high, margin = (100 * each for each in (low - 1, high - 1, margin))
        digits = telling_digits((low, high), [-margin, margin], 1 if metric.ratio else metric.digits)
        cells["interval"] = f"{low:+.{digits}f} to {high:+.{digits}f}{' %' if metric.ratio else ''}"
    return cells


def _notes(verdicts: Sequence[NonInferiority], runs: Sequence[RunResult]) -> list[str]:
    """Returns the reasons of the verdicts and the notes on them, each once with the cases that it is about."""
    said = ((note, v.case_id) for v in verdicts for note in (v.reason, *v.notes) if note)
    notes = noted_once(said, "all cases", len(verdicts))
    if len({run.path.resolve() for run in runs}) == 1:
        notes.append("baseline and current are the same run")
    return notes


def _about(verdicts: Sequence[NonInferiority], runs: Sequence[RunResult]) -> str:
    if verdicts[0].metric != PEAK_MEMORY:
        return ABOUT_RATIO if verdicts[0].metric.ratio else ABOUT
    devices = {str(result.environment.get("device", "")) for run in runs for result in run.cases}
    return (
        ABOUT_MEMORY if all(device.startswith("cuda") for device in devices) else f"{ABOUT_MEMORY} {ABOUT_PROCESS}"
    )


def _summary(verdicts: Sequence[NonInferiority]) -> str:
    """Returns `worse: 1, learns the same: 2`."""
    counts: Counter[str] = Counter(verdict.word for verdict in verdicts)
    words = {verdict.word: _said(verdict) for verdict in verdicts}
    return ", ".join(f"{words[word]}: {counts[word]}" for word in STYLES if counts[word])


def rich_non_inferiority(verdicts: Sequence[NonInferiority], runs: Sequence[RunResult]) -> RenderableType:
    """Renders the verdicts of two runs for a terminal, the older one first; with notes."""
    from rich.console import Group

    from benchmnist.reports.terminal import Line, Lines, plain_table

    parts: list[RenderableType] = [
        Line(f"{name:8}  {run_title(run)}") for name, run in zip(("baseline", "current"), runs, strict=True)
    ]
    if not verdicts:
        return Group(*parts, Line("nothing to compare", style="bold"))
    heads, rows = _table(verdicts)
    table = plain_table()
    table.add_column("case", overflow="fold")
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for row, verdict in zip(rows, verdicts, strict=True):
        table.add_row(*row, Line(_said(verdict), style=STYLES[verdict.word]))
    notes = [Line(note, style="dim") for note in (*_notes(verdicts, runs), _about(verdicts, runs))]
    parts += [Lines(f"\n{visible(_title(verdicts))}", style="bold cyan"), table, *notes]
    return Group(*parts, Line(_summary(verdicts), style="bold"))


def markdown_non_inferiority(verdicts: Sequence[NonInferiority], runs: Sequence[RunResult]) -> str:
    """Renders a summary of two runs for a pull request, the older one first."""
    named = zip(("Baseline", "Current"), runs, strict=True)
    parts = ["\n".join(item(f"{name}: {run_title(run)}") for name, run in named)]
    if verdicts:
        heads, cells = _table(verdicts)
        rows = [
            [*row, f"{SIGNS[verdict.word]} {_said(verdict)}"] for row, verdict in zip(cells, verdicts, strict=True)
        ]
        align: list[Align] = ["left", *("left" if head == "case" else "right" for head in heads[1:]), "left"]
        table = markdown_table([*heads, "verdict"], rows, align)
        title = _title(verdicts)
        parts = [
            heading(3, f"{title[:1].upper()}{title[1:]}: {_summary(verdicts)}"),
            *parts,
            table,
            _about(verdicts, runs),
        ]
        parts += ["\n".join(item(note) for note in _notes(verdicts, runs))]
    return "\n\n".join(part for part in parts if part) + "\n"
