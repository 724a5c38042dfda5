"""The answer of `benchmnist versus` on a problem: the levels that are solved, then the steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from made_up import course_result, made_up_run
from training_support import component

from benchmnist.analysis.answers_on_problems import answers_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.analysis.answers import Answer
    from benchmnist.runs.results import CaseResult

NEVER = 0
SIX = [50, 100, 50, 150, 100, 50]


def result(method: str, level: str, steps: Sequence[int]) -> CaseResult:
    """A case whose seeds reach the target after so many steps, or NEVER."""
    losses = [[5.0] * (each // 50 - 1) + [0.5] if each else [5.0] * 8 for each in steps]
    place = component("ravine").model_copy(update={"variant": level})
    return course_result(
        method,
        losses,
        ended=["target" if each else "budget" for each in steps],
        id=f"ravine/{level}/{method}",
        dataset=place,
        model=place,
        problem="ravine",
        level=level,
        steps=400,
        target_loss=1.0,
        stop_at_target=True,
    )


def answer(adam: Sequence[Sequence[int]], sgd: Sequence[Sequence[int]]) -> Answer:
    levels = ["1e1", "1e2", "1e3"][: len(adam)]
    results = [
        result(name, level, steps)
        for name, each in (("adam", adam), ("sgd", sgd))
        for level, steps in zip(levels, each, strict=True)
    ]
    rungs = [result.case for result in results[: len(levels)]]
    place = "ravine" if len(levels) > 1 else f"ravine/{levels[0]}"
    called = {"adam": "adam", "sgd": "sgd"}
    (found,) = answers_on(place, rungs, made_up_run(results), asked=["adam"], baseline="sgd", called=called)
    return found


TWICE, ALL, NONE = [2 * each for each in SIX], [50] * 6, [NEVER] * 6
HALF = [50, NEVER, 50, NEVER, 50, NEVER]


@pytest.mark.parametrize(
    ("adam", "sgd", "told", "said"),
    [
        ([ALL], [NONE], True, "by adam in 6 of 6 seeds and by sgd in 0 of 6 seeds: adam solves more, p = 0.0043"),
        ([NONE], [NONE], False, "by sgd in 0 of 6 seeds: there is nothing to compare"),
        ([HALF], [HALF], False, "by sgd in 3 of 6 seeds: no difference is shown"),
        ([ALL], [HALF], False, "the difference in what they solve is not told from chance (p = 0.36)"),
        ([SIX], [SIX], True, "; both take 75 steps, as many in every seed"),
        ([TWICE], [SIX], False, "adam takes 2.00 times as many as sgd in every seed"),
        ([SIX], [[4 * each for each in SIX[:5]] + [100]], True, "sgd takes 3.56 times as many as adam (2"),
        ([SIX], [[*SIX[1:], 50]], False, "which are not told apart: 1.00 times as many (0"),
        (
            [ALL, ALL, ALL],
            [ALL, ALL, NONE],
            True,
            "(up to 1e2): adam solves more (3.0 and 2.0 on average), p = 0.0",
        ),
        ([ALL, NONE, ALL], [NONE, ALL, ALL], True, "solves 1 of 3 levels (up to 1e1), and sgd does not solve the"),
        ([SIX, TWICE, NONE], [SIX, SIX, NONE], False, "on 2 levels that every seed solves: adam takes 1.41 times"),
    ],
)
def test_the_levels_are_compared_and_then_the_steps(
    adam: list[list[int]], sgd: list[list[int]], said: str, *, told: bool
) -> None:
    found = answer(adam, sgd)
    assert said in found.sentence
    assert (found.told, found.failed) == (told, False)
    turned = answer(sgd, adam)
    assert turned.told == told
    assert [*re.findall(r"p = [0-9.]+|solves more", turned.sentence)] == [
        *re.findall(r"p = [0-9.]+|solves more", found.sentence)
    ]


def test_the_target_is_named() -> None:
    start = "ravine/1e1 (a test loss of 1 nat within 400 steps, tested every 50) is solved by adam in 6 of 6 seeds"
    assert answer([SIX], [SIX]).sentence.startswith(start)
