"""Trials that end at their target, or give up, are judged by their steps to it, and by nothing at their ends."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from made_up import course_result, in_a_stack, made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.comparison import compare_runs
from benchmnist.analysis.figures import case_figure, lost_seeds, seed_figures
from benchmnist.analysis.non_inferiority import non_inferior
from benchmnist.analysis.targets import times_to_target
from benchmnist.analysis.units import by_search
from benchmnist.analysis.verdicts import judge
from benchmnist.metrics import PRIMARY, TARGET_SECONDS, TARGET_STEPS
from benchmnist.reports.comparison import about
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.records import records
from benchmnist.reports.tables import legend
from benchmnist.reports.target_tables import target_table
from benchmnist.suites.differences import differences

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

STOPS: dict[str, Any] = {"target_loss": 1.0, "stop_at_target": True, "baseline": "sgd"}
SLOW = [[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 1.0], [4.0, 3.0, 2.0, 0.9], [4.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.5, 1.0]]
FAST = [[3.0, 1.0], [2.0, 1.0], [1.0], [2.0, 0.9], [3.0, 2.0, 0.5]]


def stopped(method: str, losses: list[list[float]] = SLOW, **case: Any) -> CaseResult:
    """A case whose trials end at a test loss of 1."""
    ended: Any = ["target" if each[-1] <= 1 else "patience" for each in losses]
    return course_result(method, losses, ended=ended, **{**STOPS, **case})


def said(*results: CaseResult) -> dict[str, str]:
    return {each.kind: each.text for each in Analysis(made_up_run(results)).findings}


def test_a_target_is_reached_at_the_first_evaluation_that_is_there() -> None:
    """Also within an epoch, and by a loss, of which less is better."""
    by_loss = course_result("adam", [[3.0, 1.0, 0.5], [3.0, 2.0, 1.5]], target_loss=1.0)
    assert seed_figures(by_loss, TARGET_STEPS) == {0: 100}
    assert seed_figures(by_loss, TARGET_SECONDS) == {0: pytest.approx(10.0)}
    assert lost_seeds(by_loss, TARGET_STEPS) == {1}
    by_accuracy = course_result("adam", [[3.0, 2.0, 0.5], [3.0, 2.5, 1.5]], target_accuracy=80.0)
    assert seed_figures(by_accuracy, TARGET_STEPS) == {0: 100, 1: 150}
    assert case_figure(by_accuracy, TARGET_STEPS) == (100, None)
    (found,) = times_to_target([by_accuracy])
    assert (str(found.target), found.median_steps, found.epochs) == ("80 %", 100, 1)
    after_epochs = seeds_result("fc", "adam", [100.0, 50.0], epochs=5, target_accuracy=60.0)
    assert seed_figures(after_epochs, TARGET_STEPS) == {0: 30}


@pytest.mark.parametrize("most", [20_000, 0])
def test_the_verdict_is_about_the_steps_to_the_target(most: int) -> None:
    """With each pair an object, and as for thousands of cases."""
    cases = [stopped("sgd"), stopped("adam", FAST), stopped("lion", [[3.0, 2.0]] * 5)]
    adam, lion = (each for each in judge(cases, most=most) if each.other.case.method == "sgd")
    assert (adam.metric, adam.word, lion.word) == (TARGET_STEPS, "better", "lost seeds")
    assert judge(cases, PRIMARY, most=most) == judge(cases, "test_loss", most=most) == []
    aimless = [
        each.model_copy(update={"case": each.case.model_copy(update={"target_loss": None})}) for each in cases
    ]
    assert judge(aimless, most=most) == []


def test_nothing_at_their_ends_is_compared() -> None:
    run = made_up_run([stopped("sgd"), stopped("adam", FAST)])
    analysis = Analysis(run)
    assert [summary.gain for summary in analysis.summaries] == [None, None]
    assert analysis.unbeaten(PRIMARY) == frozenset()
    assert analysis.unbeaten(TARGET_STEPS) == {"mnist/fc/adam"}
    comparison = compare_runs([run, run], ["accuracy", "target_steps"])
    words = {m.key: {c.word for row in comparison.rows for c in row.changes(m) if c} for m in comparison.metrics}
    assert words == {"accuracy": {"not compared"}, "target_steps": {"identical"}}
    for found in non_inferior(run, run, PRIMARY, 0.1):
        assert (found.word, found.reason) == (
            "not comparable",
            "its trials end at their target or give up, each at another accuracy",
        )
    assert "not compared: accuracy and loss at the end of trials that stop" in legend(run.cases)


def test_two_runs_to_different_targets_are_not_compared_in_steps() -> None:
    runs = [made_up_run([stopped("sgd", target_loss=loss)]) for loss in (1.0, 2.0)]
    (row,) = compare_runs(runs, ["target_steps"]).rows
    assert [change and change.word for change in row.changes("target_steps")] == ["not compared"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"every": 10}, "evaluate every was 50, is now 10"),
        ({"evaluate_every": None}, "evaluate every was 50, is now not given"),
        ({"target_loss": 2.0}, "target loss was 1.0, is now 2.0"),
    ],
)
def test_steps_and_seconds_to_a_target_are_compared_where_it_is_looked_for_alike(
    changed: dict[str, Any], why: str
) -> None:
    """A training reaches its target later, if it is evaluated more rarely."""
    before, now = (
        made_up_run([course_result("sgd", SLOW, **{"target_loss": 1.0, **own})]) for own in ({}, changed)
    )
    found = compare_runs([before, now], ["target_steps", "target_seconds", "test_loss"])
    words = [[change and change.word for change in found.rows[0].changes(key)] for key in found.metrics]
    assert words[:2] == [["not compared"]] * 2 != words[2:]
    assert "Not compared: steps and times to " in about(found)
    assert [each.reason for each in non_inferior(before, now, TARGET_STEPS, 0.1)] == [why]


def test_epochs_of_another_length_are_another_spacing() -> None:
    runs = [made_up_run([seeds_result("fc", "sgd", [90.0] * 5, steps=n, target_accuracy=80.0)]) for n in (10, 20)]
    found = compare_runs(runs, ["target_steps"])
    assert [change.word for change in found.changes] == ["not compared"]
    assert "where the evaluations are at different steps" in about(found)
    (gated,) = non_inferior(runs[0], runs[1], TARGET_STEPS, 0.1)
    assert gated.reason == "it was evaluated every 10 steps, is now every 20"


def test_no_difference_of_targets_is_told_where_only_one_run_stops_at_its_target() -> None:
    """Nor where only one case of a run does."""
    goes_on, stops = stopped("sgd", stop_at_target=False), stopped("sgd")
    (row,) = compare_runs([made_up_run([goes_on]), made_up_run([stops])]).rows
    assert row.altered == ("stop_at_target: –, then True",)
    for one, other in ((goes_on, stops), (stops, goes_on)):
        assert [each.partition(" (")[0] for each in differences(one.case, other.case)] == ["stop at target"]
        (found,) = non_inferior(made_up_run([one]), made_up_run([other]), TARGET_STEPS, 0.1)
        assert found.reason.startswith("stop at target was ")
        assert ";" not in found.reason


def test_findings_say_why_and_who_is_first() -> None:
    found = said(stopped("sgd"), stopped("adam", FAST), stopped("lion", [[3.0, 2.0]] * 5, patience=1))
    assert found["ended early"] == (
        "On mnist · fc, trials stopped at the target (a test loss of 1 nat) or gave up after 1 evaluation "
        "without a better one. Accuracy and loss at their ends are those of different numbers of steps, so they "
        "are not compared: the steps to the target are. Gave up: fc · lion (5 of 5 seeds)."
    )
    pair = said(stopped("sgd"), stopped("adam", FAST))
    assert pair["target steps"].startswith(
        "On mnist · fc, adam reaches a test loss of 1 nat first (100 steps, 5 of 5 seeds). adam needs fewer "
        "steps than sgd (200 steps, 5 of 5 seeds: 1.97 times as many ["
    )
    assert pair["target steps"].endswith(" Evaluated every 50 steps.")
    assert pair["baseline"].startswith(
        "On mnist · fc, in steps to a test loss of 1 nat, compared with the baseline sgd (200 steps, 5 of 5 "
        "seeds): better: adam (100 steps, 5 of 5 seeds), 0."
    )
    assert "rules" not in pair  # which would say it again


def test_as_many_steps_in_every_seed_are_a_tie() -> None:
    text = said(stopped("sgd"), stopped("adam"))["target steps"]
    assert text == (
        "On mnist · fc, sgd and adam reach a test loss of 1 nat with the fewest steps (200 steps, 5 of 5 seeds). "
        "In every seed, sgd needs as many steps as adam (200 steps, 5 of 5 seeds). Evaluated every 50 steps."
    )


def test_steps_are_compared_in_a_stack_and_times_are_not() -> None:
    analysis = Analysis(made_up_run(in_a_stack(stopped("sgd"), stopped("adam", FAST))))
    assert ([v.word for v in analysis.step_verdicts], analysis.time_verdicts) == (["better"], [])
    table = target_table(analysis)
    assert table is not None
    assert table.rows[1][-4:-2] == ("5", "1.97×")
    assert table.rows[1][-2:] == ("–", "–")


def test_the_table_says_how_many_gave_up() -> None:
    table = target_table(Analysis(made_up_run([stopped("sgd", [*SLOW[:4], [3.0, 2.0]])])))
    assert table is not None
    assert table.heads[:3] == ("case", "hits", "gave up")
    assert table.rows[0][1:3] == ("4/5", "1")


def test_ranks_and_scores_are_of_the_steps() -> None:
    cases = [
        stopped(method, losses, id=f"mnist/fc/{label}/{method}", label=label)
        for label in ("a", "b", "c")
        for method, losses in (("sgd", SLOW), ("adam", FAST), ("lion", [[3.0, 2.0]] * 5))
    ]
    for results, of in ((cases, "target_seconds"), (in_a_stack(*cases), "target_steps")):
        analysis = Analysis(made_up_run(results))
        found = json.loads(json_report(analysis, records(analysis)))
        assert [each["method"] for each in found["ranks"]["methods"]] == ["adam", "sgd", "lion"]
        assert found["scores"]["of"] == of
        scores = {each["method"]: each["score"] for each in found["scores"]["methods"]}
        assert scores["adam"] > scores["sgd"] > scores["lion"] == 0
        assert found["targets"][2]["gave_up"] == 5
        assert (found["targets"][0]["target_loss"], found["targets"][0]["target_accuracy"]) == (1.0, None)


def test_a_search_reaches_a_target_if_each_of_its_seeds_does() -> None:
    """Its steps are the geometric mean of theirs; where trials go on, its curve is the mean of theirs."""

    def search(number: int, losses: list[list[float]], **case: Any) -> CaseResult:
        axes = (f"search-{number}",)
        return stopped("adam", losses, id=f"mnist/fc/adam/{axes[0]}", search=number, axes=axes, tuned=True, **case)

    (joined,) = by_search([search(1, [[3.0, 1.0], [3.0, 2.0, 1.5, 1.0]]), search(2, [[3.0, 1.0], [3.0, 2.0]])])
    assert seed_figures(joined, TARGET_STEPS) == {1: pytest.approx(math.sqrt(100 * 200))}
    assert lost_seeds(joined, TARGET_STEPS) == {2}
    goes_on: dict[str, Any] = {"stop_at_target": False}
    (joined,) = by_search([search(1, [[3.0, 1.4, 0.8], [3.0, 1.0, 0.6]], **goes_on)])
    assert [each.metrics["test_loss"] for each in joined.trials[0].epochs[0].evaluations] == pytest.approx(
        [3.0, 1.2, 0.7]
    )
    assert seed_figures(joined, TARGET_STEPS) == {1: 150}


def test_a_budget_of_seconds_is_compared_by_what_is_reached_and_named() -> None:
    pair = [course_result(name, SLOW[:1] * 3, seconds=0.2, baseline="sgd") for name in ("sgd", "adam")]
    pair = [each.model_copy(update={"case": each.case.model_copy(update={"seconds": 10.0})}) for each in pair]
    assert said(*pair)["baseline"].startswith("On mnist · fc, after 10 s of training each, compared with")
