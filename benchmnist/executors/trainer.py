"""Trains cases for an executor, in this process or in a worker."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from benchmnist.errors import BenchmnistError, DataError, PluginError, formatted_traceback
from benchmnist.extensions.isolation import not_exiting
from benchmnist.extensions.registry import find_plugins
from benchmnist.garbage import quick_imports
from benchmnist.runs.results import CaseResult, MeasuredEpoch
from benchmnist.training.checkpoints import Checkpoints
from benchmnist.training.data import Datasets
from benchmnist.training.device import DeviceSession
from benchmnist.training.environment import public_version, resolve_device
from benchmnist.training.fast_paths import Setting
from benchmnist.training.leftovers import Leftovers
from benchmnist.training.loop import train_case
from benchmnist.training.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmnist.executors import Epoch, Workplace
    from benchmnist.suites.cases import Case
    from benchmnist.training.telling import Evaluations


def _current_folder() -> str:
    """Returns the current folder; empty if it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def _moved_back(folder: str) -> str:
    """Changes back to a folder; returns a remark if the current one was another."""
    if not folder or _current_folder() == folder:
        return ""
    try:
        os.chdir(folder)
    except OSError as error:
        return f"the case changed the current folder, which cannot be restored: {error.strerror}"
    return "the case changed the current folder, which was restored afterwards"


class Trainer:
    """Trains tasks, one after the other, with the installed datasets and plugins.

    Attributes:
        broken: Reason why the device no longer works in this process; empty while it works.
    """

    def __init__(self, workplace: Workplace) -> None:
        with quick_imports():
            import benchmnist.training.compiler  # noqa: F401 - as the first optimizer does, but quicker
        self.workplace = workplace
        self.registry = find_plugins(workplace.block, workplace.plugins)
        self.datasets = Datasets(self.registry, workplace.data_root)
        self.device = resolve_device(workplace.device)
        self._session: DeviceSession | None = None
        self.broken = ""
        self._leftovers = Leftovers()

    def train(
        self, case: Case, no_graph: str = "", tell: Callable[[Evaluations], None] | None = None
    ) -> Iterator[Epoch | CaseResult]:
        """Yields the epochs of a case, each to be run before the next, and its result, even after an error.

        Args:
            case: The case.
            no_graph: Reason why its steps must not be captured; empty if they may be.
            tell: Receives evaluations within an epoch, as they happen.

        Raises:
            CaptureError: if a capture failed that was not refused before. The case must be trained again without
                graphs, in another process.
        """
        try:
            self._require_versions(case)
            session = self.session()
            with not_exiting():
                dataset = self.datasets.for_case(case)
                self._require_data(case)
        except BenchmnistError as error:
            yield CaseResult(case=case, status="failed", error=str(error)).printable()
        except Exception as problem:  # noqa: BLE001 - a plugin's dataset may raise anything
            yield CaseResult(case=case, status="failed", error=formatted_traceback(problem)).printable()
        else:
            folder = _current_folder()
            self._leftovers.begin()
            checkpoints = Checkpoints(case, self.workplace.run_folder)
            keep = checkpoints.save if self.workplace.checkpoints else None
            refused = dict.fromkeys(("graph", "recorded"), no_graph) if no_graph else {}
            setting = Setting(case, self.registry, dataset, session, refused, recorded=self.workplace.recorded)
            result = yield from train_case(setting, keep, Telling(tell) if tell else None)
            restored = " and ".join(self._leftovers.put_back())
            if result.failed:
                self.broken = session.broken()
            moved, left = _moved_back(folder), " and ".join(self._leftovers)
            remarks = [*result.remarks, *checkpoints.remarks, *filter(None, [moved])]
            if restored:
                remarks.append(f"the case changed {restored}, put back afterwards")
            if left:
                self.broken = self.broken or f"{left} is in its way"
                remarks.append(f"the case left {left} behind: the next cases are trained in another process")
            yield result.model_copy(update={"remarks": tuple(remarks)}).printable()

    def session(self) -> DeviceSession:
        """Returns the device, initialised for the first case.

        Raises:
            DeviceError: if the device cannot be used.
        """
        if self._session is None:
            self._session = DeviceSession(self.device)
        return self._session

    def measure(
        self, case: Case, no_graph: str = "", tell: Callable[[Evaluations], None] | None = None
    ) -> Iterator[MeasuredEpoch | CaseResult]:
        """Trains like `train`, runs the epochs, and yields each with its result."""
        trained: Epoch | None = None
        for step in self.train(case, no_graph, tell):
            if trained is not None and trained.result is not None:
                yield MeasuredEpoch(trained.seed, trained.result)
            if isinstance(step, CaseResult):
                yield step
            else:
                step.run()
                trained = step

    def _require_data(self, case: Case) -> None:
        """Checks that the dataset here is that of the plan.

        Raises:
            DataError: if its contents differ.
        """
        planned = dict(self.workplace.data).get(case.dataset.label)
        if planned is not None and self.datasets.digest(case) != planned:
            raise DataError(
                f"the dataset {case.dataset.label!r} has other contents here than where the run was planned; "
                "it must be the same each time that it is built: seed what it draws"
            )

    def _require_versions(self, case: Case) -> None:
        """Checks that the versions here are those of the plan.

        Raises:
            PluginError: if a version differs.
        """
        planned = dict(self.workplace.versions)
        here = {name: public_version(name) for name in planned}
        if planned:
            for kind, component in case.components:
                offers = self.registry.by_kind[kind.name]
                if component.use in offers:
                    offered = offers[component.use].plugin
                    planned[component.distribution] = component.version
                    here[component.distribution] = (
                        offered.version if offered.distribution == component.distribution else "none"
                    )
        for name, wanted in planned.items():
            if here[name] != wanted:
                raise PluginError(
                    f"{platform.node()} has {name} {here[name]}, but the run was planned with {name} {wanted}; "
                    "install the same version on every machine"
                )
