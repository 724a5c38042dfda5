"""Suites as pytest tests: a suite is a file, a case is an item, an epoch of training is a benchmark round.

Only pytest is imported at the top: a pytest run without suites must not pay for more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from benchmnist.pytest_support.harness import ENVIRONMENT, HARNESS, OPTIONS, SHARED
from benchmnist.pytest_support.items import CaseItem, SuiteFile
from benchmnist.pytest_support.xdist import Controller

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from benchmnist.training.manual import ManualTraining


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options for suites; each can be set in the environment, like those of `benchmnist run`."""
    group = parser.getgroup("benchmnist", "BenchMNIST suites")
    for name, text in OPTIONS.items():
        variable = f"BENCHMNIST_{name.upper()}" if name in SHARED else f"BENCHMNIST_PYTEST_{name.upper()}"
        group.addoption(f"--benchmnist-{name}", default=os.environ.get(variable), help=f"{text} [{variable}]")
    group.addoption(
        "--benchmnist-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value in the suite, typed as TOML: optimizers.adam.lr=0.01",
    )
    parser.addini(
        "benchmnist_suites",
        "suites to collect with their folder, as globs relative to the rootdir; any other suite is collected "
        "only if it is named on the command line",
        type="args",
        default=[],
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a suite that is named on the command line or in the setting benchmnist_suites."""
    if file_path.suffix != ".toml":
        return None
    config = parent.config
    named = parent.session.isinitpath(file_path) and file_path.name != "pyproject.toml"
    if not (named or _listed(config, file_path)) or not _is_suite(file_path, named=named):
        return None
    file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    return file


def _listed(config: pytest.Config, file: Path) -> bool:
    """Tells whether benchmnist_suites names a file."""
    globs: list[str] = config.getini("benchmnist_suites")
    return file.is_relative_to(config.rootpath) and any(
        file.relative_to(config.rootpath).match(glob) for glob in globs
    )


def _is_suite(file: Path, *, named: bool) -> bool:
    """Tells whether a TOML file is meant as a suite; a broken one that is named is, so that its error is shown."""
    from benchmnist.suites.toml_statements import load_toml

    try:
        text = file.read_text("utf-8-sig")
        raw = load_toml(text)
    except OSError:
        return named
    except ValueError:
        return named or b"[[cases]]" in file.read_bytes()
    return "suite" in raw or "cases" in raw or (named and not text.strip())


def pytest_collection_finish(session: pytest.Session) -> None:
    """Announces the cases to be requested; under xdist, they are unknown."""
    if hasattr(session.config, "workerinput"):
        return
    trainings = [item.training for item in session.items if isinstance(item, CaseItem)]
    for harness in {id(training.harness): training.harness for training in trainings}.values():
        if harness.dispatcher is not None:
            harness.dispatcher.expect([t.case for t in trainings if t.harness is harness])


# What pytest-benchmark wants to know of the machine.


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Adds the device, the versions and the flags, if the session trains a suite."""
    if HARNESS in config.stash:
        return  # `benchmnist run` says it itself
    found = config.stash.get(ENVIRONMENT, None)
    if found is None and any(argument.partition("::")[0].endswith(".toml") for argument in config.args):
        # Asked before any training, to be compared with a saved benchmark.
        from benchmnist.training.environment import environment, resolve_device
        from benchmnist.training.precision import precision_of

        device = resolve_device(config.getoption("benchmnist_device") or "auto")
        with precision_of("float32", device):  # as it will be trained with
            found = environment(device)
    if found is not None:
        machine_info["benchmnist"] = found


# Under xdist: see xdist.py.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Sends the measurements, in a worker of xdist."""
    report = yield
    if call.when == "call" and isinstance(item, CaseItem) and hasattr(item.config, "workerinput"):
        report.benchmnist = item.training.measured
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Registers the receiver of the workers' measurements, in the main process of xdist."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config), "benchmnist-controller")


@pytest.fixture
def benchmnist_train() -> Callable[..., ManualTraining]:
    """Builds a training to time: `benchmnist_train(model="fc", optimizer="adam")`, then `.epoch` or `.step`.

    The parameters are those of `benchmnist.training.manual.ManualTraining`.
    """
    from benchmnist.training.manual import ManualTraining

    return ManualTraining
