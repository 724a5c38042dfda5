"""Values of a suite in messages: as TOML has them, and what they must be."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

MAX_TIMEOUT = 365 * 24 * 3600
"""Seconds, a year: the longest `timeout` of a case."""
MAX_EPOCHS = 1_000_000
"""Epochs of a trial."""
MAX_STEPS = 1_000_000_000
"""Steps of a trial."""
MAX_SEEDS = 10_000
"""Seeds of a case."""
MAX_COUNT = 10_000
"""Trials of a search, and searches."""
NOTHING = ("none", "null", "nil", "off", "no", "false", "-", "")
"""Words that people write for the absence of a schedule, say, which TOML expresses by leaving the key out."""
OPTION_SYNONYMS = {
    **dict.fromkeys(("workers", "num_workers", "n_jobs", "processes"), "jobs"),
    **dict.fromkeys(("gpu", "cuda"), "device"),
    "output_dir": "out",
    "data_dir": "data-root",
}
"""Other names of options of `benchmnist run`, which people type, or look for in a suite."""
SHOWN = 60
"""A message repeats a value of up to so many characters."""


def toml_text(value: object) -> str:
    """A value as TOML has it: `"fc"`, `true`, `[0.1, 0.2]`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_text(inner)}' for key, inner in value.items())} }}"
    return str(value)


def shown(value: object) -> str:
    """The same; of a long one what it is, or its beginning."""
    text = toml_text(value)
    if len(text) <= SHOWN:
        return text
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else f"{text[:SHOWN]}…"


def not_this(must: str, value: object, instead: str = "") -> str:
    """`must be a number, not "0.1"; remove the quotes`."""
    return f"must be {must}, not {shown(value)}{f'; {instead}' if instead else ''}"


def unquoted(value: object, *, boolean: bool = False) -> str:
    """`remove the quotes`, where the number or the truth value within them would do; else empty."""
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if boolean:
        lower = text.lower()
        return "" if lower not in ("true", "false") else "remove the quotes" if text == lower else f"write {lower}"
    try:
        float(text)
    except ValueError:
        return ""
    return "remove the quotes"


def is_number(value: object) -> TypeGuard[float]:
    """Tells whether it is a number; `true` and `false`, which Python counts among them, are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def each_once(values: list[Any]) -> list[Any]:
    """A list as it is.

    Raises:
        ValueError: if it has an entry twice.
    """
    seen: set[str] = set()
    for value in values:
        if (text := toml_text(value)) in seen:
            raise ValueError(f"duplicate {shown(value)}; remove one")
        seen.add(text)
    return values


def one_or_more(value: object) -> object:
    """One string as the list of it."""
    return [value] if isinstance(value, str) else value


def is_list_of_tables(value: object) -> bool:
    """True for what [[double brackets]] make."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
