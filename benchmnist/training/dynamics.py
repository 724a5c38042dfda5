"""Dynamics of a training: norms of gradients, updates and weights by layer, at each evaluation.

They are those of the step that the trial would make next, on the first batch of the epoch. A copy of the trial
makes it, off the clock: the trial itself goes on as if nothing had been asked. Every engine leaves its trials in a
state from which a plain step can be made; a stack makes it for all of its rows at once. After the last step of a
schedule that ends at 0, the update is 0.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import TrialError
from benchmnist.runs.results import Dynamics, LayerNorms
from benchmnist.training.engines.points import PointsOptimizer
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.engines.stacked import Stack
from benchmnist.training.engines.streams import Abreast
from benchmnist.training.optimizer_state import parts_of
from benchmnist.training.random_numbers import put_back_afterwards
from benchmnist.training.torch_internals import hooks_of

if TYPE_CHECKING:
    from torch import Tensor, optim

    from benchmnist.training.fast_paths import Setting
    from benchmnist.training.trial import Trial

SHARED = frozenset({"spec", "task", "augmentation", "noise", "generators", "seeds"})
"""Attributes of a trial that its copy shares: whatever a step changes of them is put back."""


def dynamics_of(setting: Setting, trial: Trial, order: Tensor, step: int) -> list[Dynamics]:
    """Returns the norms of each row of a trial, without changing it.

    Args:
        setting: The case.
        trial: The trial, ready to be trained.
        order: Examples of a batch, [batch], or of one for each row, [rows, batch].
        step: Steps of the trial so far.

    Raises:
        TrialError: if the trial cannot be copied, or its copy changes it.
    """
    if isinstance(trial, Abreast):
        each = zip(trial.trials, order, strict=True)
        return [found for one, its in each for found in dynamics_of(setting, one, its, step)]
    engine = ResidentEngine(setting.dataset, setting.session, setting.case.batch_size)
    images, labels = engine.fetch(trial, engine.move(order))
    weights = dict(trial.model.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with put_back_afterwards(setting.device):
        noise = [state.clone() for state in trial.noise.states] if isinstance(trial, Stack) else []
        on_gpu = [generator.get_state() for generator in trial.generators]
        try:
            probe = _copied(trial)
            gradients = _watched(probe)
            with probe.products():
                probe.step(images, labels, moves_schedule=False)
        except Exception as error:
            raise TrialError(f"the step of a copy, for the dynamics, failed: {error}") from error
        finally:
            for generator, state in zip(trial.generators, on_gpu, strict=True):
                generator.set_state(state)
            if isinstance(trial, Stack):
                for now, then in zip(trial.noise.states, noise, strict=True):
                    now.copy_(then)
    if any(not torch.equal(weights[name].detach().nan_to_num(), old.nan_to_num()) for name, old in before.items()):
        raise TrialError("the optimizer cannot be copied for the dynamics: a step of the copy changes its weights")
    after = dict(probe.model.named_parameters())
    updates = {name: after[name].detach() - old for name, old in before.items()}
    rows = len(trial.seeds) if isinstance(trial, Stack) else 0
    gradient, update, weight = (_by_layer(tensors, rows) for tensors in (gradients, updates, before))
    none = [0.0] * max(rows, 1)
    return [
        Dynamics(
            step=step,
            layers={
                layer: LayerNorms(
                    gradient=gradient.get(layer, none)[row], update=update[layer][row], weight=weight[layer][row]
                )
                for layer in update
            },
        )
        for row in range(max(rows, 1))
    ]


def _by_layer(tensors: dict[str, Tensor], rows: int) -> dict[str, list[float]]:
    """Returns the norm of the tensors of each layer, by row; `rows` is 0 where they have no dimension for rows."""
    squares: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = name.rpartition(".")[0] or name
        square = tensor.detach().double().square().reshape(rows or 1, -1).sum(1)
        squares[layer] = squares[layer] + square if layer in squares else square
    return {layer: square.sqrt().tolist() for layer, square in squares.items()}


def _watched(trial: Trial) -> dict[str, Tensor]:
    """Has a trial keep the gradients of its first backward pass, before they are clipped."""
    found: dict[str, Tensor] = {}
    backward = trial._backward  # noqa: SLF001 - of a trial that is there for nothing else

    def kept(loss: Tensor) -> None:
        backward(loss)
        for name, weight in trial.model.named_parameters() if not found else ():
            if weight.grad is not None:
                gradient = weight.grad.to_dense() if weight.grad.is_sparse else weight.grad
                found[name] = gradient.detach().clone()

    trial._backward = kept  # type: ignore[method-assign] # noqa: SLF001
    return found


def _copied(trial: Trial) -> Trial:
    """Returns a copy of a trial: weights, buffers and the state of its optimizer are its own.

    Raises:
        TrialError: if a weight has a hook, which would be that of the trial.
    """
    if any(any(hooks_of(weight)) for weight in trial.model.parameters()):
        raise TrialError("a weight of the model has a hook")
    shared = {name: value for name, value in vars(trial).items() if name in SHARED}
    memo: dict[int, Any] = {id(value): value for value in shared.values()}
    optimizers: list[tuple[optim.Optimizer, optim.Optimizer]] = []
    _prepare(trial.optimizer, memo, optimizers)
    copied = object.__new__(type(trial))
    own = {name: value for name, value in vars(trial).items() if name not in {*SHARED, "schedule"}}
    vars(copied).update(**shared, schedule=None, **copy.deepcopy(own, memo))
    for old, new in optimizers:
        # A schedule puts a `step` of its own on an optimizer, which calls that of the original.
        vars(new).update(copy.deepcopy({name: each for name, each in vars(old).items() if name != "step"}, memo))
    if isinstance(copied.optimizer, PointsOptimizer):
        for rows in copied.optimizer.rows:
            for whole, leaf in rows.pairs:
                leaf.data = whole.data[rows.rows]
    return copied


def _prepare(
    optimizer: optim.Optimizer, memo: dict[int, Any], found: list[tuple[optim.Optimizer, optim.Optimizer]]
) -> None:
    """Makes empty copies of an optimizer and of its parts: deepcopy would leave out attributes of theirs."""
    if id(optimizer) in memo:
        return
    memo[id(optimizer)] = object.__new__(type(optimizer))
    found.append((optimizer, memo[id(optimizer)]))
    for _, part in parts_of(optimizer):
        _prepare(part, memo, found)
