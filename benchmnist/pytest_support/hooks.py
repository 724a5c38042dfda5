"""Suites as pytest tests: a suite is a file, a case is an item, an epoch of training is a benchmark round.

Only pytest is imported at the top: a pytest run that has nothing to do with us must not pay for us.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from benchmnist.execution.dispatch import Dispatcher
    from benchmnist.executors import Epoch
    from benchmnist.runs.results import CaseResult, EpochResult
    from benchmnist.suites.cases import Case
    from benchmnist.suites.options import RunOptions
    from benchmnist.suites.plan import Plan
    from benchmnist.training.practice import Practice


@dataclass(frozen=True)
class Harness:
    """What a session runs. `benchmnist run` puts it in the config's stash; a plain pytest run makes its own."""

    plan: Plan
    dispatcher: Dispatcher | None = None  # None where cases are only collected


OPTIONS = {
    "device": "device to train on: auto, cpu, cuda, cuda:N or mps",
    "engine": "override the suite's: auto, dataloader, resident, graph or stacked",
    "seeds": "override the suite's: how many, or which (0,4,7)",
    "epochs": "override the suite's",
    "executor": "where cases are executed: inline, local or a plugin's",
    "jobs": "how many trials to train at the same time; by default 1 on this machine",
}
SHARED = ("device",)
"""Those whose environment variable is that of `benchmnist run`, too."""

HARNESS = pytest.StashKey[Harness]()
ENVIRONMENT = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options for suites; each can be set in the environment, as those of `benchmnist run`."""
    group = parser.getgroup("benchmnist", "suites of BenchMNIST")
    for name, text in OPTIONS.items():
        variable = f"BENCHMNIST_{name.upper()}" if name in SHARED else f"BENCHMNIST_PYTEST_{name.upper()}"
        group.addoption(f"--benchmnist-{name}", default=os.environ.get(variable), help=f"{text} [{variable}]")
    group.addoption(
        "--benchmnist-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value in the suite, typed as TOML: optimizers.adam.lr=0.01",
    )
    parser.addini(
        "benchmnist_suites",
        "suites that are collected with the folder that they are in, as globs relative to the rootdir; "
        "any other suite is collected only where it is named on the command line",
        type="args",
        default=[],
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite that is named on the command line, or in the setting benchmnist_suites, is a test file."""
    if file_path.suffix != ".toml":
        return None
    config = parent.config
    wanted = HARNESS in config.stash or parent.session.isinitpath(file_path) or _listed(config, file_path)
    if not wanted or not _is_suite(file_path):
        return None
    file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    return file


def _listed(config: pytest.Config, file: Path) -> bool:
    """Whether benchmnist_suites names it."""
    globs: list[str] = config.getini("benchmnist_suites")
    return file.is_relative_to(config.rootpath) and any(
        file.relative_to(config.rootpath).match(glob) for glob in globs
    )


def _is_suite(file: Path) -> bool:
    """Whether a TOML file means to be a suite; one that is broken may."""
    import tomllib

    text = file.read_text("utf-8", "replace")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return "[[cases]]" in text
    return "suite" in raw or "cases" in raw


class SuiteFile(pytest.File):
    """A suite: one item a case."""

    def collect(self) -> Iterator[pytest.Item]:
        """The cases of the plan, in its order."""
        harness = self.config.stash.get(HARNESS, None) or _own_harness(self.config, self.path)
        for case in harness.plan.cases:
            item: CaseItem = CaseItem.from_parent(
                self, name=case.id, callobj=_Training(case, harness, self.config)
            )
            yield item

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """What is wrong with a suite is a line each, without a traceback."""
        return _in_words(excinfo) or super().repr_failure(excinfo)


def _in_words(excinfo: pytest.ExceptionInfo[BaseException]) -> str | None:
    """What our own errors say; they were written to be read without a traceback."""
    from benchmnist.errors import BenchmnistError

    return str(excinfo.value) if isinstance(excinfo.value, BenchmnistError) else None


def _run_options(config: pytest.Config) -> RunOptions:
    """The options of a plain pytest run.

    Raises:
        BenchmnistError: if one of them has a value that it may not have.
    """
    from benchmnist.errors import BenchmnistError
    from benchmnist.suites.options import RunOptions
    from benchmnist.suites.reader import parse_seeds

    read: dict[str, Callable[[str], Any]] = {"seeds": parse_seeds, "epochs": int, "jobs": int}
    given: dict[str, Any] = {"executor": "inline", "set": config.getoption("benchmnist_set")}
    for name in OPTIONS:
        if text := config.getoption(f"benchmnist_{name}"):
            try:
                given[name] = read.get(name, str)(text)
            except ValueError as error:
                raise BenchmnistError(f"--benchmnist-{name}: {error}") from error
    try:
        return RunOptions(**given)
    except ValueError as error:
        raise BenchmnistError(f"--benchmnist-{error}") from error


def _own_harness(config: pytest.Config, suite: Path) -> Harness:
    """For a plain pytest run: nothing is kept but what pytest-benchmark keeps."""
    import contextlib
    import tempfile
    from pathlib import Path

    from benchmnist.execution.dispatch import Dispatcher, Observer
    from benchmnist.executors import Workplace, build_executor
    from benchmnist.preflight.prepare import prepare

    options = _run_options(config)
    try:
        shown = suite.relative_to(config.invocation_params.dir)
    except ValueError:
        shown = suite
    prepared = prepare(
        shown if shown.is_file() else suite,
        options,
    )
    for note in prepared.notes:
        config.issue_config_time_warning(pytest.PytestWarning(note), stacklevel=2)
    stack = contextlib.ExitStack()
    config.add_cleanup(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmnist-")))
    workplace = Workplace(
        prepared.device,
        prepared.data_root,
        folder,
        checkpoints=False,
        jobs=options.jobs or (None if prepared.executor.remote else 1),  # by default one after the other
        gpus=prepared.gpus,
    )
    executing = stack.enter_context(build_executor(prepared.executor, workplace))
    return Harness(
        prepared.plan, Dispatcher(executing, Observer(), interleaved=prepared.plan.suite.order == "interleaved")
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Says what will be asked for; under xdist that is not known."""
    if hasattr(session.config, "workerinput"):
        return
    trainings = [item.obj for item in session.items if isinstance(item, CaseItem)]
    for harness in {id(training.harness): training.harness for training in trainings}.values():
        if harness.dispatcher is not None:
            harness.dispatcher.expect([t.case for t in trainings if t.harness is harness])


class CaseItem(pytest.Function):
    """A case: asks for pytest-benchmark's fixture, whose clock shows the training time and nothing else."""

    obj: _Training

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        case = self.obj.case
        self.add_marker(pytest.mark.benchmark(timer=self.obj.clock, warmup=False, group=case.model.label))
        for name in case.marks:
            self.config.addinivalue_line("markers", f"{name}: declared in {self.path.name}")
            self.add_marker(getattr(pytest.mark, name))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The line of the suite that asks for the case, counted from 0."""
        line = self.obj.case.line
        return self.path, line - 1 if line else None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """The traceback of the training, not ours; what was missed, in words."""
        return _in_words(excinfo) or super().repr_failure(excinfo)


class _NoMoreEpochs(Exception):  # noqa: N818 - not an error
    """A case has fewer rounds than it was planned to have: a trial diverged or failed."""


class _Training:
    """The test function of a case: every epoch is one round of `benchmark.pedantic`.

    The clock is a replay (the documented `timer` of pytest-benchmark): it advances by what each epoch measured
    of itself, between two synchronisations of the device, wherever it was trained. So what pytest-benchmark
    reports is exactly what the results say.
    """

    def __init__(self, case: Case, harness: Harness, config: pytest.Config) -> None:
        self.case, self.harness, self.config = case, harness, config
        self.trained_seconds = 0.0
        self.measured: dict[str, Any] | None = None  # for xdist: what the main process has to know

    def clock(self) -> float:
        """The seconds of training so far."""
        return self.trained_seconds

    def __call__(self, benchmark: Any) -> None:
        from benchmnist.errors import ExpectationError, TrialError

        assert self.harness.dispatcher is not None  # noqa: S101 - the session was not started to collect only
        benchmark.param, benchmark.params = self.case.id, _params(self.case)
        try:
            result, rounds = self._train(benchmark, self.harness.dispatcher)
        except BaseException:  # Ctrl-C among them, which pytest-benchmark does not notice
            benchmark.has_error = True
            self.harness.dispatcher.interrupt()
            raise
        benchmark.has_error = result.failed or not rounds
        benchmark.extra_info.update(_extra_info(result, rounds))
        self.config.stash[ENVIRONMENT] = result.environment
        if not benchmark.has_error:
            self.measured = {
                "params": benchmark.params,
                "seconds": [epoch.seconds for _, epoch in rounds],
                "extra_info": benchmark.extra_info,
                "group": self.case.model.label,
                "environment": result.environment,
            }
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
                if len(ran) == self.case.rounds and getattr(benchmark, "cprofile", None):
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
        given_up = [place for place, epoch in enumerate(ran[:-1], 1) if epoch.result is None]
        last = ran[given_up[-1] if given_up else 0 :]
        if given_up and benchmark.stats is not None:  # the case was begun anew: the rounds before do not count
            benchmark.stats.stats.data[:] = [epoch.seconds for epoch in last if epoch.result is not None]
        return result, [(epoch.seed, epoch.result) for epoch in last if epoch.result is not None]

    def _run(self, epoch: Epoch) -> None:
        epoch.run()
        self.trained_seconds += epoch.seconds


def _params(case: Case) -> dict[str, str]:
    """What `--benchmark-group-by=param:model` groups by."""
    return {
        "dataset": case.dataset.label,
        "model": case.model.label,
        "optimizer": case.method,
    }


def _extra_info(result: CaseResult, rounds: list[tuple[int, EpochResult]]) -> dict[str, Any]:
    """What a maintainer tracks beside the times; None where there is no finite figure, since JSON has no NaN."""
    from benchmnist.analysis.summary import summarise

    summary = summarise(result)
    reference = [epoch.reference_seconds for _, epoch in rounds]
    return {
        **_params(result.case),
        "status": result.status,
        "epochs": result.case.epochs,
        "seeds": list(result.case.seeds),
        "batch_size": result.case.batch_size,
        "accuracy": summary.accuracy,
        "train_loss": summary.train_loss,
        "images_per_second": summary.images_per_second,
        "engine": result.engine,
        "precision": result.precision,
        "peak_memory": result.peak_memory,
        "device": result.environment.get("device"),
        "fingerprint": result.environment.get("fingerprint"),
        "measured": "alone" if result.side_by_side == 1 else f"{result.side_by_side} side by side",
        "rounds": [[seed, epoch.epoch] for seed, epoch in rounds],  # the seed and the epoch of each
        **({"reference_seconds": reference} if all(reference) else {}),
        **({"reused_from": result.reused_from} if result.reused_from else {}),
    }


# What pytest-benchmark wants to know of the machine.


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """The device, the versions and the flags, if a suite has been trained or is about to be."""
    if HARNESS in config.stash:
        return  # `benchmnist run` says it itself
    found = config.stash.get(ENVIRONMENT, None)
    if found is None and any(argument.partition("::")[0].endswith(".toml") for argument in config.args):
        # Asked before any training, to be compared with a saved benchmark.
        from benchmnist.training.environment import environment, resolve_device
        from benchmnist.training.precision import precision_of

        device = resolve_device(config.getoption("benchmnist_device") or "auto")
        with precision_of("float32", device):  # as it will be trained with
            found = environment(device)
    if found is not None:
        machine_info["benchmnist"] = found


# Under xdist pytest-benchmark measures nothing. Our epochs measure themselves: the workers send what they have
# measured with their reports, and the main process replays it into pytest-benchmark.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """In a worker of xdist: sends what was measured."""
    report = yield
    if call.when == "call" and isinstance(item, CaseItem) and hasattr(item.config, "workerinput"):
        report.benchmnist = item.obj.measured
    return report


class _Node:
    """As much of an item as pytest-benchmark's fixture looks at."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid, self.name = nodeid, nodeid.partition("::")[2]


def _replay(config: pytest.Config, nodeid: str, measured: dict[str, Any]) -> None:
    """Feeds measured epochs to pytest-benchmark through its own fixture, with a clock that shows them."""
    from pytest_benchmark.fixture import BenchmarkFixture
    from pytest_benchmark.utils import NameWrapper

    session = config.pluginmanager.get_plugin("pytest-benchmark")
    if session is None or session.skip or config.getoption("benchmark_disable"):
        return
    shown = 0.0

    def clock() -> float:
        return shown

    def run(seconds: float) -> None:
        nonlocal shown
        shown += seconds

    node = _Node(nodeid)
    fixture = BenchmarkFixture(
        node,
        add_stats=session.benchmarks.append,
        logger=session.logger,
        warner=config.issue_config_time_warning,
        disabled=False,
        **{**session.options, "timer": NameWrapper(clock), "cprofile": False},
        group=f"{measured['group']} (measured in parallel)",
    )
    fixture.param, fixture.params = node.name, measured["params"]
    seconds = iter(measured["seconds"])
    fixture.pedantic(run, setup=lambda: ((next(seconds),), {}), rounds=len(measured["seconds"]))
    fixture.extra_info.update(measured["extra_info"], measured="in parallel")


class _Controller:
    """Registered in a main process of xdist only."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.replayed = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """What a worker has measured."""
        measured = getattr(report, "benchmnist", None)
        if report.when == "call" and measured:
            self.config.stash[ENVIRONMENT] = measured["environment"]
            _replay(self.config, report.nodeid, measured)
            self.replayed += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """That the times are to be read with care."""
        if self.replayed:
            terminalreporter.write_line(
                f"benchmnist: {self.replayed} cases were timed side by side by xdist's workers: "
                "they slowed each other down, and are marked as measured in parallel"
            )


def pytest_configure(config: pytest.Config) -> None:
    """In the main process of xdist, listens for what the workers measure."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Controller(config), "benchmnist-controller")


@pytest.fixture
def benchmnist_train() -> Callable[..., Practice]:
    """Makes a training to time: `benchmnist_train(model="fc", optimizer="adam")`, then `.epoch` or `.step`.

    The parameters are those of `benchmnist.training.practice.Practice`.
    """
    from benchmnist.training.practice import Practice

    return Practice
