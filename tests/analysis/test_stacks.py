"""Times of a stack are shares: nothing is said of them in any comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from made_up import in_a_stack, made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.comparison import compare_runs
from benchmnist.analysis.expectations import missed
from benchmnist.analysis.gate import compare_benchmarks, load_benchmarks
from benchmnist.metrics import EPOCH_SECONDS, TARGET_SECONDS
from benchmnist.pytest_support.items import _extra_info, _measured
from benchmnist.reports.comparison import about, table_rows
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.records import records
from benchmnist.reports.target_tables import target_table
from benchmnist.runs.results import CaseResult, Stack

if TYPE_CHECKING:
    from pathlib import Path

TARGET: dict[str, Any] = {"epochs": 5, "target_accuracy": 60.0, "baseline": "sgd"}


def timed(method: str, seconds: float | list[float], **case: Any) -> CaseResult:
    """A case of five seeds that reach 60 % after the third of five epochs."""
    return seeds_result("fc", method, [100.0] * 5, seconds=seconds, **{**TARGET, **case})


def test_a_stack_is_named_by_its_trials() -> None:
    one, other = timed("sgd", 1.0), timed("adam", 1.0)
    first = Stack.of([(one.case, 0), (other.case, 1)])
    assert first == Stack.of([(other.case, 1), (one.case, 0)])
    assert first is not None
    assert (first.cases, first.trials, str(first)) == (2, 2, f"{first.name} (2 cases, 2 trials)")
    assert Stack.of([(one.case, 0)]) is None
    assert not one.shares_times
    assert all(result.shares_times for result in in_a_stack(one, other))
    assert one.model_copy(update={"engine": "stacked"}).shares_times  # of a version that recorded no stacks


@pytest.mark.parametrize("which", ["all", "one"])
def test_no_verdict_is_about_times_of_a_stack(which: str) -> None:
    sgd, adam = timed("sgd", [2.0, 2.1, 1.9, 2.0, 2.05]), timed("adam", 1.0)
    assert {v.word for v in Analysis(made_up_run([sgd, adam])).time_verdicts} == {"better"}
    results = in_a_stack(sgd, adam) if which == "all" else [sgd, *in_a_stack(adam)]
    analysis = Analysis(made_up_run(results))
    for metric in (EPOCH_SECONDS, TARGET_SECONDS):
        assert analysis.verdicts(metric) == []
        assert analysis.unbeaten(metric) == frozenset()
    assert [v.metric.key for v in analysis.verdicts()] == ["accuracy"]
    assert [summary.speedup for summary in analysis.summaries] == ([None, None] if which == "all" else [1.0, None])
    assert {profile.method for profile in analysis.profiles.compared} == ({"sgd"} if which == "one" else set())
    assert "adam" in analysis.profiles.remark


def test_what_was_trained_in_a_stack_is_reached_and_not_first() -> None:
    def said(*results: CaseResult) -> dict[str, str]:
        return {f.kind: f.text for f in Analysis(made_up_run(results)).findings}

    sgd, adam = timed("sgd", 2.0), timed("adam", 1.0)
    found = said(*in_a_stack(sgd, adam))
    assert found["target"] == (
        "On mnist · fc, 60 % was reached by sgd (in 5 of 5 seeds) and adam (in 5 of 5 seeds); times are not "
        "compared with those of a stack."
    )
    assert found["stacked"] == (
        "Trained in a stack: fc · sgd and fc · adam. Each trial has an equal share of the time of all, so these "
        "times are not compared with any."
    )
    assert "order" not in found
    mixed = said(sgd, *in_a_stack(adam))["target"]
    assert mixed.startswith("On mnist · fc, sgd reaches 60 % after 6 s of training, 3 epochs, in 5 of 5 seeds.")
    assert mixed.endswith("Also reached by adam (in 5 of 5 seeds); times are not compared with those of a stack.")


def test_the_noise_floor_of_a_stack_has_no_times() -> None:
    again: dict[str, Any] = {"first_seed": 9, "id": "mnist/fc/sgd/control", "control": True}
    pair = [
        seeds_result("fc", "sgd", [90.0, 91.0, 92.0], baseline="sgd"),
        seeds_result("fc", "sgd", [91.0, 92.0, 94.0], baseline="sgd", **again),
    ]
    for results in (pair, in_a_stack(*pair)):
        analysis = Analysis(made_up_run(results))
        (floor,) = analysis.floors.values()
        (text,) = (f.text for f in analysis.findings if f.kind == "noise floor")
        assert floor.primary is not None
        assert ((floor.ratio is None), ("epoch time" not in text)) == (results is not pair,) * 2


def test_two_runs_of_a_stack_are_not_compared_in_times() -> None:
    once, stacked = made_up_run([timed("sgd", 2.0)]), made_up_run(in_a_stack(timed("sgd", 1.0)))
    for runs in ((stacked, stacked), (once, stacked), (stacked, once)):
        comparison = compare_runs(runs, ["epoch_seconds", "target_seconds", "accuracy"])
        (row,) = comparison.rows
        words = {m.key: [c.word for c in row.changes(m) if c] for m in comparison.metrics}
        assert words["epoch_seconds"] == words["target_seconds"] == ["not compared"]
        assert words["accuracy"] == ["identical"]
        assert table_rows(comparison, EPOCH_SECONDS)[0][-1].text == "not compared"
        assert "Not compared: times of cases that were trained in a stack" in about(comparison)


def test_a_gate_compares_no_rounds_of_a_stack(tmp_path: Path) -> None:
    result = timed("sgd", 1.0)
    files = []
    for name, each in zip(("alone", "stacked"), [result, *in_a_stack(result)], strict=True):
        rounds = [(trial.seed, epoch) for trial in each.trials for epoch in trial.epochs]
        benchmark = {
            "fullname": "a.toml::a",
            "extra_info": _extra_info(each, rounds),
            "stats": {"data": [epoch.seconds for _, epoch in rounds]},
        }
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"machine_info": {"benchmnist": {}}, "benchmarks": [benchmark]}), "utf-8")
        files.append(load_benchmarks(file))
    alone, stacked = files
    assert [v.word for v in compare_benchmarks(alone, alone)] == ["no change"]
    for baseline, current in ((alone, stacked), (stacked, alone), (stacked, stacked)):
        (verdict,) = compare_benchmarks(baseline, current)
        assert verdict.word == "not comparable"
        assert "was trained in a stack, of whose time each round is an equal share" in verdict.reason


def test_each_case_of_a_stack_has_a_table_of_its_own_in_pytest_benchmark() -> None:
    sgd, adam = in_a_stack(timed("sgd", 1.0), timed("adam", 1.0))
    groups = [_measured(result, [])["group"] for result in (timed("sgd", 1.0), sgd, adam)]
    assert groups == ["fc", "mnist/fc/sgd, in a stack: not compared", "mnist/fc/adam, in a stack: not compared"]


def test_tables_and_json_say_which_times_are_shares() -> None:
    analysis = Analysis(made_up_run(in_a_stack(timed("sgd", 2.0), timed("adam", 1.0))))
    table = target_table(analysis)
    assert table is not None
    assert [row[-3:] for row in table.rows] == [("1.00×", "–", "–"), ("(1.00×)", "–", "–")]
    assert table.about.endswith("trained in a stack, each trial with an equal share of the time of all")
    found = json.loads(json_report(analysis, records(analysis)))
    assert [row["stack"] for row in found["rows"]] == [str(analysis.cases[0].stacks[0])] * 2
    assert [each["in_stack"] for each in found["targets"]] == [True, True]


def test_an_expectation_of_a_time_is_not_met_by_a_share() -> None:
    result = timed("sgd", 1.0, expect={"epoch_seconds": "<= 2.0", "accuracy": ">= 90"})
    assert missed(result) == ()
    (stacked,) = in_a_stack(result)
    assert missed(stacked) == (
        "expected epoch_seconds <= 2.0, got no value (trained in a stack, whose times are not judged)",
    )


def test_profiles_without_times_are_those_of_the_rest() -> None:
    cases = [timed("sgd", 2.0), timed("adam", 1.0), timed("lion", 1.0)]
    whole = Analysis(made_up_run(cases[:2])).profiles
    less = Analysis(made_up_run([*cases[:2], *in_a_stack(cases[2])])).profiles
    assert replace(less, stacked=()) == whole
