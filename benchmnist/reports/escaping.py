"""The ways out to files: all text of others goes through these functions, each for one format.

`benchmnist/reports/terminal.py` is the way to the terminal.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from tabulate import tabulate

from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Align = Literal["left", "right"]


class Markdown(str):
    """Text that is markdown already; every other string is escaped where it is put into a document."""

    __slots__ = ()


class _Code(Markdown):
    """A code span: a table has another way to escape the bars in it."""

    __slots__ = ()


ENTITIES = {"<": "&lt;", "~": "&#126;", "&": "&amp;"}
"""Characters that Python-Markdown, which MkDocs uses, shows with their backslash."""
NEEDS_AN_ENTITY = re.compile(r"<(?=[A-Za-z/!?])|~(?=~)|&(?=#?\w+;)")
"""Beginnings of tags, of text that is crossed out, and of entities; `<0.001` is none."""


def markdown(text: str) -> Markdown:
    """Escapes text for a place within a line of markdown."""
    if isinstance(text, Markdown):
        return text
    text = NEEDS_AN_ENTITY.sub(lambda found: ENTITIES[found[0]], visible(text).strip())
    return Markdown(re.sub(r"[\\|*_`\[$]", r"\\\g<0>", text))


BEGINS_A_BLOCK = re.compile(r"^(?:(\d{1,9})(?=[.)](?:\s|$))|(?=>|=|#+(?:\s|$)|[-+](?:[\s-]|$)))")
"""A place in front of what would be a heading, a list or a quotation at the beginning of a line."""


def markdown_line(text: str) -> Markdown:
    """Escapes text for a line of its own."""
    if isinstance(text, Markdown):
        return text
    return Markdown(BEGINS_A_BLOCK.sub(r"\1\\", markdown(text)))


def item(text: str) -> Markdown:
    """An item of a list."""
    return Markdown(f"- {markdown_line(text)}")


def heading(level: int, text: str) -> Markdown:
    """A heading; # at its end are part of it."""
    said = re.sub(r"(?<![#\\])#+$", r"\\\g<0>", markdown_line(text))
    return Markdown(f"{'#' * level} {said}")


def code(text: str) -> Markdown:
    """A code span."""
    text = visible(text)
    if not text.strip():
        return Markdown("")
    ticks = "`" * (_longest_run("`", text) + 1)
    pad = " " if "`" in (text[0], text[-1]) else ""
    return _Code(f"{ticks}{pad}{text}{pad}{ticks}")


def fenced(text: str, language: str = "") -> Markdown:
    """A block of code, in a fence that the text does not close."""
    text = visible(text, lines=True)
    fence = "`" * max(3, _longest_run("`", text) + 1)
    return Markdown(f"{fence}{language}\n{text.strip()}\n{fence}")


def _longest_run(character: str, text: str) -> int:
    return max(map(len, re.findall(f"{character}+", text)), default=0)


def link(text: str, file: str) -> Markdown:
    """A link to a file, relative to the document."""
    said = text if isinstance(text, Markdown) else markdown(text).replace("]", "\\]")
    return Markdown(f"[{said}]({quote(visible(file), safe='/+,=@~')})")


def image(text: str, file: str) -> Markdown:
    """A picture in a file, relative to the document."""
    return Markdown(f"!{link(text, file)}")


def markdown_table(
    heads: Iterable[str], rows: Iterable[Iterable[object]], align: Sequence[Align] | None = None
) -> Markdown:
    """A table of markdown; by default, its columns are left-aligned."""
    cells = [[*map(_markdown_cell, row)] for row in rows]
    titles = [*map(_markdown_cell, heads)]
    return Markdown(tabulate(cells, titles, "github", disable_numparse=True, colalign=align if cells else None))


def _markdown_cell(value: object) -> str:
    if isinstance(value, _Code):
        return value.replace("|", "\\|")
    return markdown(value if isinstance(value, str) else str(value))


def bold(text: str) -> Markdown:
    """Emphasises text strongly."""
    said = markdown(text)
    return Markdown(f"**{said}**" if said else "")


BEGINS_A_BLOCK_OF_RST = re.compile(r"^(?=[^\w\s\\]|\(?(?:\w+|#)[.)](?:\s|$))")
"""The beginning of what would be a list, a field, a comment or an underline."""


def rst(text: str) -> str:
    """Escapes text for a line of reStructuredText of its own, or for a cell."""
    said = re.sub(r"[\\*`_|]", r"\\\g<0>", " ".join(visible(text).split()))
    return re.sub("::$", r":\:", BEGINS_A_BLOCK_OF_RST.sub(r"\\", said))


def rst_bold(text: str) -> str:
    """Emphasises text strongly, in reStructuredText."""
    said = rst(text)
    return f"**{said}**" if said else ""


def rst_table(heads: Iterable[str], rows: Iterable[Iterable[tuple[str, bool]]]) -> str:
    """A table of reStructuredText: a cell is its text, and whether it is bold."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [[(head, False) for head in heads], *rows]:
        for index, (text, strong) in enumerate(row):
            cell = rst_bold(text) if strong else rst(text)
            lines.append(f"   {' ' if index else '*'} - {cell}".rstrip())
    return "\n".join(lines)


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "·": r"$\cdot$",
    **{character: f"\\{character}" for character in "%&_#${}"},
}


def latex(text: str) -> str:
    r"""Escapes text for LaTeX, also for the beginning of a row, where `\\` would take `[` and `*` for its own."""
    escaped = "".join(LATEX.get(character, character) for character in visible(text))
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def latex_table(
    heads: Iterable[str], rows: Iterable[Iterable[tuple[str, bool]]], align: Sequence[Align] | None = None
) -> str:
    """A table of LaTeX; a cell is its text, and whether it is emphasised."""
    cells = [[rf"\textbf{{{latex(text)}}}" if strong else latex(text) for text, strong in row] for row in rows]
    titles = [*map(latex, heads)]
    return tabulate(cells, titles, "latex_raw", disable_numparse=True, colalign=align if cells else None)


def csv_cell(value: Any) -> Any:
    """Fits a value into one cell of a CSV file: text that would be a formula begins with a quote."""
    if isinstance(value, (list, dict)):
        value = json.dumps(value)
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else "") + visible(value, lines=True)


def json_text(value: Any) -> str:
    """Strict JSON in ASCII; it can be printed on a terminal as it is."""
    return json.dumps(value, indent=1, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def html(value: Any) -> Any:
    """Prepares a value for a page: shows its control characters; jinja2 escapes it afterwards."""
    # What has this method is marked as HTML (markupsafe's protocol). A page has millions of values.
    return visible(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


def in_script(value: Any) -> Any:
    """The same for what a script of a page reads: of all strings in it, keys too."""
    if isinstance(value, dict):
        return {html(key): in_script(each) for key, each in value.items()}
    if not isinstance(value, (list, tuple)):
        return html(value)
    return [each if isinstance(each, float) else in_script(each) for each in value]


DRAWN = 90
"""Characters that fit above a picture."""
DRAWN_BESIDE = 40
"""Characters that fit beside one: a longer legend leaves no room for the axes."""


def drawable(text: str, longest: int = DRAWN) -> str:
    """Text in a picture of matplotlib: its dollars are no formula, and its legend does not leave it out.

    Of a text that is too long the middle is left out.
    """
    text = visible(text)
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-(longest // 2) + 1 :]}"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
