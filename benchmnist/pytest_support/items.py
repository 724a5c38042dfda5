"""A suite as a test file, a case as an item of it. Only pytest is imported at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmnist.pytest_support import benchmark_api
from benchmnist.pytest_support.harness import ENVIRONMENT, HARNESS, Harness, own_harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmnist.execution.dispatch import Dispatcher
    from benchmnist.executors import Epoch
    from benchmnist.runs.results import CaseResult, EpochResult
    from benchmnist.suites.cases import Case


class SuiteFile(pytest.File):
    """A suite, with one item per case."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yields the cases of the plan, in its order."""
        harness = self.config.stash.get(HARNESS, None) or own_harness(self.config, self.path)
        for case in harness.plan.cases:
            item: CaseItem = CaseItem.from_parent(
                self, name=case.id, callobj=CaseTraining(case, harness, self.config).train
            )
            yield item

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """Returns the problems of a suite, one per line, without a traceback."""
        return _in_words(excinfo) or super().repr_failure(excinfo)


def _in_words(excinfo: pytest.ExceptionInfo[BaseException]) -> str | None:
    """Returns the message of our own errors, which need no traceback."""
    from benchmnist.errors import BenchmnistError

    return str(excinfo.value) if isinstance(excinfo.value, BenchmnistError) else None


class CaseItem(pytest.Function):
    """A case, which uses the fixture of pytest-benchmark with a clock of the pure training time."""

    def __init__(self, *, callobj: Callable[[Any], None], **options: Any) -> None:
        super().__init__(callobj=callobj, **options)
        case = self.training.case
        self.add_marker(pytest.mark.benchmark(timer=self.training.clock, warmup=False, group=case.model.label))
        for name in case.marks:
            self.config.addinivalue_line("markers", f"{name}: declared in {self.path.name}")
            self.add_marker(getattr(pytest.mark, name))

    @property
    def training(self) -> CaseTraining:
        """Training of the case, whose method pytest calls."""
        training: CaseTraining = self.obj.__self__
        return training

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Returns the line of the suite that declares the case, counted from 0."""
        line = self.training.case.line
        return self.path, line - 1 if line else None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """Returns the traceback of the training, without ours, or the missed expectations in words."""
        return _in_words(excinfo) or super().repr_failure(excinfo)


class _NoMoreEpochs(Exception):  # noqa: N818 - not an error
    """Raised if a case has fewer rounds than planned because a trial diverged or failed."""


class CaseTraining:
    """A case, whose `train` is a test function: every epoch is one round of `benchmark.pedantic`.

    The clock is a replay (the documented `timer` of pytest-benchmark): it advances by what each epoch measured
    of itself, between two synchronisations of the device, wherever it was trained. So what pytest-benchmark
    reports is exactly what the results say.
    """

    def __init__(self, case: Case, harness: Harness, config: pytest.Config) -> None:
        self.case, self.harness, self.config = case, harness, config
        self.trained_seconds = 0.0
        self.measured: dict[str, Any] | None = None  # for xdist: what the main process has to know

    def clock(self) -> float:
        """Returns the seconds of training so far."""
        return self.trained_seconds

    def train(self, benchmark: Any) -> None:
        """Trains the case; called by pytest."""
        from benchmnist.errors import ExpectationError, TrialError

        assert self.harness.dispatcher is not None  # noqa: S101 - the session was not started to collect only
        benchmark_api.name(benchmark, self.case.id, _params(self.case))
        try:
            result, rounds = self._train(benchmark, self.harness.dispatcher)
        except BaseException:  # Ctrl-C among them, which pytest-benchmark does not notice
            benchmark_api.mark_error(benchmark)
            self._keep(benchmark, self.harness.dispatcher.interrupt())
            raise
        failed = result.failed or not rounds
        benchmark_api.mark_error(benchmark, failed=failed)
        benchmark.extra_info.update(_extra_info(result, rounds))
        if result.shares_times:
            benchmark_api.regroup(benchmark, _group(result))
        self.config.stash[ENVIRONMENT] = result.environment
        if not failed:
            self.measured = _measured(result, rounds)
        if result.failed:
            raise TrialError(result.error)
        if result.misses:
            raise ExpectationError("\n".join(result.misses))

    def _train(self, benchmark: Any, dispatcher: Dispatcher) -> tuple[CaseResult, list[tuple[int, EpochResult]]]:
        """Trains every epoch, as many of them as pytest-benchmark wants under its clock.

        Returns the result of the case, and the seed and the result of each epoch in the order of the rounds. The
        epochs themselves are let go: each holds on to its model and its images, and a session to its items.
        """
        epochs = dispatcher.epochs(self.case)
        result: CaseResult | None = None
        ran: list[Epoch] = []

        def next_epoch() -> tuple[tuple[Epoch], dict[str, Any]]:
            nonlocal result
            try:
                epoch = next(epochs)
            except StopIteration as stop:
                result = stop.value or result  # an exhausted generator has no value any more
                if len(ran) == self.case.rounds and benchmark_api.makes_a_profile(benchmark):
                    return (ran[-1],), {}  # --benchmark-cprofile asks for one more than there are
                raise _NoMoreEpochs from None
            ran.append(epoch)
            return (epoch,), {}

        try:
            benchmark.pedantic(self._run, setup=next_epoch, rounds=self.case.rounds)
            while result is None:  # with --benchmark-disable pedantic runs one round only, and some are left
                (epoch,), _ = next_epoch()
                self._run(epoch)
        except _NoMoreEpochs:
            pass
        except BaseException:
            epochs.close()
            raise
        assert result is not None  # noqa: S101 - there are no more epochs
        given_up = [number for number, epoch in enumerate(ran[:-1], 1) if epoch.result is None]
        last = ran[given_up[-1] if given_up else 0 :]
        if given_up:  # the case was begun anew: the rounds before do not count
            benchmark_api.keep_rounds(benchmark, [epoch.seconds for epoch in last if epoch.result is not None])
        return result, [(epoch.seed, epoch.result) for epoch in last if epoch.result is not None]

    def _keep(self, benchmark: Any, interrupted: list[CaseResult]) -> None:
        """Adds the rounds of an interrupted session: of this case, and of those that it has not come to."""
        if hasattr(self.config, "workerinput"):  # the main process of xdist writes the file
            return
        suite = benchmark_api.full_name(benchmark).removesuffix(self.case.id)
        for result in interrupted:
            rounds = [(trial.seed, epoch) for trial in result.trials for epoch in trial.epochs]
            if rounds and not result.failed:
                self.config.stash[ENVIRONMENT] = result.environment or self.config.stash.get(ENVIRONMENT, {})
                benchmark_api.replay(self.config, f"{suite}{result.id}", _measured(result, rounds))

    def _run(self, epoch: Epoch) -> None:
        epoch.run()
        self.trained_seconds += epoch.seconds


def _params(case: Case) -> dict[str, str]:
    """Returns the values for `--benchmark-group-by=param:model`."""
    return {
        "dataset": case.dataset.label,
        "model": case.model.label,
        "optimizer": case.method,
        **({"problem": case.dataset.label} if case.problem else {}),
    }


def _measured(result: CaseResult, rounds: Sequence[tuple[int, EpochResult]]) -> dict[str, Any]:
    """Returns the rounds of a case as `benchmark_api.replay` needs them, also in another process."""
    return {
        "params": _params(result.case),
        "seconds": [epoch.seconds for _, epoch in rounds],
        "extra_info": _extra_info(result, rounds),
        "group": _group(result),
        "environment": result.environment,
    }


def _extra_info(result: CaseResult, rounds: Sequence[tuple[int, EpochResult]]) -> dict[str, Any]:
    """Returns the figures to track beside the times; None for one that is not finite, as JSON has no NaN."""
    from benchmnist.analysis.summary import summarise
    from benchmnist.metrics import judged

    summary = summarise(result)
    reference = [epoch.reference_seconds for _, epoch in rounds]
    return {
        **_params(result.case),
        "status": result.status,
        "epochs": result.case.epochs,
        "seeds": list(result.case.seeds),
        "batch_size": result.case.batch_size,
        **{metric.key: summary.mean(metric.key) for metric in judged(result.case.measures)},
        "engine": result.engine,
        "precision": result.precision,
        "device": result.environment.get("device"),
        "fingerprint": result.environment.get("fingerprint"),
        "measured": _measured_how(result),
        "rounds": [[seed, epoch.epoch] for seed, epoch in rounds],  # the seed and the epoch of each
        **({"reference_seconds": reference} if all(reference) else {}),
        **({"stack": ", ".join(map(str, result.stacks)) or "of its seeds"} if result.shares_times else {}),
        **({"reused_from": result.reused_from} if result.reused_from else {}),
    }


def _group(result: CaseResult) -> str:
    """Returns the group of a case, in which times are compared: shares of those of a stack are by themselves."""
    return f"{result.id}, in a stack: not compared" if result.shares_times else result.case.model.label


def _measured_how(result: CaseResult) -> str:
    """Returns what else the machine did in the rounds, which are comparable only if that is the same."""
    if result.shares_times:
        return "in a stack: each round is an equal share of its time"
    return "alone" if result.side_by_side == 1 else f"{result.side_by_side} side by side"
