"""The critical-difference diagram: mean ranks on an axis, with bars that join what is not shown to differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.analysis.findings.words import listed
from benchmnist.reports.drawing import Figure
from benchmnist.reports.escaping import DRAWN_BESIDE, drawable
from benchmnist.reports.plots import to_png

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from benchmnist.analysis.ranks import Ranks
    from benchmnist.reports.plots import Style

LINE = 0.30
"""Height of a line of text, in inches."""
BAR = 0.16
"""Distance of two bars, in inches."""


def rank_text(title: str, ranks: Ranks) -> str:
    """Describes the diagram for who cannot see it."""
    named = ", ".join(f"{method} {mean:.2f}" for method, mean in zip(ranks.methods, ranks.means, strict=True))
    joined = "; ".join(listed(ranks.methods[first : last + 1]) for first, last in ranks.bars if first < last)
    return f"{title}: {named}; critical difference {ranks.critical:.2f}; not shown to differ: {joined or 'none'}"


def rank_picture(title: str, ranks: Ranks, styles: Mapping[str, Style]) -> bytes:
    """Draws the diagram, as PNG: the best method is at the left, in its colour of all plots."""
    bars = [bar for bar in ranks.bars if bar[0] < bar[1]]
    half = (len(ranks.methods) + 1) // 2
    names = -(0.22 + BAR * len(bars) + 0.5 * LINE)  # height of the first line of names, below the axis
    top, bottom = 2.2 * LINE, names - LINE * (half - 0.2)
    figure = Figure(figsize=(8, top - bottom + 0.75), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(0.5, len(ranks.methods) + 0.5)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    _axis(axes, ranks)
    for i, (method, mean) in enumerate(zip(ranks.methods, ranks.means, strict=True)):
        left = i < half
        edge = 0.5 if left else len(ranks.methods) + 0.5
        y = names - LINE * (i if left else len(ranks.methods) - 1 - i)
        style = styles[method]
        axes.plot(
            [mean, mean, edge],
            [0, y, y],
            color=style.color,
            linestyle=style.linestyle,
            linewidth=1.5,
            clip_on=False,
        )
        axes.annotate(
            f"{drawable(method, DRAWN_BESIDE)}  {mean:.2f}",
            (edge, y),
            xytext=(-6 if left else 6, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
        )
    for j, (first, last) in enumerate(bars):
        y = -(0.16 + BAR * j)
        ends = [ranks.means[first] - 0.03, ranks.means[last] + 0.03]
        axes.plot(ends, [y, y], color="black", linewidth=4, solid_capstyle="butt")
    axes.set_title(f"{drawable(title)}: 1 is the best\njoined by a bar: not shown to differ", fontsize=11)
    return to_png(figure)


def _axis(axes: Axes, ranks: Ranks) -> None:
    """Draws the axis of ranks, and the critical difference above it."""
    last = len(ranks.methods)
    axes.plot([1, last], [0, 0], color="black", linewidth=1)
    for place in range(1, last + 1):
        axes.plot([place, place], [0, 0.07], color="black", linewidth=1)
        axes.text(place, 0.11, str(place), ha="center", va="bottom")
    ends, y = [1, 1 + ranks.critical], 1.75 * LINE
    axes.plot(ends, [y, y], color="black", linewidth=1, marker="|", markersize=8)
    axes.annotate(
        f"critical difference {ranks.critical:.2f}",
        (ends[1], y),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
    )
