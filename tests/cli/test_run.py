from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import torch
from conftest import SMALL
from processes import HANGS, inherited_sigint, python_in_a_process
from rich.console import Console

import benchmnist
from benchmnist.cli.display import LiveDisplay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

ANSI = "\x1b["
QUICK = ("--device", "cpu", "--executor", "inline")


def test_a_run_shows_plain_lines_and_the_table(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    done = invoke("run", write_suite(), *QUICK)
    assert done.exit_code == 0, done.output
    assert ANSI not in done.output
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"A small suite: 2 cases, in runs/small/\S+", lines[0])
    assert lines[1] == "With 2 seeds, this run finds no difference, however large: that takes 3 or more."
    assert lines[2] == "[1/2] mnist/fc/sgd"
    assert re.fullmatch(r"  seed 0, epoch 1/2: loss \d\.\d{4}, accuracy \d+\.\d\d %, \S+ s", lines[3])
    assert [line.partition(",")[0] for line in lines[3:10]] == [
        *["  seed 0"] * 2,
        "[2/2] mnist/fc/adam",
        *["  mnist/fc/adam: seed 0"] * 2,
        *["  mnist/fc/adam: seed 1"] * 2,
    ]
    assert re.fullmatch(r"  mnist/fc/adam: ok: accuracy \d+\.\d\d ± \d+\.\d\d %, \S+ s/epoch", lines[10])
    assert lines[-1].startswith("report, plots, checkpoints and results: runs/small/")
    table = done.stdout.splitlines()
    assert table[0] == "A small suite"
    assert [line.split()[0] for line in table[1:5]] == ["optimizer", "mnist", "sgd", "adam"]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert Path(lines[-1].split()[-1], "report.md").is_file()


def test_a_suite_of_the_package_is_named_anywhere(invoke: Callable[..., Result], tmp_path: Path) -> None:
    small = ("--set", "defaults.train_size=200", "--set", "defaults.test_size=100")
    done = invoke("run", "quick", *QUICK, *small, "--optimizers", "adamw, sgd", "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    run = benchmnist.load_run(tmp_path / "runs")
    assert [case.id for case in run.cases] == ["mnist/fc/adamw", "mnist/fc/sgd"]
    assert run["mnist/fc/adamw"].case.baseline == "sgd"
    assert run.record.options["optimizers"] == ["adamw", "sgd"]


def test_other_optimizers_leave_out_what_names_the_suites(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    suite = write_suite(SMALL.replace("[[cases]]", '[[compare]]\noptimizers = ["adam"]\nwith = "sgd"\n[[cases]]'))
    done = invoke("run", suite, "--optimizers", "rprop", "--dry-run", *QUICK)
    assert done.exit_code == 0, done.output
    assert "mnist/fc/rprop" in done.output
    assert "1 case," in done.output
    done = invoke("run", suite, "--optimizers", "admw", "--dry-run", *QUICK)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: no optimizer named 'admw'. Did you mean 'adamw'?")


def test_a_terminal_without_our_signs_costs_signs_only(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    command = ("-m", "benchmnist", "run", str(write_suite()), *QUICK, "--epochs", "1", "-k", "sgd")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TERM": "dumb", "COLUMNS": "0"}
    done = python_in_a_process(*command, environment=environment)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert "A small suite" in done.stdout
    assert re.search(r"ok: accuracy \d+\.\d\d \+/- \d+\.\d\d %", done.stderr)
    (report,) = tmp_path.glob("runs/small/*/report.md")
    assert "±" in report.read_text("utf-8")


def test_verbose_prints_the_lines_of_the_notebook(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    path = write_suite()
    options = ("--verbose", "--seeds", "1", "-k", "sgd")
    done = invoke("run", path, *QUICK, *options, env={"BENCHMNIST_RUN_EPOCHS": "3"})
    assert re.search(r"^Epoch \[2/3\], Step \[10/10\], Loss: \d\.\d{4}$", done.stderr, re.MULTILINE)


def without_figures(text: str) -> list[str]:
    """The words of a table: times are never the same twice, nor are the columns as wide."""
    return re.sub(r"[-+]?\d[\d.,]*[kM]?×?\*?", "#", text).split()


def test_a_run_is_gone_on_with_as_it_was_asked_for(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    compared = '[[compare]]\nmodels = ["fc-bn"]\nwith = "fc"\n'
    path = write_suite(write_suite().read_text("utf-8").replace('"fc"]', '"fc", "fc-bn"]') + compared)
    first = invoke("run", path, *QUICK, "--epochs", "1", "--seeds", "4,2", "-k", "not bn")
    assert first.exit_code == 0, first.output
    left_out = "note: -k leaves out 2 of the 2 comparisons in [[compare]]: mnist/fc-bn/sgd vs mnist/fc/sgd, "
    assert left_out in first.stderr  # before the training, and in the report
    assert left_out in first.stdout
    run = Path(first.stderr.split()[-1])
    (run / "cases" / "mnist__fc__adam.json").unlink()
    for named in ([], [str(run)]):
        again = invoke("run", path, *QUICK, "--resume", *named)
        assert again.exit_code == 0, again.output
        assert "mnist/fc/sgd: ok: accuracy" in again.stderr
        assert ("[1/2] mnist/fc/adam" in again.stderr) == (not named)  # the second time nothing was left to do
        assert Path(again.stderr.split()[-1]) == run
        assert without_figures(again.stdout) == without_figures(first.stdout)
    assert [trial.seed for trial in benchmnist.load_run(run)["mnist/fc/adam"].trials] == [4, 2]
    other = invoke("run", path, *QUICK, "--epochs", "2", "--resume")
    assert other.exit_code == 2
    assert "the run was begun with epochs = 1, and cannot go on with 2" in other.stderr
    none = invoke("run", path, *QUICK, "--out", str(tmp_path / "none"), "--resume")
    assert none.exit_code == 2
    assert "error: no run of small in " in none.stderr


def test_a_dry_run_lists_the_cases_and_the_work(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    done = invoke("run", write_suite(), "--dry-run", "--device", "cpu")
    assert done.exit_code == 0
    assert re.search(r"mnist/fc/sgd +lr=0\.01 +2 × 2 × 10 +397,510", done.stdout)
    # 2 cases, 2 seeds, 2 epochs, 500 images, 3 passes of 2 operations for each of 784·500 + 500·10 products
    assert (
        "2 cases, 4 trials, 80 steps, about 0.00953 TFLOP of training on cpu\norder: seed by seed\n" in done.stdout
    )
    in_order = invoke("run", write_suite(), "--dry-run", "--device", "cpu", "--order", "suite")
    assert "order: case by case\n" in in_order.stdout
    assert done.stdout.splitlines()[-1] == "comparisons: 1 primary"
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_counts_the_comparisons(invoke: Callable[..., Result], write_suite: Callable[..., Path]) -> None:
    named = '[[compare]]\nmodels = ["fc-bn"]\nwith = "fc"\n'
    small = write_suite().read_text("utf-8")
    path = write_suite(small.replace('models = ["fc"]', 'models = ["fc", "fc-bn"]') + named)
    done = invoke("run", path, "--dry-run")
    assert done.stdout.splitlines()[-1] == "comparisons: 2 primary, 2 exploratory"
    selected = invoke("run", path, "--dry-run", "-k", "sgd").stdout
    assert selected.endswith("comparisons: 1 primary\n")
    said = " ".join(selected.split())
    assert "note: -k leaves out 1 of the 2 comparisons in [[compare]]: mnist/fc-bn/adam vs mnist/fc/adam" in said
    assert "leaves out" not in done.stdout
    assert "comparisons:" not in invoke("run", path, "--dry-run", "-k", "fc-bn and sgd").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nope.toml"], "error: nope.toml: does not exist. Choose from: suite.toml"),
        (["suite.toml", "--seeds", "0"], "error: --seeds: must name at least one seed"),
        (["suite.toml", "--seeds", "1,1"], "error: --seeds: duplicate seed 1"),
        (
            ["suite.toml", "--seeds", "a"],
            "error: --seeds: must be a number of seeds or a list such as 0,4,7, not 'a'",
        ),
        (["suite.toml", "--epochs", "0"], "error: --epochs: must be from 1 to 1,000,000, not 0"),
        (["suite.toml", "--engine", "residnt"], "error: no engine named 'residnt'. Did you mean 'resident'?"),
        (["suite.toml", "--executor", "ray"], "error: no executor named 'ray'. Choose from: inline, local"),
        (
            ["suite.toml", "--device", "gpu"],
            "error: no device named 'gpu'. Did you mean 'cuda'? Choose from: auto, cpu, cuda, cuda:N",
        ),
        (["suite.toml", "-k", "cnn"], "error: -k 'cnn' matches no case; known cases: mnist/fc/sgd,"),
        (["suite.toml", "--out", "suite.toml"], "error: --out: suite.toml is a file; name a folder"),
        (["suite.toml", "--data-root", "suite.toml"], "error: --data-root: suite.toml is a file; name a folder"),
        (["suite.toml", "--sed", "3"], "error: no option named '--sed'. Did you mean '--seeds'?"),
        ([], "error: missing argument SUITE; see `benchmnist run --help`"),
    ],
)
def test_bad_input_is_one_clear_line(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], arguments: list[str], expected: str
) -> None:
    write_suite()
    done = invoke("run", *arguments)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if line.lower().startswith("error")]) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_cuda(invoke: Callable[..., Result], write_suite: Callable[..., Path]) -> None:
    done = invoke("run", write_suite(), "--device", "cuda")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: 'cuda' is unavailable: torch ")
    assert "use --device cpu" in done.stderr


def test_each_mistake_in_a_suite_is_a_line(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    write_suite(
        '[suite]\nname = "x"\n[defaults]\nepochs = 0\n[optimizers.sgd]\nlr = -1\n'
        '[[cases]]\nmodels = ["fcc"]\noptimizers = ["sgd"]\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n'
    )
    done = invoke("run", "suite.toml", *QUICK)
    assert done.exit_code == 2
    assert [line.split(": ")[:3] for line in done.stderr.splitlines()] == [
        ["error", "suite.toml:4", "defaults.epochs"],
        ["error", "suite.toml:6", "optimizers.sgd.lr"],
        ["error", "suite.toml:8", "cases.models"],
    ]


def test_debug_shows_the_traceback(invoke: Callable[..., Result]) -> None:
    done = invoke("run", "nope.toml", "--debug")
    assert isinstance(done.exception, benchmnist.BenchmnistError)


def test_a_failed_case_is_exit_code_1_and_is_told(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> None:
    install_plugin(
        "raises",
        """
        from benchmnist import ModelSpec, hookimpl

        def build(*, input_shape, num_classes):
            raise RuntimeError("not today")

        @hookimpl
        def benchmnist_models():
            return [ModelSpec(name="raises", summary="", build=build)]
        """,
    )
    path = write_suite(
        '[suite]\nname = "x"\n[defaults]\ntrain_size = 100\ntest_size = 100\nepochs = 1\n'
        '[[cases]]\nmodels = ["raises", "fc"]\noptimizers = ["sgd"]\n'
    )
    done = invoke("run", path, *QUICK)
    assert done.exit_code == 1
    assert "mnist/raises/sgd failed: RuntimeError: not today" in done.stdout
    assert re.search(r"^sgd +\d+\.\d\d ± ", done.stdout, re.MULTILINE)


def test_options_win_over_the_environment_and_that_over_pyproject(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    write_suite()
    (tmp_path / "pyproject.toml").write_text(
        "[tool.benchmnist]\ndevice = 'cpu'\n[tool.benchmnist.run]\nepochs = 7\nseeds = [4, 6]\ndry-run = true\n"
        "[tool.benchmnist.tune]\ntrials = 3\n",
        "utf-8",
    )

    def shape(*arguments: str, **environment: str) -> str:
        done = invoke("run", "suite.toml", *arguments, env=environment)
        assert done.exit_code == 0, done.output
        found = re.search(r"\d+ × \d+ × \d+", done.stdout)
        return found[0] if found else ""

    assert shape() == "2 × 7 × 10"
    assert shape(BENCHMNIST_RUN_EPOCHS="8", BENCHMNIST_EPOCHS="5", BENCHMNIST_TUNE_EPOCHS="6") == "2 × 8 × 10"
    assert shape("--epochs", "9", BENCHMNIST_RUN_EPOCHS="8", BENCHMNIST_RUN_SEEDS="1") == "1 × 9 × 10"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("run.epoch = 3", "tool.benchmnist.run.epoch: unknown option. Did you mean 'epochs'?"),
        ("run.epochs = 0", "error: --epochs (set in pyproject.toml): must be from 1 to 1,000,000, not 0"),
        ("run.epochs = ", "pyproject.toml:2: not TOML: run.epochs =: missing value; write run.epochs = VALUE"),
        ("epochs = 3", "tool.benchmnist.epochs: belongs to a command; move it to [tool.benchmnist.run]"),
        ("keep = 3", "tool.benchmnist.keep: unknown key"),
        ("devise = 3", "tool.benchmnist.devise: unknown key. Did you mean 'device'?"),
        (
            "rum.epochs = 3",
            "tool.benchmnist.rum: unknown key. Did you mean 'run'?",
        ),
        ("runs.prune.kept = 3", "tool.benchmnist.runs.prune.kept: unknown option. Did you mean 'keep'?"),
    ],
)
def test_bad_defaults_in_pyproject(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], tmp_path: Path, table: str, expected: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.benchmnist]\n{table}\n", "utf-8")
    done = invoke("run", write_suite(), "--dry-run")
    assert done.exit_code == 2
    assert expected in done.stderr


def test_every_option_has_a_variable_of_its_command(invoke: Callable[..., Result]) -> None:
    from benchmnist.cli import cli

    def look(group: click.Group, *path: str) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command, words = group.get_command(context, name), (*path, name)
            assert command is not None
            shown = "".join(invoke(*words, "--help").output.split())
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    long = next(text for text in parameter.opts if text.startswith("--"))
                    own = "_".join(("BENCHMNIST", *words, long.removeprefix("--"))).upper().replace("-", "_")
                    assert f"envvar:{parameter.envvar or own}" in shown
                    assert parameter.envvar in (
                        None,
                        "BENCHMNIST_DEVICE",
                        "BENCHMNIST_DATA",
                        "BENCHMNIST_BLOCK",
                        "BENCHMNIST_DEBUG",
                    )
            if isinstance(command, click.Group):
                look(command, *words)

    look(cli)


def test_a_variable_of_one_command_is_none_of_another(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    done = invoke("run", write_suite(), *QUICK, "--epochs", "1", "-k", "sgd", env={"BENCHMNIST_RUN_OUT": "mine"})
    assert done.exit_code == 0, done.output
    name = Path(done.stderr.split()[-1]).name
    for command in (["report", name], ["runs"]):  # they look where `run` writes, and where it does so by default
        assert "small" in invoke(*command, env={"BENCHMNIST_RUN_OUT": "mine"}).stdout
        assert "small" not in invoke(*command).stdout
    (tmp_path / "pyproject.toml").write_text('[tool.benchmnist.run]\nout = "mine"\n', "utf-8")
    assert "small" in invoke("runs").stdout
    assert (
        "no runs in other"
        in invoke("runs", env={"BENCHMNIST_RUNS_OUT": "other"}).stdout + invoke("runs", "--out", "other").stderr
    )
    elsewhere = {"BENCHMNIST_RUN_OUT": "mine", "BENCHMNIST_OUT": "mine", "BENCHMNIST_RUN_FORMAT": "csv"}
    assert invoke("new-plugin", "mine", env=elsewhere).exit_code == 0
    assert (tmp_path / "benchmnist-mine").is_dir()


def test_resume_may_be_set_in_the_environment(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    path = write_suite()
    assert invoke("run", path, *QUICK, "--epochs", "1", "--seeds", "1", "-k", "sgd").exit_code == 0
    for value, goes_on in (("true", True), ("1", True), ("false", False), ("", False)):
        done = invoke("run", path, *QUICK, "--dry-run", env={"BENCHMNIST_RUN_RESUME": value})
        assert done.exit_code == 0, done.output
        assert ("continues in" in done.stdout) == goes_on


def test_a_dry_run_lists_what_would_be_trained(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    path = write_suite()
    first = invoke("run", path, *QUICK, "--epochs", "1", "--seeds", "2")
    run = Path(first.stderr.split()[-1])
    (run / "cases" / "mnist__fc__adam.json").unlink()
    before = sorted((file, file.stat().st_mtime_ns) for file in Path("runs").rglob("*"))
    again = invoke("run", path, *QUICK, "--resume", "--dry-run")
    assert "1 case, 2 trials, 20 steps" in again.stdout
    assert "mnist/fc/sgd: of this run" in again.stdout
    assert f"continues in {run}" in again.stdout
    reused = invoke("run", path, *QUICK, "--epochs", "1", "--seeds", "2", "--reuse", "--dry-run")
    assert "1 case, 2 trials, 20 steps" in reused.stdout
    assert f"mnist/fc/sgd: of small/{run.name}" in reused.stdout
    assert (
        "2 cases, 4 trials, 40 steps" in invoke("run", path, *QUICK, "--epochs=1", "--seeds=2", "--dry-run").stdout
    )
    assert sorted((file, file.stat().st_mtime_ns) for file in Path("runs").rglob("*")) == before


def test_a_folder_that_was_deleted_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os; os.rmdir('../gone'); from benchmnist.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "plugins"],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the current folder was deleted; change to another one" in done.stderr
    assert "Traceback" not in done.stderr


def test_set_overrides_anything_in_a_suite(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    path = write_suite()
    given = ("--set", "optimizers.adam.lr=0.02", "--set", "cases.0.batch_size=50", "--set", 'suite.title="Mine"')
    done = invoke("run", path, *QUICK, "--epochs", "1", "--seeds", "1", *given)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Mine\n")
    assert "overridden in the suite by --set: optimizers.adam.lr=0.02, cases.0.batch_size=50" in " ".join(
        done.stdout.split()
    )
    run = benchmnist.load_run(done.stderr.split()[-1])
    assert run.record.options["set"] == [*given[1::2]]
    assert (run["mnist/fc/adam"].case.optimizer.params["lr"], run["mnist/fc/adam"].case.batch_size) == (0.02, 50)
    for more in ((), given):
        again = invoke("run", path, *QUICK, "--resume", "--dry-run", *more)
        assert "no case to train" in again.stdout, again.output
    other = invoke("run", path, *QUICK, "--resume", "--set", "optimizers.adam.lr=0.5")
    assert "the run was begun with set = ['optimizers.adam.lr=0.02'" in other.stderr
    other = invoke("run", path, *QUICK, "--resume", "--epochs", "3")
    assert "begun with epochs = 1, and cannot go on with 3; remove it, or begin a new run" in other.stderr
    other = invoke("run", path, *QUICK, "--resume", "-k", "adam")
    assert "begun without keyword, and cannot go on with 'adam'" in other.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("foo", "must be KEY=VALUE, such as optimizers.adam.lr=0.01"),
        ("optimizers.adam.lr=fast", "'fast' is not a TOML value; write a number"),
        ("defaults.dataset=kmnist", """put a string in double quotes: --set 'defaults.dataset="kmnist"'"""),
        ("optimizers..lr=1", "'optimizers..lr' is not a dotted key"),
        ("a=1\nb=2", "must have one value"),
        ("a]\n[b=2", "is not a dotted key"),
        ("cases.7.epochs=1", "--set cases.7.epochs=1: cases has 1 entry, cases.0, and no cases.7"),
        ("suite.name.first=1", "--set suite.name.first=1: suite.name is not a table"),
        ("defaults.epochs=0", "--set defaults.epochs=0: must be greater than 0, not 0"),
        ("optimizers.adam.rate=1", "--set optimizers.adam.rate=1: 'adam' takes no parameter 'rate'"),
        ("optimisers.adam.lr=1", "unknown table; write [optimizers.NAME]"),
    ],
)
def test_a_wrong_set_is_said_where_it_is(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], given: str, said: str
) -> None:
    done = invoke("run", write_suite(), *QUICK, "--set", given)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert not Path("runs").exists()


# Real processes and real signals.

LONG = """
[suite]
name = "long"
[defaults]
epochs = 100_000
seeds = 1
train_size = 1000
test_size = 500
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
epochs = 1
[[cases]]
models = ["fc"]
optimizers = ["adam"]
"""


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `benchmnist run`; by default as from a prompt, where Ctrl-C interrupts it."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, *, sigint: signal.Handlers = signal.SIG_DFL, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "benchmnist", "run", str(path), "--device", "cpu", "--jobs", "1"]
        with inherited_sigint(sigint):
            started.append(subprocess.Popen(command, cwd=path.parent, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:  # closes its pipes and waits
            pass


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Reads standard error up to the first line with those words."""
    assert process.stderr is not None
    read = []
    for line in process.stderr:
        if words in line:
            return
        read.append(line)
    raise AssertionError(f"ended without {words!r}:\n{''.join(read)}")


def assert_saved_and_shown(process: subprocess.Popen[str], code: int) -> None:
    """Waits for the end of a run of LONG that was interrupted while its second case was in training."""
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == code, err
    assert re.search(r"^sgd .* ok", out, re.MULTILINE)
    assert re.search(r"^adam .* stopped", out, re.MULTILINE)
    assert "interrupted: 1 of 2 cases and 1 of 2 trials have ended" in err
    assert "Traceback" not in err
    run = benchmnist.load_run(Path("runs"))
    assert run.record.status == "interrupted"
    assert run["mnist/logistic/sgd"].status == "completed"
    (trial,) = run["mnist/fc/adam"].trials
    assert 3 <= len(trial.epochs) < 100_000


def test_ctrl_c_saves_and_shows_what_was_done(start: Start, write_suite: Callable[..., Path]) -> None:
    process = start(write_suite(LONG))
    read_until(process, "epoch 3/100000")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # an impatient user
    assert_saved_and_shown(process, 130)


def test_a_background_job_leaves_ctrl_c_ignored_and_is_terminated(
    start: Start, write_suite: Callable[..., Path]
) -> None:
    process = start(write_suite(LONG), sigint=signal.SIG_IGN)
    read_until(process, "epoch 3/100000")
    process.send_signal(signal.SIGINT)
    read_until(process, "epoch 6/100000")  # it goes on
    process.terminate()
    time.sleep(0.3)
    process.terminate()
    assert_saved_and_shown(process, 143)


SLOW_TO_BUILD = """
import time
from pathlib import Path
from benchmnist import ModelSpec, hookimpl

def slow(*, input_shape, num_classes):
    Path("begun").touch()
    time.sleep(600)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="slow", summary="", build=slow)]
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_is_ended_before_it_begins(
    start: Start,
    write_suite: Callable[..., Path],
    install_plugin: Callable[..., None],
    number: signal.Signals,
    code: int,
) -> None:
    install_plugin("slow", SLOW_TO_BUILD)
    suite = write_suite(LONG.replace('models = ["fc"]', 'models = ["slow"]'))
    process = start(suite, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline and not (suite.parent / "begun").exists():
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == code, err
    assert "interrupted: nothing was trained" in err
    assert "Traceback" not in err
    assert not (suite.parent / "runs").exists()


def test_a_parent_that_is_killed_leaves_no_worker(start: Start, write_suite: Callable[..., Path]) -> None:
    process = start(write_suite(LONG))
    read_until(process, "epoch 3/100000")
    (worker,) = children_of(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline and _alive(worker):
        time.sleep(0.05)
    assert not _alive(worker)
    assert benchmnist.load_run(Path("runs"))["mnist/logistic/sgd"].status == "completed"


def children_of(pid: int) -> list[int]:
    """The processes that it started, without `ps`, which a small container does not have."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            # PID (NAME) STATE PARENT …, and a name may have anything in it.
            if stat.read_text("utf-8").rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and " Z " not in stat.read_text("utf-8")


def test_on_a_terminal_the_display_is_live(start: Start, write_suite: Callable[..., Path]) -> None:
    parent, terminal = pty.openpty()
    environment = {**os.environ, "BENCHMNIST_RUN_EXECUTOR": "inline"}
    process = start(write_suite(), stderr=terminal, env=environment)
    os.close(terminal)
    shown = ""
    while process.poll() is None or select.select([parent], [], [], 0)[0]:
        try:
            if select.select([parent], [], [], 0.2)[0]:
                shown += os.read(parent, 65536).decode(errors="replace")
        except OSError:
            break
    os.close(parent)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert ANSI in shown
    for expected in (
        "0/2 cases, 0/4 trials",
        "0/2 cases, 1/4 trials",
        "2/2 cases, 4/4 trials",
        "left",
        "mnist/fc/adam: seed 1, epoch 2/2: loss",
        "100%",
    ):
        assert expected in shown
    assert ANSI not in out  # which is no terminal
    assert "adam" in out


def test_every_trial_in_training_has_a_line_or_is_counted() -> None:
    display = LiveDisplay(Console(file=io.StringIO(), width=80, height=24), verbose=False)
    display.current = {(f"case {number}", 0): f"line {number}" for number in range(8)}
    assert display.workers(8) == [f"line {number}" for number in range(8)]
    assert display.workers(5) == [*(f"line {number}" for number in range(4)), "… and 4 more in training"]


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_no_color_beats_force_color(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = invoke("run", "nope.toml")
    assert ("\x1b[31m" in done.stderr) == coloured
