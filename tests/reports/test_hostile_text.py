"""Text of others in every field of every record, on its way into every format: it stays text."""

from __future__ import annotations

import csv
import io
import json
import re
import types
import typing
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hostile import EVIL, run_with_everything, spoiled
from markdown_it import MarkdownIt
from pydantic import BaseModel

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.comparison import compare_runs
from benchmnist.analysis.non_inferiority import non_inferior
from benchmnist.cli.results import show_findings, show_run
from benchmnist.metrics import LEVELS, PRIMARY
from benchmnist.reports.comparison import comparison_page, markdown_comparison
from benchmnist.reports.comparison_on_terminal import ComparisonOnTerminal
from benchmnist.reports.conclusions import json_report
from benchmnist.reports.extra_tables import EXTRA_TABLES, RichTable, model_tables
from benchmnist.reports.html import report_page
from benchmnist.reports.markdown import report
from benchmnist.reports.non_inferiority import markdown_non_inferiority, rich_non_inferiority
from benchmnist.reports.pictures import all_pictures, pictures
from benchmnist.reports.plots import Plots, group_file, optimizer_styles, single
from benchmnist.reports.records import records
from benchmnist.reports.tables import render
from benchmnist.reports.terminal import Console
from benchmnist.runs.results import CaseResult, RunRecord, RunResult
from benchmnist.text import HIDDEN, visible

if TYPE_CHECKING:
    from collections.abc import Iterator


NEVER_SET = {
    ("Case", "label"),
    ("Search", "label"),
    ("Component", "variant"),
    ("Metric", "stored"),
    ("Looks", "stopped"),
    ("Stack", "name"),  # digits only
}


def texts(value: Any) -> Iterator[tuple[str, str]]:
    """The fields that are text, and have one."""
    if isinstance(value, BaseModel) or is_dataclass(value):
        for name in type(value).model_fields if isinstance(value, BaseModel) else [f.name for f in fields(value)]:
            inner = getattr(value, name)
            if inner and isinstance(inner, str):
                yield type(value).__name__, name
            yield from texts(inner)
    elif isinstance(value, dict):
        yield from texts([*value.values()])
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from texts(each)


@pytest.fixture(scope="module")
def run() -> RunResult:
    return run_with_everything()


def test_the_run_has_a_text_in_every_field(run: RunResult) -> None:
    """A new field of the records is seen here."""

    def declared(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
        for name, info in model.model_fields.items():
            parts = {info.annotation, *typing.get_args(info.annotation)}
            if str in parts and typing.get_origin(info.annotation) in (None, types.UnionType):
                yield model.__name__, name
            for part in parts | {inner for each in parts for inner in typing.get_args(each)}:
                if isinstance(part, type) and issubclass(part, BaseModel) and part is not model:
                    yield from declared(part)

    of_metrics = {("Metric", name) for name in ("key", "title", "unit", "heading", "about", "stored")}
    wanted = {*declared(RunRecord), *declared(CaseResult), *of_metrics}
    assert wanted - {*texts(run)} <= NEVER_SET | {("Looks", "stopped")}


def on_terminal(*shown: Any, width: int = 80) -> str:
    """What is printed, without the styles that rich itself makes."""
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=True, color_system="truecolor")
    for each in shown:
        each(console) if callable(each) else console.print(each)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
    assert not HIDDEN.search(plain.replace("\n", "")), plain
    return plain


class Page(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Any] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert name != "href" or str(value).startswith("#"), value
            assert name != "src" or str(value).startswith("data:image/png;"), value
        classes = [value for name, value in attrs if name == "class"]
        self.elements.append((tag, sorted(name for name, _ in attrs), classes))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(("/", tag))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("!", data))

    def handle_data(self, data: str) -> None:
        self.data += data


def blocks(document: str) -> list[Any]:
    """Everything of a markdown document but its text."""
    found: list[Any] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(document):
        found.append((token.type, token.tag, token.info))
        for child in token.children or ():
            target = str(child.attrs.get("href", child.attrs.get("src", "")))
            assert ":" not in target
            found.append((child.type, bool(target)))
    return [each for each in found if each[0] != "text"]


LATEX_ESCAPES = re.compile(
    r"\\text(backslash|asciitilde|asciicircum|asciigrave|less|greater|bar)\{\}|\\[%&_#${}]|\{[\[*]\}|\$\\\w+\$"
)


def commands(document: str) -> list[str]:
    """Everything of a LaTeX document but its text."""
    rest = LATEX_ESCAPES.sub("", document)
    assert not re.search(r"\\\\\s*[\[*]", rest)
    return re.findall(r"\\\\|\\[a-z]+|[&{}$%#_~^`<>|]", rest)


def plots_of(analysis: Analysis) -> Plots:
    groups = {r.case.group: {PRIMARY.title: f"plots/{group_file(r.case.group, PRIMARY)}"} for r in analysis.cases}
    cases = {r.id: f"plots/{r.case.file_stem}.png" for r in analysis.cases}
    return Plots(groups, cases, {"Ranks": "plots/ranks.png"})


def check_csv(analysis: Analysis) -> None:
    for level in LEVELS:
        rows = records(analysis, level)
        head, *lines = csv.reader(io.StringIO(rows.csv(), newline=""))
        assert [name.removeprefix("'") for name in head] == [visible(name, lines=True) for name in rows.header]
        for line, row in zip(lines, rows.rows, strict=True):
            for cell, value in zip(line, row.values(), strict=True):
                text = (
                    json.dumps(value) if isinstance(value, (list, dict)) else "" if value is None else str(value)
                )
                if isinstance(value, str) and value[:1] in tuple("=+-@\t\r\n"):
                    assert cell == f"'{visible(value, lines=True)}"
                else:
                    assert cell == visible(text, lines=True)
        said = json_report(analysis, rows, level)
        assert said.isascii()
        assert said.replace("\n", "").isprintable()
        assert json.loads(said)["run"]["title"] == analysis.run.record.title


def forms(run: RunResult) -> tuple[list[Any], ...]:
    """What each format makes of a run, but the text."""
    analysis = Analysis(run)
    both = compare_runs([run, run])
    check_csv(analysis)
    margins = non_inferior(run, run, run.cases[0].case.primary, 0.5)
    tables = [table for make in EXTRA_TABLES.values() for table in make(analysis)]
    on_terminal(
        lambda console: show_run(analysis, console),
        lambda console: show_findings(analysis, console),
        *map(RichTable, (*tables, *model_tables(run))),
        ComparisonOnTerminal(both),
        rich_non_inferiority(margins, (run, run)),
    )
    document = report(analysis, plots_of(analysis))
    title = next(t for t in MarkdownIt("commonmark").parse(document) if t.type == "inline")
    assert "".join(c.content for c in title.children or ()) == visible(run.record.title).strip()
    page = Page(report_page(analysis, {picture.title: b"" for picture in all_pictures(analysis)}))
    assert visible(run.record.suite_text, lines=True).strip() in page.data
    other_page = Page(comparison_page(both))
    assert not HIDDEN.search((page.data + other_page.data).replace("\n", "").replace("\t", ""))
    return (
        blocks(document),
        blocks(markdown_comparison(both, {run.record.title: "x.png"})),
        blocks(markdown_non_inferiority(margins, (run, run))),
        commands(render(analysis, "latex")),
        page.elements,
        other_page.elements,
    )


@pytest.fixture(scope="module")
def harmless(run: RunResult) -> tuple[list[Any], ...]:
    return forms(spoiled(run, "plain", at_end=True))


@pytest.mark.parametrize(
    ("evil", "at_end"), [*((evil, False) for evil in EVIL), ("".join(EVIL), True)], ids=[*"abcdefghi"]
)
def test_hostile_text_stays_text(
    run: RunResult, harmless: tuple[list[Any], ...], evil: str, *, at_end: bool
) -> None:
    for found, expected in zip(forms(spoiled(run, evil, at_end=at_end)), harmless, strict=True):
        assert found == expected


def test_pictures_show_formulas_as_text(run: RunResult) -> None:
    hostile = spoiled(run, "".join(EVIL), at_end=False)
    analysis = Analysis(hostile)
    metric = hostile.cases[0].case.primary
    drawn = [picture.draw() for picture in (next(all_pictures(analysis)), *pictures(analysis))]
    drawn.append(single(hostile.cases[0], optimizer_styles([""])[""], [metric]))
    assert len(drawn) > 5
    assert all(picture.startswith(b"\x89PNG") for picture in drawn)
