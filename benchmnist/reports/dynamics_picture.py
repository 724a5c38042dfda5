"""The picture of the dynamics of a case: norms by layer over the steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmnist.reports.drawing import Figure
from benchmnist.reports.escaping import DRAWN_BESIDE, drawable
from benchmnist.reports.plots import log_axis, optimizer_styles, to_png
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.runs.results import CaseResult

SHOWN = {"gradient": "gradient norm", "ratio": "update / weights", "weight": "weight norm"}
"""The figures that are drawn, in words."""


def curves_of(result: CaseResult, figure: str) -> Mapping[str, Mapping[int, float]]:
    """Returns a figure of each layer by step, the mean over the seeds; what is 0 or not finite is left out."""
    values: dict[str, dict[int, list[float]]] = {}
    for each in (d for trial in result.trials for epoch in trial.epochs for d in epoch.dynamics):
        for layer, norms in each.layers.items():
            values.setdefault(layer, {}).setdefault(each.step, []).append(getattr(norms, figure) or math.nan)
    means = {
        layer: {step: math.fsum(each) / len(each) for step, each in sorted(steps.items())}
        for layer, steps in values.items()
    }
    return {layer: {step: y for step, y in steps.items() if math.isfinite(y)} for layer, steps in means.items()}


def has_dynamics(result: CaseResult) -> bool:
    """Tells whether the dynamics of a case were kept."""
    return any(epoch.dynamics for trial in result.trials for epoch in trial.epochs)


def dynamics_picture(result: CaseResult) -> bytes:
    """Draws the dynamics of a case, as PNG."""
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    each = figure.subplots(1, len(SHOWN), squeeze=False)[0]
    for axes, (name, words) in zip(each, SHOWN.items(), strict=True):
        curves = curves_of(result, name)
        styles = optimizer_styles([*curves])
        for layer, points in curves.items():
            label = drawable(layer, DRAWN_BESIDE)
            axes.plot([*points], [*points.values()], label=label, markersize=4, **styles[layer]._asdict())
        axes.set_xlabel("step")
        axes.set_title(words.capitalize(), fontsize=10)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if any(curves.values()):
            log_axis(axes)
    each[-1].legend(title="layer", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    seeds = f"mean of {counted(len(result.trials), 'seed')}"
    figure.suptitle(f"{drawable(result.id)}: norms by layer at each evaluation, {seeds}", fontsize=11)
    return to_png(figure)
