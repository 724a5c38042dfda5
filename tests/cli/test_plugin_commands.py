"""`benchmnist check`, `new-plugin` and `plugins`, and what `run` says of plugins that misbehave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from processes import pytest_in_a_process, python_in_a_process

from benchmnist.cli.new_plugin import TEMPLATES
from benchmnist.extensions.hookspecs import HOOK_API
from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

PLUGIN = """
import torch
from benchmnist import ModelSpec, OptimizerSpec, hookimpl
from torch import nn

def build(model, *, lr=0.01):
    return torch.optim.SGD(model.parameters(), lr=lr)

def swallows(model, *, lr=0.01, **rest):
    return build(model, lr=lr)

def net(*, input_shape, num_classes):
    print("a network is built")
    torch.set_default_dtype(torch.float64)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes)).float()

@hookimpl
def benchmnist_optimizers():
    return [
        OptimizerSpec(name="good", summary="", build=build),
        OptimizerSpec(name="careless", summary="", build=swallows),
    ]

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="loud", summary="", build=net)]
"""


def test_check_says_what_is_kept_and_what_is_not(
    invoke: Callable[..., Result], install_plugin: Callable[..., None]
) -> None:
    install_plugin("mine", PLUGIN)
    done = invoke("check", "good")
    assert done.exit_code == 0, done.output
    assert "optimizer good, of benchmnist-mine 1.0\n  ✓ is loaded silently" in done.stdout
    assert "15 kept, 0 missed; 4 do not apply\n" in done.stdout
    done = invoke("check", "careless")
    assert done.exit_code == 1
    assert (
        "  ✗ refuses a parameter that it does not know\n"
        "    no_such_parameter_of_yours=1 was accepted silently\n"
        "    → take only the parameters that you know"
    ) in done.stdout
    assert "14 kept, 1 missed; 4 do not apply\n" in done.stdout


def test_a_plugin_stands_for_all_that_it_offers(
    invoke: Callable[..., Result], install_plugin: Callable[..., None]
) -> None:
    install_plugin("mine", PLUGIN)
    done = invoke("check", "benchmnist-mine")
    assert done.exit_code == 1
    headings = [line for line in done.stdout.splitlines() if ", of benchmnist-mine" in line]
    assert [heading.partition(",")[0] for heading in headings] == [
        "model loud",
        "optimizer careless",
        "optimizer good",
    ]
    assert "✗ changes no global setting of torch" in done.stdout


def test_check_of_what_is_not_there(invoke: Callable[..., Result], install_plugin: Callable[..., None]) -> None:
    done = invoke("check", "adem")
    assert done.exit_code == 2
    assert "named 'adem'. Did you mean 'adam'?" in done.stderr
    install_plugin("broken", "raise RuntimeError('out of order')")
    done = invoke("check", "broken")
    assert done.exit_code == 2
    assert (
        "benchmnist-broken 1.0 (plugin 'broken') failed to load: RuntimeError: out of order; upgrade"
        in done.stderr
    )
    assert "is blocked" in invoke("check", "broken", "--block", "broken").stderr


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # from Python 3.12 on
def test_check_is_not_ended_by_what_it_checks(
    invoke: Callable[..., Result], install_plugin: Callable[..., None]
) -> None:
    install_plugin(
        "ending",
        """
import os
from benchmnist import ModelSpec, hookimpl

if os.fork() == 0:
    os._exit(0)  # of a process of its own, as multiprocessing does
os.wait()

def build(*, input_shape, num_classes):
    os._exit(0)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="ending", summary="", build=build)]
""",
    )
    done = invoke("check", "ending")
    assert done.exit_code == 1
    assert "PluginError: calls os._exit(0)\n" in done.stdout


def test_a_crash_in_what_is_checked_names_its_line(install_plugin: Callable[..., None]) -> None:
    install_plugin(
        "crashing",
        """
import ctypes
from benchmnist import ModelSpec, hookimpl

def tread_on_nothing(*, input_shape, num_classes):
    ctypes.string_at(0)

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="crashing", summary="", build=tread_on_nothing)]
""",
    )
    done = python_in_a_process("-m", "benchmnist", "check", "crashing")
    assert done.returncode != 0
    assert "model crashing, of benchmnist-crashing 1.0" in done.stdout
    assert "tread_on_nothing" in done.stderr


@pytest.mark.parametrize(
    "kind", [kind for kind in TEMPLATES if kind != "optimizer"]
)  # the tutorial makes that one
def test_a_new_plugin_passes_the_tests_that_come_with_it(
    invoke: Callable[..., Result],
    pip_install: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    name = "2-of.mine"
    done = invoke("new-plugin", name, "--kind", kind, "--out", "new")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "new" / f"benchmnist-{name}"
    assert f"    cd new/benchmnist-{name}\n" in done.stdout
    environment = {**os.environ, "PYTHONPATH": f"{pip_install(folder)}:{os.environ.get('PYTHONPATH', '')}"}
    monkeypatch.chdir(folder)
    output = tmp_path / "output.txt"
    code = pytest_in_a_process(["-q", "-p", "no:cacheprovider", "tests"], environment, output)
    said = output.read_text("utf-8")
    assert code == 0, said
    assert " passed" in said
    command = ("-m", "benchmnist", "run", f"{name}.toml", "--dry-run", "--device", "cpu")
    ran = python_in_a_process(*command, environment=environment)
    assert ran.returncode == 0, ran.stderr
    planned = "6 cases, 18 trials" if kind == "problem" else "2 cases, 6 trials"  # it has three levels
    assert planned in ran.stdout


def test_a_new_plugin_takes_nobodys_place(invoke: Callable[..., Result], tmp_path: Path) -> None:
    for arguments, expected in (
        (("new-plugin", "adam"), "the optimizer 'adam' already exists"),
        (("new-plugin", "My Net"), "'My Net' is not lower-case letters and digits"),
        (
            ("new-plugin", "net", "--kind", "modle"),
            (
                "--kind: must be dataset, model, optimizer, schedule, augmentation, task, metric or problem, "
                "not 'modle'"
            ),
        ),
    ):
        done = invoke(*arguments)
        assert done.exit_code == 2
        assert expected in " ".join(done.stderr.split())
    (tmp_path / "benchmnist-net").mkdir()
    done = invoke("new-plugin", "net", "--kind", "model")
    assert done.exit_code == 2
    assert "benchmnist-net already exists" in done.stderr


def test_plugins_shows_what_is_wrong_and_what_to_do(
    invoke: Callable[..., Result], install_plugin: Callable[..., None]
) -> None:
    install_plugin("broken", "raise RuntimeError('out of order')", version="0.3")
    install_plugin("loud", "print('hello')" + PLUGIN)
    install_plugin("twin", PLUGIN)
    shown = " ".join(invoke("plugins", env={"COLUMNS": "200"}).stdout.split())
    for expected in (
        "failed: RuntimeError: out of order upgrade benchmnist-broken, or block it with BENCHMNIST_BLOCK=broken",
        "it prints 'hello'; take the print away",
        "good offered by benchmnist-loud 1.0 (plugin 'loud') and benchmnist-twin 1.0 (plugin 'twin'); block one",
        "cosine",
        "problem levels budget target from",
        "300 steps 2000, 1000, 500 300 steps 86 % benchmnist",
    ):
        assert expected in shown
    done = invoke("plugins", "--block", "broken", env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "benchmnist-broken 0.3  blocked" in done.stdout


SUITE = """
[suite]
name = "noted"
[defaults]
epochs = 1
seeds = 1
train_size = 100
test_size = 50
[[cases]]
models = ["loud"]
optimizers = ["good"]
"""


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_what_a_plugin_does_beside_its_work_is_noted_and_undone(
    invoke: Callable[..., Result],
    install_plugin: Callable[..., None],
    write_suite: Callable[..., Path],
    executor: str,
) -> None:
    import torch

    install_plugin("mine", PLUGIN)
    path = write_suite(SUITE)
    done = invoke("run", path, "--device", "cpu", "--executor", executor)
    assert done.exit_code == 0, done.output
    assert torch.get_default_dtype() == torch.float32
    record = load_run("runs").record
    model = "the model 'loud' of benchmnist-mine 1.0"
    assert [note.partition(";")[0].partition(",")[0] for note in record.notes] == [
        f"{model} prints 'a network is built'",
        f"{model} changes torch's default dtype from torch.float32 to torch.float64",
    ]
    assert record.hook_api == HOOK_API
    assert f"note: {model} prints" in done.stdout
    assert "a network is built\n" not in done.stdout
    refused = invoke("run", path, "--device", "cpu", "--block", "mine")
    assert refused.exit_code == 2
    assert "benchmnist-mine 1.0 (plugin 'mine') is blocked." in refused.stderr


def test_a_build_that_exits_fails_its_case_only(
    invoke: Callable[..., Result], install_plugin: Callable[..., None], write_suite: Callable[..., Path]
) -> None:
    install_plugin("mine", PLUGIN.replace("def net(", "def net(*_, **__): raise SystemExit(7)\ndef other("))
    path = write_suite(SUITE.replace('["loud"]', '["loud", "logistic"]'))
    done = invoke("run", path, "--device", "cpu", "--executor", "inline")
    assert done.exit_code == 1
    assert "mnist/loud/good failed: benchmnist.errors.PluginError: calls sys.exit(7)" in done.stdout
    assert load_run("runs")["mnist/logistic/good"].status == "completed"
