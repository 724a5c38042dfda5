"""The outcome of a verification, for a terminal, as markdown and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmnist.reports.columns import three_figures
from benchmnist.reports.escaping import heading, item, json_text, markdown_table
from benchmnist.text import counted, noted_once

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmnist.analysis.reproduction import Reproduction, Word
    from benchmnist.reports.escaping import Align
    from benchmnist.verifier import Verification

STYLES: dict[Word, str] = {
    "the same, bit for bit": "bold green",
    "consistent": "green",
    "not consistent": "bold red",
    "cannot be checked": "yellow",
}
SUMMARY_STYLES = {"consistent": "bold green", "not consistent": "bold red", "inconclusive": "bold yellow"}


def _head(verification: Verification) -> list[str]:
    ranges = any(trial.expected for trial in verification.trials)
    return ["case", "seed", "reported", "again", *(["expected"] if ranges else []), "verdict"]


def _row(trial: Reproduction, *, ranges: bool) -> list[str]:
    """Returns the cells of a trial, without its verdict."""

    def figure(value: float | None, status: str) -> str:
        return trial.metric.text(value) if value is not None else status or "–"

    digits = trial.metric.digits
    low_high = "–" if trial.expected is None else "{:,.{d}f} to {:,.{d}f}".format(*trial.expected, d=digits)
    cells = [trial.case_id, str(trial.seed), figure(trial.reported, trial.status)]
    return [*cells, figure(trial.again, trial.status_again), *([low_high] if ranges else [])]


def _name(case_id: str, seed: int | None) -> str:
    return case_id if seed is None else f"{case_id} seed {seed}"


def _contradictions(verification: Verification) -> list[str]:
    """Returns what the run contradicts itself in, each once with the cases and trials that it is about."""
    return noted_once(((each.text, _name(each.case_id, each.seed)) for each in verification.contradictions), "", 0)


def _notes(verification: Verification) -> list[str]:
    """Returns the reasons of the verdicts, each once with the trials that it is about, and the notes."""
    said = ((trial.reason, _name(trial.case_id, trial.seed)) for trial in verification.trials if trial.reason)
    notes = noted_once(said, "all trials", len(verification.trials))
    if any(trial.expected for trial in verification.trials):
        notes.append(
            "expected: where the bits may differ, an honest run has a trial that is called not consistent in one "
            "verification of twenty at most"
        )
    notes += verification.notes
    trained = [trial for trial in verification.trials if trial.seconds and trial.seconds_again]
    if trained:
        there = three_figures(math.fsum(trial.seconds or 0 for trial in trained))
        here = three_figures(math.fsum(trial.seconds_again or 0 for trial in trained))
        notes.append(f"training time, which is not judged: {there} s in the run, {here} s here")
    return notes


def summary(verification: Verification) -> str:
    """Returns `consistent: 3 of 39 trials (3 the same, bit for bit), drawn with --seed 7`."""
    if wrong := verification.contradictions:
        times = counted(len(wrong), "time")
        return f"{verification.word}: the run contradicts itself ({times}); nothing was trained"
    counts: Counter[Word] = Counter(trial.word for trial in verification.trials)
    each = "; ".join(f"{counts[word]} {word}" for word in STYLES if counts[word])
    drawn = f"{len(verification.trials)} of {counted(verification.pool, 'trial')}"
    return f"{verification.word}: {drawn} ({each}), drawn with --seed {verification.seed}"


def rich_verification(verification: Verification) -> RenderableType:
    """Renders the trials for a terminal, with reasons and notes."""
    from rich.console import Group

    from benchmnist.reports.terminal import Line, plain_table

    last = Line(summary(verification), style=SUMMARY_STYLES[verification.word])
    notes = [Line(note, style="dim") for note in _notes(verification)]
    if wrong := _contradictions(verification):
        return Group(*(Line(text, style="red") for text in wrong), *notes, last)
    head = _head(verification)
    table = plain_table()
    for title in head:
        right = title not in ("case", "verdict")
        table.add_column(title, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for trial in verification.trials:
        row = _row(trial, ranges="expected" in head)
        table.add_row(*row, Line(trial.word, style=STYLES[trial.word]))
    return Group(table, *notes, last)


def markdown_verification(verification: Verification) -> str:
    """Renders the trials as markdown, with reasons and notes."""
    head = _head(verification)
    rows = [[*_row(trial, ranges="expected" in head), trial.word] for trial in verification.trials]
    align: list[Align] = ["left" if title in ("case", "verdict") else "right" for title in head]
    table = f"\n{markdown_table(head, rows, align)}\n" if rows else ""
    said = (*_contradictions(verification), *_notes(verification))
    notes = "".join(f"{item(note)}\n" for note in said)
    return f"{heading(3, f'Verification: {summary(verification)}')}\n{table}" + (f"\n{notes}" if notes else "")


def json_verification(verification: Verification) -> str:
    """Renders the trials as strict JSON, with unrounded figures; null where a figure is missing or not finite."""
    trials: list[dict[str, Any]] = [
        {
            "case": trial.case_id,
            "seed": trial.seed,
            "metric": trial.metric.key,
            "status": trial.status,
            "status_again": trial.status_again or None,
            "reported": _finite(trial.reported),
            "again": _finite(trial.again),
            "expected": [_finite(end) for end in trial.expected] if trial.expected else None,
            "verdict": trial.word,
            "reason": trial.reason or None,
            "seconds": trial.seconds,
            "seconds_again": trial.seconds_again,
        }
        for trial in verification.trials
    ]
    found = {
        "run": str(verification.run),
        "verdict": verification.word,
        "seed": verification.seed,
        "pool": verification.pool,
        "trials": trials,
        "contradictions": [each._asdict() for each in verification.contradictions],
        "notes": list(verification.notes),
    }
    return json_text(found)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
