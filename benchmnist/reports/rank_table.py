"""The table of mean ranks and scores over several models or datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.grid import LEAST_METHODS
from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.summary import group_title
from benchmnist.analysis.verdicts import judging
from benchmnist.metrics import TARGET_STEPS
from benchmnist.reports.extra_table import NOTHING, ExtraTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.grid import Grid
    from benchmnist.analysis.ranks import Ranks
    from benchmnist.analysis.scores import Scores

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def rank_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the mean ranks and scores of the methods; None if too few were tried in the same groups."""
    grid, ranks, scores = analysis.grid, analysis.ranks, analysis.scores
    if grid is None or ranks is None:
        return None
    scored = {score.method: (score.mean, score.interval) for score in scores.methods} if scores else {}
    return ExtraTable(
        f"Mean ranks over {grid.title}",
        ("method", "alike", "rank", *(("score", "interval") if scores else ())),
        2,
        tuple((*row, *(score_cells(*scored[row[0]]) if scored else ())) for row in rank_rows(ranks)),
        "; ".join(_about(grid, ranks, scores)),
    )


def rank_rows(ranks: Ranks) -> Iterator[tuple[str, str, str]]:
    """Yields the method, the letters of those that it is not shown to differ from, and its mean rank."""
    for i, (method, mean) in enumerate(zip(ranks.methods, ranks.means, strict=True)):
        alike = (LETTERS[j % len(LETTERS)] for j, (first, last) in enumerate(ranks.bars) if first <= i <= last)
        yield method, "".join(alike), f"{mean:.2f}"


def score_cells(mean: float, interval: tuple[float, float] | None) -> tuple[str, str]:
    """Formats a score and its interval."""
    return f"{mean:.2f}", NOTHING if interval is None else " to ".join(f"{end:.2f}" for end in interval)


def about_ranks(ranks: Ranks) -> Iterator[str]:
    """Yields what the tests of ranks are, and what they say."""
    p = "< 0.001" if ranks.p < 0.001 else f"= {ranks.p:.3f}"  # noqa: PLR2004 - three decimals
    yield f"Friedman's test that no method differs from another: p {p}"
    yield (
        f"alike: methods with a common letter are not shown to differ (Nemenyi: critical difference "
        f"{ranks.critical:.2f}; level {LEVEL:.0%})"
    )


def _about(grid: Grid, ranks: Ranks, scores: Scores | None) -> Iterator[str]:
    metric = " or ".join(dict.fromkeys(judging(row[0].case).says for row in grid.rows))
    yield f"rank: mean rank of the method by {metric}, 1 is the best"
    yield from about_ranks(ranks)
    if scores:
        effort = "steps" if scores.effort == TARGET_STEPS else "time"
        what = (
            f"the {effort} to the target, from 0 to twice the baseline's whole training"
            if scores.effort
            else f"the error or loss that is left ({metric}), from 0 to twice the baseline's"
        )
        yield f"score: area under the profile of {what}; 1 is the best possible, 0 the worst"
        yield (
            f"interval: {1 - LEVEL:.0%} confidence interval over groups like these, from a bootstrap of groups "
            "and seeds"
        )
    if grid.methods_left_out:
        yield f"left out, because not tried in every group: {', '.join(grid.methods_left_out)}"
    if grid.groups_left_out:
        yield (
            f"left out, because fewer than {LEAST_METHODS} methods were tried there, or more than the method "
            f"differs: {', '.join(map(group_title, grid.groups_left_out))}"
        )
