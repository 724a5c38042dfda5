from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import made_up_run, seeds_result
from scipy import stats

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.expectations import missed
from benchmnist.analysis.figures import case_figure, seed_figures
from benchmnist.analysis.reached import censored_median
from benchmnist.analysis.targets import split, times_to_target
from benchmnist.metrics import TARGET_SECONDS
from benchmnist.reports.records import records

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult


def case(accuracies: list[float | None], seconds: float | list[float] = 2.0, **options: Any) -> CaseResult:
    """Five epochs that rise evenly: a seed that ends with 100 % is at 60 % after the third."""
    return seeds_result(
        "fc",
        str(options.pop("method", "adam")),
        accuracies,
        epochs=5,
        seconds=seconds,
        target_accuracy=60.0,
        **options,
    )


def test_a_target_is_reached_after_the_epoch_that_was_tested_there() -> None:
    (found,) = times_to_target([case([100.0, 75.0, 60.0])])
    assert [each.epochs for each in found.reached.values()] == [3, 4, 5]
    assert (found.hits, found.epochs, found.steps, found.seconds) == (3, 4, 40, 8.0)
    assert found.step_seconds == 0.2


def test_a_miss_is_not_given_the_time_that_it_was_watched_for() -> None:
    (found,) = times_to_target([case([100.0, 100.0, 50.0])])
    assert (found.hits, found.seconds) == (2, 6.0)
    (most,) = times_to_target([case([100.0, 50.0, 50.0, None])])
    assert (most.hits, most.epochs, most.steps, most.seconds) == (1, None, None, None)
    assert most.watched == 10.0  # not the time until one diverged


def test_who_diverged_or_failed_was_there_never() -> None:
    (found,) = times_to_target([case([None, None, 100.0])])
    assert (found.hits, found.seconds, found.watched) == (1, None, 0.0)
    whole = case([100.0] * 3)
    late = whole.trials[0].model_copy(update={"status": "diverged"})  # after it had reached the target
    (found,) = times_to_target([whole.model_copy(update={"trials": (late, *whole.trials[1:])})])
    assert (found.hits, len(found.reached)) == (2, 3)
    crashed = whole.model_copy(update={"status": "crashed", "trials": whole.trials[:1]})
    (found,) = times_to_target([crashed])
    assert (found.hits, len(found.reached), found.seconds) == (1, 3, None)
    cut = whole.model_copy(update={"status": "interrupted", "trials": whole.trials[:1]})
    (found,) = times_to_target([cut])  # the others were not trained yet
    assert (found.hits, len(found.reached), found.seconds) == (1, 1, 6.0)


def test_what_has_no_target_and_controls_are_left_out() -> None:
    assert times_to_target([seeds_result("fc", "adam", [90.0]), case([100.0], control=True)]) == []


@given(st.lists(st.integers(1, 9) | st.just(math.inf), min_size=1, max_size=12))
def test_the_median_is_that_of_kaplan_and_meier(times: list[float]) -> None:
    """Every miss is watched to the same end, 10."""
    censored = [time for time in times if math.isinf(time)]
    hit = [time for time in times if math.isfinite(time)]
    data: Any = stats.CensoredData(uncensored=hit, right=[10.0] * len(censored))
    survival = stats.ecdf(data).sf
    theirs = next(
        (q for q, p in zip(survival.quantiles, survival.probabilities, strict=True) if p <= 0.5 + 1e-9), None
    )
    assert censored_median(times) == (theirs if theirs is not None and theirs < 10 else None)


def test_the_time_to_the_target_is_a_metric() -> None:
    """In columns, files for programs, expectations and verdicts; its misses are censored, not left out."""
    result = case([100.0, 50.0, 75.0], expect={"target_seconds": "<= 7"})
    assert seed_figures(result, "target_seconds") == {0: 6.0, 2: 8.0}
    assert case_figure(result, TARGET_SECONDS) == (8.0, None)
    assert case_figure(case([100.0, 50.0, 50.0]), TARGET_SECONDS) is None
    assert case_figure(seeds_result("fc", "adam", [90.0]), TARGET_SECONDS) is None
    assert missed(result) == ("expected target_seconds <= 7, got no value for seed 1, 8.00 s for seed 2",)
    rows = records(Analysis(made_up_run([result])), "seed").rows
    assert [row["target_seconds"] for row in rows] == [6.0, None, 8.0]


def test_sooner_is_fewer_steps_times_cheaper_ones() -> None:
    fast, slow = times_to_target([case([100.0] * 3, 1.0), case([75.0] * 3, 2.0, method="sgd")])
    why = split(fast, slow)
    assert why is not None
    assert (why.seeds, why.steps, why.cost) == pytest.approx((3, 4 / 3, 2.0))
    assert slow.seconds is not None
    assert fast.seconds is not None
    assert why.time == pytest.approx(slow.seconds / fast.seconds)
    (never,) = times_to_target([case([10.0] * 3)])
    assert split(never, slow) is None


SEEDS = st.tuples(st.sampled_from([100.0, 75.0, 60.0, 50.0, None]), st.floats(0.01, 100.0))


@given(st.lists(st.tuples(SEEDS, SEEDS), min_size=1, max_size=8))
def test_the_causes_multiply_to_the_geometric_mean_of_the_ratios_of_the_times(
    seeds: list[tuple[tuple[float | None, float], tuple[float | None, float]]],
) -> None:
    """Whatever the seeds do: in those in which both reach the target, and only there."""
    cases = [
        case([seed[which][0] for seed in seeds], [seed[which][1] for seed in seeds], method=method)
        for which, method in enumerate(("one", "other"))
    ]
    one, other = times_to_target(cases)
    why = split(one, other)
    ours, theirs = (seed_figures(each, TARGET_SECONDS) for each in cases)
    both = ours.keys() & theirs.keys()
    if not both:
        assert why is None
        return
    assert why is not None
    assert why.seeds == len(both)
    expected = math.exp(math.fsum(math.log(theirs[seed] / ours[seed]) for seed in both) / len(both))
    assert why.steps * why.cost == pytest.approx(expected)
    back = split(other, one)
    assert back is not None
    assert (back.steps, back.cost) == pytest.approx((1 / why.steps, 1 / why.cost))


@given(st.lists(SEEDS, min_size=1, max_size=9))
def test_the_figures_of_a_row_are_those_of_one_seed(seeds: list[tuple[float | None, float]]) -> None:
    (found,) = times_to_target([case([accuracy for accuracy, _ in seeds], [seconds for _, seconds in seeds])])
    if found.seconds is None:
        assert found.steps is None
        return
    assert found.steps is not None
    assert found.step_seconds is not None
    assert found.steps * found.step_seconds == pytest.approx(found.seconds)
    assert found.seconds == censored_median([each.seconds for each in found.reached.values()])
