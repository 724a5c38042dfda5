"""Suites as pytest tests: a suite is a file, a case is an item, an epoch of training is a benchmark round.

Only pytest is imported at the top: a pytest run that has nothing to do with us must not pay for us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Executor
    from benchmnist.plan import Plan
    from benchmnist.results import CaseResult, EpochResult, Status
    from benchmnist.training.preflight import Work


class Observer(Protocol):
    """Is told what happens, as it happens: a display, a store."""

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        """A run of these cases begins, in that folder; `work` is by case id."""

    def case_started(self, case: Case) -> None:
        """A case is about to be trained."""

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        """An epoch was trained and tested."""

    def case_ended(self, result: CaseResult) -> None:
        """A case ended, in whatever way."""


@dataclass(frozen=True)
class Harness:
    """What a session runs: given in the config's stash by whoever starts the session."""

    plan: Plan
    observer: Observer
    executor: Executor | None = None  # None where cases are only collected


HARNESS = pytest.StashKey[Harness]()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The suite that the session was started for is a test file."""
    harness = parent.config.stash.get(HARNESS, None)
    if harness is None or file_path.suffix != ".toml":
        return None
    file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    return file


class SuiteFile(pytest.File):
    """A suite: one item a case."""

    def collect(self) -> Iterator[pytest.Item]:
        """The cases of the plan, in its order."""
        harness = self.config.stash[HARNESS]
        for case in harness.plan.cases:
            item: CaseItem = CaseItem.from_parent(self, name=case.id, callobj=_Training(case, harness))
            yield item


class CaseItem(pytest.Function):
    """A case: asks for pytest-benchmark's fixture, whose clock shows the training time and nothing else."""

    obj: _Training

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_marker(pytest.mark.benchmark(timer=self.obj.clock, warmup=False, group=self.obj.case.model.label))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The line of the suite that asks for the case, counted from 0."""
        line = self.obj.case.line
        return self.path, line - 1 if line else None, self.name


class _NoMoreEpochs(Exception):  # noqa: N818 - not an error
    """A case has fewer rounds than it was planned to have: a trial diverged or failed."""


class _Training:
    """The test function of a case: every epoch is one round of `benchmark.pedantic`.

    The clock is a replay (the documented `timer` of pytest-benchmark): it advances by what each epoch measured
    of itself, between two synchronisations of the device, wherever it was trained. So what pytest-benchmark
    reports is exactly what the results say.
    """

    def __init__(self, case: Case, harness: Harness) -> None:
        self.case, self.harness = case, harness
        self.trained_seconds = 0.0
        self.seen: list[tuple[int, EpochResult]] = []

    def clock(self) -> float:
        """The seconds of training so far."""
        return self.trained_seconds

    def __call__(self, benchmark: Any) -> None:
        from benchmnist.errors import TrialError
        from benchmnist.executors import Walk

        assert self.harness.executor is not None  # noqa: S101 - the session was not started to collect only
        self.harness.observer.case_started(self.case)
        walk = Walk(self.harness.executor.epochs(self.case), self._tell)

        def next_epoch() -> tuple[tuple[Epoch], dict[str, Any]]:
            epoch = walk.next()
            if epoch is None:
                raise _NoMoreEpochs
            return (epoch,), {}

        try:
            try:
                benchmark.pedantic(self._train, setup=next_epoch, rounds=self.case.rounds)
                while True:  # with --benchmark-disable pedantic runs one round only, and some are left
                    (epoch,), _ = next_epoch()
                    self._train(epoch)
            except _NoMoreEpochs:
                assert walk.result is not None  # noqa: S101 - there are no more epochs
                result = walk.result
        except BaseException:  # Ctrl-C among them, which pytest-benchmark does not notice
            benchmark.has_error = True
            walk.epochs.close()
            self.harness.observer.case_ended(self._interrupted())
            raise
        benchmark.has_error = result.status == "failed" or not self.seen
        benchmark.extra_info.update(_extra_info(result))
        self.harness.observer.case_ended(result)
        if result.status == "failed":
            raise TrialError(result.error)

    def _train(self, epoch: Epoch) -> None:
        epoch.run()
        self.trained_seconds += epoch.seconds

    def _tell(self, seed: int, result: EpochResult) -> None:
        self.seen.append((seed, result))
        self.harness.observer.epoch_ended(self.case, seed, result)

    def _interrupted(self) -> CaseResult:
        """What was trained before the interruption."""
        from benchmnist.results import CaseResult, TrialResult

        trials = []
        for seed in dict.fromkeys(seed for seed, _ in self.seen):
            epochs = tuple(epoch for owner, epoch in self.seen if owner == seed)
            diverged = epochs[-1].test_loss is None
            whole: Status = (
                "diverged" if diverged else "completed" if len(epochs) == self.case.epochs else "interrupted"
            )
            trials.append(TrialResult(seed=seed, status=whole, epochs=epochs))
        return CaseResult(case=self.case, status="interrupted", trials=tuple(trials))


def _extra_info(result: CaseResult) -> dict[str, Any]:
    """What a maintainer wants beside the times; None where there is no finite figure, since JSON has no NaN."""
    from benchmnist.analysis.summary import summarise

    summary = summarise(result)
    return {
        "dataset": result.case.dataset.label,
        "model": result.case.model.label,
        "optimizer": result.case.optimizer.label,
        "status": result.status,
        "epochs": result.case.epochs,
        "seeds": list(result.case.seeds),
        "batch_size": result.case.batch_size,
        "accuracy": summary.accuracy,
        "train_loss": summary.train_loss,
        "images_per_second": summary.images_per_second,
        "engine": result.engine,
        "device": result.environment.get("device"),
    }
