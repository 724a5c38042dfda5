"""BenchMNIST: is that optimizer or layer really better, by how much, and at what cost?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis as Analysis
    from benchmnist.errors import BenchmnistError as BenchmnistError
    from benchmnist.execution.dispatch import Observer as Observer
    from benchmnist.extensions.hookspecs import hookimpl as hookimpl
    from benchmnist.extensions.specs import AugmentationSpec as AugmentationSpec
    from benchmnist.extensions.specs import Dataset as Dataset
    from benchmnist.extensions.specs import DatasetSpec as DatasetSpec
    from benchmnist.extensions.specs import ExecutorOption as ExecutorOption
    from benchmnist.extensions.specs import ExecutorSpec as ExecutorSpec
    from benchmnist.extensions.specs import MetricSpec as MetricSpec
    from benchmnist.extensions.specs import ModelSpec as ModelSpec
    from benchmnist.extensions.specs import OptimizerSpec as OptimizerSpec
    from benchmnist.extensions.specs import ProblemSpec as ProblemSpec
    from benchmnist.extensions.specs import ScheduleSpec as ScheduleSpec
    from benchmnist.extensions.specs import TaskSpec as TaskSpec
    from benchmnist.head_to_head import Versus as Versus
    from benchmnist.head_to_head import versus as versus
    from benchmnist.metrics import Metric as Metric
    from benchmnist.reports import write_report as write_report
    from benchmnist.runner import run as run
    from benchmnist.runs.results import RunResult as RunResult
    from benchmnist.runs.store import load_run as load_run
    from benchmnist.suites.options import RunOptions as RunOptions
    from benchmnist.suites.reader import load_suite as load_suite
    from benchmnist.tuner import Tuned as Tuned
    from benchmnist.tuner import tune as tune
    from benchmnist.verifier import Verification as Verification
    from benchmnist.verifier import verify as verify

# Imported when first asked for: `benchmnist --help` and a plugin that is only listed need not import torch.
_HOMES = {
    "Analysis": "analysis.analysis",
    "BenchmnistError": "errors",
    "Dataset": "extensions.specs",
    "AugmentationSpec": "extensions.specs",
    "DatasetSpec": "extensions.specs",
    "ExecutorOption": "extensions.specs",
    "ExecutorSpec": "extensions.specs",
    "Metric": "metrics",
    "MetricSpec": "extensions.specs",
    "ModelSpec": "extensions.specs",
    "Observer": "execution.dispatch",
    "OptimizerSpec": "extensions.specs",
    "ProblemSpec": "extensions.specs",
    "RunOptions": "suites.options",
    "RunResult": "runs.results",
    "ScheduleSpec": "extensions.specs",
    "TaskSpec": "extensions.specs",
    "Tuned": "tuner",
    "Verification": "verifier",
    "Versus": "head_to_head",
    "hookimpl": "extensions.hookspecs",
    "load_run": "runs.store",
    "load_suite": "suites.reader",
    "run": "runner",
    "tune": "tuner",
    "verify": "verifier",
    "versus": "head_to_head",
    "write_report": "reports",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'benchmnist' has no attribute {name!r}")
    return getattr(importlib.import_module(f"benchmnist.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
