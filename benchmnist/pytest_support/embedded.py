"""The pytest session of `benchmnist run`, independent of the user's own pytest configuration."""

from __future__ import annotations

import contextlib
import io
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
    listed,
)
from benchmnist.extensions.isolation import StaysOpen
from benchmnist.pytest_support import hooks
from benchmnist.pytest_support.benchmark_api import machine_info
from benchmnist.pytest_support.harness import HARNESS
from benchmnist.pytest_support.items import SuiteFile
from benchmnist.runs import store
from benchmnist.runs.logs import BoundedLog
from benchmnist.text import last_line_of
from benchmnist.variables import changed_variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.execution.recorder import Recorder
    from benchmnist.pytest_support.harness import Harness
    from benchmnist.suites.cases import Case
    from benchmnist.suites.plan import Plan

ROOT = "BENCHMNIST_ROOTDIR"
"""The variable that has the rootdir of a session: pytest replaces variables in that option."""


def collect(plan: Plan, keyword: str) -> list[str]:
    """Returns the ids of the cases that an expression selects, in the language of pytest's `-k`.

    It matches the ids and the marks of the cases, and nothing else.

    Raises:
        BenchmnistError: if it selects none, or is not a valid expression.
    """
    bridge = _Bridge(lambda session: [_Name.of(case, session) for case in plan.cases])
    output = io.StringIO()
    code = _pytest(plan, bridge, output, "--collect-only", f"-k{keyword}")
    if code == pytest.ExitCode.USAGE_ERROR:
        said = last_line_of(output.getvalue()).removeprefix("ERROR: ")
        column = re.search(r"at column \d+", said) if "expression" in said.lower() else None
        must = f"must be names joined by and, or and not ({column[0]})" if column else said
        raise BenchmnistError(f"-k {keyword!r}: {must}")
    if not bridge.collected:
        ids = listed([case.id for case in plan.cases])
        raise BenchmnistError(f"-k {keyword!r} matches no case; known cases: {ids}")
    return bridge.collected


def train(harness: Harness, recorder: Recorder, path: Path) -> bool:
    """Runs the cases in a session; returns whether it was interrupted.

    An exception that is no failure of a training, and one of pytest itself, fails the case, and is noted.

    Raises:
        StoreError: if a result could not be written.
    """
    suite = Path(harness.plan.suite.file).resolve()
    log, bridge = path / store.SESSION_LOG, _Bridge(lambda session: _cases(session, suite, harness), recorder)
    log.unlink(missing_ok=True)
    bounded = cast("BinaryIO", BoundedLog(log))
    with _Output(bounded, encoding="utf-8", errors="backslashreplace", write_through=True) as output:
        try:
            code = _pytest(
                harness.plan,
                bridge,
                output,
                f"--benchmark-json={path / store.BENCHMARK_FILE}",
                f"--benchmark-storage=file://{path}",  # pytest-benchmark makes this folder in any case
            )
        except Exception as error:  # noqa: BLE001 - at its end a plugin may raise, such as for a full disk
            bridge.keep(harness.plan.suite.name, error)
            code = pytest.ExitCode.TESTS_FAILED
    if recorder.error is not None:
        raise recorder.error
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        bridge.errors[harness.plan.suite.name] = f"the pytest session failed; see {log}"
    interrupted = code == pytest.ExitCode.INTERRUPTED
    if not interrupted:
        recorder.settle(bridge.errors)
    return interrupted


def _pytest(plan: Plan, bridge: _Bridge, output: io.TextIOBase, *arguments: str) -> int:
    """Runs a pytest session on the items of the bridge, independent of the user's own pytest configuration.

    No argument names the suite: pytest would read its name (`a[1].toml`, `a::b.toml`), and the files beside it.
    """
    ini = resources.files("benchmnist.pytest_support") / "pytest.ini"
    fixed = [
        f"--rootdir=${ROOT}",  # as it is without us: results are compared by names relative to it
        f"--config-file={ini}",
        "--noconftest",
        "--disable-plugin-autoload",
        "-ppytest_benchmark.plugin",
        "-pno:cacheprovider",
        "-pno:logging",  # what is logged is in the log of the worker
        "-pno:unraisableexception",  # at the end it collects garbage five times; Python reports to the log, too
        "--capture=no",  # the redirection below does
        "-q",
    ]
    with (
        # The last: in somebody's test under xdist, pytest-benchmark must not take this session for a worker's.
        changed_variables(
            {
                **dict.fromkeys(("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER")),
                ROOT: str(_rootdir(Path(plan.suite.file).resolve())),  # pytest expands variables, once
            }
        ),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        return pytest.main([*fixed, *arguments], plugins=[hooks, bridge])


def _rootdir(suite: Path) -> Path:
    """Returns the nearest parent folder with a pyproject.toml; else the suite's own folder."""
    return next((folder for folder in suite.parents if (folder / "pyproject.toml").is_file()), suite.parent)


class _Output(StaysOpen, io.TextIOWrapper):
    """Output of a session, which a model in this process has as its sys.stdout."""

    def __exit__(self, *_: object) -> None:
        self.end()


def _cases(session: pytest.Session, suite: Path, harness: Harness) -> list[pytest.Item]:
    """Returns the cases of a suite as items of a session."""
    session.config.stash[HARNESS] = harness
    file: SuiteFile = SuiteFile.from_parent(session, path=suite)
    return [*file.collect()]


class _Name(pytest.Item):
    """A case of which a session sees only what `-k` matches: the id and the marks."""

    @classmethod
    def of(cls, case: Case, session: pytest.Session) -> _Name:
        """Returns the item of a case."""
        item: _Name = cls.from_parent(session, name=case.id)
        for mark in case.marks:
            session.config.addinivalue_line("markers", f"{mark}: of a suite")
            item.add_marker(mark)
        return item

    def runtest(self) -> None:
        """Does nothing: it is only collected."""


class _Bridge:
    """Plugin that passes the items to the session, and the environment to pytest-benchmark."""

    def __init__(
        self, items: Callable[[pytest.Session], list[pytest.Item]], recorder: Recorder | None = None
    ) -> None:
        self.items, self.recorder = items, recorder
        self.collected: list[str] = []
        self.errors: dict[str, str] = {}  # by case id: tracebacks of our own exceptions

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collects the cases, and looks for nothing else."""
        session.items = self.items(session)
        hook = session.config.hook
        hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        self.collected = [item.name for item in session.items]
        session.testscollected = len(session.items)
        hook.pytest_collection_finish(session=session)
        return True

    def pytest_exception_interact(self, node: Any, call: pytest.CallInfo[None]) -> None:
        """Keeps an exception that does not come from the training of a case, or is not told by its result."""
        error = call.excinfo.value if call.excinfo is not None else None
        if error is not None and not isinstance(error, (TrialError, ExpectationError, StoreError)):
            self.keep(node.name, error)

    def keep(self, about: str, error: BaseException) -> None:
        """Keeps an exception of our own, at a case or in the whole session."""
        self.errors[about] = f"{class_name(error)}: {first_line(error)}\n{formatted_traceback(error)}"

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
