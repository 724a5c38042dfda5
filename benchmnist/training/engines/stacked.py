"""The engine `stacked`: all seeds of a case are trained at once, their weights stacked.

A small model leaves most of a device idle, and a step costs what it costs to be launched. Stacked, the same step
trains every seed: each parameter has one dimension more, the first, and torch.func maps the model over it.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from benchmnist.errors import TrialError
from benchmnist.tasks import losses_of
from benchmnist.training.data import epoch_order, seed_for
from benchmnist.training.torch_internals import hooks_of
from benchmnist.training.trial import Trial, build_model, exact, training_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.suites.cases import Case
    from benchmnist.training.trial import Build


STACKED = ("_parameters", "_buffers", "_modules")
"""What of a module each seed has for itself."""


class Stack(Trial):
    """Several seeds of a case in training.

    Its model holds the stacked parameters, [seeds, …], for the optimizer, and cannot be called.
    """

    def __init__(
        self, one: nn.Module, models: Sequence[nn.Module], seeds: tuple[int, ...], **training: Any
    ) -> None:
        super().__init__(**training)
        self.seeds, self.one = seeds, one
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.buffers = stack_module_state([*models])[1]
        self.noise = _Noise(len(seeds), next(iter(self.parameters.values())).device)
        self.generators = self.noise.generators
        self.mapped = copy.deepcopy(one)
        for module in self.mapped.modules():
            if type(module) is nn.Dropout:
                module.__class__ = _Dropout
                vars(module)["noise"] = self.noise
            elif type(module) is nn.Linear:
                module.__class__ = _Linear

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

    def order(self, size: int, epoch: int) -> Tensor:
        """Each seed's own, [seeds, size]."""
        return torch.stack([epoch_order(size, seed, epoch) for seed in self.seeds])

    def begin(self, epoch: int) -> None:
        """Each seed draws its own noise."""
        self.noise.seed([seed_for("noise", seed, epoch) for seed in self.seeds])
        self.train()

    def train(self) -> None:
        """See Trial."""
        self.mapped.train()
        super().train()

    def alone(self, index: int) -> Trial:
        """The trial of one seed: the weights are copied, and the random numbers go on as they do for it alone."""
        self.eval()  # some optimizers hold other weights for testing
        self.noise.lend(index)
        with torch.no_grad():
            for name, parameter in self.one.named_parameters():
                parameter.copy_(self.parameters[name][index])
            for name, buffer in self.one.named_buffers():
                buffer.copy_(self.buffers[name][index])
        return Trial(self.one, self.optimizer, self.spec, seed=self.seeds[index], task=self.task)


def build_stack(case: Case, registry: Registry, dataset: Dataset, device: torch.device, *, how: Build) -> Stack:
    """The trials of all seeds of a case, as one.

    Raises:
        TrialError: if the model cannot be stacked.
    """
    models = [build_model(case, seed, registry, dataset) for seed in case.seeds]
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
    before = _hooks(holder)
    training = training_of(case, registry, dataset, holder, how)
    if _hooks(holder) != before:
        raise TrialError("the optimizer puts hooks on the model")  # on the one that nobody calls
    return Stack(models[0], models, case.seeds, model=holder, **training)


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


class _Noise:
    """A stream of random numbers for each seed: the one that it has when it is trained alone.

    On a CPU the state of the default generator is exchanged for each draw. On CUDA that would be a copy to the
    host, which cannot be captured: there each seed has a generator, whose state the default one borrows.
    """

    def __init__(self, seeds: int, device: torch.device) -> None:
        self.device = device
        cuda = device.type == "cuda"
        self.generators = tuple(torch.Generator(device) for _ in range(seeds if cuda else 0))
        self.states: list[Tensor] = []  # written in place

    def seed(self, seeds: Sequence[int]) -> None:
        """Begins the stream of each seed anew."""
        if self.generators:
            for generator, seed in zip(self.generators, seeds, strict=True):
                generator.manual_seed(seed)
            return
        if not self.states:
            self.states = [torch.get_rng_state() for _ in seeds]
        for state, seed in zip(self.states, seeds, strict=True):
            torch.manual_seed(seed)
            state.copy_(torch.get_rng_state())

    def lend(self, index: int) -> None:
        """Has the default generator go on as the stream of one seed would."""
        if self.generators:
            default = torch.cuda.default_generators[self.device.index or 0]
            default.set_state(self.generators[index].get_state())
        elif self.states:
            torch.set_rng_state(self.states[index])

    def dropped(self, shape: Sequence[int], like: Tensor, p: float) -> Tensor:
        """Draws what each seed's dropout multiplies by, [seeds, *shape], as nn.Dropout draws it."""
        ones = torch.ones(*shape, dtype=like.dtype, device=like.device)

        def draw() -> Tensor:
            return functional.dropout(ones, p)

        if self.generators:
            default = torch.cuda.default_generators[self.device.index or 0]
            own = default.graphsafe_get_state()
            drawn = []
            try:
                for generator in self.generators:
                    default.graphsafe_set_state(generator)
                    drawn.append(draw())
            finally:
                default.graphsafe_set_state(own)
            return torch.stack(drawn)
        drawn = []
        for index, state in enumerate(self.states):
            torch.set_rng_state(state)
            drawn.append(draw())
            self.states[index].copy_(torch.get_rng_state())
        return torch.stack(drawn)


class _Dropout(nn.Dropout):
    """nn.Dropout in a mapped model: every seed draws from its own stream."""

    noise: _Noise

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output of one seed, within the map."""
        if not self.training:
            return x
        mask: Tensor = _Mask.apply(x, self.p, self.noise)  # type: ignore[no-untyped-call]
        return x.mul_(mask) if self.inplace else x * mask


class _Linear(nn.Linear):
    """The same product, from the other side: the gradient of the weights then comes out as they lie in memory.

    nn.Linear's, mapped, is copied in every step; on two cores that made eight stacked seeds 1.3 times as slow.
    On a GPU every operation costs its launch, so there the product adds the bias; on a CPU that is slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output of one seed, within the map."""
        bias: Tensor | None = self.bias
        device = self.weight.device.type
        if bias is None or device == "cpu" or torch.is_autocast_enabled(device):
            product = (self.weight @ x.mT).mT
            return product if bias is None else product + bias
        out: Tensor = _MappedProduct.apply(x, self.weight, bias)  # type: ignore[no-untyped-call]
        return out


class _MappedProduct(torch.autograd.Function):
    """`x @ weight.T + bias`; `vmap` computes it for several seeds at once."""

    @staticmethod
    def forward(*_: Any) -> Tensor:
        """Without a map there are no seeds to compute it for."""
        raise TrialError("a stack is called by its `losses`")

    @staticmethod
    def setup_context(*_: Any, **__: Any) -> None:
        """Keeps nothing: the gradients are those of _Product."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Tensor) -> tuple[Tensor, int]:
        """Computes the outputs of all seeds."""
        x, weight, bias = (
            tensor.expand(info.batch_size, *tensor.shape) if where is None else tensor.movedim(where, 0)
            for tensor, where in zip(given, in_dims, strict=True)
        )
        rows = x.flatten(1, -2) if x.ndim > 2 else x.unsqueeze(1)  # noqa: PLR2004 - a seed may give one vector
        out: Tensor = _Product.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
        return out.view(*x.shape[:-1], out.shape[-1]), 0


class _Product(torch.autograd.Function):
    """`x @ weight.mT + bias` of stacked matrices, with the gradient of the weights as they lie in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Computes the outputs, [stack, N, out], of x [stack, N, in] and weights [stack, out, in]."""
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Computes the gradients that are asked for."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if of_x else None,
            torch.bmm(gradient.mT, x) if of_weight else None,
            gradient.sum(1) if of_bias else None,
        )


class _Mask(torch.autograd.Function):
    """The factors of dropout; `vmap` draws them for several seeds at once."""

    @staticmethod
    def forward(*_: Any) -> Tensor:
        """Without a map there are no seeds to draw for."""
        raise TrialError("a stack is called by its `losses`")

    @staticmethod
    def setup_context(*_: Any, **__: Any) -> None:
        """Keeps nothing: there is no gradient."""

    @staticmethod
    def backward(*_: Any) -> Any:
        """It does not depend on what is dropped."""
        return None, None, None

    @staticmethod
    def vmap(_: Any, in_dims: Any, x: Tensor, p: float, noise: _Noise) -> tuple[Tensor, int]:
        """Draws the factors of all seeds."""
        batched = x.movedim(in_dims[0], 0)
        return noise.dropped(batched.shape[1:], batched, p), 0
