"""Mean ranks, scores and chances in tables, pictures and sentences."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from made_up import made_up_run, seeds_result
from rich.console import Console

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.extra_tables import RichTable, extra_tables
from benchmnist.reports.html import report_page
from benchmnist.reports.markdown import report
from benchmnist.reports.pictures import pictures
from benchmnist.reports.plots import Plots

if TYPE_CHECKING:
    from benchmnist.reports.extra_table import ExtraTable

MODELS = tuple(f"model-{i}" for i in range(6))
MEANS = {"sgd": 90.0, "momentum": 93.0, "adam": 96.0, "rmsprop": 96.5}


def made_up(*, models: tuple[str, ...] = MODELS, **options: Any) -> Analysis:
    """Of each model, adam and rmsprop take turns at being the best; sgd is always the last."""
    return Analysis(
        made_up_run(
            [
                seeds_result(
                    model,
                    method,
                    [mean + 0.1 * seed - (i % 2 and method == "rmsprop") for seed in range(3)],
                    **options,
                )
                for i, model in enumerate(models)
                for method, mean in MEANS.items()
            ]
        )
    )


def table(analysis: Analysis, name: str = "ranks") -> ExtraTable:
    (found,) = extra_tables(analysis, name)
    return found


def test_the_table_of_ranks_has_the_best_first_and_letters_for_what_is_alike() -> None:
    found = table(made_up(baseline="sgd"))
    assert found.title == "Mean ranks over 6 models"
    assert found.heads == ("method", "alike", "rank", "score", "interval")
    assert [row[:3] for row in found.rows] == [
        ("adam", "a", "1.50"),
        ("rmsprop", "a", "1.50"),
        ("momentum", "ab", "3.00"),
        ("sgd", "b", "4.00"),
    ]
    assert "Friedman's test that no method differs from another: p < 0.001" in found.about
    assert "critical difference 1.91" in found.about
    assert "left out" not in found.about


def test_scores_are_those_of_the_error_without_a_target_and_of_time_with_one() -> None:
    assert (
        "error or loss that is left (test accuracy after the last epoch)" in table(made_up(baseline="sgd")).about
    )
    timed = table(made_up(baseline="sgd", target_accuracy=50.0, epochs=4))
    assert "profile of the time to the target" in timed.about
    assert [row[3:] for row in timed.rows] == [("0.62", "–")] * 4  # all of them after 3 of 4 epochs: 1 - 0.75 / 2


def test_what_is_left_out_is_named() -> None:
    run = made_up().run
    more = [
        seeds_result("model-0", "new", [99.0] * 3),
        seeds_result("resnet", "adam", [99.0] * 3),
    ]
    found = table(Analysis(made_up_run([*run.cases, *more])))
    assert "not tried in every group: new;" in found.about
    assert found.about.endswith("more than the method differs: mnist · resnet")


def test_the_groups_are_counted_as_what_they_differ_in() -> None:
    def grid_title(*datasets: str) -> str:
        run = made_up(models=MODELS[:3]).run
        renamed = [
            result.model_copy(
                update={
                    "case": result.case.model_copy(
                        update={
                            "dataset": result.case.dataset.model_copy(update={"name": datasets[i // 4]}),
                            "model": result.case.model.model_copy(update={"name": "fc"})
                            if len({*datasets}) == 3
                            else result.case.model,
                            "id": f"{datasets[i // 4]}/{result.id}",
                        }
                    )
                }
            )
            for i, result in enumerate(run.cases)
        ]
        return table(Analysis(made_up_run(renamed))).title

    assert grid_title("mnist", "mnist", "mnist") == "Mean ranks over 3 models"
    assert grid_title("mnist", "kmnist", "fmnist") == "Mean ranks over 3 datasets"
    assert grid_title("mnist", "mnist", "fmnist") == "Mean ranks over 3 groups"


def test_ranks_are_in_the_report_the_page_and_the_findings() -> None:
    analysis = made_up(baseline="sgd")
    (sentence,) = (finding.text for finding in analysis.findings if finding.kind == "ranks")
    assert sentence == (
        "Over 6 models, adam and rmsprop have the best mean rank of 4 methods: 1.50 (Friedman's test: p < 0.001). "
        "It is better than the rank of sgd (4.00). It is not shown to differ from the rank of momentum (3.00)."
    )
    assert "## Mean ranks" in report(analysis, Plots({}, {}))
    page = report_page(analysis)
    assert "Mean ranks over 6 models</h2>" in page
    alt = "Mean ranks over 6 models: adam 1.50, rmsprop 1.50, momentum 3.00, sgd 4.00; critical difference 1.91"
    assert f'alt="{alt}; not shown to differ: adam, rmsprop and momentum; momentum and sgd"' in page


def test_methods_that_do_not_differ_are_said_not_to_be_shown_to() -> None:
    cases = [
        seeds_result(model, method, [90.0 + (i + j) % 3] * 3)
        for i, model in enumerate(MODELS[:3])
        for j, method in enumerate(MEANS)
        if method != "sgd"
    ]
    (sentence,) = (f.text for f in Analysis(made_up_run(cases)).findings if f.kind == "ranks")
    assert (
        sentence
        == "Over 3 models, the mean ranks of 3 methods are not shown to differ (Friedman's test: p = 1.000)."
    )


def test_two_models_have_no_ranks() -> None:
    analysis = made_up(models=MODELS[:2])
    assert extra_tables(analysis, "ranks") == []
    assert not [finding for finding in analysis.findings if finding.kind == "ranks"]
    assert not [picture for picture in pictures(analysis) if "ranks" in picture.title]


def test_the_searches_of_a_method_are_one_method_of_the_ranks_and_the_unit_of_the_chances() -> None:
    cases = [
        seeds_result(
            model,
            method,
            [mean + 0.1 * number * len(method), mean + 0.3 * (number % 2)],
            id=f"mnist/{model}/{method}/search-{number}",
            axes=(f"search-{number}",),
            first_seed=2 * number,
            search=number,
            tuned=True,
            margin=0.5,
            baseline=f"sgd/search-{number}",
        )
        for model in MODELS[:3]
        for method, mean in (("sgd", 90.0), ("adam", 90.3), ("lion", 90.6))
        for number in (1, 2, 3)
    ]
    analysis = Analysis(made_up_run(cases))
    assert {row[0] for row in table(analysis).rows} == {"sgd", "adam", "lion"}
    (picture,) = (found for found in pictures(analysis) if found.title == "Mean ranks over 3 models")
    assert picture.draw().startswith(b"\x89PNG")
    chances = next(found for found in extra_tables(analysis, "verdicts") if found.title.startswith("Chances"))
    assert "given the searches that both completed" in chances.about


@pytest.mark.parametrize("methods", [3, 12])
def test_the_diagram_has_room_for_its_names(methods: int) -> None:
    cases = [
        seeds_result(model, f"method-{j}", [90.0 + (j * (i + 1)) % methods / 10] * 3)
        for i, model in enumerate(MODELS)
        for j in range(methods)
    ]
    (picture,) = pictures(Analysis(made_up_run(cases)))
    assert (picture.title, picture.file) == ("Mean ranks over 6 models", "ranks.png")
    content = picture.draw()
    width, height = struct.unpack(">II", content[16:24])
    assert width == 960
    assert 200 + 20 * methods <= height <= 400 + 30 * methods


def test_every_method_of_a_long_table_fits_80_columns() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(RichTable(table(made_up(baseline="sgd"))))
    assert max(map(len, captured.get().splitlines())) <= 80


def test_the_chances_stand_beside_the_verdicts_of_the_primary_comparisons() -> None:
    options = {"baseline": "sgd", "margin": 0.5}
    cases = [
        seeds_result("fc", "sgd", [90.0, 90.4, 89.8, 90.1], **options),  # type: ignore[arg-type]
        seeds_result("fc", "adam", [90.9, 90.4, 90.8, 90.3], **options),  # type: ignore[arg-type]
        seeds_result("fc", "lion", [97.0, 97.1, 97.2, 96.9], **options),  # type: ignore[arg-type]
        seeds_result("fc", "wild", [97.0, 97.1, 97.2, None], **options),  # type: ignore[arg-type]
    ]
    verdicts, chances, *_ = extra_tables(Analysis(made_up_run(cases)), "verdicts")
    assert verdicts.title == "Verdicts"
    assert chances.title == "Chances of a difference of more than the margin of 0.5 points"
    assert chances.rows == (
        ("fc/adam", "fc/sgd", "no difference shown", "54", "45", "1"),
        ("fc/lion", "fc/sgd", "better", ">99", "<1", "<1"),
    )


def test_without_a_margin_there_are_no_chances() -> None:
    titles = [found.title for found in extra_tables(made_up(baseline="sgd"), "verdicts")]
    assert titles[0] == "Verdicts"
    assert not [title for title in titles if title.startswith("Chances")]
