"""Replays the measurements of xdist workers.

Under xdist, pytest-benchmark measures nothing. Our epochs measure themselves: the workers send the measurements
with their reports, and the main process replays them into pytest-benchmark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.pytest_support.benchmark_api import replay
from benchmnist.pytest_support.harness import ENVIRONMENT

if TYPE_CHECKING:
    import pytest


class Controller:
    """Plugin of the main process of xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.replayed = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Replays the measurements of a worker."""
        measured = getattr(report, "benchmnist", None)
        if report.when == "call" and measured:
            self.config.stash[ENVIRONMENT] = measured["environment"]
            measured["extra_info"]["measured"] = "in parallel"
            replay(self.config, report.nodeid, measured, "measured in parallel")
            self.replayed += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Warns that the times are not comparable with those of single cases."""
        if self.replayed:
            terminalreporter.write_line(
                f"benchmnist: {self.replayed} cases were timed side by side by xdist workers: "
                "they slowed each other down and are marked as measured in parallel"
            )
