"""Names of cases in sentences: those of levels of one problem are joined, since a sentence for each is a wall."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import MOST_LISTED, MOST_NAMED, listed, shortened
from benchmnist.analysis.summary import group_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmnist.analysis.rungs import Place
    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Group

RANGE = 3
"""Levels in a row from which only the first and the last are named."""


class Names:
    """Names cases among others: `fc · adam`, with the dataset if there are several.

    Args:
        results: The others.
        levels: The level of each group of cases of a problem that has several levels (`Ladders.levels`).
    """

    def __init__(self, results: Iterable[CaseResult], levels: Mapping[Group, Place] | None = None) -> None:
        self.several = len({result.case.dataset.label for result in results}) > 1
        self.levels = levels or {}

    def __call__(self, result: CaseResult) -> str:
        """Names one case."""
        case = result.case
        dataset, model, label = case.group
        return " · ".join(filter(None, (dataset if self.several else "", model, case.method, label)))

    def off_ladders(self, results: Iterable[CaseResult]) -> list[CaseResult]:
        """Chooses the cases that are not of a problem with several levels."""
        return [result for result in results if result.case.group not in self.levels]

    def on_ladders(self, results: Iterable[CaseResult]) -> list[CaseResult]:
        """Chooses the cases of problems with several levels."""
        return [result for result in results if result.case.group in self.levels]

    def of_all(self, results: Sequence[CaseResult], remarks: Mapping[str, str] | None = None) -> str:
        """Names cases in a list, `fc · sgd (2 of 5 seeds) and ravine/1 to 4 · adam`.

        Levels of one problem with the same method and remark are joined; at most MOST_LISTED joined names are
        told, and MOST_NAMED others.

        Args:
            results: The cases.
            remarks: What stands in brackets behind each, by its id.
        """
        said = remarks or {}

        def bracketed(name: str, remark: str) -> str:
            return f"{name} ({remark})" if remark else name

        plain = [bracketed(self(each), said.get(each.id, "")) for each in self.off_ladders(results)]
        joined: dict[tuple[str, str, str], list[Place]] = {}
        for each in self.on_ladders(results):
            place = self.levels[each.case.group]
            joined.setdefault((place.problem, each.case.method, said.get(each.id, "")), []).append(place)
        climbed = [
            bracketed(f"{self._range(places)} · {method}", remark)
            for (_, method, remark), places in joined.items()
        ]
        return "; ".join(
            shortened(words, most) for words, most in ((plain, MOST_NAMED), (climbed, MOST_LISTED)) if words
        )

    def places(self, groups: Iterable[Group], most: int = MOST_LISTED) -> str:
        """Names groups in a list, `mnist · fc and ravine/1 to 4`; a problem with all of its levels, `ravine`."""
        titles: dict[str, list[Place]] = {}
        for group in groups:
            place = self.levels.get(group)
            titles.setdefault(place.problem if place else group_title(group), []).extend([place] if place else [])
        every = Counter(place.problem for place in self.levels.values())
        return shortened(
            [
                title if len({*found}) in (0, every[title]) else self._range(found)
                for title, found in titles.items()
            ],
            most,
        )

    def _range(self, places: Sequence[Place]) -> str:
        """Returns `ravine/1e1 to 1e4`, `ravine/1e1`, or `ravine/1e1 and 1e3` where these are not in a row."""
        ordered = sorted({*places}, key=lambda place: place.rung or 0)
        problem, levels = ordered[0].problem, [place.level or "" for place in ordered]
        every = sorted(place.rung or 0 for place in self.levels.values() if place.problem == problem)
        first = every.index(ordered[0].rung or 0)
        in_a_row = every[first : first + len(ordered)] == [place.rung or 0 for place in ordered]
        said = f"{levels[0]} to {levels[-1]}" if in_a_row and len(levels) >= RANGE else listed(levels)
        return f"{problem}/{said}"
