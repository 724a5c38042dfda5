"""The question "is lion better than adamw?" as a suite: the optimizers, the place, and its TOML."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError, Problem, SuiteError
from benchmnist.extensions.kinds import OPTIMIZER
from benchmnist.suites.named import Named, read_named, table_lines
from benchmnist.suites.pace import SEEDS
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.places import Place, find_place
from benchmnist.suites.values import is_number, toml_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.cases import Case
    from benchmnist.suites.pace import Sizes

RANGE = (10**-1.5, 10**1.5)
"""Learning rates, in units of the default: three decades, with the default in the middle."""
RANGE_OF_SGD = (10**0.5, 10**3.5)
OF_SGD = "nesterov"
"""A `build` with this parameter makes steps in proportion to the gradient, as torch's SGD, whose default of 0.001
is far below what is good for it: RANGE_OF_SGD is as wide, and above."""
ANY_RATE = (1e-4, 10.0)
"""Learning rates on functions, which have no usual scale, and of an optimizer without a default: five decades."""
MARGIN = 0.5
"""Points of accuracy: a smaller difference counts as none."""
LONGEST_NAME = 60
"""Characters of the name of a suite."""


@dataclass(frozen=True)
class Question:
    """Optimizers to compare, and the place.

    Attributes:
        asked: The optimizers that are asked about.
        baseline: What each of them is compared with.
        place: Where.
        ranges: The range of learning rates that each optimizer chooses from, by its name in the suite; none for
            one that has no learning rate, or whose learning rate is given.
        margin: Largest difference that counts as none; None for a problem or a task without accuracy.
        rungs: A case of each level of the problem, easiest first, with its budget and its target; empty for a
            dataset and a model.
        required: Names of the optimizers whose learning rate has no default.
        steps: Steps of each training, where they are asked for.
    """

    asked: tuple[Named, ...]
    baseline: Named
    place: Place
    ranges: Mapping[str, tuple[float, float]]
    margin: float | None
    rungs: tuple[Case, ...] = ()
    required: frozenset[str] = frozenset()
    steps: int | None = None

    @property
    def optimizers(self) -> tuple[Named, ...]:
        """All of them, the baseline last."""
        return (*self.asked, self.baseline)

    @property
    def name(self) -> str:
        """The name of the suite: `versus-lion-adamw`."""
        words = "-".join(each.name for each in self.optimizers)
        return re.sub(r"[^A-Za-z0-9.-]+", "-", f"versus-{words}")[:LONGEST_NAME].strip(".-")

    @property
    def repeated_by(self) -> str:
        """The command that does again what the suite says: it tunes only where there is a space."""
        return "benchmnist tune" if self.ranges else "benchmnist run"

    @property
    def trained(self) -> int:
        """Number of optimizers, at each level of the problem."""
        return len(self.optimizers) * max(1, len(self.rungs))

    @property
    def tuned(self) -> int:
        """Number of those that choose their learning rate."""
        return len(self.ranges) * max(1, len(self.rungs))

    @property
    def on_function(self) -> bool:
        """Tells whether the place is a function, whose trainings are stacked."""
        return self.place.task == "function"


def ask(
    names: Sequence[str], registry: Registry, *, on: str | None = None, baseline: str | None = None
) -> Question:
    """Returns the question that was typed.

    Args:
        names: The optimizers; the last is the one compared with, unless `baseline` is.
        registry: The installed plugins.
        on: `ravine`, `ravine/1e3`, `cnn`, `fashion-mnist/cnn`, `fashion-mnist`, or `FILE.toml:ravine`, a problem
            of a suite; None is mnist/fc.
        baseline: The optimizer that the others are compared with.

    Raises:
        SuiteError: with everything that is wrong with it.
    """
    problems: list[str] = []
    typed = [name for name in names if name != baseline] + ([baseline] if baseline is not None else [])
    found: list[Named] = []
    for text in typed:
        try:
            found.append(read_named(text))
        except ValueError as error:
            problems.append(str(error))
    problems += _twice(found)
    if len(typed) < 2:  # noqa: PLR2004 - a comparison has two sides
        problems.append("name two optimizers or more, such as: benchmnist versus lion adamw")
    place: Place | None = None
    try:
        place = find_place(on, registry)
    except (ValueError, BenchmnistError) as error:
        problems.append(str(error))
    ranges: dict[str, tuple[float, float]] = {}
    for each in found:
        try:
            if chosen := learning_rates(each, registry, any_rate=place is not None and place.task == "function"):
                ranges[each.name] = chosen
        except BenchmnistError as error:
            problems.append(str(error))
    if problems or place is None:
        raise SuiteError([Problem(message, "") for message in dict.fromkeys(problems)])
    by_accuracy = registry.tasks[place.task].spec.metrics[0].key == "accuracy"
    margin = MARGIN if by_accuracy and place.problem is None else None
    required = frozenset(each.name for each in found if each.name in ranges and _requires_rate(each, registry))
    return Question((*found[:-1],), found[-1], place, ranges, margin, required=required)


def _twice(found: Sequence[Named]) -> list[str]:
    names = [each.name for each in found]
    remedy = "give one of them another parameter"
    return [
        f"{each.typed!r} is named twice; {remedy}: {each.use}:KEY=VALUE"
        for index, each in enumerate(found)
        if each.name in names[:index]
    ]


def learning_rates(optimizer: Named, registry: Registry, *, any_rate: bool = False) -> tuple[float, float] | None:
    """Returns the range of learning rates of an optimizer: three decades, by the default of its `build`.

    None where the learning rate is given or `build` has none, or a default that is no positive number.

    Args:
        optimizer: The optimizer.
        registry: The installed plugins.
        any_rate: Whether it is ANY_RATE, as for a `build` that requires a learning rate.

    Raises:
        BenchmnistError: if there is no such optimizer, or it does not take these parameters.
    """
    spec = registry.optimizers[optimizer.use].spec
    try:
        takes = parameters_of(spec, OPTIMIZER.harness)
    except Exception as error:
        raise BenchmnistError(f"{spec.name!r} cannot be loaded: {error}") from error
    for key, value in optimizer.params.items():
        if wrong := takes.problem(key, value):
            raise BenchmnistError(f"{optimizer.typed}: {wrong if key in wrong else f'{key} {wrong}'}")
    if "lr" in optimizer.params or "lr" not in takes.by_name:
        return None
    default: Any = spec.defaults.get("lr", takes.by_name["lr"].default)
    if default is inspect.Parameter.empty:
        return ANY_RATE
    if not is_number(default) or default <= 0:
        return None
    if any_rate:
        return ANY_RATE
    low, high = RANGE_OF_SGD if OF_SGD in takes.by_name else RANGE
    found = _rounded(default * low), _rounded(default * high)
    if not 0 < found[0] < found[1] < math.inf:
        remedy = f"give another: {optimizer.typed}{',' if optimizer.params else ':'}lr=0.01"
        raise BenchmnistError(f"{optimizer.typed}: no range has its default lr, {default:g}, within; {remedy}")
    return found


def _requires_rate(optimizer: Named, registry: Registry) -> bool:
    spec = registry.optimizers[optimizer.use].spec
    return "lr" in parameters_of(spec, OPTIMIZER.harness).required and "lr" not in spec.defaults


def _rounded(value: float) -> float:
    """To two significant digits, which a file has."""
    return float(f"{value:.1e}")


def _table_of_tuning(question: Question, sizes: Sizes) -> list[str]:
    return [
        "",
        "[tune]",
        f"trials = {sizes.attempts}                       # learning rates for each optimizer",
        f"searches = {sizes.searches}                     # each with seeds of its own; a search counts as one",
        'sampler = "grid"',
        *([] if question.on_function else [f"validation_size = {sizes.validation}"]),
        "untuned = false",
    ]


def suite_text(question: Question, sizes: Sizes, command: str = "") -> str:
    """Returns the suite that answers a question, as TOML; the same text for the same question and sizes.

    Args:
        question: The question.
        sizes: Steps, attempts and searches; a problem has its own steps, or those of the question.
        command: The command that wrote it, for its first line.
    """
    place = question.place
    names = toml_text([each.name for each in question.optimizers])
    title = f"{', '.join(each.typed for each in question.asked)} versus {question.baseline.typed}"
    lines = [
        f"# {command or title} wrote this suite; to repeat it: {question.repeated_by} FILE",
        "",
        "[suite]",
        f"name = {toml_text(question.name)}",
        f"title = {toml_text(f'{title} on {place.typed}')}",
        'order = "interleaved"',
        "",
        "[defaults]",
        *([f"dataset = {toml_text(place.parts['dataset'].name)}"] if place.parts else []),
        *([f"task = {toml_text(place.task)}"] if place.parts and place.task != "classification" else []),
        *([f"steps = {sizes.steps}"] if place.problem is None else []),
        f"seeds = {SEEDS}                        # for the outcome of each search"
        if question.ranges
        else f"seeds = {sizes.searches}",
        *([f"margin = {question.margin}"] if question.margin is not None else []),
        *(_table_of_tuning(question, sizes) if question.ranges else []),
        *place.tables(question.steps),
    ]
    for each in question.optimizers:
        lines += ["", *table_lines("optimizers", each.name, each)]
        if each.name in question.ranges:
            low, high = question.ranges[each.name]
            if each.name in question.required:
                lines.append(f"lr = {math.sqrt(low * high):.1g}  # not used, but required")
            lines.append(f"space.lr = {{ low = {low:g}, high = {high:g}, log = true }}")
    lines += ["", "[[compare]]", f"optimizers = {toml_text([each.name for each in question.asked])}"]
    lines += [f"with = {toml_text(question.baseline.name)}", "", "[[cases]]", place.listed]
    return "\n".join([*lines, f"optimizers = {names}", ""])
