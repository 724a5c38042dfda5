"""The promises of an optimizer."""

from __future__ import annotations

import copy
import inspect
import io
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmnist.extensions.kinds import OPTIMIZER
from benchmnist.suites.cases import ParameterGroup
from benchmnist.testing import parameters, problem
from benchmnist.testing.capturing import (
    STEPS,
    Bare,
    build_subject,
    capture_on_gpu,
    compare_steps,
    trained_on_gpu,
)
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check
from benchmnist.training.parameter_groups import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor


HARNESS = (*OPTIMIZER.harness, "capturable")
SLOW = 0.5  # of the learning rate
DECAY = 0.5
LEAST_GAIN = 0.9995  # SGD with a learning rate of 0.001 comes to 0.98; nothing that trains comes near this


def _small(subject: Subject, **params: Any) -> torch.optim.Optimizer:
    """Builds the optimizer of a small model, with these parameters over its defaults."""
    return build_subject(subject, problem.small_model(), **params)


def _exercise(subject: Subject, seed: int = 0, model: nn.Module | None = None) -> problem.Exercise:
    """Builds the optimizer on the small problem."""
    return problem.Exercise(
        subject.datasets,
        model if model is not None else problem.small_model(seed),
        lambda model: build_subject(subject, model),
        subject.offer.spec,
        seed,
    )


@check("give every parameter of `build` a default that works, and return a torch.optim.Optimizer", first=True)
def builds(subject: Subject) -> None:
    """Is built with its defaults, as a torch.optim.Optimizer."""
    made = _small(subject)
    if not isinstance(made, torch.optim.Optimizer):
        raise Miss(f"build returned a {type(made).__name__}")


@check(parameters.NAME_THEM)
def takes_its_parameters(subject: Subject) -> None:
    """Is built with each parameter that it declares, and with the learning rate that it is given."""
    try:
        parameters.tries_its_parameters(subject, HARNESS, partial(_small, subject))
    finally:
        _learning_rate_arrives(subject)


def _learning_rate_arrives(subject: Subject) -> None:
    declared = inspect.signature(subject.offer.spec.load()).parameters.get("lr")
    if declared is None:
        return
    default = subject.offer.spec.defaults.get("lr", declared.default)
    for given, expected in (({"lr": 0.0123}, 0.0123), ({}, default)):
        groups = _small(subject, **given).param_groups
        rates = [float(group["lr"]) for group in groups if group.get("lr") is not None]
        if isinstance(expected, float) and rates and expected not in rates:
            said = f"given lr={expected}" if given else f"by default, declared as {expected}"
            raise Miss(f"{said}, its learning rate is {rates[0]}")


@check("does `step` go downhill? Is the default learning rate too small, or so large that it diverges?")
def reduces_the_loss(subject: Subject) -> None:
    """Reduces the loss: 60 steps on 200 digits of MNIST, with its defaults."""
    exercise = _exercise(subject)
    before = exercise.loss()
    exercise.train(STEPS)
    after = exercise.loss()
    if not after < LEAST_GAIN * before:
        raise Miss(f"the loss went from {before:.4f} to {after:.4f}")


@check("draw random numbers from torch's default generator only, which the harness seeds")
def is_deterministic(subject: Subject) -> None:
    """Trains the same with the same seed."""
    _same(_exercise(subject).train(20), _exercise(subject).train(20), "two trainings with the same seed")


@check("keep what you remember in `self.state` or `self.param_groups`, nowhere outside of the optimizer")
def leaves_nothing_behind(subject: Subject) -> None:
    """Trains the same after another trial as before it."""
    before = _exercise(subject).train(10)
    _exercise(subject, seed=1).train(15)
    _same(before, _exercise(subject).train(10), "a training before and one after another trial")


@check("keep what you remember in `self.state` or `self.param_groups`, or write state_dict and load_state_dict")
def resumes_from_its_state_dict(subject: Subject) -> None:
    """Continues in the same way from its saved and loaded state_dict."""
    whole = _exercise(subject)
    whole.train(10)
    saved = io.BytesIO()
    torch.save({"optimizer": whole.optimizer.state_dict(), "model": whole.model.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=False)
    expected = whole.train(10)
    resumed = _exercise(subject)
    resumed.model.load_state_dict(state["model"])
    resumed.optimizer.load_state_dict(state["optimizer"])
    resumed.steps = 10
    _same(expected, resumed.train(10), "the training, and its continuation from the saved state")


@check("say on the spec how often a step computes the loss: `passes=2` for SAM, `passes=None` where that varies")
def makes_the_passes_it_declares(subject: Subject) -> None:
    """Makes as many forward and backward passes per step as its spec says."""
    exercise = _exercise(subject)
    forward: list[int] = []
    backward: list[int] = []

    def count(_: nn.Module, __: Any, logits: Tensor) -> None:
        forward.append(1)
        logits.register_hook(lambda _: backward.append(1))

    handle = exercise.model.register_forward_hook(count)
    exercise.train(4)
    handle.remove()
    declared = subject.offer.spec.passes
    seen = (len(forward) / 4, len(backward) / 4)
    # Differentiating the gradients again goes backward through the same graph once more.
    right = seen[0] == declared and (seen[1] == declared or subject.offer.spec.needs_create_graph)
    if declared is None:
        right = min(seen) >= 1
    if not right:
        raise Miss(f"it says {declared}, and makes {seen[0]:g} forward and {seen[1]:g} backward passes a step")


@check("in `step`, leave out every parameter whose `.grad` is None; decay none of those either")
def leaves_what_has_no_gradient(subject: Subject) -> None:
    """Trains a model in which some parameters have no gradient, and leaves those unchanged."""
    model = _PartlyIdle()
    idle = [p for p in model.parameters() if not any(p is used for used in model.used())]
    before = [p.detach().clone() for p in idle]
    exercise = _exercise(subject, model=model)
    started = exercise.weights()
    exercise.train(15)  # some look at a few gradients before they move
    if any(not torch.equal(p, old) for p, old in zip(idle, before, strict=True)):
        raise Miss("a parameter without a gradient was changed")
    if torch.equal(started, exercise.weights()):
        raise Miss("no parameter was changed")


class _PartlyIdle(nn.Module):
    """The small model, with a layer that is frozen and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(16, 16)
        self.body = problem.small_model()
        self.frozen = nn.Linear(28, 28).requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(self.frozen(images))
        return logits

    def used(self) -> Iterator[nn.Parameter]:
        return self.body.parameters()


@check("in `step`, go through the parameters of `self.param_groups`, and no others")
def touches_only_its_own_parameters(subject: Subject) -> None:
    """Leaves the parameters of another model unchanged, although they have gradients."""
    other = _exercise(subject, seed=1)
    other.train(1)
    theirs = other.weights()
    _exercise(subject).train(3)
    if not torch.equal(theirs, other.weights()):
        raise Miss("the parameters of another model were changed")


@check("say on the spec `needs_closure=True` where `step` wants a closure, and only there; call it")
def needs_a_closure_as_it_says(subject: Subject) -> None:
    """Needs a closure if and only if its spec says so."""
    exercise = _exercise(subject)
    exercise.train(1)  # which raises where a closure is wanted and not had, or had and not called
    if not subject.offer.spec.needs_closure:
        return
    try:
        exercise.optimizer.step()
    except Exception:  # noqa: BLE001 - it may complain as it likes
        return
    raise Miss("it says that it needs a closure, and does without")


@check("say on the spec `has_modes=True` where it has `train` and `eval`, and only there")
def has_modes_as_it_says(subject: Subject) -> None:
    """Has `train` and `eval` if and only if its spec says so."""
    made = _small(subject)
    has = [mode for mode in ("train", "eval") if callable(getattr(made, mode, None))]
    if subject.offer.spec.has_modes and len(has) < 2:  # noqa: PLR2004 - both
        raise Miss(f"it says that it has modes, and has {' and '.join(has) or 'neither train nor eval'}")
    if not subject.offer.spec.has_modes and has:
        raise Miss(f"it has {' and '.join(has)}, and its spec does not say so: they would never be called")


@check("say on the spec `needs_create_graph=True` where the gradients are differentiated again, and only there")
def needs_the_graph_as_it_says(subject: Subject) -> None:
    """Needs gradients that can be differentiated again only if its spec says so."""
    spec = subject.offer.spec
    if not spec.needs_create_graph:
        raise DoesNotApply("its spec does not say so, and it trained without")
    exercise = _exercise(subject)
    plain = copy.copy(spec)
    object.__setattr__(plain, "needs_create_graph", False)
    exercise.trial.spec = plain
    try:
        exercise.train(2)
    except Exception:  # noqa: BLE001 - it may complain as it likes
        return
    raise Miss("it says that it needs them, and does without")


@check("remove `elementwise=True` from the spec: an entry's update depends on other entries, or on the shape")
def is_elementwise_as_it_says(subject: Subject) -> None:
    """Updates the stacked parameters of two models as it updates those of each model alone."""
    if not subject.offer.spec.elementwise:
        raise DoesNotApply("its spec does not say so")
    if subject.offer.spec.needs_closure:
        raise Miss("an optimizer that needs a closure cannot be stacked")
    generator = torch.Generator().manual_seed(0)
    shapes = ((6, 5), (6,), (4, 6), (4,))
    start = [torch.randn(2, *shape, generator=generator) for shape in shapes]
    gradients = [[torch.randn(2, *shape, generator=generator) for shape in shapes] for _ in range(6)]
    # As they are when trained: the two models learn at different speeds.
    gradients = [[g * torch.tensor([1.0, 0.1]).view(2, *[1] * (g.ndim - 1)) for g in step] for step in gradients]
    together = _updated(subject, start, gradients)
    for index in range(2):
        alone = _updated(subject, [p[index] for p in start], [[g[index] for g in step] for step in gradients])
        for one, stacked in zip(alone, together, strict=True):
            if not torch.allclose(one, stacked[index], rtol=1e-5, atol=1e-7):
                raise Miss(f"entries differ by up to {(one - stacked[index]).abs().max():.2g} after 6 steps")


def _updated(subject: Subject, start: list[Tensor], gradients: list[list[Tensor]], **params: Any) -> list[Tensor]:
    """Returns the parameters after a step with each of these gradients."""
    model = Bare(start)
    optimizer = build_subject(subject, model, **params)
    if subject.offer.spec.has_modes:
        optimizer.train()  # type: ignore[attr-defined]
    for step in gradients:
        for parameter, gradient in zip(model.parameters(), step, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
    return [p.detach() for p in model.parameters()]


@check("remove `capturable=True` from the spec; or use no `.item()`, and count steps in a tensor on the device")
def is_capturable_as_it_says(subject: Subject) -> None:
    """Does the same on the device in every step, and waits for no value: a CUDA graph can capture it."""
    if not subject.offer.spec.capturable:
        raise DoesNotApply("its spec does not say so")
    if torch.cuda.is_available():
        capture_on_gpu(subject)
    for scheduled in (False, True):
        compare_steps(subject, scheduled=scheduled)


@check("name in `fused` only the types of device on which `build` takes `fused=True` and computes the same by it")
def is_fused_as_it_says(subject: Subject) -> None:
    """Makes the same updates with `fused=True` as without, if its spec names the device."""
    devices = [device for device in subject.offer.spec.fused if device != "cuda" or torch.cuda.is_available()]
    if not subject.offer.spec.fused:
        raise DoesNotApply("its spec does not say so")
    if not devices:
        raise DoesNotApply("there is no such device here")
    start = [torch.randn(6, 5, generator=torch.Generator().manual_seed(0))]
    gradients = [[torch.randn(6, 5, generator=torch.Generator().manual_seed(step))] for step in range(1, 7)]
    for device in devices:
        if device == "cuda":
            one, other = (
                [epoch.train_loss for epoch in result.trials[0].epochs]
                for result in trained_on_gpu(subject, "resident", "dataloader")  # only the first is told to fuse
            )
            if not all(map(partial(math.isclose, rel_tol=1e-3), one, other)):
                raise Miss(f"on cuda it trains to the losses {other} as it is, and fused to {one}")
            continue
        plain, fused = (
            _updated(
                subject,
                [p.to(device) for p in start],
                [[g.to(device) for g in step] for step in gradients],
                **told,
            )
            for told in ({}, {"fused": True})
        )
        if not torch.allclose(plain[0], fused[0], rtol=1e-4, atol=1e-6):
            raise Miss(
                f"on {device} entries differ by up to {(plain[0] - fused[0]).abs().max():.2g} after 6 steps"
            )


@check(
    "read the options of each parameter from its group in `self.param_groups`, or say `groups=False` on the spec"
)
def has_groups_as_it_says(subject: Subject) -> None:
    """Updates the parameters of a group by the options of that group, and the others by theirs."""
    if not subject.offer.spec.groups:
        raise DoesNotApply("its spec says that it has none")
    if not all("lr" in group for group in _small(subject).param_groups):
        raise DoesNotApply("it has no lr to try it with")

    whole, slow = _moved(subject), _moved(subject, scale=SLOW)
    others = {"lr": slow}
    if all("weight_decay" in group for group in _small(subject).param_groups):
        others["weight_decay"] = _moved(subject, weight_decay=DECAY)
    for key, changed in others.items():
        if _any(whole) and all(update.equal(changed[name]) for name, update in whole.items()):
            raise Miss(f"a step is the same with another {key} in its groups: it was read when it was built")
    for name, update in _moved(subject, ParameterGroup(kind=("bias",), lr_scale=SLOW)).items():
        expected = (slow if name.endswith("bias") else whole)[name]
        if not torch.allclose(update, expected, rtol=1e-3, atol=1e-6):
            raise Miss(f"with a group of the biases, at {SLOW} of its lr, a step changes {name} otherwise")


def _moved(subject: Subject, *groups: ParameterGroup, scale: float = 1.0, **changed: float) -> dict[str, Tensor]:
    """Returns what a step adds to each parameter, with these options changed in all of its groups."""

    def build(model: nn.Module) -> torch.optim.Optimizer:
        made = build_subject(subject, model)
        if groups:
            split(made, model, groups, lambda model: build_subject(subject, model))
        for group in made.param_groups:
            if scale != 1:
                group["lr"] = scale * group["lr"]
            group.update(changed)
        return made

    exercise = problem.Exercise(subject.datasets, problem.small_model(), build, subject.offer.spec)
    before = {name: p.detach().clone() for name, p in exercise.model.named_parameters()}
    exercise.train(1)
    return {name: p.detach() - before[name] for name, p in exercise.model.named_parameters()}


def _any(updates: Mapping[str, Tensor]) -> bool:
    """Tells whether a step changes anything."""
    return any(bool(update.any()) for update in updates.values())


def _same(one: list[float], other: list[float], what: str) -> None:
    for step, (a, b) in enumerate(zip(one, other, strict=True), 1):
        if a != b:
            raise Miss(f"{what} have the losses {a:.6f} and {b:.6f} in step {step}")


CHECKS: tuple[Check, ...] = (
    parameters.loads_quietly,
    builds,
    takes_its_parameters,
    parameters.refuses_unknown_parameters(_small),
    parameters.leaves_torch_alone(lambda subject: _exercise(subject).train(2)),
    needs_a_closure_as_it_says,
    needs_the_graph_as_it_says,
    has_modes_as_it_says,
    makes_the_passes_it_declares,
    reduces_the_loss,
    is_deterministic,
    leaves_nothing_behind,
    resumes_from_its_state_dict,
    leaves_what_has_no_gradient,
    touches_only_its_own_parameters,
    has_groups_as_it_says,
    is_elementwise_as_it_says,
    is_capturable_as_it_says,
    is_fused_as_it_says,
)
