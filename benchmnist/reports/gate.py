"""The verdicts of the gate, for a terminal and for a pull request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmnist.reports.escaping import heading, item, markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from benchmnist.analysis.gate import GateVerdict

STYLES = {
    "slower": "bold red",
    "faster": "bold green",
    "inconclusive": "yellow",
    "not comparable": "yellow",
    "no change": "",
}
SIGNS = {"slower": "🔴", "faster": "🟢", "inconclusive": "🟡", "not comparable": "⚪", "no change": "⚫"}
REFERENCE = "ref: times of the reference work that was timed beside each epoch"
INCONCLUSIVE = (
    "inconclusive: the interval reaches beyond the threshold, so a change of that size is neither shown nor ruled "
    "out; measure more epochs, or on a quieter machine"
)


def _names(verdicts: Sequence[GateVerdict]) -> list[str]:
    """Returns the ids of the cases; their full names where several have the same id."""
    ids = [verdict.name.rpartition("::")[2] for verdict in verdicts]
    return [id_ if ids.count(id_) == 1 else verdict.name for id_, verdict in zip(ids, verdicts, strict=True)]


def _row(name: str, verdict: GateVerdict) -> list[str]:
    """Returns case, baseline, current, ratio and interval."""

    def time(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g} {verdict.unit}"

    ratio = "–" if verdict.ratio is None else f"{verdict.ratio:.3f}"
    interval = "–" if verdict.low is None else f"{verdict.low:.3f} to {verdict.high:.3f}"
    return [
        name,
        time(verdict.baseline),
        time(verdict.current),
        ratio,
        interval,
    ]


def _notes(verdicts: Sequence[GateVerdict]) -> list[str]:
    """Returns the unit, the reasons why cases are not comparable, and the advice on their rounds."""
    notes = [REFERENCE] if any(verdict.unit == "ref" for verdict in verdicts) else []
    for name, verdict in zip(_names(verdicts), verdicts, strict=True):
        notes += [f"{name}: {note}" for note in (verdict.reason, *verdict.advice) if note]
    return [*notes, INCONCLUSIVE] if any(verdict.word == "inconclusive" for verdict in verdicts) else notes


def _summary(verdicts: Sequence[GateVerdict]) -> str:
    """Returns `1 slower, 2 no change`."""
    counts: Counter[str] = Counter(verdict.word for verdict in verdicts)
    return ", ".join(f"{counts[word]} {word}" for word in STYLES if counts[word]) or "nothing to compare"


def rich_verdicts(verdicts: Sequence[GateVerdict]) -> RenderableType:
    """Renders the verdicts for a terminal, with notes."""
    from rich.console import Group

    from benchmnist.reports.terminal import Line, plain_table

    table = plain_table(gap=2)
    table.add_column("case", overflow="fold")
    for title in ("baseline", "current", "ratio", "99 % interval"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for name, verdict in zip(_names(verdicts), verdicts, strict=True):
        table.add_row(*_row(name, verdict), Line(verdict.word, style=STYLES[verdict.word]))
    notes = [Line(note, style="dim") for note in _notes(verdicts)]
    return Group(table, *notes, Line(_summary(verdicts), style="bold"))


def markdown_summary(verdicts: Sequence[GateVerdict], threshold: float) -> str:
    """Renders a summary for a pull request."""
    rows = [
        [*_row(name, verdict), f"{SIGNS[verdict.word]} {verdict.word}"]
        for name, verdict in zip(_names(verdicts), verdicts, strict=True)
    ]
    headers = ["case", "baseline", "current", "ratio", "99 % interval", "verdict"]
    table = markdown_table(headers, rows, ["left", "right", "right", "right", "right", "left"])
    notes = "".join(f"{item(note)}\n" for note in _notes(verdicts))
    about = (
        "Median time of an epoch. A ratio above 1 is slower. A case is slower or faster if the whole 99 % "
        f"interval is beyond {100 * threshold:.3g} %, and has no change if the whole interval is within."
    )
    title = heading(3, f"Training throughput: {_summary(verdicts)}")
    return f"{title}\n\n{table}\n\n{about}\n" + (f"\n{notes}" if notes else "")
