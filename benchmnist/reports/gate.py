"""The verdicts of the gate, for a terminal and for a pull request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tabulate import tabulate

from benchmnist.reports.tables import escape_markdown
from benchmnist.text import plain_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from benchmnist.analysis.gate import GateVerdict

STYLES = {"slower": "bold red", "faster": "bold green", "not comparable": "yellow", "no change": ""}
SIGNS = {"slower": "🔴", "faster": "🟢", "not comparable": "⚪", "no change": "⚫"}


def _row(verdict: GateVerdict) -> list[str]:
    """Returns case, baseline, current, ratio and interval."""

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g} s"

    ratio = "–" if verdict.ratio is None else f"{verdict.ratio:.3f}"
    interval = "–" if verdict.low is None else f"{verdict.low:.3f} to {verdict.high:.3f}"
    return [
        verdict.name.rpartition("::")[2],
        seconds(verdict.baseline),
        seconds(verdict.current),
        ratio,
        interval,
    ]


def _notes(verdicts: Sequence[GateVerdict]) -> list[str]:
    """Returns the reasons why cases are not comparable, and the advice on their rounds."""
    notes = []
    for verdict in verdicts:
        name = verdict.name.rpartition("::")[2]
        notes += [f"{name}: {note}" for note in (verdict.reason, *verdict.advice) if note]
    return notes


def _summary(verdicts: Sequence[GateVerdict]) -> str:
    """Returns `1 slower, 2 no change`."""
    counts: Counter[str] = Counter(verdict.word for verdict in verdicts)
    return ", ".join(f"{counts[word]} {word}" for word in STYLES if counts[word]) or "nothing to compare"


def rich_verdicts(verdicts: Sequence[GateVerdict]) -> RenderableType:
    """Renders the verdicts for a terminal, with notes."""
    from rich.console import Group
    from rich.text import Text

    table = plain_table(gap=2)
    table.add_column("case", overflow="fold")
    for title in ("baseline", "current", "ratio", "99 % interval"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for verdict in verdicts:
        table.add_row(*_row(verdict), Text(verdict.word, style=STYLES[verdict.word]))
    notes = [Text(note, style="dim") for note in _notes(verdicts)]
    return Group(table, *notes, Text(_summary(verdicts), style="bold"))


def markdown_summary(verdicts: Sequence[GateVerdict], threshold: float) -> str:
    """Renders a summary for a pull request."""
    rows = [
        [*map(escape_markdown, _row(verdict)), f"{SIGNS[verdict.word]} {verdict.word}"] for verdict in verdicts
    ]
    headers = ["case", "baseline", "current", "ratio", "99 % interval", "verdict"]
    align = ["left", "right", "right", "right", "right", "left"]
    table = tabulate(rows, headers, "github", disable_numparse=True, colalign=align if rows else None)
    notes = "".join(f"- {escape_markdown(note)}\n" for note in _notes(verdicts))
    about = (
        "Median seconds per epoch. A ratio above 1 is slower; it is in units of the reference work timed with "
        "each epoch, if the suite enables that. A case is slower or faster if the whole interval is beyond "
        f"{threshold:.0%} and a rank test on the rounds agrees (p < 0.01)."
    )
    return f"### Training throughput: {_summary(verdicts)}\n\n{table}\n\n{about}\n" + (
        f"\n{notes}" if notes else ""
    )
