"""The gate on runs: made-up results whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_up import course_result, made_up_run, seeds_result
from scipy import stats
from training_support import component

from benchmnist.analysis.non_inferiority import NonInferiority, exit_code, non_inferior
from benchmnist.analysis.statistics import detectable
from benchmnist.errors import BenchmnistError
from benchmnist.metrics import METRICS, find_metric
from benchmnist.reports.non_inferiority import markdown_non_inferiority
from benchmnist.suites.looks import Looks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmnist.runs.results import CaseResult, RunResult

MARGIN = 0.2
CUDA = {"device": "cuda:0", "device_name": "a card", "torch": "2.13"}


def run_of(accuracies: Sequence[Sequence[float | None]], **case: Any) -> RunResult:
    """A run with a case for each row, and a seed for each value."""
    return made_up_run([seeds_result("fc", f"m{i}", row, **case) for i, row in enumerate(accuracies)])


def words(before: Any, after: Any, metric: str = "accuracy", margin: float | None = MARGIN) -> list[str]:
    return [v.word for v in non_inferior(run_of(before), run_of(after), metric, margin)]


def normal(rng: Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    return rng.normal(0, 0.1, size)


def heavy(rng: Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    return 0.1 * rng.standard_t(3, size)


def stepped(rng: Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Differences of accuracies on 1,000 images, which are whole tenths."""
    return np.round(rng.normal(0, 0.15, size), 1)


def simulated(
    draw: Callable[[Generator, tuple[int, int]], NDArray[np.float64]],
    change: float,
    *,
    runs: int,
    cases: int,
    seeds: int,
    margin: float = MARGIN,
) -> list[list[str]]:
    """The words of that many pairs of runs; the mean of every case of the second has that change."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        before = 97 + rng.normal(0, 0.3, (cases, seeds))
        after = before + change + draw(rng, (cases, seeds))
        found.append(words(before.tolist(), after.tolist(), margin=margin))
    return found


def at_most(share: float, runs: int) -> float:
    """Five standard deviations above the number that is expected at most."""
    return float(runs * share + 5 * stats.binom(runs, share).std())


@pytest.mark.parametrize("draw", [normal, heavy, stepped])
@pytest.mark.parametrize(("cases", "seeds"), [(1, 3), (1, 5), (1, 10), (4, 5)])
def test_at_the_edge_of_the_margin_a_change_is_rarely_called_no_worse(
    draw: Callable[[Generator, tuple[int, int]], NDArray[np.float64]], cases: int, seeds: int
) -> None:
    """2,000 / `cases` runs in which every case is worse by the margin exactly: any `no worse` is wrong."""
    runs = 2000 // cases
    found = simulated(draw, -MARGIN, runs=runs, cases=cases, seeds=seeds)
    assert sum("no worse" in each for each in found) <= at_most(0.025, runs)
    assert sum("worse" in each for each in found) <= at_most(0.025, runs)


@pytest.mark.parametrize(("cases", "seeds"), [(1, 5), (4, 5), (4, 10)])
def test_no_change_is_found_as_often_as_is_said(cases: int, seeds: int) -> None:
    """The margin is the smallest that so many seeds can show in 80 % of cases; here are 400 of them."""
    margin = detectable(seeds, cases, 0.1)
    found = [
        word
        for each in simulated(normal, 0, runs=400 // cases, cases=cases, seeds=seeds, margin=margin)
        for word in each
    ]
    expected = stats.binom(len(found), 0.8)
    assert abs(found.count("no worse") - expected.mean()) <= 5 * expected.std()
    assert {*found} <= {"no worse", "inconclusive"}


def test_a_change_beyond_the_margin_is_worse_and_one_for_the_better_is_not() -> None:
    for each in simulated(normal, -1, runs=20, cases=3, seeds=10):
        assert each == ["worse"] * 3
    for each in simulated(normal, 1, runs=20, cases=3, seeds=10):
        assert each == ["no worse"] * 3


def test_a_run_that_looked_at_its_results_before_it_added_seeds_pays_for_that() -> None:
    rng = np.random.default_rng(0)
    before = 97 + rng.normal(0, 0.1, (1, 8))
    once, after = run_of(before.tolist()), run_of((before + rng.normal(0, 0.1, (1, 8))).tolist())
    looks = Looks(seeds=tuple(range(16)), counts=(4, 8, 16), reached=1)
    looked = after.model_copy(update={"record": after.record.model_copy(update={"looks": looks})})
    widths = []
    for run in (after, looked):
        (found,) = non_inferior(once, run, "accuracy", MARGIN)
        assert found.interval is not None
        widths.append(found.interval[1] - found.interval[0])
    quantiles = [float(stats.t.ppf(1 - 0.025 / of, 7)) for of in (1, 3 + 1)]
    assert widths[1] / widths[0] == pytest.approx(quantiles[1] / quantiles[0])


def test_for_a_loss_lower_is_better() -> None:
    """Losses rise by 0.1 nats in all five seeds of the first case, fall by it in the second."""

    def run(losses: Sequence[Sequence[float]]) -> RunResult:
        results = []
        for i, row in enumerate(losses):
            made = seeds_result("fc", f"m{i}", [97.0] * len(row))
            trials = tuple(
                trial.model_copy(
                    update={
                        "epochs": (
                            trial.epochs[-1].model_copy(
                                update={"metrics": {"test_accuracy": 97.0, "test_loss": loss}}
                            ),
                        )
                    }
                )
                for trial, loss in zip(made.trials, row, strict=True)
            )
            results.append(made.model_copy(update={"trials": trials}))
        return made_up_run(results)

    rng = np.random.default_rng(0)
    before = rng.normal(1, 0.1, (2, 5))
    after = before + np.array([[0.1], [-0.1]]) + rng.normal(0, 0.001, (2, 5))
    found = non_inferior(run(before.tolist()), run(after.tolist()), "test_loss", 0.02)
    assert [v.word for v in found] == ["worse", "no worse"]
    interval = found[0].interval
    assert interval is not None
    assert interval[0] < 0.1 < interval[1]  # as it is in the unit of the metric: current minus baseline


def test_an_interval_that_reaches_beyond_the_margin_is_inconclusive() -> None:
    (found,) = non_inferior(run_of([[97, 97, 97, 97]]), run_of([[96.5, 97.4, 97.2, 96.9]]), "accuracy", MARGIN)
    assert (found.word, exit_code([found])) == ("inconclusive", 3)
    (note,) = found.notes
    assert note.startswith("4 seeds of this spread can show that nothing changed only for a margin of about 0.")


def test_a_seed_that_only_the_current_run_lost_counts_against_it() -> None:
    whole, lost = [97.0, 97.1, 97.2, 97.3, 97.4], [97.3, 97.4, None, 97.6, 97.7]
    (found,) = non_inferior(run_of([whole]), run_of([lost]), "accuracy", MARGIN)
    assert (found.word, exit_code([found])) == ("lost seeds", 1)
    assert found.reason == "lost 1 of the 5 seeds that completed in the baseline: 2"
    gained = [97.31, 97.4, 97.5, 97.6, 97.7]
    (found,) = non_inferior(run_of([lost]), run_of([gained]), "accuracy", MARGIN)
    assert (found.word, found.seeds) == ("no worse", 4)
    assert found.notes == ("the baseline lost seeds that the current run completed: 2",)
    assert words([whole], [[None] * 5]) == ["lost seeds"]
    assert words([lost], [[97.31, 97.4, None, 97.6, 97.7]]) == ["no worse"]


def test_a_case_that_failed_lost_all_of_its_seeds() -> None:
    failed = seeds_result("fc", "m0", [97.0] * 3).model_copy(update={"status": "failed", "trials": ()})
    before, after = run_of([[97.0, 97.1, 97.2]]), made_up_run([failed])
    (found,) = non_inferior(before, after, "accuracy", MARGIN)
    assert (found.word, exit_code([found])) == ("lost seeds", 1)
    (found,) = non_inferior(after, before, "accuracy", MARGIN)
    assert (found.word, found.reason) == ("not comparable", "the baseline completed no seed")


def test_a_seed_that_was_not_trained_yet_is_no_lost_one() -> None:
    whole = seeds_result("fc", "m0", [97.0, 97.1, 97.2, 97.5])
    begun = seeds_result("fc", "m0", [97.01, 97.11, 97.2])
    stopped = begun.model_copy(update={"case": whole.case, "status": "interrupted"})
    (found,) = non_inferior(made_up_run([whole]), made_up_run([stopped]), "accuracy", MARGIN)
    assert (found.word, found.seeds) == ("no worse", 3)
    assert found.notes == ("seeds in one run only, which do not count: 3",)


def test_training_that_is_the_same_bit_for_bit_needs_no_statistics() -> None:
    """Equal accuracies of other trainings do."""
    one = seeds_result("fc", "m0", [97.0])
    assert words([[97.0]], [[97.0]]) == ["identical"]
    epoch = one.trials[0].epochs[0].model_copy(update={"train_loss": 1.0000001})
    other = one.model_copy(update={"trials": (one.trials[0].model_copy(update={"epochs": (epoch,)}),)})
    (found,) = non_inferior(made_up_run([one]), made_up_run([other]), "accuracy", MARGIN)
    assert (found.word, found.reason) == ("inconclusive", "1 common seed; at least 3 are needed")


def test_the_same_difference_of_each_of_few_seeds_may_be_chance() -> None:
    (found,) = non_inferior(run_of([[97.0, 97.0, 97.0]]), run_of([[96.9, 96.9, 96.9]]), "accuracy", MARGIN)
    assert found.word == "inconclusive"
    assert found.reason == "the difference is the same for each seed, which may be chance; add seeds"


def test_cases_of_one_run_only() -> None:
    three, two = [[97.0, 97.1, 97.2]] * 3, [[97.0, 97.1, 97.2]] * 2
    gone = non_inferior(run_of(three), run_of(two), "accuracy", MARGIN)
    assert [v.reason for v in gone] == ["", "", "only in the baseline"]
    new = non_inferior(run_of(two), run_of(three), "accuracy", MARGIN)
    assert [v.reason for v in new] == ["", "", "only in the current run"]
    assert (exit_code(gone), exit_code(new), exit_code(new[2:]), exit_code([])) == (3, 0, 3, 3)


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        ({}, {"epochs": 5}, "epochs was 1, is now 5"),
        (
            {"batch_size": 50, "optimizer": component("adam", lr=0.1)},
            {"batch_size": 500, "optimizer": component("adam", lr=0.2)},
            "optimizer lr was 0.1, is now 0.2; batch size was 50, is now 500",
        ),
        ({}, {"first_seed": 10}, "no common seed: 0, 1, 2, then 10, 11, 12"),
    ],
)
def test_what_is_no_change_of_the_code_is_not_compared(
    before: dict[str, Any], now: dict[str, Any], reason: str
) -> None:
    values = [[97.0, 97.1, 97.2]]
    (found,) = non_inferior(run_of(values, **before), run_of(values, **now), "accuracy", MARGIN)
    assert (found.word, found.reason, exit_code([found])) == ("not comparable", reason, 3)


def test_another_version_engine_or_precision_is_a_change_of_the_code() -> None:
    values = [97.0, 97.1, 97.2, 97.3]
    newer = component("m0").model_copy(update={"version": "9.9"})
    old = seeds_result("fc", "m0", values).model_copy(update={"engine": "dataloader", "precision": "float32"})
    new = seeds_result("fc", "m0", [97.01, 97.1, 97.2, 97.3], optimizer=newer, engine="resident", precision="bf16")
    new = new.model_copy(update={"engine": "resident", "precision": "bf16", "remarks": ("onednn",)})
    (found,) = non_inferior(made_up_run([old]), made_up_run([new]), "accuracy", MARGIN)
    assert found.word == "no worse"
    assert found.notes == (
        "engine was dataloader, is now resident",
        "precision was float32, is now bf16",
        "chosen by measurement was nothing, is now onednn",
    )


def test_other_contents_of_a_dataset_are_not_compared() -> None:
    run = run_of([[97.0, 97.1, 97.2]])

    def with_data(digest: str) -> RunResult:
        return run.model_copy(update={"record": run.record.model_copy(update={"data": {"mnist": digest}})})

    (found,) = non_inferior(with_data("a"), with_data("b"), "accuracy", MARGIN)
    assert (found.word, found.reason) == ("not comparable", "the contents of mnist differ")
    assert non_inferior(with_data("a"), run, "accuracy", MARGIN)[0].word == "identical"  # one did not record it


def test_the_margin_is_that_of_the_baseline_s_suite() -> None:
    """The change that is judged cannot widen it."""
    before, after = [[97.0, 97.1, 97.2, 97.3]], [[96.71, 96.8, 96.9, 97.0]]
    strict, lax = run_of(before, margin=0.1), run_of(after, margin=5.0)
    (found,) = non_inferior(strict, lax, "accuracy")
    assert (found.word, found.margin) == ("worse", 0.1)
    assert non_inferior(strict, lax, "accuracy", 0.5)[0].word == "no worse"
    with pytest.raises(BenchmnistError, match=r"^mnist/fc/m0 has no margin for accuracy; pass --margin"):
        non_inferior(run_of(before), lax, "accuracy")
    with pytest.raises(BenchmnistError, match=r"no margin for test_loss; pass --margin, such as --margin 0.01$"):
        non_inferior(strict, lax, "test_loss")


@pytest.mark.parametrize("name", [metric.key for metric in METRICS if metric.unit == "s" and metric.ratio])
def test_times_of_two_runs_are_left_to_the_gate_for_times(name: str) -> None:
    with pytest.raises(BenchmnistError, match=r"benchmnist gate BASELINE/benchmark.json CURRENT/benchmark.json"):
        non_inferior(run_of([[97.0]]), run_of([[97.0]]), find_metric(name), 0.1)


def with_memory(memory: int, **changed: Any) -> CaseResult:
    result = seeds_result("fc", "m0", [97.0, 97.1, 97.2])
    return result.model_copy(update={"peak_memory": memory, "environment": CUDA, **changed})


def of_memory(old: CaseResult, new: CaseResult, margin: float = 0.05) -> NonInferiority:
    (found,) = non_inferior(made_up_run([old]), made_up_run([new]), "peak_memory", margin)
    return found


def test_memory_is_compared_by_its_ratio_without_an_interval() -> None:
    assert of_memory(with_memory(100), with_memory(105)).word == "no worse"
    more = of_memory(with_memory(100), with_memory(106))
    assert (more.word, more.interval, exit_code([more])) == ("worse", None, 1)
    assert of_memory(with_memory(100), with_memory(50)).word == "no worse"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"environment": {**CUDA, "torch": "2.14"}}, "torch was 2.13, is now 2.14"),
        (
            {"environment": {**CUDA, "device_name": "other"}},
            "device name was a card, is now other",
        ),
        ({"engine": "graph"}, "engine was , is now graph"),
        ({"side_by_side": 2}, "side by side was 1, is now 2"),
        ({"status": "diverged"}, "the current run diverged"),
        ({"peak_memory": 0}, "the current run has no peak memory"),
    ],
)
def test_memory_of_another_machine_or_way_is_not_compared(changed: dict[str, Any], reason: str) -> None:
    found = of_memory(with_memory(100), with_memory(100).model_copy(update=changed))
    assert (found.word, found.reason) == ("not comparable", reason)


def test_memory_of_a_process_is_compared_only_if_it_did_the_same_before() -> None:
    cpu = {"environment": {"device": "cpu"}}
    one, shared = with_memory(100, **cpu), with_memory(100, **cpu, side_by_side=2)
    assert of_memory(one, one).word == "no worse"
    assert "train with --jobs 1" in of_memory(shared, shared).reason
    assert "taken from an earlier run" in of_memory(one, with_memory(100, **cpu, reused_from="x/y")).reason
    other = seeds_result("fc", "m1", [97.0])
    found = non_inferior(made_up_run([one]), made_up_run([one, other]), "peak_memory", 0.05)
    assert found[0].reason == "the runs have other cases, and this is the memory of a process"


def test_exit_codes() -> None:
    (one,) = non_inferior(run_of([[97.0]]), run_of([[97.0]]), "accuracy", MARGIN)
    fine, worse, unsure, lost = (
        replace(one, word=word) for word in ("no worse", "worse", "inconclusive", "lost seeds")
    )
    assert exit_code([one, fine]) == 0
    assert exit_code([fine, unsure]) == 3
    assert exit_code([unsure, worse]) == 1
    assert exit_code([lost]) == 1


def reaching(steps: Sequence[int | None]) -> RunResult:
    """A run of a case, in which each seed first reaches the target after so many steps, or never."""
    curves = [[2.0 if each is None or step < each else 0.5 for step in range(10, 1001, 10)] for each in steps]
    return made_up_run([course_result("adam", curves, every=10, target_loss=1.0)])


@pytest.mark.parametrize(
    ("after", "word", "interval"),
    [
        ((200, 210, 220, 190, 200), "identical", None),
        ((200, 210, 220, 200, 190), "no worse", None),
        ((410, 420, 430, 380, 410), "worse", (1.9, 2.1)),
        ((100, 110, 110, 100, 100), "no worse", (0.4, 0.6)),
        ((200, 210, 220, 190, None), "lost seeds", None),
    ],
)
def test_steps_to_the_target_are_compared_by_their_ratio(
    after: Sequence[int | None], word: str, interval: tuple[float, float] | None
) -> None:
    before = reaching((200, 210, 220, 190, 200))
    (found,) = non_inferior(before, reaching(after), "target_steps", 0.1)
    assert found.word == word
    assert found.baseline == pytest.approx(stats.gmean([200, 210, 220, 190, 200][: found.seeds]))
    if interval is not None:
        assert found.interval is not None
        assert interval[0] < found.interval[0] < found.interval[1] < interval[1]
    if word == "lost seeds":
        assert found.reason == "lost 1 of the 5 seeds that reached the target in the baseline: 4"
    shown = markdown_non_inferiority([found], (before, reaching(after)))
    assert "Steps to the target, margin 10 %" in shown


def test_the_seconds_to_the_target_are_left_to_the_gate_on_times() -> None:
    run = reaching((200, 210, 220))
    with pytest.raises(BenchmnistError, match="depends on the state of the machine"):
        non_inferior(run, run, "target_seconds", 0.1)
