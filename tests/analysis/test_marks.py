from __future__ import annotations

import numpy as np
from made_up import seeds_result
from training_support import component

from benchmnist.analysis.marks import against_baseline, unbeaten
from benchmnist.analysis.verdicts import judge


def test_the_best_and_its_ties_are_marked_and_who_lost_seeds_is_not() -> None:
    cases = [
        seeds_result("fc", "sgd", [90.0, 90.2, 90.1, 89.9]),
        seeds_result("fc", "adam", [97.0, 97.1, 97.2, 96.9]),
        seeds_result("fc", "rmsprop", [97.1, 97.0, 97.1, 97.0]),
        seeds_result("fc", "wild", [98.0, 98.2, 98.1, None]),
        seeds_result("cnn", "adam", [99.0, 99.1, 99.2, 98.9]),
    ]
    assert unbeaten(cases, judge(cases)) == {"mnist/fc/adam", "mnist/fc/rmsprop"}
    two = [case.model_copy(update={"trials": case.trials[:2]}) for case in cases]
    assert unbeaten(two, judge(two)) == frozenset()


def test_what_nothing_beats_is_marked_also_where_it_is_not_compared_with_the_first() -> None:
    """The points of a sweep are compared with the baseline only; what no verdict speaks of has no mark."""
    sgd = seeds_result("fc", "sgd", [90.0, 90.2, 90.1, 89.9], baseline="sgd")
    sweep = [
        seeds_result(
            "fc",
            "adam",
            [at, at + 0.1, at + 0.2, at - 0.1],
            baseline="sgd",
            optimizer=component("adam").model_copy(update={"variant": lr}),
            id=f"adam/{lr}",
        )
        for at, lr in ((96.0, "0.1"), (97.0, "0.01"), (80.0, "1"))
    ]
    apart = seeds_result("fc", "m", [99.0, 99.1, 99.2, 99.0], baseline="sgd", epochs=9)
    lost = seeds_result("fc", "wild", [99.0, 99.2, 99.1, None], baseline="sgd")
    cases = [sgd, *sweep, apart, lost]
    assert unbeaten(cases, judge(cases)) == {"adam/0.1", "adam/0.01"}


def test_the_best_case_is_marked_nearly_always() -> None:
    """300 runs of six cases, one of them better by half a spread: where any is marked, it is among them."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(300):
        cases = [
            seeds_result("fc", f"m{i}", rng.normal(97 - (i == 5) + (i == 0) * 0.1, 0.2, 5).tolist())
            for i in range(6)
        ]
        found = unbeaten(cases, judge(cases))
        missed += bool(found) and "mnist/fc/m0" not in found
    assert missed / 300 <= 0.05 + 5 * 0.0126


def test_the_verdict_against_the_baseline_is_by_case() -> None:
    cases = [
        seeds_result("fc", name, [90.0, 90.2, 90.1 + at], baseline="sgd") for at, name in enumerate(("sgd", "a"))
    ]
    assert {case: v.other.case.method for case, v in against_baseline(judge(cases)).items()} == {
        "mnist/fc/a": "sgd"
    }


def test_a_pair_that_is_named_the_other_way_round_is_held_against_the_baseline_all_the_same() -> None:
    cases = [
        seeds_result("fc", "sgd", [90.0, 90.2, 90.1], baseline="sgd", compared_with=("mnist/fc/adam",)),
        seeds_result("fc", "adam", [91.0, 91.4, 91.3], baseline="sgd", compared_with=()),
    ]
    (verdict,) = judge(cases)
    found = against_baseline([verdict])["mnist/fc/adam"]
    assert (verdict.word, found.word) == ("worse", "better")
    assert found.paired.mean == -verdict.paired.mean


def test_what_is_shown_to_be_worse_than_the_baseline_is_never_marked() -> None:
    """Against the baseline fewer comparisons share the chance of a mistake, so more is shown there."""
    cases = [
        seeds_result("fc", "sgd", [90.0, 90.2, 90.1, 89.9], baseline="sgd"),
        seeds_result("fc", "adam", [91.0, 91.1, 91.2, 90.6], baseline="sgd"),
        *(seeds_result("fc", f"m{i}", [90.5, 90.9, 90.1, 90.4 + i / 10], baseline="sgd") for i in range(9)),
    ]
    verdicts = judge(cases)
    worse = {(v.other if v.beats(v.one) else v.one).id for v in verdicts if v.word in ("better", "worse")}
    assert not worse & unbeaten(cases, verdicts)
