"""`benchmnist tune`, `describe`, `report --show`, `compare --update`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from made_up import level_result, made_up_run, seeds_result

import benchmnist
from benchmnist.runs.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

TUNED = """
[suite]
name = "tuned"
[defaults]
epochs = 1
seeds = 3
train_size = 300
test_size = 100
batch_size = 50
[tune]
trials = 2
sampler = "grid"
validation_size = 100
[optimizers.sgd]
space.lr = [1e-2, 1e-1]
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
"""
QUICK = ("--device", "cpu", "--executor", "inline", "--no-checkpoints")


def test_a_suite_is_tuned_shown_and_gone_on_with(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    suite = write_suite(TUNED)
    done = invoke("tune", suite, *QUICK)
    assert done.exit_code == 0, done.output
    assert "The hyperparameters of each optimizer were chosen on held-out training examples" in " ".join(
        done.stdout.split()
    )
    assert "2 cases, in runs/tuned-search/" in done.stderr
    assert "2 cases, in runs/tuned/" in done.stderr  # with what was found, and with the suite's own
    shown = invoke("report", "runs/tuned", "--show", "tuning").output
    assert "2 grid" in shown
    again = invoke("tune", suite, *QUICK, "--resume")
    assert again.exit_code == 0
    assert "epoch 1/1" in done.stderr
    assert "epoch 1/1" not in again.stderr  # nothing is trained twice


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (TUNED.replace("space.lr = [1e-2, 1e-1]", "lr = 1e-2"), (), "no optimizer has a space to tune"),
        (TUNED, ("--resume",), "no run of tuned-search in runs to resume; remove --resume"),
        (TUNED.replace("[1e-2, 1e-1]", "[-1.0]"), (), "Invalid learning rate: -1.0"),
        (
            TUNED.replace("validation_size = 100", "validation_size = 60000"),
            (),
            "tune.validation_size: validation_size = 60000, but must be less than 60000",
        ),
    ],
)
def test_bad_input_is_one_clear_line(
    invoke: Callable[..., Result],
    write_suite: Callable[..., Path],
    text: str,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    done = invoke("tune", write_suite(text), *QUICK, *arguments)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_describe(invoke: Callable[..., Result]) -> None:
    done = invoke("describe", "fc", "hidden_size=20")
    assert done.exit_code == 0
    assert "15,910" in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert "| 784-20" not in done.output
    markdown = invoke("describe", "cnn", "--format", "markdown").output
    assert "16 × 24 × 24" in markdown
    assert markdown.startswith("| name ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fcc"], "no model named 'fcc'. Did you mean 'fc'?"),
        (["fc", "hidden=20"], "error: hidden: 'fc' takes no parameter 'hidden'. Did you mean 'hidden_size'?"),
        (
            ["fc", "hidden_size"],
            "'hidden_size' is not NAME=VALUE with a TOML value, such as hidden_size=1000 or name=\"x\"",
        ),
        (["fc", "--dataset", "mnits"], "no dataset named 'mnits'. Did you mean 'mnist'?"),
    ],
)
def test_what_cannot_be_described(invoke: Callable[..., Result], arguments: list[str], said: str) -> None:
    done = invoke("describe", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_parts_of_a_report_are_shown_and_kept_in_a_document(
    invoke: Callable[..., Result], small_run: benchmnist.RunResult, tmp_path: Path
) -> None:
    document = tmp_path / "results.md"
    blocks = ("findings", "verdicts", "models", "plots")
    document.write_text("".join(f"<!-- benchmnist:start {b} -->\n<!-- benchmnist:end {b} -->\n" for b in blocks))
    for block in blocks:
        plots = ("--plots", tmp_path / "images") if block == "plots" else ()
        arguments = ("report", small_run.path, "--show", block, *plots, "--update", document, "--name", block)
        assert invoke(*arguments).exit_code == 0
        assert invoke(*arguments, "--check").exit_code == 0
    text = document.read_text("utf-8")
    assert "- 2 seeds are too few to show which case is better" in text
    assert "too few seeds" in text
    assert "**fc on mnist**" in text
    assert "](images/mnist__fc.test_accuracy.png)" in text
    assert (tmp_path / "images" / "mnist__fc.test_accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "two cases" not in invoke("report", small_run.path, "--show", "verdicts").output
    assert "no target_accuracy" in invoke("report", small_run.path, "--show", "targets").output
    assert "was not tuned" in invoke("report", small_run.path, "--show", "tuning", "--format", "markdown").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--show", "verdicts", "--format", "csv"], "--show verdicts needs --format rich, markdown or rst"),
        (["--show", "verdicts", "--sort", "accuracy"], "and no --columns, --sort or --group-by"),
        (["--show", "plots"], "--show plots needs --plots FOLDER and --format markdown"),
        (["--plots", "x"], "--show plots needs --plots FOLDER and --format markdown"),
    ],
)
def test_what_does_not_go_together(
    invoke: Callable[..., Result], small_run: benchmnist.RunResult, arguments: list[str], said: str
) -> None:
    done = invoke("report", small_run.path, *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--show", "verdicts", "--metric", "acuracy"), "no metric named 'acuracy'. Did you mean 'accuracy'?"),
        (("--show", "verdicts", "--metric", "accuracy"), ""),
        *(((option, "acuracy"), "no column named 'acuracy'") for option in ("--columns", "--sort", "--group-by")),
        (("--columns", "accuracy", "--sort", "-accuracy", "--group-by", "model"), ""),
    ],
)
@pytest.mark.parametrize("ended", [0, 2])
def test_an_unknown_name_is_an_error_whether_or_not_a_case_has_ended(
    invoke: Callable[..., Result], tmp_path: Path, ended: int, arguments: tuple[str, ...], said: str
) -> None:
    results = [seeds_result("fc", name, [90.0, 91.0]) for name in ("adam", "sgd")]
    folder = RunFolder(tmp_path / "runs" / "made-up" / "20261124-000000-aaaa")
    folder.make()
    folder.write_record(made_up_run(results).record)
    for result in results[:ended]:
        folder.write_case(result)
    done = invoke("report", folder.path, *arguments)
    assert done.exit_code == (2 if said else 0)
    assert said in done.stderr


def test_levels_solved_are_shown_in_each_format(invoke: Callable[..., Result], tmp_path: Path) -> None:
    cases = [
        level_result(problem, rung, method, [[1.0, 0.05]] * 3)
        for problem in ("ravine", "saddle")
        for rung in range(2)
        for method in ("sgd", "adam")
    ]
    folder = RunFolder(tmp_path / "runs" / "made-up" / "20261124-000000-aaaa")
    folder.make()
    folder.write_record(made_up_run(cases).record)
    for case in cases:
        folder.write_case(case)

    def shown(*arguments: str, code: int = 0) -> str:
        done = invoke("report", folder.path, "--show", "ladders", *arguments)
        assert done.exit_code == code
        return done.stderr if code else done.stdout

    assert "2/2" in shown()
    assert shown("--format", "markdown").startswith("| problem")
    assert len(shown("--format", "csv", "--about", "saddle adam").splitlines()) == 3
    assert len(json.loads(shown("--format", "json", "--about", "saddle"))["ladders"]["levels"]) == 4
    assert "--level needs" in shown("--format", "csv", "--level", "seed", code=2)
    assert "needs --format rich, markdown, rst, csv or json" in shown("--format", "latex", code=2)


def test_a_comparison_is_kept_in_a_document(
    invoke: Callable[..., Result], small_run: benchmnist.RunResult, tmp_path: Path
) -> None:
    document = tmp_path / "changes.md"
    document.write_text("<!-- benchmnist:start -->\n<!-- benchmnist:end -->\n", "utf-8")
    arguments = ("compare", small_run.path, small_run.path, "--update", document)
    assert invoke(*arguments, "--check").exit_code == 1
    assert invoke(*arguments).exit_code == 0
    assert invoke(*arguments, "--check").exit_code == 0
    assert "+0.00 identical" in document.read_text("utf-8")
    assert invoke(*arguments, "--format", "html").exit_code == 2


def test_a_run_with_a_control_is_interleaved_and_has_a_floor(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    suite = write_suite()
    done = invoke("run", suite, *QUICK, "--control", "--seeds", "2", "--epochs", "1")
    assert done.exit_code == 0, done.output
    assert "The noise floor of accuracy and epoch time" in " ".join(done.stdout.split())
    run = benchmnist.load_run("runs")
    assert [(case.id, case.case.seeds) for case in run.cases] == [
        ("mnist/fc/sgd", (0, 1)),
        ("mnist/fc/sgd/control", (2, 3)),
        ("mnist/fc/adam", (0, 1)),
    ]
    begun = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("[")]
    assert begun == ["mnist/fc/sgd", "mnist/fc/sgd/control", "mnist/fc/adam"]
    first = [line for line in done.stderr.splitlines() if "epoch 1/1" in line][:3]
    assert ["seed 0" in first[0], "seed 2" in first[1], "seed 0" in first[2]] == [True] * 3
    dry = invoke("run", suite, "--control", "--dry-run", "--device", "cpu").output
    assert "mnist/fc/sgd/control" in dry


def test_two_runs_are_gated_by_what_they_learn_and_need(
    invoke: Callable[..., Result], small_run: benchmnist.RunResult
) -> None:
    done = invoke("gate", "--on", "accuracy", "--margin", "0.2", small_run.path, small_run.path)
    lines = done.stdout.splitlines()
    assert (done.exit_code, lines[-1]) == (0, "identical: 2")
    assert "test accuracy after the last epoch, %, margin 0.2 points, 2 seeds" in lines
    assert "baseline and current are the same run" in lines
    assert max(map(len, lines)) <= 80 + len(str(small_run.path))
    by_name = invoke(
        "gate",
        "--on",
        "test_loss",
        small_run.path.name,
        "small",
        "--margin",
        "0.01",
        "--out",
        small_run.path.parents[1],
    )
    assert by_name.exit_code == 2  # the folder has no run of that name, and says which it may be
    assert "Did you mean" in by_name.stderr
    markdown = invoke(
        "gate", "--on", "peak_memory", "--margin", "5%", small_run.path, small_run.path, "--markdown"
    )
    assert markdown.exit_code == 0
    assert markdown.stdout.startswith(
        "### Peak memory, margin 5 %, 2 seeds: within the margin: 2\n\n- Baseline: small/"
    )
    assert "| 🟢 within the margin |" in markdown.stdout
    assert "it has no interval" in markdown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--on", "accuracy"],
            "mnist/fc/sgd has no margin for accuracy; pass --margin, such as --margin 0.2, or set",
        ),
        (
            ["--on", "accuracy", "--margin", "5%"],
            "--margin of accuracy must be a number of points, such as 5, not '5%'",
        ),
        (
            ["--on", "peak_memory", "--margin", "5"],
            "--margin of peak_memory must be a percentage, such as 5%, not '5'",
        ),
        (["--on", "acuracy", "--margin", "1"], "no metric named 'acuracy'. Did you mean 'accuracy'?"),
        (
            ["--on", "epoch_seconds", "--margin", "5%"],
            "benchmnist gate BASELINE/benchmark.json CURRENT/benchmark.json",
        ),
    ],
)
def test_what_two_runs_cannot_be_gated_by(
    invoke: Callable[..., Result], small_run: benchmnist.RunResult, arguments: list[str], said: str
) -> None:
    done = invoke("gate", *arguments, small_run.path, small_run.path)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_the_margin_of_the_gate_may_be_in_pyproject(
    invoke: Callable[..., Result], small_run: benchmnist.RunResult, tmp_path: Path
) -> None:
    file = tmp_path / "pyproject.toml"
    for value, code in (("0.2", 0), ('"0.2"', 0), ("true", 2), ("-1", 2)):
        file.write_text(f"[tool.benchmnist.gate]\nmargin = {value}\n", "utf-8")
        done = invoke("gate", "--on", "accuracy", small_run.path, small_run.path)
        assert done.exit_code == code, done.output
    file.write_text("[tool.benchmnist.gate]\nmargin = 0.2\n", "utf-8")  # it is no option of a gate on times
    assert "is a folder" in invoke("gate", small_run.path, small_run.path).stderr
