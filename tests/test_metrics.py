"""A metric is one entry: what derives from the list has it, and what is not in the list is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from made_up import made_up_result, made_up_run, seeds_result
from processes import changed_package, commands_of
from training_support import component, make_case

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.comparison import compare_runs
from benchmnist.analysis.expectations import missed
from benchmnist.analysis.figures import case_figure, seed_figures
from benchmnist.analysis.verdicts import judge
from benchmnist.errors import BenchmnistError
from benchmnist.metrics import METRICS, Metric, find_metric
from benchmnist.reports.columns import Columns, View
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.records import records
from benchmnist.runs.results import CaseResult, EpochResult, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from benchmnist.metrics import Level
    from benchmnist.runs.results import RunResult

ENTRY = '    Metric("top5_accuracy", "top-5 test accuracy", "%", "higher"),\n'
FIGURE = '            "top5_accuracy": 100 * (outputs.topk(5).indices == targets[:, None]).sum(),\n'
SUITE = """
[suite]
name = "small"
[defaults]
epochs = 2
seeds = 3
train_size = 500
test_size = 200
expect.top5_accuracy = ">= 1"
[optimizers.adam]
expect.top5_accuracy = "> 100"
[[cases]]
models = ["fc"]
optimizers = ["sgd", "adam"]
"""


class Changed(NamedTuple):
    """BenchMNIST with one more metric: a command of it, the finished run and what the run printed."""

    command: Callable[..., str]
    run: Path
    printed: str


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changed]:
    """A copy of the package with one line more in each of two files, and a run of it."""
    folder = tmp_path_factory.mktemp("changed")
    changed_package(
        folder,
        [
            ("metrics.py", '    Metric("test_loss"', ENTRY),
            ("tasks/classification.py", '            "test_loss": ', FIGURE),
        ],
    )
    (folder / "suite.toml").write_text(SUITE, "utf-8")
    with commands_of(folder, {"BENCHMNIST_DEVICE": "cpu", "COLUMNS": "120"}) as command:
        printed = command("run", "suite.toml", "--executor", "inline", "--no-checkpoints", code=1)
        (run,) = (folder / "runs" / "small").iterdir()
        yield Changed(command, run, printed)


def test_a_run_keeps_and_asserts_a_new_metric(changed: Changed) -> None:
    (sgd,) = (json.loads(file.read_text("utf-8")) for file in (changed.run / "cases").glob("*sgd.json"))
    stored = [epoch["metrics"] for trial in sgd["trials"] for epoch in trial["epochs"]]
    assert len(stored) == 6
    assert all(0 < figures["test_accuracy"] <= figures["top5_accuracy"] <= 100 for figures in stored)
    assert sgd["misses"] == []
    assert "mnist/fc/adam missed: expected top5_accuracy > 100, got " in " ".join(changed.printed.split())
    benchmarks = json.loads((changed.run / "benchmark.json").read_text("utf-8"))["benchmarks"]
    assert all(0 < each["extra_info"]["top5_accuracy"] <= 100 for each in benchmarks)


def test_tables_and_files_for_programs_have_a_new_metric(changed: Changed) -> None:
    assert "top-5 test accuracy, %" in changed.command("report", changed.run, "--format", "markdown")
    assert "top5_accuracy" in changed.command("report", changed.run, "--format", "csv").partition("\n")[0]
    chosen = ["--columns", "top5_accuracy", "--sort", "top5_accuracy", "--format", "json"]
    rows = json.loads(changed.command("report", changed.run, *chosen))["rows"]
    assert [row["top5_accuracy"] for row in rows] == sorted((r["top5_accuracy"] for r in rows), reverse=True)
    assert all(isinstance(row["top5_accuracy_std"], float) for row in rows)
    for level, count in (("case", 2), ("seed", 6), ("epoch", 12)):
        rows = json.loads(changed.command("report", changed.run, "--format", "json", "--level", level))["rows"]
        assert len(rows) == count
        assert all(0 < row["top5_accuracy"] <= 100 for row in rows)


def test_comparisons_and_verdicts_have_a_new_metric(changed: Changed) -> None:
    compared = changed.command("compare", changed.run, changed.run)
    assert "top-5 test accuracy after the last epoch, %" in compared
    only = changed.command("compare", changed.run, changed.run, "--metrics", "top5_accuracy")
    assert only.count("+0.00 identical") == 2
    verdicts = changed.command("report", changed.run, "--show", "verdicts", "--metric", "top5_accuracy")
    assert "difference: mean difference in the top-5 test accuracy after the last epoch, in points" in " ".join(
        verdicts.split()
    )


def test_plots_and_the_page_have_a_new_metric(changed: Changed) -> None:
    assert (changed.run / "plots" / "mnist__fc.top5_accuracy.png").is_file()
    assert "plots/mnist__fc.top5_accuracy.png" in (changed.run / "report.md").read_text("utf-8")
    page = (changed.run / "report.html").read_text("utf-8")
    assert re.search(r'<div class="chart"[^>]* data-metric="top5_accuracy"', page)
    assert '{"key":"top5_accuracy","title":"top-5 test accuracy, %"}' in page  # of the table of epochs
    assert "top-5 test accuracy, %</th>" in page


def test_a_run_without_the_new_metric_is_shown_without_it(changed: Changed) -> None:
    before = Path(__file__).parent / "runs" / "data" / "format-2"
    assert "top-5" not in changed.command("compare", before, before)
    pictures = changed.run.parent / "pictures"
    changed.command("compare", before, before, "--format", "markdown", "--plots", pictures)
    assert {file.name for file in pictures.iterdir()} == {
        "mnist__fc.test_accuracy.png",
        "mnist__fc.train_loss.png",
    }


LISTED = "Choose from: accuracy, train_loss, test_loss, epoch_seconds"


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "RUN", "RUN", "--metrics", "acuracy"],
        ["report", "RUN", "--show", "verdicts", "--metric", "acuracy"],
        ["compare", "RUN", "RUN", "--metrics", "step_loss"],
    ],
)
def test_an_unknown_metric_is_refused_with_those_that_there_are(
    invoke: Callable[..., Result], small_run: RunResult, arguments: list[str]
) -> None:
    done = invoke(*(str(small_run.path) if argument == "RUN" else argument for argument in arguments))
    assert done.exit_code == 2
    assert f"no metric named '{arguments[-1]}'." in done.stderr
    assert LISTED in done.stderr


def test_a_margin_of_one_is_in_the_singular() -> None:
    units = [find_metric(key) for key in ("accuracy", "test_loss", "epoch_seconds")]
    assert [each.margin(1.0) for each in units] == ["1 point", "1 nat", "1 s"]
    assert [each.margin(0.5) for each in units] == ["0.5 points", "0.5 nats", "0.5 s"]


def test_no_part_takes_an_unknown_metric_for_another() -> None:
    result = made_up_result("fc", "sgd", 90.0)
    unknown = Metric("nonsense", "nonsense", better="higher")
    row = compare_runs([made_up_run([result])] * 2).rows[0]
    expecting = result.model_copy(update={"case": result.case.model_copy(update={"expect": {"nonsense": "> 1"}})})
    for refused in (
        lambda: find_metric("nonsense"),
        lambda: row.figures(unknown),
        lambda: row.changes(unknown),
        lambda: compare_runs([made_up_run([result])] * 2, ["nonsense"]),
        lambda: missed(expecting),
        lambda: judge([result], "nonsense"),
        lambda: seed_figures(result, unknown),
        lambda: case_figure(result, unknown),
    ):
        with pytest.raises(
            BenchmnistError, match=r"no metric named 'nonsense'\. Choose from: accuracy, train_loss, "
        ):
            refused()


def rows(run: RunResult, level: Level = "case", **view: Any) -> list[dict[str, str]]:
    """The rows of the CSV file, which are those of the JSON file."""
    found = records(Analysis(run), level, View(**view) if view else None)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    of_json = json.loads(json_report(Analysis(run), found, level), parse_constant=refuse)["rows"]
    of_csv = list(csv.DictReader(io.StringIO(found.csv())))
    assert [[*row] for row in of_json] == [[*row] for row in of_csv] == [[*found.header]] * len(found.rows)
    return of_csv


def test_without_columns_there_is_every_figure() -> None:
    case = make_case(
        optimizer=component("sgd", lr=0.1), schedule=component("cosine", warmup=[1, 2]), batch_size=64
    )
    made = made_up_result("fc", "sgd", 90.0, epochs=2)
    result = made.model_copy(
        update={"case": case, "peak_memory": 1000, "parameters": 7, "precision": "bf16", "wall_seconds": 2.5}
    )
    other = made_up_result("cnn", "adam", 95.0)
    (row, _) = rows(made_up_run([result, other]))
    assert {column.key for column in Columns()} - {*row} == {"params"}
    assert {metric.key for metric in METRICS} - {*row} == {"step_loss"}
    expected = {
        "optimizer.lr": "0.1", "schedule.warmup": "[1, 2]", "schedule": "cosine", "batch_size": "64",
        "peak_memory": "1000", "weights": "7", "precision": "bf16", "wall_seconds": "2.5", "learning_rate": "0.1",
        "evaluate_in": "eval", "train_size": "60000", "accuracy": "90.05", "best_accuracy": "90.1",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    for key in ("accuracy", "test_loss", "train_loss"):
        assert float(row[f"{key}_std"]) > 0


def test_a_chosen_figure_and_its_deviation_have_a_column_each() -> None:
    run = made_up_run([made_up_result("fc", "sgd", 90.0), made_up_result("fc", "adam", 95.0)])
    (first, second) = rows(run, columns=("case", "test_loss", "accuracy"), sort="accuracy")
    assert [*first] == ["case", "test_loss", "test_loss_std", "accuracy", "accuracy_std"]
    assert [first["case"], second["case"]] == ["mnist/fc/adam", "mnist/fc/sgd"]
    assert all(float(value) >= 0 for key, value in first.items() if key != "case")


def test_a_level_chooses_the_rows() -> None:
    epochs = tuple(
        EpochResult(
            epoch=n,
            seconds=float(n),
            train_loss=1 / n,
            step_losses=((100, 2.0 / n), (150, 1.5 / n)),
            metrics={"test_loss": 0.5, "test_accuracy": 90.0 + n},
        )
        for n in (1, 2, 3)
    )
    trials = tuple(TrialResult(seed=s, status="completed", epochs=epochs, setup_seconds=0.25) for s in (3, 4))
    case = make_case(epochs=3, seeds=(3, 4), optimizer=component("sgd", lr=0.1))
    run = made_up_run([CaseResult(case=case, status="completed", trials=trials)])
    seeds = rows(run, "seed")
    assert [row["seed"] for row in seeds] == ["3", "4"]
    expected = {"accuracy": "93.0", "epoch_seconds": "2.0", "setup_seconds": "0.25", "optimizer.lr": "0.1"}
    assert {key: seeds[0][key] for key in expected} == expected
    of_epochs = rows(run, "epoch")
    assert [(row["seed"], row["epoch"]) for row in of_epochs] == [(s, e) for s in "34" for e in "123"]
    assert [row["accuracy"] for row in of_epochs[:3]] == ["91.0", "92.0", "93.0"]
    steps = rows(run, "step", columns=("step_loss",))
    assert len(steps) == 12
    assert steps[1] == {"case": case.id, "seed": "3", "epoch": "1", "step": "150", "step_loss": "1.5"}


def test_what_is_not_finite_is_nothing() -> None:
    run = made_up_run([seeds_result("fc", "wild", [90.0, None])])
    assert [row["train_loss"] for row in rows(run, "seed")] == ["1.0", ""]
    assert [row["accuracy"] for row in rows(run, "epoch")] == ["90.0", ""]
    assert rows(run)[0]["accuracy_std"] == ""


@pytest.mark.parametrize("level", ["case", "seed", "epoch", "step"])
def test_a_run_without_results_has_a_header(level: Level) -> None:
    header = records(Analysis(made_up_run([])), level).csv()
    assert header.startswith("case,problem,level,dataset,model,optimizer,")
    assert header.count("\n") == 1


def test_an_unknown_column_of_a_level_is_refused(invoke: Callable[..., Result], small_run: RunResult) -> None:
    chosen = ["--format", "csv", "--level", "epoch", "--columns"]
    done = invoke("report", small_run.path, *chosen, "acuracy")
    assert done.exit_code == 2
    assert "no column named 'acuracy'. Did you mean 'accuracy'? Choose from: case, problem, level, " in done.stderr
    assert invoke("report", small_run.path, *chosen, "accuracy").stdout.startswith("case,seed,epoch,accuracy\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--level", "seed"], "--level needs --format csv or json"),
        (["--metric", "accuracy"], "--metric needs --show verdicts"),
    ],
)
def test_options_that_do_not_go_together(
    invoke: Callable[..., Result], small_run: RunResult, arguments: list[str], said: str
) -> None:
    done = invoke("report", small_run.path, *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_every_figure_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to-report.md").read_text("utf-8")
    keys = {*(metric.key for metric in METRICS), *(column.key for column in Columns())}
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_what_is_evaluated_is_in_the_list(small_run: RunResult) -> None:
    fields = {metric.field for metric in METRICS}
    seen = {name for case in small_run.cases for trial in case.trials for e in trial.epochs for name in e.metrics}
    assert seen
    assert seen <= fields
