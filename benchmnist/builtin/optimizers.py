"""The built-in optimizers: torch's own, with torch's own parameter names and defaults."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable


def _of_torch(optimizer: type[optim.Optimizer]) -> Callable[..., optim.Optimizer]:
    """Returns `build(model, **params)` for a class of torch.optim, with that class's own signature."""

    def build(model: nn.Module, **params: Any) -> optim.Optimizer:
        make: Any = optimizer
        made: optim.Optimizer = make(model.parameters(), **params)
        return made

    _, *params = inspect.signature(optimizer).parameters.values()
    model = inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [model, *(p.replace(kind=p.KEYWORD_ONLY) for p in params)]
    )
    return build


adadelta = _of_torch(optim.Adadelta)
adafactor = _of_torch(optim.Adafactor)
adagrad = _of_torch(optim.Adagrad)
adam = _of_torch(optim.Adam)
adamax = _of_torch(optim.Adamax)
adamw = _of_torch(optim.AdamW)
asgd = _of_torch(optim.ASGD)
lbfgs = _of_torch(optim.LBFGS)
nadam = _of_torch(optim.NAdam)
radam = _of_torch(optim.RAdam)
rprop = _of_torch(optim.Rprop)
sgd = _of_torch(optim.SGD)


NOT_OF_ADAM = ("momentum", "centered")
"""Parameters of RMSprop that Adam does not have; none is in use where Adam's kernel computes it."""


class FusedRMSprop(optim.Adam):
    """RMSprop by the fused kernel of Adam, which torch has, while it has none of RMSprop's.

    Adam without a first moment is RMSprop but for its bias correction, 1 - beta2^t. That is 1 to the last digit
    when t is large; so t starts where it is.
    """

    def __init__(self, params: Any, *, alpha: float, **options: Any) -> None:
        super().__init__(params, betas=(0.0, alpha), fused=True, **options)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": torch.tensor(1e9, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }


def rmsprop(model: nn.Module, *, fused: bool = False, **params: Any) -> optim.Optimizer:
    """torch.optim.RMSprop; fused, it makes the same updates by one kernel, unless with momentum or centered."""
    given = {name: params.pop(name) for name in ("foreach", "differentiable") if name in params}
    if fused and not any(given.values()) and not any(map(params.get, ("momentum", "centered"))):
        options = {"lr": 1e-2, "alpha": 0.99} | params
        return FusedRMSprop(model.parameters(), **{key: options[key] for key in options if key not in NOT_OF_ADAM})
    return optim.RMSprop(model.parameters(), **params, **given)


def _show_rmsprop_parameters() -> None:
    """Gives `rmsprop` the parameters of torch's RMSprop by name, and `fused`."""
    model, fused, *_ = inspect.signature(rmsprop).parameters.values()
    _, *torch_own = inspect.signature(optim.RMSprop).parameters.values()
    rmsprop.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [model, fused, *(p.replace(kind=p.KEYWORD_ONLY) for p in torch_own)]
    )


_show_rmsprop_parameters()


def muon(
    model: nn.Module,
    *,
    adamw_lr: float = 1e-3,
    adamw_betas: tuple[float, float] = (0.9, 0.999),
    adamw_eps: float = 1e-8,
    adamw_weight_decay: float = 1e-2,
    **params: Any,
) -> optim.Optimizer:
    """torch.optim.Muon on the weight matrices but the last, AdamW on all the rest.

    Muon orthogonalises the update of a matrix between hidden representations; its author trains the
    classifier's own matrix, biases, gains and (as torch's Muon takes matrices only) convolutions with AdamW
    (https://kellerjordan.github.io/posts/muon/). The classifier is taken to be the last matrix of the model.

    Raises:
        ValueError: if the model has no such matrix.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim == 2][:-1]  # noqa: PLR2004 - rows and columns
    if not matrices:
        raise ValueError("muon wants a model with a matrix before its classifier; this one has none")
    chosen = set(map(id, matrices))
    rest = [p for p in trained if id(p) not in chosen]
    return Together(
        optim.Muon(matrices, **params),
        optim.AdamW(rest, lr=adamw_lr, betas=adamw_betas, eps=adamw_eps, weight_decay=adamw_weight_decay),
    )


def _show_muon_parameters() -> None:
    """Gives `muon` the parameters of torch's Muon by name, so that a misspelt one is refused."""
    own = list(inspect.signature(muon).parameters.values())
    _, *torch_own = inspect.signature(optim.Muon).parameters.values()
    muon.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [own[0], *(p.replace(kind=p.KEYWORD_ONLY) for p in torch_own), *own[1:-1]]
    )


_show_muon_parameters()


class Together(optim.Optimizer):
    """An optimizer that combines several, each with its own part of a model's parameters."""

    def __init__(self, *parts: optim.Optimizer) -> None:
        groups = [group for part in parts for group in part.param_groups]
        super().__init__([p for group in groups for p in group["params"]], {})
        self.parts = parts
        self.param_groups = groups  # the same dicts, so that a schedule reaches every part

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes one step of each part; returns what the closure returned, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Returns the states of the parts, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the states of the parts."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
