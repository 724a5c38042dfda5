"""Results that nobody trained: for tests that only look at what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from training_support import component, make_case

from benchmnist.results import CaseResult, EpochResult, RunRecord, RunResult, TrialResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.results import Status


def made_up_trial(seed: int, accuracy: float, *, loss: float, seconds: float) -> TrialResult:
    """One epoch of one seed."""
    epoch = EpochResult(
        epoch=1, seconds=seconds, train_loss=loss, step_losses=(), test_loss=1.0, test_accuracy=accuracy
    )
    return TrialResult(seed=seed, status="completed", epochs=(epoch,))


def made_up_result(
    model: str,
    optimizer: str,
    accuracy: float,
    *,
    dataset: str = "mnist",
    epochs: int = 1,
    seeds: int = 2,
    baseline: str | None = None,
    diverged: bool = False,
) -> CaseResult:
    """A case that gets better with every epoch, up to that accuracy; each seed a little other than the last."""
    made = make_case(
        id=f"{dataset}/{model}/{optimizer}", dataset=dataset, model=model, epochs=epochs, seeds=tuple(range(seeds))
    ).model_copy(update={"optimizer": component(optimizer), "baseline": baseline})

    def epoch(seed: int, number: int) -> EpochResult:
        reached = accuracy * number / epochs + seed / 10
        broken = diverged and number == epochs
        return EpochResult(
            epoch=number,
            seconds=accuracy / 10,
            train_loss=float("nan") if broken else 3 - 2.9 * reached / 110,
            step_losses=(),
            learning_rate=0.1,
            test_loss=None if broken else 3 - 2.8 * reached / 110,
            test_accuracy=None if broken else reached,
        )

    status: Status = "diverged" if diverged else "completed"
    outcomes = {seed: tuple(epoch(seed, n + 1) for n in range(epochs)) for seed in range(seeds)}
    trials = tuple(TrialResult(seed=seed, status=status, epochs=found) for seed, found in outcomes.items())
    return CaseResult(case=made, status=status, trials=trials, train_size=60_000, environment={"torch": "2"})


def made_up_run(
    results: Sequence[CaseResult], *, title: str = "Made up", suite_text: str = "", version: str = "1"
) -> RunResult:
    """A run that ended with those results."""
    record = RunRecord(
        benchmnist=version,
        suite="made-up",
        title=title,
        suite_file="made-up.toml",
        suite_text=suite_text,
        plan=tuple(result.case for result in results),
        status="completed",
        started="2026-11-24T00:00:00+00:00",
    )
    return RunResult(path=Path("runs/made-up/20261124-000000-aaaa"), record=record, cases=tuple(results))
