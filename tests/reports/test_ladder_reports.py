"""The levels solved in tables, documents, pages, pictures, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

from made_up import level_result, made_up_run

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.extra_tables import RichTable, extra_tables
from benchmnist.reports.html import report_page
from benchmnist.reports.ladder_tables import ladder_records
from benchmnist.reports.markdown import report
from benchmnist.reports.pictures import pictures
from benchmnist.reports.records import records
from benchmnist.reports.terminal import Console
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

HIT, MISS = [1.0, 0.05], [1.0, 0.9]
TOPS = {"sgd": 0, "momentum": 1, "adam": 2}
CASES = [
    level_result(problem, rung, method, [HIT if rung < top else MISS] * 5)
    for problem in ("ravine", "saddle", "a-problem-with-a-long-name")
    for rung in range(2)
    for method, top in TOPS.items()
]
LOST = Search(
    dataset="ravine/1e2",
    model="",
    method="adam",
    sampler="random",
    space={"lr": Space(low=0.1, high=1.0)},
    attempts=(Attempt(params={"lr": 0.5}), Attempt(params={"lr": 0.6})),
)
RUN = made_up_run(CASES)


def test_the_table_has_a_row_for_each_problem_and_method() -> None:
    levels, scores = extra_tables(Analysis(RUN), "ladders")
    assert levels.rows[:3] == (
        ("ravine", "sgd", "–", "0/2", "–", "–", "1e0", "0/5 [0, 52]", "1"),
        ("ravine", "momentum", "1e0", "1/2", "5/5 [48, 100]", "50", "1e1", "0/5 [0, 52]", "1"),
        ("ravine", "adam", "1e1", "2/2", "5/5 [48, 100]", "50", "–", "–", "1"),
    )
    assert [row[0] for row in scores.rows] == ["adam", "momentum", "sgd"]
    assert [row[-2:] for row in scores.rows] == [("1.00", "–"), ("0.50", "–"), ("0.00", "–")]
    (lost,) = extra_tables(Analysis(made_up_run(CASES, searches=[LOST])), "ladders")
    assert lost.rows[2][-3:] == ("1e2", "none", "1")
    assert "none: every attempt" in lost.about
    assert "none: every attempt" not in levels.about


def test_recorded_results_and_harder_levels_are_marked() -> None:
    analysis = Analysis(made_up_run([level_result("ravine", 0, "adam", [MISS] * 3), *CASES[3:6]]))
    (levels,) = extra_tables(analysis, "ladders")
    assert levels.rows[0][:4] == ("ravine", "adam", "–+", "0/2")
    assert "+: a harder level is solved" in levels.about


def test_the_table_fits_a_terminal_and_is_in_every_report() -> None:
    analysis, console = Analysis(RUN), Console(width=80)
    with console.capture() as captured:
        console.print(RichTable(extra_tables(analysis, "ladders")[0]))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("5/5 [48, 100]" in line for line in lines)
    assert "## Levels solved" in report(analysis, None)
    assert "5/5 [48, 100]" in report_page(analysis)
    drawn = {picture.file: picture for picture in pictures(analysis)}
    assert "ranks.png" not in drawn
    assert drawn["ranks-of-ladders.png"].alt.startswith(
        "Mean ranks over 3 problems, by levels solved: adam 1.00, momentum 2.00, sgd 3.00"
    )
    assert drawn["ranks-of-ladders.png"].draw().startswith(b"\x89PNG")


def test_programs_get_a_row_for_each_level_and_method() -> None:
    analysis = Analysis(made_up_run(CASES, searches=[LOST]))
    rows = [*csv.DictReader(io.StringIO(ladder_records(analysis).csv()))]
    assert len(rows) == len(CASES) + 1
    assert {key: rows[2][key] for key in ("problem", "method", "level", "place", "solved", "seeds_solved")} == {
        "problem": "ravine",
        "method": "momentum",
        "level": "1e0",
        "place": "0",
        "solved": "True",
        "seeds_solved": "5",
    }
    lost = next(row for row in rows if row["level"] == "1e2")
    assert (lost["solved"], lost["seeds"], lost["rate_low"], lost["attempts"], lost["case"]) == (
        "False",
        "0",
        "",
        "2",
        "",
    )
    made = json.loads(json_report(analysis, records(analysis)))["ladders"]
    assert made["levels"][2]["rate_high"] == 1.0
    assert made["highest"][0] == {
        "problem": "ravine",
        "method": "sgd",
        "level": None,
        "solved": 0,
        "levels": 2,
        "harder_solved": [],
    }
    assert made["methods_left_out"] == ["sgd", "momentum"]  # which have no search of the level that adam lost
    assert (
        json.loads(json_report(Analysis(made_up_run([])), records(Analysis(made_up_run([])))))["ladders"] is None
    )
