"""List of the tries, without torch: statement to prove, devices, and remedy of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmnist.builtin import benchmnist_models, benchmnist_optimizers, benchmnist_schedules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmnist.doctor.lines import Part

LIMIT = 300.0
"""Default time limit of a try, in seconds: on a GPU, most of it is the first use of CUDA."""
REPORT = "report this with the file from --json"


@dataclass(frozen=True)
class Try:
    """A function of trials.py or speed.py, and its arguments.

    Attributes:
        name: Short name for `--only`.
        promise: Statement that it proves.
        trial: Name of the function.
        arguments: Arguments of the function, besides the context.
        remedy: Advice if it fails.
        limit: Time limit, in seconds.
        short: Whether it is part of the short form.
        cuda: Whether it applies to NVIDIA GPUs only.
        part: Part of the examination.
    """

    name: str
    promise: str
    trial: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = REPORT
    limit: float = LIMIT
    short: bool = False
    cuda: bool = False
    part: Part = "tried"

    @property
    def call(self) -> str:
        """Function that a process runs."""
        return f"benchmnist.doctor.{'speed' if self.part == 'speed' else 'trials'}:make"


PARAMS: Mapping[str, Mapping[str, Any]] = {
    "adafactor": {"lr": 0.03},
    "adam": {"lr": 2e-3},
    "asgd": {"lr": 0.1},
    "lbfgs": {"lr": 0.1, "max_iter": 4},
    "momentum": {"lr": 0.02, "momentum": 0.9},
    "muon": {"lr": 0.02},
    "nesterov": {"lr": 0.02, "momentum": 0.9, "nesterov": True},
    "radam": {"lr": 0.01},
    "rmsprop": {"lr": 1e-3},
    "sgd": {"lr": 0.1},
}
"""Parameters with which the optimizers learn in 32 steps without magnifying roundings."""
HIDDEN_SIZES = {"muon": 64}
"""Widths of the network that optimizers train, if not 500: Muon multiplies its weights in bfloat16,
which takes minutes on processors without instructions for that."""
SHORT = ("fc-bn-dropout", "cnn", "adam", "muon", "linear-warmup-cosine", "bf16", "asserts-inline", "hoards-inline")
"""Models, optimizers, schedules, precisions and misbehaving models of the short form."""
GRAPHS = (
    ("fc", "adam", ""),
    ("fc", "rmsprop", "step"),
    ("fc-bn", "momentum", "onecycle"),
    ("fc-bn-dropout", "adam", "cosine"),
    ("cnn", "rmsprop", ""),
    ("2c2d", "adamw", ""),
)
"""Models, optimizers and schedules that are captured and compared with `resident`."""


def tries(*, short: bool) -> list[Try]:
    """Returns the tries of `--device`, in order."""
    chosen = [*_suites(), *_components(), *_engines(), *_misbehaviour(), *_long_runs(short=short)]
    return [one for one in chosen if one.short or not short]


def _suites() -> Iterator[Try]:
    for executor in ("local", "inline"):
        yield Try(
            f"suite-{executor}",
            f"a suite runs from end to end with the executor {executor}",
            "suite",
            {"executor": executor},
            short=True,
        )


def _components() -> Iterator[Try]:
    as_reference = "with the losses of the reference"
    for spec in benchmnist_models():
        promise, short = f"the model {spec.name} learns {as_reference}", spec.name in SHORT
        yield Try(f"model-{spec.name}", promise, "model", {"name": spec.name}, short=short)
    for offered in benchmnist_optimizers():
        name = offered.name
        arguments = {
            "name": name,
            "params": dict(PARAMS.get(name, offered.defaults)),
            "hidden_size": HIDDEN_SIZES.get(name, 500),
            "capturable": offered.capturable and not offered.needs_closure,
        }
        yield Try(
            f"optimizer-{name}",
            f"the optimizer {name} trains {as_reference}",
            "optimizer",
            arguments,
            short=name in SHORT,
        )
    for schedule in benchmnist_schedules():
        promise, arguments = (
            f"the schedule {schedule.name} trains {as_reference}",
            {"name": schedule.name, "params": {}},
        )
        yield Try(f"schedule-{schedule.name}", promise, "schedule", arguments, short=schedule.name in SHORT)
    yield Try(
        "schedule-momentum",
        f"a schedule that also changes the momentum trains {as_reference}",
        "schedule",
        {"name": "onecycle", "params": {"cycle_momentum": True}},
        short=True,
    )
    for precision in ("float32", "tf32", "bf16"):
        yield Try(
            f"precision-{precision}",
            f'precision = "{precision}" trains with losses near those of float32',
            "precision",
            {"name": precision},
            remedy='keep precision = "float32"',
            short=precision in SHORT,
            cuda=precision == "tf32",
        )


def _engines() -> Iterator[Try]:
    engines = [("dataloader", ("fc-bn-dropout", "adam", ""), True, False)]
    engines += [("graph", combination, False, True) for combination in GRAPHS]
    for engine, (model, optimizer, schedule), short, cuda in engines:
        what = " and ".join(filter(None, (model, optimizer, schedule)))
        yield Try(
            f"{engine}-{model}-{optimizer}",
            f"the engine {engine} trains {what} like resident",
            "engine",
            {
                "name": engine,
                "model": model,
                "optimizer": optimizer,
                "params": dict(PARAMS.get(optimizer, {})),
                "schedule": schedule,
            },
            remedy="use --engine resident until this is fixed, and " + REPORT,
            short=short,
            cuda=cuda,
        )
    for name, captured in (("stacked", False), ("stacked-captured", True)):
        yield Try(
            name,
            f"stacked{' and captured' if captured else ''} seeds learn the same as each seed alone, with dropout",
            "stacked",
            {"captured": captured},
            remedy='remove engine = "stacked" until this is fixed, and ' + REPORT,
            short=True,
            cuda=captured,
        )
    yield Try(
        "streams",
        "seeds that are trained at the same time, on streams, learn the same as each seed alone",
        "streams",
        remedy='remove engine = "streams" until this is fixed, and ' + REPORT,
        short=True,
        cuda=True,
    )


def _misbehaviour() -> Iterator[Try]:
    survived = "and the next case is correct"
    for name, promise, words, cuda in (
        ("synchronises", "a model that waits for the device trains without a graph", "", True),
        ("asserts", f"a model that reads beyond the end of a tensor fails, {survived}", "assert|index", False),
        ("hoards", f"a model that takes all memory fails, {survived}", "memory", False),
    ):
        for executor in ("local", "inline"):
            yield Try(
                f"{name}-{executor}",
                f"{promise} (executor {executor})",
                "misbehaving_model",
                {"name": name, "executor": executor, "words": words},
                short=cuda or f"{name}-{executor}" in SHORT,
                cuda=cuda,
            )
    yield Try(
        "cpu-beside-gpu",
        "training on the CPU does not use the GPU",
        "cpu_beside_gpu",
        remedy="set CUDA_VISIBLE_DEVICES= for CPU training until this is fixed, and " + REPORT,
        cuda=True,
    )


def _long_runs(*, short: bool) -> Iterator[Try]:
    yield Try(
        "clock",
        "our clock agrees with CUDA events",
        "clock",
        remedy="do not trust times from this machine, and " + REPORT,
        cuda=True,
        short=True,
    )
    cases = 20 if short else 200
    yield Try(
        "memory",
        f"memory does not grow over {cases} cases",
        "memory",
        {"cases": cases},
        remedy="run long suites in parts (-k) until this is fixed, and " + REPORT,
        limit=2 * LIMIT,
        short=True,
    )


def speed_tries() -> list[Try]:
    """Returns the measurements of `--speed`, in order: ten minutes at most."""
    return [
        Try(f"speed-{trial}", promise, trial, limit=limit, part="speed")
        for trial, promise, limit in (
            ("start", "seconds until a program has started, and until the first epoch has ended", 60.0),
            ("kernels", "microseconds per step, by kernel or operator", 90.0),
            ("stacks", "trials per second, one by one and at once", 130.0),
            ("assignment4", "the whole of assignment4 with one seed", 200.0),
            ("speedrun", "MNIST to 99 %", 120.0),
        )
    ]
