"""Says what is wrong with a key that a suite does not have: where it belongs, or what is meant by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmnist.errors import closest, nearest
from benchmnist.extensions.kinds import IN_SUITES, MODEL, OPTIMIZER
from benchmnist.suites.schema import CASES, COMPARE, DEFAULTS, Header, Tune
from benchmnist.suites.values import OPTION_SYNONYMS, is_list_of_tables, shown
from benchmnist.text import with_article

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

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
"""Names that people look for in a suite, though it is an option of `benchmnist run`."""
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


def unknown_key(key: str, value: object, model: type[BaseModel]) -> str:
    """A key that a table does not have: where it belongs, or the nearest that it has."""
    name = key.replace("-", "_")
    if model in (CASES, DEFAULTS) and f"{name}s" not in DEFAULTS.model_fields and f"{name}s" in CASES.model_fields:
        listed = shown(value if isinstance(value, list) else [value])
        return f"unknown key; write {name}s = {listed}{'' if model is CASES else ' in [[cases]]'}"
    if model is COMPARE and (meant := meant_in_compare(name)):
        return f"unknown key; write {meant} = {shown(value_in_compare(meant, value))}"
    if model is COMPARE and name in ("label", "labels"):
        return 'unknown key; write the label after a name, such as "adam/long"'
    if said := _elsewhere(name, value, model):
        return said
    if home := next((header for header, table in _HOMES if table is not model and key in table.model_fields), ""):
        return f"unknown key; move it to {home}"
    if said := parameter_of(name):
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


def parameter_of(name: str) -> str:
    """Returns where a parameter of an optimizer or of a model belongs; empty for another name."""
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
        if said := parameter_of(key):
            return said
    if meant := closest(key, TABLES):
        return f"unknown table; write {_HEADERS.get(meant, f'[{meant}.NAME]')}"
    return f"unknown table. Choose from: {', '.join(TABLES)}"


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
