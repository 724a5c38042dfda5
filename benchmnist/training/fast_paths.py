"""Chooses how a case is executed: the plain way, plus changes for speed that keep its results.

Every change is tried on the first steps of a trial that is discarded. It is adopted if its losses are those of the
plain way and, where that depends on the machine, if it is measured to be faster; otherwise, or after an
exception, it is refused. The record names the adopted changes, and the reason if a requested one was refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import nn

from benchmnist.errors import CaptureError, TrialError, first_line
from benchmnist.extensions.isolation import contained
from benchmnist.suites.bundles import (
    Bundle,
    has_built_in_schedule,
    why_not_elementwise,
    why_not_pure,
    why_not_stacked,
)
from benchmnist.suites.schema import ENGINES
from benchmnist.training.agreement import Expected, difference_from_plain, first_steps
from benchmnist.training.engines.dataloader import DataLoaderEngine
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.recorded import RecordedEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.engines.stacked import build_stack
from benchmnist.training.engines.streams import LANES, Abreast, StreamsEngine
from benchmnist.training.memory import lacking
from benchmnist.training.speed import MIN_GAIN, ONEDNN, RECORDED, gain_of_stack, is_faster, may_stack, may_try
from benchmnist.training.trial import Build, build_trial, steps_of_trial, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    import torch

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.engines import Engine
    from benchmnist.training.trial import Trial


EPOCHS_RECORDED = 2
"""Short epochs to compare for recorded steps: in the second, they are repeated."""

EPOCHS_COMPARED = 4
"""Short epochs to compare for captured steps: with one step each, the fourth is the first replay."""

ROWS_MEASURED = 32
"""Trials of a stack, at most, by which it is measured: to measure more takes longer."""


@dataclass(frozen=True)
class Setting:
    """Setting that all trials of a case share.

    Attributes:
        case: The case.
        registry: The plugins.
        dataset: Part of its dataset that it uses.
        session: Device on which it is trained.
        refused: Reasons for refused changes for speed, by name.
        recorded: Whether steps may be recorded without being asked for.
    """

    case: Case
    registry: Registry
    dataset: Dataset
    session: DeviceSession
    refused: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = True

    @property
    def device(self) -> torch.device:
        """Device on which the case is trained."""
        return self.session.device


@dataclass(frozen=True)
class FastPath:
    """Execution of the trials of a case.

    Attributes:
        engine: Engine of their epochs.
        build: Options for their construction.
        stacked: Whether all seeds are trained at once, as a stack.
        abreast: Whether seeds are trained at the same time, each on a stream of its own.
        remarks: Changes for speed, and requested but refused ones with their reasons.
        parameters: Number of trainable parameters of one trial.
        types: Types of those parameters, such as `float32`.
    """

    engine: Engine
    build: Build
    stacked: bool = False
    abreast: bool = False
    remarks: tuple[str, ...] = ()
    parameters: int = 0
    types: str = ""

    @property
    def name(self) -> str:
        """Name in a suite."""
        return "stacked" if self.stacked else self.engine.name

    def groups(self, seeds: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Divides seeds into those that are trained at once."""
        size = len(seeds) if self.stacked else LANES if self.abreast else 1
        return [seeds[first : first + size] for first in range(0, len(seeds), size)]

    def trial(self, setting: Setting, seeds: tuple[int, ...]) -> Trial:
        """Builds a new trial of one seed, or of one of the groups."""
        parts = setting.registry, setting.dataset, setting.device
        with contained():
            if self.stacked:
                return build_stack(setting.case, *parts, how=self.build)
            rows = [setting.case.row(seed) for seed in seeds]
            trials = [build_trial(case, seed, *parts, how=self.build) for case, seed in rows]
            return Abreast(trials, setting.device) if self.abreast else trials[0]


def plain_engine(name: str) -> type[DataLoaderEngine | ResidentEngine]:
    """Returns the named engine of those that suit every case, and that others are compared with and fall back to.

    Raises:
        KeyError: if the name is unknown.
    """
    engines: dict[str, type[DataLoaderEngine | ResidentEngine]] = {
        **dict.fromkeys(ENGINES, ResidentEngine),
        "dataloader": DataLoaderEngine,
    }
    return engines[name]


def find_fast_path(setting: Setting) -> FastPath:
    """Finds the fastest suitable way for a case among those that its engine allows.

    Raises:
        CaptureError: if a capture failed, after which this process can capture no more steps.
        TrialError: if the device has no room for a stack of several cases.
    """
    if isinstance(setting.case, Bundle) and setting.case.engine == "auto":
        return _stacked_if_faster(setting, setting.case)
    return _fast_path(setting)


def _stacked_if_faster(setting: Setting, case: Bundle) -> FastPath:
    """Finds the way of a bundle that need not be stacked: it is, if that is measured to be faster by MIN_GAIN.

    Raises:
        CaptureError: as `find_fast_path`.
        TrialError: as `_within_memory`.
    """
    point, seed = case.row(case.seeds[0])
    if not may_stack(setting):
        engine = ResidentEngine(setting.dataset, setting.session, case.batch_size)
        return FastPath(engine, Build(), remarks=("not stacked: too short to measure what is faster",))
    alone = _fast_path(replace(setting, case=point.model_copy(update={"seeds": (seed,)})))
    stacked = case.model_copy(update={"engine": "stacked"})
    bundle = _within_memory(replace(setting, case=stacked), alone)
    if why := bundle.refused.get("stacked"):
        return replace(alone, remarks=(*alone.remarks, f"not stacked: {why}"))
    if setting.device.type == "cpu":  # without a graph, what would be compared can be measured before
        resident = ResidentEngine(setting.dataset, setting.session, case.batch_size)
        stack = FastPath(resident, Build(fused=alone.build.fused), stacked=True)
    else:
        stack = _fast_path(bundle)
    try:
        few = replace(bundle, case=stacked.shortened(ROWS_MEASURED))
        gain = gain_of_stack(few, alone, stack) if stack.stacked else 0.0
    except Exception as error:  # noqa: BLE001 - what a stranger's model may raise; it can still be trained
        return replace(alone, remarks=(*alone.remarks, f"not stacked: {first_line(error)}"))
    if not stack.stacked:
        return stack
    measured = f"{len(few.case.seeds)} trials in a stack are trained {gain:.2f} times as fast as one by one"
    if gain < MIN_GAIN:
        return replace(alone, remarks=(*alone.remarks, f"not stacked: {measured}"))
    way = _fast_path(bundle) if setting.device.type == "cpu" else stack
    return replace(way, remarks=(*way.remarks, measured))


def _fast_path(setting: Setting) -> FastPath:
    """Finds the fastest suitable way among those that the engine of a case allows, without measuring stacks."""
    case = setting.case
    engine = plain_engine(case.engine)(setting.dataset, setting.session, case.batch_size)
    way = FastPath(engine, Build(fused=case.engine != "dataloader"))
    trial = way.trial(setting, case.seeds[:1])
    setting = _within_memory(setting, way)
    changes = [*_changes(setting, trial.model)] if case.engine != "dataloader" else []
    weights = [p for p in trial.model.parameters() if p.requires_grad]
    types = " and ".join(sorted({str(p.dtype).removeprefix("torch.") for p in weights}))
    way = replace(way, parameters=sum(p.numel() for p in weights), types=types)
    epochs = max((change.epochs for change in changes), default=0)
    made = epochs + (case.engine == "stacked")  # of which one more is trained to see what it would lose
    if made * steps_per_epoch(case, setting.dataset) > steps_of_trial(
        case, setting.dataset
    ):  # as long as what is compared: a schedule may refuse to go beyond its end
        setting = replace(setting, case=case.model_copy(update={"epochs": made, "steps": None}))
        trial = way.trial(setting, case.seeds[:1])
    way, expected = _expected(setting, way, trial, epochs)
    del trial, weights  # the memory is not the case's
    return _adopted(setting, way, changes, expected)


def _within_memory(setting: Setting, way: FastPath) -> Setting:
    """Returns the setting, which refuses a stack for which the device has no room.

    Raises:
        TrialError: if fewer of the cases of a bundle may have room.
    """
    case = setting.case
    if case.engine != "stacked":
        return setting
    why = lacking(setting, way.trial(setting, case.seeds[:1]), len(case.seeds))
    if why and len(case.firsts) > 1:
        raise TrialError(why)
    return replace(setting, refused={**setting.refused, "stacked": why}) if why else setting


def _adopted(setting: Setting, way: FastPath, changes: Sequence[_Change], expected: Expected) -> FastPath:
    """Tries the changes one after the other, and returns the way with those that are adopted.

    Raises:
        CaptureError: as `find_fast_path`.
    """
    for change in changes:
        reason = setting.refused.get(change.name) or change.refused
        if not reason:
            try:
                candidate = replace(way, **change.make(way))
                reason = difference_from_plain(setting, candidate, expected, change.epochs)
                if not reason and change.measured and not is_faster(setting, way, candidate, change.measured):
                    reason = "it is not faster"
                if not reason:
                    way = replace(candidate, remarks=(*way.remarks, change.name))
                    continue
            except CaptureError as error:
                if error.spoiled:
                    raise
                reason = first_line(error)
            except Exception as error:  # noqa: BLE001 - what a stranger's model may raise; it can still be trained
                reason = first_line(error)
        if change.name in (setting.case.engine, "graph", *setting.refused):
            way = replace(way, remarks=(*way.remarks, f"not {change.name}: {reason}"))
    return way


def _expected(setting: Setting, way: FastPath, trial: Trial, epochs: int) -> tuple[FastPath, Expected]:
    """Makes the first steps of the plain way; without a fused optimizer if that fails.

    Fused optimizers do not support complex or sparse parameters and gradients.
    """
    try:
        return way, first_steps(setting, way, trial, epochs)
    except CaptureError:
        raise
    except Exception as error:
        if not way.build.fused:
            raise
        unfused = replace(way, build=replace(way.build, fused=False))
        expected = first_steps(setting, unfused, unfused.trial(setting, setting.case.seeds[:1]), epochs)
        return replace(unfused, remarks=(*way.remarks, f"not fused: {first_line(error)}")), expected


@dataclass(frozen=True)
class _Change:
    """A change that would make a case faster.

    Attributes:
        name: Name of the change.
        refused: Reason why it cannot be made, if known.
        make: Function that changes the way.
        epochs: Number of short epochs to compare.
        measured: Variable that decides it, if it is adopted only where it is measured to be faster.
    """

    name: str
    refused: str
    make: Callable[[FastPath], dict[str, Any]]
    epochs: int = 1
    measured: str = ""


def _changes(setting: Setting, model: nn.Module) -> Iterator[_Change]:
    """Yields the changes that would make a case faster."""
    case, device, registry = setting.case, setting.device, setting.registry
    convolutions = any(isinstance(module, nn.Conv2d) for module in model.modules())
    # A GPU's tensor cores want the channels innermost; its other cores, as in float32, do not.
    innermost = device.type == "cpu" or (device.type == "cuda" and case.precision != "float32")
    if convolutions and innermost and not why_not_elementwise(case, registry) and case.engine != "stacked":
        yield _Change("channels_last", "", lambda way: {"build": replace(way.build, channels_last=True)})
    if device.type == "cpu" and case.engine != "stacked" and may_try(setting, ONEDNN):
        yield _Change("onednn", "", lambda way: {"build": replace(way.build, onednn=True)}, measured=ONEDNN)
    if case.engine == "stacked":
        yield _Change("stacked", why_not_stacked(case, registry), lambda _: {"stacked": True})
    ahead, uncaptured = has_built_in_schedule(case, registry), _why_not_captured(case, registry)
    if device.type == "cpu" and case.engine != "stacked" and may_try(setting, RECORDED):
        yield _Change(
            "recorded",
            uncaptured or ("" if ahead else "the schedule of a plugin may look at the gradients of a step"),
            lambda _: {"engine": RecordedEngine(setting.dataset, setting.session, case.batch_size)},
            epochs=EPOCHS_RECORDED,
            measured=RECORDED,
        )
    if case.engine in ("graph", "streams") or (case.engine in ("auto", "stacked") and device.type == "cuda"):
        yield _Change(
            "graph",
            uncaptured if device.type == "cuda" else f"there are no graphs on {device.type}",
            lambda way: {
                "engine": GraphEngine(
                    setting.dataset, setting.session, case.batch_size, ahead=ahead, every=case.evaluate_every
                ),
                "build": replace(way.build, capturable=True),
            },
            epochs=EPOCHS_COMPARED,
        )
    if case.engine == "streams":
        yield _Change("streams", "", lambda way: _abreast(setting, way), epochs=EPOCHS_COMPARED)


def _why_not_captured(case: Case, registry: Registry) -> str:
    """Returns why a step may not be captured or recorded, as far as plugins say it; empty if it may."""
    spec = registry.optimizers[case.optimizer.use].spec
    if not spec.capturable or spec.needs_closure or spec.needs_create_graph:
        return f"the optimizer {spec.name} does not say that it may be captured"
    if not registry.models[case.model.use].spec.capturable:
        return f"the model {case.model.use} says that it must not be captured"
    return why_not_pure(case, registry)


def _abreast(setting: Setting, way: FastPath) -> dict[str, Any]:
    """Returns what makes the seeds of a captured way be trained at the same time.

    Raises:
        TrialError: if its steps are not captured, or there is only one seed.
    """
    if not isinstance(way.engine, GraphEngine):
        raise TrialError("its steps are not captured")
    if len(setting.case.seeds) == 1:
        raise TrialError("there is only one seed")
    engine = StreamsEngine(
        setting.dataset,
        setting.session,
        setting.case.batch_size,
        lanes=min(len(setting.case.seeds), LANES),
        ahead=way.engine.ahead,
        every=way.engine.every,
    )
    return {"engine": engine, "abreast": True}
