"""Compares the expectations of a suite with the results."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import case_figure, seed_figures
from benchmnist.metrics import IMAGES_PER_SECOND, TRAINING_TIMES, find_metric, judged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def missed(result: CaseResult) -> tuple[str, ...]:
    """Returns a sentence for each missed expectation; a seed without the figure misses it.

    Raises:
        BenchmnistError: if an expectation names an unknown metric.
    """
    sentences = []
    for key, comparison in result.case.expect.items():
        sign, number = re.split(r"(?<=[<>=]) *(?=\d)", comparison)
        holds, bound = OPERATORS[sign], float(number)
        metric = find_metric(key, judged(result.case.measures))
        seen = _seen(result, metric)
        wrong = {who: value for who, value in seen.items() if value is None or not holds(value, bound)}
        if wrong:
            figures = ", ".join(
                f"{'no value' if value is None else metric.text(value)} {who}".strip()
                for who, value in wrong.items()
            )
            why = " (trained in a stack, whose times are not judged)" if _is_share(result, metric) else ""
            sentences.append(f"expected {key} {comparison}, got {figures}{why}")
    return tuple(sentences)


def _seen(result: CaseResult, metric: Metric) -> Mapping[str, float | None]:
    """Returns the figure of the case, or of each seed, by owner in words."""
    if _is_share(result, metric):
        return {"": None}
    if metric.level == "case":
        figure = case_figure(result, metric)
        return {"": None if figure is None else figure.mean}
    found = seed_figures(result, metric)
    return {f"for seed {seed}": found.get(seed) for seed in result.case.seeds}


def _is_share(result: CaseResult, metric: Metric) -> bool:
    """Tells whether a metric is about times of a stack, of which each trial has an equal share."""
    return bool(result.stacks) and (metric in TRAINING_TIMES or metric == IMAGES_PER_SECOND)
