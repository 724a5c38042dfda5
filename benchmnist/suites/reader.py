"""TOML -> Suite. Every mistake is found in one reading, and each is told as `file:line: key: what is wrong`."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from benchmnist.errors import BenchmnistError, Problem, SuiteError, nearest
from benchmnist.extensions.specs import NAME
from benchmnist.metrics import JUDGED, find_metric
from benchmnist.suites.assignments import assign, parse_assignment
from benchmnist.suites.cases import Space

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

COMPARISON = re.compile(r"(>=|<=|>|<) *(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
"""A comparison with a number that is not negative, which none of our figures is."""
SUITE_NAME = r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*"

TomlPath = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


def seed_list(value: object) -> tuple[int, ...]:
    """`3` is 0, 1, 2; a list is itself.

    Raises:
        ValueError: if it is neither, or empty, or has a negative seed, or one twice.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    seeds = range(value) if whole and isinstance(value, int) else value
    if not isinstance(seeds, (range, list, tuple)) or not all(type(seed) is int for seed in seeds):
        raise ValueError("should be a number of seeds or a list of whole numbers")
    if not seeds:
        raise ValueError("should name at least one seed")
    if min(seeds) < 0:
        raise ValueError("should not be negative")
    if len(set(seeds)) < len(seeds):
        raise ValueError("names a seed twice")
    return tuple(seeds)


def parse_seeds(text: str) -> tuple[int, ...]:
    """As `seed_list`, of what was typed: `3`, or `0,4,7`.

    Raises:
        ValueError: if it is neither.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError("should be a number of seeds, or a list as 0,4,7")
    return seed_list([int(part) for part in parts] if len(parts) > 1 else int(text))


def _comparison(value: object) -> str:
    """`">= 97.0"`: what a figure has to be.

    Raises:
        ValueError: if it is no such thing.
    """
    if not isinstance(value, str) or not COMPARISON.fullmatch(value):
        raise ValueError(f'should be a comparison as ">= 97.0", not {value!r}')
    return value


Comparison = Annotated[str, BeforeValidator(_comparison)]
Names = Annotated[list[str], Field(min_length=1)]
Positive = Annotated[int, Field(gt=0)]
Norm = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Header(_Strict):
    """The table [suite]."""

    name: Annotated[str, Field(pattern=f"^{SUITE_NAME}$")]
    title: str = ""
    order: Literal["suite", "interleaved"] = "suite"


def _judged(key: str) -> str:
    """The key of a metric that a suite can expect something of.

    Raises:
        ValueError: if it is none; lists them.
    """
    try:
        return find_metric(key, JUDGED).key
    except BenchmnistError as error:
        raise ValueError(str(error)) from None


Expect = dict[Annotated[str, AfterValidator(_judged)], Comparison]
"""What a suite asserts of a case, by metric; a case that misses it fails."""


class Settings(_Strict):
    """What may stand in [defaults], and in any of [[cases]] instead."""

    dataset: str = "mnist"
    epochs: Positive = 5
    batch_size: Positive = 100
    seeds: Annotated[tuple[int, ...], BeforeValidator(seed_list)] = (0, 1, 2)
    schedule: str | None = None
    clip_grad_norm: Norm | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    init_seed: Annotated[int, Field(ge=0)] | None = None
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    baseline: str | None = None
    evaluate_in: Literal["eval", "train"] = "eval"
    engine: str = "auto"
    train_size: Positive | None = None
    test_size: Positive | None = None
    validation_size: Positive | None = None
    target_accuracy: Annotated[float, Field(gt=0, le=100)] | None = None
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    reference: bool = False
    resources: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    marks: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], ...] = Field(default=(), strict=False)
    expect: Expect = {}


class Block(Settings):
    """One of [[cases]], with the [defaults] filled in: every combination of its lists."""

    models: Names
    optimizers: Names
    datasets: Names | None = None
    schedules: Names | None = None
    engines: Names | None = None
    label: Annotated[str, Field(pattern=rf"^({NAME.pattern})?$")] = ""


class Configured(BaseModel):
    """A named configuration, as [models.wide]; what is no field of it is a parameter."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    use: str | None = None
    expect: Expect = {}
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return dict(self.model_extra or {})


def _space(value: object) -> Space:
    """`{ low = 1e-4, high = 1, log = true }`, or a list of values.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(value, Space):
        return value
    if isinstance(value, list) and value:
        return Space(values=tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= {*value} <= {"low", "high", "log"}:
        raise ValueError("should be a range, { low = 1e-4, high = 1.0, log = true }, or a list of values")
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not all(type(end) in (int, float) and math.isfinite(end) for end in (low, high)) or type(log) is not bool:
        raise ValueError("should have numbers as low and high, and true or false as log")
    if low >= high:
        raise ValueError(f"should have low below high, not {low:g} to {high:g}")
    if log and low <= 0:
        raise ValueError(f"should begin above 0, as log = true, not at {low:g}")
    return Space(low=low, high=high, log=log)


class ConfiguredOptimizer(Configured):
    """[optimizers.NAME], which may have a schedule and a clipping of its own, instead of its cases'.

    Attributes:
        space: What `benchmnist tune` chooses parameters from; `benchmnist run` passes it over.
    """

    schedule: str | None = None
    clip_grad_norm: Norm | None = None
    space: dict[str, Annotated[Space, BeforeValidator(_space)]] = {}


class Tune(_Strict):
    """The table [tune]: what `benchmnist tune` gives to each optimizer on each model.

    Attributes:
        trials: How many points of its space are tried.
        sampler: How they are chosen.
        seed: What the sampler draws from.
        seeds: How many trainings each point is judged by.
        validation_size: How many training examples it is judged on, which are not trained on.
        epochs: Instead of the suite's, while searching.
    """

    trials: Positive = 20
    sampler: Literal["random", "tpe", "grid"] = "random"
    seed: Annotated[int, Field(ge=0)] = 0
    seeds: Positive = 1
    validation_size: Positive = 10_000
    epochs: Positive | None = None


class Place(NamedTuple):
    """Where an optimizer is tuned by itself: the labels of a dataset, a model and a block, and the method."""

    dataset: str
    model: str
    label: str
    method: str


@dataclass(frozen=True)
class Point:
    """Parameters of an optimizer that were chosen for it, on one model.

    Attributes:
        params: Instead of those that the suite says.
        variant: What tells the case apart from those with other points.
    """

    params: Mapping[str, Any]
    variant: str = ""


C = TypeVar("C", bound=Configured)


@dataclass(frozen=True)
class Suite:
    """A suite, as read.

    Attributes:
        name: Names the folder of its runs.
        title: For people.
        order: Whether the trials are executed case by case, or seed by seed.
        blocks: Its [[cases]], with the defaults filled in.
        models, optimizers, schedules, datasets: Its named configurations.
        tune: What `benchmnist tune` does with it.
        expect: What its [defaults] expect of every case; `blocks` have only what they say themselves.
        file: Where it was read from.
        text: The TOML, as read.
        problems: What is wrong with it; a suite with problems is never run.
        lines: Where each of its tables and keys begins.
        block_indices: Which of [[cases]] each of `blocks` is.
        assigned: The places of values that override the file's, each with its `KEY=VALUE`.
        points: Parameters that were chosen for a place: a case for each, instead of one.
        tuned: Whether those points are the outcome of a search.
    """

    name: str
    title: str
    order: Literal["suite", "interleaved"]
    blocks: tuple[Block, ...]
    models: Mapping[str, Configured]
    optimizers: Mapping[str, ConfiguredOptimizer]
    schedules: Mapping[str, Configured]
    datasets: Mapping[str, Configured]
    tune: Tune
    expect: Expect
    file: str
    text: str
    problems: tuple[Problem, ...]
    lines: Mapping[TomlPath, int] = field(repr=False)
    block_indices: tuple[int, ...]
    assigned: Mapping[TomlPath, str] = field(default_factory=dict)
    points: Mapping[Place, tuple[Point, ...]] = field(default_factory=dict)
    tuned: bool = False

    def problem(self, message: str, *path: str | int) -> Problem:
        """That something is wrong at `path`, `("optimizers", "sgd", "lr")`."""
        return _problem(message, path, self.file, self.lines, self.assigned)

    def block_path(self, block: int) -> TomlPath:
        """Where the block of that index in `blocks` stands in the file."""
        return ("cases", self.block_indices[block])

    def block_line(self, block: int) -> int | None:
        """The line of the block of that index in `blocks`, counted from 1."""
        return self.lines.get(self.block_path(block))


def load_suite(path: str | Path, *, set: Sequence[str] = ()) -> Suite:  # noqa: A002 - as the option is called
    """Reads a suite.

    Args:
        path: The TOML file.
        set: Override values in it: `["optimizers.adam.lr=0.01"]`, typed as TOML.

    Raises:
        SuiteError: with every mistake in the file.
    """
    suite = read_suite(path, set)
    if suite.problems:
        raise SuiteError(suite.problems)
    return suite


def read_suite(path: str | Path, assignments: Sequence[str] = ()) -> Suite:
    """Reads a suite, with some of its values overridden by `KEY=VALUE`.

    Its `problems` say what is wrong; that is left out, so that everything wrong is reported together.

    Raises:
        SuiteError: if so much is wrong that nothing can be read from it.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError:
        near = nearest(path.stem, (p.stem for p in path.parent.glob("*.toml")))
        raise SuiteError([Problem(f"no such suite.{near}", str(path))]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError([Problem(f"cannot be read: {error}", str(path))]) from error
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), None
        if place := re.search(r" \(at line (\d+), column (\d+)\)$", message):
            message, line = f"{message[: place.start()]} (column {place[2]})", int(place[1])
        raise SuiteError([Problem(f"not TOML: {message}", str(path), line)]) from error
    return _Reader(raw, text, str(path), assignments).suite()


class _Reader:
    """Reads the parts of a suite one by one, so that a mistake in one does not hide those in the others."""

    def __init__(self, raw: dict[str, Any], text: str, file: str, assignments: Sequence[str]) -> None:
        self.raw, self.text, self.file = raw, text, file
        self.lines = line_numbers(text)
        self.problems: list[Problem] = []
        self.assigned: dict[TomlPath, str] = {}
        for assignment in assignments:
            try:
                self.assigned[assign(raw, parse_assignment(assignment))] = assignment
            except ValueError as error:
                self.problems.append(Problem(str(error), f"--set {assignment}"))

    def suite(self) -> Suite:
        tables = ("suite", "defaults", "cases", "models", "optimizers", "schedules", "datasets", "tune")
        for key in self.raw:
            if key not in tables:
                self.report(f"unknown table.{nearest(key, tables)} There are: {', '.join(tables)}", key)
        header = self.read(Header, self.raw.get("suite", {}), "suite")
        defaults = self.read(Settings, self.raw.get("defaults", {}), "defaults") or Settings()
        given = defaults.model_dump(exclude_unset=True, exclude={"expect"})
        blocks = self.raw.get("cases")
        if not isinstance(blocks, list) or not blocks:
            self.report("the suite has no cases; give it a [[cases]] with models and optimizers", "cases")
            blocks = []
        read = {
            index: self.read(Block, {**given, **block} if isinstance(block, dict) else block, "cases", index)
            for index, block in enumerate(blocks)
        }
        whole = {index: block for index, block in read.items() if block}
        name = header.name if header else "suite"
        return Suite(
            name=name,
            title=(header.title if header else "") or name,
            order=header.order if header else "suite",
            blocks=tuple(whole.values()),
            models=self.configured("models", Configured),
            optimizers=self.configured("optimizers", ConfiguredOptimizer),
            schedules=self.configured("schedules", Configured),
            datasets=self.configured("datasets", Configured),
            tune=self.read(Tune, self.raw.get("tune", {}), "tune") or Tune(),
            expect=defaults.expect,
            file=self.file,
            text=self.text,
            lines=self.lines,
            assigned=self.assigned,
            block_indices=tuple(whole),
            problems=tuple(self.problems),  # the last, when all has been read
        )

    def configured(self, kind: str, model: type[C]) -> dict[str, C]:
        tables = self.raw.get(kind, {})
        if not isinstance(tables, dict):
            self.report(f"should be tables, [{kind}.NAME]", kind)
            return {}
        for name in tables:
            if not NAME.fullmatch(name):
                self.report(
                    "a name is lower-case letters and digits joined by single - _ . or +; rename it",
                    kind,
                    name,
                )
        read = {name: self.read(model, table, kind, name) for name, table in tables.items()}
        return {name: table for name, table in read.items() if table}

    def read(self, model: type[M], raw: object, *path: str | int) -> M | None:
        """`raw` as a `model`, less the keys that are wrong; None where too little is left."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            wrong = error.errors(include_url=False)
        for mistake in wrong:  # "[key]": the mistake is in the key itself
            self.report(_message(mistake, model), *path, *(part for part in mistake["loc"] if part != "[key]"))
        if not isinstance(raw, dict):
            return None
        bad = {mistake["loc"][0] for mistake in wrong if mistake["loc"]}
        try:
            return model.model_validate({key: value for key, value in raw.items() if key not in bad})
        except ValidationError:
            return None

    def report(self, message: str, *path: str | int) -> None:
        self.problems.append(_problem(message, path, self.file, self.lines, self.assigned))


def _problem(
    message: str, path: TomlPath, file: str, lines: Mapping[TomlPath, int], assigned: Mapping[TomlPath, str]
) -> Problem:
    """A problem at `path`: in what overrides it, or on the line of the longest part of it that is in the file."""
    for n in range(len(path), 0, -1):
        if path[:n] in assigned:
            return Problem(message, f"--set {assigned[path[:n]]}")
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return Problem(message, file, line, ".".join(part for part in path if isinstance(part, str)))


def _message(mistake: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found, as a person would say it."""
    kind, given = mistake["type"], mistake["input"]
    if kind == "extra_forbidden":
        return f"unknown key.{nearest(str(mistake['loc'][-1]), model.model_fields)}"
    if kind == "missing":
        return "is missing"
    if kind == "too_short":
        return "is empty; name at least one"
    if kind == "value_error":
        return str(mistake["ctx"]["error"])
    if kind == "string_pattern_mismatch" and "marks" in mistake["loc"]:
        return f"{given!r} is no name of a pytest mark"
    if kind == "string_pattern_mismatch":
        return f"{given!r} is not letters and digits joined by single - _ or ."
    said = mistake["msg"].removeprefix("Input ")
    return f"{said}, not {given!r}" if len(repr(given)) < 40 else said  # noqa: PLR2004


def line_numbers(text: str) -> dict[TomlPath, int]:
    """Where each table and key of a TOML text begins, counted from 1: `("cases", 0, "epochs")` -> 12.

    tomllib does not say. But a header by itself is TOML, and so is one `key = value`: the text is cut into
    these by asking tomllib after each line whether what has gathered is whole, and each is read by itself.
    """
    lines: dict[TomlPath, int] = {}
    arrays: dict[TomlPath, int] = {}  # how many [[tables]] each array has so far
    table: TomlPath = ()
    gathered, begun = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        gathered += f"{line}\n"
        try:
            statement = tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        if gathered.lstrip().startswith("["):
            names = tuple(_header(statement))
            if gathered.lstrip().startswith("[["):
                inside = _resolve(names[:-1], arrays)
                array = (*inside, names[-1])
                arrays[array] = arrays.get(array, 0) + 1
                table = (*array, arrays[array] - 1)
            else:
                table = _resolve(names, arrays)
            paths = [table[:n] for n in range(1, len(table) + 1)]
        else:
            paths = [table + key for key in _keys(statement)]
        for path in paths:
            lines.setdefault(path, begun)
        gathered, begun = "", number + 1
    return lines


def _header(statement: Mapping[str, Any]) -> Iterator[str]:
    """The names in a header that was read by itself: {"a": {"b": {}}} is [a.b], {"a": [{}]} is [[a]]."""
    while statement:
        ((name, inner),) = statement.items()
        yield name
        statement = inner[0] if isinstance(inner, list) else inner


def _resolve(names: Sequence[str], arrays: Mapping[TomlPath, int]) -> TomlPath:
    """The path of a header: a name that is an array of tables stands for the last of them."""
    path: TomlPath = ()
    for name in names:
        path = (*path, name)
        if path in arrays:
            path = (*path, arrays[path] - 1)
    return path


def _keys(statement: Mapping[str, Any]) -> Iterator[TomlPath]:
    """The paths in one `key = value`, which may be dotted or have an inline table."""
    for key, value in statement.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *rest) for rest in _keys(value))
