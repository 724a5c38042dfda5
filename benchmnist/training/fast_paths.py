"""Chooses how a case is executed: the plain way, plus changes for speed that keep its results.

Every change is tried on the first steps of a trial that is discarded. It is adopted if its losses are those of the
plain way; otherwise, or after an exception, it is refused, and the reason is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from benchmnist.errors import CaptureError, first_line
from benchmnist.extensions.isolation import contained
from benchmnist.suites.plan import ENGINES
from benchmnist.training.clock import synchronise
from benchmnist.training.data import seed_everything, seed_for
from benchmnist.training.engines.dataloader import DataLoaderEngine
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.host import Host
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.engines.stacked import build_stack
from benchmnist.training.trial import Build, build_trial, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case
    from benchmnist.training.device import DeviceSession
    from benchmnist.training.engines import Engine
    from benchmnist.training.trial import Trial

BUILTIN = "builtin"
"""Distribution whose schedules are known to change only numbers in the optimizer's groups."""

STEPS_COMPARED = 3
"""Steps of whole batches in a short epoch that is compared, of which the first is that before any update.

The batch that is left at the end of an epoch is compared too.
"""

EPOCHS_COMPARED = 4
"""Short epochs to compare for captured steps: with one step each, the fourth is the first replay."""

TOLERANCE = 1e-3
"""Relative tolerance of a loss: in three steps, roundings differ by far less, mistakes by more."""

TOLERANCE_OF_NOISE = 1e-5
"""Relative, of the first loss of a model that draws random numbers: other numbers may change it by little, and no
update has enlarged a rounding yet."""

TOLERANCE_OF_UPDATES = 0.2
"""Relative, of the change of all weights of a stack together in those steps.

Adam moves weights whose gradients are nothing but rounding, such as biases before batch normalisation, by as much
as others: some hundredths of the whole.
"""


@dataclass(frozen=True)
class Setting:
    """Setting that all trials of a case share.

    Attributes:
        case: The case.
        registry: The plugins.
        dataset: Part of its dataset that it uses.
        session: Device on which it is trained.
        refused: Reasons for refused changes for speed, by name.
    """

    case: Case
    registry: Registry
    dataset: Dataset
    session: DeviceSession
    refused: Mapping[str, str] = field(default_factory=dict)

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
        stacked: Whether all seeds are trained at once.
        remarks: Changes for speed, and requested but refused ones with their reasons.
        parameters: Number of trainable parameters of one trial.
        types: Types of those parameters, such as `float32`.
    """

    engine: Engine
    build: Build
    stacked: bool = False
    remarks: tuple[str, ...] = ()
    parameters: int = 0
    types: str = ""

    @property
    def name(self) -> str:
        """Name in a suite."""
        return "stacked" if self.stacked else self.engine.name

    def trial(self, setting: Setting, seeds: tuple[int, ...]) -> Trial:
        """Builds a new trial of one seed, or of all of them."""
        parts = setting.registry, setting.dataset, setting.device
        with contained():
            if self.stacked:
                return build_stack(setting.case, *parts, how=self.build)
            (seed,) = seeds
            return build_trial(setting.case, seed, *parts, how=self.build)


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
    """
    case = setting.case
    engine = plain_engine(case.engine)(setting.dataset, setting.session, case.batch_size)
    way = FastPath(engine, Build(fused=case.engine != "dataloader"))
    trial = way.trial(setting, case.seeds[:1])
    changes = [*_changes(setting, trial.model)] if case.engine != "dataloader" else []
    weights = [p for p in trial.model.parameters() if p.requires_grad]
    types = " and ".join(sorted({str(p.dtype).removeprefix("torch.") for p in weights}))
    way = replace(way, parameters=sum(p.numel() for p in weights), types=types)
    epochs = max((change.epochs for change in changes), default=0)
    if epochs > case.epochs:  # as long as what is compared: a schedule may refuse to go beyond its end
        setting = replace(setting, case=case.model_copy(update={"epochs": epochs}))
        trial = way.trial(setting, case.seeds[:1])
    way, expected = _expected(setting, way, trial, epochs)
    del trial, weights  # the memory is not the case's
    for change in changes:
        reason = setting.refused.get(change.name) or change.refused
        if not reason:
            try:
                candidate = replace(way, **change.make(way))
                reason = _difference_from_plain(setting, candidate, expected, change.epochs)
                if not reason:
                    way = replace(candidate, remarks=(*way.remarks, change.name))
                    continue
            except CaptureError as error:
                if error.spoiled:
                    raise
                reason = first_line(error)
            except Exception as error:  # noqa: BLE001 - what a stranger's model may raise; it can still be trained
                reason = first_line(error)
        if change.name in (case.engine, "graph"):
            way = replace(way, remarks=(*way.remarks, f"not {change.name}: {reason}"))
    return way


@dataclass(frozen=True)
class _Expected:
    """First steps of the plain way.

    Attributes:
        losses: Losses, [epochs, steps].
        weights: Parameters after the first of those epochs, on the CPU; empty unless a stack is to be compared.
        draws: Whether the steps draw random numbers from torch.
    """

    losses: Tensor
    weights: list[Tensor]
    draws: bool


def _expected(setting: Setting, way: FastPath, trial: Trial, epochs: int) -> tuple[FastPath, _Expected]:
    """Makes the first steps of the plain way; without a fused optimizer if that fails.

    Fused optimizers do not support complex or sparse parameters and gradients.
    """
    try:
        return way, _first_steps(setting, way, trial, epochs)
    except CaptureError:
        raise
    except Exception as error:
        if not way.build.fused:
            raise
        unfused = replace(way, build=replace(way.build, fused=False))
        expected = _first_steps(setting, unfused, unfused.trial(setting, setting.case.seeds[:1]), epochs)
        return replace(unfused, remarks=(*way.remarks, f"not fused: {first_line(error)}")), expected


def _first_steps(setting: Setting, way: FastPath, trial: Trial, epochs: int) -> _Expected:
    """Makes the first steps of the plain way."""
    seed_everything(seed_for("noise", setting.case.seeds[0], 0))  # as the trial does when it begins
    before = torch.get_rng_state()
    losses, weights = _first_losses(setting, way, trial, epochs)
    return _Expected(losses, weights, draws=not torch.equal(before, torch.get_rng_state()))


def _weights(setting: Setting, way: FastPath, trial: Trial) -> list[Tensor]:
    """Copies the parameters of the first seed to the CPU, if a stack is to be compared by them."""
    if setting.case.engine != "stacked":
        return []
    weights = [parameter.detach() for parameter in trial.model.parameters()]
    return [(weight[0] if way.stacked else weight).cpu().clone() for weight in weights]


def _updated_otherwise(before: list[Tensor], after: list[Tensor], expected: list[Tensor]) -> bool:
    """Tells whether weights changed differently than expected."""
    pairs = [*zip(before, after, expected, strict=True)]
    off = sum(float((one - other).abs().double().square().sum()) for _, one, other in pairs)
    moved = sum(float((other - start).abs().double().square().sum()) for start, _, other in pairs)
    return off > TOLERANCE_OF_UPDATES**2 * moved


@dataclass(frozen=True)
class _Change:
    """A change that would make a case faster.

    Attributes:
        name: Name of the change.
        refused: Reason why it cannot be made, if known.
        make: Function that changes the way.
        epochs: Number of short epochs to compare.
    """

    name: str
    refused: str
    make: Callable[[FastPath], dict[str, Any]]
    epochs: int = 1


def _changes(setting: Setting, model: nn.Module) -> Iterator[_Change]:
    """Yields the changes that would make a case faster."""
    case, device = setting.case, setting.device
    spec = setting.registry.optimizers[case.optimizer.use].spec
    ordinary = not spec.needs_closure and not spec.needs_create_graph
    elementwise = "" if spec.elementwise and ordinary else f"the optimizer {spec.name} does not say that it may be"
    pure = case.task is None or setting.registry.tasks[case.task.use].spec.pure
    impure = "" if pure else f"the task {case.task and case.task.use} does not say that its loss is pure"
    convolutions = any(isinstance(module, nn.Conv2d) for module in model.modules())
    if convolutions and device.type == "cpu" and not elementwise and case.engine != "stacked":
        yield _Change("channels_last", "", lambda way: {"build": replace(way.build, channels_last=True)})
    if case.engine == "stacked":
        strange = (
            ""
            if _has_built_in_schedule(setting)
            else "the schedule of a plugin may look at the weights of all seeds"
        )
        yield _Change("stacked", elementwise or strange or impure, lambda _: {"stacked": True})
    if case.engine == "graph" or (case.engine in ("auto", "stacked") and device.type == "cuda"):
        refused = "" if device.type == "cuda" else f"there are no graphs on {device.type}"
        if not spec.capturable or not ordinary:
            refused = refused or f"the optimizer {spec.name} does not say that it may be captured"
        if not setting.registry.models[case.model.use].spec.capturable:
            refused = refused or f"the model {case.model.use} says that it must not be captured"
        refused = refused or impure
        yield _Change(
            "graph",
            refused,
            lambda way: {
                "engine": GraphEngine(setting.dataset, setting.session, case.batch_size),
                "build": replace(way.build, capturable=True),
            },
            epochs=EPOCHS_COMPARED,
        )


def _has_built_in_schedule(setting: Setting) -> bool:
    """Tells whether the schedule of a case, if any, is built in."""
    schedule = setting.case.schedule
    return schedule is None or setting.registry.schedules[schedule.use].plugin.name == BUILTIN


def _difference_from_plain(setting: Setting, way: FastPath, plain: _Expected, epochs: int) -> str:
    """Describes how the first steps of a way differ from the expected ones; empty if they do not."""
    trial, expected = way.trial(setting, setting.case.seeds[:1]), plain.losses[:epochs]
    try:
        way.engine.rehearse()
        before = _weights(setting, way, trial)
        seen, after = _first_losses(setting, way, trial, len(expected))
        steps = setting.case.epochs * steps_per_epoch(setting.case, setting.dataset)
        way.engine.foresee(trial, steps - seen.numel(), wholly=not _has_built_in_schedule(setting))
        same = torch.allclose(seen.double(), expected.double(), rtol=TOLERANCE)
        if plain.draws and setting.case.precision == "float32":
            same = same and torch.allclose(seen[0, 0].double(), expected[0, 0].double(), rtol=TOLERANCE_OF_NOISE)
        if not same:
            return f"its first losses are {seen.flatten().tolist()}, and should be {expected.flatten().tolist()}"
        if way.stacked and _updated_otherwise(before, after, plain.weights):
            return "its first steps change the weights otherwise"
        return _lost(setting, way, trial) if way.stacked else ""
    finally:
        way.engine.release()


def _lost(setting: Setting, way: FastPath, stack: Trial) -> str:
    """Describes state that a stack would lose: everything except the parameters and buffers of each seed.

    One model is trained for all seeds, and another one is tested: attributes of one never reach the other, and
    buffers changed in a test do not reach the training. And neither model gets all the calls of a model that is
    both: to prepare for training and for testing.
    """
    images = setting.session.data(setting.dataset).test[0][:2]
    alone = stack.alone(0)
    for model in (alone.model, stack.model):  # only the second one has gradients
        moved = _watch(model.named_modules(), setting.device, weights=True)
        mode = model.training
        model.train(not mode)
        model.train(mode)
        if names := moved():
            return f"the model changes {names} between training and testing"
    if setting.case.evaluate_in == "eval":  # or else it is a copy that is tested
        alone.eval()
        with torch.no_grad():
            alone.model(images.clone())  # what is made by the first call only does not count
            moved = _watch(alone.modules, setting.device)
            alone.model(images.clone())
        if names := moved():
            return f"the model changes {names} while it is tested"
    stack.begin(0)
    moved = _watch(stack.modules, setting.device)
    _first_losses(setting, way, stack, 1)
    if names := moved():
        return f"the model changes {names} in training, of which a stack has one for all seeds"
    return ""


def _watch(
    modules: Iterable[tuple[str, nn.Module]], device: torch.device, *, weights: bool = False
) -> Callable[[], str]:
    """Records the state of a model, with `weights` also its parameters, and the random states of the host.

    Returns a function that names the changes since then.
    """
    modules = [*modules]
    host = Host(modules, device)
    host.remember()
    numbers = host.random_numbers()
    tensors = [buffer for _, module in modules for buffer in module.named_buffers(recurse=False)]
    if weights:
        tensors += [parameter for _, module in modules for parameter in module.named_parameters(recurse=False)]
    before = [(tensor.clone(), tensor.requires_grad) for _, tensor in tensors]

    def moved() -> str:
        changed = {
            name
            for (name, now), (then, trained) in zip(tensors, before, strict=True)
            if not torch.equal(now.nan_to_num(), then.nan_to_num()) or now.requires_grad != trained
        }
        drawn = "the random numbers of the host" if host.random_numbers() != numbers else ""
        return " and ".join(sorted(changed)) or host.moved() or drawn

    return moved


def _first_losses(setting: Setting, way: FastPath, trial: Trial, epochs: int) -> tuple[Tensor, list[Tensor]]:
    """Returns the losses of the first seed in short epochs, [epochs, steps], and its weights after the first one.

    This also completes the one-time work of a device; if nothing is compared, one step is enough for that.
    """
    case, size = setting.case, len(setting.dataset.train_images)
    whole = min(STEPS_COMPARED, size // case.batch_size) if epochs else 1
    left = size % case.batch_size if epochs else 0
    short = max(min(whole * case.batch_size + left, size), 1)
    found: list[Tensor] = []
    weights: list[Tensor] = []
    trial.begin(0)
    for _ in range(max(epochs, 1)):
        losses = way.engine.train_epoch(trial, way.engine.move(trial.order(size, 0)[..., :short]))
        synchronise(setting.device)
        found.append(losses.cpu() if losses.ndim == 1 else losses[0].cpu())
        weights = weights or _weights(setting, way, trial)
    return torch.stack(found), weights
