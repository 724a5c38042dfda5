"""The heat map of problems and methods: how far up the levels of each problem each method gets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmnist.reports.drawing import Figure
from benchmnist.reports.escaping import DRAWN_BESIDE, drawable
from benchmnist.reports.extra_table import NOTHING, ExtraTable
from benchmnist.reports.plots import to_png

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.ladders import Ladder, Ladders

TITLE = "Where it breaks"
LEAST_CELLS = 4
"""Fewest cells of a map: a run of one problem and one method says the same in a line."""
MOST_METHODS = 40
"""Most methods of a map that is drawn; the table has all."""
DARK = 0.6
"""Share of levels from which on a cell is dark, and its text white."""
UNKNOWN = "#eeeeee"
CELL = 0.62, 0.34
"""Width and height of a cell, in inches."""


def heat_map_of(analysis: Analysis) -> Ladders | None:
    """Returns the ladders that a map is drawn of; None if they are too few, or no problem has several levels."""
    found = analysis.ladders
    if found is None or len(found.ladders) < LEAST_CELLS:
        return None
    return found if any(len(ladder.rungs) > 1 for ladder in found.ladders) else None


def heat_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the heat map as a table: a row for each problem, and a column for each method."""
    found = heat_map_of(analysis)
    if found is None:
        return None
    methods = _methods(found)
    by_method = found.by_method
    rows = tuple(
        (problem, *(_cell(by_method[method].get(problem)) for method in methods)) for problem in found.problems
    )
    heads = ("problem", *(_name(found, method) for method in methods))
    return ExtraTable(TITLE, heads, 1, rows, "; ".join(_about(analysis, found)))


def heat_picture(found: Ladders) -> bytes:
    """Draws the heat map, as PNG: dark is solved; it reads the same in grey."""
    methods, problems = _methods(found)[:MOST_METHODS], found.problems
    rungs = [[found.by_method[method].get(problem) for method in methods] for problem in problems]
    width, height = CELL
    figure = Figure(figsize=(2.2 + width * len(methods), 1.5 + height * len(problems)), layout="constrained")
    axes = figure.add_subplot(facecolor=UNKNOWN)
    shares = np.array([[math.nan if each is None else each.share for each in row] for row in rungs])
    axes.pcolormesh(shares, cmap="Blues", vmin=-0.05, vmax=1.1, edgecolors="white", linewidth=1)
    for row, of_problem in enumerate(rungs):
        for column, ladder in enumerate(of_problem):
            axes.text(
                column + 0.5,
                row + 0.5,
                drawable(_level(ladder), DRAWN_BESIDE),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if ladder is not None and ladder.share > DARK else "black",
            )
    axes.invert_yaxis()
    names = [drawable(_name(found, method), DRAWN_BESIDE) for method in methods]
    axes.set_xticks([column + 0.5 for column in range(len(methods))], names, rotation=40, ha="left")
    axes.set_yticks(
        [row + 0.5 for row in range(len(problems))], [drawable(each, DRAWN_BESIDE) for each in problems]
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle("The highest level of each problem that each optimizer solves; dark: all of them", fontsize=11)
    return to_png(figure)


def heat_text(found: Ladders) -> str:
    """Describes the heat map for who cannot see it."""
    scores = ", ".join(f"{score.method} {score.mean:.0%}" for score in found.scores)
    return (
        f"{TITLE}: the share of the levels of {len(found.problems)} problems that each method solves, in blue; "
        f"the table of this name has all of them" + (f"; on average {scores}" if scores else "")
    )


def _methods(found: Ladders) -> list[str]:
    """Returns the methods, the best first; those without a score last, in the order of the suite."""
    best = [score.method for score in found.scores]
    return [*best, *(method for method in found.methods if method not in best)]


def _name(found: Ladders, method: str) -> str:
    """Returns a method, with a mark if its results are recorded."""
    return f"{method}†" if any(ladder.recorded for ladder in found.by_method[method].values()) else method


def _level(ladder: Ladder | None) -> str:
    """Returns the highest level that is solved, `–` for none; `+` if a harder one is solved, too."""
    if ladder is None:
        return ""
    highest = ladder.highest
    return (NOTHING if highest is None else highest.name if highest.level else "yes") + "+" * bool(ladder.gaps)


def _cell(ladder: Ladder | None) -> str:
    """Returns `1e3 (3/6)`."""
    return "" if ladder is None else f"{_level(ladder)} ({len(ladder.solved)}/{len(ladder.rungs)})"


def _about(analysis: Analysis, found: Ladders) -> list[str]:
    said = [
        "the highest level solved together with all easier ones, and the number of these of all",
        "solved: at least half of the seeds reach the target",
    ]
    if any(ladder.gaps for ladder in found.ladders):
        said.append("+: a harder level is solved, too, although an easier one is not")
    if analysis.others.source:
        said.append(f"†: {analysis.others.source}, and not trained in this run")
    if analysis.others.left_out:
        said.append(analysis.others.left_out)
    return said
