"""Trains single cases without a session: what the tests of the training share."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.execution.dispatch import Dispatcher, Observer
from benchmnist.executors import Deadlines, local
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import CLASSIFICATION
from benchmnist.suites.cases import Case, Component
from benchmnist.training.data import Datasets, default_data_root
from benchmnist.training.device import DeviceSession
from benchmnist.training.fast_paths import Setting
from benchmnist.training.loop import train_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pytest

    from benchmnist.executors import Executor
    from benchmnist.runs.results import CaseResult, EpochResult, Evaluation
    from benchmnist.training.loop import Keep, PendingEpoch


def component(name: str, **params: Any) -> Component:
    return Component(name=name, use=name, params=params, distribution="benchmnist", version="0")


def make_case(**options: Any) -> Case:
    """A case on a slice of MNIST, with the task of the model; models and optimizers by name, or as components."""
    named = {
        kind: component(value) if isinstance(value, str) else value
        for kind, default in (("dataset", "mnist"), ("model", "fc"), ("optimizer", "sgd"))
        for value in [options.pop(kind, default)]
    }
    spec = find_plugins().optimizers[named["optimizer"].use].spec
    defaults = {**spec.defaults, **named["optimizer"].params}
    named["optimizer"] = named["optimizer"].model_copy(update={"params": defaults})
    models = find_plugins().models
    if named["model"].use in models and (task := models[named["model"].use].spec.task) != CLASSIFICATION:
        options = {"task": component(task), "evaluates": find_plugins().tasks[task].spec.metrics, **options}
    settings = {"epochs": 1, "batch_size": 50, "seeds": (0,), "train_size": 500, "test_size": 200, **options}
    return Case.model_validate({"id": "a/case", **named, **settings})


@cache
def built_in_datasets() -> Datasets:
    """One for all tests, so that MNIST is read and checked once."""
    return Datasets(find_plugins(), default_data_root())


def setting_of(case: Case, device: str = "cpu") -> Setting:
    registry = find_plugins()
    mnist = case.dataset.use == "mnist"
    dataset = (built_in_datasets() if mnist else Datasets(registry, default_data_root())).for_case(case)
    return Setting(case, registry, dataset, DeviceSession(torch.device(device)))


def epochs_of(setting: Setting, results: list[CaseResult], keep: Keep | None = None) -> Iterator[PendingEpoch]:
    """The epochs, each run once it has been looked at; the result is added to `results`."""
    training = train_case(setting, keep)
    while True:
        try:
            epoch = next(training)
        except StopIteration as stop:
            results.append(stop.value)
            return
        yield epoch
        epoch.run()


def result_of(case: Case, device: str = "cpu", keep: Keep | None = None) -> CaseResult:
    results: list[CaseResult] = []
    for _ in epochs_of(setting_of(case, device), results, keep):
        pass
    return results[0]


def losses(result: CaseResult) -> list[float]:
    """The loss of every recorded step and epoch, of every trial in order."""
    return [
        loss
        for trial in result.trials
        for epoch in trial.epochs
        for loss in (*(loss for _, loss in epoch.step_losses), epoch.train_loss, epoch.test_loss or 0.0)
    ]


class Limits(Deadlines):
    """Time limits that some cases have reached and no others ever will, however slow the machine is."""

    def __init__(self, reached: Callable[[Case], bool]) -> None:
        super().__init__(25.0)
        self.reached = reached

    def left(self, tasks: Iterable[Case]) -> float:
        """Nothing, of what has reached its limit; else a moment, after which it is asked again."""
        return 0.0 if any(map(self.reached, tasks)) else 0.05


def limit(monkeypatch: pytest.MonkeyPatch, reached: Callable[[Case], bool]) -> None:
    """Gives the executor `local` those limits, whatever it is told."""
    monkeypatch.setattr(local, "Deadlines", lambda _: Limits(reached))


class Told(Observer):
    def __init__(self) -> None:
        self.log: list[str] = []
        self.epochs: list[tuple[str, int, EpochResult]] = []
        self.evaluations: list[tuple[str, int, Evaluation]] = []
        self.ended: list[CaseResult] = []

    def case_started(self, case: Case) -> None:
        self.log.append(f"{case.id} started")

    def evaluation_ended(self, case: Case, seed: int, evaluation: Evaluation) -> None:
        self.log.append(f"{case.id} {seed}: {evaluation.step}")
        self.evaluations.append((case.id, seed, evaluation))

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        self.log.append(f"{case.id} {seed}.{result.epoch}")
        self.epochs.append((case.id, seed, result))

    def case_ended(self, result: CaseResult) -> None:
        self.log.append(f"{result.id} {result.status}")
        self.ended.append(result)


def execute(executor: Executor, *cases: Case) -> tuple[list[CaseResult], Told]:
    """As a session does it."""
    told, results = Told(), []
    dispatcher = Dispatcher(executor, told)
    dispatcher.expect(cases)
    for case in cases:
        epochs = dispatcher.epochs(case)
        while True:
            try:
                next(epochs).run()
            except StopIteration as stop:
                results.append(stop.value)
                break
    return results, told
