"""RunOptions: what a run is asked for beside its suite, the same on the command line, in Python and in pytest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmnist.errors import unknown
from benchmnist.suites.assignments import parse_assignment
from benchmnist.suites.schema import seed_list
from benchmnist.suites.values import MAX_EPOCHS, MAX_SEEDS, MAX_STEPS, MAX_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmnist.suites.schema import Order

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
"""Names that a device may have."""
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def no_device(name: str) -> str:
    """A name that is no device's; people say `gpu` for `cuda`."""
    if name.lower() in ("gpu", "nvidia"):  # which difflib finds nearer to cpu
        return f"no device named {name!r}. Did you mean 'cuda'? Choose from: {', '.join(DEVICES)}"
    return unknown("device", name, DEVICES)


def _texts(given: Any) -> tuple[str, ...]:
    """A text by itself, or several."""
    return (given,) if isinstance(given, str) else tuple(given)


TYPES = {
    **dict.fromkeys(("epochs", "steps", "jobs", "threads", "max_seeds"), int),
    **dict.fromkeys(("control", "dynamics", "until_told", "checkpoints", "reuse"), bool),
    **dict.fromkeys(("device", "keyword", "engine", "executor"), str),
}
"""Types of the attributes that have one; a run of a stranger may have other values."""

LARGEST = {"epochs": MAX_EPOCHS, "steps": MAX_STEPS, "max_seeds": MAX_SEEDS}
"""The largest values of what a suite limits, too."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run. Each attribute is also an argument of `benchmnist.run`.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        seeds: Override the suite's: how many, or which; afterwards which.
        epochs: Override the suite's, or its steps.
        steps: Override the suite's, or its epochs.
        optimizers: Override the lists of optimizers of all cases: plugins' names, or configurations of the suite.
            A baseline and comparisons that name others are left out.
        keyword: Only the cases that pytest's `-k` selects with this expression.
        engine: Override the suite's.
        order: Override the suite's: `interleaved` (seed by seed) or `suite` (case by case); None is the suite's,
            which is `interleaved` by default, and always with `control`.
        control: Train the baseline of each model once more, with other seeds, to see what differences are noise.
        dynamics: Keep the norms of gradients, updates and weights by layer, at each evaluation.
        until_told: Train more seeds, in looks that are announced before, until every primary comparison is told or
            hopeless.
        max_seeds: Seeds of the last look, with `until_told`; 30 by default.
        set: Override anything in the suite: `("optimizers.adam.lr=0.01", "defaults.epochs=2")`, typed as TOML.
        executor: Where the cases are executed.
        executor_options: The options of that executor, by their names: `{"num_gpus": 0.5}` of `ray`.
        jobs: How many trials at the same time; None leaves it to the executor. `local` then takes one a core of
            the CPU, each with a thread, or one a GPU.
        threads: Threads of each worker of `local`; None leaves an equal share of the cores to each.
        timeout: Seconds that a case may take, with all its trials and all but planning; then it is ended.
        out: The folder that run folders are made in.
        data_root: Where datasets are kept; by default BENCHMNIST_DATA, or the user's cache folder.
        checkpoints: Whether the weights of each trial are kept.
        block: Plugins to leave out, by their names or those of their distributions.
        resume: Go on with an interrupted run, in its folder: that one (a path, or the end of its name in `out`),
            or with True the newest of the suite. Cases that ended are not trained again, as long as nothing has
            changed that decides their results.
        reuse: Use the results of earlier runs in `out` where nothing has changed that decides them; each says so.

    Raises:
        ValueError: if one of them has a value that it may not have.
    """

    device: str = "auto"
    seeds: tuple[int, ...] | None = None
    epochs: int | None = None
    steps: int | None = None
    optimizers: tuple[str, ...] | None = None
    keyword: str = ""
    engine: str | None = None
    order: Order | None = None
    control: bool = False
    dynamics: bool = False
    until_told: bool = False
    max_seeds: int | None = None
    set: tuple[str, ...] = ()
    executor: str = "local"
    executor_options: Mapping[str, Any] = field(default_factory=dict)
    jobs: int | None = None
    threads: int | None = None
    timeout: float | None = None
    out: Path = Path("runs")
    data_root: Path | None = None
    checkpoints: bool = True
    block: tuple[str, ...] = ()
    resume: bool | str | Path = False
    reuse: bool = False

    def given(self, names: Iterable[str]) -> str:
        """Returns the first of some attributes that differs from its default; empty if none does."""
        default = RunOptions()
        return next((name for name in names if getattr(self, name) != getattr(default, name)), "")

    def __post_init__(self) -> None:
        kept: dict[str, Callable[[Any], Any]] = {  # what may be given in more than one form
            "seeds": seed_list,
            "set": _texts,
            "executor_options": dict,
            "out": Path,
            "data_root": Path,
            "block": _texts,
            "optimizers": _texts,
        }
        for name, form in kept.items():
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else form(given))
        for name, kind in TYPES.items():
            value = getattr(self, name)
            if value is not None and type(value) is not kind:
                raise ValueError(f"{name} must be {kind.__name__}, not {value!r}")
        self._check_numbers()
        if self.timeout is not None and not 0 < self.timeout <= MAX_TIMEOUT:
            raise ValueError(
                f"timeout must be greater than 0 and at most {MAX_TIMEOUT} seconds, not {self.timeout}"
            )
        if self.order not in (None, "suite", "interleaved"):
            raise ValueError(f"order must be 'suite' or 'interleaved', not {self.order!r}")
        for text in self.set:
            try:
                parse_assignment(text)
            except ValueError as error:
                raise ValueError(f"set {text!r}: {error}") from error

    def _check_numbers(self) -> None:
        """Checks the whole numbers.

        Raises:
            ValueError: if one of them is too small or large, or excluded by another.
        """
        for name in ("epochs", "steps", "jobs", "threads", "max_seeds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be greater than 0, not {value}")
            if value is not None and value > LARGEST.get(name, value):
                raise ValueError(f"{name} must be at most {LARGEST[name]:,}, not {value}")
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps exclude each other; set one of both")

    @property
    def cases(self) -> dict[str, Any]:
        """The options that decide which cases a run has, their order and what it keeps of them, as JSON has them.

        A run that is resumed goes on with those that it began with.
        """
        return {
            "seeds": None if self.seeds is None else [*self.seeds],
            "epochs": self.epochs,
            "steps": self.steps,
            "optimizers": None if self.optimizers is None else [*self.optimizers],
            "engine": self.engine,
            "order": self.order,
            "control": self.control,
            "dynamics": self.dynamics,
            "until_told": self.until_told,
            "max_seeds": self.max_seeds,
            "keyword": self.keyword,
            "checkpoints": self.checkpoints,
            "set": [*self.set],
        }
