"""The optimizers of the package pytorch_optimizer, for BenchMNIST: each is offered as `po-` and its name there.

Only names stand here, so that listing them imports neither torch nor the package; an optimizer is imported when it
is built. What is special of one stands in TRAITS; what cannot be offered, in NOT_OFFERED with the reason.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from benchmnist import OptimizerSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from torch.optim import Optimizer

BENCHMNIST_API = 1
PREFIX = "po-"

PLAIN = """
a2grad accsgd adabelief adabound adadelta adafactor adagc adai adalite adam adamax adamc adamg adamod adamp
adams adamw adamwsn adan adanorm adapnm adashift adasmooth adatam ademamix adopt aggmo aida alice amos ano
apollo apollodqn asgd avagrad bcos came conda dadaptadagrad dadaptadam dadaptadan dadaptlion dadaptsgd dash
diffgrad dualadam emofact emolynx emonavi exadam fadam fira flashadamw focus fromage ftrl galore grams
gravity grokfastadamw kate kron lamb laprop lars lion lorarite madgrad magma mars msvag nadam nero novograd
padam pid pnm prodigy qhadam qhm racs radam ranger rmsprop rose sara scalableshampoo scion scionlight sgd
sgdp sgdsai sgdw shampoo signsgd simplifiedademamix sm3 soap spam srmm stableadamw stablespam swats tam
tiger vsgd yogi
""".split()  # noqa: SIM905 - a word list is read more easily than 110 strings
"""The optimizers that take `params` and need only gradients."""

TRAITS: dict[str, dict[str, Any]] = {
    "adahessian": {"needs_create_graph": True},
    "sophiah": {"needs_create_graph": True, "groups": False},  # draws its random numbers group by group
    "alig": {"needs_closure": True},
    "lbfgs": {"needs_closure": True, "passes": None},
    "bsam": {"needs_closure": True, "passes": 3, "defaults": {"num_data": 60_000}},  # MNIST's
    "schedulefreeadamw": {"has_modes": True},
    "schedulefreeradam": {"has_modes": True},
    "schedulefreesgd": {"has_modes": True},
    "splus": {"has_modes": True},
    "ranger21": {},
    "adammini": {},
    "adago": {},
    "adamuon": {},
    "muon": {},
    "normuon": {},
    "friendlysam": {"needs_closure": True, "passes": 2},
    "looksam": {"needs_closure": True, "passes": None},
    "sam": {"needs_closure": True, "passes": 2},
    "wsam": {"needs_closure": True, "passes": 2},
}
"""The others, which need a closure, two passes, the graph of the gradients, the model, or the number of steps."""

NOT_OFFERED = {
    "adalomo": "updates the weights during the backward pass, by a call of its own in the place of `step`",
    "lomo": "updates the weights during the backward pass, by a call of its own in the place of `step`",
    "demo": "is for several processes, and wants the package einops",
    "distributedmuon": "is for several processes (torch.distributed)",
    "muonclip": "clips the queries and keys of attention, which the models here do not have",
    "spectralsphere": "takes matrices only, and says nothing about how the rest is to be trained",
    "gsam": "wants a schedule of its radius beside the one of its learning rate",
}
"""The reason, by optimizer."""

MUON_FAMILY = ("adago", "adamuon", "muon", "normuon")
AROUND_SGD = ("friendlysam", "looksam", "sam", "wsam")
GRADIENT_FIRST = ("bsam", "friendlysam", "looksam", "sam")  # their `step` wants the first pass to be behind it
CLOSED = ("alig", "bsam", *AROUND_SGD)
RENAMED = {"num_iterations": "total_steps"}
SGD_PARAMETERS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
    for name, default in (("lr", 0.05), ("momentum", 0.9), ("weight_decay", 0.0), ("nesterov", False))
]


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Returns a spec for each optimizer of the package that a training loop can drive."""
    return [
        OptimizerSpec(
            name=f"{PREFIX}{name}",
            summary=f"{name} of pytorch_optimizer",
            build=f"{__name__}:build_{name}",
            **TRAITS.get(name, {}),
        )
        for name in sorted({*PLAIN, *TRAITS})
    ]


def __getattr__(name: str) -> Callable[..., Optimizer]:
    """Makes `build_adabelief` and the other builders on demand."""
    wanted = name.removeprefix("build_")
    if wanted == name or (wanted not in PLAIN and wanted not in TRAITS):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _builder(wanted)


def _builder(name: str) -> Callable[..., Optimizer]:
    """Returns `build` for an optimizer of the package, with that optimizer's own parameters by name."""
    own = class_of(name)
    make: Callable[..., Optimizer] = own
    if name in CLOSED:
        make = _with_closure(own, name)
    elif name in MUON_FAMILY:
        make = _muon_like(name)

    def build(model: nn.Module, **params: Any) -> Optimizer:
        inspect.signature(build).bind(model, **params)  # the classes take any name, and drop what they do not know
        if "total_steps" in params:
            params["num_iterations"] = params.pop("total_steps")
        if name in AROUND_SGD:
            import torch

            params = {p.name: p.default for p in SGD_PARAMETERS} | params | {"base_optimizer": torch.optim.SGD}
        if name == "wsam":
            return make(model, model.parameters(), **params)
        return make(model if name in (*MUON_FAMILY, "adammini") else model.parameters(), **params)

    hidden = ("params", "model", "base_optimizer", "optimizer")  # the last is what Magma calls `params`
    taken = [p for p in inspect.signature(own).parameters.values() if p.kind is not p.VAR_KEYWORD]
    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(
                p.replace(kind=p.KEYWORD_ONLY, name=RENAMED.get(p.name, p.name))
                for p in taken
                if p.name not in hidden
            ),
            *(SGD_PARAMETERS if name in AROUND_SGD else ()),
        ]
    )
    return build


def class_of(name: str) -> Any:
    """Returns the class of that name, ignoring case."""
    import pytorch_optimizer

    try:
        return pytorch_optimizer.load_optimizer(name)
    except NotImplementedError:  # the wrappers
        return next(value for key, value in vars(pytorch_optimizer).items() if key.lower() == name)


def _muon_like(name: str) -> Callable[..., Optimizer]:
    """Builds Muon or a similar optimizer for the weights of linear and convolutional layers; AdamW gets the rest.

    The package knows the head, which AdamW should have, by its name; where it has another, Muon gets it too.
    """

    def make(model: nn.Module, **params: Any) -> Optimizer:
        from pytorch_optimizer.optimizer.muon import prepare_muon_parameters

        own = inspect.signature(class_of(name)).parameters
        given = {key: own[key].default for key in ("lr", "weight_decay")} | params
        made: Optimizer = prepare_muon_parameters(model, name, **given)
        return made

    return make


def _with_closure(own: Any, name: str) -> Callable[..., Optimizer]:
    """Returns the class with a `step` that takes BenchMNIST's closure, as torch's own LBFGS does."""
    import torch

    class Closing(own):  # type: ignore[misc]
        def step(self, closure: Callable[[], Any]) -> Any:
            again = torch.enable_grad()(closure)
            if name in GRADIENT_FIRST:
                again()
            return super().step((lambda: float(again())) if name == "alig" else again)

    Closing.__name__ = own.__name__
    return Closing
