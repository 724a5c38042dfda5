"""The engine `stacked`: all seeds of a case, or of several, are trained at once, their weights stacked.

A small model leaves most of a device idle, and a step costs what it costs to be launched. Stacked, the same step
trains every seed: each parameter has one dimension more, the first, and torch.func maps the model over it. Cases
that differ in the parameters of their optimizer only (a Bundle) have rows in one stack, and an optimizer each.
"""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from benchmnist.errors import TrialError
from benchmnist.tasks import losses_of
from benchmnist.tasks.function import Function
from benchmnist.training.data import epoch_order, seed_for
from benchmnist.training.engines.mapped_layers import MAPPED, Noise
from benchmnist.training.engines.points import PointsOptimizer, PointsSchedule, Rows
from benchmnist.training.optimizer_state import state_bytes
from benchmnist.training.torch_internals import hooks_of
from benchmnist.training.trial import Trial, build_model, exact, training_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case
    from benchmnist.training.trial import Build


STACKED = ("_parameters", "_buffers", "_modules")
"""The parts of a module that each seed has for itself."""


class Stack(Trial):
    """Several seeds of a case in training.

    Its model holds the stacked parameters, [seeds, …], for the optimizer, and cannot be called.
    """

    def __init__(
        self, one: nn.Module, models: Sequence[nn.Module], seeds: tuple[int, ...], **training: Any
    ) -> None:
        super().__init__(**training)
        self.seeds, self.one, self.maps_tests = seeds, one, True
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.buffers = stack_module_state([*models])[1]
        self.noise = Noise(len(seeds), next(iter(self.parameters.values())).device)
        self.generators = self.noise.generators
        self.mapped = copy.deepcopy(one)
        for module in self.mapped.modules():
            if type(module) is nn.Dropout:
                vars(module)["noise"] = self.noise
            module.__class__ = MAPPED.get(type(module), type(module))

    @property
    def modules(self) -> Iterable[tuple[str, nn.Module]]:
        """See Trial."""
        return [*self.mapped.named_modules()]

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of each seed's batch, [seeds], of images [seeds, N, C, H, W] and labels [seeds, N].

        Raises:
            TrialError: if the model puts another tensor in the place of a buffer: it would be lost.
        """
        together = losses_of(self.task)

        def run(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            given = {**weights, **buffers}
            left = dict(given)
            logits = functional_call(self.mapped, left, (x,))
            for name in buffers:
                if left[name] is not given[name]:
                    raise TrialError(
                        f"the model puts another tensor in the place of its buffer {name!r}; it can be stacked if "
                        "it changes that in place (copy_)"
                    )
            return logits if together else self.loss(logits, y)

        # An error where the model draws random numbers by other means than nn.Dropout: they would be other ones.
        each: Tensor = vmap(run, randomness="error")(self.parameters, self.buffers, images, labels)
        return together(exact(each), labels) if together else each

    def clip(self, norm: float) -> None:
        """Clips the gradients of each seed by itself, as clip_grad_norm_ does."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(g.view(len(g), -1), dim=1) for g in gradients])
        scale = (norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

    def learning_rate_of(self, index: int) -> float | None:
        """See Trial."""
        if not isinstance(self.optimizer, PointsOptimizer):
            return self.learning_rate
        return self.optimizer.learning_rate_of(index)

    def state_bytes_of(self, index: int) -> int:
        """See Trial."""
        if not isinstance(self.optimizer, PointsOptimizer):
            return state_bytes(self.optimizer, len(self.seeds))
        return self.optimizer.state_bytes_of(index)

    def leave(self, ended: AbstractSet[int]) -> None:
        """See Trial."""
        if isinstance(self.optimizer, PointsOptimizer):
            self.optimizer.leave(ended)

    def tested_together(self, images: Tensor, labels: Tensor) -> list[dict[str, float]] | None:
        """See Trial: functions are tested together, whose tests cost what it costs to call them.

        Other tasks have products, which would be rounded otherwise than those of a trial alone.
        """
        if type(self.task) is not Function or not self.maps_tests:
            return None
        self.eval()  # some optimizers hold other weights for testing
        self.mapped.eval()
        if isinstance(self.optimizer, PointsOptimizer):
            self.optimizer.require_rows()

        def run(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Mapping[str, Tensor]:
            outputs = functional_call(self.mapped, {**weights, **buffers}, (images,))
            return self.task.evaluate(outputs, labels)

        try:
            with torch.no_grad():
                sums = vmap(run, randomness="error")(self.parameters, self.buffers)
        except Exception:  # noqa: BLE001 - a model may do in tests what cannot be mapped
            self.maps_tests = False
            return None
        figures = {name: (values.cpu().double() / len(labels)).tolist() for name, values in sums.items()}
        return [{name: values[row] for name, values in figures.items()} for row in range(len(self.seeds))]

    def order(self, size: int, epoch: int) -> Tensor:
        """Each seed's own, [seeds, size]."""
        orders = {seed: epoch_order(size, seed, epoch) for seed in {*self.seeds}}
        return torch.stack([orders[seed] for seed in self.seeds])

    def begin(self, epoch: int) -> None:
        """Each seed draws its own noise."""
        self.noise.seed([seed_for("noise", seed, epoch) for seed in self.seeds])
        self.begin_augmentation(epoch)
        self.train()

    def train(self) -> None:
        """See Trial."""
        self.mapped.train()
        super().train()

    def alone(self, index: int) -> Trial:
        """The trial of one seed: the weights are copied, and the random numbers go on as they do for it alone."""
        self.eval()  # some optimizers hold other weights for testing
        if isinstance(self.optimizer, PointsOptimizer):
            self.optimizer.require_rows()
        self.noise.lend(index)
        with torch.no_grad():
            for name, parameter in self.one.named_parameters():
                parameter.copy_(self.parameters[name][index])
            for name, buffer in self.one.named_buffers():
                buffer.copy_(self.buffers[name][index])
        return Trial(self.one, self.optimizer, self.spec, seed=self.seeds[index], task=self.task)


def build_stack(case: Case, registry: Registry, dataset: Dataset, device: torch.device, *, how: Build) -> Stack:
    """The trials of all seeds of a case, or of all rows of a Bundle, as one.

    Raises:
        TrialError: if the model cannot be stacked.
    """
    trials = [case.row(seed) for seed in case.seeds]
    models = [build_model(point, seed, registry, dataset) for point, seed in trials]
    _require_alike(models)
    models = [model.to(device) for model in models]
    if len(dict(models[0].named_parameters())) < len([*models[0].named_parameters(remove_duplicate=False)]):
        raise TrialError("two parts of the model share a parameter")
    _require_own_memory(models[0])
    parameters, _ = stack_module_state([*models])
    holder = copy.deepcopy(models[0])
    for name, stacked in parameters.items():
        path, _, last = name.rpartition(".")
        trained = models[0].get_parameter(name).requires_grad
        setattr(holder.get_submodule(path), last, nn.Parameter(stacked.detach(), requires_grad=trained))
    starts = [*map(case.seeds.index, case.firsts), len(trials)]
    if len(case.firsts) == 1:
        training = _training_of(case, registry, dataset, holder, how=how, one=models[0])
    else:
        weights = dict(holder.named_parameters())
        rows = [Rows(models[0], weights, slice(*each)) for each in itertools.pairwise(starts)]
        points = [trials[start][0] for start in starts[:-1]]
        each = [
            _training_of(point, registry, dataset, own.model, how=how, one=models[0])
            for point, own in zip(points, rows, strict=True)
        ]
        optimizer = PointsOptimizer([*weights.values()], [one["optimizer"] for one in each], rows)
        schedule = PointsSchedule([one["schedule"] for one in each]) if each[0]["schedule"] else None
        training = {**each[0], "optimizer": optimizer, "schedule": schedule}
    return Stack(models[0], models, tuple(seed for _, seed in trials), model=holder, **training)


def _training_of(
    case: Case, registry: Registry, dataset: Dataset, holder: nn.Module, *, how: Build, one: nn.Module
) -> dict[str, Any]:
    """As `training_of`, for a model that nobody calls.

    Raises:
        TrialError: if the optimizer puts hooks on it.
    """
    before = _hooks(holder)
    training = training_of(case, registry, dataset, holder, how=how, one=one)
    if _hooks(holder) != before:
        raise TrialError("the optimizer puts hooks on the model")
    return training


def _require_own_memory(model: nn.Module) -> None:
    """Each parameter and buffer is stacked by itself: what changes in one must not change in another.

    Raises:
        TrialError: if two of them share their memory.
    """
    owners: dict[int, str] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        other = owners.setdefault(tensor.untyped_storage().data_ptr(), name) if tensor.numel() else name
        if other != name:
            raise TrialError(f"{other} and {name} of the model share their memory")


def _hooks(model: nn.Module) -> list[tuple[str, str, int]]:
    """Returns the number of hooks of each kind on each module."""
    return [
        (path, name, len(hooks))
        for path, module in model.named_modules()
        for name, hooks in vars(module).items()
        if name.endswith("_hooks") and hooks
    ]


def _require_alike(models: Sequence[nn.Module]) -> None:
    """One model is called for all: beside their parameters and buffers they have to be the same.

    And a parameter has to be nothing but its values, since those of all seeds are put together as a new one.

    Raises:
        TrialError: if they are not, or if nobody can tell.
    """
    if len({tuple(path for path, _ in model.named_modules()) for model in models}) > 1:
        raise TrialError("the seeds have models of another structure")
    for name, parameter in models[0].named_parameters():
        if any(hooks_of(parameter)) or vars(parameter) or type(parameter) is not nn.Parameter:
            raise TrialError(f"the parameter {name} has a hook, an attribute or a class of its own")
    for modules in zip(*(model.modules() for model in models), strict=True):
        if len({*map(type, modules)}) > 1:
            names = sorted({type(module).__name__ for module in modules})
            anew = ", made anew for each" if len(names) == 1 else ""  # as torch's parametrizations do
            raise TrialError(f"the seeds' models have layers of different classes ({' and '.join(names)}{anew})")
        for name in vars(modules[0]):
            values = [getattr(module, name, None) for module in modules]
            if name in STACKED or all(value is values[0] for value in values):
                continue
            try:
                written = {_contents(value) for value in values}
            except Exception as error:
                raise TrialError(f"cannot compare the seeds' models in {name}") from error
            if len(written) > 1:
                raise TrialError(f"the seeds' models differ in {name}, which is neither parameter nor buffer")


def _contents(value: object) -> bytes:
    """A value written down; tensors by what they hold."""
    file = io.BytesIO()
    _Contents(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


class _Contents(pickle.Pickler):
    """Pickles tensors by what they hold, without their device's address."""

    def persistent_id(self, value: Any) -> object:
        """Returns what is pickled instead of a value; None for the value itself."""
        if not isinstance(value, torch.Tensor):
            return None
        return type(value), value.dtype, value.requires_grad, value.detach().cpu().tolist()
