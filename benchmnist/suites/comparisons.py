"""`baseline` and [[compare]] of a suite: which comparisons of cases it names before there are results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.errors import unknown
from benchmnist.extensions.kinds import MODEL, OPTIMIZER, Kind
from benchmnist.suites.differences import differences
from benchmnist.suites.values import NOTHING
from benchmnist.text import alternatives, with_article

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmnist.suites.cases import Case
    from benchmnist.suites.components import ReportMistake
    from benchmnist.suites.schema import Compare, Suite

Pair = tuple["Case", "Case"]


def unknown_baselines(suite: Suite, cases: Iterable[Case]) -> Iterator[tuple[int, str]]:
    """Yields the index of each block of a suite whose baseline is no method of the suite, and what to do."""
    methods = {case.searched_method for case in cases}
    for index, block in enumerate(suite.blocks):
        if block.baseline is None or block.baseline in methods:
            continue
        if block.baseline.lower() in NOTHING:
            yield index, f"no optimizer of this suite named {block.baseline!r}; remove the line"
        else:
            yield index, unknown("optimizer of this suite", block.baseline, sorted(methods))


def with_comparisons(suite: Suite, cases: Sequence[Case], report: ReportMistake) -> tuple[Case, ...]:
    """Returns the cases, each with the ids of those that the suite names for it under [[compare]].

    Without any [[compare]], the cases are returned as they are. Cases that are aside are compared with nothing,
    and each search for hyperparameters only within itself.

    Args:
        suite: The suite.
        cases: All its cases, in order.
        report: Called with each mistake in [[compare]].
    """
    if not suite.comparisons:
        return tuple(cases)
    counted = [case for case in cases if not case.aside]
    named: dict[str, list[str]] = {case.id: [] for case in cases}
    seen: dict[frozenset[str], int] = {}
    for index, entry in suite.comparisons.items():
        for one, other in _Entry(entry, ("compare", index), counted, report).pairs():
            pair = frozenset((one.id, other.id))
            if pair in seen:
                line = suite.lines.get(("compare", seen[pair]))
                where = f", first on line {line}" if line is not None else ""
                report(f"{one.id} and {other.id} are compared twice{where}; remove one", "compare", index)
                break
            seen[pair] = index
            named[one.id].append(other.id)
    return tuple(case.model_copy(update={"compared_with": tuple(named[case.id])}) for case in cases)


class _Entry:
    """One of [[compare]], at `path`, over the cases that may be compared."""

    def __init__(
        self, entry: Compare, path: tuple[str | int, ...], cases: Sequence[Case], report: ReportMistake
    ) -> None:
        self.entry, self.path, self.cases, self.report = entry, path, cases, report
        self.kind, self.elsewhere = (OPTIMIZER, MODEL) if entry.optimizers else (MODEL, OPTIMIZER)

    def pairs(self) -> list[Pair]:
        """Every pair that it names; reports each name for which there is none."""
        names = self.entry.optimizers or self.entry.models or []
        known = [self._are_known(names, self.kind, self.kind.plural)]
        known += [self._are_known([self.entry.other], self.kind, "with")]
        known += [self._are_known(self.entry.on or [], self.elsewhere, "on")]
        if not all(known):
            return []
        found: list[Pair] = []
        for name in names:
            there = [*self._candidates(name)]
            same = next((one for one, other in there if one is other), None)
            equal = [(one, other) for one, other in there if not self._differing(one, other, name)]
            if same is not None:
                self.report(
                    f"{same.id} would be compared with itself; name another case", *self.path, self.kind.plural
                )
                return []
            if not equal:
                self.report(self._why_none(name, there), *self.path, self.kind.plural)
            found += equal
        for place in self.entry.on or []:
            if found and not any(_is(place, self.elsewhere, one) for one, _ in found):
                self.report(f"no two cases to compare on {place!r}; remove it", *self.path, "on")
        return found

    def _are_known(self, names: Sequence[str], kind: Kind, key: str) -> bool:
        """Whether the suite has models, say, of all those names; reports each that it does not have."""
        missing = [name for name in names if not any(_is(name, kind, case) for case in self.cases)]
        for name in missing:
            other = MODEL if kind == OPTIMIZER else OPTIMIZER
            said = f"must be the name of {with_article(kind.name)}; {name!r} is {with_article(other.name)}"
            if not any(_is(name, other, case) for case in self.cases):
                all_names = {name for case in self.cases for name in _names(kind, case)}
                said = unknown(f"{kind.name} of this suite", name, sorted(all_names))
            self.report(said, *self.path, key)
        return not missing

    def _candidates(self, name: str) -> Iterator[Pair]:
        """The pairs of cases of those names that have the rest of their ids in common."""
        there = [
            case
            for case in self.cases
            if not self.entry.on or any(_is(place, self.elsewhere, case) for place in self.entry.on)
        ]
        for one in there:
            for other in there if _is(name, self.kind, one) else ():
                if _is(self.entry.other, self.kind, other) and self._rest(one) == self._rest(other):
                    yield one, other

    def _rest(self, case: Case) -> tuple[str, ...]:
        rest = case.model.label if self.kind == OPTIMIZER else case.searched_method
        return case.dataset.label, rest, case.label, f"search {case.search}"

    def _differing(self, one: Case, other: Case, name: str) -> list[str]:
        """What two cases differ in besides what is named."""
        found = [*differences(one, other)]
        named = _names_axes(name, one) or _names_axes(self.entry.other, other)
        if self.kind == OPTIMIZER and one.axes != other.axes and not named:
            axes = " and ".join("/".join(case.axes) or "none" for case in (one, other))
            found.insert(0, f"schedule or engine ({axes})")
        return found

    def _why_none(self, name: str, candidates: Sequence[Pair]) -> str:
        if candidates:
            one, other = candidates[0]
            differing = ", ".join(self._differing(one, other, name))
            return f"{one.id} and {other.id} also differ in {differing}; make these equal, or remove {name!r}"
        where = f" on {alternatives(map(repr, self.entry.on))}" if self.entry.on else ""
        return (
            f"no {self.elsewhere.name} has a case with {name!r} and one with {self.entry.other!r}{where}; "
            f"add them to [[cases]], or remove {name!r}"
        )


def _names(kind: Kind, case: Case) -> tuple[str, str]:
    """The names that a case goes by: of its optimizer and its method, or of its model and its point of a sweep."""
    return (
        (case.optimizer.name, case.searched_method) if kind == OPTIMIZER else (case.model.name, case.model.label)
    )


def _is(name: str, kind: Kind, case: Case) -> bool:
    """Whether a name is that of a case: `sgd` is that of `sgd/lr-0.1/cosine`, and so is `sgd/lr-0.1`."""
    return f"{_names(kind, case)[1]}/".startswith(f"{name}/")


def _names_axes(name: str, case: Case) -> bool:
    """Whether the name of a method says more than its optimizer and a point of its sweep."""
    return len(name) > len(case.optimizer.label)
