"""What is concluded from a run is computed once, whoever asks for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from made_up import made_up_run, seeds_result

from benchmnist.analysis import analysis as module
from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.verdicts import judge
from benchmnist.reports import write_report
from benchmnist.reports.columns import Columns
from benchmnist.reports.extra_tables import EXTRA_TABLES
from benchmnist.reports.records import records
from benchmnist.reports.tables import cells, render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

NAMES = ("summarise_all", "judge", "findings", "noise_floors", "times_to_target", "profiles", "full_grid")


def metric(arguments: tuple[Any, ...]) -> str:
    """Returns the metric that `judge` was asked for."""
    return str(getattr(arguments[1], "key", "")) if len(arguments) > 1 else ""


def test_a_whole_report_computes_each_conclusion_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., Any]:
        original = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            seen[f"{name} {metric(arguments)}".strip()] += 1
            return original(*arguments, **options)

        return counted

    for name in NAMES:
        monkeypatch.setattr(module, name, counting(name))
    values = {"sgd": [90.0, 90.1, 90.2], "adam": [97.0, 97.1, 97.2]}
    results = [
        seeds_result("fc", method, accuracies, baseline="sgd", target_accuracy=95.0)
        for method, accuracies in values.items()
    ]
    run = made_up_run(results).model_copy(update={"path": tmp_path})
    analysis = Analysis(run)
    write_report(analysis)
    for make in EXTRA_TABLES.values():
        make(analysis)
    render(analysis, "markdown")
    records(analysis)
    times = {"judge epoch_seconds", "judge target_steps", "judge target_seconds"}
    asked = {"judge train_loss", *times}  # the accuracy is the primary one
    assert seen == Counter({*NAMES, *asked})
    assert [(v.one, v.other, v.word) for v in analysis.verdicts()] == [
        (v.one, v.other, v.word) for v in judge(run.cases)
    ]
    assert analysis.verdicts("train_loss")[0].metric.key == "train_loss"
    assert seen == Counter({*NAMES, *asked}) + Counter(["judge"])  # of these asked for by name


def test_what_is_shown_of_a_part_is_concluded_from_the_whole() -> None:
    """A family of comparisons that is chosen after the results is too small."""
    rng = np.random.default_rng(0)
    run = made_up_run(
        [seeds_result("fc", f"m{i}", rng.normal(97, 0.2, 5).tolist(), baseline="m0") for i in range(9)]
    )
    whole, part = Analysis(run), Analysis(run, {"mnist/fc/m3"})
    columns = [*Columns(run.cases)]
    assert cells(part.summaries, columns, part) == {
        "mnist/fc/m3": cells(whole.summaries, columns, whole)["mnist/fc/m3"]
    }
