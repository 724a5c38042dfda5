"""The finding on undecided comparisons: how likely a difference of more than the margin is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.chances import chances_of, percent
from benchmnist.analysis.findings.words import MOST_LISTED, Finding
from benchmnist.analysis.units import unit
from benchmnist.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.analysis.chances import Chances
    from benchmnist.analysis.findings.words import Namer
    from benchmnist.analysis.verdicts import Verdict


EXPLAINED = (
    " Each chance is about one pair alone, and supposes that before the run every difference was as likely as any "
    "other."
)


def undecided(verdicts: Sequence[Verdict], name: Namer) -> Iterator[Finding]:
    """Gives the chances of each primary comparison that shows no difference, with the case it is held against."""
    beside: dict[tuple[str, float | None], list[tuple[Verdict, Chances]]] = {}
    for v in verdicts:
        found = chances_of(v) if v.family == "primary" and v.word == "no difference shown" else None
        if found is not None:
            beside.setdefault((v.other.id, v.margin), []).append((v, found))
    for index, members in enumerate(beside.values()):
        first = members[0][0]
        margin = first.margin_text
        each = [
            f"{name(v.one)} is better by more than {margin} with a chance of {percent(found.better)} %, "
            f"within {margin} with {percent(found.within)} %, and worse by more with {percent(found.worse)} %"
            for v, found in members[:MOST_LISTED]
        ]
        more = len(members) - len(each)
        others = f" ({more} more in the table of verdicts)" if more else ""
        yield Finding(
            "undecided",
            f"Not decided beside {name(first.other)}: given these {plural(unit(first.one))}, "
            f"{'; '.join(each)}{others}.{'' if index else EXPLAINED}",
            (first.other.id, *(v.one.id for v, _ in members)),
        )
