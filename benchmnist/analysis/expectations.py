"""What a suite expects of a case, held against what came out."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from benchmnist.analysis.figures import case_figure, seed_figures
from benchmnist.metrics import find_metric, judged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.metrics import Metric
    from benchmnist.runs.results import CaseResult

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def missed(result: CaseResult) -> tuple[str, ...]:
    """A sentence for each expectation that was not met; a seed that has no such figure has not met it.

    Raises:
        BenchmnistError: if something is expected of an unknown metric.
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
            sentences.append(f"expected {key} {comparison}, got {figures}")
    return tuple(sentences)


def _seen(result: CaseResult, metric: Metric) -> Mapping[str, float | None]:
    """The figure, by whose it is: of each seed, or of the case."""
    if metric.level == "case":
        figure = case_figure(result, metric)
        return {"": None if figure is None else figure.mean}
    found = seed_figures(result, metric)
    return {f"for seed {seed}": found.get(seed) for seed in result.case.seeds}
