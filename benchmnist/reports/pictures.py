"""Pictures of what was found, as PNG: performance profiles, learning rates, what a search took."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from benchmnist.analysis.searches import CHANCE, best_so_far, expected_best
from benchmnist.analysis.targets import profiles
from benchmnist.reports.plots import (
    LABELS,
    Curve,
    group_file,
    group_stem,
    groups_of,
    optimizer_styles,
    overlay,
    to_png,
)
from benchmnist.reports.tables import group_title
from benchmnist.store import PLOTS, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmnist.cases import Group
    from benchmnist.reports.plots import Style
    from benchmnist.results import RunResult, Search


def pictures(run: RunResult) -> dict[str, bytes]:
    """Every picture that a run has something to show in, by its file name."""
    drawn: dict[str, bytes] = {}
    if picture := profile_picture(run):
        drawn["profiles.png"] = picture
    of_models: dict[Group, list[Search]] = {}
    for search in run.record.searches:
        of_models.setdefault((search.dataset, search.model, search.label), []).append(search)
    for group, searches in of_models.items():
        stem, title = group_stem(group), group_title(group)
        if picture := learning_rate_picture(searches, title):
            drawn[f"{stem}.learning_rates.png"] = picture
        drawn[f"{stem}.attempts.png"] = attempts_picture(searches, title)
    return drawn


def all_pictures(run: RunResult) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Of each group's curves, and every other: what it shows, its file name, and what draws it."""
    styles = optimizer_styles(dict.fromkeys(case.method for case in run.record.plan))
    for group, results in groups_of(run).items():
        title = group_title(group)
        curves = [Curve(r.case.method, r, styles[r.case.method]) for r in results]
        for metric, label in LABELS.items():
            yield f"{label}: {title}", group_file(group, metric), partial(overlay, title, curves, metric)
    for file, picture in pictures(run).items():
        yield about(file), file, partial(bytes, picture)


def draw_pictures(run: RunResult, folder: Path) -> dict[str, str]:
    """Draws them into a folder; returns their paths as the report of the run has them, by what they show.

    Raises:
        StoreError: if a file cannot be written.
    """
    drawn = {}
    for file, picture in pictures(run).items():
        write_file(folder / file, picture)
        drawn[about(file)] = f"{PLOTS}/{file}"
    return drawn


ABOUT: dict[str, str] = {
    "profiles": "Performance profiles",
    "learning_rates": "Accuracy against learning rate",
    "attempts": "Best accuracy against number of attempts",
}


def about(file: str) -> str:
    """What the picture of that name shows."""
    *of, kind, _ = file.split(".")
    title = " · ".join(part for each in of for part in each.split("__"))
    return ": ".join(filter(None, (ABOUT[kind], title)))


def profile_picture(run: RunResult) -> bytes | None:
    """The share of problems solved by time, a step a method; None where the suite has no target."""
    found = profiles(run.cases)
    if not any(profile.points for profile in found):
        return None
    figure, axes = _axes()
    last = 1.1 * max(time for profile in found for time, _ in profile.points)
    for profile, style in zip(found, _styles([p.method for p in found]), strict=True):
        times = [0.0, *(time for time, _ in profile.points), last]
        shares = [0.0, *(100 * share for _, share in profile.points), 100 * profile.share(last)]
        axes.step(times, shares, where="post", label=profile.method, color=style.color, linestyle=style.linestyle)
    axes.set_ylim(-3, 103)
    axes.set_xlim(0, last)
    axes.set_xlabel("time, in units of the baseline's whole training")
    axes.set_ylabel("problems solved, %")
    targets = sorted({r.case.target_accuracy for r in run.cases if r.case.target_accuracy is not None})
    axes.set_title(f"Performance profiles: time to {' and '.join(f'{t:g} %' for t in targets)}", fontsize=11)
    return _finished(figure, axes)


def learning_rate_picture(searches: Sequence[Search], title: str) -> bytes | None:
    """Validation accuracy against learning rate, a line an optimizer; None where no learning rate was searched."""
    shown = [search for search in searches if search.space.get("lr") is not None and search.space["lr"].is_range]
    if not shown:
        return None
    figure, axes = _axes()
    for search, style in zip(shown, _styles([s.method for s in shown]), strict=True):
        points = sorted((float(a.params["lr"]), a.accuracy) for a in search.attempts if a.accuracy is not None)
        axes.plot(
            [lr for lr, _ in points], [y for _, y in points], label=search.method, markersize=5, **style._asdict()
        )
        gone = [float(a.params["lr"]) for a in search.attempts if a.accuracy is None]
        axes.plot(gone, [0.0] * len(gone), linestyle="", marker="x", color=style.color)
    if any(search.space["lr"].log for search in shown):
        axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("validation accuracy (%)")
    axes.set_title(f"Accuracy against learning rate: {title}\n× at 0: diverged or failed", fontsize=11)
    return _finished(figure, axes)


def attempts_picture(searches: Sequence[Search], title: str) -> bytes:
    """The best against how many were tried: expected, with quartiles, of random attempts; else as it went."""
    figure, axes = _axes()
    random = all(search.sampler == "random" for search in searches)
    lowest = 100.0
    for search, style in zip(searches, _styles([s.method for s in searches]), strict=True):
        values = [CHANCE if a.accuracy is None else a.accuracy for a in search.attempts]
        counts = [*range(1, len(values) + 1)]
        if random:
            expected = expected_best(values)
            means = [each.mean for each in expected]
            band = [each.low for each in expected], [each.high for each in expected]
            axes.fill_between(counts, *band, color=style.color, alpha=0.15, linewidth=0)
        else:
            means = best_so_far(values)
        axes.plot(counts, means, label=search.method, markersize=4, **style._asdict())
        lowest = min([lowest, *means[len(means) // 4 :]])
    axes.set_ylim(bottom=max(0.0, lowest - 5))  # the first few attempts would flatten all that follows
    axes.set_xlabel("attempts")
    axes.set_ylabel("best validation accuracy (%)")
    how = "expected of random attempts, band: quartiles" if random else "as the search went"
    axes.set_title(f"Best accuracy against number of attempts: {title}\n{how}", fontsize=11)
    return _finished(figure, axes)


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
