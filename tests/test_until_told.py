"""Runs that add seeds until their comparisons are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import OF_FEW_IMAGES
from processes import python_in_a_process

import benchmnist
from benchmnist.errors import BenchmnistError
from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import CaseResult, RunResult

pytestmark = pytest.mark.usefixtures("few_images")

HEAD = """
[suite]
name = "told"
[defaults]
epochs = 2
train_size = 200
test_size = 100
baseline = "sgd"
"""
CASES = HEAD + OF_FEW_IMAGES + '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd", "adam", "rmsprop"]\n'

MADE_UP = """
from types import SimpleNamespace

from benchmnist.executors import Workplace
from benchmnist.extensions.specs import ExecutorSpec
from benchmnist import hookimpl
from benchmnist.runs.results import CaseResult, EpochResult, MeasuredEpoch, TrialResult

TRAINED = []  # (method, seed), in order
ACCURACY = {}  # by method: a function of the seed, which may raise


class Executor:
    slots = 1

    def __init__(self, workplace):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def execute(self, tasks):
        for case in tasks:
            trials = []
            try:
                for seed in case.seeds:
                    accuracy = ACCURACY[case.method](seed)
                    TRAINED.append((case.method, seed))
                    epochs = tuple(
                        EpochResult(
                            epoch=n,
                            seconds=0.01 * n,
                            train_loss=1.0,
                            step_losses=(),
                            metrics={"test_loss": 1.0, "test_accuracy": accuracy},
                        )
                        for n in range(1, case.epochs + 1)
                    )
                    for epoch in epochs:
                        yield case, MeasuredEpoch(seed, epoch)
                    trials.append(TrialResult(seed=seed, status="completed", epochs=epochs))
            except ArithmeticError as error:
                yield case, CaseResult(case=case, status="failed", trials=tuple(trials), error=str(error))
            else:
                yield case, CaseResult(
                    case=case, status="completed", trials=tuple(trials), engine="made-up", steps=2
                )


@hookimpl
def benchmnist_executors():
    return [ExecutorSpec(name="made-up", summary="Makes results up.", build=Executor)]
"""


def wave(mean: float, height: float) -> Callable[[int], float]:
    """Accuracies around a mean, by seed, that no other height's are parallel to."""
    return lambda seed: mean + height * ((seed * seed * 7 + 3 * seed) % 11 - 5) / 5


CLEAR = wave(90.0, 0.02)
BASE = wave(80.0, 0.1)


def late(seed: int) -> float:
    """A little better than BASE, which few seeds do not tell."""
    return BASE(seed) + 0.5 + (0.3 if seed % 2 else -0.3)


def same(seed: int) -> float:
    """As good as BASE in the mean of every two seeds."""
    return BASE(seed) + (0.5 if seed % 2 else -0.5)


@pytest.fixture
def made_up(install_plugin: Callable[..., None]) -> Any:
    """The executor that makes results up: what it has trained, and the accuracies that it gives."""
    install_plugin("made_up", MADE_UP)
    from benchmnist.extensions.registry import find_plugins

    find_plugins()
    plugin = sys.modules["benchmnist_made_up"]
    plugin.ACCURACY.update({"sgd": BASE, "adam": CLEAR, "rmsprop": late})
    return plugin


def run(path: Path, **options: Any) -> RunResult:
    given = {"executor": "made-up", "until_told": True, "max_seeds": 20, "out": path.parent / "runs", **options}
    return benchmnist.run(path, device="cpu", **given)


def seeds_of(result: CaseResult) -> list[int]:
    return [trial.seed for trial in result.trials]


class Looks(benchmnist.Observer):
    def __init__(self) -> None:
        self.log: list[str] = []

    def look_started(self, plan: Any, looks: Any) -> None:
        self.log.append(f"{looks.reached} of {looks.number}: {plan.cases[0].seeds}")

    def look_ended(self, looks: Any, standing: Any) -> None:
        self.log.append(
            f"{standing.told} told, {standing.hopeless} hopeless, {standing.open} open, {looks.stopped}"
        )


def test_seeds_are_added_until_every_comparison_is_told(write_suite: Callable[..., Path], made_up: Any) -> None:
    looks = Looks()
    done = run(write_suite(CASES), observer=looks)
    record = done.record.looks
    assert record is not None
    assert record.counts == (3, 5, 8, 13, 20)
    assert record.stopped == "settled"
    assert 1 < record.reached < 5
    last = record.counts[record.reached - 1]
    assert all(seeds_of(result) == [*range(last)] for result in done.cases)
    assert [case.seeds for case in done.record.plan] == [tuple(range(last))] * 3
    assert sorted(made_up.TRAINED) == sorted({*made_up.TRAINED})  # each trial once
    assert len(made_up.TRAINED) == 3 * last
    assert looks.log[0] == "1 of 5: (0, 1, 2)"
    assert looks.log[1].endswith("open, None")
    assert looks.log[-1] == "2 told, 0 hopeless, 0 open, settled"
    benchmark = json.loads((done.path / "benchmark.json").read_text("utf-8"))
    assert [b["stats"]["rounds"] for b in benchmark["benchmarks"]] == [2 * last] * 3
    assert not [*(done.path / "trials").iterdir()]


def test_what_is_told_at_once_takes_one_look(write_suite: Callable[..., Path], made_up: Any) -> None:
    done = run(write_suite(CASES), keyword="not rmsprop")
    assert done.record.looks is not None
    assert (done.record.looks.reached, done.record.looks.stopped) == (1, "settled")
    assert len(made_up.TRAINED) == 6


def test_what_all_seeds_would_hardly_tell_is_hopeless(write_suite: Callable[..., Path], made_up: Any) -> None:
    made_up.ACCURACY["rmsprop"] = same
    looks = Looks()
    done = run(write_suite(CASES), observer=looks)
    assert looks.log[-1] == "1 told, 1 hopeless, 0 open, settled"
    assert len(done.cases[0].trials) < 20


@pytest.mark.usefixtures("made_up")
def test_the_announced_number_is_the_end(write_suite: Callable[..., Path]) -> None:
    looks = Looks()
    done = run(write_suite(CASES), max_seeds=3, observer=looks)
    assert done.record.looks is not None
    assert done.record.looks.counts == (3,)
    assert looks.log[-1].endswith("1 open, all seeds")
    assert done.record.status == "completed"


@pytest.mark.usefixtures("made_up")
def test_a_list_of_seeds_is_continued_after_its_highest(write_suite: Callable[..., Path]) -> None:
    done = run(write_suite(CASES), seeds=[4, 9, 2])
    last = len(done.cases[0].trials)
    assert seeds_of(done.cases[0]) == [4, 9, 2, *range(10, 10 + last - 3)]


def test_the_control_has_other_seeds_at_every_look(write_suite: Callable[..., Path], made_up: Any) -> None:
    made_up.ACCURACY["sgd/control"] = BASE
    done = run(write_suite(CASES), control=True)
    last = len(done.cases[0].trials)
    assert seeds_of(done["mnist/fc/sgd/control"]) == [*range(20, 20 + last)]
    assert len(made_up.TRAINED) == len({*made_up.TRAINED}) == 4 * last


def test_a_case_that_fails_is_not_trained_further(write_suite: Callable[..., Path], made_up: Any) -> None:
    def fails(_: int) -> float:
        raise ArithmeticError("not today")

    made_up.ACCURACY["adam"] = fails
    done = run(write_suite(CASES))
    assert done["mnist/fc/adam"].status == "failed"
    assert done.record.looks is not None
    assert done.record.looks.stopped == "settled"
    assert len(done["mnist/fc/rmsprop"].trials) > 3
    assert done.record.status == "failed"


UNDISTURBED: list[RunResult] = []


def undisturbed_run(path: Path) -> RunResult:
    """A run of CASES that nothing disturbs: its results are made up, so they are always the same."""
    if not UNDISTURBED:
        UNDISTURBED.append(run(path, out=path.parent / "undisturbed"))
    return UNDISTURBED[0]


@pytest.mark.parametrize(
    ("method", "seed"),
    [("adam", 1), ("sgd", 4), pytest.param("adam", 4, marks=pytest.mark.faults), ("adam", 6)],
)
def test_an_interrupted_run_goes_on_with_its_looks(
    write_suite: Callable[..., Path], made_up: Any, method: str, seed: int
) -> None:
    path = write_suite(CASES)
    undisturbed = undisturbed_run(path)
    made_up.TRAINED.clear()
    accuracy = made_up.ACCURACY[method]

    def interrupts(at: int) -> float:
        if at == seed:
            raise KeyboardInterrupt
        return float(accuracy(at))

    made_up.ACCURACY[method] = interrupts
    with pytest.raises(KeyboardInterrupt):
        run(path)
    begun = load_run(path.parent / "runs")
    assert begun.record.status == "interrupted"
    made_up.ACCURACY[method] = accuracy
    done = run(path, resume=True, until_told=False, max_seeds=None)  # as it was begun
    assert done.path == begun.path
    assert done.record.looks == undisturbed.record.looks
    assert [(r.id, r.trials) for r in done.cases] == [(r.id, r.trials) for r in undisturbed.cases]
    assert len(made_up.TRAINED) == len({*made_up.TRAINED})  # seed by seed: each trial once


@pytest.mark.parametrize("seed", [pytest.param(3, marks=pytest.mark.faults), 7])
def test_a_run_that_was_killed_goes_on_with_its_looks(
    write_suite: Callable[..., Path], made_up: Any, seed: int
) -> None:
    path = write_suite(CASES)
    undisturbed = undisturbed_run(path)
    dies = f"""
import json, os
from pathlib import Path
from benchmnist.extensions.registry import find_plugins
find_plugins()
import benchmnist_made_up as plugin
import test_until_told as ours
plugin.ACCURACY.update(sgd=ours.BASE, adam=ours.CLEAR)

def dies(seed):
    if seed == {seed}:
        Path("trained.json").write_text(json.dumps(plugin.TRAINED))
        os._exit(9)
    return ours.late(seed)

plugin.ACCURACY["rmsprop"] = dies
ours.run(Path({str(path)!r}))
"""
    died = python_in_a_process("-c", dies)
    assert died.returncode == 9, died.stderr
    made_up.TRAINED.clear()
    done = run(path, resume=True)
    assert done.record.looks == undisturbed.record.looks
    assert [(r.id, r.trials) for r in done.cases] == [(r.id, r.trials) for r in undisturbed.cases]
    before = [(name, of_seed) for name, of_seed in json.loads(Path("trained.json").read_text("utf-8"))]
    assert sorted(before + made_up.TRAINED) == sorted({*before, *made_up.TRAINED})  # seed by seed: each trial once


def test_a_run_that_ended_is_not_trained_further(write_suite: Callable[..., Path], made_up: Any) -> None:
    path = write_suite(CASES)
    done = run(path)
    made_up.TRAINED.clear()
    again = run(path, resume=done.path)
    assert made_up.TRAINED == []
    assert again.record.looks == done.record.looks


@pytest.mark.usefixtures("made_up")
def test_looks_are_not_changed_and_not_added(write_suite: Callable[..., Path]) -> None:
    path = write_suite(CASES)
    run(path)
    with pytest.raises(BenchmnistError, match=r"begun with max_seeds = 20, and cannot go on with 30"):
        run(path, max_seeds=30, resume=True)
    changed = write_suite(CASES.replace("epochs = 2", "epochs = 2\nseeds = 4"))
    with pytest.raises(
        BenchmnistError,
        match=r"announced looks at 3, 5, 8, 13 and 20 seeds, .* now make them 4, 7, 12 and 20 seeds",
    ):
        run(changed, resume=True)
    run(path, until_told=False, max_seeds=None, seeds=3)
    with pytest.raises(BenchmnistError, match=r"begun with until_told = False, and cannot go on with True"):
        run(path, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_seeds": 2}, "--max-seeds must be at least 3, the seeds of the first look, not 2"),
        ({"seeds": 8, "max_seeds": 5}, "--max-seeds must be at least 8, the seeds of the first look, not 5"),
        ({"until_told": False, "max_seeds": 5}, "--max-seeds needs --until-told"),
        ({"keyword": "adam"}, "--until-told needs cases to compare"),
    ],
)
def test_what_cannot_be_announced_is_refused(
    write_suite: Callable[..., Path], made_up: Any, options: dict[str, Any], message: str
) -> None:
    path = write_suite(CASES)
    with pytest.raises(BenchmnistError, match=message):
        run(path, **options)
    assert not (path.parent / "runs").exists()
    assert made_up.TRAINED == []


def test_cases_of_different_seeds_are_refused(write_suite: Callable[..., Path], made_up: Any) -> None:
    path = write_suite(CASES + '[[cases]]\nmodels = ["fc-bn"]\noptimizers = ["sgd"]\nseeds = 5\n')
    with pytest.raises(BenchmnistError, match="needs the same seeds for every case"):
        run(path)
    assert len(run(path, seeds=3).cases) == 4
    assert made_up.TRAINED


@pytest.mark.usefixtures("made_up")
def test_the_level_is_shared_by_the_looks(write_suite: Callable[..., Path]) -> None:
    path = write_suite(CASES)
    looked = benchmnist.Analysis(run(path))
    last = len(looked.run.cases[0].trials)
    at_once = benchmnist.Analysis(run(path, until_told=False, max_seeds=None, seeds=last))
    for paid, free in zip(looked.verdicts(), at_once.verdicts(), strict=True):
        assert paid.paired == free.paired
        assert paid.of == 5 * free.of
        assert paid.interval is not None
        assert free.interval is not None
        assert paid.interval[0] < free.interval[0] < free.interval[1] < paid.interval[1]
    (said,) = [finding.text for finding in looked.findings if finding.kind == "looks"]
    assert f"stopped after look {looked.run.record.looks.reached} of 5 ({last} seeds)" in said  # type: ignore[union-attr]
    assert not [finding for finding in at_once.findings if finding.kind == "looks"]


def test_more_seeds_take_over_the_trials_of_fewer(write_suite: Callable[..., Path], made_up: Any) -> None:
    path = write_suite(CASES)
    few = run(path, until_told=False, max_seeds=None, seeds=[0, 1, 7])
    made_up.TRAINED.clear()
    more = run(path, until_told=False, max_seeds=None, seeds=5, reuse=True)
    assert sorted(made_up.TRAINED) == [(name, seed) for name in ("adam", "rmsprop", "sgd") for seed in (2, 3, 4)]
    result = more["mnist/fc/adam"]
    assert seeds_of(result) == [0, 1, 2, 3, 4]
    assert result.reused_from is None
    assert f"reused from told/{few.path.name}: 2 seeds" in result.remarks
    chained = run(path, until_told=False, max_seeds=None, seeds=6, reuse=True)["mnist/fc/adam"]
    said = [remark for remark in chained.remarks if remark.startswith("reused")]
    assert said == [f"reused from told/{more.path.name}: 5 seeds"]  # each seed once
    benchmark = json.loads((more.path / "benchmark.json").read_text("utf-8"))
    assert [b["stats"]["rounds"] for b in benchmark["benchmarks"]] == [10] * 3
    made_up.TRAINED.clear()
    run(path, until_told=False, max_seeds=None, seeds=5, epochs=3, reuse=True)  # other results
    assert len(made_up.TRAINED) == 15


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_the_figures_are_those_of_a_run_that_had_the_seeds_at_once(
    write_suite: Callable[..., Path], executor: str
) -> None:
    path = write_suite(CASES.replace("epochs = 2", "epochs = 1"))
    options = {"executor": executor, "max_seeds": 5, "keyword": "not adam", "checkpoints": False}
    looked = run(path, **options)
    last = len(looked.cases[0].trials)
    at_once = run(path, **{**options, "until_told": False, "max_seeds": None}, seeds=last)
    for one, other in zip(looked.cases, at_once.cases, strict=True):
        for ours, theirs in zip(one.trials, other.trials, strict=True):
            assert ours.epochs[0].metrics == theirs.epochs[0].metrics
            assert ours.epochs[0].train_loss == theirs.epochs[0].train_loss
        assert one.key == other.key
        assert one.engine == other.engine


def test_the_looks_are_printed_before_training_and_their_outcome_after_it(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], made_up: Any
) -> None:
    command = ("run", write_suite(CASES), "--device", "cpu", "--executor", "made-up", "--until-told")
    dry = invoke(*command, "--max-seeds", 20, "--dry-run")
    assert "Looks at 3, 5, 8, 13 and 20 seeds of each case." in dry.stdout
    assert "3 cases, 9 trials" in dry.stdout
    assert made_up.TRAINED == []
    done = invoke(*command, "--max-seeds", 20)
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert lines[1].startswith("Looks at 3, 5, 8, 13 and 20 seeds of each case.")
    first = lines.index("look 1 of 5: 3 seeds of each case")
    assert lines.index("look 2 of 5: 5 seeds of each case") > first
    assert "of 2 comparisons, 2 are told; no other look is needed" in lines
    assert "announced before training" in " ".join(done.stdout.split())
