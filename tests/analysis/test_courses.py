from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import course_result, made_up_result, made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.courses import across, examples, is_fine, mean_course, points
from benchmnist.analysis.figures import case_figure, mean_curve
from benchmnist.metrics import EPOCH_SECONDS, find_metric
from benchmnist.reports.records import records

LOSS = find_metric("test_loss")


@given(st.integers(1, 4), st.integers(1, 3))
def test_without_evaluations_within_epochs_a_course_is_the_curve_of_its_epochs(epochs: int, seeds: int) -> None:
    result = made_up_result("fc", "adam", 90.0, epochs=epochs, seeds=seeds).model_copy(update={"steps": 7})
    found = mean_course(result, LOSS)
    assert [each.step for each in found] == [7 * (n + 1) for n in range(epochs)]
    assert [(each.mean, each.std) for each in found] == mean_curve(result, LOSS)
    assert [each.seconds for each in found] == pytest.approx([9.0 * (n + 1) for n in range(epochs)])
    assert not is_fine(result)


def test_steps_and_seconds_go_on_over_epochs_and_a_last_one_that_is_cut_short() -> None:
    result = seeds_result("fc", "adam", [90.0], epochs=3, steps=10, seconds=2.0)
    (trial,) = result.trials
    cut = trial.model_copy(
        update={"epochs": (*trial.epochs[:2], trial.epochs[2].model_copy(update={"steps": 5, "seconds": 1.0}))}
    )
    assert [(p.epoch, p.step, p.seconds) for p in points(cut, 10)] == [(1, 10, 2.0), (2, 20, 4.0), (3, 25, 5.0)]
    result = result.model_copy(update={"trials": (cut,)})
    assert case_figure(result, EPOCH_SECONDS) == (2.0, None)  # of whole epochs
    only = cut.model_copy(update={"epochs": cut.epochs[2:]})
    assert case_figure(result.model_copy(update={"trials": (only,)}), EPOCH_SECONDS) == (2.0, None)


@given(st.integers(0, 70))
def test_examples_seen_are_those_of_whole_steps_but_for_the_last_of_an_epoch(step: int) -> None:
    result = seeds_result("fc", "adam", [90.0], batch_size=150).model_copy(update={"steps": 7})
    assert examples(result, step) == sum(100 if each % 7 == 6 else 150 for each in range(step))
    assert across(result, "epochs", step, 0.0) == step / 7
    assert across(result, "seconds", step, 3.0) == 3.0


def test_a_trial_that_stopped_keeps_its_value_and_one_that_diverged_does_not() -> None:
    """Else the mean would be that of the slow ones."""
    result = course_result("adam", [[3.0, 1.0], [3.0, 2.0, 1.5, 1.0]], ended=["target"], stop_at_target=True)
    assert [each.mean for each in mean_course(result, LOSS)] == [3.0, 1.5, 1.25, 1.0]
    assert [each.seconds for each in mean_course(result, LOSS)] == pytest.approx([5.0, 10.0, 15.0, 20.0])
    gone = result.trials[0].model_copy(update={"ended": "budget", "status": "diverged"})
    result = result.model_copy(update={"trials": (gone, result.trials[1])})
    assert [each.mean for each in mean_course(result, LOSS)] == [3.0, 1.5, 1.5, 1.0]


def test_there_is_a_row_for_each_evaluation() -> None:
    result = course_result("adam", [[3.0, 2.0]], every=10)
    rows = records(Analysis(made_up_run([result])), "evaluation").rows
    keys = ("seed", "epoch", "step", "seconds", "examples", "test_loss", "accuracy", "train_loss")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (0, 1, 10, 1.0, 10 * result.case.batch_size, 3.0, 70.0, 3.0),
        (0, 1, 20, 2.0, 2000, 2.0, 80.0, 2.0),
    ]
    after_epochs = made_up_result("fc", "adam", 90.0, epochs=2, seeds=1)
    rows = records(Analysis(made_up_run([after_epochs])), "evaluation").rows
    assert [(row["epoch"], row["step"], row["seconds"]) for row in rows] == [(1, None, 9.0), (2, None, 18.0)]
    assert all(math.isfinite(row["accuracy"]) for row in rows)
