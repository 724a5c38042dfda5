from __future__ import annotations

import io
import re
import struct
from typing import TYPE_CHECKING

import pytest
from made_up import course_result, in_a_stack, made_up_run, made_up_trial, seeds_result
from rich.console import Console
from training_support import component, make_case

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.courses import AXES
from benchmnist.analysis.summary import summarise_all
from benchmnist.metrics import PRIMARY, curves
from benchmnist.reports import write_report
from benchmnist.reports.columns import Columns, View
from benchmnist.reports.escaping import latex, markdown
from benchmnist.reports.plots import Curve, default_axis, optimizer_styles, overlay, single
from benchmnist.reports.tables import ComparisonTable, cells, render
from benchmnist.runs.results import CaseResult, EpochResult, RunResult

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.analysis.courses import Across


def result(model: str, optimizer: str, accuracy: float, dataset: str = "mnist", seeds: int = 2) -> CaseResult:
    made = make_case(dataset=dataset, model=model, seeds=tuple(range(seeds)), baseline="sgd")
    made = made.model_copy(update={"optimizer": component(optimizer)})
    trials = tuple(
        made_up_trial(seed, accuracy + seed, loss=1 / accuracy, seconds=accuracy / 10) for seed in range(seeds)
    )
    case = made.model_copy(update={"id": f"{dataset}/{model}/{optimizer}"})
    return CaseResult(case=case, status="completed", trials=trials, train_size=60000)


RESULTS = [
    result("fc", "sgd", 70),
    result("fc", "adam", 90),
    result("cnn", "adam", 80),
    result("fc", "sgd", 40, dataset="kmnist"),
]


def text_of(results: list[CaseResult], width: int = 80) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(ComparisonTable(summarise_all(results)))
    return output.getvalue()


def test_the_table_is_grouped_by_model_and_fits_80_columns() -> None:
    lines = text_of(RESULTS).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split("  ")[0].strip() for line in lines] == [
        "optimizer",
        "mnist · fc",
        "sgd",
        "adam",
        "mnist · cnn",
        "adam",
        "kmnist · fc",
        "sgd",
    ]


@pytest.mark.parametrize("name", ["sgd", "a-very-long-name-of-an-optimizer"])
def test_no_figure_is_ever_cut(name: str) -> None:
    results = [result("fc", name, 97.123), result("cnn", "sgd", 96.999)]
    shown = text_of(results)
    assert max(map(len, shown.splitlines())) <= 80
    assert "97.62 ± 0.71" in shown
    assert "6,178" in shown or "6,186" in shown
    assert "…" not in shown
    assert name in "".join(line.split(" ")[0] for line in shown.splitlines())


MANY = [
    seeds_result("fc", "sgd", [70.0, 70.2, 70.1, 69.9], seconds=[1.0, 1.1, 1.0, 0.9]),
    seeds_result("fc", "adam", [91.0, 90.9, 91.1, 91.2], seconds=[2.0, 2.1, 1.9, 2.0]),
    seeds_result("fc", "momentum", [91.1, 91.2, 90.9, 91.0], seconds=[2.1, 2.0, 1.9, 2.2]),
    seeds_result("cnn", "adam", [80.0, 80.2, 80.1, 79.9]),
]


def test_what_is_not_shown_to_be_worse_than_any_other_of_its_model_is_marked() -> None:
    columns = View(("accuracy", "epoch_seconds", "case")).shown([])
    rows = [*cells(summarise_all(MANY), columns, Analysis(made_up_run(MANY))).values()]
    accuracy, seconds = 0, 1
    assert [row[accuracy].best for row in rows] == [False, True, True, False]  # alone on cnn: nothing to beat
    assert [row[seconds].best for row in rows] == [True, False, False, False]
    assert "*" not in text_of(RESULTS)  # two seeds show nothing


def run_of(path: Path, results: list[CaseResult], small_run: RunResult) -> RunResult:
    record = small_run.record.model_copy(update={"plan": tuple(r.case for r in results)})
    return RunResult(path=path, record=record, cases=tuple(results))


def test_a_markdown_table_has_a_row_for_each_case(tmp_path: Path, small_run: RunResult) -> None:
    header, rule, *rows = render(Analysis(run_of(tmp_path, RESULTS, small_run)), "markdown").splitlines()
    assert header.count("|") == rule.count("|") == len(Columns().figures) + 4
    assert len(rows) == 4
    assert "|  90.50 ± 0.71 |" in rows[1]
    assert "| **91.05 ± 0.13** |" in render(Analysis(run_of(tmp_path, MANY, small_run)), "markdown")


def test_names_do_not_break_out_of_a_table(tmp_path: Path, small_run: RunResult) -> None:
    assert markdown("a|b_*<i`") == r"a\|b\_\*&lt;i\`"
    assert latex("50% & a_b ±") == r"50\% \& a\_b $\pm$"
    table = render(Analysis(run_of(tmp_path, MANY, small_run)), "latex")
    assert r"\textbf{91.05 $\pm$ 0.13}" in table
    assert table.count(r"\\") == 5


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_run_without_results_has_an_empty_table(tmp_path: Path, small_run: RunResult, form: str) -> None:
    render(Analysis(run_of(tmp_path, [], small_run)), form)


def test_the_report_shows_every_table_and_every_plot_that_it_links(small_run: RunResult) -> None:
    report = (small_run.path / "report.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", report)
    assert len(links) == 4
    for link in links:
        head = (small_run.path / link).read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        width, height = struct.unpack(">2I", head[16:])
        assert width > 800
        assert height > 400
    for expected in (
        "# A small suite",
        "| optimizer",
        "`mnist/fc/adam`",
        '`{"lr": 0.01}`',
        "| torch ",
        "[[cases]]",
    ):
        assert expected in report


def test_plots_of_every_kind_of_case_are_drawn(tmp_path: Path, small_run: RunResult) -> None:
    diverged = result("fc", "rmsprop", 50)
    trials = tuple(
        trial.model_copy(
            update={
                "status": "diverged",
                "epochs": (EpochResult(epoch=1, seconds=1.0, train_loss=float("nan"), step_losses=()),),
            }
        )
        for trial in diverged.trials
    )
    diverged = diverged.model_copy(update={"trials": trials, "status": "diverged"})
    failed = CaseResult(case=result("fc", "adamw", 1).case, status="failed", error="Boom: {oh}\n")
    report = write_report(run_of(tmp_path, [*RESULTS, diverged, failed], small_run))
    text = report.read_text("utf-8")
    assert "Boom: {oh}" in text
    assert "diverged 2/2" in text
    assert len(list((tmp_path / "plots").glob("*.png"))) == 5 + 3 * len(curves())


def test_an_optimizer_looks_the_same_in_every_plot_and_like_no_other() -> None:
    labels = [f"o{i}" for i in range(25)]
    styles = optimizer_styles(labels)
    assert len(set(styles.values())) == 25
    assert optimizer_styles(labels[:3]) == {label: styles[label] for label in labels[:3]}
    assert len({style.color for style in list(styles.values())[:7]}) == 7
    assert len({style.marker for style in list(styles.values())[:7]}) == 7


@pytest.mark.parametrize("axis", AXES)
def test_curves_are_drawn_over_each_axis(axis: Across) -> None:
    """Draws one epoch as well; a case without what the axis needs is left out."""
    fine = course_result("adam", [[3.0, 2.0, 1.0], [3.2, 2.2, 1.2]])
    style = optimizer_styles(["adam"])["adam"]
    drawn = [Curve("adam", each, style) for each in (fine, *in_a_stack(fine))]
    pictures = {overlay("fc", some, PRIMARY, axis) for some in (drawn[:1], drawn[1:], [])}
    assert len(pictures) == 2  # a stack has no seconds to draw, and as many steps as alone
    assert single(fine, style, [PRIMARY], axis).startswith(b"\x89PNG")
    assert (default_axis([fine]), default_axis([seeds_result("fc", "sgd", [90.0])])) == ("steps", "epochs")
