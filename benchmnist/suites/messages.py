"""Says what is wrong with a value of a suite: what it must be, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.errors import nearest
from benchmnist.extensions.kinds import IN_SUITES, OPTIMIZER
from benchmnist.suites.schema import CASES, DEFAULTS, ENGINES, Header
from benchmnist.suites.unknown_keys import LISTS, parameter_of, unknown_key
from benchmnist.suites.values import is_list_of_tables, not_this, shown, toml_text, unquoted
from benchmnist.text import alternatives, with_article

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

_PRECISIONS = {
    **dict.fromkeys(("bfloat16", "torch.bfloat16", "amp", "mixed"), "bf16"),
    **dict.fromkeys(("fp32", "f32", "single", "full", "torch.float32", "32"), "float32"),
}
"""Other names of precisions."""
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
"""Types in words, by what pydantic's errors call them."""
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
    """Returns what pydantic found, in words.

    Args:
        mistake: What it found.
        model: The table that was read.
        path: Where the mistake is, `("cases", 0, "epochs")`.
    """
    kind, value, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        limit = context[bound]
        return not_this(f"{words} {limit:,}" if isinstance(limit, int) else f"{words} {limit:,g}", value)
    if kind.endswith("_type") and kind.partition("_")[0] in _TYPES:
        return _wrong_type(kind.partition("_")[0], value, key, model)
    plain: dict[str, Callable[[], str]] = {
        "int_from_float": lambda: _wrong_type("int", value, key, model),
        "model_type": lambda: wrong_table(value, path),
        "literal_error": lambda: _no_choice(str(context["expected"]), value),
        "extra_forbidden": lambda: unknown_key(key, value, model),
        "missing": lambda: missing(key),
        "too_short": lambda: "must have at least one entry",
        "finite_number": lambda: not_this("a finite number", value),
        "value_error": lambda: str(context["error"]),
        "string_pattern_mismatch": lambda: _not_a_name(value, path, model),
    }
    if kind in plain:
        return plain[kind]()
    return not_this(mistake["msg"].removeprefix("Input should be ").removeprefix("Input "), value)


def missing(key: str) -> str:
    """A key that a table must have."""
    return f"is missing; write {_EXAMPLES[key]}" if key in _EXAMPLES else "is missing"


def wrong_table(value: object, path: tuple[str | int, ...], *, typed: bool = False) -> str:
    """A table was expected at `path`; `typed` if --set put something else there."""
    if typed:
        one = "cases.0.epochs=2" if path[0] == "cases" else 'compare.0.with="sgd"'
        return not_this("a list of tables", value, f"override one key, such as {one}")
    if path[0] in LISTS:
        return not_this("a table", value, f"write [[{path[0]}]] with double brackets")
    header = ".".join(part for part in path if isinstance(part, str))
    if parameter_of(str(path[-1])) and not isinstance(value, (dict, list)):  # [optimizers] with lr = 0.1
        header = f"{path[0]}.NAME"
    if is_list_of_tables(value):
        return f"must be one table; write [{header}] with single brackets"
    return not_this("a table", value, f"write [{header}]")


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
    """Returns what must be written where a key takes a name of a plugin or an engine; empty for another key."""
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
        return f"{shown(value)} cannot be the name of a pytest mark; use letters, digits and _, a letter first"
    letters = "letters and digits" if model is Header else "lower-case letters and digits"
    return not_this(f"{letters}, joined by single - _ or .", value)


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
