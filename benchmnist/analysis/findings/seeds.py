"""Findings on the number of seeds: what so many can show, and at which look the run stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import Finding
from benchmnist.analysis.looks import HOPELESS, standing
from benchmnist.analysis.sensitivity import seen, sentences
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.suites.looks import Looks


def detectable_differences(verdicts: Sequence[Verdict], looks: Looks | None) -> Iterator[Finding]:
    """Says which differences the run finds, at the spread that its seeds have."""
    ids = tuple(dict.fromkeys(r.id for v in verdicts if v.family == "primary" for r in (v.other, v.one)))
    for text in sentences(seen(verdicts), looks.number if looks else 1):
        yield Finding("detectable", text, ids)


def last_look(verdicts: Sequence[Verdict], looks: Looks | None) -> Iterator[Finding]:
    """Says at which look a run stopped that adds seeds until its comparisons are told, and why."""
    if looks is None:
        return
    found, most = standing(verdicts, looks), counted(len(looks.seeds), "seed")
    when = f"look {looks.reached} of {looks.number} ({counted(len(looks.now), 'seed')})"
    if looks.stopped is None:
        text = f"The run ended before {when} did."
    else:
        why = "no comparison was open" if looks.stopped == "settled" else f"all {most} were trained"
        text = f"The run stopped after {when}, because {why}: {found}."
    if found.hopeless and looks.stopped is not None:
        text += f" Hopeless: the chance that all {most} would tell it is less than {HOPELESS:.0%}."
    yield Finding(
        "looks",
        f"{text} The looks were announced before training, and the intervals of all verdicts allow for them.",
        tuple(dict.fromkeys(r.id for v in verdicts if v.family == "primary" for r in (v.other, v.one))),
    )
