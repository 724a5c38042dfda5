"""Reads what `benchmnist tune` chooses from and how: the space of an optimizer, and the name of a sampler."""

from __future__ import annotations

import math
import re

from benchmnist.errors import nearest
from benchmnist.extensions.kinds import MODEL, SCHEDULE
from benchmnist.suites.cases import Space
from benchmnist.suites.values import each_once, not_this, toml_text
from benchmnist.text import alternatives

SPACE_TABLES = (SCHEDULE.name, MODEL.name)
"""The kinds whose parameters an optimizer may tune with its own."""
SPACE_SETTINGS = ("label_smoothing", "clip_grad_norm")
"""The settings of a case that an optimizer may tune with its parameters."""
SAMPLERS = ("random", "tpe", "grid")
OWN_SAMPLERS = {"RandomSampler": "random", "TPESampler": "tpe", "GridSampler": "grid"}
"""The samplers of optuna that have a name of ours."""
SAMPLER_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*Sampler")


def read_space(value: object) -> Space:
    """`{ low = 1e-4, high = 1, log = true }`, or a list of values.

    Raises:
        ValueError: if it is neither, or a list with a value twice.
    """
    if isinstance(value, Space):
        return value
    if isinstance(value, list) and value:
        return Space(values=tuple(each_once(value)))
    if not isinstance(value, dict) or not {"low", "high"} <= {*value} <= {"low", "high", "log"}:
        raise ValueError("must be a range, { low = 1e-4, high = 1.0, log = true }, or a list of values")
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not all(type(end) in (int, float) and math.isfinite(end) for end in (low, high)) or type(log) is not bool:
        raise ValueError("low and high must be numbers, and log true or false")
    if low >= high:
        raise ValueError(f"low must be less than high; here low is {low:g} and high is {high:g}")
    if log and low <= 0:
        raise ValueError(f"low must be greater than 0 with log = true, not {low:g}")
    if math.isinf(high / low if log else float(high) - low):
        raise ValueError(f"low and high are too far apart, {low:g} and {high:g}")
    return Space(low=low, high=high, log=log)


def flat_space(value: object) -> object:
    """A space whose tables `schedule` and `model` are keys such as `model.dropout`.

    Raises:
        ValueError: if another table in it has tables.
    """
    if not isinstance(value, dict):
        return value
    found: dict[str, object] = {}
    for key, inner in value.items():
        if (
            not isinstance(inner, dict)
            or not inner
            or not all(isinstance(v, (dict, list)) for v in inner.values())
        ):
            found[key] = inner
        elif key in SPACE_TABLES:
            found |= {f"{key}.{name}": each for name, each in inner.items()}
        else:
            tables = " and ".join(SPACE_TABLES)
            raise ValueError(f"unknown table {key!r}.{nearest(key, SPACE_TABLES)} A space has the tables {tables}")
    return found


def sampler_name(value: object) -> str:
    """The name of a sampler: `random`, `tpe`, `grid`, or a class of optuna.samplers, which is not imported here.

    Raises:
        ValueError: if it cannot be one.
    """
    if isinstance(value, str) and (value in SAMPLERS or SAMPLER_CLASS.fullmatch(value)):
        return OWN_SAMPLERS.get(value, value)
    near = nearest(value, SAMPLERS) if isinstance(value, str) else ""
    must = f'{alternatives(map(toml_text, SAMPLERS))}, or a sampler of optuna, such as "GPSampler"'
    raise ValueError(not_this(must, value) + (f".{near}" if near else ""))
