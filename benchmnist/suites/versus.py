"""The question "is lion better than adamw?" as a suite: contenders, where they are compared, and its TOML."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError, Problem, SuiteError, unknown
from benchmnist.extensions.kinds import OPTIMIZER
from benchmnist.extensions.specs import NAME
from benchmnist.suites.components import variant_of
from benchmnist.suites.pace import SEEDS
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.toml_statements import load_toml
from benchmnist.suites.values import is_number, toml_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.pace import Sizes

DATASET, MODEL = "mnist", "fc"
"""Place where optimizers are compared by default."""
FORM = "NAME or NAME:key=value,..., such as adamw:weight_decay=0.1"
RANGE = (10**-1.5, 10**1.5)
"""Learning rates, in units of the default: three decades, with the default in the middle."""
RANGE_OF_SGD = (10**0.5, 10**3.5)
OF_SGD = "nesterov"
"""A `build` with this parameter makes steps in proportion to the gradient, as torch's SGD, whose default of 0.001
is far below what is good for it: RANGE_OF_SGD is as wide, and above."""
MARGIN = 0.5
"""Points of accuracy: a smaller difference counts as none."""
LONGEST_NAME = 60
"""Characters of the name of a suite."""


@dataclass(frozen=True)
class Named:
    """A name with parameters, as typed: `adamw:weight_decay=0.1`.

    Attributes:
        typed: The text.
        use: The name.
        params: The parameters.
    """

    typed: str
    use: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in a suite, `adamw-weight_decay-0.1`, which has the form of a name."""
        parts = [self.use, *(f"{variant_of({key: value})}" for key, value in self.params.items())]
        name = re.sub(r"[^a-z0-9._+-]+", "-", "-".join(parts).lower())
        return re.sub(r"([._+-])[._+-]+", r"\1", name).strip("._+-")


@dataclass(frozen=True)
class Question:
    """Optimizers to compare, and the place.

    Attributes:
        asked: The optimizers that are asked about.
        baseline: What each of them is compared with.
        dataset, model: Where.
        ranges: The range of learning rates that each optimizer chooses from, by its name in the suite; none for
            one that has no learning rate, or whose learning rate is given.
        margin: Largest difference that counts as none; None for a task without accuracy.
    """

    asked: tuple[Named, ...]
    baseline: Named
    dataset: Named
    model: Named
    ranges: Mapping[str, tuple[float, float]]
    margin: float | None

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
    def place(self) -> str:
        """The dataset and the model: `mnist/fc`."""
        return f"{self.dataset.typed}/{self.model.typed}"


def read_named(text: str) -> Named:
    """Reads `adamw` or `adamw:weight_decay=0.1,betas=[0.9, 0.99]`: values as in TOML, as those of --set.

    Raises:
        ValueError: if it is neither.
    """
    use, colon, rest = text.strip().partition(":")
    if not NAME.fullmatch(use) or (colon and not rest.strip()):
        raise ValueError(f"must be {FORM}, not {text!r}")
    if not colon:
        return Named(use, use)
    try:
        params = load_toml(f"value = {{ {rest} }}")["value"]
    except tomllib.TOMLDecodeError:
        raise ValueError(f"{rest!r} must be key=value,... with values as in TOML ({FORM})") from None
    return Named(text.strip(), use, params)


def ask(
    names: Sequence[str], registry: Registry, *, on: str | None = None, baseline: str | None = None
) -> Question:
    """Returns the question that was typed.

    Args:
        names: The optimizers; the last is the one compared with, unless `baseline` is.
        registry: The installed plugins.
        on: `cnn`, `fashion-mnist/cnn` or `fashion-mnist`; None is mnist/fc.
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
    ranges: dict[str, tuple[float, float]] = {}
    for each in found:
        try:
            if chosen := learning_rates(each, registry):
                ranges[each.name] = chosen
        except BenchmnistError as error:
            problems.append(str(error))
    try:
        dataset, model = _place(on, registry)
    except (ValueError, BenchmnistError) as error:
        problems.append(str(error))
    if problems:
        raise SuiteError([Problem(message, "") for message in dict.fromkeys(problems)])
    task = registry.tasks[registry.datasets[dataset.use].spec.task].spec
    margin = MARGIN if task.metrics[0].key == "accuracy" else None
    return Question((*found[:-1],), found[-1], dataset, model, ranges, margin)


def _twice(found: Sequence[Named]) -> list[str]:
    names = [each.name for each in found]
    remedy = "give one of them another parameter"
    return [
        f"{each.typed!r} is named twice; {remedy}: {each.use}:KEY=VALUE"
        for index, each in enumerate(found)
        if each.name in names[:index]
    ]


def _place(on: str | None, registry: Registry) -> tuple[Named, Named]:
    """Returns the dataset and the model of `--on`.

    Raises:
        ValueError: if it has not that form.
        BenchmnistError: if there is no such dataset or model.
    """
    if on is None:
        return Named(DATASET, DATASET), Named(MODEL, MODEL)
    head, colon, params = on.partition(":")
    first, slash, second = head.partition("/")
    if slash:
        dataset, model = read_named(first), read_named(f"{second}{colon}{params}")
        registry.datasets[dataset.use], registry.models[model.use]
        return dataset, model
    only = read_named(on)
    if only.use in registry.models:
        return Named(DATASET, DATASET), only
    if only.use in registry.datasets:
        return only, Named(MODEL, MODEL)
    known = [offer.spec.name for offers in (registry.models, registry.datasets) for offer in offers]
    raise BenchmnistError(f"--on: {unknown('model or dataset', only.use, known)}")


def learning_rates(optimizer: Named, registry: Registry) -> tuple[float, float] | None:
    """Returns the range of learning rates of an optimizer: three decades, by the default of its `build`.

    None where the learning rate is given or `build` has none, or no positive number as its default.

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
    if not is_number(default) or default <= 0:
        return None
    low, high = RANGE_OF_SGD if OF_SGD in takes.by_name else RANGE
    return _rounded(default * low), _rounded(default * high)


def _rounded(value: float) -> float:
    """To two significant digits, which a file has."""
    return float(f"{value:.1e}")


def suite_text(question: Question, sizes: Sizes, command: str = "") -> str:
    """Returns the suite that answers a question, as TOML; the same text for the same question and sizes.

    Args:
        question: The question.
        sizes: Steps, attempts and searches.
        command: The command that wrote it, for its first line.
    """
    names = toml_text([each.name for each in question.optimizers])
    title = f"{', '.join(each.typed for each in question.asked)} versus {question.baseline.typed}"
    lines = [
        f"# {command or title}" + " wrote this suite; to repeat it: benchmnist tune FILE",
        "",
        "[suite]",
        f"name = {toml_text(question.name)}",
        f"title = {toml_text(f'{title} on {question.place}')}",
        'order = "interleaved"',
        "",
        "[defaults]",
        f"dataset = {toml_text(question.dataset.name)}",
        f"steps = {sizes.steps}",
        f"seeds = {SEEDS}                        # for the outcome of each search",
        *([f"margin = {question.margin}"] if question.margin is not None else []),
        "",
        "[tune]",
        f"trials = {sizes.attempts}                       # learning rates for each optimizer",
        f"searches = {sizes.searches}                     # each with seeds of its own; a search counts as one",
        'sampler = "grid"',
        f"validation_size = {sizes.validation}",
        "untuned = false",
    ]
    for kind, named in (("datasets", question.dataset), ("models", question.model)):
        if named.params:
            lines += ["", *_table(f"{kind}.{_key(named.name)}", named)]
    for each in question.optimizers:
        lines += ["", *_table(f"optimizers.{_key(each.name)}", each)]
        if each.name in question.ranges:
            low, high = question.ranges[each.name]
            lines.append(f"space.lr = {{ low = {low:g}, high = {high:g}, log = true }}")
    lines += ["", "[[compare]]", f"optimizers = {toml_text([each.name for each in question.asked])}"]
    lines += [f"with = {toml_text(question.baseline.name)}", "", "[[cases]]"]
    lines += [f"models = {toml_text([question.model.name])}", f"optimizers = {names}", ""]
    return "\n".join(lines)


def _table(header: str, named: Named) -> list[str]:
    params = [f"{_key(key)} = {toml_text(value)}" for key, value in named.params.items()]
    return [f"[{header}]", *([f"use = {toml_text(named.use)}"] if named.params else []), *params]


def _key(name: str) -> str:
    """A key of TOML, in quotes where it has a dot or a plus."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)
