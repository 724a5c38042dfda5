"""The methods that were tried in the same groups, so that they can be ranked and scored over all of these."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import has_metric, is_compared, lost_seeds, seed_figures
from benchmnist.analysis.summary import by_group
from benchmnist.suites.differences import differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Group

LEAST_METHODS = 3
"""Fewest methods of a grid: two are a pair, which has a verdict."""
LEAST_GROUPS = 3
"""Fewest groups of a grid: with two, no order of three methods is rarer than one in six."""


@dataclass(frozen=True)
class Grid:
    """Methods and groups, with a case for each method in each group.

    Attributes:
        methods: The methods, in the order of the suite.
        groups: The groups (dataset, model and label), in the order of the suite.
        rows: The cases of each group, in the order of the methods.
        methods_left_out: Methods that were not tried in every group.
        groups_left_out: Groups with fewer than LEAST_METHODS methods, and groups whose cases differ in more than
            the method.
    """

    methods: tuple[str, ...]
    groups: tuple[Group, ...]
    rows: tuple[tuple[CaseResult, ...], ...]
    methods_left_out: tuple[str, ...] = ()
    groups_left_out: tuple[Group, ...] = ()

    @property
    def title(self) -> str:
        """The groups in words, `4 models`, or `4 groups` if they differ in more than the model or the dataset."""
        datasets, models, labels = ({*names} for names in zip(*self.groups, strict=True))
        if len(labels) == 1 and min(len(datasets), len(models)) == 1:
            return f"{len(self.groups)} {'models' if len(datasets) == 1 else 'datasets'}"
        return f"{len(self.groups)} groups"


def full_grid(results: Sequence[CaseResult]) -> Grid | None:
    """Returns the grid of the methods that were tried in every group; None if it is too small.

    A case counts as tried if a seed of it completed or was lost. Controls are left out.
    """
    tried = by_group(result for result in results if not result.case.aside and _was_tried(result))
    large = {group: members for group, members in tried.items() if len(members) >= LEAST_METHODS}
    counts = Counter(result.case.method for members in large.values() for result in members)
    everywhere = [method for method, count in counts.items() if count == len(large)]
    rows: dict[Group, tuple[CaseResult, ...]] = {}
    for group, members in large.items():
        of_methods = {result.case.method: result for result in members}
        row = tuple(of_methods[method] for method in everywhere)
        if row and not any(differences(other.case, row[0].case) for other in row[1:]):
            rows[group] = row
    if len(everywhere) < LEAST_METHODS or len(rows) < LEAST_GROUPS:
        return None
    return Grid(
        tuple(everywhere),
        tuple(rows),
        tuple(rows.values()),
        tuple(method for method in counts if method not in everywhere),
        tuple(group for group in tried if group not in rows),
    )


def _was_tried(result: CaseResult) -> bool:
    metric = result.case.judged_by
    if metric is None or not is_compared(result, metric):
        return False
    return has_metric(result, metric) and bool(seed_figures(result, metric) or lost_seeds(result, metric))
