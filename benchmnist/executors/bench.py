"""What trains, in whatever process it stands: an executor calls it, here or in a worker."""

from __future__ import annotations

import platform
import traceback
from functools import partial
from typing import TYPE_CHECKING

from benchmnist import store
from benchmnist.errors import BenchmnistError, PluginError
from benchmnist.plugins import find_plugins
from benchmnist.results import CaseResult, MeasuredEpoch
from benchmnist.training.data import Datasets
from benchmnist.training.environment import public_version, resolve_device
from benchmnist.training.loop import train_case
from benchmnist.training.ways import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Workplace


class Bench:
    """Trains tasks, one after the other, with the datasets and the plugins that there are."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.registry = find_plugins(workplace.block, workplace.plugins)
        self.datasets = Datasets(self.registry, workplace.data_root)
        self.device = resolve_device(workplace.device)

    def train(self, case: Case) -> Iterator[Epoch | CaseResult]:
        """Yields the epochs of a case, each to be run before the next; and its result, whatever goes wrong."""
        try:
            self._require_versions(case)
            dataset = self.datasets.for_case(case)
        except BenchmnistError as error:
            yield CaseResult(case=case, status="failed", error=str(error))
        except Exception:  # noqa: BLE001 - a plugin's dataset may raise anything
            yield CaseResult(case=case, status="failed", error=traceback.format_exc())
        else:
            keep = partial(self._save, case) if self.workplace.checkpoints else None
            yield (yield from train_case(Setting(case, self.registry, dataset, self.device), keep))

    def measure(self, case: Case) -> Iterator[MeasuredEpoch | CaseResult]:
        """As `train`, and runs the epochs: yields each when all is known of it."""
        trained: Epoch | None = None
        for step in self.train(case):
            if trained is not None and trained.result is not None:
                yield MeasuredEpoch(trained.seed, trained.result)
            if isinstance(step, CaseResult):
                yield step
            else:
                step.run()
                trained = step

    def _require_versions(self, case: Case) -> None:
        """What is here has to be what the case was planned with.

        Raises:
            PluginError: if anything is of another version.
        """
        planned = dict(self.workplace.versions)
        here = {name: public_version(name) for name in planned}
        if planned:
            for kind, offers in self.registry.by_kind.items():
                component = getattr(case, kind, None)
                if component is not None and component.use in offers:
                    offered = offers[component.use].plugin
                    planned[component.distribution] = component.version
                    here[component.distribution] = (
                        offered.version if offered.distribution == component.distribution else "none"
                    )
        for name, wanted in planned.items():
            if here[name] != wanted:
                raise PluginError(
                    f"{platform.node()} has {name} {here[name]}, and this was planned with {name} {wanted}; "
                    "install the same on every machine"
                )

    def _save(self, case: Case, seed: int, weights: dict[str, Tensor]) -> str:
        """Writes a checkpoint; returns its path within the run folder."""
        import safetensors.torch

        file = f"{store.CHECKPOINTS}/{case.file_stem}__seed-{seed}.safetensors"
        content = safetensors.torch.save({name: value.contiguous() for name, value in weights.items()})
        store.write_file(self.workplace.run_folder / file, content)
        return file
