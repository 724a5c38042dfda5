from __future__ import annotations

import math
from typing import Any

import pytest
from training_support import component, make_case

from benchmnist.analysis.summary import summarise, summarise_all
from benchmnist.runs.results import CaseResult, EpochResult, TrialResult


def trial(
    seed: int, accuracies: list[float | None], losses: list[float] | None = None, **options: Any
) -> TrialResult:
    epochs = tuple(
        EpochResult(
            epoch=i + 1,
            seconds=options.get("seconds", 1.0) * (i + 1),
            train_loss=(losses or [0.5] * len(accuracies))[i],
            step_losses=(),
            metrics={} if accuracy is None else {"test_accuracy": accuracy, "test_loss": 0.1},
        )
        for i, accuracy in enumerate(accuracies)
    )
    return TrialResult(seed=seed, status=options.get("status", "completed"), epochs=epochs)


def case(*trials: TrialResult, optimizer: str = "adam", **options: Any) -> CaseResult:
    status = options.pop("status", "completed")
    made = make_case(optimizer=component(optimizer), seeds=tuple(t.seed for t in trials), **options)
    return CaseResult(
        case=made.model_copy(update={"id": f"mnist/fc/{optimizer}"}), status=status, trials=trials, train_size=600
    )


def test_the_figures_of_a_case() -> None:
    summary = summarise(case(trial(0, [90.0, 96.0], [0.5, 0.2]), trial(1, [99.0, 98.0], [0.5, 0.4])))
    assert summary.accuracy == 97.0
    assert summary.figures["accuracy"].std == pytest.approx(math.sqrt(2))
    assert summary.best == 99.0
    assert summary.mean("train_loss") == pytest.approx(0.3)
    assert summary.mean("epoch_seconds") == 1.5  # the median of 1, 2, 1, 2
    assert summary.mean("images_per_second") == 400
    assert (summary.speedup, summary.gain, summary.status) == (None, None, "ok")


def test_one_seed_has_no_deviation() -> None:
    assert summarise(case(trial(0, [90.0]))).figures["accuracy"].std is None


def test_the_baseline_is_compared_seed_by_seed() -> None:
    baseline = case(trial(0, [90.0]), trial(1, [80.0]), optimizer="sgd", baseline="sgd")
    other = case(trial(1, [85.0], seconds=2.0), trial(7, [10.0], seconds=2.0), baseline="sgd")
    first, second = summarise_all([baseline, other])
    assert (first.gain, first.speedup) == (0.0, 1.0)
    assert (second.gain, second.speedup) == (5.0, 0.5)  # only seed 1 is in both


def test_a_baseline_counts_only_on_the_same_model() -> None:
    baseline = case(trial(0, [90.0]), optimizer="sgd", baseline="sgd", model="cnn")
    other = case(trial(0, [85.0]), baseline="sgd")
    assert summarise_all([baseline, other])[1].gain is None


def test_a_diverged_trial_says_so_and_counts_for_nothing_else() -> None:
    diverged = trial(1, [None], [math.nan], status="diverged")
    summary = summarise(case(trial(0, [90.0], [0.25]), diverged, status="diverged"))
    assert summary.status == "diverged 1/2"
    assert (summary.accuracy, summary.mean("train_loss")) == (90.0, 0.25)


@pytest.mark.parametrize(("status", "shown"), [("failed", "failed"), ("interrupted", "stopped")])
def test_a_case_without_trials(status: str, shown: str) -> None:
    summary = summarise(case(status=status))
    assert summary.status == shown
    assert (
        summary.accuracy
        is summary.mean("epoch_seconds")
        is summary.mean("images_per_second")
        is summary.mean("train_loss")
        is None
    )


def test_of_a_case_that_was_cut_short_the_speed_is_not_known() -> None:
    cut_short = case(trial(0, [90.0]), status="interrupted").model_copy(update={"train_size": 0})
    summary = summarise(cut_short)
    assert (summary.mean("epoch_seconds"), summary.mean("images_per_second")) == (1.0, None)
