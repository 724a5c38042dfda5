"""Tables besides the comparison, as text: verdicts, ranks, targets, steps saved, profiles, costs, tuning, …."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmnist.analysis.amounts import amount_of
from benchmnist.analysis.pairs import MOST_PAIRS
from benchmnist.analysis.searches import NEAR, share_near_best
from benchmnist.analysis.statistics import LEVEL
from benchmnist.analysis.summary import group_title
from benchmnist.analysis.units import unit
from benchmnist.analysis.verdicts import main_verdicts
from benchmnist.metrics import TO_TARGET
from benchmnist.reports.chances_table import chances_table
from benchmnist.reports.cost_table import cost_table
from benchmnist.reports.escaping import markdown_table
from benchmnist.reports.extra_table import NOTHING, ExtraTable, namer
from benchmnist.reports.heat_map import heat_table
from benchmnist.reports.ladder_tables import ladder_tables
from benchmnist.reports.rank_table import rank_table
from benchmnist.reports.tables import LEAST_WIDTH
from benchmnist.reports.target_tables import profile_table, saved_table, target_table
from benchmnist.text import PLURALS, counted, decimals, plural

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.pairs import Family
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.metrics import Metric
    from benchmnist.reports.escaping import Align
    from benchmnist.runs.models import ModelDescription
    from benchmnist.runs.results import RunResult
    from benchmnist.runs.searches import Search


HEADS = ("case", "vs", "verdict", "difference", "interval", "p", "seeds")


def verdict_tables(analysis: Analysis, wanted: Metric | str | None = None) -> list[ExtraTable]:
    """Returns the verdicts of the primary comparisons, and the main ones of the others; none without a pair.

    If no comparison of a family has a line, its table has no rows, and says how many it leaves out.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    verdicts = analysis.verdicts(wanted)
    shown = [v for v in main_verdicts(verdicts) if analysis.tells(v.one.case.group)]
    tables = []
    for family, title in FAMILIES.items():
        members = [v for v in shown if v.family == family]
        without_lines = _without_lines(verdicts.left_out(family))
        if not members:
            if without_lines:
                tables.append(ExtraTable(title, HEADS, 3, (), without_lines))
            continue
        name, paired_by = namer(analysis.run), " or ".join(sorted({unit(v.one) for v in members}))
        counts = PLURALS.get(paired_by, "seeds")
        differing = " or ".join(dict.fromkeys(_differing(v.metric) for v in members))
        confidence = _confidence(members[0])
        about = (
            f"difference: {differing}, paired by {paired_by}; interval: {confidence}; each "
            f"verdict is read off its interval; p: p value of the paired t test, times {members[0].of}"
        )
        if any(v.margin is not None for v in members):
            about += "; equivalent: the whole interval is within the suite's margin"
        if any(v.word == "lost seeds" for v in members):
            how = "missed the target, diverged" if members[0].metric in TO_TARGET else "diverged"
            about += f"; lost seeds: those that {how} or failed could have changed any verdict, so there is none"
        if family == "exploratory":
            about += "; nobody named these comparisons before the results: take them as suggestions"
        if without_lines:
            about += f"; {without_lines}"
        rows = tuple((name(v.one), name(v.other), *_verdict_row(v)) for v in members)
        tables.append(ExtraTable(title, (*HEADS[:-1], counts), 3, rows, about))
        if family == "primary" and (chances := chances_table(members, name)) is not None:
            tables.append(chances)
    return tables


def _without_lines(number: int) -> str:
    """Returns how many comparisons of a family have no line; empty for none."""
    if not number:
        return ""
    return (
        f"{number:,} comparisons of this family have no line, as the cases have more than {MOST_PAIRS:,} pairs: "
        "they count in the intervals and the marks (*)"
    )


def _confidence(v: Verdict) -> str:
    if v.of == 1:
        return f"it has a confidence of {1 - LEVEL:.0%}"
    return (
        f"those of all {v.of} comparisons {KINDS[v.family]} by this metric hold at once with a confidence of "
        f"{1 - LEVEL:.0%}; other tables and other metrics have chances of their own"
    )


FAMILIES: dict[Family, str] = {"primary": "Verdicts", "exploratory": "Exploratory comparisons"}
KINDS: dict[Family, str] = {"primary": "named beforehand", "exploratory": "of the run"}


def _verdict_row(v: Verdict) -> tuple[str, ...]:
    word: str = v.word
    if word == "equivalent":
        word = f"equivalent within {v.margin_text}"
    elif word == "lost seeds":
        word = " and ".join(
            f"{who} lost {counted(len(seeds), unit(v.one))}"
            for who, seeds in zip((v.one.case.method, v.other.case.method), v.lost, strict=True)
            if seeds
        )
    elif word == "too few seeds":
        word = f"too few {plural(unit(v.one))}"
    p = NOTHING if v.p is None else f"{v.p:.3f}" if v.p >= 0.001 else "<0.001"  # noqa: PLR2004 - three decimals
    if not v.paired.n:
        return word, NOTHING, NOTHING, p, "0"
    found = amount_of(v)
    mean, *ends = (v.metric.change(each, found.digits) for each in (found.mean, *(found.interval or ())))
    return word, mean, " to ".join(ends) or NOTHING, p, str(v.paired.n)


def _differing(metric: Metric) -> str:
    """Returns what the difference is, in words: `mean difference in the test accuracy …, in points`."""
    if metric.ratio:
        return f"geometric mean of the ratios of the {metric.title}"
    return f"mean difference in the {metric.says}, in {metric.points}"


def tuning_table(analysis: Analysis) -> ExtraTable | None:
    """Returns the outcome of each search; None if the suite was not tuned."""
    searches = [s for s in analysis.run.record.searches if analysis.tells((s.dataset, s.model, s.label))]
    if not searches:
        return None
    with_target = any(search.target for search in searches)
    return ExtraTable(
        "Tuning",
        (
            *("model", "method", "chosen", _validation(searches)),
            *(("reached", "steps") if with_target else ()),
            *("attempts", "lost", "near the best"),
        ),
        3,
        tuple(_tuning_row(search, with_target=with_target) for search in searches),
        "chosen: by its result on held-out training examples, without the test set"
        f"{OF_TARGETS if with_target else ''}; lost: attempts that diverged or failed; near the best: share of "
        f"all attempts within {NEAR:g} point of the best; for random attempts, this estimates the share of the "
        "search space",
    )


OF_TARGETS = (
    ", and where trials stop at a target by the seeds that reached it, then by the median of their steps, then by "
    "the result"
)


def _validation(searches: Sequence[Search]) -> str:
    """Returns the head of the column of results: `validation, %`."""
    units = {search.metric.unit for search in searches}
    return ", ".join(filter(None, ("validation", *(units if len(units) == 1 else ()))))


def _tuning_row(search: Search, *, with_target: bool) -> tuple[str, ...]:
    best, lost = search.best, sum(attempt.value is None for attempt in search.attempts)
    share = share_near_best(search)
    return (
        group_title((search.dataset, search.model, search.label)),
        search.row,
        ", ".join(f"{name}={value}" for name, value in best.params.items()) if best else NOTHING,
        decimals(best.value, search.metric.digits) if best and best.value is not None else NOTHING,
        *(_to_target(search) if with_target else ()),
        f"{len(search.attempts)} {search.sampler}",
        str(lost),
        f"{share:.0%}" if share is not None else NOTHING,
    )


def _to_target(search: Search) -> tuple[str, str]:
    """Returns the seeds of the best attempt that reached the target, `3/3`, and their steps."""
    best = search.best
    if not search.target or best is None:
        return NOTHING, NOTHING
    return f"{best.reached}/{search.seeds}", NOTHING if best.steps is None else f"{best.steps:g}"


def model_tables(run: RunResult) -> list[ExtraTable]:
    """Returns the layers of each model."""
    return [model_table(model) for model in run.record.models]


def model_table(model: ModelDescription) -> ExtraTable:
    """Returns the layers of a model, and their sum."""
    rows = [
        (
            layer.name,
            f"{layer.kind}({layer.settings})" if layer.settings else layer.kind,
            " × ".join(map(str, layer.output_shape)) or NOTHING,
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        )
        for layer in model.layers
    ]
    total = ("", "total", "", f"{model.parameters:,}", f"{model.multiply_adds:,}")
    return ExtraTable(
        model.model if model.model == model.dataset else f"{model.model} on {model.dataset}",  # of a problem
        ("name", "layer", "output", "parameters", "multiply-adds"),
        3,
        (*rows, total),
        "figures for one image; parameters: trainable; multiply-adds: in matrix products and convolutions, as "
        "torch counts them",
    )


def _only(make: Callable[[Analysis], ExtraTable | None]) -> Callable[[Analysis], list[ExtraTable]]:
    """Returns the same as a list, of one table or none."""

    def tables(analysis: Analysis) -> list[ExtraTable]:
        table = make(analysis)
        return [] if table is None else [table]

    return tables


EXTRA_TABLES: dict[str, Callable[[Analysis], list[ExtraTable]]] = {
    "ladders": ladder_tables,
    "heat-map": _only(heat_table),
    "verdicts": verdict_tables,
    "ranks": _only(rank_table),
    "targets": _only(target_table),
    "steps-saved": _only(saved_table),
    "profiles": _only(profile_table),
    "costs": _only(cost_table),
    "tuning": _only(tuning_table),
}
"""Tables by their name in `benchmnist report --show`."""


def extra_tables(
    analysis: Analysis, name: str, about: re.Pattern[str] | None = None, metric: str | None = None
) -> list[ExtraTable]:
    """Returns the `models` of a run, or one of EXTRA_TABLES, if the run has it.

    `about` keeps only the models whose titles match, or the rows that match; `metric` is the metric of verdicts.

    Raises:
        BenchmnistError: if the metric is unknown, or has no value for each seed.
    """
    if name == "models":
        return [table for table in model_tables(analysis.run) if about is None or about.search(table.title)]
    tables = verdict_tables(analysis, metric) if name == "verdicts" and metric else EXTRA_TABLES[name](analysis)
    if about is None:
        return tables
    matching = ((table, tuple(row for row in table.rows if about.search(" ".join(row)))) for table in tables)
    return [replace(table, rows=rows) for table, rows in matching if rows]


def markdown_extra_table(table: ExtraTable) -> str:
    """Renders a table for a document."""
    align: list[Align] = ["left" if index < table.words else "right" for index in range(len(table.heads))]
    return markdown_table(table.heads, table.rows, align)


class RichTable:
    """A table for a terminal; words are folded if the room is short, and figures are never cut."""

    def __init__(self, extra: ExtraTable) -> None:
        self.extra = extra

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the table, for rich."""
        from rich.cells import cell_len

        from benchmnist.reports.terminal import Line, plain_table

        extra, table, needed = self.extra, plain_table(), 0
        for index, head in enumerate(extra.heads):
            words = index < extra.words
            longest = max(map(cell_len, (head, *(row[index] for row in extra.rows))))
            least = min(longest, LEAST_WIDTH) if words else longest
            needed += least + 1
            table.add_column(
                head,
                justify="left" if words else "right",
                no_wrap=not words,
                overflow="fold",
                min_width=least,
            )
        for row in extra.rows:
            table.add_row(*map(Line, row))
        yield Line(extra.title, style="bold cyan")
        yield from console.render(table, options.update(width=max(options.max_width, needed)))
        yield Line(extra.about, style="dim")
