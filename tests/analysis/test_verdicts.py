from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_up import seeds_result

from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.verdicts import judge, judge_pair, main_verdicts, pairs

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

SPREAD = (0.0, 0.1, -0.1, 0.05, -0.05)


def around(mean: float, spread: tuple[float, ...] = SPREAD) -> list[float | None]:
    return [mean + each for each in spread]


def word(one: list[float | None], other: list[float | None], margin: float | None = None) -> str:
    return judge_pair(seeds_result("fc", "a", one, margin=margin), seeds_result("fc", "b", other)).word


def test_each_word_wants_its_evidence() -> None:
    crossed = around(90, SPREAD[::-1])
    assert word(around(91), crossed) == "better"
    assert word(around(89), crossed) == "worse"
    assert word(around(90), crossed) == "no difference shown"
    assert word(around(90), crossed, margin=0.5) == "equivalent"
    assert word(around(90.06), crossed) == "more seeds"
    assert word([91.0, 91.1], [90.0, 90.1]) == "too few seeds"
    assert word([91.0, None, 91.0, None], [90.0] * 4) == "too few seeds"


def test_a_sure_difference_that_is_less_than_the_margin_is_none() -> None:
    assert word(around(90.1), around(90.0, (0.0, 0.1, -0.1, 0.04, -0.05))) == "better"
    assert word(around(90.1), around(90.0, (0.0, 0.1, -0.1, 0.04, -0.05)), margin=0.5) == "equivalent"


def test_what_more_seeds_are_promised_would_tell() -> None:
    verdict = judge_pair(seeds_result("fc", "a", around(90.06)), seeds_result("fc", "b", around(90, SPREAD[::-1])))
    assert verdict.more is not None
    rng = np.random.default_rng(0)
    paired, n = verdict.paired, verdict.paired.n + verdict.more
    shown = 0
    for _ in range(300):
        differences = rng.normal(paired.mean, paired.std, n)
        one = seeds_result("fc", "a", [90 + d for d in differences.tolist()])
        shown += judge_pair(one, seeds_result("fc", "b", [90.0] * n)).word == "better"
    assert shown / 300 >= 0.75  # four times out of five, and the standard error is 0.023


def test_times_are_compared_by_their_ratio_and_less_is_better() -> None:
    fast = seeds_result("fc", "a", [90.0] * 4, seconds=(1.0, 1.1, 0.9, 1.0))
    slow = seeds_result("fc", "b", [90.0] * 4, seconds=(2.0, 2.2, 1.8, 2.1))
    verdict = judge_pair(fast, slow, "epoch_seconds")
    assert verdict.word == "better"
    assert np.exp(-verdict.paired.mean) == pytest.approx(2.0, rel=0.05)
    assert judge_pair(slow, fast, "epoch_seconds").word == "worse"


def suite() -> list[CaseResult]:
    return [
        seeds_result(model, method, around(mean), baseline="sgd")
        for model, mean in (("fc", 80.0), ("fc-bn", 90.0))
        for method, mean in (("sgd", mean), ("momentum", mean + 5), ("adam", mean + 8), ("rmsprop", mean + 7.9))
    ]


def test_every_case_is_compared_with_what_differs_from_it_in_one_thing() -> None:
    named = [(one.id.removeprefix("mnist/"), other.id.removeprefix("mnist/")) for one, other in pairs(suite())]
    assert len(named) == len({frozenset(pair) for pair in named}) == 6 + 6 + 4
    assert ("fc/momentum", "fc/sgd") in named  # the baseline is what the other is held against
    assert ("fc-bn/adam", "fc/adam") in named  # and the model that stands before
    assert not {("fc-bn/adam", "fc/sgd"), ("fc/sgd", "fc-bn/adam")} & {*named}


def test_a_baseline_that_stands_last_is_held_against_all_the_same() -> None:
    cases = [seeds_result("fc", name, around(90), baseline="sgd") for name in ("adam", "sgd")]
    assert [(one.case.method, other.case.method) for one, other in pairs(cases)] == [("adam", "sgd")]


def test_a_control_is_compared_with_nothing() -> None:
    control = seeds_result("fc", "sgd", around(90), axes=("control",), control=True, first_seed=5)
    assert len([*pairs([*suite(), control])]) == 16


def test_a_table_shows_the_baseline_the_next_in_the_ranking_and_the_model_before() -> None:
    shown = {
        (v.one.id.removeprefix("mnist/"), v.other.id.removeprefix("mnist/")) for v in main_verdicts(judge(suite()))
    }
    assert {("fc/adam", "fc/sgd"), ("fc/rmsprop", "fc/adam"), ("fc/rmsprop", "fc/momentum")} <= shown
    assert ("fc/adam", "fc/momentum") not in shown  # rmsprop stands between
    assert len(shown) == 5 + 5 + 4


def test_more_comparisons_want_more_evidence() -> None:
    cases = suite()
    alone = judge_pair(cases[1], cases[0])
    among = next(v for v in judge(cases) if (v.one, v.other) == (cases[1], cases[0]))
    assert alone.p is not None
    assert among.p is not None
    assert alone.p < among.p


@pytest.mark.parametrize("step", [None, 0.1], ids=["normal", "a test set of 1,000"])
def test_where_there_is_no_difference_hardly_any_run_says_that_there_is(step: float | None) -> None:
    """400 runs of eight cases that are all the same: at most one in twenty may say anything; standard error 0.011.

    The seeds are paired: a part of the spread is shared. The second takes accuracies as a small test set has them.
    """
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(400):
        shared = rng.normal(0, 0.1, 5)
        cases = []
        for model in ("fc", "fc-bn"):
            for method in ("sgd", "momentum", "adam", "rmsprop"):
                accuracies = 97 + shared + rng.normal(0, 0.1, 5)
                rounded = accuracies if step is None else np.round(accuracies / step) * step
                cases.append(seeds_result(model, method, rounded.tolist(), baseline="sgd"))
        wrong += any(v.word in ("better", "worse") for v in judge(cases))
    assert wrong / 400 <= LEVEL + 2.5 * 0.011


def test_a_pair_that_was_chosen_from_many_wants_more_evidence() -> None:
    one, other = seeds_result("fc", "a", around(90.2)), seeds_result("cnn", "b", around(90, SPREAD[::-1]))
    alone, chosen = judge_pair(one, other), judge_pair(one, other, of=100)
    assert alone.p is not None
    assert chosen.p == pytest.approx(100 * alone.p)
    assert (alone.word, chosen.word) == ("better", "more seeds")


def test_cases_of_no_common_seed_say_nothing() -> None:
    one, other = seeds_result("fc", "a", around(90)), seeds_result("fc", "b", around(80), first_seed=5)
    assert judge_pair(one, other).word == "too few seeds"
