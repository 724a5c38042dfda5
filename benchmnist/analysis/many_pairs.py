"""The pairs of many cases that are compared, as arrays: an object for each pair would be too much."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmnist.analysis.pairs import CasePair, along_models, is_primary
from benchmnist.suites.differences import OF_AXES, between, deciding

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from benchmnist.analysis.pairs import Family
    from benchmnist.metrics import Metric
    from benchmnist.suites.cases import Case, Group

    Mask = NDArray[np.bool_]
    Index = slice | NDArray[np.intp]

CHUNK = 4_000_000
"""Pairs that are looked at in one piece: 32 MB for each figure of a pair."""
OF_METHODS = ("optimizer", "schedule")
"""Fields in which two cases of a group may differ, besides those that a search chose."""


class Members:
    """The cases of a group, and which two of them are compared: those that `pairs.compared_cases` pairs.

    What decides that is numbered, so that numpy compares the numbers of many cases at once.

    Args:
        cases: The cases, of one dataset, model and label, without those that are aside.
        decided: What is `deciding` for each, by the id of the object.
        apart: Whether cases that are judged by different metrics are not compared.
    """

    def __init__(self, cases: Sequence[Case], decided: Mapping[int, Mapping[str, Any]], *, apart: bool) -> None:
        self.cases = cases
        # Where searches chose different fields, each pair may differ in others: they are looked at one by one.
        self.decided = decided if len({case.chosen for case in cases}) > 1 else None
        left_out = {*OF_METHODS, *OF_AXES, *cases[0].chosen}
        parts = [[*case.parts.values()] for case in cases]
        self.rest = _numbers(
            (
                apart and case.judged_by,
                _hashable({k: v for k, v in decided[id(case)].items() if k not in left_out}),
            )
            for case in cases
        )
        of_axes = ({name: decided[id(case)].get(name) for name in OF_AXES} for case in cases)
        self.of_axes = _numbers(_hashable(each) for each in of_axes)
        self.axes = _numbers(case.axes for case in cases)
        self.names = _numbers(tuple(part.name for part in each) for each in parts)
        self.variants = _numbers(tuple(part.variant for part in each) for each in parts)
        methods: dict[Hashable, int] = {}
        self.methods = _numbers((case.method for case in cases), methods)
        self.baselines = _numbers((case.baseline for case in cases), methods)
        self.has_baseline = np.isin(self.baselines, self.methods)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Yields pieces of all pairs: some cases, with themselves and all later ones."""
        first, number = 0, len(self.cases)
        while first < number:
            last = min(number, first + max(1, CHUNK // (number - first)))
            yield slice(first, last), slice(first, number)
            first = last

    def compared(self, rows: Index, columns: Index) -> Mask:
        """Tells for each of some cases, in rows, with which of others, in columns, it is compared."""
        positions = np.arange(len(self.cases))
        return self._are_compared(positions[rows][:, None], positions[columns][None, :])

    def compared_among(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Returns those of some pairs that are compared."""
        ones, others = np.array(pairs, np.intp).reshape(-1, 2).T
        return [*itertools.compress(pairs, self._are_compared(ones, others).tolist())]

    def _are_compared(self, ones: NDArray[np.intp], others: NDArray[np.intp]) -> Mask:
        """Tells of each two positions whether the cases are compared; the arrays are broadcast."""

        def same(numbers: NDArray[np.int32]) -> Mask:
            return np.equal(numbers[ones], numbers[others])

        if self.decided is not None:
            equal: Mask = np.vectorize(self._are_equal, [bool])(ones, others)
        else:
            equal = same(self.rest) & (same(self.of_axes) | ~same(self.axes))
        with_baseline = np.equal(self.methods[ones], self.baselines[others])
        with_baseline |= np.equal(self.baselines[ones], self.methods[others])
        found: Mask = equal & (~same(self.names) | same(self.variants) | with_baseline)
        found &= ones != others
        return found

    def _are_equal(self, i: int, j: int) -> bool:
        one, other, decided = self.cases[i], self.cases[j], self.decided or {}
        return not between(one, other, decided[id(one)], decided[id(other)])

    def number_among(self, chosen: Mask) -> int:
        """Returns the number of pairs of which both cases are chosen, by position."""
        positions, number = np.flatnonzero(chosen), 0
        while len(positions):
            rows = positions[: max(1, CHUNK // len(positions))]
            number += int(np.triu(self.compared(rows, positions), 1).sum())
            positions = positions[len(rows) :]
        return number

    def is_compared(self, i: int, j: int) -> bool:
        """Tells of two cases whether they are compared."""
        return bool(self.compared_among([(i, j)]))

    def pairs_with_baseline(self) -> list[tuple[int, int]]:
        """Returns the pairs of which one is the baseline of the other, if they are compared, the earlier first."""
        of_method: dict[int, list[int]] = {}
        for position, method in enumerate(self.methods.tolist()):
            of_method.setdefault(method, []).append(position)
        both = {
            (min(i, j), max(i, j))
            for i, baseline in enumerate(self.baselines.tolist())
            for j in of_method.get(baseline, ())
            if i != j
        }
        return self.compared_among(sorted(both))

    @cached_property
    def numbers(self) -> tuple[NDArray[np.int64], Mask]:
        """The number of pairs of each case with an earlier one, and whether it is compared with any."""
        earlier = np.zeros(len(self.cases), np.int64)
        any_pair = np.zeros(len(self.cases), bool)
        for rows, columns in self.blocks():
            found = self.compared(rows, columns)
            any_pair[columns] |= found.any(0)
            any_pair[rows] |= found.any(1)
            earlier[columns] += np.triu(found, 1).sum(0)
        return earlier, any_pair


class ManyPairs:
    """The pairs of very many cases: those of `pairs.compared_cases`, of which few are objects.

    Args:
        cases: The cases of a run.
        metric: The metric that they are compared by; see `compared_cases`.
        apart: Whether cases that are judged by different metrics are not compared.

    Attributes:
        groups: The cases of each group, and which two of them are compared.
        number: Number of all pairs, by their family.
    """

    def __init__(self, cases: Iterable[Case], metric: Metric | None = None, *, apart: bool = False) -> None:
        counted = [case for case in cases if not case.aside]
        decided = {id(case): deciding(case, metric) for case in counted}

        def are_equal(one: Case, other: Case) -> bool:
            judged_alike = not apart or one.judged_by == other.judged_by
            return judged_alike and not between(one, other, decided[id(one)], decided[id(other)])

        by_group: dict[Group, list[Case]] = {}
        for case in counted:
            by_group.setdefault(case.group, []).append(case)
        self.groups = {group: Members(members, decided, apart=apart) for group, members in by_group.items()}
        self._positions = {
            case.id: position for members in by_group.values() for position, case in enumerate(members)
        }
        self._along = {
            frozenset((one.id, other.id)): (one, other) for one, other in along_models(counted, are_equal)
        }
        self._named: dict[frozenset[str], tuple[Case, Case]] | None = None
        if any(case.compared_with is not None for case in counted):
            by_id = {case.id: case for case in counted}
            pairs = [(one, by_id[other]) for one in counted for other in one.compared_with or () if other in by_id]
            self._named = {
                frozenset((one.id, other.id)): (one, other) for one, other in pairs if are_equal(one, other)
            }
        self._held = {(case.group, case.method) for case in counted}
        self._beside = {group: members.pairs_with_baseline() for group, members in self.groups.items()}
        self._are_all_primary = False
        self.number = self._count()

    @property
    def names_some(self) -> bool:
        """Tells whether the suite names the primary comparisons."""
        return self._named is not None

    def _count(self) -> dict[Family, int]:
        total = len(self._along) + sum(int(members.numbers[0].sum()) for members in self.groups.values())
        if self._named is not None:
            found = sum(self._unnamed(*pair) is not None for pair in self._named.values())
            return {"primary": len(self._named), "exploratory": total - found}
        primary = sum(is_primary(*pair, self._held) for pair in self._along.values())
        for group, members in self.groups.items():
            earlier = members.numbers[0].copy()  # with which each is compared, and neither is the other's baseline
            for i, j in self._beside[group]:
                earlier[j] -= 1
                primary += is_primary(*_in_order(members.cases[i], members.cases[j]), self._held)
            primary += int(earlier[~members.has_baseline].sum())
        self._are_all_primary = not primary
        return {"primary": primary or total, "exploratory": total - primary if primary else 0}

    def number_among(self, matches: Callable[[Case], bool]) -> int:
        """Returns the number of the pairs of which both cases match, of both families."""
        number = sum(matches(one) and matches(other) for one, other in self._along.values())
        for members in self.groups.values():
            number += members.number_among(np.array([matches(case) for case in members.cases], bool))
        named = (self._named or {}).values()
        return number + sum(
            matches(one) and matches(other) and self._unnamed(one, other) is None for one, other in named
        )

    def is_within(self, one: Case, other: Case) -> bool:
        """Tells whether two cases are of one group, and compared also if no suite names them."""
        return one.group == other.group and self._unnamed(one, other) is not None

    def find(self, one: Case, other: Case) -> CasePair | None:
        """Returns the pair of two cases; None if they are not compared."""
        ids = frozenset((one.id, other.id))
        if self._named is not None and ids in self._named:
            return CasePair(*self._named[ids])
        pair = self._unnamed(one, other)
        return None if pair is None else CasePair(*pair, self._family(*pair))

    def listed(self, more: Mapping[Group, Iterable[tuple[int, int]]]) -> list[CasePair]:
        """Returns the pairs with a line of their own, in the order of `compared_cases`.

        They are those that the suite names, those with a baseline, and those between models.

        Args:
            more: Others within a group, as positions.
        """
        found = [
            _in_order(members.cases[i], members.cases[j])
            for group, members in self.groups.items()
            for i, j in sorted({*self._beside[group], *more.get(group, ())})
        ]
        named = self._named or {}
        pairs = [
            CasePair(*pair, self._family(*pair))
            for pair in (*found, *self._along.values())
            if frozenset(case.id for case in pair) not in named
        ]
        pairs.sort(key=lambda pair: pair.family != "primary")
        return [*(CasePair(*pair) for pair in named.values()), *pairs]

    def has_pairs(self, group: Group) -> list[bool]:
        """Tells for each case of a group whether it is compared with any other."""
        along = {case.id for pair in self._along.values() for case in pair}
        members = self.groups[group]
        return [
            bool(compared) or case.id in along
            for case, compared in zip(members.cases, members.numbers[1], strict=True)
        ]

    def _unnamed(self, one: Case, other: Case) -> tuple[Case, Case] | None:
        """Returns the pair as it is compared if no suite names it, in its order."""
        if one.group != other.group:
            return self._along.get(frozenset((one.id, other.id)))
        i, j = sorted((self._positions[one.id], self._positions[other.id]))
        members = self.groups[one.group]
        return _in_order(members.cases[i], members.cases[j]) if members.is_compared(i, j) else None

    def _family(self, one: Case, other: Case) -> Family:
        if self._named is None and (self._are_all_primary or is_primary(one, other, self._held)):
            return "primary"
        return "exploratory"


def _in_order(earlier: Case, later: Case) -> tuple[Case, Case]:
    """Returns two cases of a group with the baseline second, or else the earlier one."""
    return (earlier, later) if later.method == earlier.baseline else (later, earlier)


def _numbers(values: Iterable[Hashable], known: dict[Hashable, int] | None = None) -> NDArray[np.int32]:
    """Returns a number for each value; equal values have the same."""
    found: dict[Hashable, int] = {} if known is None else known
    return np.array([found.setdefault(value, len(found)) for value in values], np.int32)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(each)) for key, each in value.items()))
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
