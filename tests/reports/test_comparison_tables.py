"""The tables of `compare`: their words, intervals and legend, in each format."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from made_up import made_up_run, seeds_result
from rich.console import Console

from benchmnist.analysis.comparison import compare_runs
from benchmnist.reports.comparison import comparison_page, markdown_comparison
from benchmnist.reports.comparison_on_terminal import ComparisonOnTerminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.comparison import Comparison
    from benchmnist.runs.results import CaseResult, RunResult

SEEDS: list[float | None] = [90.0, 90.4, 89.8, 90.2]
BETTER: list[float | None] = [90.31, 90.69, 90.12, 90.48]
NOTE = "Times have a ratio and no verdict"


def compared(
    before: Sequence[float | None] = SEEDS,
    after: Sequence[float | None] = BETTER,
    *,
    method: str = "sgd",
    metrics: Sequence[str] = ("accuracy",),
    margin: float | None = None,
) -> Comparison:
    one = [seeds_result("fc", method, before, margin=margin), seeds_result("fc", "adam", SEEDS)]
    other = [seeds_result("fc", method, after, margin=margin), seeds_result("fc", "adam", SEEDS)]
    runs = [made_up_run(one), made_up_run(other)]
    return compare_runs(runs, metrics)


def lines_of(comparison: Comparison, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(ComparisonOnTerminal(comparison))
    written = console.file
    assert isinstance(written, io.StringIO)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def on_terminal(comparison: Comparison, width: int = 80) -> str:
    return " ".join(" ".join(lines_of(comparison, width)).split())


def test_the_interval_stands_beside_the_change_where_it_fits() -> None:
    short, long = compared(), compared(method="a-method-with-a-name-that-leaves-no-room")
    assert "+0.30 [+0.27, +0.33] better" in on_terminal(short)
    assert "if the interval in brackets excludes 0" in on_terminal(short)
    assert "+0.30 better" in on_terminal(long)
    assert "if its interval (--format markdown shows it) excludes 0" in on_terminal(long)
    assert "+0.30 [+0.27, +0.33] better" in on_terminal(long, width=120)
    assert "**+0.30 \\[+0.27, +0.33] better**" in markdown_comparison(long)
    assert "+0.30 [+0.27, +0.33] better" in comparison_page(long)


def test_no_line_is_wider_than_the_terminal_and_no_id_is_folded() -> None:
    runs = [
        made_up_run(
            [seeds_result("fc-bn-dropout", name, values, steps=3) for name in ("momentum", "a-longer-name")]
        )
        for values in (SEEDS, [90.3, 90.1, 90.0, 90.2])
    ]
    lines = lines_of(compare_runs(runs, ["accuracy"]))
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if line.startswith("mnist/fc-bn-dropout/a-longer-name ")]
    assert "no change shown" in " ".join([row, lines[lines.index(row) + 1].strip()])


LONG = "a-method-with-a-name-that-is-longer-than-a-line-has-room-for"


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("count", range(2, 9))
def test_every_case_and_every_figure_can_be_read_however_many_runs_there_are(count: int, width: int) -> None:
    def run(number: int) -> RunResult:
        results = [
            seeds_result("fc-bn-dropout", name, [89 + number + seed * number / 7 for seed in range(4)])
            for name in ("sgd", LONG)
        ]
        return made_up_run(
            [result.model_copy(update={"environment": {"torch": f"2.{number}"}}) for result in results]
        )

    found = compare_runs([run(number) for number in range(count)], ["accuracy", "train_loss", "epoch_seconds"])
    lines = lines_of(found, width)
    assert max(map(len, lines)) <= width
    said, folded = "\n".join(lines), "".join("".join(lines).split())
    assert "…" not in said
    assert lines[lines.index("mnist/fc-bn-dropout/sgd") + 2].startswith("  B  90.21 ± 0.18  +")
    assert folded.count(f"mnist/fc-bn-dropout/{LONG}") == 3  # one for each metric, whole or folded
    for row in found.rows:
        for figure in row.figures(found.metrics[0]):
            assert figure is not None
            assert f"{figure.mean:.2f} ± {figure.std:.2f}" in said
    below = lines[lines.index("other differences") + 1 :]
    assert below[: count + 1] == ["torch", *(f"  {chr(65 + n)}  2.{n}" for n in range(count))]


def test_the_runs_are_beside_each_other_if_there_is_room() -> None:
    runs = [made_up_run([seeds_result("fc", "sgd", values)]) for values in (SEEDS, BETTER, SEEDS)]
    lines = lines_of(compare_runs(runs, ["accuracy"]))
    assert [line.split()[:4] for line in lines if line.startswith("case")] == [["case", "A", "B", "C"]]
    (row,) = [line for line in lines if line.startswith("mnist/fc/sgd  90.10")]
    assert "+0.30 better" in row


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([90.1, 90.3, None, None], "+0.00 2 seeds lost"),
        (SEEDS, "+0.00 identical"),
        ([90.3, 90.1, 90.0, 90.2], "no change shown"),
    ],
)
def test_each_word(after: list[float | None], expected: str) -> None:
    assert expected in on_terminal(compared(after=after))


def test_whose_seeds_were_lost_is_said() -> None:
    text = on_terminal(compared([None, 90.4, 89.8, 90.2], [90.0, None, None, None]))
    assert "90.00 3 seeds lost" in text  # there is no common seed, and so no change
    assert "3 seeds lost, 1 seed lost in A" in text
    assert "A seed that diverged or failed in one run counts against that run." in text


def test_the_margin_is_named_where_it_decides() -> None:
    text = on_terminal(compared(margin=0.5))
    assert "+0.30 [+0.27, +0.33] equivalent" in text
    assert "Equivalent: the whole interval is within the suite's margin, 0.5." in text
    assert "margin" not in on_terminal(compared())


def test_runs_without_common_seeds_say_what_to_do() -> None:
    runs = [made_up_run([seeds_result("fc", "sgd", SEEDS, first_seed=first)]) for first in (0, 4)]
    text = on_terminal(compare_runs(runs, ["accuracy"]))
    assert "+0.00 no common seeds" in text
    assert "train both runs with the same seeds" in text


def test_seeds_that_only_one_run_has_are_said_to_count_in_its_figures_only() -> None:
    note = "Some runs have other seeds as well"
    assert note in on_terminal(compared(after=[*BETTER, 99.0]))
    assert note not in on_terminal(compared())


def test_times_have_no_word_without_the_reference_work() -> None:
    text = on_terminal(compared(metrics=("epoch_seconds",)))
    assert "1.00×" in text
    assert NOTE in text
    assert "1.00× better" not in text
    assert "interval" not in text
    assert NOTE not in on_terminal(compared())


def test_times_in_units_of_the_reference_work_are_faster_or_slower() -> None:
    def timed(takes: Sequence[float]) -> CaseResult:
        result = seeds_result("fc", "sgd", SEEDS, seconds=takes)
        beside = (0.5, 0.51, 0.49, 0.5)
        trials = tuple(
            trial.model_copy(
                update={"epochs": tuple(e.model_copy(update={"reference_seconds": r}) for e in trial.epochs)}
            )
            for trial, r in zip(result.trials, beside, strict=True)
        )
        return result.model_copy(update={"trials": trials})

    runs = [made_up_run([timed(takes)]) for takes in ((1.0, 1.01, 0.99, 1.0), (2.0, 2.0, 2.01, 1.99))]
    text = on_terminal(compare_runs(runs, ["epoch_seconds"]))
    assert "median training time of an epoch, in units of the reference work" in text
    assert "2.00× [1.97×, 2.03×] slower" in text
    assert "`benchmnist gate` judges speed" in text
    back = on_terminal(compare_runs(runs[::-1], ["epoch_seconds"]))
    assert "faster" in back


def test_the_page_colours_what_is_shown() -> None:
    page = comparison_page(compared(metrics=("accuracy", "epoch_seconds")))
    assert page.count(' better">') == 1
    assert ' worse">' not in page
    assert NOTE in page
