from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import inherited_sigint

import benchmnist.cli as package
from benchmnist.cli import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import RunResult


def test_report_prints_the_table_of_the_newest_run(invoke: Callable[..., Result], small_run: RunResult) -> None:
    by_folder = invoke("report", small_run.path)
    assert by_folder.exit_code == 0
    assert by_folder.output == invoke("report", small_run.path.parents[1]).output
    assert max(map(len, by_folder.output.splitlines())) <= 80


def test_report_as_json_and_csv_say_the_same(invoke: Callable[..., Result], small_run: RunResult) -> None:
    records = json.loads(invoke("report", small_run.path, "--format", "json").output)["rows"]
    rows = list(csv.DictReader(io.StringIO(invoke("report", small_run.path, "--format", "csv").output)))
    assert [
        {key: "" if value is None else str(value) for key, value in record.items()} for record in records
    ] == rows
    assert [record["case"] for record in records] == ["mnist/fc/sgd", "mnist/fc/adam"]


def test_the_format_may_stand_in_pyproject(
    invoke: Callable[..., Result], small_run: RunResult, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.benchmnist.report]\nformat = "csv"\n', "utf-8")
    assert invoke("report", small_run.path).output.startswith("case,problem,level,dataset,")


def test_report_of_what_is_no_run(invoke: Callable[..., Result]) -> None:
    done = invoke("report", "nowhere")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: no run named 'nowhere' in runs; `benchmnist run SUITE` makes one")


def test_plugins_lists_what_there_is_and_what_is_broken(
    invoke: Callable[..., Result], install_plugin: Callable[..., None]
) -> None:
    install_plugin("broken", "raise RuntimeError('out of order')", version="0.3")
    done = invoke("plugins", env={"COLUMNS": "120"})
    assert done.exit_code == 0
    for expected in (
        "benchmnist-broken 0.3",
        "failed: RuntimeError: out of order",
        "fc-bn-dropout",
        "lbfgs",
        "emnist",
    ):
        assert expected in done.output


def test_version_and_help(invoke: Callable[..., Result]) -> None:
    from importlib.metadata import version

    assert invoke("--version").output == f"benchmnist {version('benchmnist')}\n"
    assert "run " in invoke("--help").output
    assert "error: no command named 'rn'. Did you mean `benchmnist run`?" in invoke("rn").output


@pytest.mark.parametrize("command", [["-m", "benchmnist"], ["-c", "from benchmnist.cli import main; main()"]])
def test_it_runs_as_a_program(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: benchmnist ")


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process")
def test_ctrl_c_while_the_command_line_is_imported_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n", "utf-8")
    with inherited_sigint(signal.SIG_DFL):
        done = subprocess.run(
            [sys.executable, "-m", "benchmnist", "--help"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path), *sys.path)))},
        )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_the_shell_completes_commands_and_executors() -> None:
    def complete(words: str, number: int) -> list[str]:
        environment = {
            **os.environ,
            "_BENCHMNIST_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(number),
        }
        program = [sys.executable, "-c", "from benchmnist.cli import main; main()"]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        return [line.partition(",")[2] for line in done.stdout.split()]

    assert complete("benchmnist ", 1) == [*COMMANDS]
    assert complete("benchmnist run x --executor i", 4) == ["inline"]
    assert complete("benchmnist check rms", 2) == ["rmsprop"]


def test_a_reader_that_goes_away_is_no_error(small_run: RunResult) -> None:
    command = shlex.join([sys.executable, "-m", "benchmnist", "report", str(small_run.path), "--format", "csv"])
    program = f"{command} | true"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {program}"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "rror" not in done.stderr


def test_the_recipe_for_a_command_works(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
    recipe = text.partition("## Recipe: add a command")[2].partition("```py\n")[2].partition("```")[0]
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "hello.py").write_text(recipe, "utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "commands")])
    monkeypatch.setattr(package, "COMMANDS", (*COMMANDS, "hello"))
    monkeypatch.delitem(sys.modules, "benchmnist.cli.hello", raising=False)
    assert "Greet somebody." in invoke("--help").stdout
    assert invoke("hello").stdout == "Hello, you.\n"
    assert invoke("hello", env={"BENCHMNIST_HELLO_NAME": "Ada"}).stdout == "Hello, Ada.\n"
    (tmp_path / "pyproject.toml").write_text('[tool.benchmnist.hello]\nname = "Grace"\n', "utf-8")
    assert invoke("hello").stdout == "Hello, Grace.\n"
    del sys.modules["benchmnist.cli.hello"]
