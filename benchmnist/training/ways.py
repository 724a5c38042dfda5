"""Which way a case is executed: the plain one, and whatever makes it faster without making it another.

Every change for speed is tried on the first steps of a trial that is thrown away. It is taken where the losses
are those of the plain way, and left, with the reason on record, where they are not or something is raised.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from benchmnist.errors import TrialError
from benchmnist.guard import contained
from benchmnist.plan import ENGINES
from benchmnist.training.clock import synchronise
from benchmnist.training.engines.dataloader import DataLoaderEngine
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.engines.stacked import build_stack
from benchmnist.training.trial import Build, build_trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from torch import Tensor

    from benchmnist.cases import Case, Precision
    from benchmnist.plugins import Registry
    from benchmnist.specs import Dataset
    from benchmnist.training.engines import Engine
    from benchmnist.training.trial import Trial

STEPS_COMPARED = 3
"""Of which the first is that before any update, and the last may be one of a captured graph."""

TOLERANCE = 1e-3
"""Relative, of a loss: roundings differ by far less in three steps, mistakes by more."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a case share."""

    case: Case
    registry: Registry
    dataset: Dataset
    device: torch.device


@dataclass(frozen=True)
class Way:
    """How the trials of a case are executed.

    Attributes:
        engine: What executes their epochs.
        build: How they are built.
        stacked: Whether all seeds are trained at once.
        remarks: What is done for speed, and what is not although it was asked for, and why.
        parameters: Trainable parameters of one trial.
        types: Of those parameters, `float32`.
    """

    engine: Engine
    build: Build
    stacked: bool = False
    remarks: tuple[str, ...] = ()
    parameters: int = 0
    types: str = ""

    @property
    def name(self) -> str:
        """What a suite calls it."""
        return "stacked" if self.stacked else self.engine.name

    def trial(self, setting: Setting, seeds: tuple[int, ...]) -> Trial:
        """A new trial of one seed, or of all of them."""
        parts = setting.registry, setting.dataset, setting.device
        with contained():
            if self.stacked:
                return build_stack(setting.case, *parts, how=self.build)
            (seed,) = seeds
            return build_trial(setting.case, seed, *parts, how=self.build)


def plain_engine(name: str) -> type[DataLoaderEngine | ResidentEngine]:
    """The engine of that name that does for everything: what the others are held against, and fall back on.

    Raises:
        KeyError: if there is none.
    """
    engines: dict[str, type[DataLoaderEngine | ResidentEngine]] = {
        **dict.fromkeys(ENGINES, ResidentEngine),
        "dataloader": DataLoaderEngine,
    }
    return engines[name]


def find_way(setting: Setting) -> Way:
    """The fastest way that does for the case, of those that its engine allows."""
    case, device = setting.case, setting.device
    engine = plain_engine(case.engine)(setting.dataset, device, case.batch_size)
    way = Way(engine, Build(fused=case.engine != "dataloader"))
    trial = way.trial(setting, case.seeds[:1])
    changes = [*_changes(setting, trial.model)] if case.engine != "dataloader" else []
    expected = _first_losses(setting, way, trial, STEPS_COMPARED if changes else 1)
    weights = [p for p in trial.model.parameters() if p.requires_grad]
    types = " and ".join(sorted({str(p.dtype).removeprefix("torch.") for p in weights}))
    way = replace(way, parameters=sum(p.numel() for p in weights), types=types)
    for name, refused, change in changes:
        reason = refused
        if not reason:
            try:
                candidate = replace(way, **change(way))
                trial = candidate.trial(setting, case.seeds[:1])
                seen = _first_losses(setting, candidate, trial, STEPS_COMPARED)
                if torch.allclose(seen, expected, rtol=TOLERANCE):
                    way = replace(candidate, remarks=(*way.remarks, name))
                    continue
                reason = f"its first losses are {seen.tolist()}, and should be {expected.tolist()}"
            except Exception as error:  # noqa: BLE001 - what a stranger's model may raise; it can still be trained
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if name in (case.engine, "graph"):
            way = replace(way, remarks=(*way.remarks, f"not {name}: {reason}"))
    return way


def _changes(setting: Setting, model: nn.Module) -> Iterator[tuple[str, str, Any]]:
    """What would make the case faster: its name, why it cannot be, if that is known, and the change of the way."""
    case, device = setting.case, setting.device
    spec = setting.registry.optimizers[case.optimizer.use].spec
    ordinary = not spec.needs_closure and not spec.needs_create_graph
    elementwise = "" if spec.elementwise and ordinary else f"the optimizer {spec.name} does not say that it may be"
    convolutions = any(isinstance(module, nn.Conv2d) for module in model.modules())
    if convolutions and device.type == "cpu" and not elementwise and case.engine != "stacked":
        yield "channels_last", "", lambda way: {"build": replace(way.build, channels_last=True)}
    if case.engine == "stacked":
        yield "stacked", elementwise, lambda _: {"stacked": True}
    if case.engine == "graph" or (case.engine in ("auto", "stacked") and device.type == "cuda"):
        refused = "" if device.type == "cuda" else f"there are no graphs on {device.type}"
        if not spec.capturable or not ordinary:
            refused = refused or f"the optimizer {spec.name} does not say that it may be captured"
        yield (
            "graph",
            refused,
            lambda way: {
                "engine": GraphEngine(setting.dataset, device, case.batch_size),
                "build": replace(way.build, capturable=True),
            },
        )


def _first_losses(setting: Setting, way: Way, trial: Trial, steps: int) -> Tensor:
    """Of the first seed, on the CPU; what a device does only once is done by the way."""
    case = setting.case
    trial.begin(0)
    order = trial.order(len(setting.dataset.train_images), 0)[..., : steps * case.batch_size]
    losses = way.engine.train_epoch(trial, order)
    synchronise(setting.device)
    return losses.cpu() if losses.ndim == 1 else losses[0].cpu()


@contextlib.contextmanager
def precision_of(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within it products and convolutions of float32 are rounded as the case says, on a GPU.

    Raises:
        TrialError: if the device cannot do that.
    """
    if device.type != "cuda":
        if precision == "tf32":
            raise TrialError(f'precision = "tf32" is there on NVIDIA\'s GPUs only, not on {device.type}')
        yield
        return
    flags: list[tuple[Any, str]] = [
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.backends.cudnn, "allow_tf32"),
    ]
    before = [getattr(owner, name) for owner, name in flags]
    for owner, name in flags:
        setattr(owner, name, precision == "tf32")
    try:
        yield
    finally:
        for (owner, name), value in zip(flags, before, strict=True):
            setattr(owner, name, value)
