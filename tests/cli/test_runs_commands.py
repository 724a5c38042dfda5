"""`benchmnist runs`, `compare`, and what `report` does with files."""

from __future__ import annotations

import json
import operator
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import RunResult

    Invoke = Callable[..., Result]


@pytest.fixture
def runs(small_run: RunResult, tmp_path: Path) -> Path:
    out = tmp_path / "runs"
    for name in ("20200101-000000-aaaa", "20210101-000000-bbbb", "20300101-000000-cccc"):
        shutil.copytree(small_run.path, out / "small" / name)
    return out


def names(runs: Path) -> list[str]:
    return sorted(path.name[-4:] for path in runs.glob("*/*"))


def test_runs_are_listed_in_80_columns(invoke: Invoke, runs: Path) -> None:
    done = invoke("runs")
    assert done.exit_code == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["suite", "run", "began", "(UTC)", "status", "cases", "best,", "%", "of", "size"]
    assert [row.split()[:2] for row in rows] == [["small", "cccc"], ["small", "bbbb"], ["small", "aaaa"]]
    assert all("completed    2/2" in row and "mnist/fc/adam" in row for row in rows)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert invoke("runs", "--out", runs / "none").stdout.startswith("no runs in")


def test_a_run_is_shown(invoke: Invoke, runs: Path) -> None:  # noqa: ARG001
    done = invoke("runs", "show", "bbbb")
    assert done.exit_code == 0
    assert "A small suite" in done.stdout
    assert "Asked for: device=cpu, executor=inline, order=interleaved, checkpoints=True" in done.stdout
    assert re.search(r"runs/small/20210101-000000-bbbb: \d\.\d\d MB", done.stdout)


def test_the_folder_of_the_group_is_that_of_its_commands(invoke: Invoke, runs: Path) -> None:
    shutil.copytree(runs, "other")
    assert invoke("runs", "--out", "other", "prune", "--keep", 2, "--yes").exit_code == 0
    assert invoke("runs", "--out", "other", "rm", "bbbb", "--yes").exit_code == 0
    assert names(Path("other")) == ["cccc"]
    assert invoke("runs", "--out", "none", "rm", "--out", "other", "cccc", "--yes").exit_code == 0
    assert "no run named 'aaaa' in other" in invoke("runs", "--out", "other", "show", "aaaa").stderr
    assert names(runs) == ["aaaa", "bbbb", "cccc"]


def test_runs_are_removed_when_somebody_says_so(invoke: Invoke, runs: Path) -> None:
    asked = invoke("runs", "rm", "bbbb", input="n\n")
    assert (asked.exit_code, names(runs)) == (1, ["aaaa", "bbbb", "cccc"])
    done = invoke("runs", "rm", "bbbb", "aaaa", "--yes")
    assert done.exit_code == 0
    assert done.stdout.count("removed ") == 2
    assert names(runs) == ["cccc"]
    assert invoke("runs", "rm", "bbbb", "--yes").exit_code == 2
    all_of_them = invoke("runs", "rm", "runs", "--yes")  # for which `report` takes the newest
    assert (all_of_them.exit_code, names(runs)) == (2, ["cccc"])
    assert "runs has 1 run; name one of them" in all_of_them.stderr


def test_runs_are_pruned(invoke: Invoke, runs: Path) -> None:
    unsaid = invoke("runs", "prune")
    assert unsaid.exit_code == 2
    assert "--keep N, --older-than DAYS or --unfinished" in unsaid.stderr
    would = invoke("runs", "prune", "--keep", "1", "--dry-run")
    assert [line[-4:] for line in would.stdout.splitlines()] == ["bbbb", "aaaa"]
    assert invoke("runs", "prune", "--unfinished", "--yes").stderr == "nothing to remove\n"
    assert (
        invoke("runs", "prune", "--older-than", "1", "--yes").stderr == "nothing to remove\n"
    )  # they began today
    assert names(runs) == ["aaaa", "bbbb", "cccc"]
    assert invoke("runs", "prune", "--keep", "2", "--older-than", "0", "--yes").exit_code == 0
    assert names(runs) == ["bbbb", "cccc"]


def test_options_of_runs_may_stand_in_pyproject(invoke: Invoke, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.benchmnist.run]\nout = "elsewhere"\n[tool.benchmnist.runs.prune]\nkeep = 0\n', "utf-8"
    )
    runs.rename(tmp_path / "elsewhere")
    assert "aaaa" in invoke("runs").stdout
    assert len(invoke("runs", "prune", "--dry-run").stdout.splitlines()) == 3


TABLE = ("report", "cccc", "--format", "markdown")


def heads(text: str) -> list[str]:
    return [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]


def test_columns_order_and_groups_are_those_that_are_asked_for(invoke: Invoke, runs: Path) -> None:  # noqa: ARG001
    assert heads(invoke(*TABLE).stdout)[:4] == ["dataset", "model", "optimizer", "accuracy, %"]
    chosen = invoke(*TABLE, "--columns", "speedup,test_loss").stdout
    assert heads(chosen) == ["dataset", "model", "optimizer", "speed", "test loss"]
    chosen = invoke(*TABLE, "--columns", "case,params,epochs", "--sort", "-accuracy").stdout
    assert heads(chosen) == ["case", "parameters", "epochs"]
    assert [heads(line)[0] for line in chosen.splitlines()[2:]] == ["mnist/fc/sgd", "mnist/fc/adam"]
    best_first = invoke(*TABLE, "--sort", "accuracy", "--columns", "case").stdout
    assert [heads(line)[0] for line in best_first.splitlines()[2:]] == ["mnist/fc/adam", "mnist/fc/sgd"]
    grouped = invoke(*TABLE, "--group-by", "dataset,optimizer").stdout
    assert [line for line in grouped.splitlines() if line.startswith("**")] == [
        "**mnist · sgd**",
        "**mnist · adam**",
    ]
    assert heads(grouped.splitlines()[2])[:2] == ["model", "accuracy, %"]
    latex = invoke("report", "cccc", "--format", "latex", "--group-by", "optimizer").stdout
    assert latex.count(r"\begin{tabular}") == 2
    assert r"\paragraph{adam}" in latex
    records = json.loads(
        invoke("report", "cccc", "--format", "json", "--columns", "case,accuracy", "--sort", "case").stdout
    )["rows"]
    assert [[*record] for record in records] == [["case", "accuracy", "accuracy_std"]] * 2
    assert [record["case"] for record in records] == ["mnist/fc/adam", "mnist/fc/sgd"]
    shown = invoke("report", "cccc", "--columns", "case,weights,peak_memory,status", "--group-by", "model").stdout
    assert shown.splitlines()[1].split() == ["case", "weights", "memory", "status"]
    wrong = invoke(*TABLE, "--columns", "acuracy")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "no column named 'acuracy'. Did you mean 'accuracy'? Choose from: case, " in wrong.stderr


def test_a_table_that_is_wider_than_the_terminal_is_not_cut(invoke: Invoke, runs: Path) -> None:  # noqa: ARG001
    columns = (
        "accuracy,best_accuracy,train_loss,test_loss,epoch_seconds,images_per_second,peak_memory,weights,seeds"
    )
    shown = invoke("report", "cccc", "--columns", columns, env={"COLUMNS": "80"}).stdout
    assert "…" not in shown
    assert "397,510" in shown


def test_a_document_is_kept_up_to_date(invoke: Invoke, runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    before = "# Title\n<!-- benchmnist:start -->\nold\n<!-- benchmnist:end -->\nThe rest\r\n"
    page.write_bytes(before.encode())
    stale = invoke("report", "cccc", "--update", page, "--check")
    assert stale.exit_code == 1
    assert "is out of date" in stale.stderr
    assert page.read_bytes() == before.encode()
    done = invoke("report", "cccc", "--update", page)
    assert (done.exit_code, done.stdout) == (0, "")
    table = invoke(*TABLE).stdout
    run = os.path.relpath(runs / "small" / "20300101-000000-cccc", tmp_path)
    expected = before.replace("old\n", f"\n{table}\n").replace("start", f"start: report {run}")
    assert page.read_bytes() == expected.encode()
    assert invoke("report", "cccc", "--update", page, "--check").exit_code == 0
    (runs / "small" / "20300101-000000-cccc" / "cases" / "mnist__fc__sgd.json").unlink()
    assert invoke("report", "cccc", "--update", page, "--check").exit_code == 1


def test_named_blocks_are_told_apart(invoke: Invoke, runs: Path, tmp_path: Path) -> None:  # noqa: ARG001
    page = tmp_path / "page.md"
    block = "<!-- benchmnist:start {0} -->\n<!-- benchmnist:end {0} -->\n"
    page.write_text(block.format("speed") + block.format("accuracy"), "utf-8")
    assert invoke("report", "cccc", "--update", page, "--name", "accuracy", "--columns", "accuracy").exit_code == 0
    speed, accuracy = page.read_text("utf-8").split("<!-- benchmnist:start accuracy: report ")
    assert speed == block.format("speed")
    assert "accuracy, %" in accuracy
    wrong = invoke("report", "cccc", "--update", page, "--name", "sped")
    assert wrong.exit_code == 2
    assert "no line <!-- benchmnist:start sped -->. Did you mean 'speed'?" in wrong.stderr


def test_one_command_keeps_all_documents_of_a_folder(
    invoke: Invoke, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [tmp_path / "a b" / "page.md", tmp_path / "page.rst", tmp_path / "inner" / "verdicts.md"]
    options: list[list[str]] = [
        ["--columns", "accuracy,status", "--sort=-accuracy", "--about", "fc|x 'y'"],
        ["--name", "table", "--columns", "optimizer,accuracy"],
        ["--show", "findings"],
    ]
    for page, typed in zip(pages, options, strict=True):
        page.parent.mkdir(exist_ok=True)
        done = invoke("report", "cccc", "--update", page, *typed)
        assert (done.exit_code, page.exists()) == (2, False)
        assert f"{page} does not exist; add --create to create it" in done.stderr
        assert invoke("report", "cccc", "--update", page, *typed, "--create").exit_code == 0
    assert "--sort=-accuracy '--about=fc|x '\"'\"'y'\"'\"''" in pages[0].read_text("utf-8")
    texts = [page.read_bytes() for page in pages]
    (tmp_path / "other.md").write_text("no block\n", "utf-8")
    monkeypatch.chdir(runs)  # another folder: paths are relative to the documents
    assert invoke("docs", tmp_path, "--check").exit_code == 0
    for page in pages:
        start, *_, end = page.read_text("utf-8").splitlines()
        page.write_text(f"{start}\nold\n{end}\n", "utf-8")
    stale = [page.read_bytes() for page in pages]
    assert all(map(operator.ne, stale, texts))
    done = invoke("docs", tmp_path, "--check")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "3 blocks out of date")
    assert [page.read_bytes() for page in pages] == stale
    done = invoke("docs", tmp_path)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "3 blocks updated")
    assert [page.read_bytes() for page in pages] == texts
    pages[0].write_text(texts[0].decode().replace(": report", ": run"), "utf-8")
    pages[1].write_text(texts[1].decode().replace("cccc", "dddd"), "utf-8")
    done = invoke("docs", tmp_path)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "1 block up to date, 2 blocks wrong")
    assert "page.md: the block without a name: the command must be report or compare, not 'run'" in done.stderr
    assert "page.rst: block table: no run named '" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--check"], "pass --update or --output"),
        (["--create"], "--create needs --update, and no --check"),
        (["--name", "x"], "pass --update"),
        (["--update", "page.md", "--output", "other.md"], "exclude each other"),
        (["--update", "page.md", "--format", "rich"], "--update writes into a document"),
        (["--update", "page.md", "--format", "html"], "--update writes into a document"),
        (["--format", "html", "--sort", "accuracy"], "--format html chooses its own columns"),
    ],
)
def test_options_of_report_that_do_not_go_together(
    invoke: Invoke, runs: Path, arguments: list[str], said: str
) -> None:
    (runs.parent / "page.md").write_text("", "utf-8")
    done = invoke("report", "cccc", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("form", ["rich", "markdown", "html", "csv", "latex", "json"])
def test_a_report_is_written_to_a_file(invoke: Invoke, runs: Path, tmp_path: Path, form: str) -> None:  # noqa: ARG001
    file = tmp_path / "new" / "report"
    done = invoke("report", "cccc", "--format", form, "--output", file)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "adam" in file.read_text("utf-8")
    assert invoke("report", "cccc", "--format", form, "--output", file, "--check").exit_code == 0


def test_runs_are_compared(invoke: Invoke, runs: Path, tmp_path: Path) -> None:  # noqa: ARG001
    shown = invoke("compare", "aaaa", "bbbb")
    assert shown.exit_code == 0
    assert shown.stdout.count("+0.00 identical") == 2
    assert invoke("compare", "aaaa").exit_code == 2
    page = tmp_path / "docs" / "compare.md"
    done = invoke(
        "compare", "aaaa", "bbbb", "cccc", "--format", "markdown", "-o", page, "--plots", tmp_path / "docs" / "img"
    )
    assert done.exit_code == 0, done.stderr
    text = page.read_text("utf-8")
    links = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert links == ["img/mnist__fc.test_accuracy.png", "img/mnist__fc.train_loss.png"]
    assert all((page.parent / link).is_file() for link in links)
    html = invoke("compare", "aaaa", "bbbb", "--format", "html").stdout
    assert html.startswith("<!doctype html>")
