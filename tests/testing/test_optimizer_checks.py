"""Each promise of an optimizer: kept by every built-in one, and seen to be broken by one that breaks it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn, optim
from wrong_plugins import missed, subject_of

from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import OptimizerSpec
from benchmnist.testing import CHECKS, examine, subjects

SGD_LR = 0.05
ALL_THAT_TRAIN = "everything that trains is missed as well"


@pytest.mark.parametrize("name", sorted(offer.spec.name for offer in find_plugins().optimizers))
def test_the_builtin_ones_keep_every_promise(name: str) -> None:
    (subject,) = subjects(name, find_plugins())
    outcomes = {outcome.check.name: outcome for outcome in examine(subject)}
    assert [name for name, outcome in outcomes.items() if outcome.state == "missed"] == []
    spec = subject.offer.spec
    if spec.elementwise:  # and what is declared is tried, not passed over
        assert outcomes["is-elementwise-as-it-says"].state == "kept"
    if "cpu" in spec.fused:
        assert outcomes["is-fused-as-it-says"].state == "kept"
    if spec.capturable and name not in ("asgd", "rprop"):  # which torch lets nobody pretend
        assert outcomes["is-capturable-as-it-says"].state == "kept"


class Plain(optim.Optimizer):
    """Gradient descent, to be spoilt."""

    def __init__(self, params: Any, lr: float = SGD_LR) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, group["lr"])

    def update(self, p: torch.Tensor, lr: float) -> None:
        p -= lr * p.grad  # type: ignore[operator]


class OneRate(Plain):
    """Uses the learning rate of its first group for all."""

    def update(self, p: torch.Tensor, lr: float) -> None:
        super().update(p, self.param_groups[0]["lr"])


class ReadsItsRateOnce(Plain):
    """Uses the learning rate that it was built with."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.lr = lr

    def update(self, p: torch.Tensor, lr: float) -> None:
        super().update(p, self.lr)


class ReadsItsDecayOnce(torch.optim.SGD):
    """Uses the weight decay that it was built with."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr, weight_decay=0.01)

    def step(self, closure: Any = None) -> Any:
        kept = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            group["weight_decay"] = 0.01
        loss = super().step(closure)
        for group, decay in zip(self.param_groups, kept, strict=True):
            group["weight_decay"] = decay
        return loss


def plain(model: nn.Module, *, lr: float = SGD_LR) -> Plain:
    return Plain(model.parameters(), lr)


def test_gradient_descent_keeps_every_promise() -> None:
    assert missed(subject_of(OptimizerSpec(name="x", summary="", build=plain, elementwise=True))) == {}


def none_at_all(model: nn.Module) -> None:
    """Returns nothing."""


def hides_lr(model: nn.Module, lr: float = SGD_LR, /) -> Plain:
    return Plain(model.parameters(), lr)


def drops_lr(model: nn.Module, *, lr: float = SGD_LR) -> Plain:
    return Plain(model.parameters())


def forgets_its_default(model: nn.Module, *, lr: float = 0.3) -> Plain:
    return Plain(model.parameters(), 0.05 if lr == 0.3 else lr)


def takes_anything(model: nn.Module, *, lr: float = SGD_LR, **_: Any) -> Plain:
    return Plain(model.parameters(), lr)


def sets_threads(model: nn.Module) -> Plain:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return Plain(model.parameters())


class WithModes(Plain):
    def train(self) -> None:
        pass

    def eval(self) -> None:
        pass


class Uphill(Plain):
    def update(self, p: torch.Tensor, lr: float) -> None:
        p += lr * p.grad  # type: ignore[operator]


class Noisy(Plain):
    def update(self, p: torch.Tensor, lr: float) -> None:
        p -= lr * random.uniform(0.5, 1.0) * p.grad  # type: ignore[operator] # noqa: S311


class Remembering(Plain):
    """A learning rate that falls from step to step, of all instances together."""

    steps = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        Remembering.steps += 1
        super().step()

    def update(self, p: torch.Tensor, lr: float) -> None:
        p -= lr / (1 + Remembering.steps / 1e4) * p.grad  # type: ignore[operator]


class Forgetful(Plain):
    """Its momentum is not in its state."""

    def __init__(self, params: Any, lr: float = SGD_LR) -> None:
        super().__init__(params, lr)
        self.momenta: dict[torch.Tensor, torch.Tensor] = {}

    def update(self, p: torch.Tensor, lr: float) -> None:
        momentum = self.momenta.setdefault(p, torch.zeros_like(p))
        p -= lr * momentum.mul_(0.9).add_(p.grad)  # type: ignore[arg-type]


class DecaysEverything(Plain):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p *= 1 - 1e-4


class Greedy(Plain):
    """Updates whatever any of them was given."""

    all_of_them: list[torch.Tensor] = []  # noqa: RUF012

    def __init__(self, params: Any, lr: float = SGD_LR) -> None:
        super().__init__(params, lr)
        Greedy.all_of_them[:-4] = []  # the last model's
        Greedy.all_of_them += self.param_groups[0]["params"]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p in Greedy.all_of_them:
            if p.grad is not None:
                p -= SGD_LR * p.grad


class Normalising(Plain):
    def update(self, p: torch.Tensor, lr: float) -> None:
        p -= lr * p.grad / (1e-3 + p.grad.norm())  # type: ignore[operator, union-attr]


class Deciding(Plain):
    """Looks at a value on the device."""

    def update(self, p: torch.Tensor, lr: float) -> None:
        if p.grad.norm().item() > 0:  # type: ignore[union-attr]
            super().update(p, lr)


class WantingANumber(Plain):
    """Wants its learning rate as a number, which a schedule has on the device."""

    def update(self, p: torch.Tensor, lr: float) -> None:
        p.sub_(p.grad, alpha=float(lr))  # type: ignore[arg-type]


def unfused(model: nn.Module, *, lr: float = SGD_LR, foreach: bool = False) -> optim.SGD:
    """Makes torch's own, by lists of kernels as on a GPU; those wait for a learning rate that is on the device."""
    return optim.SGD(model.parameters(), lr, foreach=foreach)


class Counting(Plain):
    """Hands the device a number that changes from step to step."""

    def update(self, p: torch.Tensor, lr: float) -> None:
        state = self.state[p]
        state["step"] = state.get("step", 0) + 1
        p -= lr / state["step"] ** 0.1 * p.grad


def built_by(optimizer: type[Any]) -> Any:
    def build(model: nn.Module, *, lr: float = SGD_LR) -> Any:
        return optimizer(model.parameters(), lr)

    return build


def lbfgs(model: nn.Module) -> optim.LBFGS:
    return optim.LBFGS(model.parameters(), max_iter=2)


def otherwise_fused(model: nn.Module, *, lr: float = SGD_LR, fused: bool = False) -> Plain:
    return Plain(model.parameters(), 2 * lr if fused else lr)


# What is broken, by how, and what is broken with it, since it cannot be otherwise.
WRONG: list[tuple[str, dict[str, Any], set[str]]] = [
    ("builds", {"build": none_at_all}, set()),
    ("builds", {"build": "no.such.module:build"}, set()),
    ("takes-its-parameters", {"build": hides_lr}, set()),
    ("takes-its-parameters", {"build": drops_lr}, set()),
    ("takes-its-parameters", {"build": forgets_its_default}, set()),
    ("refuses-unknown-parameters", {"build": takes_anything}, set()),
    ("leaves-torch-alone", {"build": sets_threads}, {"is-deterministic", "leaves-nothing-behind"}),
    ("needs-a-closure-as-it-says", {"build": plain, "needs_closure": True}, {ALL_THAT_TRAIN}),
    (
        "needs-a-closure-as-it-says",
        {"build": lambda model: optim.SGD(model.parameters(), lr=SGD_LR), "needs_closure": True},
        set(),
    ),
    ("needs-a-closure-as-it-says", {"build": lbfgs, "passes": None}, {ALL_THAT_TRAIN}),
    ("needs-the-graph-as-it-says", {"build": plain, "needs_create_graph": True}, set()),
    ("has-modes-as-it-says", {"build": built_by(WithModes)}, set()),
    ("has-modes-as-it-says", {"build": plain, "has_modes": True}, {ALL_THAT_TRAIN}),
    ("makes-the-passes-it-declares", {"build": plain, "passes": 2}, set()),
    ("reduces-the-loss", {"build": built_by(Uphill)}, set()),
    (
        "is-deterministic",
        {"build": built_by(Noisy)},
        {"leaves-nothing-behind", "resumes-from-its-state-dict", "has-groups-as-it-says"},
    ),
    (
        "leaves-nothing-behind",
        {"build": built_by(Remembering)},
        {"is-deterministic", "resumes-from-its-state-dict"},
    ),
    ("resumes-from-its-state-dict", {"build": built_by(Forgetful)}, set()),
    ("leaves-what-has-no-gradient", {"build": built_by(DecaysEverything)}, set()),
    (
        "touches-only-its-own-parameters",
        {"build": built_by(Greedy)},
        {"leaves-nothing-behind", "has-groups-as-it-says"},
    ),
    ("has-groups-as-it-says", {"build": built_by(OneRate)}, set()),
    ("has-groups-as-it-says", {"build": built_by(ReadsItsRateOnce)}, set()),
    ("has-groups-as-it-says", {"build": built_by(ReadsItsDecayOnce)}, set()),
    ("is-elementwise-as-it-says", {"build": built_by(Normalising), "elementwise": True}, set()),
    ("is-capturable-as-it-says", {"build": built_by(Deciding), "capturable": True}, set()),
    ("is-capturable-as-it-says", {"build": built_by(Counting), "capturable": True}, set()),
    ("is-capturable-as-it-says", {"build": built_by(WantingANumber), "capturable": True}, set()),
    ("is-capturable-as-it-says", {"build": unfused, "capturable": True}, set()),
    ("is-fused-as-it-says", {"build": plain, "fused": ("cpu",)}, set()),
    ("is-fused-as-it-says", {"build": otherwise_fused, "fused": ("cpu",)}, set()),
]


@pytest.mark.parametrize(
    ("promise", "spec", "others"), WRONG, ids=lambda value: value if type(value) is str else ""
)
def test_a_promise_that_is_broken_is_missed(promise: str, spec: dict[str, Any], others: set[str]) -> None:
    subject = subject_of(OptimizerSpec(name="wrong", summary="", **spec))
    found = missed(subject)
    assert found[promise]
    if not others & {ALL_THAT_TRAIN}:
        assert set(found) <= {promise, *others}


def test_a_plugin_that_is_not_quiet_is_missed() -> None:
    spec = OptimizerSpec(name="wrong", summary="", build=plain)
    assert missed(subject_of(spec, "prints 'hello'")) == {"loads-quietly": "prints 'hello'"}


def test_every_promise_has_been_broken() -> None:
    assert {promise for promise, *_ in WRONG} | {"loads-quietly"} == {check.name for check in CHECKS["optimizer"]}
