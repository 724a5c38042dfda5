"""The harness of a session, and its construction in a plain pytest run. Only pytest is imported at the top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmnist.execution.dispatch import Dispatcher
    from benchmnist.suites.options import RunOptions
    from benchmnist.suites.plan import Plan

OPTIONS = {
    "device": "device to train on: auto, cpu, cuda, cuda:N or mps",
    "engine": "override the suite's engine: auto, dataloader, resident, graph or stacked",
    "seeds": "override the suite's seeds: how many, or which (0,4,7)",
    "epochs": "override the suite's epochs or steps",
    "steps": "train each trial for this number of steps instead of epochs",
    "executor": "executor of the cases: inline, local or a plugin's",
    "jobs": "number of trials to train at the same time; by default 1 on this machine",
}
SHARED = ("device",)
"""Options that share the environment variable of `benchmnist run`."""


@dataclass(frozen=True)
class Harness:
    """Work of a session. `benchmnist run` puts it in the config's stash; a plain pytest run builds its own."""

    plan: Plan
    dispatcher: Dispatcher | None = None  # None where cases are only collected


HARNESS = pytest.StashKey[Harness]()
ENVIRONMENT = pytest.StashKey[dict[str, Any]]()


def _whole(text: str) -> int:
    """A whole number.

    Raises:
        ValueError: if it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None


def run_options(config: pytest.Config) -> RunOptions:
    """Returns the options of a plain pytest run.

    Raises:
        BenchmnistError: if an option has an invalid value.
    """
    from benchmnist.errors import BenchmnistError
    from benchmnist.suites.options import RunOptions
    from benchmnist.suites.schema import parse_seeds

    read: dict[str, Callable[[str], Any]] = {
        "seeds": parse_seeds,
        "epochs": _whole,
        "steps": _whole,
        "jobs": _whole,
    }
    given: dict[str, Any] = {"executor": "inline", "set": config.getoption("benchmnist_set")}
    for name in OPTIONS:
        if text := config.getoption(f"benchmnist_{name}"):
            try:
                given[name] = read.get(name, str)(text)
            except ValueError as error:
                raise BenchmnistError(f"--benchmnist-{name}: {error}") from error
    try:
        return RunOptions(**given)
    except ValueError as error:
        raise BenchmnistError(f"--benchmnist-{error}") from error


def own_harness(config: pytest.Config, suite: Path) -> Harness:
    """Builds the harness of a plain pytest run, which stores only what pytest-benchmark stores."""
    import contextlib
    import tempfile
    from pathlib import Path

    from benchmnist.garbage import quick_imports

    with quick_imports():
        from benchmnist.errors import BenchmnistError
        from benchmnist.execution.dispatch import Dispatcher, Observer
        from benchmnist.executors import Workplace, build_executor
        from benchmnist.preflight.prepare import prepare

    options = run_options(config)
    try:
        shown = suite.relative_to(config.invocation_params.dir)
    except ValueError:
        shown = suite
    prepared = prepare(shown if shown.is_file() else suite, options)
    if prepared.plan.suite.tune.always:
        raise BenchmnistError(
            f"{shown} has always = true under [tune], and pytest does not tune; use `benchmnist run {shown}`"
        )
    for note in prepared.notes:
        config.issue_config_time_warning(pytest.PytestWarning(note), stacklevel=2)
    stack = contextlib.ExitStack()
    config.add_cleanup(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmnist-")))
    workplace = Workplace(
        prepared.device,
        prepared.data_root,
        folder,
        checkpoints=False,
        jobs=options.jobs or (None if prepared.executor.remote else 1),  # by default one after the other
        gpus=prepared.gpus,
        recorded=prepared.only_built_in,
    )
    executing = stack.enter_context(build_executor(prepared.executor, workplace))
    return Harness(
        prepared.plan, Dispatcher(executing, Observer(), interleaved=prepared.plan.suite.order == "interleaved")
    )
