"""report.md: the tables, the plots and the environment of a run, for reading and for pasting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmnist.analysis.summary import group_title
from benchmnist.reports.cost_table import TITLE as TITLE_OF_COSTS
from benchmnist.reports.escaping import (
    bold,
    code,
    fenced,
    heading,
    image,
    item,
    link,
    markdown,
    markdown_line,
    markdown_table,
    rst,
    rst_bold,
    rst_table,
)
from benchmnist.reports.extra_tables import EXTRA_TABLES, extra_tables, markdown_extra_table
from benchmnist.reports.facts import engine_facts, environments, run_facts
from benchmnist.reports.heat_map import TITLE as TITLE_OF_MAP
from benchmnist.reports.ladder_tables import TITLE as TITLE_OF_LADDERS
from benchmnist.reports.tables import LEVELS_LEFT_OUT, legend, render

if TYPE_CHECKING:
    import re

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.reports.plots import Plots
    from benchmnist.runs.results import RunResult


def report(analysis: Analysis, plots: Plots | None) -> str:
    """Returns the whole document; links to pictures are relative to the run folder, and plots may be missing."""
    run, record = analysis.run, analysis.run.record
    sections = [
        heading(1, record.title),
        markdown_line(run_facts(run)),
        "\n".join(item(f"note: {note}") for note in record.notes),
        *_titled(analysis, "findings"),
        "## Comparison",
        render(analysis, "markdown"),
        markdown_line(_sentence(legend(run.cases).replace("*", "bold:"))),
        LEVELS_LEFT_OUT if analysis.untold_levels else "",
        *(f"{code(r.id)} was reused from {code(r.reused_from)}." for r in run.cases if r.reused_from),
        *_titled(analysis, *EXTRA_TABLES),
        *(["## Plots", *_pictures(plots)] if plots else []),
        *_titled(analysis, "models"),
        "## Cases",
        _cases(run),
        *_failures(run),
        "## Environment",
        *_environments(run),
        "## Suite",
        fenced(record.suite_text, "toml"),
    ]
    return "\n\n".join(section.strip() for section in sections if section.strip()) + "\n"


def part_in_rst(
    analysis: Analysis, part: str, about: re.Pattern[str] | None = None, metric: str | None = None
) -> str:
    """Returns what `part_of_report` does, in reStructuredText."""
    if part == "findings":
        return "".join(f"- {rst(text)}\n" for text in _findings(analysis, about))
    parts = []
    for table in extra_tables(analysis, part, about, metric):
        rows = [[(cell, False) for cell in row] for row in table.rows]
        parts += [rst_bold(table.title), rst_table(table.heads, rows), rst(_sentence(table.about))]
    return "\n\n".join(parts) + "\n" if parts else ""


def part_of_report(
    analysis: Analysis, part: str, about: re.Pattern[str] | None = None, metric: str | None = None
) -> str:
    """Returns the `findings`, the `models`, or a table of EXTRA_TABLES, untitled; empty if the run has none.

    `about` keeps only the sentences, models or rows that match; `metric` is the metric of verdicts.
    """
    if part == "findings":
        return "".join(f"{item(text)}\n" for text in _findings(analysis, about))
    found = extra_tables(analysis, part, about, metric)
    parts = []
    for table in found:
        if part == "models" or table is not found[0]:
            parts.append(f"{bold(table.title)}\n")
        parts.append(f"{markdown_extra_table(table)}\n")
        if part != "models" or table is found[-1]:  # what is said of one model holds for all
            parts.append(f"({markdown(_sentence(table.about))})\n")
    return "\n".join(parts)


def _findings(analysis: Analysis, about: re.Pattern[str] | None) -> list[str]:
    """Returns the sentences of the findings; with `about`, only those that match."""
    return [finding.text for finding in analysis.findings if about is None or about.search(finding.text)]


def _titled(analysis: Analysis, *parts: str) -> list[str]:
    """Returns the parts of the report that the run has, each under its title."""
    titles = {"findings": "Findings", "verdicts": "Verdicts", "ranks": "Mean ranks", "models": "Models"}
    titles |= {"tuning": "Tuning", "targets": "Time to target", "profiles": "Performance profiles"}
    titles |= {"ladders": TITLE_OF_LADDERS, "steps-saved": "Steps saved at equal loss", "costs": TITLE_OF_COSTS}
    titles["heat-map"] = TITLE_OF_MAP
    there = [(titles[part], text) for part in parts if (text := part_of_report(analysis, part))]
    return [section for title, text in there for section in (f"## {title}", text)]


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _pictures(plots: Plots) -> list[str]:
    from benchmnist.reports.plots import MOST_SINGLE  # which needs matplotlib, as whoever has drawn did

    parts = []
    for group, files in plots.groups.items():
        parts.append(heading(3, group_title(group)))
        parts += [image(f"{title} of {group_title(group)}", file) for title, file in files.items()]
    parts += [image(title, file) for title, file in plots.others.items()]
    single = "\n".join(item(link(code(case), file)) for case, file in plots.cases.items())
    if parts and not single:
        return [
            *parts,
            f"Single cases are not plotted, as there are more than {MOST_SINGLE}; report.html draws each.",
        ]
    return [*parts, f"Plots of single cases:\n\n{single}"] if single else ["Nothing was trained."]


def _cases(run: RunResult) -> str:
    rows = [
        [
            code(result.id),
            code(json.dumps(result.case.model.params)),
            code(json.dumps(result.case.optimizer.settings)),
            result.case.epochs,
            result.case.batch_size,
            ", ".join(map(str, result.case.seeds)),
            f"{result.parameters:,}",
            engine_facts(result),
            f"{result.case.optimizer.distribution} {result.case.optimizer.version}",
        ]
        for result in run.cases
    ]
    headers = [
        "case",
        "model",
        "optimizer",
        "epochs",
        "batch",
        "seeds",
        "parameters",
        "engine",
        "optimizer from",
    ]
    return markdown_table(headers, rows)


def _failures(run: RunResult) -> list[str]:
    failed = [result for result in run.cases if result.error]
    if not failed:
        return []
    return ["## Failures", *(f"{heading(3, code(r.id))}\n\n{fenced(str(r.error), 'text')}" for r in failed)]


def _environments(run: RunResult) -> list[str]:
    """Returns a table for each environment of the run; most runs have one."""
    found, tables = environments(run.cases), []
    for facts, results in found:
        if len(found) > 1:
            tables.append(", ".join(code(result.id) for result in results))
        tables.append(markdown_table(["", "value"], facts))
    return tables or ["Nothing was trained."]
