"""BenchMNIST: is that optimizer or layer really better, by how much, and at what cost?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmnist.dispatch import Observer as Observer
    from benchmnist.errors import BenchmnistError as BenchmnistError
    from benchmnist.hookspecs import hookimpl as hookimpl
    from benchmnist.reports import write_report as write_report
    from benchmnist.results import RunResult as RunResult
    from benchmnist.session import run as run
    from benchmnist.specs import Dataset as Dataset
    from benchmnist.specs import DatasetSpec as DatasetSpec
    from benchmnist.specs import ExecutorOption as ExecutorOption
    from benchmnist.specs import ExecutorSpec as ExecutorSpec
    from benchmnist.specs import ModelSpec as ModelSpec
    from benchmnist.specs import OptimizerSpec as OptimizerSpec
    from benchmnist.specs import ScheduleSpec as ScheduleSpec
    from benchmnist.store import load_run as load_run
    from benchmnist.suite import load_suite as load_suite
    from benchmnist.tuning import Tuned as Tuned
    from benchmnist.tuning import tune as tune

# Imported when first asked for: `benchmnist --help` and a plugin that is only listed need not import torch.
_HOMES = {
    "BenchmnistError": "errors",
    "Dataset": "specs",
    "DatasetSpec": "specs",
    "ExecutorOption": "specs",
    "ExecutorSpec": "specs",
    "ModelSpec": "specs",
    "Observer": "dispatch",
    "OptimizerSpec": "specs",
    "RunResult": "results",
    "ScheduleSpec": "specs",
    "Tuned": "tuning",
    "hookimpl": "hookspecs",
    "load_run": "store",
    "load_suite": "suite",
    "run": "session",
    "tune": "tuning",
    "write_report": "reports",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'benchmnist' has no attribute {name!r}")
    return getattr(importlib.import_module(f"benchmnist.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
