"""What a suite expects of a case, held against what came out."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from benchmnist.analysis.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.runs.results import CaseResult

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
SHOWN = {"accuracy": "{:.2f} %", "loss": "{:.4f}", "images_per_second": "{:,.0f}"}


def missed(result: CaseResult) -> tuple[str, ...]:
    """A sentence for each expectation that was not met; a seed that has no such figure has not met it."""
    sentences = []
    for metric, comparison in result.case.expect.items():
        sign, number = re.split(r"(?<=[<>=]) *(?=\d)", comparison)
        holds, bound = OPERATORS[sign], float(number)
        seen = _seen(result, metric)
        wrong = {who: value for who, value in seen.items() if value is None or not holds(value, bound)}
        if wrong:
            figures = ", ".join(
                f"{'nothing' if value is None else SHOWN[metric].format(value)} {who}".strip()
                for who, value in wrong.items()
            )
            sentences.append(f"expected {metric} {comparison}, saw {figures}")
    return tuple(sentences)


def _seen(result: CaseResult, metric: str) -> Mapping[str, float | None]:
    """The figure, by whose it is: of each seed, but for the speed, which is the case's."""
    if metric == "images_per_second":
        return {"": summarise(result).images_per_second}
    ended = {trial.seed: trial for trial in result.trials if trial.status == "completed"}
    return {
        f"for seed {seed}": None
        if seed not in ended
        else ended[seed].epochs[-1].test_accuracy
        if metric == "accuracy"
        else ended[seed].epochs[-1].train_loss
        for seed in result.case.seeds
    }
