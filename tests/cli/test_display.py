"""The displays of an epoch under way."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from training_support import make_case

from benchmnist.cli.display import Display, LiveDisplay, Silent, make_display
from benchmnist.cli.training import PROGRESS
from benchmnist.runs.results import EpochResult, Evaluation

STEPS = (20, 40, 60, 80)
CASE = make_case(evaluate_every=20, epochs=1)  # of 90 steps
METRICS = {"test_accuracy": 50.0, "test_loss": 1.0}
WITHIN = [Evaluation(step=step, seconds=step / 10, train_loss=1.0, metrics=METRICS) for step in STEPS]
AFTER = Evaluation(step=90, seconds=9.0, train_loss=1.0, metrics=METRICS)
EPOCH = EpochResult(
    epoch=1, seconds=9.0, train_loss=1.0, step_losses=(), metrics=METRICS, evaluations=(*WITHIN, AFTER)
)
LINES = [f"seed 0, step {step} of 90: loss 1.0000, accuracy 50.00 %, {step / 10:.3g} s" for step in STEPS]


def shown_on(kind: type[Display]) -> tuple[Display, io.StringIO]:
    output = io.StringIO()
    display = kind(Console(file=output, width=120, height=24), verbose=False)
    display.cases, display.steps = (CASE,), {CASE.id: 90}
    display.case_started(CASE)
    return display, output


@given(st.sets(st.integers(0, len(STEPS) - 1)))
def test_each_evaluation_has_one_line_whichever_are_told_as_they_happen(told: set[int]) -> None:
    display, output = shown_on(Display)
    for index in sorted(told):
        display.evaluation_ended(CASE, 0, WITHIN[index])
    assert output.getvalue().count("step") == len(told)
    display.epoch_ended(CASE, 0, EPOCH)
    _, *lines, last = output.getvalue().splitlines()
    others = [index for index in range(len(STEPS)) if index not in told]
    assert [line.strip() for line in lines] == [LINES[index] for index in (*sorted(told), *others)]
    assert "epoch 1/1" in last


@pytest.mark.parametrize("progress", PROGRESS)
def test_progress_is_shown_as_it_is_asked_for(progress: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    for terminal, kind in ((True, LiveDisplay), (False, Display)):
        console = Console(file=output, width=120, force_terminal=terminal)
        monkeypatch.setattr("benchmnist.cli.display.progress_console", lambda console=console: console)
        display = make_display(verbose=True, progress=progress)
        assert type(display) is {"auto": kind, "lines": Display, "none": Silent}[progress]
    if progress == "none":
        display.case_started(CASE)
        display.evaluation_ended(CASE, 0, WITHIN[0])
        display.epoch_ended(CASE, 0, EPOCH.model_copy(update={"step_losses": ((1, 1.0),)}))
    assert output.getvalue() == ""


def test_the_live_display_shows_the_last_evaluation_and_advances_with_it() -> None:
    display, _ = shown_on(LiveDisplay)
    assert isinstance(display, LiveDisplay)
    display.weights = {CASE.id: 3.0}
    display.begin()
    (overall,) = display.progress.tasks
    for evaluation, line in zip(WITHIN, LINES, strict=True):
        display.evaluation_ended(CASE, 0, evaluation)
        assert display.workers(5) == [f"{CASE.id}: {line}"]
        assert overall.completed == pytest.approx(3 * evaluation.step / 90)
    display.evaluation_ended(CASE, 0, WITHIN[0])  # the task was begun anew elsewhere
    assert overall.completed == pytest.approx(3 * 20 / 90)
    display.epoch_ended(CASE, 0, EPOCH)
    assert overall.completed == overall.total == pytest.approx(3)
