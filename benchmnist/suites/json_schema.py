"""The JSON schema of suites, by which editors complete and check them; `benchmnist suites --schema` writes it."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, create_model

from benchmnist.extensions.kinds import IN_SUITES
from benchmnist.suites.reader import CONFIGURED
from benchmnist.suites.schema import CASES, COMPARE, DEFAULTS, ENGINES, Configured, Header, Tune

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The draft that the editors' plugins for TOML and SchemaStore know."""


def suite_schema() -> dict[str, Any]:
    """Returns the JSON schema of a suite, from the models that read it.

    What depends on other keys or on what is installed is not in it: `benchmnist run SUITE --dry-run` checks all.
    """
    tables: dict[str, Any] = {
        "suite": (Header, ...),
        "defaults": (DEFAULTS, DEFAULTS()),
        "cases": (list[CASES], ...),  # type: ignore[valid-type]
        "compare": (list[COMPARE], []),  # type: ignore[valid-type]
        "tune": (Tune, Tune()),
    }
    for kind in IN_SUITES:
        tables[kind.plural] = (dict[str, CONFIGURED.get(kind.plural, Configured)], {})  # type: ignore[misc]
    model = create_model("Suite", __config__=ConfigDict(extra="forbid"), **tables)
    schema: dict[str, Any] = _plain(TypeAdapter(model).json_schema(ref_template="#/definitions/{model}"))
    definitions = schema.pop("$defs")
    return {"$schema": DIALECT, "title": "A suite of BenchMNIST", **schema, "definitions": definitions}


def packaged_schema() -> dict[str, Any]:
    """Returns `suite_schema` with the meaning of each key, as docs/generate.py reads it from docs/suites.md."""
    schema: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath("suite.schema.json").read_text("utf-8")
    )
    return schema


def with_names(schema: Mapping[str, Any], names: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Returns a schema that proposes the names of what is installed; others are allowed, as tables make new ones.

    Args:
        schema: Of `suite_schema`.
        names: The names of each kind of plugin.
    """

    def proposed(node: Any, known: list[str]) -> Any:
        if isinstance(node, dict):
            if node.get("type") == "string" and "enum" not in node:
                return {"anyOf": [{"enum": known}, node]}
            return {key: proposed(value, known) for key, value in node.items()}
        return [proposed(each, known) for each in node] if isinstance(node, list) else node

    found = dict(schema)
    definitions = found["definitions"] = dict(schema["definitions"])
    for name in (DEFAULTS.__name__, CASES.__name__):
        table = definitions[name] = dict(definitions[name])
        properties = table["properties"] = dict(table["properties"])
        for kind in IN_SUITES:
            for key in {kind.name, kind.plural} & {*properties}:
                properties[key] = proposed(properties[key], sorted(names.get(kind.name, ())))
        for key in {"engine", "engines"} & {*properties}:
            properties[key] = proposed(properties[key], [*ENGINES])
    return found


def _plain(node: Any) -> Any:
    """A schema without what TOML has not (null), and without titles and texts that are meant for Python."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("properties", "$defs"):  # their keys are names, such as the `title` of a suite
            kept[key] = {name: _plain(each) for name, each in value.items()}
        elif key not in ("title", "description") and not (key == "default" and value in (None, [], {})):
            kept[key] = _plain(value)
    if isinstance(kept.get("default"), dict):  # of a whole table: each key has its own
        del kept["default"]
    if choices := [each for each in kept.pop("anyOf", ()) if each != {"type": "null"}]:
        kept |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return kept
