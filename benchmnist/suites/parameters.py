"""The parameters of a plugin's `build`: which it takes, and of what type each value must be."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmnist.errors import LONGEST_KEY, nearest
from benchmnist.suites.schema import DEFAULTS
from benchmnist.suites.values import is_number, not_this, shown, toml_text, unquoted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from benchmnist.extensions.specs import Spec

SYNONYMS = {
    **dict.fromkeys(("learning_rate", "learningrate", "step_size", "eta"), "lr"),
    **dict.fromkeys(("wd", "decay", "l2"), "weight_decay"),
    **dict.fromkeys(("beta", "beta1", "beta2"), "betas"),
    **dict.fromkeys(("hidden", "hidden_dim", "hidden_units", "units", "width"), "hidden_size"),
    **dict.fromkeys(("p", "drop", "dropout_rate"), "dropout"),
    "epsilon": "eps",
}
"""Names that people and other libraries have for some parameters."""
OWN_KEYS = ("use", "sweep", "expect")
"""The keys of a configuration that are no parameters."""


@dataclass(frozen=True)
class Parameters:
    """The parameters that a suite may set.

    Attributes:
        name: The name of what they are of.
        by_name: The parameters, without those that the harness passes.
        anything: True if `build` takes parameters of any name.
        defaults: The defaults of the spec, which override those of `build`.
    """

    name: str
    by_name: Mapping[str, inspect.Parameter]
    anything: bool
    defaults: Mapping[str, Any]

    @property
    def required(self) -> list[str]:
        """Those that have no default."""
        return [name for name, p in self.by_name.items() if p.default is p.empty and name not in self.defaults]

    def problem(self, name: str, value: object) -> str:
        """Returns what is wrong with `name = value`; empty if nothing is."""
        if name not in self.by_name:
            return "" if self.anything else self._unknown(name)
        return self._wrong_type(name, value)

    def problem_in_list(self, name: str, values: Collection[object]) -> str:
        """Returns what is wrong with the first wrong one of several values to try; empty if nothing is."""
        return next(filter(None, (self.problem(name, value) for value in values)), "")

    def _unknown(self, name: str) -> str:
        takes = [*self.by_name]
        near = nearest(name, (*takes, *OWN_KEYS))
        name = name[:LONGEST_KEY]
        if (usual := SYNONYMS.get(name)) in takes:
            near = f" Did you mean {usual!r}?"
        if not near and name in DEFAULTS.model_fields:
            return f"{self.name!r} takes no parameter {name!r}; move it to [defaults] or [[cases]]"
        return f"{self.name!r} takes no parameter {name!r}.{near} It takes: {', '.join(takes) or 'none'}"

    def _wrong_type(self, name: str, value: object) -> str:
        parameter = self.by_name[name]
        default = self.defaults.get(name, parameter.default)
        wanted = _type_of(default, parameter.annotation)
        if isinstance(value, dict) and _says(parameter.annotation, "dict", "Mapping", "Any", "object"):
            return ""
        if wanted == "number":
            return _not_a_number(name, value, parameter.annotation, default)
        if wanted == "boolean" and not isinstance(value, bool):
            if isinstance(value, list):
                return _one(name, "true or false", value)
            if not is_number(value) or not _says(parameter.annotation, "int", "float"):
                return not_this("true or false", value, unquoted(value, boolean=True))
        elif wanted == "string" and not isinstance(value, str):
            if isinstance(value, list):
                return _one(name, "string", value)
            return not_this("a string", value, "" if isinstance(value, dict) else f'write "{shown(value)}"')
        elif wanted == "numbers":
            return _not_numbers(name, value, parameter.annotation, default)
        return ""


def parameters_of(spec: Spec, harness: Collection[str]) -> Parameters:
    """Reads the signature of a spec's `build`.

    Args:
        spec: The spec; its module is imported, which may raise anything.
        harness: The parameters that the harness passes.
    """
    found = inspect.signature(spec.load()).parameters.values()
    named = {
        p.name: p for p in found if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in harness
    }
    return Parameters(spec.name, named, any(p.kind is p.VAR_KEYWORD for p in found), spec.defaults)


def _type_of(default: object, annotation: object) -> str:
    """`number`, `boolean`, `string` or `numbers`, by the default or else by the annotation; empty if unknown."""
    if isinstance(default, bool):
        return "" if _says(annotation, "str") else "boolean"
    if is_number(default):
        return "" if _says(annotation, "str", "list", "tuple", "Sequence") else "number"
    if isinstance(default, str):
        return "" if _says(annotation, "int", "float", "bool", "list", "Sequence") else "string"
    if isinstance(default, (tuple, list)) and default and all(map(is_number, default)):
        return "" if _says(annotation, "str", "None") else "numbers"
    simple = set(re.findall(r"\w+", _text(annotation))) - {"None", "Optional", "typing", "class"}
    if simple and simple <= {"float", "int"}:
        return "number"
    return {frozenset({"bool"}): "boolean", frozenset({"str"}): "string"}.get(frozenset(simple), "")


def _text(annotation: object) -> str:
    """An annotation as it is written."""
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _says(annotation: object, *types: str) -> bool:
    """Tells whether an annotation names one of these types."""
    return not {*types}.isdisjoint(re.findall(r"\w+", _text(annotation)))


def _only_whole(annotation: object, default: object) -> bool:
    """Tells whether an annotation names whole numbers and no others."""
    whole = _says(annotation, "int") and not _says(annotation, "float", "complex", "Any")
    return whole and not isinstance(default, float)


def _not_a_number(name: str, value: object, annotation: object, default: object) -> str:
    """Says what is wrong with a value where a number is expected; empty for a number."""
    whole = _only_whole(annotation, default)
    must = "a whole number" if whole else "a number"
    if is_number(value):
        if not whole or not isinstance(value, float):
            return ""
        return not_this(must, value, f"write {value:.0f}" if value.is_integer() else "")
    if isinstance(value, list):
        return _one(name, must.removeprefix("a "), value)
    if isinstance(value, str) and not _says(annotation, "float", "int") and not unquoted(value):
        return ""  # it may have a word for some numbers
    return not_this(must, value, unquoted(value))


def _one(name: str, what: str, values: list[object]) -> str:
    """A list, where one value is expected: it may be meant as a sweep."""
    one = what if what == "true or false" else f"one {what}"
    return not_this(one, values, f"to try each, write sweep.{name} = {shown(values)}")


def _not_numbers(name: str, value: object, annotation: object, default: Any) -> str:
    """`betas = 0.9`, where a list of two numbers is expected; empty if it is one."""
    example = f"write {name} = {toml_text(list(default))}"
    tuples = re.findall(r"\b[Tt]uple\[", _text(annotation))  # of two, either may be meant
    fixed = (
        len(tuples) == 1 and "..." not in _text(annotation) and not _says(annotation, "list", "List", "Sequence")
    )
    must = f"a list of {len(default)} numbers" if fixed else "a list of numbers"
    if not isinstance(value, list):
        return not_this(must, value, example)
    if fixed and len(value) != len(default):
        return not_this(must, value, example)
    wrong = next((entry for entry in value if not is_number(entry)), None)
    if wrong is not None:
        return not_this(must, value, unquoted(wrong) or example)
    return ""
