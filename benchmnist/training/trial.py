"""One model and its optimizer under one seed: how they are built, and one step."""

from __future__ import annotations

import contextlib
import inspect
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy
from torch.nn.utils import clip_grad_norm_

from benchmnist.errors import TrialError
from benchmnist.suites.budgets import total_steps
from benchmnist.tasks import Classification, build_task, require_scalar
from benchmnist.training.augmentation import build_augmentation
from benchmnist.training.data import epoch_order, seed_everything, seed_for
from benchmnist.training.optimizer_state import state_bytes
from benchmnist.training.parameter_groups import split
from benchmnist.training.products import products_by_onednn
from benchmnist.training.random_numbers import RandomNumbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from torch import Tensor, nn
    from torch.optim.lr_scheduler import LRScheduler

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset, OptimizerSpec
    from benchmnist.suites.cases import Case, Precision
    from benchmnist.tasks import Task
    from benchmnist.training.augmentation import Augmentation


NOT_BESIDE_FUSED = frozenset({"fused", "foreach", "differentiable"})
"""Parameters by which a suite says itself how the update is to be computed; torch refuses them beside `fused`."""


@dataclass(frozen=True)
class Build:
    """Options for building a trial that make it faster; none changes what is computed.

    Attributes:
        fused: The optimizer makes its update by one kernel, if it can and may.
        capturable: The optimizer counts on the device, if it can, so that its step can be captured.
        channels_last: The weights of convolutions lie in memory with the channels innermost.
        onednn: Matrix products are computed by oneDNN.
    """

    fused: bool = False
    capturable: bool = False
    channels_last: bool = False
    onednn: bool = False


PLAIN = Build()


class Trial:
    """A model in training, with its optimizer.

    Attributes:
        generators: On CUDA, those beside the default one that a step draws from; a graph has to know them.
    """

    generators: tuple[torch.Generator, ...] = ()

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        spec: OptimizerSpec,
        *,
        seed: int = 0,
        schedule: LRScheduler | None = None,
        clip_grad_norm: float | None = None,
        task: Task | None = None,
        precision: Precision = "float32",
        onednn: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.augmentation = augmentation
        self.model, self.optimizer, self.spec, self.schedule = model, optimizer, spec, schedule
        self.seeds: tuple[int, ...] = (seed,)
        self.clip_grad_norm, self.task, self.precision = clip_grad_norm, task or Classification(), precision
        self.onednn = onednn

    @property
    def modules(self) -> Iterable[tuple[str, nn.Module]]:
        """The modules of the model that a step calls, with their paths."""
        return [*self.model.named_modules()]

    def alone(self, index: int) -> Trial:  # noqa: ARG002 - there is only one
        """The trial of the seed at that index, to be tested or saved."""
        return self

    def leave(self, ended: AbstractSet[int]) -> None:
        """Need not train further the seeds at those indices."""

    def tested_together(self, images: Tensor, labels: Tensor) -> list[dict[str, float]] | None:  # noqa: ARG002
        """Tests every seed at once, and returns their figures by name; None if each is tested by itself."""
        return None

    def order(self, size: int, epoch: int) -> Tensor:
        """The examples of an epoch in their order, [size], int64, on the CPU."""
        return epoch_order(size, self.seeds[0], epoch)

    def begin(self, epoch: int) -> None:
        """Makes ready for an epoch: what the model draws in it (dropout) is the same on every engine."""
        seed_everything(seed_for("noise", self.seeds[0], epoch))
        self.begin_augmentation(epoch)
        self.train()

    def begin_augmentation(self, epoch: int) -> None:
        """Draws the numbers by which the images of an epoch are augmented, if they are."""
        if self.augmentation is not None:
            self.augmentation.begin(self.seeds, epoch)

    def augmented(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Returns the images of those examples as a step is given them."""
        return images if self.augmentation is None else self.augmentation(images, chosen)

    @property
    def learning_rate(self) -> float | None:
        """Learning rate of the first parameter group in the next step; None if it has none."""
        return _rate(self.optimizer)

    def learning_rate_of(self, index: int) -> float | None:  # noqa: ARG002 - there is only one
        """The same of the seed at that index."""
        return self.learning_rate

    def state_bytes_of(self, index: int) -> int:  # noqa: ARG002 - there is only one
        """Bytes of the state of the optimizer for the seed at that index."""
        return state_bytes(self.optimizer)

    def products(self) -> contextlib.AbstractContextManager[None]:
        """Has matrix products computed within it by the library that the trial uses."""
        return products_by_onednn() if self.onednn else contextlib.nullcontext()

    def step(self, images: Tensor, labels: Tensor, *, moves_schedule: bool = True) -> Tensor:
        """Makes a step: forward, backward, update, schedule. Returns the loss before it, a scalar on the device.

        Args:
            images: Float32 [N, C, H, W], on the device.
            labels: Their labels, [N, …], on the device.
            moves_schedule: False leaves the schedule out: what is left may be captured and replayed.

        Raises:
            TrialError: if the optimizer asks for a closure and then does not call it.
        """
        losses: list[Tensor] = []  # more than one where the optimizer asks for them

        def loss_and_gradients() -> Tensor:
            self.optimizer.zero_grad()
            with self.autocast(images.device):
                found = self.losses(images, labels)
            self._backward(found)
            if self.clip_grad_norm is not None:
                self.clip(self.clip_grad_norm)
            losses.append(found.detach())
            return found

        if self.spec.needs_closure:
            self.optimizer.step(loss_and_gradients)  # type: ignore[arg-type]
        else:
            loss_and_gradients()
            self.optimizer.step()
        if not losses:
            raise TrialError(
                f"the optimizer {self.spec.name!r} declares needs_closure but did not call the closure"
            )
        if moves_schedule and self.schedule is not None:
            self.schedule.step()
        return losses[0]

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar."""
        return self.loss(self.model(images), labels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss that is trained on, in float32 also where the model was computed in bfloat16.

        Raises:
            TrialError: if the task returns anything but a scalar.
        """
        return require_scalar(
            self.task.loss(exact(outputs), targets), "the loss of the task", "the mean over the batch"
        )

    def clip(self, norm: float) -> None:
        """Cuts the gradients down to that norm, all of them together."""
        clip_grad_norm_(self.model.parameters(), norm)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[None]:
        """Computes products and convolutions in bfloat16 within it, if the case asks for it."""
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def _backward(self, loss: Tensor) -> None:
        """Computes the gradients of a loss, or of each of several."""
        each = torch.ones_like(loss)
        if not self.spec.needs_create_graph:
            loss.backward(each)
            return
        with warnings.catch_warnings():
            # That the gradients now hold on to the graph is so until zero_grad lets go of them.
            warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
            loss.backward(each, create_graph=True)

    def train(self) -> None:
        """Makes model and optimizer ready to be trained."""
        self.model.train()
        self._optimizer_mode("train")

    def eval(self) -> None:
        """Makes model and optimizer ready to be tested."""
        self.model.eval()
        self._optimizer_mode("eval")

    def pause(self) -> Callable[[], None]:
        """Lets the trial be tested between two steps of an epoch; the returned function has it go on as if not.

        An optimizer that has modes may hold other weights for testing, from which it computes back with roundings.
        """
        weights = [*self.model.parameters()]
        numbers = RandomNumbers(weights[0].device)
        kept = [weight.detach().clone() for weight in weights] if self.spec.has_modes else []

        @torch.no_grad()
        def resume() -> None:
            numbers.put_back()
            self.train()
            for weight, before in zip(weights, kept, strict=False):
                weight.copy_(before)

        return resume

    def _optimizer_mode(self, mode: str) -> None:
        if self.spec.has_modes:
            getattr(self.optimizer, mode)()


def _rate(optimizer: torch.optim.Optimizer) -> float | None:
    rate = optimizer.param_groups[0].get("lr")
    return None if rate is None else float(rate)


def exact(outputs: Tensor) -> Tensor:
    """Returns the output of a model, for the loss: in float32 also where it was computed in bfloat16."""
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs


def build_model(case: Case, seed: int, registry: Registry, dataset: Dataset) -> nn.Module:
    """The model of a case on the CPU, with the initial weights of the seed, whatever the optimizer.

    Raises:
        TrialError: if it has lazy layers.
    """
    seed_everything(seed_for("weights", seed if case.init_seed is None else case.init_seed))
    build = registry.models[case.model.use].spec.load()
    outputs = _output_shape(build_task(case, registry), dataset)
    model = make_model(build, dataset.input_shape, outputs, case.model.params)
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise TrialError(
                f"the model {case.model.use!r} does not know the size of its parameter {name} when it is built; "
                "use a layer with explicit sizes, not a lazy one: `build` is given input_shape and num_classes"
            )
    return model


def _output_shape(task: Task, dataset: Dataset) -> tuple[int, ...]:
    """The shape of a model's output for one example, as the task says it.

    Raises:
        TrialError: if that is no shape.
    """
    shape: object = task.output_shape(dataset)
    if not isinstance(shape, tuple) or not all(type(size) is int and size > 0 for size in shape):
        raise TrialError(f"output_shape of the task is {shape!r}; return a tuple of whole numbers above 0")
    return shape


def make_model(
    build: Callable[..., nn.Module],
    input_shape: tuple[int, int, int],
    output_shape: tuple[int, ...],
    params: Mapping[str, Any],
) -> nn.Module:
    """A model for those shapes; `build` is given the number of outputs, their shape, or both.

    A function of its parameters, which has one output, need not take any.
    """
    takes = inspect.signature(build).parameters
    told: dict[str, Any] = {"output_shape": output_shape} if "output_shape" in takes else {}
    if "num_classes" in takes or not (told or math.prod(output_shape) == 1):
        told["num_classes"] = math.prod(output_shape)
    return build(input_shape=input_shape, **told, **params)


def build_optimizer(
    case: Case,
    registry: Registry,
    model: nn.Module,
    total_steps: int,
    *,
    how: Build = PLAIN,
    one: nn.Module | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of a case for a model that is on its device already; with its parameter groups.

    Args:
        case: The case.
        registry: The plugins.
        model: The model.
        total_steps: Steps of the trial.
        how: Options for its construction.
        one: The model of one trial, if `model` holds a stack of several.

    Raises:
        TrialError: if what is built is no optimizer, or cannot have the groups.
    """
    spec = registry.optimizers[case.optimizer.use].spec
    make = spec.load()
    takes = inspect.signature(make).parameters
    told: dict[str, Any] = {}
    if "total_steps" in takes:
        told["total_steps"] = total_steps
    devices = {parameter.device.type for parameter in model.parameters()}
    if fuses(case, spec, how, devices):
        told["fused"] = True
    if how.capturable and "capturable" in takes:
        told["capturable"] = True

    def build(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = make(model, **{**told, **case.optimizer.params, **options})
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TrialError(
                f"the optimizer {case.optimizer.use!r} builds a {type(optimizer).__name__}; "
                "return a torch.optim.Optimizer"
            )
        return optimizer

    optimizer = build(model)
    if case.optimizer.groups:
        split(optimizer, model, case.optimizer.groups, build, one)
    return optimizer


def fuses(case: Case, spec: OptimizerSpec, how: Build, devices: AbstractSet[str]) -> bool:
    """Tells whether an optimizer is built with `fused=True` for weights on devices of those types."""
    groups = (group.options for group in case.optimizer.groups)
    own = {name for options in (case.optimizer.params, *groups) for name in options}
    return how.fused and devices <= {*spec.fused} and not NOT_BESIDE_FUSED & own


def build_schedule(
    case: Case, registry: Registry, optimizer: torch.optim.Optimizer, total_steps: int
) -> LRScheduler | None:
    """The schedule of a case for its optimizer, or None where it has none.

    Raises:
        TrialError: if what is built has no step.
    """
    if case.schedule is None:
        return None
    build = registry.schedules[case.schedule.use].spec.load()
    schedule: LRScheduler = build(optimizer, total_steps=total_steps, **case.schedule.params)
    if not callable(getattr(schedule, "step", None)):
        raise TrialError(
            f"the schedule {case.schedule.use!r} builds a {type(schedule).__name__}; "
            "return a torch.optim.lr_scheduler.LRScheduler, or another object with step()"
        )
    return schedule


def build_trial(
    case: Case, seed: int, registry: Registry, dataset: Dataset, device: torch.device, *, how: Build = PLAIN
) -> Trial:
    """A new trial: the weights of the seed on the device, and a fresh optimizer."""
    model = build_model(case, seed, registry, dataset).to(device)
    if how.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Trial(model, seed=seed, **training_of(case, registry, dataset, model, how=how))


def training_of(
    case: Case,
    registry: Registry,
    dataset: Dataset,
    model: nn.Module,
    *,
    how: Build,
    one: nn.Module | None = None,
) -> dict[str, Any]:
    """Returns the arguments of a Trial besides its model: the optimizer, and the settings of its steps.

    `one` is the model of one trial, if `model` holds a stack of several.
    """
    steps = steps_of_trial(case, dataset)
    optimizer = build_optimizer(case, registry, model, steps, how=how, one=one)
    return {
        "optimizer": optimizer,
        "spec": registry.optimizers[case.optimizer.use].spec,
        "schedule": build_schedule(case, registry, optimizer, steps),
        "clip_grad_norm": case.clip_grad_norm,
        "task": build_task(case, registry),
        "precision": case.precision,
        "onednn": how.onednn,
        "augmentation": build_augmentation(case, registry, dataset, next(model.parameters()).device),
    }


def steps_per_epoch(case: Case, dataset: Dataset) -> int:
    """Steps an epoch; the last takes what is left."""
    return -(-len(dataset.train_images) // case.batch_size)


def steps_of_trial(case: Case, dataset: Dataset) -> int:
    """Steps of a trial that does not end before its budget; `total_steps` of optimizers and schedules."""
    return total_steps(case, steps_per_epoch(case, dataset))
