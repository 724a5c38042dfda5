"""Makes tomllib's messages understandable: which line is not TOML, what is wrong in it, and what to write."""

from __future__ import annotations

import re
import shlex
import tomllib
import unicodedata
from typing import NamedTuple

from benchmnist.suites.toml_lines import line_numbers
from benchmnist.suites.toml_statements import BeyondLimits, statements
from benchmnist.suites.values import toml_text

SMART_QUOTES = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"
BARE_KEY = r"[A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*"
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on"), "true"),
    **dict.fromkeys(("false", "no", "off"), "false"),
}
"""Words that people write for TOML's truth values, in lower case."""
NUMBERS = (
    *(
        "epochs",
        "batch_size",
        "seeds",
        "init_seed",
        "margin",
        "target_accuracy",
        "label_smoothing",
        "clip_grad_norm",
    ),
    *("train_size", "test_size", "validation_size", "trials", "lr", "momentum", "weight_decay", "eps", "dropout"),
    "hidden_size",
)
"""Keys whose values are numbers: a word there is no string without quotes."""
SHOWN = 70
"""A message repeats a line of up to so many characters."""


class Slip(NamedTuple):
    """One mistake in a text."""

    line: int
    message: str


def find_slip(text: str, error: tomllib.TOMLDecodeError) -> Slip:
    """Returns what is wrong with a text that tomllib refused.

    Args:
        text: The text.
        error: What tomllib raised.
    """
    if isinstance(error, BeyondLimits):
        return Slip(error.line, error.what)
    said = re.sub(r" \(at (?:line \d+, column \d+|end of document)\)$", "", str(error))
    position = re.search(r"\(at line (\d+), column (\d+)\)$", str(error))
    lines = text.split("\n")
    last = max((n for n, line in enumerate(lines, 1) if line.strip()), default=1)
    at, column = (int(position[1]), int(position[2])) if position else (last, len(lines[last - 1]) + 1)
    at, column = (at, column) if at <= len(lines) else (last, len(lines[last - 1]) + 1)
    begun = _statement_at(text, at)
    if begun is None:  # each statement is TOML, but not all of them together
        at = at if lines[at - 1].strip() else last
        return Slip(at, _shown(lines[at - 1], _twice(lines, at)))
    line = lines[begun - 1].strip()
    there = lines[at - 1][column - 1 : column]
    entry = re.match(r"[^,\]#]*", lines[at - 1][column - 1 :])
    if at > begun and said == "Invalid value" and entry and re.search(r"=\s*\[", line) and "=" not in entry[0]:
        why = _odd_character(there, entry[0]) or _wrong_entry(entry[0].strip())
        return Slip(at, _shown(lines[at - 1], why))
    return Slip(
        begun, _shown(line, _odd_character(there, line) or _in_words(line, said, lines[at - 1][column - 1 :]))
    )


def why_no_value(key: str, value: str, error: tomllib.TOMLDecodeError) -> str:
    """Returns what is wrong with the value of `--set KEY=VALUE`, and what to write instead.

    Args:
        key: The dotted key.
        value: What tomllib refused.
        error: What it raised.
    """
    if not value:
        return f"write --set {key}=VALUE"
    if re.fullmatch(r"[^\s,\[\]]+(\s*,\s*[^\s,\[\]]+)+", value) and not re.search(r"[\"']", value):
        listed = f"{key}=[{', '.join(_as_value(part) for part in value.split(','))}]"
        return f"for a list, write --set {shlex.quote(listed)}; a number has a decimal point"
    words = _wrong_value(key, value, str(error), "")
    if not (written := re.search(r"write (.+?) = (.+)$", words)):
        return words
    typed = f"--set {shlex.quote(f'{written[1]}={written[2]}')}"
    if words.startswith("a string needs quotes"):
        return (
            f"put a string in double quotes: {typed}"
            if key.rpartition(".")[2] not in NUMBERS
            else "write a number"
        )
    return f"{words[: written.start()]}write {typed}"


def _shown(line: str, why: str) -> str:
    line = line.strip()
    return f"not TOML: {line if len(line) <= SHOWN else f'{line[:SHOWN]}…'}: {why}"


def _statement_at(text: str, at: int) -> int | None:
    """The line on which the first statement begins that is not TOML; None if each one up to line `at` is."""
    for statement in statements(text):
        if statement.line > at:
            break
        try:
            tomllib.loads(statement.text)
        except tomllib.TOMLDecodeError:
            return statement.line
    return None


def _twice(lines: list[str], at: int) -> str:
    """A key or a table that the text has already."""
    line, before = lines[at - 1].strip(), line_numbers("\n".join(lines[: at - 1]))
    if header := re.match(r"(\[\[?)\s*(.+?)\s*\]", line):
        name = header[2]
        path = tuple(part.strip().strip("\"'") for part in name.split("."))
        first = f" on line {before[path]}" if path in before else ""
        if header[1] == "[[" or (*path, 0) in before:
            return (
                f"[{name}]{first} and [[{name}]] cannot both be in a file; write [[{name}]] with double brackets"
            )
        if path in before and _is_value(lines[before[path] - 1], path[-1]):
            return f"{name} has a value already{first}, so it cannot be a table; remove one"
        return f"duplicate table [{name}]{f', first{first}' if first else ''}; merge the two"
    key = line.partition("=")[0].strip()
    name = tuple(part.strip().strip("\"'") for part in key.split("."))
    opened = max((n for n, each in enumerate(lines[: at - 1], 1) if each.lstrip().startswith("[")), default=0)
    table = max((path for path, number in before.items() if number == opened), key=len, default=())
    number_of_first = before.get((*table, *name))
    for path in ((*table, *name[:n]) for n in range(1, len(name))):
        if number_of_first is None and path in before and _is_value(lines[before[path] - 1], path[-1]):
            outer = ".".join(map(str, path[len(table) :]))
            return f"{outer} has a value already on line {before[path]}, so it cannot be a table; remove one"
    return f"duplicate key {key}{f', first on line {number_of_first}' if number_of_first else ''}; remove one"


def _is_value(line: str, name: str | int) -> bool:
    """Tells whether a line gives a key of that name a value that is no table."""
    key, _, value = line.partition("=")
    return key.rpartition(".")[2].strip().strip("\"'") == name and not value.lstrip().startswith("{")


def _odd_character(character: str, line: str) -> str:
    """A character that looks like another: where tomllib stopped, or a quote in a line without straight ones."""
    straight = any(quote in line for quote in "\"'")
    quote = character or next((c for c in line if c in SMART_QUOTES and not straight), "")
    if quote and quote in SMART_QUOTES:
        return f'{quote} is a curly quote; write a straight one, "'
    if character and not character.isascii() and (character.isspace() or character == "\ufeff"):
        return f"an invisible character (U+{ord(character):04X}); replace it with a space"
    if character and unicodedata.category(character) == "Cf":
        return f"an invisible character (U+{ord(character):04X}); remove it"
    if character and unicodedata.category(character) == "Cc" and character not in "\n\t":
        return f"a control character (U+{ord(character):04X}); remove it"
    return ""


def _in_words(line: str, said: str, rest: str) -> str:
    """Returns what is wrong with a line, by its form."""
    if line.startswith("["):
        name = re.match(r"\[+\s*([^\]#]*)", line)
        double = line.startswith("[[")
        inner = name[1].strip() if name else ""
        if " " in inner or not inner:
            return "a table's name must be one word, such as [optimizers.mine]"
        return f"missing ]; write {f'[[{inner}]]' if double else f'[{inner}]'}"
    key, equals, value = (part.strip() for part in line.partition("="))
    if equals and re.fullmatch(r"[A-Za-z0-9_-]+(\s+[A-Za-z0-9_-]+)+", key):
        return f"a key must be one word; write {'_'.join(key.split())} = {_as_value(value)}"
    if not equals or not re.fullmatch(rf"{BARE_KEY}|\".*\"|'.*'", key):
        return _no_assignment(line)
    value = re.sub(r"\s+#.*$", "", value)
    return _wrong_value(key, value, said, rest)


def _no_assignment(line: str) -> str:
    """`epochs: 3`, `epochs 3`, `= 3`."""
    if line.startswith("="):
        return "missing key before the ="
    if match := re.match(rf"({BARE_KEY})\s*(?::|\s)\s*(?![=:])(\S.*)$", line):
        return f"missing =; write {match[1]} = {_as_value(match[2])}"
    if re.fullmatch(BARE_KEY, line):
        return f"missing = and a value; write {line} = VALUE"
    return "must be KEY = VALUE or [TABLE]"


def _wrong_value(key: str, value: str, said: str, rest: str) -> str:
    """A value that is not TOML."""
    lower = value.lower()
    if not value:
        return f"missing value; write {key} = VALUE"
    if boolean := _BOOLEANS.get(lower):
        why = "true and false are in lower case" if lower == boolean else "TOML has true and false"
        return f"{why}; write {key} = {boolean}"
    if lower in ("none", "null", "nil"):
        return "TOML has no such value; remove the line"
    if value.startswith("="):
        return f"write one =, {key} = {_as_value(value.lstrip('= '))}"
    if value.startswith("["):
        return _wrong_list(key, value, said, rest)
    if "\\" in value and said.startswith("Unescaped"):
        return f"a backslash needs single quotes; write {key} = '{value.strip(chr(34))}'"
    if value[0] in "\"'" and (
        said.startswith(("Unterminated", "Expected", "Illegal")) and "newline or end" not in said
    ):
        return f"missing {value[0]} at the end of the string"
    if re.fullmatch(r"\(.*\)", value):
        return f"a list has square brackets; write {key} = [{value[1:-1]}]"
    if "=" in value and not value.startswith("{"):
        return "write each key on a line of its own"
    return _wrong_number(key, value) or _wrong_word(key, value, said)


def _wrong_number(key: str, value: str) -> str:
    """`.5`, `1.`, `01`, `5%`, `1/10`, `1,5`, `1;`."""
    if re.fullmatch(r"[^\s,;]+[,;]", value):
        return f"remove the {value[-1]}"
    if re.fullmatch(r"[+-]?(\d+\.|\.\d+|\d*\.?\d+[eE][+-]?\d+|\d+\.[eE][+-]?\d+|0\d+)", value):
        number = float(value)
        return (
            f"write {key} = {number:g}"
            if number != int(number) or "." not in value
            else f"write {key} = {number:.1f}"
        )
    if re.match(r"[+-]?[\d.]+\s*\D", value):
        return "a number has digits, one point and an exponent only, such as 0.1 or 1e-3"
    return ""


def _wrong_word(key: str, value: str, said: str) -> str:
    """A word without quotes, or more than a value."""
    if value[0] in "\"'" and "newline or end" in said:
        return 'remove what follows the string, or write a list, ["fc", "cnn"]'
    if value[0] == "{":
        return "an inline table is { key = value, key = value } on one line"
    return f"a string needs quotes; write {key} = {toml_text(value.strip(chr(34) + chr(39)))}"


def _wrong_list(key: str, value: str, said: str, rest: str) -> str:
    """A list whose brackets, commas or quotes are wrong."""
    inside = value.removeprefix("[").removesuffix("]").strip()
    words = [word.strip() for word in inside.split(",") if word.strip()]
    if value.endswith("]"):
        if value.count('"') % 2 or value.count("'") % 2:
            return "missing quote in the list"
        if words and any(
            re.fullmatch(r"[A-Za-z][\w.+-]*", word) and word not in ("true", "false", "nan", "inf")
            for word in words
        ):
            return f"a string needs quotes; write {key} = [{', '.join(_as_value(word) for word in words)}]"
        if said.startswith("Unclosed"):
            return "missing comma between two entries of the list"
        return 'not a list of values, such as ["fc", "cnn"] or [0.1, 0.01]'
    if said.startswith(("Unterminated", 'Expected "\'"')):
        return "missing quote in the list"
    if rest.strip() and rest.strip()[0] in "\"'" and said.startswith("Unclosed"):
        return "missing comma between two entries of the list"
    return "missing ] at the end of the list"


def _wrong_entry(entry: str) -> str:
    """An entry of a list, on a line of its own, that is not TOML."""
    if not entry:
        return "missing entry; remove the comma"
    number = _wrong_number("", entry)
    if number:
        return number.replace("write  = ", "write ")
    if re.match(r"[\"']", entry):
        return f"missing {entry[0]} at the end of the string"
    value = _as_value(entry)
    why = "true and false are in lower case" if value in ("true", "false") else "a string needs quotes"
    return f"{why}; write {value}"


def _as_value(text: str) -> str:
    """A word as a TOML value: in quotes, unless it is a value already."""
    text = text.strip()
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        lower = text.lower()
        return lower if lower in ("true", "false") else toml_text(text.strip("\"'"))
    return text
