"""What changed between runs: made-up results, so that the right answer is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import made_up_run, made_up_trial
from training_support import component, make_case

from benchmnist.analysis.comparison import compare_runs
from benchmnist.analysis.statistics import LEVEL
from benchmnist.metrics import find_metric
from benchmnist.runs.results import CaseResult, RunResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.comparison import Change, Comparison
    from benchmnist.metrics import Metric
    from benchmnist.runs.results import Status

METRICS = [find_metric(key) for key in ("accuracy", "train_loss", "epoch_seconds")]
ACCURACY, LOSS, SECONDS = METRICS
PLAIN = make_case(id="mnist/fc/a", optimizer=component("sgd", lr=0.1))


def result(
    name: str,
    accuracies: Sequence[float | None],
    *,
    losses: Sequence[float] = (),
    seconds: float | Sequence[float] = 1.0,
    reference: float | Sequence[float] | None = None,
    lr: float = 0.1,
    threads: int = 1,
    first_seed: int = 0,
    margin: float | None = None,
) -> CaseResult:
    """A case of one epoch; a seed without an accuracy diverged. Losses follow the accuracies if none are given."""
    seeds = tuple(range(first_seed, first_seed + len(accuracies)))
    optimizer = PLAIN.optimizer.model_copy(update={"params": {**PLAIN.optimizer.params, "lr": lr}})
    changed = {"id": f"mnist/fc/{name}", "optimizer": optimizer, "seeds": seeds, "margin": margin}
    case = PLAIN.model_copy(update=changed)
    times = [seconds * (1 + at / 100) for at in range(len(seeds))] if isinstance(seconds, float) else seconds
    beside = [reference] * len(seeds) if reference is None or isinstance(reference, float) else reference
    trials = []
    for at, (seed, accuracy) in enumerate(zip(seeds, accuracies, strict=True)):
        loss = losses[at] if losses else 1 - (accuracy or 0) / 100
        trial = made_up_trial(seed, accuracy or 0, loss=loss, seconds=times[at])
        epoch = trial.epochs[0].model_copy(update={"reference_seconds": beside[at]})
        ended: Status = "completed" if accuracy is not None else "diverged"
        trials.append(trial.model_copy(update={"epochs": (epoch,), "status": ended}))
    status: Status = "diverged" if None in accuracies else "completed"
    return CaseResult(case=case, status=status, trials=tuple(trials), environment={"threads": threads})


def run(*results: CaseResult, version: str = "1") -> RunResult:
    return made_up_run(results, version=version)


def change(before: CaseResult, after: CaseResult, metric: Metric = ACCURACY) -> Change | None:
    (row,) = compare_runs([run(before), run(after)]).rows
    (found,) = row.changes(metric)
    return found


SEEDS = [90.0, 90.4, 89.8, 90.2]


def shifted(by: float, noise: Sequence[float] = (0.01, -0.01, 0.02, -0.02)) -> list[float | None]:
    return [value + by + each for value, each in zip(SEEDS, noise, strict=True)]


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (SEEDS, shifted(0.2), "better"),  # less than the spread of the seeds, but of every seed
        (SEEDS, shifted(-0.2), "worse"),
        (SEEDS, shifted(0.2, (2.0, -2.0, 1.0, -1.0)), "no difference shown"),
        (SEEDS, SEEDS, "identical"),
        ([90.0], [90.0], "identical"),
        ([90.0, 91.0], [99.0, 99.5], "too few seeds"),
        ([90.0], [99.0], "too few seeds"),
        (SEEDS, [*SEEDS[:2], None, None], "lost seeds"),
        (SEEDS, [None, None, None, None], "lost seeds"),
        ([None, None, None, None], SEEDS, "lost seeds"),
        ([90.0, 90.4, 89.8, None], shifted(-0.3), "lost seeds"),
        ([90.0, 90.4, 89.8, None], shifted(0.3), "lost seeds"),  # who knows what they would have been
    ],
)
def test_each_case_is_judged_seed_by_seed(
    before: list[float | None], after: list[float | None], word: str
) -> None:
    found = change(result("a", before), result("a", after))
    assert found is not None
    assert found.word == word


def test_a_change_is_that_of_the_common_seeds_with_its_interval() -> None:
    found = change(result("a", SEEDS), result("a", shifted(0.2)))
    assert found is not None
    assert found.interval is not None
    assert found.difference == pytest.approx(0.2)
    assert found.interval[0] < 0.2 < found.interval[1]


def test_runs_with_other_seeds_have_nothing_to_pair() -> None:
    found = change(result("a", SEEDS), result("a", [99.0] * 4, first_seed=4))
    assert found is not None
    assert (found.word, found.interval) == ("no common seeds", None)
    assert found.difference == pytest.approx(99 - 90.1)


def test_a_change_within_the_margin_of_the_suite_is_none() -> None:
    found = change(result("a", SEEDS, margin=0.5), result("a", shifted(0.2), margin=0.5))
    assert found is not None
    assert found.word == "equivalent"


def test_less_loss_is_better() -> None:
    found = change(result("a", SEEDS), result("a", shifted(0.2)), LOSS)
    assert found is not None
    assert found.difference < 0
    assert found.word == "better"


def test_times_have_a_ratio_and_no_word() -> None:
    slow, fast = result("a", SEEDS, seconds=2.0), result("a", SEEDS, seconds=1.0)
    found = change(slow, fast, SECONDS)
    assert found is not None
    assert (found.word, found.interval) == ("not judged", None)
    assert found.difference == pytest.approx(0.5)
    lossy = change(slow, result("a", [*SEEDS[:3], None], seconds=1.0), SECONDS)
    assert lossy is not None
    assert lossy.word == "lost seeds"


BESIDE = (1.01, 0.99, 1.0, 1.02)


def test_times_are_judged_in_units_of_the_reference_work_if_every_run_of_a_machine_has_it() -> None:
    before = result("a", SEEDS, seconds=2.0, reference=BESIDE)
    slow_machine = result("a", SEEDS, seconds=6.0, reference=[3 * each for each in BESIDE[::-1]])
    faster = result("a", SEEDS, seconds=1.0, reference=BESIDE[::-1])
    for after, word, ratio in ((slow_machine, "no difference shown", 1.0), (faster, "better", 0.5)):
        comparison = compare_runs([run(before), run(after)])
        (found,) = comparison.rows[0].changes(SECONDS)
        assert comparison.in_reference_work
        assert found is not None
        assert found.word == word
        assert found.difference == pytest.approx(ratio)
        figure = comparison.rows[0].figures(SECONDS)[0]
        assert figure is not None
        assert figure.mean == pytest.approx(2.0, rel=0.05)
    elsewhere = result("a", SEEDS, seconds=1.0, reference=BESIDE, threads=8)
    for other in (elsewhere, result("a", SEEDS, seconds=1.0)):
        assert not compare_runs([run(before), run(other)]).in_reference_work
        unjudged = change(before, other, SECONDS)
        assert unjudged is not None
        assert unjudged.word == "not judged"


FIGURES = st.lists(st.floats(0, 100), min_size=1, max_size=5)
OPPOSITE = {"better": "worse", "worse": "better"}


@given(FIGURES, FIGURES)
def test_there_and_back_is_the_opposite(one: list[float], other: list[float]) -> None:
    there, back = change(result("a", one), result("a", other)), change(result("a", other), result("a", one))
    assert there is not None
    assert back is not None
    assert back.word == OPPOSITE.get(there.word, there.word)
    assert back.difference == pytest.approx(-there.difference)


def test_cases_are_aligned_by_their_ids() -> None:
    a, b, c = (result(name, [90.0, 91.0]) for name in "abc")
    comparison = compare_runs([run(a, b), run(c, b), run(b)])
    assert [row.id for row in comparison.rows] == ["mnist/fc/a", "mnist/fc/b", "mnist/fc/c"]
    assert [*comparison.only_in()] == [("mnist/fc/a", (0,)), ("mnist/fc/c", (1,))]
    (only_first, everywhere, only_second) = comparison.rows
    assert only_first.changes(ACCURACY) == only_second.changes(ACCURACY) == (None, None)
    assert all(found is not None and found.word == "identical" for found in everywhere.changes(LOSS))


def test_a_case_that_failed_lost_its_seeds() -> None:
    failed = CaseResult(case=result("a", SEEDS).case, status="failed", error="boom")
    found = change(result("a", SEEDS), failed)
    assert found is not None
    assert (found.word, len(found.lost[0])) == ("lost seeds", 4)
    assert math.isnan(found.difference)
    assert change(failed, failed) is None


def test_all_cases_metrics_and_runs_are_one_family_but_for_identical_figures() -> None:
    runs = [run(result("a", shifted(by)), result("b", shifted(by)), result("c", SEEDS)) for by in (0.0, 0.1, 0.2)]
    comparison = compare_runs(runs)
    assert comparison.of == 2 * 2 * 2
    assert {c.verdict.of for c in comparison.changes if c.verdict} == {8}
    assert compare_runs(runs[:2], ["accuracy"]).of == 2
    assert compare_runs([runs[0], runs[0]]).of == 0


def test_what_else_differs_is_told() -> None:
    before = run(result("a", SEEDS, lr=0.1, threads=1), version="1")
    after = run(result("a", shifted(0.2), lr=0.2, threads=2), version="2")
    comparison = compare_runs([before, after])
    assert comparison.surroundings == {"BenchMNIST": ("1", "2"), "threads": ("1", "2")}
    (row,) = comparison.rows
    assert row.altered == ("optimizer lr: 0.1, then 0.2",)
    onednn = run(before.cases[0].model_copy(update={"remarks": ("fused", "onednn")}))
    (other,) = compare_runs([before, onednn]).rows
    assert other.altered == ("chosen by measurement: nothing, then onednn",)
    assert [found and found.word for found in row.changes(ACCURACY)] == ["better"]


CASES = 13
SPREAD = 0.2
"""Standard deviation over the seeds of a run."""


def two_runs(rng: np.random.Generator, seeds: int, *, spread: float = SPREAD, gain: float = 0.0) -> Comparison:
    """Two runs whose losses and accuracies have nothing to do with each other; the first case may gain."""
    runs = []
    for by in (0.0, gain):
        accuracies, losses = 97 + spread * rng.normal(size=(CASES, seeds)), rng.normal(0.1, 0.01, (CASES, seeds))
        accuracies[0] += by
        each = zip(accuracies.tolist(), losses.tolist(), strict=True)
        runs.append(run(*(result(f"m{i}", found, losses=loss) for i, (found, loss) in enumerate(each))))
    return compare_runs(runs, ["accuracy", "train_loss"])


@pytest.mark.parametrize("seeds", [3, 10])
def test_two_runs_without_a_difference_hardly_ever_have_a_word(seeds: int) -> None:
    """200 tables of 13 cases and two metrics: at most one in twenty has a false word; the error is 0.0154."""
    rng = np.random.default_rng(seeds)
    wrong = sum(
        any(found.word in ("better", "worse") for found in two_runs(rng, seeds).changes) for _ in range(200)
    )
    assert wrong / 200 <= LEVEL + 5 * 0.0154


def test_a_real_difference_is_found() -> None:
    """100 tables; +0.2 points with 20 seeds, where ranges of one standard deviation were apart in 29 %."""
    rng = np.random.default_rng(0)
    apart = found = 0
    for _ in range(100):
        row = two_runs(rng, 20, spread=0.11, gain=0.2).rows[0]
        before, after = row.figures(ACCURACY)
        (change,) = row.changes(ACCURACY)
        assert before is not None
        assert after is not None
        assert change is not None
        apart += (after.mean or 0) - (before.mean or 0) > (before.std or 0) + (after.std or 0)
        found += change.word == "better"
    assert found / 100 >= 0.93 - 5 * 0.026
    assert apart / 100 <= 0.29 + 5 * 0.046


def test_a_slow_machine_is_no_difference_of_the_code() -> None:
    """300 pairs of runs of 4 cases, each on a machine with a speed of its own: 5 % at most say anything."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        runs = []
        for _ in range(2):
            speed, drift = rng.lognormal(0, 0.3), 0.3 * rng.random()
            beside = speed * (1 + drift * np.linspace(0, 1, 5))
            cases = []
            for i in range(4):
                took = beside * rng.lognormal(0, 0.03, 5) * (i + 1)
                noisy = beside * rng.lognormal(0, 0.03, 5)
                cases.append(result(f"m{i}", [90.0] * 5, seconds=took.tolist(), reference=noisy.tolist()))
            runs.append(run(*cases))
        comparison = compare_runs(runs, ["epoch_seconds"])
        assert comparison.of == 4
        wrong += any(found.word in ("better", "worse") for found in comparison.changes)
    assert wrong / 300 <= LEVEL + 5 * 0.0126
