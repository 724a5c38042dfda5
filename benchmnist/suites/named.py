"""Names with parameters, as typed: `adamw:weight_decay=0.1`; and their tables in a suite."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmnist.extensions.specs import NAME
from benchmnist.suites.components import variant_of
from benchmnist.suites.toml_statements import load_toml
from benchmnist.suites.values import toml_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = "NAME or NAME:key=value,..., such as adamw:weight_decay=0.1"


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


def read_named(text: str) -> Named:
    """Reads `adamw` or `adamw:weight_decay=0.1,betas=[0.9, 0.99]`: values as in TOML, as those of --set.

    Raises:
        ValueError: if it is neither.
    """
    use, colon, rest = text.strip().partition(":")
    if not NAME.fullmatch(use) or (colon and not rest.strip()) or not text.isprintable():
        raise ValueError(f"must be {FORM}, not {text!r}")
    if not colon:
        return Named(use, use)
    try:
        read = load_toml(f"value = {{ {rest} }}")
    except tomllib.TOMLDecodeError:
        raise ValueError(f"{rest!r} must be key=value,... with values as in TOML ({FORM})") from None
    return Named(text.strip(), use, read["value"])


def table_lines(kind: str, name: str, named: Named) -> list[str]:
    """Returns the table `[KIND.NAME]` of a name with parameters, line by line."""
    params = [f"{key_text(key)} = {toml_text(value)}" for key, value in named.params.items()]
    use = [f"use = {toml_text(named.use)}"] if named.params and named.use != name else []
    return [f"[{kind}.{key_text(name)}]", *use, *params]


def key_text(name: str) -> str:
    """A key of TOML, in quotes where it has a dot or a plus."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)
