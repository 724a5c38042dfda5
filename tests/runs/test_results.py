from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_support import make_case

from benchmnist.runs.results import CaseResult, EpochResult, TrialResult, worst

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
EPOCHS = st.builds(
    EpochResult,
    epoch=st.integers(1, 99),
    seconds=FLOATS,
    train_loss=FLOATS,
    step_losses=st.lists(st.tuples(st.integers(1, 9999), FLOATS), max_size=3).map(tuple),
    metrics=st.dictionaries(st.sampled_from(["test_loss", "test_accuracy", "top5_accuracy"]), FLOATS),
)
STATUSES = st.sampled_from(["completed", "diverged", "failed", "crashed", "timed out", "interrupted"])
TRIALS = st.builds(
    TrialResult,
    seed=st.integers(0, 2**40),
    status=STATUSES,
    epochs=st.lists(EPOCHS, max_size=3).map(tuple),
    setup_seconds=FLOATS,
)


def same(a: Any, b: Any) -> bool:
    """Equal, with NaN equal to itself."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(st.lists(TRIALS, max_size=3), STATUSES, st.text() | st.none())
def test_a_result_is_strict_json_and_comes_back_as_it_was(
    trials: list[TrialResult], status: Any, error: str
) -> None:
    result = CaseResult(case=make_case(), status=status, trials=tuple(trials), error=error)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = result.model_dump_json()
    json.loads(text, parse_constant=refuse)
    assert same(CaseResult.model_validate_json(text).model_dump(), result.model_dump())


def test_results_do_not_change() -> None:
    result = CaseResult(case=make_case(), status="completed")
    with pytest.raises(ValueError, match="frozen"):
        result.status = "failed"


def test_the_worst_status_counts() -> None:
    assert worst([]) == "completed"
    assert worst(["completed", "diverged"]) == "diverged"
    assert worst(["diverged", "failed", "completed"]) == "failed"
