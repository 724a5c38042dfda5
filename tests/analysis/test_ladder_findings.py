"""Findings on problems with many levels: they are short, and each of them is true."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from made_up import level_result, made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.records import records
from benchmnist.reports.terminal import Console
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

HIT, MISS = [1.0, 0.05], [1.0, 0.9]
PROBLEMS = tuple(f"problem-{letter}" for letter in "abcdefghijklmno")
TOPS = {"sgd": 2, "momentum": 4, "adam": 6}
LEVELS = 6


def ladder(problem: str, method: str, top: int, **changed: Any) -> list[CaseResult]:
    """A case of each level, of which the first `top` are solved, the harder ones later and less evenly."""
    return [
        level_result(
            problem,
            rung,
            method,
            [[1.0] * (1 + rung + (seed + rung) % 2) + HIT if rung < top else MISS for seed in range(5)],
            **changed,
        ).model_copy(update={"engine": "stacked"})
        for rung in range(LEVELS)
    ]


def attempts(problem: str, method: str, rung: int, *values: float | None) -> Search:
    made = tuple(Attempt(params={"lr": float(i + 1)}, value=value) for i, value in enumerate(values))
    space = {"lr": Space(low=0.5, high=50.0)}
    level = f"{problem}/1e{rung}"
    return Search(dataset=level, model="", method=method, sampler="random", space=space, attempts=made)


def texts(cases: list[CaseResult], *searches: Search, kind: str = "") -> list[str]:
    analysis = Analysis(made_up_run(cases, searches=searches))
    return [each.text for each in analysis.findings if kind in ("", each.kind)]


def test_fifteen_ladders_of_three_methods_are_told_in_forty_lines() -> None:
    cases = [
        case
        for index, problem in enumerate(PROBLEMS)
        for method, top in TOPS.items()
        for case in ladder(problem, method, (top + index) % (LEVELS + 1), tuned=True)
    ]
    searches = [attempts(p, m, rung, 0.9, 0.5) for p in PROBLEMS for m in TOPS for rung in range(LEVELS)]
    analysis = Analysis(made_up_run(cases, searches=searches))
    console = Console(width=80)
    with console.capture() as captured:
        for finding in analysis.findings:
            console.print(finding.text)
    assert len(captured.get().splitlines()) <= 40
    # Each verdict is still there for programs.
    made = json.loads(json_report(analysis, records(analysis)))
    judged = {(v["case"], v["vs"]) for v in made["verdicts"] if v["metric"] == "target_steps"}
    assert len(judged) == len(PROBLEMS) * LEVELS * 3  # of three methods, as many pairs
    ids = {case.id for case in cases}
    assert {case for finding in analysis.findings for case in finding.cases} <= ids


def test_of_each_method_the_levels_that_it_solves_are_told() -> None:
    cases = [*ladder("ravine", "adam", 6), *ladder("delayed", "adam", 2), *ladder("saddle", "adam", 0)]
    cases += [level_result("hole", None, "adam", [HIT] * 5), level_result("well", None, "adam", [MISS] * 5)]
    cases[9] = level_result("delayed", 3, "adam", [HIT] * 3 + [MISS] * 2)
    (text,) = texts(cases, kind="ladders")
    assert text == (
        "adam solves all levels of ravine (1e5); delayed up to 1e1 (also 1e3) and hole. "
        "It fails at the easiest level of saddle (1e0); at well."
    )
    cases[7] = level_result("delayed", 1, "adam", [HIT] * 4 + [MISS])
    cases[12] = level_result("saddle", 0, "adam", [HIT] * 2 + [MISS] * 3)
    (text,) = texts(cases, kind="ladders")
    assert "delayed up to 1e1 (4 of 5 seeds: also 1e3)" in text


def test_scores_and_ranks_follow_where_there_are_several_methods() -> None:
    cases = [case for p in PROBLEMS[:4] for m, top in TOPS.items() for case in ladder(p, m, top)]
    *_, text = texts(cases, kind="ladders")
    assert text.startswith(
        "Over 4 problems, the mean share of levels solved, with its interval over problems like these: "
        "adam (1.00), momentum (0.67) and sgd (0.33). Over 4 problems, by levels solved, adam has the best"
    )
    assert not texts(cases, kind="ranks")  # the levels of a problem are not as many groups


def test_verdicts_on_levels_are_counted() -> None:
    cases = [case for m, top in (("sgd", 5), ("adam", 3)) for case in ladder("ravine", m, top)]
    (text,) = texts(cases, kind="levels")
    assert text == (
        "On 6 levels of 1 problem, in steps to the target, compared with the baseline sgd: adam: identical in "
        "every seed on 3 and not judged on 3. Not judged: seeds of one or of both missed the target or were lost."
    )
    assert {
        kind for kind in ("baseline", "target", "target steps", "rules", "steps saved") if texts(cases, kind=kind)
    } == set()


def test_beside_ladders_other_cases_are_told_as_ever() -> None:
    alone = [seeds_result("fc", m, [v, v + 0.1, v - 0.1], baseline="sgd") for m, v in (("sgd", 90), ("adam", 95))]
    both = [*alone, *(case for m, top in TOPS.items() for case in ladder("ravine", m, top))]
    (text,) = texts(both, kind="baseline")
    assert text.startswith(
        "On mnist · fc, compared with the baseline sgd (90.00 %): not shown to differ: adam (95.00 %)"
    )


def test_a_single_level_is_told_as_a_problem_without_levels() -> None:
    cases = [ladder("ravine", m, top)[0] for m, top in TOPS.items()]
    assert texts(cases, kind="ladders") == texts(cases, kind="levels") == []
    assert len(texts(cases, kind="baseline")) == len(texts(cases, kind="target steps")) == 1


def test_lists_join_the_levels_of_a_problem() -> None:
    cases = [case for m, top in TOPS.items() for case in ladder("ravine", m, top)]
    gone = [
        case.model_copy(update={"trials": tuple(t.model_copy(update={"status": "diverged"}) for t in case.trials)})
        if case.case.rung in rungs
        else case
        for case, rungs in zip(cases, [[1, 2, 3, 5]] * 6 + [[0, 2]] * 6 + [[]] * 6, strict=True)
    ]
    (text,) = texts(gone, kind="diverged")
    assert text == (
        "Diverged: ravine/1e1, 1e2, 1e3 and 1e5 · sgd (5 of 5 seeds) and "
        "ravine/1e0 and 1e2 · momentum (5 of 5 seeds)."
    )
    assert texts(cases, kind="ended early")[0].startswith("On ravine, trials stopped at the target")
    (rate,) = texts([*cases, seeds_result("fc", "sgd", [90.0])], kind="one learning rate")
    assert rate.startswith("On ravine, each optimizer was trained at one learning rate only (all at 0.1)")


def test_where_settings_came_from_is_told_once_for_all_levels() -> None:
    cases = ladder("ravine", "sgd", 3, tuned=True)[:4]
    searches = [attempts("ravine", "sgd", rung, 0.9, 0.5) for rung in range(4)]
    searches += [attempts("ravine", "sgd", rung, None, None) for rung in (4, 5)]
    (tuned,) = texts(cases, *searches, kind="tuned")
    assert "Every attempt of sgd on ravine/1e4 and 1e5 diverged or failed" in tuned
    (edge,) = texts(cases, *searches, kind="best at the edge")
    assert "lr of sgd on 4 levels (ravine/1e0 to 1e3)" in edge


def test_what_tuning_gains_is_told_without_empty_brackets() -> None:
    own = level_result("hole", None, "adam", [HIT] * 5, tuned=True)
    lost = level_result("hole", None, "adam", [MISS] * 5, untuned=True, axes=("untuned",), id="hole/adam/untuned")
    (text,) = texts([own, lost], attempts("hole", "adam", 0, 0.9), kind="tuning gains nothing")
    assert text.endswith("cannot be judged, because of lost seeds, beside the suite's own: adam.")
