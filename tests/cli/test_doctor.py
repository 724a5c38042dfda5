"""`benchmnist doctor`, as a user types it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmnist.doctor import Report
from benchmnist.doctor.tries import tries

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

PATIENCE = 300.0


def test_the_short_form_passes_on_the_cpu(invoke: Callable[..., Result], tmp_path: Path) -> None:
    done = invoke("doctor", "--device", "cpu", "--short", "--json", "doctor.json")
    report = Report.model_validate_json((tmp_path / "doctor.json").read_bytes())
    assert done.exit_code == int(report.sick)  # the machine of the tests may have a problem of its own
    assert (report.status, report.device, report.short) == ("completed", "cpu", True)
    tried = {line.name: line.state for line in report.lines if line.part == "tried"}
    assert tried == {one.name: "not here" if one.cuda else "ok" for one in tries(short=True)}
    assert max(map(len, done.stdout.splitlines())) <= 80
    for expected in (
        "On this machine\n",
        "✓ ok       device: cpu; ",
        "\nTried on cpu\n",
        "✓ passed   model-cnn: the model cnn learns",
        "– not here clock: our clock agrees with CUDA events: not on cpu\n",
    ):
        assert expected in done.stdout


BROKEN, TWIN = (
    "raise RuntimeError('out of order')",
    """
import torch
from benchmnist import OptimizerSpec, hookimpl

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="adam", summary="", build=torch.optim.Adam)]
""",
)


def test_what_is_wrong_is_told_with_its_remedy(
    invoke: Callable[..., Result], install_plugin: Callable[..., None], tmp_path: Path
) -> None:
    install_plugin("broken", BROKEN)
    install_plugin("twin", TWIN)
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"nonsense")
    done = invoke("doctor", "--data-root", "data", "--device", "cuda:77", "--short", "--json", "-")
    assert done.exit_code == 1
    report = Report.model_validate_json(done.stdout)
    problems = {line.name: line for line in report.lines if line.state == "problem"}
    assert {*problems} >= {"device", "data", "plugins"}
    assert "cuda:77" in problems["device"].said
    assert "benchmnist-broken 1.0 (plugin 'broken') failed to load" in problems["plugins"].said
    assert "the optimizer 'adam' is offered by" in problems["plugins"].said
    assert "BENCHMNIST_BLOCK=broken" in problems["plugins"].remedy
    assert "t10k-labels-idx1-ubyte is damaged" in problems["data"].said
    assert report.lines[-1].said.startswith("nothing was tried because of a problem with ")
    shown = " ".join(done.stderr.split())  # with --json - what is read stands beside what is parsed
    assert "✗ problem plugins: " in shown
    assert "→ delete it, and it is unpacked again" in shown
    assert "something is wrong: " in shown


def test_a_try_that_fails_is_told_with_its_remedy(invoke: Callable[..., Result]) -> None:
    done = invoke("doctor", "--device", "cpu", "--only", "precision-float32", "--block", "builtin")
    assert done.exit_code == 1
    shown = " ".join(done.stdout.split())
    for expected in (
        '✗ failed precision-float32: precision = "float32" trains',
        '→ keep precision = "float32"',
        "│ no dataset named 'mnist'.",
        "something is wrong: ",
    ):
        assert expected in shown


def test_a_device_that_is_set_for_every_run_asks_for_no_tries(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.benchmnist]\ndevice = "cpu"\n', "utf-8")
    monkeypatch.setenv("BENCHMNIST_DEVICE", "cpu")
    assert "--short needs a device" in invoke("doctor", "--short").stderr
    done = invoke("doctor", "--only", "nonsense", env={"BENCHMNIST_DOCTOR_DEVICE": "cpu"})
    assert "no try has 'nonsense'" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--short"], "--short needs a device; pass --device cpu or --device cuda"),
        (["--speed"], "--speed needs a device; pass --device cpu or --device cuda"),
        (
            ["--device", "cpu", "--only", "nonsense"],
            "no try has 'nonsense' in its name. Choose from: suite-local, ",
        ),
        (["--json", "/proc/doctor.json"], "cannot write /proc/doctor.json"),
    ],
)
def test_usage(invoke: Callable[..., Result], arguments: list[str], said: str) -> None:
    done = invoke("doctor", *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_known_stays_where_it_is_interrupted(tmp_path: Path, number: signal.Signals, code: int) -> None:
    file = tmp_path / "doctor.json"
    command = [
        sys.executable,
        "-m",
        "benchmnist",
        "doctor",
        "--device",
        "cpu",
        "-k",
        "memory",
        "--json",
        str(file),
    ]
    variable = f"OF_THE_TEST={tmp_path}"
    process = subprocess.Popen(
        command,
        env={**os.environ, "OF_THE_TEST": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # In the background a shell has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    end = time.monotonic() + PATIENCE
    while not (_lines(file) and _lines(file)[-1]["name"] in ("torch", "data-root")):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    end = time.monotonic() + PATIENCE
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert "\ninterrupted: " in said
    assert "Traceback" not in said
    report = Report.model_validate_json(file.read_bytes())
    assert report.status == "interrupted"
    assert report.ended is not None
    while left := _processes_with(variable):  # what was killed may take a moment to be gone
        assert time.monotonic() < end, left
        time.sleep(0.02)


def _lines(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text("utf-8"))["lines"] if file.is_file() else []


def _processes_with(variable: str) -> list[str]:
    """The processes that have a variable in their environment."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            found += [file.parent.name] if variable.encode() in file.read_bytes() else []
    return found


BROKEN_TORCH = "raise ImportError('libcudart.so.13: cannot open shared object file')"


def test_where_torch_cannot_be_imported_it_is_said_once(tmp_path: Path, write_suite: Callable[..., Path]) -> None:
    (tmp_path / "site" / "torch").mkdir(parents=True)
    (tmp_path / "site" / "torch" / "__init__.py").write_text(BROKEN_TORCH, "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)]),
    }

    def benchmnist(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "benchmnist", *map(str, arguments)]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)

    for arguments in (["run", write_suite()], ["check", "builtin"]):
        done = benchmnist(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: torch cannot be imported: libcudart.so.13: cannot open")
        assert done.stderr.count("\n") == 1
    done = benchmnist("doctor", "--device", "cpu", "--short", "--json", "-")
    assert done.returncode == 1
    lines = {line.name: line for line in Report.model_validate_json(done.stdout).lines}
    assert "pip install --force-reinstall torch" in lines["torch"].remedy
    assert "libcudart.so.13" in lines["torch"].last_words
    assert [line.name for line in lines.values() if line.state == "problem"] == ["torch"]
    assert lines["plugins"].said == "not inspected because torch cannot be imported"


def test_what_torch_imports_may_be_what_is_broken(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "pynvml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit(4)", "utf-8")
    paths = os.pathsep.join([str(package.parent), *filter(None, sys.path)])
    program = [sys.executable, "-m", "benchmnist", "doctor", "--json", "-"]
    done = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines = {line.name: line for line in Report.model_validate_json(done.stdout).lines}
    assert lines["torch"].remedy == "reinstall pynvml (pip install --force-reinstall pynvml)"


def test_the_doctor_itself_does_not_import_torch() -> None:
    program = "import sys, benchmnist.cli.doctor, benchmnist.doctor; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
