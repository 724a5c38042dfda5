"""Compares the first steps of a change for speed with those of the plain way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmnist.suites.bundles import has_built_in_schedule
from benchmnist.training.clock import synchronise
from benchmnist.training.data import seed_everything, seed_for
from benchmnist.training.engines.host import Host
from benchmnist.training.trial import steps_of_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor, nn

    from benchmnist.training.fast_paths import FastPath, Setting
    from benchmnist.training.trial import Trial


STEPS_COMPARED = 3
"""Steps of whole batches in a short epoch that is compared, of which the first is that before any update.

The batch that is left at the end of an epoch is compared too.
"""


TOLERANCE = 1e-3
"""Relative tolerance of a loss: in three steps, roundings differ by far less, mistakes by more."""


TOLERANCE_OF_NOISE = 1e-5
"""Relative, of the first loss of a model that draws random numbers: other numbers may change it by little, and no
update has enlarged a rounding yet."""


TOLERANCE_OF_POINTS = 1e-2
"""Relative, of the losses of several points after the first epoch; see `_same`."""


WILD = 10.0
"""A point of a sweep has begun to diverge where its loss is more than so many times the first."""


TOLERANCE_OF_UPDATES = 0.2
"""Relative, of the change of all weights of a stack together in those steps.

Adam moves weights whose gradients are nothing but rounding, such as biases before batch normalisation, by as much
as others: some hundredths of the whole.
"""


@dataclass(frozen=True)
class Expected:
    """First steps of the plain way, of the first trial of a case, or of each point of a Bundle.

    Attributes:
        losses: Losses, [points, epochs, steps].
        weights: Parameters of each point after the first of those epochs, on the CPU; empty unless a stack is
            to be compared.
        draws: Whether the steps draw random numbers from torch.
        draws_on_device: Whether they draw them on a GPU.
    """

    losses: Tensor
    weights: list[list[Tensor]]
    draws: bool
    draws_on_device: bool = False


def first_steps(setting: Setting, way: FastPath, trial: Trial, epochs: int) -> Expected:
    """Makes the first steps of the plain way."""
    seed_everything(seed_for("noise", setting.case.seeds[0], 0))  # as the trial does when it begins
    on_gpu = setting.device if setting.device.type == "cuda" else None
    before = _random_states(on_gpu)
    losses, weights = _first_losses(setting, way, trial, epochs)
    drawn = [not torch.equal(*each) for each in zip(before, _random_states(on_gpu), strict=True)]
    for seed in setting.case.firsts[1:]:
        others, after = _first_losses(setting, way, way.trial(setting, (seed,)), epochs)
        losses, weights = torch.cat([losses, others]), weights + after
    return Expected(losses, weights, draws=drawn[0], draws_on_device=any(drawn[1:]))


def _random_states(gpu: torch.device | None) -> list[Tensor]:
    """Returns where torch's random numbers stand on the host, and on a GPU."""
    return [torch.get_rng_state(), *([] if gpu is None else [torch.cuda.get_rng_state(gpu)])]


def _compared(setting: Setting, way: FastPath) -> list[int]:
    """Returns the rows of a trial that are compared: the first of a case, or of each point of a Bundle."""
    case = setting.case
    return [case.seeds.index(first) for first in case.firsts] if way.stacked else [0]


def _weights(setting: Setting, way: FastPath, trial: Trial) -> list[list[Tensor]]:
    """Copies the parameters of the rows that are compared to the CPU, if a stack is to be compared by them."""
    if setting.case.engine != "stacked":
        return []
    weights = [parameter.detach() for parameter in trial.model.parameters()]
    return [
        [(weight[row] if way.stacked else weight).cpu().clone() for weight in weights]
        for row in _compared(setting, way)
    ]


def _same(seen: Tensor, expected: Tensor) -> Tensor:
    """Tells which losses, [points, epochs, steps], are the expected ones.

    Of the points of a sweep, some have large rates, which enlarge a rounding from step to step: after the first
    epoch all but one of them are compared more loosely.
    """
    same = torch.isclose(seen.double(), expected.double(), rtol=TOLERANCE)
    if len(seen) > 1 and same.flatten(1).all(dim=1).any():
        same[:, 1:] = torch.isclose(seen.double(), expected.double(), rtol=TOLERANCE_OF_POINTS)[:, 1:]
    return same


def _wild(losses: Tensor) -> Tensor:
    """Tells which losses, [points, epochs, steps], of a sweep cannot be compared.

    A point that has begun to diverge enlarges any rounding. It is compared up to there.
    """
    in_order = losses.flatten(1)
    beyond = ~(in_order <= WILD * in_order[:, :1])
    return beyond.cummax(dim=1).values.view(losses.shape) & (len(losses) > 1)


def _updated_otherwise(before: list[Tensor], after: list[Tensor], expected: list[Tensor]) -> bool:
    """Tells whether weights changed differently than expected."""
    pairs = [*zip(before, after, expected, strict=True)]
    off = sum(float((one - other).abs().double().square().sum()) for _, one, other in pairs)
    moved = sum(float((other - start).abs().double().square().sum()) for start, _, other in pairs)
    return off > TOLERANCE_OF_UPDATES**2 * moved


def difference_from_plain(setting: Setting, way: FastPath, plain: Expected, epochs: int) -> str:
    """Describes how the first steps of a way differ from the expected ones; empty if they do not."""
    if way.abreast and plain.draws_on_device:
        return "its steps draw random numbers on the device, where all seeds draw from the same"
    seeds = setting.case.seeds[: 2 if way.abreast else 1]
    trial, expected = way.trial(setting, seeds), plain.losses[:, :epochs]
    expected = expected if way.stacked else expected[:1]
    try:
        way.engine.rehearse()
        before = _weights(setting, way, trial)
        seen, after = _first_losses(setting, way, trial, expected.shape[1])
        steps = steps_of_trial(setting.case, setting.dataset)
        made = seen[0].numel() + way.stacked * seen.shape[-1]  # of which `_lost` will make the last
        way.engine.foresee(trial, steps - made, wholly=not has_built_in_schedule(setting.case, setting.registry))
        wild = _wild(expected)
        same = _same(seen, expected) | wild
        if plain.draws and setting.case.precision == "float32":
            first = torch.isclose(seen[:, 0, 0].double(), expected[:, 0, 0].double(), rtol=TOLERANCE_OF_NOISE)
            same[:, 0, 0] &= first
        for row in range(len(same)):
            if not same[row].all():
                here, there = seen[row].flatten().tolist(), expected[row].flatten().tolist()
                return f"its first losses are {here}, and should be {there}"
        if way.stacked:
            for row, updates in enumerate(zip(before, after, plain.weights, strict=True)):
                if not wild[row].any() and _updated_otherwise(*updates):
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


def _first_losses(setting: Setting, way: FastPath, trial: Trial, epochs: int) -> tuple[Tensor, list[list[Tensor]]]:
    """Returns the losses of the compared rows in short epochs, [rows, epochs, steps], and their weights.

    The weights are those after the first of these epochs.
    This also completes the one-time work of a device; if nothing is compared, one step is enough for that.
    """
    case, size = setting.case, len(setting.dataset.train_images)
    whole = min(STEPS_COMPARED, size // case.batch_size) if epochs else 1
    left = size % case.batch_size if epochs else 0
    short = max(min(whole * case.batch_size + left, size), 1)
    found: list[Tensor] = []
    weights: list[list[Tensor]] = []
    trial.begin(0)
    for _ in range(max(epochs, 1)):
        losses = way.engine.train_epoch(trial, way.engine.move(trial.order(size, 0)[..., :short]))
        synchronise(setting.device)
        found.append(losses.cpu()[None] if losses.ndim == 1 else losses[_compared(setting, way)].cpu())
        weights = weights or _weights(setting, way, trial)
    return torch.stack(found, dim=1), weights
