from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import course_result, made_up_run

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.statistics import Paired
from benchmnist.analysis.steps_saved import Curve, saved_steps, steps_to
from benchmnist.reports.target_tables import saved_table

LOSSES = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=12)


def curve(losses: list[float], every: int = 1, start: int = 0) -> Curve:
    """The best so far of evaluations that are so many steps apart."""
    lowest = [min(losses[: n + 1]) for n in range(len(losses))]
    steps = [start + every * (n + 1) for n in range(len(losses))]
    first = [True, *(one > other for one, other in pairwise(lowest))]
    return tuple(each for each, is_lower in zip(zip(steps, lowest, strict=True), first, strict=True) if is_lower)


@given(LOSSES, st.integers(2, 9))
def test_a_curve_that_is_the_baselines_at_a_multiple_of_its_speed_saves_exactly_that(
    losses: list[float], factor: int
) -> None:
    slow, fast = curve(losses, factor), curve(losses, 1)
    steps, loss = saved_steps(fast, slow)
    assert loss == min(losses)
    assert steps_to(slow, loss) == factor * steps_to(fast, loss)
    assert steps == (factor - 1) * steps_to(fast, loss)


@given(LOSSES, st.integers(1, 500))
def test_a_curve_that_is_the_baselines_some_steps_later_saves_exactly_minus_these(
    losses: list[float], late: int
) -> None:
    assert saved_steps(curve(losses, start=late), curve(losses)) == (-late, min(losses))


@given(LOSSES, LOSSES)
def test_what_one_saves_the_other_loses_and_the_same_curve_saves_nothing(
    ours: list[float], theirs: list[float]
) -> None:
    one, other = curve(ours), curve(theirs)
    saved, loss = saved_steps(one, other)
    assert saved_steps(other, one) == (-saved, loss)
    assert saved_steps(one, one)[0] == 0
    assert loss == max(min(ours), min(theirs))
    if min(ours) <= min(theirs):  # who ends lower is asked for a loss that the other reaches at its best only
        assert saved == theirs.index(min(theirs)) - next(i for i, each in enumerate(ours) if each <= loss)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_a_monotone_transformation_of_the_loss_changes_no_step(ours: list[int], theirs: list[int]) -> None:
    plain = saved_steps(curve([*map(float, ours)]), curve([*map(float, theirs)]))[0]
    for transformed in (math.log, math.exp, lambda loss: loss**3 - 7):
        assert saved_steps(curve([*map(transformed, ours)]), curve([*map(transformed, theirs)]))[0] == plain


def test_the_steps_saved_have_an_interval_of_their_family_and_are_told() -> None:
    slow = [[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.1, 1.0], [4.0, 3.1, 2.0, 1.0], [4.0, 3.0, 2.0, 1.1]]
    fast = [[3.0, 1.0, 0.9, 0.8], [2.0, 1.0, 0.9, 0.8], [1.0, 1.0, 0.9, 0.8], [2.0, 1.0, 0.9, 0.8]]
    cases = [
        course_result("sgd", slow, baseline="sgd"),
        course_result("adam", fast, baseline="sgd"),
        course_result("lion", slow, baseline="sgd"),
    ]
    analysis = Analysis(made_up_run(cases))
    adam, lion = analysis.steps_saved
    assert [(each.steps, each.share, each.is_lower) for each in adam.seeds.values()] == [
        (100, 0.5, True),
        (100, 0.5, True),
        (150, 0.75, True),
        (100, 0.5, True),
    ]
    assert (adam.verdict.word, adam.verdict.of, adam.share, adam.lower) == ("better", 2, 0.5625, 4)
    assert adam.verdict.interval == Paired((100.0, 100.0, 150.0, 100.0)).interval(2)
    assert lion.verdict.word == "identical"
    (text,) = (each.text for each in analysis.findings if each.kind == "steps saved")
    assert text.startswith("On mnist · fc, at the lowest test loss that both reach, against the baseline sgd: ")
    assert text.endswith("+56%); needs as many in every seed: lion.")
    table = saved_table(analysis)
    assert table is not None
    assert [(*row[:4], row[5], row[7]) for row in table.rows] == [
        ("fc/adam", "fc/sgd", "saves steps", "+112", "+56%", "4/4"),
        ("fc/lion", "fc/sgd", "needs as many", "+0", "+0%", "0/4"),
    ]


def test_a_lost_seed_is_no_seed_of_the_interval() -> None:
    whole = course_result("sgd", [[3.0, 2.0], [3.0, 2.1], [3.0, 2.2], [3.1, 2.0]], baseline="sgd")
    cut = course_result("adam", [[3.0, 2.0], [2.0, 2.0], [2.0, 2.0], [3.1, 2.0]], baseline="sgd")
    gone = cut.trials[0].model_copy(update={"status": "diverged"})
    cut = cut.model_copy(update={"trials": (gone, *cut.trials[1:]), "status": "diverged"})
    (found,) = Analysis(made_up_run([whole, cut])).steps_saved
    assert (found.verdict.word, found.verdict.interval, [*found.seeds]) == ("lost seeds", None, [1, 2, 3])


@pytest.mark.parametrize("changed", [{"evaluate_every": None}, {"baseline": None, "epochs": 2}])
def test_what_is_not_evaluated_within_epochs_or_not_compared_saves_nothing(changed: dict[str, int | None]) -> None:
    losses = [[3.0, 2.0]] * 3
    cases = [course_result("sgd", losses, baseline="sgd"), course_result("adam", losses, **changed)]  # type: ignore[arg-type]
    assert Analysis(made_up_run(cases)).steps_saved == []
