"""Levels solved, scores and ranks: by hand, and what holds for any results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import level_result, seeds_result
from scipy import stats

from benchmnist.analysis.ladders import Ladders, ladders
from benchmnist.analysis.statistics import share_interval
from benchmnist.analysis.units import by_search
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

HIT, MISS = [1.0, 0.05], [1.0, 0.9]
SOLVED, MISSED = [HIT] * 5, [MISS] * 5


def climbed(problem: str, method: str, *solved: bool) -> list[CaseResult]:
    """The levels of a problem, as a method solved them."""
    return [level_result(problem, rung, method, SOLVED if each else MISSED) for rung, each in enumerate(solved)]


def search(dataset: str, method: str, *values: float | None, **changed: Any) -> Search:
    attempts = tuple(Attempt(params={"lr": 0.1 * (i + 1)}, value=value) for i, value in enumerate(values))
    return Search(
        **{"dataset": dataset, "model": "", "method": method, "sampler": "random", **changed},
        space={"lr": Space(low=0.01, high=1.0)},
        attempts=attempts,
    )


def found(*results: CaseResult, **more: Any) -> Ladders:
    made = ladders(results, **more)
    assert made is not None
    return made


def test_the_highest_level_is_solved_together_with_all_easier_ones() -> None:
    (ladder,) = found(*climbed("ravine", "adam", True, True, False, True)).ladders
    assert (ladder.problem, ladder.method, ladder.share) == ("ravine", "adam", 0.5)
    assert ladder.highest is ladder.rungs[1]
    assert (ladder.next, ladder.gaps) == (ladder.rungs[2], (ladder.rungs[3],))
    assert (ladder.rungs[1].steps, ladder.rungs[2].steps) == (50, None)
    assert ladder.rungs[1].rate_interval == pytest.approx((0.025 ** (1 / 5), 1.0))
    (none,) = found(*climbed("ravine", "adam", False, True)).ladders
    assert (none.highest, none.next, none.share) == (None, none.rungs[0], 0.0)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_a_level_is_below_the_first_miss_or_a_gap_or_not_solved(solved: list[bool]) -> None:
    (ladder,) = found(*climbed("ravine", "adam", *solved)).ladders
    below = (*solved, False).index(False)
    assert [rung.is_solved for rung in ladder.rungs] == solved
    assert ladder.solved == ladder.rungs[:below]
    assert len(ladder.solved) + len(ladder.gaps) == sum(solved)
    assert ladder.share * len(solved) == pytest.approx(below)
    assert (ladder.next is None) == all(solved)


@pytest.mark.parametrize(
    ("hits", "seeds", "is_solved"), [(2, 4, True), (2, 5, False), (3, 5, True), (0, 1, False)]
)
def test_half_of_the_seeds_solve_a_level(hits: int, seeds: int, is_solved: bool) -> None:
    losses = [HIT] * hits + [MISS] * (seeds - hits)
    ((rung,),) = (ladder.rungs for ladder in found(level_result("ravine", 0, "adam", losses)).ladders)
    assert (rung.is_solved, rung.solved, rung.seeds, rung.steps is not None) == (is_solved, hits, seeds, is_solved)


def test_a_seed_that_was_lost_did_not_solve_it_and_one_not_yet_trained_does_not_count() -> None:
    whole = level_result("ravine", 0, "adam", [HIT] * 4)
    lost = [trial.model_copy(update={"status": "diverged"}) if trial.seed > 0 else trial for trial in whole.trials]
    ((rung,),) = (each.rungs for each in found(whole.model_copy(update={"trials": tuple(lost)})).ladders)
    assert (rung.solved, rung.seeds, rung.is_solved) == (1, 4, False)
    begun = whole.model_copy(update={"trials": whole.trials[:1], "status": "interrupted"})
    ((rung,),) = (each.rungs for each in found(begun).ladders)
    assert (rung.solved, rung.seeds, rung.is_solved) == (1, 1, True)


def test_levels_are_in_the_order_of_the_plugin_whatever_the_suite_says() -> None:
    hard_first = climbed("ravine", "adam", True, True, False)[::-1]
    (ladder,) = found(*hard_first).ladders
    assert [rung.level for rung in ladder.rungs] == ["1e0", "1e1", "1e2"]
    lost = [search(f"ravine/{level}", "adam", None) for level in ("1e7", "1e0", "between", "1e2")]
    made = found(*climbed("ravine", "adam", True, True, False), searches=lost)
    assert [rung.level for rung in made.ladders[0].rungs] == ["1e0", "between", "1e1", "1e2", "1e7"]
    of_earlier_versions = [
        each.model_copy(update={"case": each.case.model_copy(update={"rung": None})}) for each in hard_first
    ]
    (ladder,) = found(*of_earlier_versions).ladders
    assert [rung.level for rung in ladder.rungs] == ["1e2", "1e1", "1e0"]


def test_a_level_at_which_every_attempt_was_lost_is_not_solved() -> None:
    results = climbed("ravine", "adam", True)
    searches = [search("ravine/1e0", "adam", None, 0.5, 0.7), search("ravine/1e1", "adam", None, None)]
    (ladder,) = found(*results, searches=searches).ladders
    first, second = ladder.rungs
    assert (first.attempts, first.chosen) == (3, "lr=0.3")  # the highest accuracy
    assert (second.level, second.seeds, second.is_solved, second.attempts, second.case) == (
        "1e1",
        0,
        False,
        2,
        None,
    )
    assert ladder.share == 0.5
    other = seeds_result("fc", "adam", [90.0])
    assert ladders([other], [search("mnist", "adam", None, model="fc")]) is None  # of no problem


def test_of_several_searches_each_counts_as_a_seed() -> None:
    def one(number: int, losses: list[list[float]]) -> CaseResult:
        made = level_result("ravine", 0, "adam", losses, axes=(f"search-{number}",), search=number, tuned=True)
        return made.model_copy(update={"case": made.case.model_copy(update={"id": f"{made.id}/search-{number}"})})

    results = [one(1, [HIT, HIT]), one(2, [HIT, MISS]), one(3, [HIT, HIT])]
    searches = [search("ravine/1e0", "adam", 0.5, number=n) for n in (1, 2, 3)]
    searches.append(search("ravine/1e0", "adam", None, number=4))
    ((rung,),) = (each.rungs for each in found(*by_search(results), searches=searches).ladders)
    assert (rung.solved, rung.seeds, rung.is_solved, rung.attempts) == (2, 4, True, 1)


def test_a_problem_without_levels_is_one_and_one_without_a_target_is_none() -> None:
    (ladder,) = found(level_result("hole", None, "adam", SOLVED)).ladders
    assert [(rung.level, rung.name, rung.is_solved) for rung in ladder.rungs] == [(None, "only level", True)]
    aimless = level_result("hole", 0, "adam", SOLVED, target_loss=None)
    assert ladders([aimless], [search("hole/1e1", "adam", None)]) is None
    assert ladders([seeds_result("fc", "adam", [90.0], target_accuracy=80.0)]) is None


def test_points_of_a_sweep_and_blocks_are_ladders_of_their_own() -> None:
    swept = level_result("ravine", 0, "adam", SOLVED)
    dataset = swept.case.dataset.model_copy(update={"variant": "1e0/steps-9"})
    swept = swept.model_copy(update={"case": swept.case.model_copy(update={"dataset": dataset, "label": "wide"})})
    made = found(*climbed("ravine", "adam", True), swept)
    assert [(each.problem, len(each.rungs)) for each in made.ladders] == [
        ("ravine", 1),
        ("ravine/steps-9 · wide", 1),
    ]


def test_scores_and_ranks_are_of_the_methods_that_were_tried_on_every_level() -> None:
    results = [
        *(each for name in ("a", "b", "c") for each in climbed(name, "sgd", True, False)),
        *(each for name in ("a", "b", "c") for each in climbed(name, "adam", True, True)),
        *(
            climbed("a", "lion", False, False)
            + climbed("b", "lion", True, True)
            + climbed("c", "lion", True, False)
        ),
        *climbed("a", "new", True, True),
    ]
    made = found(*results)
    means = {score.method: score.mean for score in made.scores}
    assert means == pytest.approx({"adam": 1.0, "sgd": 0.5, "lion": 0.5})
    (lion,) = (score for score in made.scores if score.method == "lion")
    half = stats.t.isf(0.025, 2) * 0.5 / 3**0.5
    assert lion.interval == (0.0, 1.0) and half > 0.5  # noqa: PT018 - a score is within 0 and 1
    assert made.scores[0].interval is None  # the same share of each problem
    assert made.left_out == ("new",)
    assert made.ranks is not None
    ranks = dict(zip(made.ranks.methods, made.ranks.means, strict=True))
    assert ranks == pytest.approx(
        {"adam": (1 + 1.5 + 1) / 3, "lion": (3 + 1.5 + 2.5) / 3, "sgd": (2 + 3 + 2.5) / 3}
    )
    assert found(*climbed("a", "sgd", True), *climbed("a", "adam", True)).ranks is None


def test_recorded_results_stand_beside_those_of_the_run_on_its_levels_only() -> None:
    own = climbed("ravine", "mine", True, False)
    recorded = [
        *climbed("ravine", "adam", True, True, True),
        *climbed("ravine", "mine", True, True),
        *climbed("plateau", "adam", True),
    ]
    made = found(*own, recorded=recorded)
    assert [(each.method, each.recorded, each.share) for each in made.ladders] == [
        ("mine", False, 0.5),
        ("adam", True, 1.0),
    ]
    assert len(made.ladders[1].rungs) == 2
    assert [(score.method, score.recorded) for score in made.scores] == [("adam", True), ("mine", False)]
    assert {each.problem for each in found(recorded=recorded).ladders} == {"ravine", "plateau"}


@given(st.integers(1, 40).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(hits_of: tuple[int, int]) -> None:
    hits, of = hits_of
    theirs = stats.binomtest(hits, of).proportion_ci(method="exact")
    assert share_interval(hits, of) == pytest.approx((theirs.low, theirs.high))
