"""Results that nobody trained: for tests that only look at what is made of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_support import component, make_case

from benchmnist.runs.results import (
    CaseResult,
    EpochResult,
    Evaluation,
    RunRecord,
    RunResult,
    Stack,
    TrialResult,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.models import ModelDescription
    from benchmnist.runs.results import Status
    from benchmnist.runs.searches import Search
    from benchmnist.suites.budgets import Ended
    from benchmnist.suites.cases import Case


def made_up_trial(seed: int, accuracy: float, *, loss: float, seconds: float) -> TrialResult:
    """One epoch of one seed."""
    epoch = EpochResult(
        epoch=1,
        seconds=seconds,
        train_loss=loss,
        step_losses=(),
        metrics={"test_loss": 1.0, "test_accuracy": accuracy},
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
            metrics={} if broken else {"test_loss": 3 - 2.8 * reached / 110, "test_accuracy": reached},
        )

    status: Status = "diverged" if diverged else "completed"
    outcomes = {seed: tuple(epoch(seed, n + 1) for n in range(epochs)) for seed in range(seeds)}
    trials = tuple(TrialResult(seed=seed, status=status, epochs=found) for seed, found in outcomes.items())
    return CaseResult(case=made, status=status, trials=trials, train_size=60_000, environment={"torch": "2"})


@cache
def _plain_case() -> Case:
    """What finds plugins is done once: simulations make many."""
    return make_case()


def seeds_result(
    model: str,
    method: str,
    accuracies: Sequence[float | None],
    *,
    epochs: int = 1,
    seconds: float | Sequence[float] = 1.0,
    lr: float = 0.1,
    first_seed: int = 0,
    steps: int = 10,
    **case: Any,
) -> CaseResult:
    """A case whose seeds end with these accuracies, having risen evenly; None diverged in the first epoch."""
    seeds = tuple(range(first_seed, first_seed + len(accuracies)))
    changed = {"id": f"mnist/{model}/{method}", "model": component(model), "optimizer": component(method)}
    made = _plain_case().model_copy(update={**changed, "epochs": epochs, "seeds": seeds, **case})
    each = [seconds] * len(accuracies) if isinstance(seconds, float) else seconds

    def trial(seed: int, accuracy: float | None, takes: float) -> TrialResult:
        there = [None if accuracy is None else accuracy * n / epochs for n in range(1, epochs + 1)]
        found = tuple(
            EpochResult(
                epoch=n,
                seconds=takes,
                train_loss=1.0 if reached is not None else float("nan"),
                step_losses=(),
                learning_rate=lr,
                metrics={} if reached is None else {"test_loss": 1.0, "test_accuracy": reached},
            )
            for n, reached in enumerate(there, 1)
        )
        whole = accuracy is not None
        return TrialResult(
            seed=seed, status="completed" if whole else "diverged", epochs=found if whole else found[:1]
        )

    trials = tuple(trial(s, a, t) for s, a, t in zip(seeds, accuracies, each, strict=True))
    status: Status = "diverged" if None in accuracies else "completed"
    return CaseResult(case=made, status=status, trials=trials, train_size=1000, steps=steps)


def course_result(
    method: str,
    losses: Sequence[Sequence[float]],
    *,
    every: int = 50,
    seconds: float = 0.1,
    ended: Sequence[Ended] = (),
    **case: Any,
) -> CaseResult:
    """A case of one epoch, evaluated every so many steps: a test loss for each evaluation of each seed.

    Its accuracy is 100 % less ten times its loss; a step takes so many seconds.
    """
    steps = every * max(map(len, losses))
    endings = dict(enumerate(ended))

    def trial(seed: int, there: Sequence[float]) -> TrialResult:
        evaluations = tuple(
            Evaluation(
                step=every * n,
                seconds=seconds * every * n,
                train_loss=loss,
                metrics={"test_loss": loss, "test_accuracy": 100 - 10 * loss},
            )
            for n, loss in enumerate(there, 1)
        )
        made = every * len(there)
        epoch = EpochResult(
            epoch=1,
            seconds=seconds * made,
            train_loss=there[-1],
            step_losses=(),
            learning_rate=0.1,
            metrics=evaluations[-1].metrics,
            evaluations=evaluations,
            steps=None if made == steps else made,
        )
        return TrialResult(seed=seed, status="completed", epochs=(epoch,), ended=endings.get(seed, "budget"))

    changed = {"id": f"mnist/fc/{method}", "model": component("fc"), "optimizer": component(method)}
    own = {"epochs": 1, "seeds": tuple(range(len(losses))), "evaluate_every": every, **case}
    return CaseResult(
        case=_plain_case().model_copy(update={**changed, **own}),
        status="completed",
        trials=tuple(trial(seed, there) for seed, there in enumerate(losses)),
        train_size=100 * steps,
        steps=steps,
    )


def made_up_run(
    results: Sequence[CaseResult],
    *,
    title: str = "Made up",
    suite_text: str = "",
    version: str = "1",
    models: Sequence[ModelDescription] = (),
    searches: Sequence[Search] = (),
    order: str = "interleaved",
) -> RunResult:
    """A run that ended with those results."""
    record = RunRecord(
        benchmnist=version,
        suite="made-up",
        title=title,
        suite_file="made-up.toml",
        suite_text=suite_text,
        plan=tuple(result.case for result in results),
        models=tuple(models),
        searches=tuple(searches),
        options={"order": order},
        status="completed",
        started="2026-11-24T00:00:00+00:00",
    )
    return RunResult(path=Path("runs/made-up/20261124-000000-aaaa"), record=record, cases=tuple(results))


def in_a_stack(*results: CaseResult) -> list[CaseResult]:
    """The same, as if all of their trials had been trained in one stack."""
    stack = Stack.of((result.case, trial.seed) for result in results for trial in result.trials)
    return [
        result.model_copy(
            update={
                "engine": "stacked",
                "trials": tuple(trial.model_copy(update={"stack": stack}) for trial in result.trials),
            }
        )
        for result in results
    ]


def level_result(
    problem: str, rung: int | None, method: str, losses: Sequence[Sequence[float]], *, level: str = "", **case: Any
) -> CaseResult:
    """A case of a level of a problem with a target loss of 0.1, evaluated every 25 steps; None has no levels."""
    name = level or f"1e{rung}" if rung is not None else None
    parts = {
        kind: component(use).model_copy(update={"name": problem, "variant": name or ""})
        for kind, use in (("dataset", "noise"), ("model", "valley"))
    }
    at = {"problem": problem, "level": name, "rung": rung, "id": "/".join(filter(None, (problem, name, method)))}
    aim = {"target_loss": 0.1, "stop_at_target": True, "baseline": "sgd"}
    made = course_result(method, losses, every=25)
    return made.model_copy(update={"case": made.case.model_copy(update={**parts, **at, **aim, **case})})
