"""Finds the parameters in each group of an optimizer, and the groups that select nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from benchmnist.errors import listed, nearest
from benchmnist.extensions.kinds import MODEL, OPTIMIZER
from benchmnist.suites.cases import GROUPS
from benchmnist.text import alternatives
from benchmnist.training.parameter_groups import REST, selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from benchmnist.errors import Problem
    from benchmnist.suites.cases import Case
    from benchmnist.suites.suite import Suite


@dataclass(frozen=True)
class Grouped:
    """The parameters of a model by the group that an optimizer has them in.

    Attributes:
        dataset, model, optimizer: Their names.
        groups: Each group in words, with the names of its parameters; the last is the rest.
    """

    dataset: str
    model: str
    optimizer: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]


class GroupedModels:
    """Notes which parameters each optimizer with groups has in which group.

    Args:
        suite: The suite of the cases.
    """

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.found: dict[tuple[str, str, str], Grouped] = {}
        self._cases: dict[str, list[Case]] = defaultdict(list)  # by optimizer
        self._names: dict[str, dict[str, None]] = defaultdict(dict)  # of parameters, by optimizer
        self._used: set[tuple[str, int]] = set()
        self._able: set[tuple[str, int]] = set()  # which would select something, were they the only ones

    def note(self, case: Case, model: nn.Module) -> None:
        """Notes what is in which group of a case, whose model is that."""
        optimizer, groups = case.optimizer.name, case.optimizer.groups
        key = (case.dataset.label, case.model.label, optimizer)
        if not groups or key in self.found:
            return
        chosen = selection(groups, model)
        self._cases[optimizer].append(case)
        self._names[optimizer] |= dict.fromkeys(chosen)
        self._used |= {(optimizer, number) for number in chosen.values()}
        able = (i for i, group in enumerate(groups) if {*selection([group], model).values()} != {REST})
        self._able |= {(optimizer, number) for number in able}
        members = [
            (
                "the rest" if number == REST else str(groups[number]),
                tuple(n for n, i in chosen.items() if i == number),
            )
            for number in (*range(len(groups)), REST)
        ]
        self.found[key] = Grouped(*key, tuple((said, names) for said, names in members if names))

    def problems(self) -> Iterator[Problem]:
        """Yields a problem for each group, and each pattern of names, that selects nothing in any model.

        Only where every model that the suite lists for the optimizer was noted.
        """
        for optimizer, cases in self._cases.items():
            models = [*dict.fromkeys(case.model.name for case in cases)]
            blocks = [block for block in self.suite.blocks if optimizer in block.names(OPTIMIZER)]
            if {name for block in blocks for name in block.names(MODEL)} <= {*models}:
                yield from self._useless(optimizer, cases[0], f"of {alternatives(models)}")

    def _useless(self, optimizer: str, case: Case, of_models: str) -> Iterator[Problem]:
        names = [*self._names[optimizer]]
        for index, group in enumerate(case.optimizer.groups):
            path = (OPTIMIZER.plural, optimizer, GROUPS, index)
            lost = [each for each in group.match if not any(fnmatchcase(name, each) for name in names)]
            for pattern in lost:
                near = nearest(pattern.strip("*."), names)
                message = f"{pattern!r} matches no parameter {of_models}.{near} Their names: {listed(names)}"
                yield self.suite.problem(message, *path, "match")
            if not lost and (optimizer, index) not in self._used:
                taken = (optimizer, index) in self._able
                why = "earlier groups have all that it selects" if taken else f"none is {group.selects}"
                yield self.suite.problem(f"selects no parameter {of_models}: {why}", *path)
