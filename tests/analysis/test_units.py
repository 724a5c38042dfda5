"""A search as the unit of a verdict: what is joined, and how often verdicts on tuned rules are false."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_up import made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.units import by_search, members, unit
from benchmnist.analysis.verdicts import judge
from benchmnist.reports.extra_tables import EXTRA_TABLES
from benchmnist.suites.cases import Space
from benchmnist.suites.sampling import random_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import CaseResult

TRIES, SEEDS = 16, 5
BEST_AT = {"sgd": 0.45, "adam": 0.6}
"""Where in its range each of two rules is best; both reach 97.5 % there."""
NOISE = 0.1


def one_search(
    method: str, number: int, accuracies: Sequence[float | None], *, repeated: bool = True
) -> CaseResult:
    axes = (f"search-{number}",) if repeated else ()
    return seeds_result(
        "fc",
        method,
        accuracies,
        first_seed=(number - 1) * len(accuracies),
        id="/".join(("mnist/fc", method, *axes)),
        axes=axes,
        search=number if repeated else None,
        tuned=True,
    )


def test_the_cases_of_the_searches_of_a_method_are_joined() -> None:
    results = [
        one_search("sgd", 1, [90.0, 92.0]),
        one_search("sgd", 2, [94.0, 98.0]),
        one_search("sgd", 3, [94.0, None]),
        seeds_result("fc", "other", [1.0, 2.0]),
    ]
    sgd, other = by_search(results)
    assert (sgd.id, sgd.case.method, sgd.case.seeds, sgd.case.search) == ("mnist/fc/sgd", "sgd", (1, 2, 3), None)
    assert (sgd.status, [trial.status for trial in sgd.trials]) == (
        "diverged",
        ["completed", "completed", "diverged"],
    )
    assert [trial.epochs[-1].test_accuracy for trial in sgd.trials] == [91.0, 96.0, None]
    assert members(sgd) == (*results[:3],)
    assert other is results[3]
    assert (unit(sgd), unit(other)) == ("search", "seed")
    assert by_search([sgd, other]) == [sgd, other]


def test_verdicts_pair_by_search_and_say_which_rows_they_are_about() -> None:
    sgd = [one_search("sgd", k, [90.0 + k, 92.0 + k]) for k in (1, 2, 3)]
    adam = [one_search("adam", k, [95.0 + k, 97.1 + k]) for k in (1, 2, 3)]
    results = [result for pair in zip(sgd, adam, strict=True) for result in pair]
    (verdict,) = judge(results)
    assert verdict.paired.values == pytest.approx((5.05, 5.05, 5.05))
    (rules,) = [each for each in Analysis(made_up_run(results)).findings if each.kind == "rules"]
    assert rules.text.startswith("On mnist · fc, adam (98.05 %)")
    assert {*rules.cases} == {result.id for result in results}
    alone = [one_search(m, 1, [v, v + 0.1, v - 0.1], repeated=False) for m, v in (("sgd", 90.0), ("adam", 95.0))]
    (rules,) = [each for each in Analysis(made_up_run(alone)).findings if each.kind == "rules"]
    assert rules.text.startswith("On mnist · fc, with the settings found for each, adam (95.00 %)")


def test_no_verdict_is_about_one_of_several_searches() -> None:
    """The table has a row for each: their marks, brackets and intervals would be those of all together."""
    rules = (("sgd", 90.0, 1), ("adam", 95.0, 2))
    results = [one_search(m, k, [v + k**power / 10, v]) for k in (1, 2, 3, 4) for m, v, power in rules]
    for i, result in enumerate(results):
        baseline = f"sgd/search-{result.case.search}"
        results[i] = result.model_copy(update={"case": result.case.model_copy(update={"baseline": baseline})})
    analysis = Analysis(made_up_run(results))
    (verdict,) = analysis.verdicts()
    assert verdict.word == "better"
    assert analysis.unbeaten(results[0].case.primary) == frozenset()
    assert analysis.against_baseline(results[0].case.primary) == {}


def test_a_search_that_lost_a_seed_counts_against_its_method() -> None:
    sgd = [one_search("sgd", k, [90.0 + k / 10, 90.0]) for k in (1, 2, 3, 4, 5)]
    wild = [one_search("wild", k, [95.0 + k**2 / 10, None if k < 3 else 95.0]) for k in (1, 2, 3, 4, 5)]
    (verdict,) = judge([*sgd, *wild])
    assert (verdict.word, verdict.lost) == ("lost seeds", (frozenset({1, 2}), frozenset()))
    said = " ".join(each.text for each in Analysis(made_up_run([*sgd, *wild])).findings)
    assert "in the 3 of 5 searches that" in said


def test_too_few_searches_are_told_as_such() -> None:
    results = [one_search(m, k, [v, v + 1]) for k in (1, 2) for m, v in (("sgd", 90.0), ("adam", 95.0))]
    said = " ".join(each.text for each in Analysis(made_up_run(results)).findings)
    assert "2 searches are too few to show which case is better" in said
    assert "--searches 5" in said
    (table,) = EXTRA_TABLES["verdicts"](Analysis(made_up_run(results)))
    assert (table.heads[-1], table.rows[0][-1], "paired by search" in table.about) == ("searches", "2", True)


def found_by(method: str, seed: int, random: np.random.Generator) -> float:
    """The true accuracy with the learning rate that a search of TRIES finds, judged by one noisy trial each."""
    points = itertools.islice(random_points({"lr": Space(low=0.0, high=1.0)}, seed), TRIES)
    true: list[float] = [97.5 - 40 * (point["lr"] - BEST_AT[method]) ** 2 for point in points]
    judged = true + NOISE * random.standard_normal(TRIES)
    return true[int(judged.argmax())]


def false_claims(searches: int, repetitions: int) -> float:
    """How often one of two rules of the same best accuracy is called better, each tuned as the tuner does it."""
    random = np.random.default_rng(searches)
    false = 0
    for repetition in range(repetitions):
        results = []
        for method, number in itertools.product(BEST_AT, range(1, searches + 1)):
            mean = found_by(method, 1000 * repetition + number, random)
            accuracies = (mean + NOISE * random.standard_normal(SEEDS)).tolist()
            results.append(one_search(method, number, accuracies, repeated=searches > 1))
        (verdict,) = judge(results)
        false += verdict.word in ("better", "worse")
    return false / repetitions


def test_with_one_search_two_equal_rules_are_often_told_apart() -> None:
    """Of 1,000 runs: so its sentence is about the settings that were found, and not about the rules."""
    assert false_claims(1, 1000) > 0.2


@pytest.mark.parametrize("searches", [3, 5])
def test_with_searches_as_units_few_false_claims_are_made(searches: int) -> None:
    """Of 2,000 runs, at most one in twenty."""
    repetitions = 2000
    assert false_claims(searches, repetitions) < 0.05 + 5 * math.sqrt(0.05 * 0.95 / repetitions)
