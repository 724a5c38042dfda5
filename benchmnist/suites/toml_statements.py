"""Cuts a TOML text into its statements, and reads one within limits, which tomllib has none of."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 50
"""Levels of tables and lists within each other; no suite has more than five."""
LONGEST_WORD = 1000
"""Characters of a number or a bare key. Python reads no whole number of more than 4,300 digits."""
LARGEST = 2**63 - 1
"""TOML's largest whole number."""
_NAME = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_TOKEN = re.compile(
    rf"""(?P<dotted>{_NAME}(?:\s*+\.\s*+{_NAME}){{{DEEPEST},}}+)"""
    r'''|"""(?:[^"\\]|\\.|"{1,2}(?!"))*+(?:"{3,5}|\Z)'''
    r"""|'''(?:[^']|'{1,2}(?!'))*+(?:'{3,5}|\Z)"""
    r"""|"(?:[^"\\\n]|\\[^\n])*+"|'[^'\n]*+'|\#[^\n]*+"""
    r"""|(?P<opening>[\[{])|(?P<closing>[\]}])|(?P<word>[\w.+-]++)|(?P<newline>\n)""",
    re.DOTALL,
)


class Statement(NamedTuple):
    """One header or `key = value` of a TOML text, with its newline; a blank line, or a comment.

    Attributes:
        line: The line that it begins on, counted from 1.
        lines: How many lines it has.
        text: The text.
    """

    line: int
    lines: int
    text: str


class BeyondLimits(tomllib.TOMLDecodeError):
    """A text that may be TOML, but that no suite needs.

    Attributes:
        line: The line of what is beyond a limit, counted from 1.
        what: What that is.
    """

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{what} (at line {line}, column 1)")
        self.line, self.what = line, what


def statements(text: str) -> Iterator[Statement]:
    """Yields the statements of a text, in one pass; where it is not TOML, they end where those around them do.

    Raises:
        BeyondLimits: if brackets or keys are nested too deep, or a number or a key is too long.
    """
    begun, line, depth, start = 1, 1, 0, 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "dotted" or (kind == "opening" and depth == DEEPEST):
            raise BeyondLimits(line, f"nested deeper than {DEEPEST} levels; no suite needs that")
        if kind == "word" and token.end() - token.start() > LONGEST_WORD:
            what = "a number" if token[0].lstrip("+-")[:1].isdecimal() else "a word"
            raise BeyondLimits(line, f"{what} of {len(token[0]):,} characters; at most {LONGEST_WORD:,} are read")
        line += token[0].count("\n")
        depth = max(0, depth + (kind == "opening") - (kind == "closing"))
        if kind == "newline" and not depth:
            yield Statement(begun, line - begun, text[start : token.end()])
            begun, start = line, token.end()
    if start < len(text):
        yield Statement(begun, line - begun + 1, text[start:])


def load_toml(text: str) -> dict[str, Any]:
    """Reads a TOML text, like tomllib.loads.

    Raises:
        tomllib.TOMLDecodeError: if it is not TOML, or has more levels, or larger numbers, than are read.
    """
    for _ in statements(text):
        pass
    read = tomllib.loads(text)
    inside: list[tuple[object, int, str]] = [(read, 0, "")]
    while inside:
        value, depth, key = inside.pop()
        if depth > DEEPEST:
            raise BeyondLimits(1, f"nested deeper than {DEEPEST} levels; no suite needs that")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise BeyondLimits(_line_of(text), f"{key}: a whole number must be at most {LARGEST:,}")
        if isinstance(value, dict):
            inside += [(inner, depth + 1, name) for name, inner in value.items()]
        elif isinstance(value, list):
            inside += [(inner, depth + 1, key) for inner in value]
    return read


def _line_of(text: str) -> int:
    """Returns the line of the first statement with a whole number beyond TOML's."""
    for statement in statements(text):
        for word in _TOKEN.finditer(statement.text):
            try:
                too_large = abs(int(word["word"] or "0", 0)) > LARGEST
            except ValueError:
                continue
            if too_large:
                return statement.line + statement.text.count("\n", 0, word.start())
    return 1
