"""Plots of metrics over steps or epochs: one per case, and one per model with all of its optimizers."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmnist.analysis.courses import across, is_fine, mean_course
from benchmnist.analysis.figures import drawn_metrics, mean_curve
from benchmnist.analysis.summary import by_group, group_title
from benchmnist.analysis.units import by_search, unit
from benchmnist.analysis.verdicts import rank
from benchmnist.reports.drawing import Figure, ticker
from benchmnist.reports.escaping import DRAWN_BESIDE, drawable
from benchmnist.runs.files import write_file
from benchmnist.runs.store import PLOTS
from benchmnist.suites.cases import stem_of
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    from matplotlib.axes import Axes

    from benchmnist.analysis.courses import Across
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult, RunResult
    from benchmnist.suites.cases import Group

# Okabe and Ito's colours, told apart with every kind of colour vision (https://jfly.uni-koeln.de/color/),
# less the yellow, which is pale on white; markers and dashes go on where colours end, and say it twice before.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")


MOST_CURVES = 60
"""Curves in one plot: more are not told apart, and take long to draw."""
BEST_CURVES = 20
"""Curves in a plot of a group that has more than MOST_CURVES."""
MOST_SINGLE = 100
"""Plots of single cases: each takes 0.14 s, and the page draws any of them."""


MARKED = 20
"""Evaluations of a curve up to which each has a marker; of a longer one, every so manieth."""
AXIS_TITLES: dict[Across, str] = {
    "epochs": "epoch",
    "steps": "step",
    "examples": "examples seen",
    "seconds": "seconds of training",
}


class Style(NamedTuple):
    """Look of an optimizer in every plot of a run."""

    color: str
    marker: str
    linestyle: str


class Curve(NamedTuple):
    """One curve of a plot: its name, its result and its style."""

    name: str
    result: CaseResult
    style: Style


class Plots(NamedTuple):
    """Files of the plots in the run folder: by group and metric title, by case id; others by their alt text."""

    groups: dict[Group, dict[str, str]]
    cases: dict[str, str]
    others: dict[str, str] = {}  # noqa: RUF012 - by what it shows; a NamedTuple's default, which nobody changes


def default_axis(results: Iterable[CaseResult]) -> Across:
    """Returns the axis of curves that nobody chose: steps, if any of them was evaluated within epochs."""
    return "steps" if any(map(is_fine, results)) else "epochs"


def draw_plots(run: RunResult, axis: Across | None = None, without: Collection[Group] = ()) -> Plots:
    """Draws every plot of a run into its folder; of more than MOST_SINGLE cases or many levels, no single case.

    Args:
        run: The run.
        axis: The horizontal axis; see `default_axis`.
        without: Groups that are not drawn.

    Raises:
        StoreError: if a file cannot be written.
    """
    styles = optimizer_styles(dict.fromkeys(case.searched_method for case in run.record.plan))
    drawn = [result for result in run.cases if result.has_epochs and result.case.group not in without]
    metrics, axis = drawn_metrics(drawn), axis or default_axis(drawn)
    groups: dict[Group, dict[str, str]] = {}
    for group, results in groups_of(run, without).items():
        groups[group] = {}
        for metric in metrics:
            file = f"{PLOTS}/{group_file(group, metric)}"
            curves = [Curve(r.case.method, r, styles[r.case.method]) for r in results]
            write_file(run.path / file, overlay(group_title(group), curves, metric, axis))
            groups[group][metric.title] = file
    cases = {}
    for result in drawn if len(drawn) <= MOST_SINGLE and not without else ():  # these are of many levels
        file = f"{PLOTS}/{result.case.file_stem}.png"
        write_file(run.path / file, single(result, styles[result.case.searched_method], metrics, axis))
        cases[result.id] = file
    return Plots(groups, cases)


def groups_of(run: RunResult, without: Container[Group] = ()) -> dict[Group, list[CaseResult]]:
    """Returns the results of each group whose curves can be drawn; those of repeated searches are one."""
    drawn = (result for result in run.cases if result.has_epochs and result.case.group not in without)
    return by_group(by_search([*drawn] if run.record.curves else []))


def group_file(group: Group, metric: Metric) -> str:
    """Returns the file name of the picture of a group's curves."""
    return f"{stem_of(f'{group_stem(group)}.{metric.field}')}.png"


def group_stem(group: Group) -> str:
    """Returns the common start of the file names of a group."""
    return stem_of("__".join(filter(None, group)).replace("/", "_"))


def optimizer_styles(labels: Sequence[str] | dict[str, None]) -> dict[str, Style]:
    """Returns a style for each optimizer, the same in every plot."""
    return {
        label: Style(
            COLOURS[i % len(COLOURS)],
            MARKERS[i % len(MARKERS)],
            DASHES[i // len(COLOURS) % len(DASHES)],
        )
        for i, label in enumerate(labels)
    }


def overlay(title: str, curves: Sequence[Curve], metric: Metric, axis: Across | None = None) -> bytes:
    """Draws one metric of several results, as PNG, with the legend beside the axes.

    Of more than MOST_CURVES, only the best by what judges them are drawn, which the title says; over seconds, none
    that was trained in a stack.
    """
    axis = axis or default_axis(curve.result for curve in curves)
    curves = [curve for curve in curves if _has_axis(curve.result, axis)]
    number = len(curves)
    if number > MOST_CURVES:
        curves = sorted(curves, key=lambda curve: rank(curve.result))[:BEST_CURVES]
        title = f"{title}, the {BEST_CURVES} best of {number:,}"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        _curve(axes, curve, metric, axis)
    _finish(axes, metric, axis, stretch=True)
    seeds = _seeds([curve.result for curve in curves])
    axes.set_title(f"{drawable(f'{metric.title.capitalize()} over {axis}: {title}')}\n{seeds}", fontsize=11)
    if curves:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return to_png(figure)


def single(result: CaseResult, style: Style, metrics: Sequence[Metric], axis: Across | None = None) -> bytes:
    """Draws metrics of one case side by side, as PNG."""
    axis = axis or default_axis([result])
    figure = Figure(figsize=(4.5 * len(metrics), 3.8), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        _curve(axes, Curve(result.case.method, result, style), metric, axis)
        _finish(axes, metric, axis, stretch=False)
        axes.set_title(drawable(f"{metric.title.capitalize()} over {axis}"), fontsize=10)
    figure.suptitle(f"{drawable(result.id)}\n{_seeds([result])}", fontsize=11)
    return to_png(figure)


def _has_axis(result: CaseResult, axis: Across) -> bool:
    """Tells whether a case is drawn over an axis: times of a stack are shares, and old results have no steps."""
    return not result.shares_times if axis == "seconds" else axis == "epochs" or result.steps > 0


def _seeds(results: Sequence[CaseResult]) -> str:
    if not results:
        return "no case has what this axis needs"
    most = max(len(result.trials) for result in results)
    each = unit(results[0])
    return f"mean of {counted(most, each)}, band: ± sample std" if most > 1 else f"one {each}"


def _curve(axes: Axes, curve: Curve, metric: Metric, axis: Across) -> None:
    """Draws the mean over the seeds, and for several seeds a band of ± one standard deviation."""
    label, result, style = curve
    if axis == "epochs" and not is_fine(result):
        points = {float(epoch): point for epoch, point in enumerate(mean_curve(result, metric), start=1) if point}
    else:
        course = mean_course(result, metric)
        points = {across(result, axis, each.step, each.seconds): (each.mean, each.std) for each in course}
    epochs, means = [*points], [mean for mean, _ in points.values()]
    low, high = ([mean + sign * std for mean, std in points.values()] for sign in (-1, 1))
    if any(trial.status == "diverged" for trial in result.trials):
        label += " (diverged)"
    axes.plot(
        epochs,
        means,
        label=drawable(label, DRAWN_BESIDE),
        markersize=5,
        markevery=max(1, len(epochs) // MARKED),
        linewidth=1.8,
        **style._asdict(),
    )
    if len(result.trials) > 1:
        axes.fill_between(epochs, low, high, color=style.color, alpha=0.2, linewidth=0)
        if len(epochs) == 1:  # a band of one epoch has no width
            axes.vlines(epochs, low, high, color=style.color, alpha=0.5, linewidth=2)


def _finish(axes: Axes, metric: Metric, axis: Across, *, stretch: bool) -> None:
    """Adds labels, whole epochs and a grid; to compare optimizers, stretches the axis where the good ones are."""
    axes.set_xlabel(AXIS_TITLES[axis])
    axes.set_ylabel(drawable(metric.label, DRAWN_BESIDE))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=axis != "seconds", min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    shown = [y for line in axes.get_lines() for y in np.asarray(line.get_ydata(), float).tolist()]
    if not shown:
        why = "diverged in its first epoch" if axes.get_lines() else "nothing to draw"
        axes.text(0.5, 0.5, why, ha="center", transform=axes.transAxes)
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
    elif stretch and metric.better == "lower" and min(shown) > 0 and max(shown) > 10 * min(shown):
        log_axis(axes)
        axes.set_ylabel(drawable(f"{metric.label}, log scale", DRAWN_BESIDE))
    elif stretch and metric.is_share and max(shown) > 90 and min(shown) < 90:  # noqa: PLR2004
        _error_axis(axes, min(shown), max(shown))
        axes.set_ylabel(drawable(f"{metric.label}, stretched towards 100", DRAWN_BESIDE))


def log_axis(axes: Axes) -> None:
    """Makes the vertical axis logarithmic, with the numbers 1, 2 and 5 of each decade."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _error_axis(axes: Axes, lowest: float, highest: float) -> None:
    """Scales a share by the fourth root of its error, so that 97 and 98 differ visibly even beside 60."""

    def forward(accuracy: Any) -> Any:
        return -((100.1 - accuracy).clip(1e-3) ** 0.25)

    def inverse(y: Any) -> Any:
        return 100.1 - (-y) ** 4

    axes.set_yscale("function", functions=(forward, inverse))
    ticks = [t for t in (0, 20, 40, 60, 70, 80, 85, 90, 95, 97, 98, 99, 99.5, 100) if t <= highest + 1]
    axes.set_ylim(max(0.0, lowest - 3), min(100.0, highest + (100 - highest) / 3))
    axes.yaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))


def to_png(figure: Figure) -> bytes:
    """Returns a figure as PNG; nobody is warned of characters that its font lacks, or of a title too long."""
    output = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(output, format="png", dpi=120)
    return output.getvalue()
