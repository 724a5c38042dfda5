"""The rule by which a run with looks stops, and what it costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_up import made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.looks import HOPELESS, chance_to_tell, is_hopeless, primary, standing
from benchmnist.analysis.statistics import LEVEL, Paired
from benchmnist.analysis.verdicts import judge
from benchmnist.suites.looks import announce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.looks import Looks

METHODS = ("sgd", "momentum", "adam", "rmsprop")


def cases(accuracies: Sequence[Any], **case: Any) -> list[CaseResult]:
    """A case of each method, the first of which is the baseline."""
    each = zip(METHODS[: len(accuracies)], accuracies, strict=True)
    return [seeds_result("fc", name, [*values], baseline="sgd", **case) for name, values in each]


def at(looks: Looks, reached: int) -> Looks:
    return looks.model_copy(update={"reached": reached})


NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = {
    "normal": lambda rng, size: rng.normal(0, 0.2, size),
    "heavy tails": lambda rng, size: 0.1 * rng.standard_t(3, size),
    "a test set of 500": lambda rng, size: np.round(rng.normal(0, 0.2, size) / 0.2) * 0.2,
    "unequal spreads": lambda rng, size: rng.normal(0, 0.2, size) * np.array([[0.2], [1], [3], [8]]),
}


def first_seeds(result: CaseResult, number: int) -> CaseResult:
    case = result.case.model_copy(update={"seeds": result.case.seeds[:number]})
    return result.model_copy(update={"case": case, "trials": result.trials[:number]})


def wrong_at_any_look(seeds: Any, looks: Looks, *, paid: bool = True) -> bool:
    """Whether a primary comparison of cases that are all the same is `better` or `worse` at any look."""
    whole = cases(seeds.tolist())
    return any(
        verdict.word in ("better", "worse")
        for n in looks.counts
        for verdict in judge([first_seeds(each, n) for each in whole], looks=looks.number if paid else 1)
        if verdict.family == "primary"
    )


@pytest.mark.parametrize("noise", NOISES)
def test_looking_several_times_is_paid_for(noise: str) -> None:
    """1,000 runs of four cases that are all the same, looked at with 3, 5, 8 and 12 seeds.

    Any false word at any look counts, also after the run would have stopped. The bound is five standard errors
    (0.0069) above 0.05, which looks that are not paid for exceed: see the next test.
    """
    rng, looks = np.random.default_rng(3), announce(range(3), 12)
    wrong = sum(
        wrong_at_any_look(97 + rng.normal(0, 0.2, 12) + NOISES[noise](rng, (4, 12)), looks) for _ in range(1000)
    )
    assert wrong / 1000 <= LEVEL + 5 * 0.0069


def test_looks_that_are_not_paid_for_would_be_noticed() -> None:
    rng, looks = np.random.default_rng(3), announce(range(3), 12)
    seeds = (97 + rng.normal(0, 0.2, 12) + rng.normal(0, 0.2, (4, 12)) for _ in range(1000))
    assert sum(wrong_at_any_look(each, looks, paid=False) for each in seeds) / 1000 > LEVEL + 5 * 0.0069


@pytest.mark.parametrize(("effect", "told"), [(2.0, 0.9), (1.0, 0.6)])
def test_true_differences_are_seldom_given_up(effect: float, told: float) -> None:
    """200 comparisons with a difference of so many spreads: they are told before they are hopeless.

    4,000 of them were told in 1.00 and 0.99 of the cases; the bound leaves more than five standard errors.
    """
    rng, looks, found = np.random.default_rng(1), announce(range(3), 30), 0
    for _ in range(200):
        differences = rng.normal(effect, 1, 30)
        for reached, n in enumerate(looks.counts, 1):
            results = cases([[50.0] * n, (50 + differences[:n]).tolist()])
            state = standing(judge(results, looks=looks.number), at(looks, reached))
            if state.settled:
                found += state.told
                break
    assert found / 200 >= told


def test_what_is_hopeless_is_hardly_ever_told_by_the_last_look() -> None:
    """2,000 comparisons, seen with 5 seeds: of those that are hopeless, fewer than 0.1 are told with all 20.

    The bound is five standard errors above 0.1. Larger differences are hardly ever hopeless.
    """
    rng, tried, told = np.random.default_rng(5), 0, 0
    for _ in range(2000):
        values = rng.normal(rng.uniform(-1, 1), 1, 20)
        chance = chance_to_tell(Paired(tuple(values[:5].tolist())), 20, of=6)
        if chance < HOPELESS:
            low, high = Paired(tuple(values.tolist())).interval(6) or (0.0, 0.0)
            tried, told = tried + 1, told + (low > 0 or high < 0)
    assert tried > 100
    assert told / tried <= HOPELESS + 5 * math.sqrt(HOPELESS / tried)


def test_the_chance_grows_with_the_difference_and_with_the_seeds() -> None:
    def chance(mean: float, number: int = 12, **options: Any) -> float:
        return chance_to_tell(Paired((mean - 0.1, mean, mean + 0.1)), number, **options)

    assert chance(0.0) < chance(0.05) < chance(0.2)
    assert chance(0.05, 5) < chance(0.05, 30)
    assert chance(0.05) > chance(0.05, of=50)
    assert chance(0.0, 30, margin=0.5) > 0.9 > chance(0.0, 30)  # it would be equivalent
    assert chance(0.05) == chance(0.05)
    assert chance(0.5, 3) == 0.0  # no seed is left


def test_equal_differences_leave_a_comparison_open() -> None:
    """They have no spread yet; more seeds may show one."""
    assert chance_to_tell(Paired((0.1, 0.1, 0.1)), 6, of=2) == 1.0
    assert chance_to_tell(Paired((0.1, 0.1, 0.1)), 3, of=2) == 0.0


def test_each_comparison_is_told_hopeless_or_open() -> None:
    looks = announce(range(3), 20)
    clear, level = [95.0, 95.2, 95.0], [90.0, 90.4, 89.6]
    results = cases([[90.0, 90.1, 90.05], clear, level])
    found = standing(judge(results, looks=looks.number), looks)
    assert (found.told, found.hopeless, found.open) == (1, 0, 1)
    assert not found.settled
    assert str(found) == "of 2 comparisons, 1 is told and 1 is open"


def test_a_case_that_fails_or_loses_its_seeds_is_hopeless() -> None:
    looks = announce(range(3), 20)
    lost = cases([[90.0, 90.1, 90.05], [None, 95.0, None]])
    (verdict,) = judge(lost, looks=looks.number)
    assert is_hopeless(verdict, looks)
    failed = [lost[0], lost[0].model_copy(update={"status": "failed", "trials": (), "case": lost[1].case})]
    assert standing(judge(failed, looks=looks.number), looks).settled


def test_after_the_last_look_a_comparison_stays_open() -> None:
    looks = at(announce(range(3), 5), 2)
    results = cases([[90.0, 90.1, 90.05, 90.2, 89.9], [90.1, 90.0, 90.2, 89.9, 90.05]])
    assert not is_hopeless(judge(results, looks=2)[0], looks)


def test_primary_comparisons_are_known_before_training() -> None:
    made = [result.case for result in cases([[90.0]] * 4)]
    assert [(one.method, other.method) for one, other in primary(made)] == [(name, "sgd") for name in METHODS[1:]]


def test_a_report_says_where_the_run_stopped() -> None:
    base = [90.0, 90.3, 89.8, 90.1, 89.9]
    results = cases([base, [a + 5 for a in base[::-1]]])
    run = made_up_run(results)
    assert not [f for f in Analysis(run).findings if f.kind == "looks"]
    looks = at(announce(range(3), 12), 2)

    def said(**update: Any) -> str:
        record = run.record.model_copy(update={"looks": looks.model_copy(update=update)})
        (found,) = [f for f in Analysis(run.model_copy(update={"record": record})).findings if f.kind == "looks"]
        return found.text

    assert said(stopped="settled").startswith(
        "The run stopped after look 2 of 4 (5 seeds), because no comparison was open: of 1 comparison, 1 is told."
    )
    assert "because all 12 seeds were trained" in said(stopped="all seeds", reached=4)
    assert said().startswith("The run ended before look 2 of 4 (5 seeds) did.")
