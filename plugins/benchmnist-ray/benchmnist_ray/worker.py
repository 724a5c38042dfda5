"""The work of a Ray worker: it has a task trained in another process, and forwards the events.

A model that takes its process with it takes that one, not Ray's; so where Ray's dies, it was not the model.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import ray

from benchmnist.executors.local import LocalExecutor
from benchmnist.executors.messages import Started, encode
from benchmnist.runs.results import CaseResult, MeasuredEpoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.executors import Workplace
    from benchmnist.suites.cases import Case


FILE = b"File "
"""Start of the word for a file of a result: its path within the run folder as JSON, a newline, its contents."""


class _Kept:
    """Keeps the process that trained last for the next task: it has imported torch and loaded the dataset."""

    def __init__(self, workplace: Workplace, environment: dict[str, str]) -> None:
        self.workplace, self.environment = workplace, environment
        self.folder = tempfile.TemporaryDirectory(prefix="benchmnist-ray-")
        self.executor = LocalExecutor(
            replace(workplace, run_folder=Path(self.folder.name)), environment=environment
        )


_kept: list[_Kept] = []


def train(workplace: Workplace, task: Case, threads: int, paths: list[str]) -> Iterator[bytes]:
    """Executes a task: yields its start, its epochs, the files that it left, and its result.

    They are bytes, which Ray hands over as they are: the driver has nothing of ours to unpickle.
    """
    yield encode(Started(platform.node(), os.getpid(), ray.get_runtime_context().get_node_id()))
    sys.path += [path for path in paths if path not in sys.path]  # the driver's, if this is its machine
    environment = {"OMP_NUM_THREADS": str(threads)}
    if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:  # Ray sets it anew for each task
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    if not _kept or (_kept[0].workplace, _kept[0].environment) != (workplace, environment):
        for kept in _kept:
            kept.executor.__exit__(None, None, None)
        _kept[:] = [_Kept(workplace, environment)]
    folder = Path(_kept[0].folder.name)
    for _, step in _kept[0].executor.execute(iter([task])):
        if isinstance(step, CaseResult):
            for name in filter(None, (trial.checkpoint for trial in step.trials)):
                yield FILE + json.dumps(name).encode() + b"\n" + (folder / name).read_bytes()
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
            yield encode(step)
        elif isinstance(step, MeasuredEpoch):
            yield encode(step)
