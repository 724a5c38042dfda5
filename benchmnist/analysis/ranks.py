"""Mean ranks of methods over groups: Friedman's test, and the critical difference of Nemenyi.

J. Demšar: Statistical comparisons of classifiers over multiple data sets. JMLR 7 (2006), pages 1-30.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.verdicts import rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.grid import Grid

RESAMPLES = 9999


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods over groups.

    Attributes:
        methods: The methods, the one with the best mean rank first.
        means: Their mean ranks; 1 is the best of a group, and methods that tie share the mean of their ranks.
        groups: Number of groups.
        p: P value of Friedman's test that the methods do not differ.
        critical: Smallest difference of two mean ranks that counts as shown (Nemenyi).
    """

    methods: tuple[str, ...]
    means: tuple[float, ...]
    groups: int
    p: float
    critical: float

    @property
    def differ(self) -> bool:
        """Tells whether any two methods are shown to differ."""
        return self.bars != ((0, len(self.methods) - 1),)

    @property
    def bars(self) -> tuple[tuple[int, int], ...]:
        """The longest runs of methods that are not shown to differ: indices of the first and of the last."""
        last = [max(j for j in range(i, len(self.means)) if not self.shown(i, j)) for i in range(len(self.means))]
        return tuple((i, end) for i, end in enumerate(last) if i == 0 or end > last[i - 1])

    def shown(self, one: int, other: int) -> bool:
        """Tells whether two methods, given by their indices, are shown to differ.

        Their mean ranks must differ by the critical difference, after Friedman's test has shown that some do.
        """
        far = abs(self.means[one] - self.means[other]) >= self.critical - 1e-9  # but for rounding
        return self.p <= LEVEL and far


def mean_ranks(grid: Grid) -> Ranks:
    """Ranks the methods of a grid within each group, and compares their mean ranks.

    Within a group, cases are ranked by what judges them, as `verdicts.rank` does: a case that lost more seeds
    ranks behind one that lost fewer.
    """
    return ranks_of(grid.methods, [[rank(result) for result in row] for row in grid.rows])


def ranks_of(methods: Sequence[str], rows: Sequence[Sequence[Any]]) -> Ranks:
    """Ranks methods within each group, and compares their mean ranks.

    Args:
        methods: The methods.
        rows: Of each group, a key for each method, which sorts the best first.
    """
    from scipy import stats

    ranks = [_average_ranks(row) for row in rows]
    n, k = len(rows), len(methods)
    means = [math.fsum(of_method) / n for of_method in zip(*ranks, strict=True)]
    order = sorted(range(k), key=means.__getitem__)
    quantile = float(stats.studentized_range.isf(LEVEL, k, math.inf)) / math.sqrt(2)
    return Ranks(
        tuple(methods[i] for i in order),
        tuple(means[i] for i in order),
        n,
        _friedman(ranks),
        quantile * math.sqrt(k * (k + 1) / (6 * n)),
    )


def _average_ranks(keys: Sequence[Any]) -> list[float]:
    """Returns the ranks within a group by their keys, 1 for the best; ties share the mean of their ranks."""
    return [1 + sum(other < key for other in keys) + (keys.count(key) - 1) / 2 for key in keys]


def _friedman(ranks: Sequence[Sequence[float]]) -> float:
    """Returns the p value of Friedman's statistic, by permuting the ranks within each group.

    Given the ranks and their ties, the statistic grows with the sum of the squared rank sums. Its usual
    approximation by chi-squared is wrong for few groups: 6.9 % of 3 methods that do not differ, in 4 groups, have
    p <= 0.05. If there are more than RESAMPLES permutations, a fixed random sample of so many is taken.
    """
    import numpy as np
    from scipy import stats

    def statistic(*methods: Any, axis: int) -> Any:
        return sum(np.square(np.sum(of_method, axis=axis)) for of_method in methods)

    found = stats.permutation_test(
        [*zip(*ranks, strict=True)],
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
