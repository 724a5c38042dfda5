"""Output that cannot be written costs the output, and nothing of the training."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import python_in_a_process

from benchmnist.cli.streams import PLAIN, SIGNS
from benchmnist.cli.training import interrupted_by, terminated_as_interrupted
from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import RunResult

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")

SUITE = """
[suite]
name = "small"
[defaults]
epochs = 1
train_size = 100
test_size = 100
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
"""


def run(*arguments: str, close: tuple[int, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmnist", *arguments]
    if close:
        shut = " ".join(f"{number}>&-" for number in close)
        command = ["bash", "-c", f'exec "$@" {shut}', "bash", *command]
    return subprocess.run(command, text=True, check=False, timeout=300, **options)


@needs_full
def test_a_full_disk_for_the_output_is_said_and_costs_no_result(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    suite = write_suite(SUITE)
    with FULL.open("w") as full:
        done = run("run", str(suite), "--device", "cpu", "-v", cwd=tmp_path, stdout=full, stderr=full)
    assert done.returncode == 1
    (path,) = (tmp_path / "runs" / "small").iterdir()
    assert load_run(path).record.status == "completed"
    assert {"report.md", "report.html"} <= {file.name for file in path.iterdir()}


@needs_full
def test_whichever_can_still_be_written_says_so() -> None:
    with FULL.open("w") as full:
        done = run("--help", stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1
        assert done.stderr == "error: standard output could not be written: No space left on device\n"
        assert run("report", "nosuch", stderr=full, stdout=subprocess.PIPE).returncode == 2


@pytest.mark.parametrize("close", [(1,), (2,), (1, 2)])
def test_closed_streams_are_as_good_as_any(close: tuple[int, ...]) -> None:
    assert run("--help", close=close).returncode == 0


def test_a_run_without_any_stream_is_trained_and_saved(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    assert run("run", str(write_suite(SUITE)), "--device", "cpu", cwd=tmp_path, close=(0, 1, 2)).returncode == 0
    (path,) = (tmp_path / "runs" / "small").iterdir()
    assert [case.status for case in load_run(path).cases] == ["completed"]


def test_a_pipe_that_nobody_reads_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = run("--help", stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


FULL_DISK = """
import os, pathlib, sys
from benchmnist.cli import main

def full(path):
    raise OSError(28, "No space left on device", str(path))

{fault}
main()
"""
REPLACE = """
replace = pathlib.Path.replace
pathlib.Path.replace = lambda path, target: full(target) if {what} else replace(path, target)
"""
JSON = """
import pytest_benchmark.session
pytest_benchmark.session.BenchmarkSession.save_json = lambda session, _: full("benchmark.json")
"""


@pytest.mark.parametrize(
    ("fault", "cases", "said"),
    [
        (REPLACE.format(what="'cases' in str(target)"), 0, "error: the run was cut off: cannot write "),
        (
            REPLACE.format(what="'adam.json' in str(target)"),
            1,
            "error: the run was cut off: cannot ",
        ),
        (REPLACE.format(what="'report' in str(target)"), 2, "error: cannot write "),
        (REPLACE.format(what="'plots' in str(target)"), 2, "error: cannot write "),
        (JSON, 2, "at small: OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_full_disk_costs_no_result_and_what_was_trained_is_said(
    write_suite: Callable[..., Path], fault: str, cases: int, said: str
) -> None:
    suite = write_suite(SUITE.replace('["sgd"]', '["sgd", "adam"]'))
    program = FULL_DISK.format(fault=fault)
    done = python_in_a_process("-c", program, "run", str(suite), "--device", "cpu", "--executor", "inline")
    assert done.returncode == 1, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    run = load_run("runs")
    assert run.record.status != "running"
    assert len(run.cases) == cases
    assert f"{cases} of 2 cases" in done.stderr or cases == len(run.record.plan)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_characters_that_a_stream_lacks_are_written_in_plain(encoding: str) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding, PLAIN)
    written.write("±×·–→…✓✗│█é漢😀\ud800\n" + "".join({*SIGNS}))
    written.flush()
    assert isinstance(written.buffer, io.BytesIO)
    said = written.buffer.getvalue().decode(encoding)
    assert ("v" in said, "✓" in said, r"\u6f22\U0001f600\ud800" in said) == (True, False, True)


@pytest.mark.parametrize(
    ("columns", "least", "most"),
    [("0", 60, 80), ("1", 15, 20), ("-5", 60, 80), ("abc", 60, 80), ("1000000", 60, 1000), ("", 60, 80)],
)
def test_a_strange_width_is_readable(
    invoke: Callable[..., Result], small_run: RunResult, columns: str, least: int, most: int
) -> None:
    shown = invoke("report", small_run.path, "--show", "findings", env={"COLUMNS": columns, "LINES": "0"}).stdout
    assert least <= max(map(len, shown.splitlines())) <= most
    assert "Findings" in shown


def test_an_interrupted_report_is_said(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmnist.reports.write_report", interrupted)
    done = invoke("run", write_suite(SUITE), "--device", "cpu", "--executor", "inline")
    assert done.exit_code == 130
    assert "interrupted: the report was cut off; the results are in runs/small/" in done.stderr
    assert load_run("runs").record.status == "completed"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_only_a_regular_file_is_overwritten(invoke: Callable[..., Result], small_run: RunResult) -> None:
    os.mkfifo("pipe")
    target, link = Path("target.md"), Path("link.md")
    target.write_text("<!-- benchmnist:start -->\n<!-- benchmnist:end -->\n", "utf-8")
    target.chmod(0o600)
    link.symlink_to(target)
    for options, why in (
        (("-o", "pipe"), "cannot write pipe: not a regular file"),
        (("--update", "pipe"), "cannot read pipe: not a regular file"),
    ):
        done = invoke("report", small_run.path, *options)
        assert (done.exit_code, done.stderr) == (2, f"error: {why}\n")
    for record in ("run.json", "cases/mnist__fc__adam.json", "checkpoints/x"):
        done = invoke("report", small_run.path, "-o", small_run.path / record)
        assert done.exit_code == 2
        assert "it belongs to the results of a run; name another file" in done.stderr
    assert invoke("report", small_run.path, "--update", link).exit_code == 0
    assert link.is_symlink()
    assert "| mnist" in target.read_text("utf-8")
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_model_that_closes_the_output_closes_nothing(
    install_plugin: Callable[..., None], write_suite: Callable[..., Path], invoke: Callable[..., Result]
) -> None:
    install_plugin("closes", CLOSES)
    suite = write_suite(SUITE.replace('["logistic"]', '["closes", "logistic"]'))
    done = invoke("run", suite, "--device", "cpu", "--executor", "inline", "--order", "suite")
    assert done.exit_code == 0, done.output
    assert load_run("runs").record.notes == ()


CLOSES = """
import sys
from torch import nn
from benchmnist import ModelSpec, hookimpl

class Closes(nn.Sequential):
    def forward(self, images):
        sys.stdout.close()
        return super().forward(images)

def closes(*, input_shape, num_classes):
    return Closes(nn.Flatten(), nn.Linear(784, num_classes))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="closes", summary="", build=closes)]
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP on this system")
def test_a_terminal_that_is_closed_interrupts(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(partial(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP)))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with terminated_as_interrupted() as signals:
        signal.raise_signal(signal.SIGHUP)
    assert signals == []
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with terminated_as_interrupted() as signals, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    assert interrupted_by(signals) == 129
    assert interrupted_by([]) == 130
