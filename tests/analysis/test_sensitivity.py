from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_up import made_up_run, seeds_result

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.sensitivity import expected, seen, sentences
from benchmnist.analysis.statistics import detectable
from benchmnist.analysis.verdicts import judge
from benchmnist.runs.store import RunFolder
from benchmnist.suites.looks import announce

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmnist.runs.results import CaseResult

BASE = [90.0, 90.1, 89.9, 90.05, 89.95]


def cases(*gains: Sequence[float], **case: Any) -> list[CaseResult]:
    """The baseline, and a case for each list of gains over it."""
    each = [[0.0] * len(gains[0]), *gains]
    return [
        seeds_result(
            "fc", name, [base + gain for base, gain in zip(BASE, found, strict=False)], baseline="sgd", **case
        )
        for name, found in zip(("sgd", "adam", "rmsprop"), each, strict=False)
    ]


def around(mean: float, spread: float) -> list[float]:
    """Five gains with that mean and standard deviation."""
    values = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    return [float(mean + spread * value / values.std(ddof=1)) for value in values]


def detected(results: Sequence[CaseResult]) -> list[str]:
    return [f.text for f in Analysis(made_up_run(results)).findings if f.kind == "detectable"]


def test_a_report_says_the_smallest_difference_that_it_finds() -> None:
    (text,) = detected(cases(around(1.0, 0.2)))
    assert text == (
        f"With 5 seeds and 1 comparison, this run finds a difference of {detectable(5, 1, 0.2):.2g} points four "
        "times out of five, if the differences spread as here; smaller ones may go unnoticed."
    )


def test_it_depends_on_the_spread_of_each_comparison_and_on_their_number() -> None:
    (text,) = detected(cases(around(1.0, 0.2), around(1.0, 0.5)))
    low, high = (f"{detectable(5, 2, spread):.2g}" for spread in (0.2, 0.5))
    assert f"With 5 seeds and 2 comparisons, this run finds differences of {low} to {high} points" in text


@pytest.mark.parametrize("gains", [[1.0, 1.2], [0.0] * 5])
def test_without_a_spread_there_is_no_such_sentence(gains: list[float]) -> None:
    assert detected(cases(gains)) == []  # two seeds; identical results


def test_four_times_out_of_five_is_true() -> None:
    """1,000 runs of five seeds and two comparisons with the difference that is said: found in 0.8, and 0.063 is
    five standard errors."""
    rng, size, found = np.random.default_rng(2), detectable(5, 2, 0.3), 0
    for _ in range(1000):
        gained = cases(*rng.normal([[size], [0.0]], 0.3, (2, 5)).tolist())
        found += judge(gained)[0].word == "better"
    assert found / 1000 == pytest.approx(0.8, abs=0.063)


def store(out: Path, results: Sequence[CaseResult], name: str = "20261124-000000-aaaa") -> None:
    folder = RunFolder(out / "made-up" / name)
    folder.make()
    folder.write_record(made_up_run(results).record)
    for result in results:
        folder.write_case(result)


def before(out: Path, results: Sequence[CaseResult], **options: Any) -> str:
    looks = options.get("looks")
    (text,) = sentences(expected([r.case for r in results], out, **options), looks.number if looks else 1)
    return text


def test_before_a_run_the_spread_is_stated_or_that_of_an_earlier_run_or_unknown(tmp_path: Path) -> None:
    results = cases(around(1.0, 0.2))
    unknown = before(tmp_path, results)
    assert f"finds a difference of {detectable(5, 1):.2g} spreads four times out of five; smaller" in unknown
    assert "state it as `spread` in [defaults]" in unknown
    store(tmp_path, results)
    earlier = before(tmp_path, results)
    assert f"a difference of {detectable(5, 1, 0.2):.2g} points" in earlier
    assert "if the differences spread as in made-up/20261124-000000-aaaa" in earlier
    stated = before(tmp_path, cases(around(1.0, 0.2), spread=0.4))
    assert f"a difference of {detectable(5, 1, 0.4):.2g} points" in stated
    assert "if the differences spread as stated" in stated
    one = before(tmp_path, cases(around(1.0, 0.2), spread=1 / detectable(5, 1)))
    assert "finds a difference of 1 point four times out of five, if" in one


def test_the_spread_of_a_case_does_not_depend_on_how_many_seeds_it_has(tmp_path: Path) -> None:
    store(tmp_path, cases(around(1.0, 0.2)))
    more = [
        r.model_copy(update={"case": r.case.model_copy(update={"seeds": tuple(range(9))})})
        for r in cases(around(1.0, 0.2))
    ]
    assert f"With 9 seeds and 1 comparison, this run finds a difference of {detectable(9, 1, 0.2):.2g} points" in (
        before(tmp_path, more)
    )
    longer = [r.model_copy(update={"case": r.case.model_copy(update={"epochs": 9})}) for r in more]
    assert "spreads" in before(tmp_path, longer)  # another case


def test_with_looks_it_is_what_the_last_one_finds() -> None:
    looks = announce(range(5), 20)
    text = before(made_up_run([]).path, cases(around(1.0, 0.2), spread=0.4), looks=looks)
    assert f"With 20 seeds, 1 comparison and {looks.number} looks" in text
    assert f"a difference of {detectable(20, looks.number, 0.4):.2g} points" in text


def test_two_seeds_find_nothing(tmp_path: Path) -> None:
    assert before(tmp_path, cases([1.0, 1.1])) == (
        "With 2 seeds, this run finds no difference, however large: that takes 3 or more."
    )


def test_what_is_seen_has_only_comparisons_that_were_named_beforehand() -> None:
    verdicts = judge(cases(around(1.0, 0.2), around(1.0, 0.5)))
    assert len(verdicts) == 3
    assert len([*seen(verdicts)]) == 2
