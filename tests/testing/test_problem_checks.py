"""The checks of problems: what is right keeps every promise, and each promise has been broken by something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from problem_plugin import Bowl, problem, registry_with
from torch import Tensor, nn

from benchmnist.extensions.specs import ModelSpec, NamedSpec, ProblemSpec
from benchmnist.testing import CHECKS, Subject, examine
from benchmnist.training.data import Datasets, default_data_root

if TYPE_CHECKING:
    from collections.abc import Callable


class WrongSquare(torch.autograd.Function):
    """A square whose gradient lacks its factor of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        found: Tensor = grad[0] * x
        return found


class WrongBowl(Bowl):
    def forward(self, images: Tensor) -> Tensor:
        squares: Tensor = WrongSquare.apply(self.x)  # type: ignore[no-untyped-call]
        return (self.scales * squares).sum().expand(len(images), 1)


class WrongInTraining(Bowl):
    """A bowl that remembers its steps, and whose gradients are 3 times too large in training only."""

    def __init__(self, scale: float = 10.0) -> None:
        super().__init__(scale)
        self.steps = 0

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        self.steps += 1
        value = (1 + 1 / self.steps) * super().forward(images)
        return 3 * value - (2 * value).detach()


class Flat(Bowl):
    """A bowl that is too flat for float32 where its scale is above `most`."""

    most = 100.0

    def forward(self, images: Tensor) -> Tensor:
        flat = 1e-30 if self.scales[1] > self.most else 1.0
        return super().forward(images) * flat * flat


class AlwaysFlat(Flat):
    most = 0.0


class UnseededLater(Bowl):
    """Draws unseeded numbers from its 25th step on, or, where its scale is large, in all."""

    def __init__(self, scale: float = 10.0, late: int = 25) -> None:
        super().__init__(scale)
        self.steps, self.late = 0, late

    def forward(self, images: Tensor) -> Tensor:
        self.steps += self.training
        late = self.training and self.steps > self.late
        return super().forward(images) * (torch.rand(1, generator=GENERATOR) if late else 1.0)


class UnseededWhereHard(UnseededLater):
    def __init__(self, scale: float = 10.0) -> None:
        super().__init__(scale, 0 if scale == 2.0 else 10**6)


class Kinked(Bowl):
    """A sum of absolute values, at whose kink the parameters never are, but near which some are."""

    def forward(self, images: Tensor) -> Tensor:
        return ((self.x - 1 + 1e-6).abs() + self.x.abs()).sum().expand(len(images), 1)


class Unseeded(Bowl):
    def forward(self, images: Tensor) -> Tensor:
        drawn = torch.rand(1, generator=GENERATOR).to(self.x.dtype) if self.training else 1.0
        return super().forward(images) * drawn


GENERATOR = torch.Generator().manual_seed(0)


def built(model: Callable[..., nn.Module], **spec: Any) -> tuple[NamedSpec, ...]:
    def build(*, input_shape: tuple[int, int, int], num_classes: int, scale: float = 10.0) -> nn.Module:
        return model(scale)

    return (ModelSpec(name="bowl", summary="", build=build, **spec),)


def outcomes(spec: ProblemSpec, **specs: tuple[NamedSpec, ...]) -> dict[str, tuple[str, str]]:
    registry = registry_with(**specs, problem=(spec,))
    subject = Subject("problem", registry.problems[spec.name], Datasets(registry, default_data_root()))
    return {outcome.check.name: (outcome.state, outcome.said) for outcome in examine(subject)}


def test_a_right_problem_keeps_every_promise_and_its_levels_are_reported() -> None:
    found = outcomes(problem())
    assert {name for name, (state, _) in found.items() if state != "kept"} == {"becomes-harder"}
    assert found["becomes-harder"] == ("does not apply", "easy: 20 steps, hard: not solved")
    assert found["is-deterministic"] == ("kept", "all 60 steps at easy; all 40 steps at hard")
    assert outcomes(problem(), model=built(Kinked))["has-right-gradients"][0] == "kept"


def test_what_was_not_compared_of_the_gradients_is_said() -> None:
    """Others in training on purpose, a loss that is not repeatable, and gradients that float32 cannot hold."""
    declared = "not compared in training, in which they are declared to be others: larger ones"
    for model, spec, outcome in (
        (WrongInTraining, {"surrogate_gradients": "larger ones"}, ("kept", declared)),
        (Unseeded, {}, ("kept", "not compared in training: its loss differs with the same random numbers")),
        (Flat, {}, ("kept", "level 'hard': its gradients are 0 in float32")),
        (AlwaysFlat, {}, ("missed", "level 'easy': its gradients in float32 are 0, and in float64 they are not")),
    ):
        assert outcomes(problem(), model=built(model, **spec))["has-right-gradients"] == outcome


MILD = {"easy": {"model.scale": 1.0}, "hard": {"model.scale": 2.0}}
WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("builds", {"levels": {"1": {"model.scala": 1.0}}}, {}, "takes no parameter 'scala'"),
    ("builds", {"levels": {"1": {"stepps": 1.0}}}, {}, "unknown key. Did you mean 'steps'?"),
    ("builds", {"solved_by": {"optimizer": 's"gd'}}, {}, "no optimizer named 's\"gd'"),
    ("builds", {"solved_by": {"optimizer": "sdg"}}, {}, "no optimizer named 'sdg'. Did you mean 'sgd'?"),
    (
        "starts-unsolved",
        {"settings": {"steps": 60, "batch_size": 1, "target_loss": 3.0}},
        {},
        "level 'easy': seed 0 starts at its target",
    ),
    ("has-right-gradients", {}, {"model": built(WrongBowl)}, "x changes the loss by"),
    (
        "is-deterministic",
        {},
        {"model": built(Unseeded)},
        "'easy': two trainings of 60 steps with the seed 0 differ",
    ),
    ("is-deterministic", {}, {"model": built(UnseededLater)}, "'easy': two trainings of 60 steps"),
    (
        "is-deterministic",
        {"levels": MILD},
        {"model": built(UnseededWhereHard)},
        "'hard': two trainings of 60 steps",
    ),
    ("has-right-gradients", {}, {"model": built(WrongInTraining)}, "in training mode, x changes the loss by"),
    (
        "is-solved-by-its-reference",
        {"settings": {"steps": 20, "batch_size": 1, "target_loss": -1.0}},
        {},
        "level 'easy': the reference does not reach",
    ),
    (
        "is-solved-by-its-reference",
        {"solved_by": {"optimizer": "sgd", "lr": 0.1, "levels": "all"}},
        {},
        "level 'hard': the reference does not reach",
    ),
]


@pytest.mark.parametrize(("promise", "changed", "specs", "said"), WRONG)
def test_a_promise_that_is_broken_is_missed(
    promise: str, changed: dict[str, Any], specs: dict[str, Any], said: str
) -> None:
    missed = {
        name: why for name, (state, why) in outcomes(problem(**changed), **specs).items() if state == "missed"
    }
    assert [*missed] == [promise]
    assert said in missed[promise]


def test_every_promise_has_been_broken() -> None:
    promised = {check.name for check in CHECKS["problem"]} - {"loads-quietly", "becomes-harder"}
    assert {promise for promise, *_ in WRONG} == promised
