"""Text in markdown and reStructuredText reads the same wherever it is rendered: MkDocs, GitHub, Sphinx."""

from __future__ import annotations

import html
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

import docutils.core
import markdown
import pytest
from docutils import nodes
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.columns import View
from benchmnist.reports.escaping import markdown_table, rst, rst_bold, rst_table
from benchmnist.reports.tables import render
from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.sampled_from([*string.ascii_letters, *string.digits, *r" \|*_`<>[]~&;#(){}+-.!/=:'" + '"@']))


def as_mkdocs(text: str) -> str:
    return markdown.markdown(text, extensions=["tables"])


def as_github(text: str) -> str:
    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def cells(page: str) -> list[str]:
    found = re.findall(r"<td.*?>(.*?)</td>", page)
    return [" ".join(html.unescape(re.sub(r"</?\w+.*?>", "", cell)).split()) for cell in found]


@pytest.mark.parametrize("rendered", [as_mkdocs, as_github])
@given(TEXTS)
@example("<0.001")
@example("a~~b~~c &lt; <br> <!-- x -->")
@example(r"lr\_1 | \| x")
def test_a_cell_reads_as_its_text(rendered: Callable[[str], str], text: str) -> None:
    page = rendered(str(markdown_table(["name", "value"], [[text, "end"]])))
    assert cells(page) == [" ".join(text.split()), "end"], page


@pytest.mark.parametrize("rendered", [as_mkdocs, as_github])
def test_titles_between_tables_are_no_rows_of_them(rendered: Callable[[str], str]) -> None:
    run = load_run(Path(__file__).parent.parent.parent / "docs" / "runs" / "assignment4")
    text = render(Analysis(run), "markdown", View(columns=("accuracy",), group_by=("model",)))
    page = rendered(text)
    models = {case.model.name for case in run.record.plan}
    assert page.count("<table>") == page.count("<strong>fc") + page.count("<strong>cnn") == len(models)
    assert len(re.findall("<tbody>.*?<tr>", page, flags=re.DOTALL)) == len(models)
    assert page.count("<tr>") == len(models) + len(run.cases)


@given(TEXTS, TEXTS)
@example("1. a", "::")
@example("- a", ":field: b")
@example("lr_", "`a` |b| *c* [1]_ \\")
def test_a_cell_reads_as_its_text_in_restructuredtext(text: str, strong: str) -> None:
    table = rst_table(["name", "value", "last"], [[(text, False), (strong, True), ("end", False)]])
    remarks_are_errors = {"report_level": 1, "halt_level": 1}
    document = docutils.core.publish_doctree(f"{table}\n\n- {rst(text)}\n", settings_overrides=remarks_are_errors)
    found = [entry.astext() for entry in document.findall(nodes.entry)]
    assert found == ["name", "value", "last", " ".join(text.split()), " ".join(strong.split()), "end"]
    items = [item.astext() for item in document.findall(nodes.list_item)]
    assert items == [" ".join(text.split())]
    assert not strong.strip() or "strong" in document.pformat()
    assert rst_bold(" ") == ""
