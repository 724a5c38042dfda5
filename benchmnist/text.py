"""Words that messages and tables share."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BREAKS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Characters that Python, a terminal or a browser takes for the end of a line."""
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Control characters of the terminal and of the direction of text, and parts of characters that UTF-8 lacks."""


def visible(text: str, *, lines: bool = False) -> str:
    r"""Text in one line, with its control characters shown: `\x1b`; `lines` keeps its lines and tabs."""
    if text.isascii() and text.isprintable():
        return text
    text = BREAKS.sub("\n" if lines else " ", text)
    text = text if lines else text.replace("\t", " ")
    return HIDDEN.sub(lambda found: found[0] if found[0] in "\n\t" else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


PLURALS = {"search": "searches"}
"""Plurals that do not end in the noun and s."""
PLURAL_UNITS = ("points", "units", "nats", "spreads")
"""Units that are words in the plural; others are signs, such as s for seconds."""


def plural(noun: str) -> str:
    """`cases`, `searches`."""
    return PLURALS.get(noun, f"{noun}s")


def counted(number: int, noun: str) -> str:
    """`1 case`, `1,200 steps`, `3 searches`."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


LARGE = 1e7
"""From here on a number with decimals is told in powers of ten: nobody counts 29 digits."""
MANY = 8
"""So many decimals are not told, but powers of ten."""


def decimals(value: float, digits: int, form: str = "") -> str:
    """A number with so many decimals, `-0.12`, or `3.8e+25` if it is large, or if these are MANY.

    `form` is the rest of its format.
    """
    if abs(value) < LARGE and digits < MANY:
        return f"{value:{form}.{digits}f}"
    return f"{value:{form.replace(',', '').replace('z', '')}.2e}"


def with_unit(number: str, unit: str) -> str:
    """`0.5 points`, `1 point`, `1 s`: one of a unit that is a word in the plural is in the singular."""
    return f"{number} {unit.removesuffix('s') if number == '1' and unit in PLURAL_UNITS else unit}".rstrip()


def one_line(text: str, longest: int) -> str:
    """A text as a line for the terminal: what is not printable is escaped, and what is too long is cut."""
    escaped = (
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text[:longest]
    )
    line = "".join(escaped)
    return line if len(text) <= longest >= len(line) else f"{line[:longest]}…"


def alternatives(names: Iterable[str], word: str = "or") -> str:
    """`auto`, `auto or cpu`, `auto, cpu or cuda`; with another word than `or`, too."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


LONGEST_TEXT = 2**16
"""Maximum number of characters that are kept of a foreign text, such as the traceback of a plugin."""


def kept(text: str) -> str:
    """Returns a text that can be stored: with escapes for what UTF-8 lacks, without the middle if it is long."""
    if len(text) > LONGEST_TEXT:
        left_out = len(text) - LONGEST_TEXT
        head, tail = text[: LONGEST_TEXT // 3], text[-(LONGEST_TEXT - LONGEST_TEXT // 3) :]
        text = f"{head}\n… {left_out:,} characters left out …\n{tail}"
    return text.encode("utf-8", "backslashreplace").decode()


def first_line_of(text: str) -> str:
    """The first line of a text, without the blank ones before it; empty if there is none."""
    return text.strip().partition("\n")[0].rstrip()


def last_line_of(text: str) -> str:
    """The last line of a text, without the blank ones after it; empty if there is none."""
    return text.strip().rpartition("\n")[2].lstrip()


CHAINED = re.compile(
    r"^(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):$",
    re.MULTILINE,
)
TRACEBACK = re.compile(r"\s*(?:\+ Exception Group )?Traceback \(most recent call last\):$")
FRAME = re.compile(r"(?:  \| )?+\s")
"""A line of a traceback before the exception's own."""


def cause_of(error: str) -> str:
    """The first line that says what went wrong: of a traceback `ValueError: …`, else the first line.

    It is in one line, with what follows if the exception begins with a line break; empty without a text.
    """
    lines = [*filter(str.strip, BREAKS.split(error))]
    if lines and TRACEBACK.match(lines[0]):
        last = [*filter(str.strip, BREAKS.split(CHAINED.split(error)[-1]))]
        said = itertools.dropwhile(FRAME.match, last[1:])
        lines = [line.removeprefix("  | ") for line in said] or lines[-1:]
    if not lines:
        return ""
    first, *rest = map(str.strip, lines)
    return f"{first} {rest[0]}" if rest and re.fullmatch(r"[\w.]+:", first) else first


def noted_once(notes: Iterable[tuple[str, str]], everything: str, count: int) -> list[str]:
    """Returns each note once, after the things that it is about: `a, b: too slow`, or `all cases: too slow`.

    Args:
        notes: Notes, each with the name of the thing that it is about.
        everything: What all `count` things together are called, if there are several.
        count: Number of things.
    """
    about: dict[str, list[str]] = {}
    for note, name in notes:
        about.setdefault(note, []).append(name)
    return [
        f"{everything if len(names) == count > 1 else ', '.join(names)}: {note}" for note, names in about.items()
    ]


def with_article(noun: str) -> str:
    """`a model`, `an optimizer`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
