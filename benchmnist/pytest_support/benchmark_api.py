"""All uses of undocumented parts of pytest-benchmark. The tests are the contract for its new versions.

Other modules use documented parts: `pedantic`, the marker's `timer`, `group` and `warmup`, `extra_info`, hooks.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


def name(benchmark: Any, param: str, params: dict[str, str]) -> None:
    """Sets the values for `--benchmark-group-by=param` and `=param:NAME`, as for parametrized tests."""
    benchmark.param, benchmark.params = param, params


def full_name(benchmark: Any) -> str:
    """Returns the full name of a benchmark: the path of its file, and its name."""
    return str(benchmark.fullname)


def mark_error(benchmark: Any, *, failed: bool = True) -> None:
    """Marks a benchmark as failed, which keeps it out of the results, or as fine.

    pytest-benchmark ignores a BaseException such as Ctrl-C, and treats the end of a case with fewer rounds than
    planned as an error.
    """
    benchmark.has_error = failed


def makes_a_profile(benchmark: Any) -> bool:
    """Tells whether --benchmark-cprofile requests an additional round."""
    return bool(getattr(benchmark, "cprofile", None))


def keep_rounds(benchmark: Any, seconds: Sequence[float]) -> None:
    """Replaces the measured rounds of a benchmark, which has none with --benchmark-disable."""
    if benchmark.stats is not None:
        benchmark.stats.stats.data[:] = seconds


def regroup(benchmark: Any, group: str) -> None:
    """Moves a benchmark to another group of the table, whose rows are compared with each other."""
    if benchmark.stats is not None:
        benchmark.stats.group = group


def machine_info() -> dict[str, Any]:
    """Returns what pytest-benchmark knows of the machine; it starts a process to find out, only once here."""
    return deepcopy(_machine_info())


@cache
def _machine_info() -> dict[str, Any]:
    from pytest_benchmark import plugin

    found: dict[str, Any] = plugin.pytest_benchmark_generate_machine_info()
    return found


class _Node:
    """The part of an item that the fixture of pytest-benchmark uses."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid, self.name = nodeid, nodeid.partition("::")[2]


def replay(config: pytest.Config, nodeid: str, measured: dict[str, Any], remark: str = "") -> None:
    """Feeds measured epochs to pytest-benchmark through its own fixture, with a clock that replays them.

    Args:
        config: The configuration of the session.
        nodeid: The full name of the case.
        measured: Its rounds, and what is kept beside them.
        remark: How they were measured, if that sets them apart from others.
    """
    from pytest_benchmark.fixture import BenchmarkFixture
    from pytest_benchmark.utils import NameWrapper

    session = config.pluginmanager.get_plugin("pytest-benchmark")
    if session is None or session.skip or config.getoption("benchmark_disable"):
        return
    shown = 0.0

    def clock() -> float:
        return shown

    def run(seconds: float) -> None:
        nonlocal shown
        shown += seconds

    node = _Node(nodeid)
    fixture = BenchmarkFixture(
        node,
        add_stats=session.benchmarks.append,
        logger=session.logger,
        warner=config.issue_config_time_warning,
        disabled=False,
        **{**session.options, "timer": NameWrapper(clock), "cprofile": False},
        group=f"{measured['group']} ({remark})" if remark else measured["group"],
    )
    fixture.param, fixture.params = node.name, measured["params"]
    seconds = iter(measured["seconds"])
    fixture.pedantic(run, setup=lambda: ((next(seconds),), {}), rounds=len(measured["seconds"]))
    fixture.extra_info.update(measured["extra_info"])
