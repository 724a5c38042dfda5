"""Held against baycomp, against a Monte Carlo of the posterior, and against what is true of simulated pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.chances import Chances, chances, chances_of, percent
from benchmnist.analysis.statistics import Paired
from benchmnist.analysis.verdicts import judge_pair
from benchmnist.metrics import EPOCH_SECONDS, PRIMARY, find_metric

TRAIN_LOSS = find_metric("train_loss")
FIGURES = st.floats(-10, 10).map(lambda x: round(x, 3))
DIFFERENCES = st.lists(FIGURES, min_size=3, max_size=12).map(tuple).filter(lambda v: np.std(v) > 1e-2)


@settings(max_examples=30)
@given(DIFFERENCES, st.floats(0.01, 10))
def test_they_are_baycomps(differences: tuple[float, ...], margin: float) -> None:
    """baycomp takes figures as the folds of one cross-validation: it adds 1 / (n - 1) to our variance of 1 / n.

    So ours for differences whose spread is wider by that factor is baycomp's for the differences.
    """
    baycomp = pytest.importorskip("baycomp")
    theirs = baycomp.two_on_single(np.zeros(len(differences)), np.array(differences), rope=margin)
    n, mean = len(differences), math.fsum(differences) / len(differences)
    wider = math.sqrt(1 + n / (n - 1))
    ours = chances(Paired(tuple(mean + wider * (each - mean) for each in differences)), margin, PRIMARY)
    assert ours is not None
    assert (ours.worse, ours.within, ours.better) == pytest.approx(theirs, abs=1e-9)


def test_they_are_those_of_the_posterior_drawn_by_its_definition() -> None:
    """400,000 draws: of the variance (scaled inverse chi squared), and of the mean given it (normal).

    The standard deviation of a share is at most 0.0008; the bound is five of them.
    """
    values = (0.9, 0.1, 0.6, 0.2)
    rng = np.random.default_rng(0)
    n, mean, variance = len(values), np.mean(values), np.var(values, ddof=1)
    drawn = rng.normal(mean, np.sqrt((n - 1) * variance / rng.chisquare(n - 1, 400_000) / n))
    shares = (np.mean(drawn > 0.3), np.mean(abs(drawn) <= 0.3), np.mean(drawn < -0.3))
    assert chances(Paired(values), 0.3, PRIMARY) == pytest.approx(shares, abs=0.004)


@settings(max_examples=30)
@given(DIFFERENCES, st.floats(0.01, 10))
def test_they_sum_to_one_and_turn_with_the_pair(differences: tuple[float, ...], margin: float) -> None:
    one = chances(Paired(differences), margin, PRIMARY)
    other = chances(Paired(tuple(-each for each in differences)), margin, PRIMARY)
    assert one is not None
    assert math.fsum(one) == pytest.approx(1.0)
    assert min(one) >= 0
    assert other == pytest.approx((one.worse, one.within, one.better))


def test_less_is_better_where_the_metric_says_so() -> None:
    found = chances(Paired((-0.5, -0.4, -0.6)), 0.1, TRAIN_LOSS)
    assert found is not None
    assert found.better > 0.9
    assert chances(Paired((-0.5, -0.4, -0.6)), 0.1, PRIMARY) == Chances(found.worse, found.within, found.better)


def test_without_a_margin_a_spread_or_three_seeds_nothing_is_said() -> None:
    some = Paired((0.1, 0.2, 0.4))
    assert chances(some, None, PRIMARY) is None
    assert chances(some, 0.0, PRIMARY) is None
    assert chances(some, 0.1, EPOCH_SECONDS) is None  # differences of logarithms
    assert chances(Paired((0.1, 0.2)), 0.1, PRIMARY) is None
    assert chances(Paired((0.3, 0.3, 0.1 + 0.2)), 0.1, PRIMARY) is None


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_difference_of_just_the_margin_seldom_has_a_high_chance_of_more(n: int) -> None:
    """4,000 pairs with a true difference of the margin: 95 % or more is stated for one of twenty, exactly.

    The standard deviation of that share is 0.0034; the bound is five of them.
    """
    rng = np.random.default_rng(n)
    samples = rng.normal(0.5, 1.0, (4000, n)).tolist()
    found = [chances(Paired(tuple(sample)), 0.5, PRIMARY) for sample in samples]
    high = sum(each is not None and each.better >= 0.95 for each in found)
    assert high / 4000 == pytest.approx(0.05, abs=0.0175)


def said(one: list[float | None], other: list[float | None], margin: float | None = 0.5) -> list[str]:
    cases = [
        seeds_result("fc", "sgd", other, baseline="sgd", margin=margin),
        seeds_result("fc", "adam", one, baseline="sgd", margin=margin),
    ]
    return [f.text for f in Analysis(made_up_run(cases)).findings if f.kind == "undecided"]


def test_a_comparison_that_is_not_decided_has_its_chances_in_a_sentence() -> None:
    (text,) = said([90.9, 90.4, 90.8, 90.3], [90.0, 90.4, 89.8, 90.1])
    assert text == (
        "Not decided beside fc · sgd: given these seeds, fc · adam is better by more than 0.5 points with a "
        "chance of 54 %, within 0.5 points with 45 %, and worse by more with 1 %. Each chance is about one pair "
        "alone, and supposes that before the run every difference was as likely as any other."
    )


def test_a_decided_comparison_has_no_such_sentence_nor_one_without_a_margin_or_with_a_seed_that_one_lost() -> None:
    assert said([97.0, 97.1, 96.9, 97.0], [90.0, 90.4, 89.8, 90.1]) == []
    assert said([90.9, 90.4, 90.8, 90.3], [90.0, 90.4, 89.8, 90.1], None) == []
    assert said([90.9, 90.4, 90.8, 90.3, None], [90.0, 90.4, 89.8, 90.1, 90.2]) == []
    assert said([90.9, 90.4, 90.8, 90.3, None], [90.0, 90.4, 89.8, 90.1, None]) != []  # which both lost


def test_nothing_is_said_of_a_case_that_lost_seeds_whatever_the_others_show() -> None:
    one = seeds_result("fc", "adam", [97.0, 97.1, 96.8, None], margin=0.5)
    other = seeds_result("fc", "sgd", [90.0, 90.1, 90.3, 90.2], margin=0.5)
    assert chances_of(judge_pair(one, other)) is None
    assert chances_of(judge_pair(other, one)) is None
    whole = seeds_result("fc", "adam", [97.0, 97.1, 96.8, 97.1], margin=0.5)
    found = chances_of(judge_pair(whole, other))
    assert found is not None
    assert found.better > 0.99


@pytest.mark.parametrize(
    ("chance", "text"),
    [(0.0, "<1"), (0.009, "<1"), (0.01, "1"), (0.666, "67"), (0.99, "99"), (0.991, ">99"), (1.0, ">99")],
)
def test_no_chance_is_called_none_or_all(chance: float, text: str) -> None:
    assert percent(chance) == text
