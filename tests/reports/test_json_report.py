"""The JSON of a report: with its rows, what the page concludes from them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from made_up import made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.chances import chances_of
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.records import records

if TYPE_CHECKING:
    from benchmnist.metrics import Level
    from benchmnist.runs.results import RunResult

METHODS = {"sgd": 90.0, "momentum": 93.0, "adam": 96.0}


def run(**options: Any) -> RunResult:
    return made_up_run(
        [
            seeds_result(model, method, [mean + seed * (mean - 88) / 40 for seed in range(4)], **options)
            for model in ("fc", "fc-bn", "cnn")
            for method, mean in METHODS.items()
        ]
    )


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def report(analysis: Analysis, level: Level = "case", about: str | None = None) -> dict[str, Any]:
    text = json_report(analysis, records(analysis, level), level, re.compile(about) if about else None)
    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_it_has_every_verdict_with_what_it_was_read_off() -> None:
    analysis = Analysis(run(baseline="sgd", margin=0.5))
    found = report(analysis)
    verdicts = analysis.verdicts()
    assert len(found["verdicts"]) == len(verdicts) > 9
    for said, v in zip(found["verdicts"], verdicts, strict=True):
        assert (said["case"], said["vs"], said["metric"]) == (v.one.id, v.other.id, v.metric.key)
        assert (said["verdict"], said["family"], said["comparisons"]) == (v.word, v.family, v.of)
        assert (said["difference"], said["p"], said["margin"]) == (v.paired.mean, v.p, 0.5)
        assert said["interval"] == (v.interval and [*v.interval])
        assert (said["n"], said["paired_by"], said["is_ratio"]) == (4, "seed", False)
        chances = chances_of(v) if v.family == "primary" else None
        assert said["chances"] == (chances and chances._asdict())
    assert {said["family"] for said in found["verdicts"]} == {"primary", "exploratory"}
    assert any(said["chances"] for said in found["verdicts"])


def test_it_has_ranks_scores_findings_and_which_cases_are_not_beaten() -> None:
    analysis = Analysis(run(baseline="sgd"))
    found = report(analysis)
    assert [each["method"] for each in found["ranks"]["methods"]] == ["adam", "momentum", "sgd"]
    assert [each["rank"] for each in found["ranks"]["methods"]] == [1, 2, 3]
    assert [group["model"] for group in found["ranks"]["groups"]] == ["fc", "fc-bn", "cnn"]
    assert analysis.ranks is not None
    assert found["ranks"]["friedman_p"] == analysis.ranks.p
    assert found["scores"]["of"] == "primary metric"
    assert {each["method"] for each in found["scores"]["methods"]} == {*METHODS}
    assert [each["text"] for each in found["findings"]] == [each.text for each in analysis.findings]
    assert [*found["unbeaten"]][:2] == ["accuracy", "train_loss"]
    assert found["unbeaten"]["accuracy"] == [f"mnist/{model}/adam" for model in ("fc", "fc-bn", "cnn")]
    assert len(found["rows"]) == 9


def test_times_to_a_target_are_ratios() -> None:
    found = report(Analysis(run(baseline="sgd", target_accuracy=50.0, epochs=4)))
    assert {said["metric"] for said in found["verdicts"]} == {"accuracy", "target_steps", "target_seconds"}
    times = [said for said in found["verdicts"] if said["metric"] == "target_seconds"]
    assert all(said["is_ratio"] and said["difference"] == pytest.approx(1) for said in times)
    assert [(each["reached"], each["n"], each["epochs"]) for each in found["targets"]] == [(4, 4, 3)] * 9
    assert found["scores"]["of"] == "target_seconds"
    assert {each["method"] for each in found["profiles"]} == {*METHODS}


def test_what_is_not_a_number_is_null() -> None:
    lost = seeds_result("fc", "lion", [None, None, None, None], baseline="sgd")
    others = seeds_result("fc", "adam", [1.0, 2.0, 3.0], baseline="sgd", first_seed=7)
    some = seeds_result("fc", "momentum", [90.0, 91.0, 93.0, None], baseline="sgd")
    sgd = seeds_result("fc", "sgd", [80.0, 81.0, 82.0, 83.5], baseline="sgd")
    found = report(Analysis(made_up_run([sgd, lost, others, some])))
    said = {each["case"].rpartition("/")[2]: each for each in found["verdicts"] if each["vs"] == "mnist/fc/sgd"}
    assert said["lion"]["lost"] == {"case": [0, 1, 2, 3], "vs": []}
    for each in (said["lion"], said["adam"]):
        assert (each["n"], each["difference"], each["interval"], each["p"]) == (0, None, None, None)
    assert (said["momentum"]["verdict"], said["momentum"]["n"]) == ("lost seeds", 3)
    assert (found["ranks"], found["scores"]) == (None, None)
    assert found["rows"][1]["accuracy"] is None


def test_a_run_without_results_and_other_levels_than_cases() -> None:
    empty = report(Analysis(made_up_run([])))
    assert (empty["schema_version"], empty["rows"], empty["verdicts"], empty["ranks"]) == (1, [], [], None)
    seeds = report(Analysis(run()), "seed")
    assert (seeds["level"], len(seeds["rows"])) == ("seed", 36)
    assert "verdicts" not in seeds


def test_a_selection_keeps_the_families_of_the_whole_run() -> None:
    analysis = Analysis(run(baseline="sgd"))
    found = report(analysis, about="fc/(sgd|adam)")
    (said,) = found["verdicts"]
    assert (said["case"], said["comparisons"]) == ("mnist/fc/adam", analysis.verdicts()[0].of)
