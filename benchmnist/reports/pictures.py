"""Pictures of results, as PNG: mean ranks, performance profiles, learning rates, attempts, norms by layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmnist.analysis.figures import drawn_metrics
from benchmnist.analysis.searches import best_of_attempts, value_of
from benchmnist.analysis.summary import group_title
from benchmnist.reports.drawing import Figure
from benchmnist.reports.dynamics_picture import dynamics_picture, has_dynamics
from benchmnist.reports.escaping import DRAWN_BESIDE, drawable
from benchmnist.reports.heat_map import TITLE as TITLE_OF_MAP
from benchmnist.reports.heat_map import heat_map_of, heat_picture, heat_text
from benchmnist.reports.plots import (
    MOST_SINGLE,
    Curve,
    group_file,
    group_stem,
    groups_of,
    optimizer_styles,
    overlay,
    to_png,
)
from benchmnist.reports.rank_picture import rank_picture, rank_text
from benchmnist.suites.cases import stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.courses import Across
    from benchmnist.analysis.ranks import Ranks
    from benchmnist.reports.plots import Style
    from benchmnist.runs.searches import Search
    from benchmnist.suites.cases import Group


class Picture(NamedTuple):
    """A picture to draw.

    Attributes:
        title: Its title.
        file: Its file name.
        draw: Function that returns its PNG.
        text: What it shows, in words; the title by default.
    """

    title: str
    file: str
    draw: Callable[[], bytes]
    text: str = ""

    @property
    def alt(self) -> str:
        """The text for readers who do not see the picture."""
        return self.text or self.title


def pictures(analysis: Analysis) -> Iterator[Picture]:
    """Yields each picture that the run has data for, without drawing it."""
    if (ladders := heat_map_of(analysis)) is not None:
        yield Picture(TITLE_OF_MAP, "heat-map.png", partial(heat_picture, ladders), heat_text(ladders))
    for title, file, ranks in _ranks(analysis):
        styles = optimizer_styles(dict.fromkeys((*analysis.methods, *ranks.methods)))
        yield Picture(title, file, partial(rank_picture, title, ranks, styles), rank_text(title, ranks))
    if any(profile.points for profile in analysis.profiles.compared):
        yield Picture("Performance profiles", "profiles.png", partial(profile_picture, analysis))
    drawn = [result for result in analysis.run.cases if has_dynamics(result)]
    for result in drawn[:MOST_SINGLE]:
        file = f"{stem_of(f'{result.case.file_stem}.dynamics')}.png"
        yield Picture(f"Norms by layer: {result.id}", file, partial(dynamics_picture, result))
    of_models: dict[Group, list[Search]] = {}
    for search in analysis.run.record.searches:
        of_models.setdefault((search.dataset, search.model, search.label), []).append(search)
    for group, searches in of_models.items():
        if analysis.untold_levels and analysis.ladders and group in analysis.ladders.levels:
            continue  # a picture for each problem would be too many, too
        stem, title = group_stem(group), group_title(group)
        of_rates = [s for s in searches if (space := s.space.get("lr")) is not None and space.is_range]
        for about, kind, draw, shown in (
            ("{} against learning rate", "learning_rates", learning_rate_picture, of_rates),
            ("Best {} against number of attempts", "attempts", attempts_picture, searches),
        ):
            if shown:
                name = about.format(shown[0].judged_by.name)
                yield Picture(
                    f"{name[0].upper()}{name[1:]}: {title}", f"{stem}.{kind}.png", partial(draw, shown, title)
                )


def _ranks(analysis: Analysis) -> Iterator[tuple[str, str, Ranks]]:
    """Yields the title, the file and the mean ranks of each diagram."""
    if analysis.grid is not None and analysis.ranks is not None:
        yield f"Mean ranks over {analysis.grid.title}", "ranks.png", analysis.ranks
    ladders = analysis.ladders
    if ladders is not None and ladders.ranks is not None:
        yield f"Mean ranks over {ladders.title}, by levels solved", "ranks-of-ladders.png", ladders.ranks


def all_pictures(analysis: Analysis, axis: Across | None = None) -> Iterator[Picture]:
    """Yields the pictures of the curves of each group, over an axis of `plots`, then every other picture."""
    run = analysis.run
    styles = optimizer_styles(analysis.methods)
    for group, results in groups_of(run, analysis.untold_levels).items():
        title = group_title(group)
        curves = [Curve(r.case.method, r, styles[r.case.method]) for r in results]
        for metric in drawn_metrics(run.cases):
            yield Picture(
                f"{metric.label}: {title}",
                group_file(group, metric),
                partial(overlay, title, curves, metric, axis),
            )
    yield from pictures(analysis)


def profile_picture(analysis: Analysis) -> bytes:
    """Draws the share of problems solved against time, with a line per method tried on the same problems."""
    found = analysis.profiles.compared
    figure, axes = _axes()
    last = 1.1 * max(time for profile in found for time, _ in profile.points)
    for profile, style in zip(found, _styles([p.method for p in found]), strict=True):
        times = [0.0, *(time for time, _ in profile.points), last]
        shares = [0.0, *(100 * share for _, share in profile.points), 100 * profile.share(last)]
        axes.step(
            times,
            shares,
            where="post",
            label=drawable(profile.method, DRAWN_BESIDE),
            color=style.color,
            linestyle=style.linestyle,
        )
    axes.set_ylim(-3, 103)
    axes.set_xlim(0, last)
    remark = analysis.profiles.remark
    axes.set_xlabel(
        "time, in units of the baseline's whole training" + (f"\n{drawable(remark)}" if remark else "")
    )
    axes.set_ylabel(f"problems solved, % of {found[0].problems}")
    targets = dict.fromkeys(str(each.target) for each in analysis.times_to_target)
    axes.set_title(drawable(f"Performance profiles: time to {' and '.join(targets)}"), fontsize=11)
    return _finished(figure, axes)


def learning_rate_picture(shown: Sequence[Search], title: str) -> bytes:
    """Draws the validation result against learning rate, with a line per optimizer, for searches over both."""
    figure, axes = _axes()
    metric = shown[0].judged_by
    for method, style in optimizer_styles(dict.fromkeys(search.method for search in shown)).items():
        attempts = [
            (float(attempt.params["lr"]), value_of(search, attempt))
            for search in shown
            if search.method == method
            for attempt in search.attempts
        ]
        points = sorted((lr, value) for lr, value in attempts if value is not None)
        rates, values = [lr for lr, _ in points], [value for _, value in points]
        axes.plot(rates, values, label=drawable(method, DRAWN_BESIDE), markersize=5, **style._asdict())
        gone = [lr for lr, value in attempts if value is None]
        axes.plot(
            gone,
            [0.0] * len(gone),
            linestyle="",
            marker="x",
            color=style.color,
            transform=axes.get_xaxis_transform(),
        )
    if any(search.space["lr"].log for search in shown):
        axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel(drawable(_validation(shown[0]), DRAWN_BESIDE))
    about = f"{metric.name.capitalize()} against learning rate: {title}"
    lost = "less than half of the seeds reach the target" if shown[0].target else "diverged or failed"
    axes.set_title(f"{drawable(about)}\n× at the bottom: {lost}", fontsize=11)
    return _finished(figure, axes)


def attempts_picture(searches: Sequence[Search], title: str) -> bytes:
    """Draws the best result against attempts: expected, with quartiles, if random; else in their order."""
    figure, axes = _axes()
    random = all(search.sampler == "random" for search in searches)
    metric, lowest = searches[0].judged_by, 100.0
    for method, style in optimizer_styles(dict.fromkeys(search.method for search in searches)).items():
        found = best_of_attempts([search for search in searches if search.method == method])
        counts, means = [each.attempts for each in found], [each.mean for each in found]
        if random:
            band = [each.low for each in found], [each.high for each in found]
            axes.fill_between(counts, *band, color=style.color, alpha=0.15, linewidth=0)
        axes.plot(counts, means, label=drawable(method, DRAWN_BESIDE), markersize=4, **style._asdict())
        lowest = min([lowest, *means[len(means) // 4 :]])
    if metric.is_share:
        axes.set_ylim(bottom=max(0.0, lowest - 5))  # the first few attempts would flatten all that follows
    axes.set_xlabel("attempts")
    axes.set_ylabel(drawable(f"best {_validation(searches[0])}", DRAWN_BESIDE))
    how = "expected for random attempts, band: quartiles" if random else "in the order of the search"
    about = f"Best {metric.name} against number of attempts: {title}"
    axes.set_title(f"{drawable(about)}\n{how}", fontsize=11)
    return _finished(figure, axes)


def _validation(search: Search) -> str:
    """Names what attempts are judged by: `validation accuracy (%)`, `steps to a test loss of 0.01`."""
    if search.target:
        return f"steps to {search.target}"
    metric = search.metric
    return f"validation {metric.name}" + (f" ({metric.unit})" if metric.unit else "")


def _styles(methods: Sequence[str]) -> list[Style]:
    return [*optimizer_styles(methods).values()]


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    return figure, figure.add_subplot()


def _finished(figure: Figure, axes: Axes) -> bytes:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return to_png(figure)
