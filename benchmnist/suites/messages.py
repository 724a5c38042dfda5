"""What is wrong with a key or a value of a suite, in words: what it must be, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.errors import closest, nearest
from benchmnist.extensions.kinds import IN_SUITES, MODEL, OPTIMIZER
from benchmnist.suites.schema import CASES, COMPARE, DEFAULTS, ENGINES, Header, Tune
from benchmnist.suites.values import OPTION_SYNONYMS, not_this, shown, toml_text, unquoted
from benchmnist.text import alternatives, with_article

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

OPTIMIZER_PARAMETERS = (
    *("lr", "learning_rate", "momentum", "nesterov", "dampening", "weight_decay", "betas", "beta1", "beta2"),
    *("eps", "epsilon", "rho", "alpha", "amsgrad", "centered", "fused", "foreach", "ns_steps"),
)
"""Parameters that people look for in [defaults] or [[cases]], though they belong to an optimizer."""
MODEL_PARAMETERS = ("hidden_size", "hidden", "dropout", "width", "depth", "layers", "channels")
"""The same of a model."""
TABLES = ("suite", "defaults", "cases", "compare", *(kind.plural for kind in IN_SUITES), "tune")
"""The tables of a suite."""
OPTIONS = {
    **{name: name for name in ("device", "jobs", "executor", "timeout", "out", "resume", "reuse", "control")},
    **OPTION_SYNONYMS,
    **{name: name.replace("_", "-") for name in ("data_root", "dry_run", "keyword", "block", "checkpoints")},
}
"""What people look for in a suite, though it is an option of `benchmnist run`."""
_PRECISIONS = {
    **dict.fromkeys(("bfloat16", "torch.bfloat16", "amp", "mixed"), "bf16"),
    **dict.fromkeys(("fp32", "f32", "single", "full", "torch.float32", "32"), "float32"),
}
"""Other names of precisions."""
_WITH = ("baseline", "against", "versus", "vs", "to", "reference", "other")
"""Other names of `with` in [[compare]]."""
_HEADERS = {
    "suite": "[suite]",
    "defaults": "[defaults]",
    "cases": "[[cases]]",
    "compare": "[[compare]]",
    "tune": "[tune]",
}
LISTS = tuple(name for name, header in _HEADERS.items() if header.startswith("[["))
"""The tables that a suite has several of."""
_HOMES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("[suite]", Header),
    ("[defaults]", DEFAULTS),
    ("[[cases]]", CASES),
    ("[tune]", Tune),
    ("[[compare]]", COMPARE),
)
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a string",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
}
"""What pydantic's errors call a type, in words."""
_EXAMPLES = {
    "sweep": "sweep.lr = [0.1, 0.01]",
    "space": "space.lr = { low = 1e-4, high = 1.0, log = true }",
    "expect": 'expect.accuracy = ">= 97.0"',
    "resources": "resources.num_gpus = 1",
    "models": 'models = ["fc"]',
    "optimizers": 'optimizers = ["adam"]',
    "with": 'with = "sgd"',
    "name": 'name = "my-suite"',
}


def explain(mistake: ErrorDetails, model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """What pydantic found, in words.

    Args:
        mistake: What it found.
        model: The table that was read.
        path: Where the mistake is, `("cases", 0, "epochs")`.
    """
    kind, value, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return not_this(f"{words} {context[bound]:,g}", value)
    if kind.endswith("_type") and kind.partition("_")[0] in _TYPES:
        return _wrong_type(kind.partition("_")[0], value, key, model)
    plain: dict[str, Callable[[], str]] = {
        "int_from_float": lambda: _wrong_type("int", value, key, model),
        "model_type": lambda: wrong_table(value, path),
        "literal_error": lambda: _no_choice(str(context["expected"]), value),
        "extra_forbidden": lambda: unknown_key(key, value, model),
        "missing": lambda: f"is missing; write {_EXAMPLES[key]}" if key in _EXAMPLES else "is missing",
        "too_short": lambda: "must have at least one entry",
        "finite_number": lambda: not_this("a finite number", value),
        "value_error": lambda: str(context["error"]),
        "string_pattern_mismatch": lambda: _not_a_name(value, path, model),
    }
    if kind in plain:
        return plain[kind]()
    return not_this(mistake["msg"].removeprefix("Input should be ").removeprefix("Input "), value)


def wrong_table(value: object, path: tuple[str | int, ...], *, typed: bool = False) -> str:
    """A table was expected at `path`; `typed` if --set put something else there."""
    if typed:
        one = "cases.0.epochs=2" if path[0] == "cases" else 'compare.0.with="sgd"'
        return not_this("a list of tables", value, f"override one key, such as {one}")
    if path[0] in LISTS:
        return not_this("a table", value, f"write [[{path[0]}]] with double brackets")
    header = ".".join(part for part in path if isinstance(part, str))
    if _parameter(str(path[-1])) and not isinstance(value, (dict, list)):  # [optimizers] with lr = 0.1
        header = f"{path[0]}.NAME"
    if is_list_of_tables(value):
        return f"must be one table; write [{header}] with single brackets"
    return not_this("a table", value, f"write [{header}]")


def is_list_of_tables(value: object) -> bool:
    """True for what [[double brackets]] make."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _wrong_type(wanted: str, value: object, key: str, model: type[BaseModel]) -> str:
    """A value of another type than the key's."""
    words, instead = _TYPES[wanted], ""
    if wanted in ("list", "tuple"):
        instead = "" if isinstance(value, (list, dict)) else f"write [{shown(value)}]"
    elif wanted == "dict":
        instead = f"write {_EXAMPLES[key]}" if key in _EXAMPLES else ""
    elif wanted == "string" and (name := _name_expected(key)) and not isinstance(value, dict):
        if isinstance(value, list) and f"{key}s" in CASES.model_fields and model in (CASES, DEFAULTS):
            return not_this(f"one {key}", value, f"write {key}s = {shown(value)} in [[cases]]")
        if isinstance(value, list) and len(value) == 1:
            return not_this(name, value, f"write {key} = {shown(value[0])}")
        return not_this(name, value)
    elif isinstance(value, list):
        if f"{key}s" in CASES.model_fields and model in (CASES, DEFAULTS):
            return not_this(f"one {key}", value, f"write {key}s = {shown(value)} in [[cases]]")
        words = words.replace("a ", "one ", 1)
    elif wanted == "string":
        instead = "" if isinstance(value, dict) else f'write "{shown(value)}"'
    elif wanted == "int" and isinstance(value, float) and value.is_integer():
        instead = f"write {value:.0f}"
    else:
        instead = unquoted(value, boolean=wanted == "bool")
    return not_this(words, value, instead)


def _name_expected(key: str) -> str:
    """What must be written where a key takes a name, of a plugin or of an engine; empty for another key."""
    if key in ("engine", "engines"):
        return alternatives(map(toml_text, ENGINES))
    kind = next((kind.name for kind in IN_SUITES if key in (kind.name, kind.plural)), "")
    kind = OPTIMIZER.name if key == "baseline" else kind
    if key in ("with", "on"):
        return "the name of an optimizer or of a model in quotes"
    if key == "use":
        return "a name in quotes"
    return f"the name of {with_article(kind)} in quotes" if kind else ""


def _no_choice(expected: str, value: object) -> str:
    """One of a few strings was expected: `'eval' or 'train'`."""
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    near = nearest(value, choices) if isinstance(value, str) else ""
    if isinstance(value, str) and (usual := _PRECISIONS.get(value.lower())) in choices:
        near = f" Did you mean {usual!r}?"
    return not_this(alternatives(map(toml_text, choices)), value) + (f".{near}" if near else "")


def _not_a_name(value: object, path: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """A name has characters that it must not have."""
    if "marks" in path:
        return f"{shown(value)} cannot be the name of a pytest mark; use letters, digits and _"
    letters = "letters and digits" if model is Header else "lower-case letters and digits"
    return not_this(f"{letters}, joined by single - _ or .", value)


def unknown_key(key: str, value: object, model: type[BaseModel]) -> str:
    """A key that a table does not have: where it belongs, or the nearest that it has."""
    name = key.replace("-", "_")
    if model in (CASES, DEFAULTS) and f"{name}s" not in DEFAULTS.model_fields and f"{name}s" in CASES.model_fields:
        listed = shown(value if isinstance(value, list) else [value])
        return f"unknown key; write {name}s = {listed}{'' if model is CASES else ' in [[cases]]'}"
    if model is COMPARE and (meant := meant_in_compare(name)):
        return f"unknown key; write {meant} = {shown(value_in_compare(meant, value))}"
    if said := _elsewhere(name, value, model):
        return said
    if home := next((header for header, table in _HOMES if table is not model and key in table.model_fields), ""):
        return f"unknown key; move it to {home}"
    if said := _parameter(name):
        return said
    near = nearest(key, model.model_fields)
    choose = f" Choose from: {', '.join(model.model_fields)}" if model in (Header, Tune) and not near else ""
    return f"unknown key.{near}{choose}".removesuffix(".")


def meant_in_compare(key: str) -> str:
    """The key of [[compare]] that another key is meant to be, `with` for `baseline`; empty for any other."""
    if f"{key}s" in COMPARE.model_fields:
        return f"{key}s"
    return "with" if key in _WITH else ""


def value_in_compare(key: str, value: object) -> object:
    """A value of [[compare]] as its key takes it: one name as a list of it, but for `with`."""
    return [value] if key != "with" and isinstance(value, str) else value


def _elsewhere(name: str, value: object, model: type[BaseModel]) -> str:
    """A key of a configuration, a single seed, or an option of the command line; empty for another name."""
    if name == "seed" and model is not Tune:
        return f"unknown key; write seeds = {shown(value if isinstance(value, list) else [value])}" + (
            "" if model in (CASES, DEFAULTS) else " in [defaults]"
        )
    if name in ("sweep", "space", "use"):
        return f"belongs to one configuration; move it to [{OPTIMIZER.plural}.NAME]"
    if option := OPTIONS.get(name):
        return f"is an option of the command line; remove it, and run with --{option}"
    return ""


def _parameter(name: str) -> str:
    """Where a parameter of an optimizer or of a model belongs; empty for another name."""
    for kind, names in ((OPTIMIZER, OPTIMIZER_PARAMETERS), (MODEL, MODEL_PARAMETERS)):
        if name in names:
            return f"is a parameter of {with_article(kind.name)}; move it to [{kind.plural}.NAME]"
    return ""


def unknown_table(key: str, value: object, listed: Mapping[str, str]) -> str:
    """A key at the top of a suite that it does not have.

    Args:
        key: The key.
        value: Its value.
        listed: What [[cases]] list, each name with the key of its list.
    """
    if isinstance(value, dict) and key in listed:
        return f"unknown table; write [{listed[key]}.{key}]"
    if not isinstance(value, dict) and not is_list_of_tables(value):
        if said := _elsewhere(key, value, Header):
            return said
        for header, table in _HOMES:
            if key in table.model_fields:
                return f"must be in a table; move it below {header}"
        if said := _parameter(key):
            return said
    if meant := closest(key, TABLES):
        return f"unknown table; write {_HEADERS.get(meant, f'[{meant}.NAME]')}"
    return f"unknown table. Choose from: {', '.join(TABLES)}"


def wrong_tables(kind: str, value: object) -> str:
    """`[optimizers.NAME]` were expected."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return f"must be in [[cases]]; move it there, or write [{kind}.NAME] to configure one"
    return f"must be tables; write [{kind}.NAME]"


def not_a_suite(raw: Mapping[str, object]) -> str:
    """A TOML file without any table of a suite, `pyproject.toml` say."""
    return (
        f"not a suite: it has {alternatives([*raw][:3]).replace(' or ', ' and ')}, but no [suite] and no [[cases]]"
    )


def without_use(message: str, kind: str) -> str:
    """No plugin offers what a configuration is named as, and it does not say which one it configures."""
    return message.replace(" Choose from:", f' Add use = "NAME" to say which {kind} it configures. Choose from:')


def unknown_assignment(key: str, assignment: str, listed: Mapping[str, str]) -> str:
    """`--set epochs=2` and `--set adam.lr=0.1`: the key of a suite that is meant; empty where none is known.

    Args:
        key: The first part of the key.
        assignment: The `KEY=VALUE` as it was typed.
        listed: What [[cases]] list, each name with the key of its list.
    """
    dotted = assignment.partition("=")[0].strip() != key
    if dotted:
        return f"write --set {listed[key]}.{assignment}" if key in listed else ""
    homes = (("defaults", DEFAULTS), ("suite", Header), ("cases.0", CASES), ("tune", Tune))
    if home := next((home for home, table in homes if key in table.model_fields), ""):
        return f"write --set {home}.{assignment}"
    for kind, names in ((OPTIMIZER, OPTIMIZER_PARAMETERS), (MODEL, MODEL_PARAMETERS)):
        if key in names:
            return f"is a parameter of {with_article(kind.name)}; write --set {kind.plural}.NAME.{assignment}"
    return ""
