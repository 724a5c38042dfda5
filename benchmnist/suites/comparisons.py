"""`baseline` and [[compare]] of a suite: which comparisons of cases it names before there are results."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmnist.errors import unknown
from benchmnist.extensions.kinds import MODEL, OPTIMIZER, Kind
from benchmnist.suites.differences import differences
from benchmnist.suites.values import NOTHING
from benchmnist.text import alternatives, counted, with_article

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from benchmnist.suites.cases import Case
    from benchmnist.suites.components import ReportMistake
    from benchmnist.suites.schema import Compare
    from benchmnist.suites.suite import Suite

Pair = tuple["Case", "Case"]
MOST_LEFT_OUT = 6
"""Number of comparisons that a line names of those that a selection leaves out."""


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


def left_out(cases: Iterable[Case], selected: Collection[str]) -> str:
    """Says which of the comparisons that a suite names are not made because one of the two cases is not selected.

    Args:
        cases: All cases of the suite.
        selected: The ids of those that are selected.
    """
    named = [(case.id, other) for case in cases for other in case.compared_with or ()]
    missing = [f"{one} vs {other}" for one, other in named if not {one, other} <= {*selected}]
    if not missing:
        return ""
    shown = missing if len(missing) <= MOST_LEFT_OUT else missing[: MOST_LEFT_OUT - 1]
    others = f", and {len(missing) - len(shown)} others" if len(shown) < len(missing) else ""
    count = f"{len(missing)} of the {counted(len(named), 'comparison')}"
    return f"-k leaves out {count} in [[compare]]: {', '.join(shown)}{others}"


class _Name(NamedTuple):
    """A name of [[compare]], `sgd/lr-0.1/long`: of an optimizer or a model, and of a label if it ends with one."""

    text: str
    kind: Kind
    label: str | None = None

    def is_of(self, case: Case) -> bool:
        """Tells whether it is that of a case: `sgd` is that of `sgd/lr-0.1/cosine`, and so is `sgd/lr-0.1`."""
        return self.label in (None, case.label) and f"{_names(self.kind, case)[1]}/".startswith(f"{self.text}/")


class _Entry:
    """One of [[compare]], at `path`, over the cases that may be compared."""

    def __init__(
        self, entry: Compare, path: tuple[str | int, ...], cases: Sequence[Case], report: ReportMistake
    ) -> None:
        self.entry, self.path, self.cases, self.report = entry, path, cases, report
        self.kind, self.elsewhere = (OPTIMIZER, MODEL) if entry.optimizers else (MODEL, OPTIMIZER)
        self.other = self._read(entry.other, self.kind)
        self.on = [self._read(place, self.elsewhere) for place in entry.on or []]

    def pairs(self) -> list[Pair]:
        """Every pair that it names; reports each name for which there is none."""
        names = self.entry.optimizers or self.entry.models or []
        known = [self._are_known(names, self.kind, self.kind.plural)]
        known += [self._are_known([self.entry.other], self.kind, "with")]
        known += [self._are_known(self.entry.on or [], self.elsewhere, "on")]
        if not all(known):
            return []
        found: list[Pair] = []
        for text in names:
            name = self._read(text, self.kind)
            there = [*self._candidates(name)]
            same = next((one for one, other in there if one is other), None)
            equal = [(one, other) for one, other in there if not self._obstacle(one, other, name)]
            if same is not None:
                self.report(
                    f"{same.id} would be compared with itself; name another case", *self.path, self.kind.plural
                )
                return []
            if not equal:
                self.report(self._why_none(text, name, there), *self.path, self.kind.plural)
            found += equal
        for text, place in zip(self.entry.on or [], self.on, strict=True):
            if found and not any(place.is_of(one) for one, _ in found):
                self.report(f"no two cases to compare on {text!r}; remove it", *self.path, "on")
        return found

    def _read(self, text: str, kind: Kind) -> _Name:
        """Reads a name, which ends with a label only if it is no case's without one."""
        whole = _Name(text, kind)
        if not any(whole.is_of(case) for case in self.cases):
            rest, _, label = text.rpartition("/")
            labelled = _Name(rest, kind, label)
            if rest and label and any(labelled.is_of(case) for case in self.cases):
                return labelled
        return whole

    def _are_known(self, names: Sequence[str], kind: Kind, key: str) -> bool:
        """Tells whether the suite has models, say, of all those names; reports each that it does not have."""
        missing = [name for name in names if not self._is_known(name, kind)]
        for name in missing:
            other = MODEL if kind == OPTIMIZER else OPTIMIZER
            said = f"must be the name of {with_article(kind.name)}; {name!r} is {with_article(other.name)}"
            if not self._is_known(name, other):
                all_names = {name for case in self.cases for name in _names(kind, case)}
                said = unknown(f"{kind.name} of this suite", name, sorted(all_names))
            self.report(said, *self.path, key)
        return not missing

    def _is_known(self, text: str, kind: Kind) -> bool:
        name = self._read(text, kind)
        return any(name.is_of(case) for case in self.cases)

    def _candidates(self, name: _Name) -> Iterator[Pair]:
        """The pairs of cases of those names that have the rest of their ids in common."""
        there = [case for case in self.cases if not self.on or any(place.is_of(case) for place in self.on)]
        for one in there:
            for other in there if name.is_of(one) else ():
                if (
                    self.other.is_of(other)
                    and self._rest(one) == self._rest(other)
                    and self._labels_fit(name, one, other)
                ):
                    yield one, other

    def _labels_fit(self, name: _Name, one: Case, other: Case) -> bool:
        """Tells whether two cases have the same label, or those in their names: none, beside a name with one."""
        if name.label is None and self.other.label is None:
            return one.label == other.label
        return (one.label, other.label) == (name.label or "", self.other.label or "")

    def _rest(self, case: Case) -> tuple[str, ...]:
        rest = case.model.label if self.kind == OPTIMIZER else case.searched_method
        return case.dataset.label, rest, f"search {case.search}"

    def _obstacle(self, one: Case, other: Case, name: _Name) -> str:
        """Why two cases are not compared, and what to do about it; empty if they are."""
        if (one.method, one.model.label) == (other.method, other.model.label):
            return "have the same model and the same method; name cases that differ in one of the two"
        differing = [*differences(one, other)]
        named = _names_axes(name.text, one) or _names_axes(self.other.text, other)
        if self.kind == OPTIMIZER and one.axes != other.axes and not named:
            axes = " and ".join("/".join(case.axes) or "none" for case in (one, other))
            differing.insert(0, f"schedule, augmentation or engine ({axes})")
        if differing:
            return f"also differ in {', '.join(differing)}; make these equal"
        if not {*one.seeds} & {*other.seeds}:
            return f"have no seed in common ({' and '.join(map(_seeds, (one, other)))}); give them the same seeds"
        return ""

    def _why_none(self, text: str, name: _Name, candidates: Sequence[Pair]) -> str:
        if candidates:
            one, other = candidates[0]
            return f"{one.id} and {other.id} {self._obstacle(one, other, name)}, or remove {text!r}"
        where = f" on {alternatives(map(repr, self.entry.on))}" if self.entry.on else ""
        bare = " without a label" if name.label or self.other.label else ""
        with_one, with_other = (
            f"{written!r}{'' if read.label else bare}"
            for written, read in ((text, name), (self.entry.other, self.other))
        )
        return (
            f"no {self.elsewhere.name} has a case with {with_one} and one with {with_other}{where}; "
            f"add them to [[cases]], or remove {text!r}"
        )


def _seeds(case: Case) -> str:
    return ", ".join(map(str, case.seeds))


def _names(kind: Kind, case: Case) -> tuple[str, ...]:
    """The names that a case goes by: of its optimizer and its method, or of its model and its point of a sweep.

    If it has a label, the last name ends with it.
    """
    one, whole = (
        (case.optimizer.name, case.searched_method) if kind == OPTIMIZER else (case.model.name, case.model.label)
    )
    return (one, whole, f"{whole}/{case.label}") if case.label else (one, whole)


def _names_axes(name: str, case: Case) -> bool:
    """Tells whether the name of a method says more than its optimizer and a point of its sweep."""
    return len(name) > len(case.optimizer.label)
