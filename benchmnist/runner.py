"""Plan + executor -> one pytest session -> RunResult."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from benchmnist.errors import BenchmnistError, StoreError
from benchmnist.execution.dispatch import Dispatcher, Observer, called
from benchmnist.execution.estimates import epoch_seconds
from benchmnist.executors import Workplace, build_executor
from benchmnist.extensions.hookspecs import HOOK_API
from benchmnist.preflight.prepare import prepare
from benchmnist.pytest_support import hooks
from benchmnist.pytest_support.hooks import HARNESS, Harness
from benchmnist.runs import store
from benchmnist.runs.index import earlier_results, taken_over
from benchmnist.runs.results import RunRecord, now
from benchmnist.suites.reader import Suite, read_suite, seed_list
from benchmnist.training.environment import public_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from benchmnist.executors import Executor
    from benchmnist.preflight.check import Work
    from benchmnist.preflight.prepare import Prepared
    from benchmnist.runs.results import CaseResult, EpochResult, RunResult, Search
    from benchmnist.suites.cases import Case
    from benchmnist.suites.plan import Plan


def run(
    suite: str | Path | Suite,
    *,
    device: str = "auto",
    seeds: int | Sequence[int] | None = None,
    epochs: int | None = None,
    keyword: str = "",
    engine: str | None = None,
    order: Literal["suite", "interleaved"] | None = None,
    control: bool = False,
    executor: str = "local",
    executor_options: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    out: str | Path = "runs",
    data_root: str | Path | None = None,
    checkpoints: bool = True,
    block: Collection[str] = (),
    resume: bool | str | Path = False,
    reuse: bool = False,
    observer: Observer | None = None,
    searches: Sequence[Search] = (),
) -> RunResult:
    """Trains the cases of a suite and returns the run.

    Args:
        suite: A suite, or the path of one.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        seeds: Instead of the suite's: how many, or which.
        epochs: Instead of the suite's.
        keyword: Only the cases that pytest's `-k` selects with this expression.
        engine: Instead of the suite's.
        order: Instead of the suite's.
        control: Train the baseline of each model once more, with other seeds, to see what differences are noise;
            and seed by seed (`interleaved`), unless `order` says otherwise.
        executor: Where the cases are executed.
        executor_options: What that executor has options for, by their names: `{"num_gpus": 0.5}` of `ray`.
        jobs: How many trials at the same time; None leaves it to the executor. `local` then takes one a core of
            the CPU, each with a thread, or one a GPU.
        timeout: Seconds that a case may take, with all its trials and all but planning; then it is ended.
        out: The folder that run folders are made in.
        data_root: Where datasets are kept; by default BENCHMNIST_DATA, or the user's cache folder.
        checkpoints: Whether the weights of each trial are kept.
        block: Plugins to leave out, by their names or those of their distributions.
        resume: Go on with an interrupted run, in its folder: that one (a path, or the end of its name in `out`),
            or with True the newest of the suite. Cases that ended are not trained again, as long as nothing has
            changed that decides their results.
        reuse: Take the results of earlier runs in `out` where nothing has changed that decides them; each says so.
        observer: Is told what happens, as it happens.
        searches: How the optimizers' hyperparameters were chosen, to be kept with the run.

    Raises:
        SuiteError: with everything that is wrong with the suite; nothing was trained.
        BenchmnistError: if the device, the executor or the run folder cannot be had; nothing was trained.
        ValueError: if the seeds or the epochs are not such as a suite may have.
        KeyboardInterrupt: after what was done has been saved.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs should be greater than 0, not {jobs}")
    asked: dict[str, Any] = {
        "seeds": None if seeds is None else list(seed_list(seeds)),
        "epochs": epochs,
        "engine": engine,
        "control": control,
        "keyword": keyword,
        "checkpoints": checkpoints,
    }
    suite = read_suite(suite) if not isinstance(suite, Suite) else suite
    path = store.new_run_path(Path(out), suite.name)
    started = now()
    if resume:
        path = store.newest_run(Path(out), suite.name) if resume is True else store.find_run(resume, Path(out))
        begun = store.load_record(path)
        asked, started = _as_asked_before(begun, asked), begun.started
    prepared = prepare(
        suite,
        device=device,
        seeds=asked["seeds"],
        epochs=asked["epochs"],
        engine=asked["engine"],
        control=asked["control"],
        executor=executor,
        data_root=data_root,
        block=block,
    )
    plan = select(prepared, asked["keyword"]).plan
    order = order or ("interleaved" if asked["control"] else suite.order)
    workplace = Workplace(
        prepared.device,
        prepared.data_root,
        path,
        asked["checkpoints"],
        tuple(block),
        jobs=jobs,
        timeout=timeout,
        trials=sum(len(case.seeds) for case in plan.cases),
        gpus=prepared.gpus,
        versions=tuple((name, public_version(name)) for name in ("benchmnist", "torch")),
    )
    executing = build_executor(prepared.executor, workplace, executor_options)
    folder = store.RunFolder(path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(executing)  # before there is a folder: it may say that it cannot
        if not resume:
            folder.make()
        stack.enter_context(folder.lock())
        known = _known(folder, plan, prepared.keys, Path(out) if reuse else None, resume=bool(resume))
        record = RunRecord(
            benchmnist=version("benchmnist"),
            suite=plan.suite.name,
            title=plan.suite.title,
            suite_file=plan.suite.file,
            suite_text=plan.suite.text,
            plan=plan.cases,
            hook_api=HOOK_API,
            notes=(*prepared.notes, *filter(None, [_sharing(prepared, executing)])),
            models=prepared.models,
            searches=tuple(searches),
            options={"device": prepared.device, "executor": executor, "reuse": reuse, **asked}
            | ({"order": order} if order != "suite" else {}),
            started=started,
        )
        recorder = _Recorder(folder, record, observer or Observer(), prepared.keys)
        recorder.run_started(plan, prepared.work, path)
        for result in known.values():
            recorder.known(result)
        parts = folder.parts() if resume else {}
        dispatcher = Dispatcher(
            executing,
            recorder,
            known,
            parts={case.id: parts[key] for case in plan.cases if (key := prepared.keys.get(case.id)) in parts},
            seconds=epoch_seconds(plan.cases, prepared.work, Path(out)) if executing.slots > 1 else None,
            interleaved=order == "interleaved",
        )
        interrupted = _train(Harness(plan, dispatcher), recorder, path)
        recorder.run_ended(interrupted=interrupted)
    if interrupted:
        raise KeyboardInterrupt
    return store.load_run(path)


def _sharing(prepared: Prepared, executing: Executor) -> str:
    """What has to be said where several workers of this machine share a GPU."""
    from benchmnist.executors.cores import taking_turns

    return "" if prepared.executor.remote else taking_turns(prepared.device, executing.slots, prepared.gpus)


def _known(
    folder: store.RunFolder, plan: Plan, keys: Mapping[str, str], out: Path | None, *, resume: bool
) -> dict[str, CaseResult]:
    """The results that need not be computed again, by case id: of the run itself, and of those in `out`."""
    whole = {key: (result, folder.path) for key, result in folder.whole_cases().items()} if resume else {}
    if out is not None:
        whole = earlier_results(out, {*keys.values()} - {*whole}) | whole
    known = {}
    for case in plan.cases:
        result, run = whole.get(keys.get(case.id, ""), (None, folder.path))
        if result is not None:
            if run != folder.path or result.id != case.id:
                result = taken_over(result, case, folder, run)
            known[case.id] = called(result, case)
    return known


def _as_asked_before(record: RunRecord, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a run that goes on was asked for when it began.

    Raises:
        BenchmnistError: if it is asked for something else now.
    """
    before = {name: record.options.get(name, default) for name, default in _DEFAULTS.items()}
    for name, value in asked.items():
        if value not in (before[name], _DEFAULTS[name]):
            raise BenchmnistError(
                f"the run was begun with {name} = {before[name]!r}, and goes on with that, not with {value!r}; "
                "leave it out, or begin another run"
            )
    return before


_DEFAULTS = {
    "seeds": None,
    "epochs": None,
    "engine": None,
    "control": False,
    "keyword": "",
    "checkpoints": True,
}
"""Of what decides which cases a run has, and what it keeps of them."""


class _Recorder(Observer):
    """Writes everything down before it tells the observer."""

    def __init__(
        self, folder: store.RunFolder, record: RunRecord, observer: Observer, keys: Mapping[str, str]
    ) -> None:
        self.folder, self.record, self.observer, self.keys = folder, record, observer, keys
        self.environment: dict[str, Any] = {}
        self.ended: list[CaseResult] = []
        self.error: StoreError | None = None

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        self.folder.write_record(self.record)
        self.observer.run_started(plan, work, path)

    def known(self, result: CaseResult) -> None:
        """A case that need not be trained: its file is there."""
        self.ended.append(result)
        self.environment = result.environment or self.environment
        self.folder.write_case(result)  # under the name that it has now
        self.observer.case_ended(result)

    def case_started(self, case: Case) -> None:
        self.observer.case_started(case)

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        self.observer.epoch_ended(case, seed, result)

    def part_ended(self, result: CaseResult) -> None:
        result = self._written(result, self.folder.write_part)
        self.observer.part_ended(result)

    def case_ended(self, result: CaseResult) -> None:
        self.environment = result.environment or self.environment
        result = self._written(result, self.folder.write_case)
        self.ended.append(result)
        self.observer.case_ended(result)

    def _written(self, result: CaseResult, write: Callable[[CaseResult], None]) -> CaseResult:
        result = result.model_copy(update={"key": self.keys.get(result.id, "")})
        try:
            write(result)
        except StoreError as error:
            self.error = error
            raise
        return result

    def run_ended(self, *, interrupted: bool) -> None:
        failed = any(result.failed or result.misses for result in self.ended)
        status = "interrupted" if interrupted else "failed" if failed else "completed"
        self.record = self.record.model_copy(update={"status": status, "ended": now()})
        self.folder.write_record(self.record)


class _Bridge:
    """The plugin object that hands the harness to the session, and to pytest-benchmark what it should know."""

    def __init__(self, harness: Harness, recorder: _Recorder | None = None) -> None:
        self.harness, self.recorder = harness, recorder
        self.collected: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[HARNESS] = self.harness

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.name for item in session.items]

    def pytest_runtest_logfinish(self) -> None:
        """Where a result cannot be stored, training more of them is of no use."""
        if self.recorder is not None and self.recorder.error is not None:
            raise pytest.exit.Exception(str(self.recorder.error))

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        if self.recorder is not None:
            machine_info["benchmnist"] = self.recorder.environment


def select(prepared: Prepared, keyword: str) -> Prepared:
    """The same with only the cases that pytest's own `-k` selects; all of them if the keyword is empty.

    Raises:
        BenchmnistError: if it selects none, or is no such expression.
    """
    if not keyword:
        return prepared
    plan = prepared.plan
    bridge = _Bridge(Harness(plan))
    output = io.StringIO()
    code = _pytest(plan, bridge, output, "--collect-only", "-k", keyword)
    if code == pytest.ExitCode.USAGE_ERROR:
        said = output.getvalue().strip().splitlines()[-1].removeprefix("ERROR: ")
        raise BenchmnistError(f"-k {keyword!r}: {said}")
    if not bridge.collected:
        ids = ", ".join(case.id for case in plan.cases)
        raise BenchmnistError(f"-k {keyword!r} selects none of the cases; there are: {ids}")
    return replace(prepared, plan=plan.only(bridge.collected))


def _train(harness: Harness, recorder: _Recorder, path: Path) -> bool:
    """Runs the session; returns whether it was interrupted.

    Raises:
        StoreError: if a result could not be written.
        BenchmnistError: if pytest itself failed.
    """
    log = path / store.SESSION_LOG
    with log.open("w", encoding="utf-8") as output:
        code = _pytest(
            harness.plan,
            _Bridge(harness, recorder),
            output,
            f"--benchmark-json={path / store.BENCHMARK_FILE}",
            f"--benchmark-storage=file://{path}",  # pytest-benchmark makes this folder in any case
        )
    if recorder.error is not None:
        raise recorder.error
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        raise BenchmnistError(f"the pytest session failed; {log} says how")
    return code == pytest.ExitCode.INTERRUPTED


def _pytest(plan: Plan, bridge: _Bridge, output: io.TextIOBase, *arguments: str) -> int:
    """One pytest session on the suite's file, in which nothing of the user's own pytest has a say."""
    suite = Path(plan.suite.file).resolve()
    ini = resources.files("benchmnist.pytest_support") / "pytest.ini"
    fixed = [
        f"--rootdir={_rootdir(suite)}",  # as it is without us: results are compared by names relative to it
        f"--config-file={ini}",
        "--noconftest",
        "--disable-plugin-autoload",
        "-ppytest_benchmark.plugin",
        "-pno:cacheprovider",
        "--capture=no",  # the redirection below does
        "-q",
    ]
    with (
        # The last: in somebody's test under xdist, pytest-benchmark must not take this session for a worker's.
        _without_environment("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        return pytest.main([str(suite), *fixed, *arguments], plugins=[hooks, bridge])


def _rootdir(suite: Path) -> Path:
    """The nearest folder above with a pyproject.toml; else the suite's own."""
    return next((folder for folder in suite.parents if (folder / "pyproject.toml").is_file()), suite.parent)


@contextlib.contextmanager
def _without_environment(*names: str) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
