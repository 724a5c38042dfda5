"""The schema of a suite: its TOML as pydantic models. What is read is a Suite, in suite.py."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from benchmnist.extensions.kinds import AXES, BUNDLED, BUNDLES, PARTS, SETS, Kind
from benchmnist.extensions.specs import NAME
from benchmnist.suites.cases import Comparison, ParameterGroup, ParameterKind, Space
from benchmnist.suites.spaces import flat_space, read_space, sampler_name
from benchmnist.suites.values import (
    MAX_COUNT,
    MAX_EPOCHS,
    MAX_SEEDS,
    MAX_STEPS,
    SHOWN,
    each_once,
    not_this,
    one_or_more,
    shown,
    unquoted,
)

if TYPE_CHECKING:
    from collections.abc import Collection

Order = Literal["suite", "interleaved"]
"""Order of the trials: case by case, or seed by seed (every other seed in the reverse order of the cases)."""
ENGINES = ("auto", "dataloader", "resident", "graph", "streams", "stacked")
AT_ONCE = ("streams", "stacked")
"""Engines that train several trials at once, so that none of them has a time of its own."""
LARGEST_SEED = 2**32 - 1
"""The largest seed, of numpy and of optuna's samplers too."""
SUITE_NAME = r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*"


def seed_list(value: object) -> tuple[int, ...]:
    """`3` is 0, 1, 2; a list is itself.

    Raises:
        ValueError: if it is neither, or empty, or has too many seeds, a negative or large one, or one twice.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    seeds: Any = range(value) if whole and isinstance(value, int) else value
    several = isinstance(seeds, (range, list, tuple))
    if several and seeds[MAX_SEEDS:]:
        raise ValueError(f"must be at most {MAX_SEEDS:,} seeds")
    if not several or not all(type(seed) is int for seed in seeds):
        raise ValueError(not_this("a number of seeds or a list of seeds", value, unquoted(value)))
    if (lowest := min(seeds, default=value if isinstance(value, int) else 0)) < 0:
        raise ValueError(f"must not be negative, as {shown(lowest)} is")
    if not seeds:
        raise ValueError("must name at least one seed")
    if max(seeds) > LARGEST_SEED:
        raise ValueError(f"must be at most {LARGEST_SEED:,} each")
    for seed, count in Counter(seeds).items():
        if count > 1:
            raise ValueError(f"duplicate seed {seed}")
    return tuple(seeds)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds that a user typed: `3`, or `0,4,7`. See `seed_list`.

    Raises:
        ValueError: if it is neither.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"must be a number of seeds or a list such as 0,4,7, not {text[:SHOWN]!r}")
    if max(map(len, parts)) > len(str(LARGEST_SEED)):  # Python refuses to read one of more than 4,300 digits
        raise ValueError(f"must be at most {LARGEST_SEED:,} each")
    return seed_list([int(part) for part in parts] if len(parts) > 1 else int(text))


PYTESTS_OWN = frozenset(
    {"benchmark", "filterwarnings", "parametrize", "skip", "skipif", "tryfirst", "trylast", "usefixtures", "xfail"}
)
"""Marks that pytest and pytest-benchmark act on: a case with one would not be trained, or not as it says."""


def _mark(name: str) -> str:
    """Returns the name of a mark that only selects.

    Raises:
        ValueError: if the mark would change what becomes of the case.
    """
    if name in PYTESTS_OWN:
        raise ValueError(f'"{name}" means something to pytest itself; choose another name')
    return name


Mark = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$"), AfterValidator(_mark)]
Once = AfterValidator(each_once)
Names = Annotated[list[str], Field(min_length=1, json_schema_extra={"uniqueItems": True}), Once]
Positive = Annotated[int, Field(gt=0, le=MAX_STEPS)]
Epochs = Annotated[int, Field(gt=0, le=MAX_EPOCHS)]
Count = Annotated[int, Field(gt=0, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Norm = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_TypedSeeds = (
    Annotated[int, Field(ge=1, le=MAX_SEEDS)] | Annotated[list[Seed], Field(min_length=1, max_length=MAX_SEEDS)]
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Header(_Strict):
    """The table [suite]."""

    name: Annotated[str, Field(pattern=f"^{SUITE_NAME}$")]
    title: str = ""
    order: Order | None = None
    recorded: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+\.zip)?$")] = ""
    needs: tuple[str, ...] = Field(default=(), strict=False)


Expect = dict[str, Comparison]
"""The assertions of a suite on a case, by metric; a case that misses it fails. The planner knows the metrics."""


class Settings(_Strict):
    """The keys of [defaults], any of which [[cases]] may override; those that name plugins are in DEFAULTS."""

    epochs: Epochs = 5
    steps: Positive | None = None
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    evaluate_every: Positive | None = None
    batch_size: Positive = 100
    seeds: Annotated[tuple[int, ...], BeforeValidator(seed_list, json_schema_input_type=_TypedSeeds)] = (0, 1, 2)
    clip_grad_norm: Norm | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    init_seed: Seed | None = None
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    baseline: str | None = None
    normalise: bool = False
    evaluate_in: Literal["eval", "train"] = "eval"
    engine: str = "auto"
    train_size: Positive | None = None
    test_size: Positive | None = None
    validation_size: Positive | None = None
    target_accuracy: Annotated[float, Field(gt=0, le=100)] | None = None
    target_loss: Annotated[float, Field(allow_inf_nan=False)] | None = None
    stop_at_target: bool = False
    patience: Count | None = None
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    reference: bool = False
    costs: bool | None = None
    dynamics: bool = False
    resources: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    marks: tuple[Mark, ...] = Field(default=(), strict=False)
    expect: Expect = {}


EXCLUSIVE = (("epochs", "steps"), ("target_accuracy", "target_loss"))
"""Pairs of settings of which a table may have one; in [[cases]], it overrides the other one of [defaults]."""


def excluded_by(keys: Collection[str]) -> set[str]:
    """Returns the settings that some settings override, the other ones of their pairs."""
    return {other for pair in EXCLUSIVE for key, other in (pair, pair[::-1]) if key in keys}


class Block(Settings):
    """One of [[cases]], with the [defaults] filled in: every combination of its lists. Read as a CASES."""

    engines: Names | None = None
    label: Annotated[str, Field(pattern=rf"^({NAME.pattern})?$")] = ""

    def lists(self, kind: Kind) -> bool:
        """Tells whether it has a list of that kind: `datasets`, where it may also have one `dataset`."""
        return bool(getattr(self, kind.plural))

    def names(self, kind: Kind) -> list[str]:
        """The names that it lists of a kind, or the one that it sets; empty where it has none."""
        if self.lists(kind):
            return list(getattr(self, kind.plural))
        one = getattr(self, kind.name, None)
        return [] if one is None else [one]


def _with_settings(model: type[Settings]) -> Any:
    """A model with a key for each kind of plugin that a case has: `dataset = "mnist"`, `metrics = ["top-k"]`."""
    keys: dict[str, Any] = {k.name: (str if k.default else str | None, k.default) for k in PARTS if k.has_setting}
    keys |= {k.plural: (Names | None, None) for k in SETS}
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **keys)


REQUIRED = tuple(kind for kind in AXES if not kind.has_setting)
"""The kinds of which [[cases]] must have a list, or for those in BUNDLED problems instead."""


def _with_lists(model: type[Block]) -> Any:
    """A model with a list for each kind of plugin; the reader requires those in REQUIRED that are in BUNDLED."""
    plural: dict[str, Any] = {
        k.plural: (Names, ...) if k in REQUIRED and k not in BUNDLED else (Names | None, None)
        for k in (*PARTS, *BUNDLES)
    }
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **plural)


DEFAULTS: type[Settings] = _with_settings(Settings)
"""The model of [defaults]."""
CASES: type[Block] = _with_lists(_with_settings(Block))
"""The model of each of [[cases]]."""


class Compare(_Strict):
    """One of [[compare]]: comparisons that are named before there are results. Read as a COMPARE.

    Attributes:
        optimizers: Each of these optimizers or methods is compared with `other`; or
        models: each of these models is.
        on: Only on these models, or with these optimizers; None for all.
    """

    optimizers: Names | None = None
    models: Names | None = None
    on: Names | None = None

    @model_validator(mode="after")
    def _has_one_list(self) -> Self:
        """Refuses both lists, and none.

        Raises:
            ValueError: if it has both or none.
        """
        if bool(self.optimizers) == bool(self.models):
            raise ValueError("must have either optimizers or models, a list of what is compared")
        return self

    @property
    def other(self) -> str:
        """The name of what each is compared with: the suite's `with`, a word that Python reserves."""
        return str(getattr(self, "with"))


COMPARE: type[Compare] = create_model("Compare", __base__=Compare, __doc__=Compare.__doc__, **{"with": (str, ...)})  # type: ignore[call-overload]
"""The model of each of [[compare]]."""


class Configured(BaseModel):
    """A named configuration, as [models.wide]; what is no field of it is a parameter."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    use: str | None = None
    expect: Expect = {}
    sweep: dict[str, Annotated[list[Any], Field(min_length=1), Once]] = {}

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return dict(self.model_extra or {})


class GroupTable(BaseModel):
    """One of [[optimizers.NAME.groups]]; what is no field of it is a parameter of the optimizer."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    match: Annotated[
        list[str], BeforeValidator(one_or_more, json_schema_input_type=str | list[str]), Field(min_length=1), Once
    ] = []
    kind: Annotated[
        list[ParameterKind],
        BeforeValidator(one_or_more, json_schema_input_type=ParameterKind | list[ParameterKind]),
        Field(min_length=1),
        Once,
    ] = []
    lr_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _selects_and_sets(self) -> Self:
        """Refuses a group that selects nothing or changes nothing.

        Raises:
            ValueError: if it does.
        """
        if not self.match and not self.kind:
            raise ValueError('selects nothing; add kind = ["bias", "norm"] or match = ["0.*"]')
        if not self.options and self.lr_scale is None:
            raise ValueError("changes nothing; add an option, such as weight_decay = 0.0 or lr_scale = 0.1")
        if "lr" in self.options and self.lr_scale is not None:
            raise ValueError("has both lr and lr_scale; remove one")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The parameters of the optimizer that it sets."""
        return dict(self.model_extra or {})

    @property
    def group(self) -> ParameterGroup:
        """The group that it describes."""
        return ParameterGroup(
            match=tuple(self.match), kind=tuple(self.kind), lr_scale=self.lr_scale, options=self.options
        )


class _Range(_Strict):
    """A range of numbers as it is typed, `{ low = 1e-4, high = 1.0, log = true }`; `read_space` reads it."""

    low: float
    high: float
    log: bool = False


_TypedSpace = _Range | Annotated[list[Any], Field(min_length=1)]
SearchSpace = Annotated[
    dict[str, Annotated[Space, BeforeValidator(read_space)]],
    BeforeValidator(flat_space, json_schema_input_type=dict[str, _TypedSpace | dict[str, _TypedSpace]]),
]
"""The values that hyperparameters are chosen from, by their names."""


class ConfiguredOptimizer(Configured):
    """[optimizers.NAME], which may have a schedule and a clipping of its own, instead of its cases'.

    Attributes:
        groups: Its [[optimizers.NAME.groups]]; the first that selects a parameter has it.
        space: What `benchmnist tune` chooses from, and `benchmnist run` ignores: its parameters, with those of the
            schedule and the model (`schedule.warmup`, `model.dropout`), the schedule, and SPACE_SETTINGS.
    """

    schedule: str | None = None
    clip_grad_norm: Norm | None = None
    groups: tuple[GroupTable, ...] = Field(default=(), strict=False)
    space: SearchSpace = {}


def _flat_sweep(value: object) -> object:
    """A sweep whose tables `model`, `dataset` and `task` are keys such as `model.condition`."""
    if not isinstance(value, dict):
        return value
    found: dict[str, object] = {}
    for key, inner in value.items():
        found |= (
            {f"{key}.{name}": each for name, each in inner.items()} if isinstance(inner, dict) else {key: inner}
        )
    return found


class ConfiguredProblem(Configured):
    """[problems.NAME]: the tables of its parts have parameters, and what is no field of it is a setting."""

    model: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    task: dict[str, Any] = {}
    sweep: Annotated[
        dict[str, Annotated[list[Any], Field(min_length=1), Once]],
        BeforeValidator(_flat_sweep, json_schema_input_type=dict[str, list[Any] | dict[str, list[Any]]]),
    ] = {}

    def of_part(self, part: str) -> dict[str, Any]:
        """The parameters that it sets of its `model`, `dataset` or `task`."""
        return dict(getattr(self, part))


class Tune(_Strict):
    """The table [tune]: what `benchmnist tune` gives to each optimizer on each model.

    Attributes:
        trials: How many points of its space are tried.
        searches: How often the search is repeated, with other points and other seeds; then a search counts as one.
        sampler: How they are chosen.
        seed: What the sampler draws from.
        seeds: How many trainings each point is judged by.
        validation_size: How many training examples it is judged on, which are not trained on.
        epochs: Instead of the suite's, while searching.
        untuned: Whether what is tuned is also trained with the suite's own settings.
        always: Whether `benchmnist run` tunes first, as `benchmnist tune` does.
        space: The space of each optimizer that has none of its own, as far as it takes these parameters.
    """

    trials: Count = 20
    searches: Count = 1
    sampler: Annotated[str, BeforeValidator(sampler_name)] = "random"
    seed: Seed = 0
    seeds: Count = 1
    validation_size: Positive = 10_000
    epochs: Epochs | None = None
    untuned: bool = True
    always: bool = False
    space: SearchSpace = {}
