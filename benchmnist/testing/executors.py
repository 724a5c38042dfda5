"""The promises of an executor.

The device is the CPU. Options of the executor that have to be told here are told by its environment variables.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import BenchmnistError
from benchmnist.execution.dispatch import Observer
from benchmnist.executors import Workplace, build_executor
from benchmnist.executors.trainer import Trainer
from benchmnist.runs.results import CaseResult, MeasuredEpoch
from benchmnist.suites.cases import Case
from benchmnist.testing.checks import DoesNotApply, Miss, Subject, check
from benchmnist.testing.problem import component
from benchmnist.text import cause_of
from benchmnist.training.data import default_data_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmnist.executors import Executor
    from benchmnist.runs.results import RunResult

FAULTY = "benchmnist.testing.faulty"
LIMITS = (10.0, 40.0, 160.0)
"""Seconds that a case may take, including the start of a worker: on a busy machine the first may be too few."""
STOPS = 120.0
"""Seconds in which a worker must end cancelled work."""
LOSS, ACCURACY = 1e-3, 1.0
"""The tolerance for another number of threads: relative, and in % of the test images."""


@contextlib.contextmanager
def _executor(subject: Subject, **options: Any) -> Iterator[tuple[Executor, Workplace]]:
    with tempfile.TemporaryDirectory(prefix="benchmnist-check-", ignore_cleanup_errors=True) as folder:
        workplace = Workplace(
            "cpu", default_data_root(), Path(folder), **{"jobs": 1, "trials": 4, "plugins": (FAULTY,), **options}
        )
        with build_executor(subject.offer.spec, workplace) as executor:
            yield executor, workplace


def small_case(
    name: str,
    model: str = "logistic",
    *,
    epochs: int = 2,
    seeds: Sequence[int] = (0,),
    resources: Mapping[str, float] | None = None,
    **params: Any,
) -> Case:
    """Returns a case for trying an executor, with ten steps per epoch; also of the models in FAULTY."""
    return Case(
        id=f"check/{name}",
        dataset=component("mnist"),
        model=component(model, **params),
        optimizer=component("sgd", lr=0.1),
        epochs=epochs,
        batch_size=50,
        seeds=tuple(seeds),
        train_size=500,
        test_size=200,
        resources=dict(resources or {}),
    )


class _Seen:
    """The tasks that an executor took and the events that it yielded."""

    def __init__(self, executor: Executor, tasks: Sequence[Case]) -> None:
        self.executor, self.tasks = executor, tasks
        self.open: list[str] = []
        self.most = 0
        self.epochs: dict[str, list[tuple[int, int]]] = {task.id: [] for task in tasks}
        self.results: dict[str, CaseResult] = {}

    def execute(self) -> dict[str, CaseResult]:
        """Executes the tasks.

        Raises:
            Miss: if what comes is not of the form that it should be.
        """
        for task, step in self.executor.execute(self._handed()):
            if task.id in self.results:
                raise Miss(f"something came of {task.id} after its result")
            if task.id not in self.open:
                raise Miss(f"something came of {task.id}, which it had not taken")
            if isinstance(step, CaseResult):
                self.results[task.id] = step
                self.open.remove(task.id)
            else:
                step.run()
                self.epochs[task.id].append((step.seed, getattr(step, "number", 0) or _number(step)))
        if self.open or len(self.results) < len(self.tasks):
            missing = sorted({task.id for task in self.tasks} - {*self.results})
            raise Miss(f"it has ended, and nothing came of {', '.join(missing)}")
        return self.results

    def _handed(self) -> Iterator[Case]:
        for task in self.tasks:
            self.open.append(task.id)
            self.most = max(self.most, len(self.open))
            yield task


def _number(epoch: object) -> int:
    result = epoch.result if isinstance(epoch, MeasuredEpoch) else None
    return result.epoch if result else 0


def figures(result: CaseResult) -> list[tuple[int, float, float]]:
    """Returns the number, the loss and the accuracy of every epoch, trial by trial.

    Raises:
        Miss: if the case did not end as it should.
    """
    if result.error or result.status != "completed":
        raise Miss(f"{result.id} {result.status}: {cause_of(result.error or 'without a word')}")
    return [
        (epoch.epoch, epoch.train_loss, epoch.test_accuracy or 0.0)
        for trial in result.trials
        for epoch in trial.epochs
    ]


def _require_same(seen: CaseResult, expected: CaseResult) -> None:
    one, other = figures(seen), figures(expected)
    close = len(one) == len(other) and all(
        a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=LOSS) and abs(a[2] - b[2]) <= ACCURACY
        for a, b in zip(one, other, strict=True)
    )
    if not close:
        raise Miss(f"the (epoch, loss, accuracy) of {seen.id} are {one}, and should be {other}")


def _plain(case: Case, workplace: Workplace | None = None) -> CaseResult:
    """Trains a case in this process, without any executor; keeps no weights without a workplace."""
    *_, result = Trainer(workplace or Workplace("cpu", default_data_root(), Path(), checkpoints=False)).measure(
        case
    )
    assert isinstance(result, CaseResult)  # noqa: S101 - it is the last that it yields
    return result


@check("Its `__enter__` should start it, and return it.", first=True)
def _starts(subject: Subject) -> None:
    """Can be built, entered and left."""
    with _executor(subject) as (executor, _):
        if executor.slots < 1:
            raise Miss(f"it has {executor.slots} slots")


@check(
    "Hand each task to `benchmnist.executors.local.LocalExecutor`, or to `Trainer`; both train it as it should be."
)
def _trains_the_same(subject: Subject) -> None:
    """Trains every task to the same losses and accuracies as a plain loop, and yields one result."""
    tasks = [small_case("one", "fc-bn-dropout", seeds=(0,)), small_case("two", seeds=(3, 1))]
    with _executor(subject, jobs=None) as (executor, _):
        results = _Seen(executor, tasks).execute()
        again = _Seen(executor, tasks[:1]).execute()
    for task in tasks:
        _require_same(results[task.id], _plain(task))
    _require_same(again[tasks[0].id], results[tasks[0].id])


@check("Yield the epochs of a task as they end, each with the task, and then the result.")
def _tells_in_order(subject: Subject) -> None:
    """Yields every epoch, of each seed in order, before the result, and takes no more tasks than slots."""
    tasks = [small_case(str(number), epochs=3, seeds=(number, number + 1)) for number in range(2)]
    with _executor(subject) as (executor, _):
        seen = _Seen(executor, tasks)
        results = seen.execute()
        if seen.most > executor.slots:
            raise Miss(f"it has {executor.slots} slots, and took {seen.most} tasks at once")
    for task in tasks:
        should = [(seed, number) for seed in task.seeds for number in range(1, task.epochs + 1)]
        if seen.epochs[task.id] != should:
            raise Miss(f"the (seed, epoch) of {task.id} came as {seen.epochs[task.id]}, and should be {should}")
        figures(results[task.id])


@check("Write them into the run folder, under the path that the result says.")
def _keeps_weights(subject: Subject) -> None:
    """Leaves the weights of each trial in the run folder."""
    import safetensors.torch

    task = small_case("kept", seeds=(5,))
    with _executor(subject) as (executor, workplace):
        (result,) = _Seen(executor, [task]).execute().values()
        figures(result)
        kept = workplace.run_folder / str(result.trials[0].checkpoint)
        if not kept.is_file():
            raise Miss(f"there is no {result.trials[0].checkpoint} in the run folder, although the result says so")
        seen = safetensors.torch.load_file(kept)
    with tempfile.TemporaryDirectory(prefix="benchmnist-check-") as folder:
        plain = _plain(task, Workplace("cpu", default_data_root(), Path(folder)))
        expected = safetensors.torch.load_file(Path(folder, str(plain.trials[0].checkpoint)))
    if not all(torch.allclose(seen[name], weight, rtol=LOSS, atol=1e-5) for name, weight in expected.items()):
        raise Miss("the weights that it kept are not those of the trial")


@check("Yield a CaseResult with status `failed` and the traceback, and go on with the next task.")
def _survives_what_raises(subject: Subject) -> None:
    """Reports how a model that raises failed, and continues with the next case."""
    with _executor(subject) as (executor, _):
        results = _Seen(executor, [small_case("raises", "faulty-raises"), small_case("next")]).execute()
    failed = results["check/raises"]
    if failed.status != "failed" or "a model that raises" not in (failed.error or ""):
        raise Miss(f"a model raised, and the result is {failed.status}: {failed.error}")
    figures(results["check/next"])


def _isolated(subject: Subject) -> None:
    if not subject.offer.spec.isolated:
        raise DoesNotApply("its spec does not say that it trains in processes of its own (isolated)")


@check("Train in a process of its own, and where that ends yield a CaseResult with status `crashed`.")
def _survives_what_dies(subject: Subject) -> None:
    """Reports a model that ends its process, with its last output, and continues with the next case."""
    _isolated(subject)
    with _executor(subject) as (executor, _):
        results = _Seen(executor, [small_case("dies", "faulty-dies"), small_case("next")]).execute()
    crashed = results["check/dies"]
    if crashed.status != "crashed" or "the last words of the model" not in (crashed.error or ""):
        raise Miss(f"a model ended its process, and the result is {crashed.status}: {crashed.error}")
    figures(results["check/next"])


@check("Look at `benchmnist.executors.Deadlines` while you wait, and end what is overdue.")
def _ends_what_takes_too_long(subject: Subject) -> None:
    """Ends a case that takes longer than the time limit, and continues with the next one."""
    _isolated(subject)
    for limit in LIMITS:
        with tempfile.TemporaryDirectory() as folder, _executor(subject, timeout=limit) as (executor, _):
            sleeper = small_case("sleeps", "faulty-sleeps", seconds=3600.0, beats=f"{folder}/beats")
            results = _Seen(executor, [sleeper, small_case("next")]).execute()
        ended, after = results["check/sleeps"], results["check/next"]
        if ended.status != "timed out":
            raise Miss(f"a case took too long, and the result is {ended.status}: {ended.error}")
        if after.status != "timed out":
            break
    figures(after)


@check("End what is being trained when the generator is closed (`finally`), and when the executor is left.")
def _can_be_interrupted(subject: Subject) -> None:
    """Ends its training at once when it is interrupted, and can then execute other tasks."""
    with tempfile.TemporaryDirectory() as folder, _executor(subject) as (executor, _):
        beats = Path(folder) / "beats"
        endless = small_case("endless", "faulty-sleeps", epochs=100_000, seconds=0.01, beats=str(beats))
        steps = executor.execute(iter([endless]))
        _, epoch = next(steps)
        if not isinstance(epoch, CaseResult):
            epoch.run()
        steps.close()  # type: ignore[attr-defined]
        if beats.is_file():  # else it was trained on a machine whose files are others
            end = time.monotonic() + STOPS
            while time.time() - beats.stat().st_mtime < 1.0:
                if time.monotonic() > end:
                    raise Miss(f"{STOPS:.0f} s after it was interrupted it still trained")
                time.sleep(0.1)
        (result,) = _Seen(executor, [small_case("after")]).execute().values()
        figures(result)


SUITE = """
[suite]
name = "check"
[defaults]
epochs = 2
seeds = 2
train_size = 500
test_size = 200
batch_size = 50
[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam"]
"""


class _Log(Observer):
    """Records which cases began and which ended; can stop the run when the first case has ended."""

    def __init__(self, *, stop: bool = False) -> None:
        self.stop = stop
        self.trained: list[tuple[str, int]] = []
        self.ended: list[str] = []

    def epoch_ended(self, case: Case, seed: int, result: Any) -> None:
        if result.epoch == case.epochs:
            self.trained.append((case.id, seed))

    def case_ended(self, result: CaseResult) -> None:
        self.ended += [result.id] if result.status == "completed" else []
        if self.stop and result.status == "completed":
            raise KeyboardInterrupt


@check("Everything that has ended should have been yielded: see `Executor.execute`.")
def _goes_on(subject: Subject) -> None:
    """Continues an interrupted run, to the same figures, and does not train again what had ended."""
    from benchmnist.runner import run

    with tempfile.TemporaryDirectory(prefix="benchmnist-check-", ignore_cleanup_errors=True) as folder:
        suite = Path(folder, "check.toml")
        suite.write_text(SUITE, "utf-8")
        before, after = _Log(stop=True), _Log()

        def train(
            log: _Log, *, executor: str = subject.name, resume: bool = False, out: str = "runs"
        ) -> RunResult:
            return run(
                suite, device="cpu", executor=executor, jobs=1, resume=resume, out=Path(folder, out), observer=log
            )

        with contextlib.suppress(KeyboardInterrupt):
            train(before)
        done = [trial for trial in before.trained if trial[0] in before.ended]
        result = train(after, resume=True)
        if again := [trial for trial in after.trained if trial in done]:
            raise Miss(f"it trained again what had ended: {again}")
        expected = train(_Log(), executor="inline", out="plain")
    for case in expected.cases:
        _require_same(result[case.id], case)


@check("Raise a BenchmnistError from `build`, or from `__enter__`, that says what to do.")
def _refuses_in_words(subject: Subject) -> None:
    """Either supports the several jobs and the time limit of a workplace, or refuses them in one line."""
    for options in ({"jobs": 2}, {"timeout": 3600.0}):
        try:
            with _executor(subject, **options):
                pass
        except BenchmnistError as error:
            if len(str(error).splitlines()) != 1:
                raise Miss(f"it refuses {options} in more than a line: {error}") from error


CHECKS = (
    _starts,
    _trains_the_same,
    _tells_in_order,
    _keeps_weights,
    _survives_what_raises,
    _survives_what_dies,
    _ends_what_takes_too_long,
    _can_be_interrupted,
    _goes_on,
    _refuses_in_words,
)
