"""Text in markdown: it reads the same where Python-Markdown (MkDocs) renders it, and where GitHub does."""

from __future__ import annotations

import html
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

import markdown
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmnist.analysis.analysis import Analysis
from benchmnist.reports.columns import View
from benchmnist.reports.escaping import markdown_table
from benchmnist.reports.tables import render
from benchmnist.runs.store import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.sampled_from([*string.ascii_letters, *string.digits, *r" \|*_`<>[]~&;#(){}+-.!/=:'" + '"@']))


def as_mkdocs(text: str) -> str:
    return markdown.markdown(text, extensions=["tables"])


def as_github(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


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
