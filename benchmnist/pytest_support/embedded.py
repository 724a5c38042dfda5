"""The pytest session of `benchmnist run`, independent of the user's own pytest configuration."""

from __future__ import annotations

import contextlib
import io
import os
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

from benchmnist.errors import (
    BenchmnistError,
    ExpectationError,
    StoreError,
    TrialError,
    class_name,
    first_line,
    formatted_traceback,
)
from benchmnist.pytest_support import hooks
from benchmnist.pytest_support.benchmark_api import machine_info
from benchmnist.pytest_support.harness import HARNESS, Harness
from benchmnist.runs import store
from benchmnist.runs.logs import BoundedLog
from benchmnist.text import last_line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.execution.recorder import Recorder
    from benchmnist.suites.plan import Plan


def collect(plan: Plan, keyword: str) -> list[str]:
    """Returns the ids of the cases that pytest's `-k` selects.

    Raises:
        BenchmnistError: if it selects none, or is not a valid expression.
    """
    bridge = _Bridge(Harness(plan))
    output = io.StringIO()
    code = _pytest(plan, bridge, output, "--collect-only", "-k", keyword)
    if code == pytest.ExitCode.USAGE_ERROR:
        said = last_line_of(output.getvalue()).removeprefix("ERROR: ")
        column = re.search(r"at column \d+", said) if "expression" in said.lower() else None
        must = f"must be names joined by and, or and not ({column[0]})" if column else said
        raise BenchmnistError(f"-k {keyword!r}: {must}")
    if not bridge.collected:
        ids = ", ".join(case.id for case in plan.cases)
        raise BenchmnistError(f"-k {keyword!r} matches no case; known cases: {ids}")
    return bridge.collected


def train(harness: Harness, recorder: Recorder, path: Path) -> bool:
    """Runs the cases in a session; returns whether it was interrupted.

    An exception that is no failure of a training, and one of pytest itself, fails the case, and is noted.

    Raises:
        StoreError: if a result could not be written.
    """
    log, bridge = path / store.SESSION_LOG, _Bridge(harness, recorder)
    log.unlink(missing_ok=True)
    bounded = cast("BinaryIO", BoundedLog(log))
    with io.TextIOWrapper(bounded, encoding="utf-8", errors="backslashreplace", write_through=True) as output:
        code = _pytest(
            harness.plan,
            bridge,
            output,
            f"--benchmark-json={path / store.BENCHMARK_FILE}",
            f"--benchmark-storage=file://{path}",  # pytest-benchmark makes this folder in any case
        )
    if recorder.error is not None:
        raise recorder.error
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        bridge.errors[harness.plan.suite.name] = f"the pytest session failed; see {log}"
    interrupted = code == pytest.ExitCode.INTERRUPTED
    if not interrupted:
        recorder.settle(bridge.errors)
    return interrupted


def _pytest(plan: Plan, bridge: _Bridge, output: io.TextIOBase, *arguments: str) -> int:
    """Runs a pytest session on the suite file, independent of the user's own pytest configuration."""
    suite = Path(plan.suite.file).resolve()
    ini = resources.files("benchmnist.pytest_support") / "pytest.ini"
    fixed = [
        f"--rootdir={_rootdir(suite)}",  # as it is without us: results are compared by names relative to it
        f"--config-file={ini}",
        "--noconftest",
        "--disable-plugin-autoload",
        "-ppytest_benchmark.plugin",
        "-pno:cacheprovider",
        "-pno:unraisableexception",  # at the end it collects garbage five times; Python reports to the log, too
        "--capture=no",  # the redirection below does
        "-q",
    ]
    with (
        # The last: in somebody's test under xdist, pytest-benchmark must not take this session for a worker's.
        _without_environment("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        return pytest.main([str(suite), *fixed, *arguments], plugins=[hooks, bridge])


def _rootdir(suite: Path) -> Path:
    """Returns the nearest parent folder with a pyproject.toml; else the suite's own folder."""
    return next((folder for folder in suite.parents if (folder / "pyproject.toml").is_file()), suite.parent)


@contextlib.contextmanager
def _without_environment(*names: str) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


class _Bridge:
    """Plugin that passes the harness to the session, and the environment to pytest-benchmark."""

    def __init__(self, harness: Harness, recorder: Recorder | None = None) -> None:
        self.harness, self.recorder = harness, recorder
        self.collected: list[str] = []
        self.errors: dict[str, str] = {}  # by case id: tracebacks of our own exceptions

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[HARNESS] = self.harness

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.name for item in session.items]

    def pytest_exception_interact(self, node: Any, call: pytest.CallInfo[None]) -> None:
        """Keeps an exception that does not come from the training of a case, or is not told by its result."""
        error = call.excinfo.value if call.excinfo is not None else None
        if error is not None and not isinstance(error, (TrialError, ExpectationError, StoreError)):
            self.errors[node.name] = f"{class_name(error)}: {first_line(error)}\n{formatted_traceback(error)}"

    def pytest_runtest_logfinish(self) -> None:
        """Ends the session if a result cannot be stored, which makes further training useless."""
        if self.recorder is not None and self.recorder.error is not None:
            raise pytest.exit.Exception(str(self.recorder.error))

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_benchmark_generate_machine_info(self) -> dict[str, Any]:
        """Asks for the processor, in a process of its own, once for all sessions of this process."""
        return machine_info()

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        if self.recorder is not None:
            machine_info["benchmnist"] = self.recorder.environment
