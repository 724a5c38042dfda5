from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_up import seeds_result

from benchmnist.analysis.pairs import compared, unequal
from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.verdicts import judge, judge_pair, main_verdicts, rank
from benchmnist.suites.differences import differences

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
    assert word(around(90), around(90)) == "identical"
    assert word([91.0, 91.1], [90.0, 90.1]) == "too few seeds"
    assert word([91.0, 90.0], [91.0, 90.0]) == "identical"
    other = seeds_result("fc", "b", [91.0, 90.0])
    trials = [
        t.model_copy(update={"epochs": tuple(e.model_copy(update={"train_loss": 2.0}) for e in t.epochs)})
        for t in other.trials
    ]
    lucky = other.model_copy(update={"trials": tuple(trials)})  # the accuracies of two may agree by chance
    assert judge_pair(seeds_result("fc", "a", [91.0, 90.0]), lucky).word == "too few seeds"


def test_a_sure_difference_that_is_less_than_the_margin_is_none() -> None:
    assert word(around(90.1), around(90.0, (0.0, 0.1, -0.1, 0.04, -0.05))) == "better"
    assert word(around(90.1), around(90.0, (0.0, 0.1, -0.1, 0.04, -0.05)), margin=0.5) == "equivalent"


def test_a_lost_seed_counts_against_its_case() -> None:
    good: list[float | None] = [91.0, 91.2, 91.1, 90.9, 91.0]
    poor: list[float | None] = [90.0, 90.1, 90.2, 90.0, 89.9]
    lossy: list[float | None] = [91.0, 91.2, 91.1, 90.9, None]
    assert (word(good, poor), word(lossy, poor), word(poor, lossy)) == ("better", "lost seeds", "lost seeds")
    assert word(good, [*poor[:4], None]) == "lost seeds"  # it may have lost its best
    assert word([None, *good[1:]], [None, *poor[1:]]) == "better"  # nobody has it
    assert word(lossy, [*lossy[:4], 91.0], margin=0.5) == "lost seeds"
    assert word([91.0, None, None, None], poor[:4]) == "lost seeds"
    assert word([None] * 4, poor[:4]) == "lost seeds"
    assert word([91.0, None], poor[:2]) == "too few seeds"


@pytest.mark.parametrize(("seeds", "share"), [(5, 0.2), (10, 0.3), (20, 0.1), (20, 0.5)])
def test_who_loses_its_worst_seeds_is_not_better_for_it(seeds: int, share: float) -> None:
    """400 runs of two equal rules, one of which diverges on its worst seeds; 2.5 % would be honest."""
    rng, wrong = np.random.default_rng(seeds), 0
    for _ in range(400):
        one, other = rng.normal(97, 0.2, (2, seeds))
        kept = [None if value < np.quantile(one, share) else float(value) for value in one]
        wrong += word(kept, other.tolist()) in ("better", "equivalent")
    assert wrong / 400 <= LEVEL / 2 + 5 * 0.008


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


def named(cases: list[CaseResult], family: str = "") -> list[tuple[str, str]]:
    return [
        (pair.one.id.removeprefix("mnist/"), pair.other.id.removeprefix("mnist/"))
        for pair in compared(cases)
        if family in ("", pair.family)
    ]


def test_every_case_is_compared_with_what_differs_from_it_in_one_thing() -> None:
    found = named(suite())
    assert len(found) == len({frozenset(pair) for pair in found}) == 6 + 6 + 4
    assert ("fc/momentum", "fc/sgd") in found  # the baseline is what the other is held against
    assert ("fc-bn/adam", "fc/adam") in found  # and the model that stands before
    assert not {("fc-bn/adam", "fc/sgd"), ("fc/sgd", "fc-bn/adam")} & {*found}


def test_a_baseline_that_stands_last_is_held_against_all_the_same() -> None:
    cases = [seeds_result("fc", name, around(90), baseline="sgd") for name in ("adam", "sgd")]
    assert named(cases) == [("fc/adam", "fc/sgd")]


def test_a_control_is_compared_with_nothing() -> None:
    control = seeds_result("fc", "sgd", around(90), axes=("control",), control=True, first_seed=5)
    assert len(named([*suite(), control])) == 16


def test_primary_is_the_baseline_or_what_the_suite_names_or_else_everything() -> None:
    cases = suite()
    assert len(named(cases, "primary")) == 6
    assert {other.split("/")[1] for _, other in named(cases, "primary")} == {"sgd"}
    told = [
        seeds_result(c.case.model.label, c.case.method, around(90), baseline="sgd", compared_with=names)
        for c in cases
        for names in [("mnist/fc/adam",) if c.id == "mnist/fc-bn/adam" else ()]
    ]
    assert named(told, "primary") == [("fc-bn/adam", "fc/adam")]
    assert len(named(told)) == 16
    without = [seeds_result("fc", name, around(90)) for name in ("sgd", "adam", "momentum")]
    assert len(named(without, "primary")) == len(named(without)) == 3
    models = [seeds_result(name, "adam", around(90), baseline="sgd") for name in ("fc", "fc-bn")]
    assert named(models, "primary") == [("fc-bn/adam", "fc/adam")]


def test_a_family_is_as_large_as_what_it_promises() -> None:
    assert {(v.family, v.of) for v in judge(suite())} == {("primary", 6), ("exploratory", 16)}
    assert {v.of for v in judge(suite(), looks=4)} == {24, 64}


def swept(lr: float, mean: float) -> CaseResult:
    made = seeds_result("fc", "sgd", around(mean), lr=lr, baseline="adam")
    optimizer = made.case.optimizer.model_copy(update={"variant": f"lr-{lr}", "params": {"lr": lr}})
    return made.model_copy(
        update={"case": made.case.model_copy(update={"optimizer": optimizer, "id": f"mnist/fc/sgd/lr-{lr}"})}
    )


def test_the_points_of_one_sweep_are_not_compared_with_each_other() -> None:
    cases = [
        seeds_result("fc", "adam", around(90), baseline="adam"),
        *(swept(lr, 90) for lr in (0.1, 0.01, 0.001)),
    ]
    assert len(named(cases)) == 3
    assert {other for _, other in named(cases)} == {"fc/adam"}


def test_where_more_than_one_thing_differs_nothing_is_compared_and_all_of_it_is_named() -> None:
    sgd = seeds_result("fc", "sgd", around(30), baseline="sgd", batch_size=500)
    adam = seeds_result("fc", "adam", around(90), baseline="sgd", epochs=5, batch_size=50)
    assert judge([sgd, adam]) == []
    ((pair, differing),) = unequal([sgd, adam])
    assert (pair.one.case.method, differing) == ("adam", ("epochs (5 and 1)", "batch size (50 and 500)"))
    wide = seeds_result("wide", "sgd", around(90), batch_size=500, epochs=10)
    assert judge([sgd, wide]) == []
    assert differences(wide.case, sgd.case) == ("epochs (10 and 1)",)


SETTINGS: tuple[dict[str, Any], ...] = (
    {"epochs": 2},
    {"batch_size": 7},
    {"label_smoothing": 0.1},
    {"clip_grad_norm": 1.0},
    {"precision": "bf16"},
    {"train_size": 400},
    {"test_size": 400},
    {"validation_size": 500},
    {"init_seed": 3},
    {"evaluate_in": "train"},
)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: next(iter(setting)))
def test_whatever_decides_a_result_is_a_second_difference(setting: dict[str, Any]) -> None:
    cases = [seeds_result("fc", "sgd", around(90)), seeds_result("fc", "adam", around(95), **setting)]
    models = [seeds_result("fc", "sgd", around(90)), seeds_result("fc-bn", "sgd", around(95), **setting)]
    assert judge(cases) == judge(models) == []
    assert len(judge([cases[0], seeds_result("fc", "adam", around(95))])) == 1


def test_an_engine_is_a_second_difference_of_times_only() -> None:
    cases = [seeds_result("fc", "sgd", around(90), engine="stacked"), seeds_result("fc", "adam", around(95))]
    assert (len(judge(cases)), len(judge(cases, "epoch_seconds"))) == (1, 0)


def test_a_model_is_compared_with_the_last_that_differs_in_nothing_else() -> None:
    cases = [seeds_result(name, "sgd", around(90), epochs=e) for name, e in (("fc", 1), ("wide", 9), ("fc-bn", 1))]
    assert named(cases) == [("fc-bn/sgd", "fc/sgd")]


def test_a_table_shows_the_baseline_the_next_in_the_ranking_and_the_model_before() -> None:
    shown = {
        (v.one.id.removeprefix("mnist/"), v.other.id.removeprefix("mnist/")) for v in main_verdicts(judge(suite()))
    }
    assert {("fc/adam", "fc/sgd"), ("fc/rmsprop", "fc/adam"), ("fc/rmsprop", "fc/momentum")} <= shown
    assert ("fc/adam", "fc/momentum") not in shown  # rmsprop stands between
    assert len(shown) == 5 + 5 + 4


def test_more_comparisons_want_more_evidence() -> None:
    cases = suite()
    cases[1] = seeds_result("fc", "adam", around(95.0, (0.0, 0.2, -0.1, 0.1, -0.2)), baseline="sgd")
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
    assert wrong / 400 <= 2 * LEVEL + 5 * 0.015  # the primary and the exploratory comparisons, each at LEVEL


@pytest.mark.parametrize(("cases", "seeds"), [(2, 3), (4, 5), (13, 5), (30, 10)])
def test_what_stands_beside_the_best_covers(cases: int, seeds: int) -> None:
    """Runs of equal cases: every interval from the first in the ranking to another, which 30 take a while for."""
    rng, missed, runs = np.random.default_rng(cases), 0, 200 if cases < 30 else 100
    for _ in range(runs):
        made = [seeds_result("fc", f"m{i}", rng.normal(97, 0.2, seeds).tolist()) for i in range(cases)]
        best = min(made, key=rank)
        beside = [v.interval for v in judge(made) if best in (v.one, v.other)]
        missed += any(low > 0 or high < 0 for low, high in filter(None, beside))
    assert missed / runs <= LEVEL + 5 * math.sqrt(LEVEL * (1 - LEVEL) / runs)


@pytest.mark.parametrize("margin", [None, 0.3])
def test_word_and_interval_never_contradict(margin: float | None) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        made = [
            seeds_result("fc", f"m{i}", rng.normal(97 + i / 10, 0.2, 5).tolist(), margin=margin) for i in range(5)
        ]
        for v in judge(made):
            low, high = v.interval or (0.0, 0.0)
            if v.word == "better":
                assert low > 0
            elif v.word == "worse":
                assert high < 0
            elif v.word == "equivalent":
                assert margin is not None
                assert -margin < low <= high < margin
            else:
                assert low <= 0 <= high


def test_against_the_baseline_three_spreads_are_found_more_often_than_among_all_pairs() -> None:
    """200 runs of 13 cases with 5 seeds, one of them better by three standard deviations of a difference."""
    rng, found = np.random.default_rng(0), [0, 0]
    for _ in range(200):
        made = [97 + rng.normal(0, 0.1, 5) + (i == 1) * 0.3 * 2**0.5 for i in range(13)]
        for at, baseline in enumerate(("m0", None)):
            cases = [seeds_result("fc", f"m{i}", v.tolist(), baseline=baseline) for i, v in enumerate(made)]
            told = {
                (v.one.case.method, v.other.case.method): v.word for v in judge(cases) if v.family == "primary"
            }
            found[at] += told["m1", "m0"] == "better"
    assert found[0] / 200 >= 0.58 - 5 * 0.035
    assert found[1] / 200 <= 0.10 + 5 * 0.021


def test_a_pair_that_was_chosen_from_many_wants_more_evidence() -> None:
    one, other = seeds_result("fc", "a", around(90.2)), seeds_result("cnn", "b", around(90, SPREAD[::-1]))
    alone, chosen = judge_pair(one, other), judge_pair(one, other, of=100)
    assert alone.p is not None
    assert chosen.p == pytest.approx(100 * alone.p)
    assert (alone.word, chosen.word) == ("better", "no difference shown")


def test_cases_of_no_common_seed_say_nothing() -> None:
    one, other = seeds_result("fc", "a", around(90)), seeds_result("fc", "b", around(80), first_seed=5)
    assert judge_pair(one, other).word == "too few seeds"
