"""The tables of the levels that each method solves of each problem, and of scores and ranks over problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.analysis.statistics import LEVEL
from benchmnist.reports.extra_table import NOTHING, ExtraTable
from benchmnist.reports.rank_table import about_ranks, rank_rows, score_cells
from benchmnist.reports.records import Records

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.ladders import Ladder, Ladders
    from benchmnist.analysis.rungs import Rung

TITLE = "Levels solved"
RECORDED = " (recorded)"
ALSO_HARDER = "+"
HEADS = ("problem", "method", "solves", "levels", "seeds, %", "steps", "next", "seeds, %", "tries")
KEYS = (
    *("problem", "method", "level", "place", "solved", "seeds_solved", "seeds", "rate_low", "rate_high", "steps"),
    *("attempts", "chosen", "recorded", "case"),
)
"""Keys of the rows for programs, one a level and method."""


def ladder_tables(analysis: Analysis) -> list[ExtraTable]:
    """Returns the levels solved, and the scores and ranks over problems; none without problems with a target."""
    ladders = analysis.ladders
    if ladders is None:
        return []
    tables = [
        ExtraTable(TITLE, HEADS, 3, tuple(map(_row, ladders.ladders)), "; ".join(_about(ladders))),
    ]
    if len(ladders.scores) > 1 and len(ladders.problems) > 1:
        tables.append(_scores(ladders))
    return tables


def _row(ladder: Ladder) -> tuple[str, ...]:
    highest, above = ladder.highest, ladder.next
    return (
        ladder.problem,
        ladder.method + (RECORDED if ladder.recorded else ""),
        (highest.name if highest else NOTHING) + (ALSO_HARDER if ladder.gaps else ""),
        f"{len(ladder.solved)}/{len(ladder.rungs)}",
        _rate(highest),
        f"{highest.steps:,}" if highest and highest.steps else NOTHING,
        above.name if above else NOTHING,
        _rate(above),
        str((highest or ladder.rungs[0]).attempts),
    )


def _rate(rung: Rung | None) -> str:
    """Returns `5/5 [48, 100]`; `none` if there was nothing to train."""
    if rung is None:
        return NOTHING
    if not rung.seeds:
        return "none"
    low, high = (f"{100 * end:.0f}" for end in rung.rate_interval)
    return f"{rung.solved}/{rung.seeds} [{low}, {high}]"


def _about(ladders: Ladders) -> Iterator[str]:
    rungs = [rung for ladder in ladders.ladders for rung in ladder.rungs]
    yield (
        "solves: the highest level that is solved together with all easier ones; a level is solved if at least "
        "half of its seeds reach the target, those that diverged or failed counting as not"
    )
    if any(ladder.gaps for ladder in ladders.ladders):
        yield f"{ALSO_HARDER}: a harder level is solved, too, but not all between"
    yield "levels: how many of them these are"
    yield (
        f"seeds, %: how many reach the target, of that level and of the next one, with the {1 - LEVEL:.0%} "
        "confidence interval of that share in % (Clopper and Pearson)"
    )
    if any(not rung.seeds for rung in rungs):
        yield "none: every attempt of the search for its settings diverged or failed"
    yield "steps: median to the target, on the level solved"
    yield "tries: attempts of the search for the settings of a level"
    if any(rung.recorded for rung in rungs):
        yield "recorded: of an earlier run, which is not compared seed by seed"


def _scores(ladders: Ladders) -> ExtraTable:
    recorded = {score.method for score in ladders.scores if score.recorded}
    scored = {score.method: score_cells(score.mean, score.interval) for score in ladders.scores}
    ranks = ladders.ranks
    rows = rank_rows(ranks) if ranks else ((method,) for method in scored)
    about = [
        "score: share of the levels of a problem that are solved, mean over the problems; 1 is best, 0 is worst",
        f"interval: {1 - LEVEL:.0%} confidence interval over problems like these (Student's)",
    ]
    if ranks:
        about += ["rank: mean rank of the method by the number of levels that it solves, 1 is the best"]
        about += about_ranks(ranks)
    if ladders.left_out:
        about.append(f"left out, because not tried on every level: {', '.join(ladders.left_out)}")
    return ExtraTable(
        f"{'Mean ranks and scores' if ranks else 'Scores'} over {ladders.title}",
        ("method", *(("alike", "rank") if ranks else ()), "score", "interval"),
        2 if ranks else 1,
        tuple((row[0] + (RECORDED if row[0] in recorded else ""), *row[1:], *scored[row[0]]) for row in rows),
        "; ".join(about),
    )


def ladder_records(analysis: Analysis, about: re.Pattern[str] | None = None) -> Records:
    """Makes a row for each level and method, problem by problem and from the easiest level to the hardest.

    `about` keeps the rows whose problem, method or case matches.
    """
    ladders = analysis.ladders.ladders if analysis.ladders else ()
    rows = [row for ladder in ladders for row in _records(ladder)]
    texts = [f"{row['problem']} {row['method']} {row['case'] or ''}" for row in rows]
    return Records(KEYS, tuple(r for r, text in zip(rows, texts, strict=True) if not about or about.search(text)))


def _records(ladder: Ladder) -> Iterator[dict[str, Any]]:
    for place, rung in enumerate(ladder.rungs):
        low, high = rung.rate_interval if rung.seeds else (None, None)
        values = (
            *(
                ladder.problem,
                ladder.method,
                rung.level,
                place,
                rung.is_solved,
                rung.solved,
                rung.seeds,
                low,
                high,
            ),
            *(rung.steps, rung.attempts, rung.chosen or None, rung.recorded, rung.case),
        )
        yield dict(zip(KEYS, values, strict=True))
