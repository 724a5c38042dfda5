"""Replays what the workers of xdist measured.

Under xdist pytest-benchmark measures nothing. Our epochs measure themselves: the workers send what they have
measured with their reports, and the main process replays it into pytest-benchmark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.pytest_support.benchmark_api import replay
from benchmnist.pytest_support.harness import ENVIRONMENT

if TYPE_CHECKING:
    import pytest


class Controller:
    """Registered in a main process of xdist only."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.replayed = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """What a worker has measured."""
        measured = getattr(report, "benchmnist", None)
        if report.when == "call" and measured:
            self.config.stash[ENVIRONMENT] = measured["environment"]
            replay(self.config, report.nodeid, measured)
            self.replayed += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """That the times are to be read with care."""
        if self.replayed:
            terminalreporter.write_line(
                f"benchmnist: {self.replayed} cases were timed side by side by xdist workers: "
                "they slowed each other down and are marked as measured in parallel"
            )
